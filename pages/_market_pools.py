"""What our price engine goes by, a card a pool: market, unit cost, bounds, elasticity."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dash import html

from pages._market_parts import against, lead, ordinal, price_bar
from pages._nothing import nothing_yet
from pages._parts import facts
from pages._words import MISSING, age, count, usd
from warehouse.price_evidence import PoolPrice


def pools_box(pools: Sequence[PoolPrice], now: datetime, market_now: datetime) -> Any:
    """A card a pool; `now` is the console's, `market_now` the collectors'."""
    if not pools:
        return nothing_yet("pools", "They appear once a collector has reported them.")
    return html.Div(
        [
            lead(
                "What a decision on a price rests on. The bar is the market's p10 to p90 with its "
                "median, the dot our price, the thin lines floor and ceiling."
            ),
            html.Div([_card(each, now, market_now) for each in pools], className="market-pools"),
        ]
    )


def _card(pool: PoolPrice, now: datetime, market_now: datetime) -> html.Article:
    head = [
        html.Div([html.B(pool.pool), html.Div(pool.gpu_model, className="sub")]),
        html.Div(
            [
                html.B(usd(pool.price_usd_per_gpu_hour), className="market-price"),
                html.Small(" /GPU-h"),
            ],
            className="nowrap",
        ),
    ]
    return html.Article(
        [
            html.Div(head, className="market-card-head"),
            _bar(pool),
            facts(_facts(pool, now, market_now), className="market-facts"),
        ],
        className="market-card",
        key=pool.pool,
    )


def _bar(pool: PoolPrice) -> Any:
    if pool.market is None:
        return html.Div("Nobody's price of the last day can be compared.", className="sub warn")
    band = (pool.market.p10_usd_per_gpu_hour, pool.market.p90_usd_per_gpu_hour)
    ends = (pool.floor_usd_per_gpu_hour, pool.ceiling_usd_per_gpu_hour)
    ours = pool.price_usd_per_gpu_hour
    return price_bar(band, pool.market.median_usd_per_gpu_hour, ours, ends)


def _facts(pool: PoolPrice, now: datetime, market_now: datetime) -> list[tuple[str, Any]]:
    return [
        ("Market", _market(pool, market_now)),
        ("Unit cost", _two(usd(pool.unit_cost_usd_per_gpu_hour), pool.unit_cost_basis)),
        ("Floor, ceiling", _bounds(pool)),
        ("Largest step", _step(pool)),
        ("Elasticity", _elasticity(pool, now)),
    ]


def _two(figure: Any, basis: str) -> html.Div:
    return html.Div([figure, html.Div(basis, className="sub")])


def _market(pool: PoolPrice, market_now: datetime) -> Any:
    found = pool.market
    if found is None:
        return MISSING
    place = f", {ordinal(pool.rank)} of {pool.ranked}" if pool.rank else ""
    quantiles = " · ".join(
        f"{name} {usd(value)}"
        for name, value in (
            ("p10", found.p10_usd_per_gpu_hour),
            ("p25", found.p25_usd_per_gpu_hour),
            ("median", found.median_usd_per_gpu_hour),
            ("p75", found.p75_usd_per_gpu_hour),
            ("p90", found.p90_usd_per_gpu_hour),
        )
    )
    basis = (
        f"{quantiles}; {count(found.offers)} offers of {count(found.providers)} providers of "
        f"{' or '.join(found.models)}, {age(found.measured_at, market_now)}"
    )
    return _two(f"{against(pool.price_over_market_ratio).capitalize()} the median{place}", basis)


def _bounds(pool: PoolPrice) -> Any:
    low, high = pool.floor_usd_per_gpu_hour, pool.ceiling_usd_per_gpu_hour
    told = "by the limits on the Admin page"
    if low is None and high is None:
        return _two(MISSING, "the limits go by the market, which is not known, and none is set")
    ours, cost = pool.price_usd_per_gpu_hour, pool.unit_cost_usd_per_gpu_hour
    if low is not None and low < cost:
        told = f"the floor is below unit cost by {usd(cost - low)}"
    if ours is not None and ((low and ours < low) or (high and ours > high)):
        told = "our price is outside of them"
    return _two(f"{usd(low)} to {usd(high)}", told)


def _step(pool: PoolPrice) -> Any:
    if pool.largest_step_usd_per_gpu_hour is None:
        return MISSING
    return _two(f"±{usd(pool.largest_step_usd_per_gpu_hour)}", "that one decision may move it")


def _elasticity(pool: PoolPrice, now: datetime) -> Any:
    found = pool.elasticity
    if found is None:
        return _two("Not known yet", "the first round of the market works it out")
    figure = f"{_signed(found.elasticity)} ({_signed(found.low)} to {_signed(found.high)})"
    changes = f"{count(found.price_changes)} change{'' if found.price_changes == 1 else 's'}"
    basis = f"Estimated from {changes} of ours" if found.basis == "estimated" else "Assumed"
    return html.Div(
        [
            html.Span(f"{figure}, 80 %"),
            html.Div(f"{basis}, {age(found.made_at, now)}", className="sub"),
            html.Details(
                [html.Summary("From where"), html.Div(found.detail, className="sub")],
                className="market-details",
            ),
        ]
    )


def _signed(value: float) -> str:
    return f"{'−' if value < 0 else ''}{abs(value):.2f}"
