"""The Finance page in words: what hours are metered, what they brought, whether books agree."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from dash import html

from pages._finance_asked import Span
from pages._finance_parts import gpu_hours, hours_words, lead
from pages._nothing import nothing_yet
from pages._parts import figure_tile, panel
from pages._words import count, duration, percent, short_usd, usd

LATE = timedelta(hours=3)
"""An hour is metered minutes after it is over; so far behind, something stands still."""
POOLS_NAMED = 3


def nothing_metered(failure: str | None) -> html.Section:
    """Why there is no money to show, and when there will be."""
    then = (
        "The first hour is metered some minutes after it is over, as soon as the sources that read "
        "GPUs and nodes have read past its end."
    )
    said = f"The metering failed: {failure}" if failure else then
    return panel(None, nothing_yet("metered hours", said))


def standing_box(
    span: Span,
    sums: Mapping[str, Any],
    books: pl.DataFrame,
    metered_until: datetime,
    now: datetime,
    failure: str | None,
) -> html.Div:
    """Where the money stands, in sentences and figures."""
    if not sums["jobs"]:
        money: list[Any] = [html.B(f"{span.words}: "), "no job held a GPU. "]
    else:
        money = _money(span, sums)
    said = [
        f"Metered to {_until(metered_until, now)}. ",
        *money,
        *_agreement(books),
        _behind(metered_until, now, failure),
    ]
    return html.Div([html.Div(lead(*said)), _tiles(sums, books)], className="stack")


def _until(until: datetime, now: datetime) -> str:
    form = "%H:%M UTC" if until.date() == now.date() else "%-d %B %H:%M UTC"
    return until.strftime(form)


def _money(span: Span, sums: Mapping[str, Any]) -> list[Any]:
    used = sums["efficiency_ratio"]
    margin = sums["margin_ratio"]
    return [
        html.B(f"{span.words}: {count(sums['allocated_gpu_hours'])} GPU-hours"),
        f", {usd(sums['charge_usd'], 0)} billed, ",
        "margin not known" if margin is None else f"margin {percent(margin)}",
        ", what was used not measured. "
        if used is None
        else f", {percent(used)} of the hours used. ",
    ]


def _agreement(books: pl.DataFrame) -> list[Any]:
    if books.is_empty():
        return ["There are no books to hold them against: nobody reads the fleet's nodes. "]
    beyond = (
        books.group_by("pool")
        .agg(pl.col("hours_out_of_bound").sum())
        .filter(pl.col("hours_out_of_bound") > 0)
        .sort("hours_out_of_bound", "pool", descending=[True, False])
    )
    unread = float(books["unread_gpu_hours"].sum())
    gap = f" {gpu_hours(unread)} GPU-hours were seen by nobody." if unread > 0.005 else ""
    if beyond.is_empty():
        return [html.B("Books agree within the bound"), f".{gap} "]
    named = [
        f"{hours_words(row['hours_out_of_bound'])} of {row['pool']}"
        for row in beyond.head(POOLS_NAMED).iter_rows(named=True)
    ]
    rest = beyond.height - POOLS_NAMED
    more = f" and {rest} more pool{'' if rest == 1 else 's'}" if rest > 0 else ""
    where = f"Books agree within the bound but for {', '.join(named)}{more}"
    return [html.B(where, className="warn"), f".{gap} "]


def _behind(until: datetime, now: datetime, failure: str | None) -> Any:
    if failure:
        return html.B(f"The metering fails: {failure}", className="bad")
    behind = now - until
    if behind < LATE:
        return None
    said = (
        f"That is {duration(behind.total_seconds())} behind the fleet's clock: see on the Admin "
        "page whether the sources still read."
    )
    return html.B(said, className="warn")


def _tiles(sums: Mapping[str, Any], books: pl.DataFrame) -> html.Div:
    revenue, cost = (float(books[name].sum() or 0) for name in ("revenue_usd", "cost_usd"))
    has_costs = bool(books.height) and books["cost_usd"].null_count() < books.height
    whole = (revenue - cost) / revenue if has_costs and revenue > 0 else None
    uncosted = sums["uncosted_gpu_hours"] or 0.0
    note = f"{gpu_hours(uncosted)} GPU-hours lack a cost" if uncosted else "of the hours sold"
    beyond = int(books["hours_out_of_bound"].sum() or 0) if books.height else 0
    hours = int(books["hours"].sum() or 0) if books.height else 0
    return html.Div(
        [
            figure_tile("Allocated", gpu_hours(sums["allocated_gpu_hours"] or 0.0), "GPU-h",
                        f"{count(sums['jobs'])} jobs"),
            figure_tile("Used", percent(sums["efficiency_ratio"]), "",
                        f"{gpu_hours(sums['measured_gpu_hours'])} GPU-hours measured"),
            figure_tile("Billed", short_usd(sums["charge_usd"] or 0.0), "",
                        f"{short_usd(sums['list_cost_usd'] or 0.0)} at list"),
            figure_tile("Margin", percent(sums["margin_ratio"]), "", note),
            figure_tile("With idle GPUs", percent(whole), "",
                        f"the whole fleet cost {short_usd(cost)}" if has_costs else "no cost set"),
            figure_tile("Out of bound", count(beyond), "pool-hours", f"of {count(hours)}",
                        "warn" if beyond else ""),
        ],
        className="tiles",
    )  # fmt: skip
