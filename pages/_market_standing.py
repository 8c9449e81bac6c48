"""Where we stand, in words first: price, rank, what moved since yesterday, what is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
from dash import html

from pages._market_parts import (
    UNMOVED_RATIO,
    against,
    lead,
    moved,
    moved_words,
    ordinal,
    price_bar,
    provider_words,
)
from pages._parts import empty
from pages._words import age, count, signed_usd, usd
from warehouse.market import MarketPrice
from warehouse.price_evidence import PoolPrice

MOVERS_MAX = 8


@dataclass(frozen=True)
class Standing:
    """What the words are made of."""

    pools: Sequence[PoolPrice]
    yesterday: Sequence[PoolPrice]
    providers: pl.DataFrame
    """Prices of providers now, as `warehouse.market.provider_prices` gives them."""
    providers_yesterday: pl.DataFrame
    alarms: int
    """Raised in the last day."""
    sources: Mapping[str, int]
    """How many sources are in each state, by its word: `on`, `failing`, `off`."""
    advised: int
    """Recommendations in force."""
    advised_usd_per_month: float
    """What they are worth together."""
    now: datetime
    """By the collectors' clock."""


def standing_box(found: Standing) -> Any:
    """The sentences, a row a pool, and who moved."""
    if not found.pools:
        told = html.Div("They appear once a collector has reported them.")
        return empty("No pools of ours yet", told)
    before = {each.pool: each for each in found.yesterday}
    rows = [_row(each, before.get(each.pool), found.now) for each in found.pools]
    return html.Div(
        [
            lead(*_summary(found)),
            html.Ul(rows, className="market-standing"),
            lead(*_movers(found)),
        ]
    )


def _summary(found: Standing) -> list[Any]:
    ratios = [each.price_over_market_ratio for each in found.pools]
    known = [ratio for ratio in ratios if ratio is not None]
    below = sum(ratio < 1 - UNMOVED_RATIO for ratio in known)
    above = sum(ratio > 1 + UNMOVED_RATIO for ratio in known)
    blind = len(ratios) - len(known)
    pools = f"{len(ratios)} pool{'s' if len(ratios) != 1 else ''}"
    said = f": {below} below the market's median, {above} above, {len(known) - below - above} at it"
    unknown = f", {blind} without a price to compare with" if blind else ""
    return [html.B(pools), f"{said}{unknown}. ", *_open(found)]


def _open(found: Standing) -> list[Any]:
    """Alarms, sources and what there is to do, each a way to its section."""
    alarms = f"{count(found.alarms)} alarm{'' if found.alarms == 1 else 's'} in the last day"
    sources = ", ".join(f"{number} {word}" for word, number in found.sources.items())
    worth = (
        f"{count(found.advised)} to do, worth {signed_usd(found.advised_usd_per_month, 0)} a month"
    )
    advice = ["; ", html.A(worth, href="#market-advice-box")] if found.advised else []
    fails = "bad" if "failing" in found.sources else ""
    return [
        html.A(
            html.Span(alarms, className="warn" if found.alarms else ""), href="#market-alarms-box"
        ),
        "; sources: ",
        html.A(html.Span(sources, className=fails), href="#market-sources-box"),
        *advice,
        ".",
    ]


def _row(pool: PoolPrice, before: PoolPrice | None, now: datetime) -> html.Li:
    ours = pool.price_usd_per_gpu_hour
    head = [html.B(pool.pool), html.Span(pool.gpu_model, className="sub")]
    price = html.Div([html.B(usd(ours), className="market-price"), html.Small(" /GPU-h")])
    market = pool.market
    if market is None:
        told: list[Any] = ["Nobody's price of the last day can be compared with it."]
        bar = None
    else:
        told = _against_market(pool, before, now)
        band = (market.p10_usd_per_gpu_hour, market.p90_usd_per_gpu_hour)
        bar = price_bar(band, market.median_usd_per_gpu_hour, ours)
    return html.Li(
        [
            html.Div([html.Div(head, className="row"), price]),
            html.Div(told, className="market-told"),
            html.Div(bar, className="market-bar"),
        ]
    )


def _against_market(pool: PoolPrice, before: PoolPrice | None, now: datetime) -> list[Any]:
    market = pool.market
    assert market is not None
    place = f", {ordinal(pool.rank)} cheapest of {pool.ranked}" if pool.rank else ""
    old = before.market if before else None
    theirs = moved(market.median_usd_per_gpu_hour, old.median_usd_per_gpu_hour if old else None)
    ours = moved(pool.price_usd_per_gpu_hour, before.price_usd_per_gpu_hour if before else None)
    return [
        html.Div(
            [
                html.B(f"{against(pool.price_over_market_ratio).capitalize()} the median"),
                f" of {usd(market.median_usd_per_gpu_hour)}{place}",
            ]
        ),
        html.Div(
            f"p10 {usd(market.p10_usd_per_gpu_hour)} to p90 {usd(market.p90_usd_per_gpu_hour)}, "
            f"{count(market.providers)} providers, {age(market.measured_at, now)}. Since yesterday "
            f"the market {moved_words(theirs)}{_others_then(market, old)}, "
            f"ours {moved_words(ours)}.",
            className="sub",
        ),
    ]


def _others_then(now: MarketPrice, before: MarketPrice | None) -> str:
    """A median moves too where providers come and go: then that is said with it."""
    if before is None or before.providers == now.providers:
        return ""
    return f" ({count(before.providers)} provider{'' if before.providers == 1 else 's'} then)"


def _movers(found: Standing) -> list[Any]:
    """Which providers of our models moved since yesterday, the furthest first."""
    models = {model for pool in found.pools for model in pool.models}
    keys = ["provider", "model"]
    now, old = (_headline(frame, models) for frame in (found.providers, found.providers_yesterday))
    both = now.join(old, on=keys, suffix="_before")
    both = both.with_columns(ratio=pl.col("price") / pl.col("price_before") - 1)
    both = both.filter(pl.col("ratio").abs() >= UNMOVED_RATIO)
    both = both.sort(pl.col("ratio").abs(), *keys, descending=[True, False, False])
    if now.is_empty():
        return ["No provider offers our models today."]
    if both.is_empty():
        return ["No provider has moved its price of our models since yesterday."]
    said = [
        f"{provider_words(row['provider'])} {row['model']} {moved_words(row['ratio'])} to "
        f"{usd(row['price'])}"
        for row in both.head(MOVERS_MAX).to_dicts()
    ]
    rest = both.height - len(said)
    more = f", and {rest} more" if rest > 0 else ""
    return [html.B("Moved since yesterday: "), "; ".join(said) + f"{more}."]


def _headline(frame: pl.DataFrame, models: set[str]) -> pl.DataFrame:
    """Each provider's on-demand price in a data centre, a row a model."""
    found = frame.filter(
        pl.col("model").is_in(sorted(models))
        & (pl.col("price_kind") == "on_demand")
        & (pl.col("tier").fill_null("secure") == "secure")
    )
    price = pl.col("price_usd_per_gpu_hour").median().alias("price")
    return found.group_by("provider", "model").agg(price)
