"""The figures of Overview: tiles of the whole fleet and a table of its pools."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
from dash import html

from pages._charts import sparkline
from pages._parts import bar, figure_tile, table
from pages._words import age, count, duration, instant, percent, short_usd, signed_usd, usd

NOTHING = "nothing was read yet"
COSTS = ("owned_cost_usd", "leased_cost_usd", "penalty_usd", "refund_usd")
WAIT_IS_LONG_SECONDS = 3600.0
PRICE_IS_OFF_RATIO = 0.1
"""Our price is marked where it is further from the market's than this."""


def figure_tiles(pools: pl.DataFrame, hours: pl.DataFrame, now: datetime) -> list[Any]:
    """The tiles; `hours` are the earnings of the last 48 hours, hour by hour."""
    return [
        _use_tile(pools, now),
        _queue_tile(pools),
        _nodes_tile(pools),
        *_money_tiles(hours, now),
    ]


def _total(frame: pl.DataFrame, column: str) -> float | None:
    """The sum of what was measured; None where nothing was."""
    known = frame[column].drop_nulls()
    return float(known.sum()) if len(known) else None


def _use_tile(pools: pl.DataFrame, now: datetime) -> Any:
    on, used = _total(pools, "gpus_on"), _total(pools, "gpus_used")
    ratio = used / on if on and used is not None else None
    newest: Any = pools["measured_at"].max() if pools.height else None
    note = f"{count(used)} of {count(on)} GPUs on · {age(newest, now)}" if on else NOTHING
    return figure_tile("GPUs in use", percent(ratio), note=note, extra=bar(ratio))


def _queue_tile(pools: pl.DataFrame) -> Any:
    jobs, gpus = _total(pools, "queued_jobs"), _total(pools, "queued_gpus")
    oldest: Any = pools["oldest_wait_seconds"].max()
    tone = "warn" if oldest and oldest > WAIT_IS_LONG_SECONDS else ""
    note = f"{count(gpus)} GPUs asked for · oldest {duration(oldest)}" if jobs else ""
    note = NOTHING if jobs is None else note or "nobody waits"
    return figure_tile("Waiting in the queue", count(jobs), "jobs", note, tone)


def _nodes_tile(pools: pl.DataFrame) -> Any:
    down, coming = _total(pools, "nodes_down"), _total(pools, "nodes_provisioning")
    on, off = _total(pools, "nodes_on"), _total(pools, "nodes_off")
    note = f"{count(on)} on · {count(coming)} on their way · {count(off)} off"
    note = NOTHING if down is None else note
    return figure_tile("Nodes down", count(down), "nodes", note, "bad" if down else "")


def _money_tiles(hours: pl.DataFrame, now: datetime) -> list[Any]:
    columns = {
        "Revenue": pl.col("revenue_usd") + pl.col("spot_revenue_usd"),
        "Cost": pl.sum_horizontal(*COSTS),
        "Profit": pl.col("profit_usd"),
    }
    sums = hours.group_by("at").agg(
        *(expression.sum().alias(name) for name, expression in columns.items())
    )
    return [_money_tile(name, sums.select("at", usd=name).sort("at"), now) for name in columns]


def _money_tile(name: str, hours: pl.DataFrame, now: datetime) -> Any:
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    whole = hours.filter(pl.col("at") < this_hour)
    last = whole.tail(1)
    day = _sum_since(whole, this_hour - timedelta(hours=24), this_hour)
    before = _sum_since(whole, this_hour - timedelta(hours=48), this_hour - timedelta(hours=24))
    value = last["usd"].item() if last.height else None
    tone = "bad" if name == "Profit" and value is not None and value < 0 else ""
    note = [
        f"{short_usd(day)} in 24 h " if day is not None else NOTHING,
        *_change(day, before, is_cost=name == "Cost"),
    ]
    hour = f"hour to {instant(last['at'].item() + timedelta(hours=1))[-5:]}" if last.height else ""
    return figure_tile(name, usd(value, 0), f"/h {hour}".rstrip(), note, tone)


def _sum_since(hours: pl.DataFrame, since: datetime, until: datetime) -> float | None:
    inside = hours.filter(pl.col("at").is_between(since, until, closed="left"))
    return float(inside["usd"].sum()) if inside.height else None


def _change(day: float | None, before: float | None, *, is_cost: bool) -> list[Any]:
    if day is None or not before:
        return []
    ratio = (day - before) / abs(before)
    is_good = (ratio < 0) == is_cost
    words = f"{'+' if ratio >= 0 else '−'}{percent(abs(ratio))}"
    tone = "" if abs(ratio) < 0.005 else ("good" if is_good else "bad")
    return [html.Span(words, className=tone, title="against the 24 hours before")]


# -- the table of pools ----------------------------------------------------------------

HEAD = (
    "Pool",
    "In use",
    "Last 24 h",
    "GPUs",
    "Queue",
    "Nodes",
    "Our price",
    "Market",
    "Profit, 24 h",
    "Read",
)


def pools_table(
    pools: pl.DataFrame, history: pl.DataFrame, hours: pl.DataFrame, now: datetime
) -> Any:
    """A row a pool: how full, how long the queue, what it charges and earns."""
    profits = _profit_by_pool(hours, now)
    rows = [
        _pool_row(row, history.filter(pl.col("pool") == row["pool"]), profits.get(row["pool"]), now)
        for row in pools.iter_rows(named=True)
    ]
    return table(HEAD, rows, "Pools")


def _profit_by_pool(hours: pl.DataFrame, now: datetime) -> dict[str, float]:
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=24)
    inside = hours.filter(pl.col("at") >= since).group_by("pool").agg(pl.col("profit_usd").sum())
    return dict(inside.iter_rows())


def _pool_row(
    row: dict[str, Any], history: pl.DataFrame, profit: float | None, now: datetime
) -> list[Any]:
    used = [
        used / on if on else 0.0
        for used, on in zip(history["gpus_used"], history["gpus_on"], strict=True)
    ]
    ratio = row["utilisation_ratio"]
    return [
        html.Div(
            [html.B(row["pool"]), html.Div(f"{row['gpu_model']}, {row['region']}", className="sub")]
        ),
        html.Div([html.Span(percent(ratio)), bar(ratio)], className="util"),
        sparkline(used) if len(used) > 1 else "",
        html.Span(f"{count(row['gpus_used'])} / {count(row['gpus_on'])}", className="nowrap"),
        _queue_cell(row),
        _nodes_cell(row),
        html.Span(usd(row["price_usd_per_gpu_hour"]), className="nowrap"),
        _market_cell(row["price_usd_per_gpu_hour"], row["market_usd_per_gpu_hour"]),
        html.Span(signed_usd(profit, 0), className="nowrap bad" if (profit or 0) < 0 else "nowrap"),
        html.Span(age(row["measured_at"], now), className="sub nowrap"),
    ]


def _queue_cell(row: dict[str, Any]) -> Any:
    if not row["queued_jobs"]:
        return html.Span(count(row["queued_jobs"]), className="dim")
    waited = row["oldest_wait_seconds"]
    tone = "sub warn" if waited and waited > WAIT_IS_LONG_SECONDS else "sub"
    words = f"{count(row['queued_gpus'])} GPUs, {duration(waited)}"
    return html.Div([count(row["queued_jobs"]), html.Div(words, className=f"{tone} nowrap")])


def _nodes_cell(row: dict[str, Any]) -> Any:
    parts = [html.Span(f"{count(row['nodes_on'])} on", className="nowrap")]
    extra = [
        html.Span(f"{row[column]} {word}", className=tone)
        for column, word, tone in (
            ("nodes_provisioning", "coming", ""),
            ("nodes_down", "down", "bad"),
            ("nodes_off", "off", ""),
        )
        if row[column]
    ]
    listed = [piece for each in extra for piece in (each, ", ")][:-1]
    return html.Div([*parts, html.Div(listed, className="sub nowrap")])


def _market_cell(ours: float | None, market: float | None) -> Any:
    if ours is None or not market:
        return html.Span(usd(market), className="dim")
    ratio = ours / market - 1
    tone = "sub warn" if abs(ratio) > PRICE_IS_OFF_RATIO else "sub"
    return html.Div([usd(market), html.Div(_asked(ratio), className=f"{tone} nowrap")])


def _asked(ratio: float) -> str:
    """How our price stands to the market's."""
    points = round(abs(ratio) * 100)
    return f"we ask {points} % {'more' if ratio > 0 else 'less'}" if points else "at market"
