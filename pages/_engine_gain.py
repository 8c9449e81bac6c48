"""Does it earn more: the gain over the rule on what really came, summed up over time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
from dash import html

from pages._charts import chart_rows
from pages._engine_parts import ROLE_COLORS, band_chart, lead
from pages._nothing import nothing_yet
from pages._parts import figure_tile, table
from pages._words import age, count, duration, instant, percent, signed_usd, usd
from warehouse import shadow

POINTS_MAX = 400
BAND = ", 80 % sure"
UNTIL_THEN = (
    "The first score comes after a full day: the twin then plays champion, challenger and rule on "
    "what really came."
)


def gain_box(scores: pl.DataFrame, now: datetime) -> Any:
    """What champion and challenger would have earned beyond the rule."""
    summed = shadow.cumulative_gains(scores)
    if summed.is_empty():
        return nothing_yet("scores", UNTIL_THEN)
    totals = {row["role"]: row for row in summed.group_by("role").last().iter_rows(named=True)}
    span = (scores["ends_at"].max() - scores["starts_at"].min()).total_seconds()  # type: ignore[operator, union-attr]
    return html.Div(
        [
            _said(totals, span, now),
            html.Div(
                [_chart(summed, span), html.Div(_tiles(totals), className="engine-figures")],
                className="engine-side",
            ),
            _by_pool(shadow.gains_by_pool(scores), now),
        ]
    )


def _said(totals: dict[str, dict[str, Any]], span_seconds: float, now: datetime) -> html.P:
    role = "champion" if "champion" in totals else next(iter(totals))
    total = totals[role]
    more = "more" if total["gain_usd"] >= 0 else "less"
    return lead(
        f"On what really came, the twin says the {role} earned ",
        html.B(f"{usd(abs(total['gain_usd']), 0)} ({percent(abs(_ratio(total)), 1)}) {more}"),
        f" than the rule would have in {duration(span_seconds)}; 80 % sure of "
        f"{signed_usd(total['low_usd'], 0)} to {signed_usd(total['high_usd'], 0)}. Newest score "
        f"to {instant(total['at'])}, {age(total['at'], now)}.",
    )


def _ratio(total: dict[str, Any]) -> float:
    profit = total["rule_profit_usd"]
    return total["gain_usd"] / abs(profit) if profit else 0.0


def _chart(summed: pl.DataFrame, span_seconds: float) -> Any:
    ends = sorted(summed["at"].unique().to_list())
    every = -(-len(ends) // POINTS_MAX)
    kept = set(ends[:: -every or 1])
    rows: dict[datetime, dict[str, Any]] = {}
    for row in summed.sort("at").iter_rows(named=True):
        if row["at"] in kept:
            name = row["role"].capitalize()
            point = rows.setdefault(row["at"], {"at": row["at"]})
            point[name] = round(row["gain_usd"], 2)
            point[name + BAND] = [round(row["low_usd"], 2), round(row["high_usd"], 2)]
    roles = [role for role in ROLE_COLORS if role in set(summed["role"])]
    lines = {role.capitalize(): ROLE_COLORS[role] for role in roles}
    bands = {name + BAND: color for name, color in lines.items()}
    frame = pl.DataFrame(list(rows.values()), infer_schema_length=None)
    shown = chart_rows(frame, span_seconds)
    return html.Div(
        [
            html.H3("Summed gain over the rule, USD"),
            band_chart(shown, lines, bands, format_js="asUsd", zero=True, height_px=300),
        ]
    )


def _tiles(totals: dict[str, dict[str, Any]]) -> list[Any]:
    return [
        tile
        for role in ("champion", "challenger")
        if (total := totals.get(role)) is not None
        for tile in (
            figure_tile(
                f"{role.capitalize()}, gain",
                signed_usd(total["gain_usd"], 0),
                note=f"{signed_usd(total['low_usd'], 0)} to {signed_usd(total['high_usd'], 0)}",
                tone="good" if total["low_usd"] > 0 else "bad" if total["high_usd"] < 0 else "",
            ),
            figure_tile(
                f"{role.capitalize()}, of profit",
                f"{'+' if total['gain_usd'] >= 0 else '−'}{percent(abs(_ratio(total)), 1)}",
                note=f"the rule: {usd(total['rule_profit_usd'], 0)}",
            ),
        )
    ]


HEAD = ("Pool", "Champion's gain", "Of profit", "Late jobs", "The rule's", "In use", "Scored")


def _by_pool(pools: pl.DataFrame, now: datetime) -> Any:
    if pools.is_empty():
        return None
    rows = [
        [
            html.B(row["pool"], className="nowrap"),
            html.Span(signed_usd(row["gain_usd"], 0), className=_tone(row["gain_usd"])),
            percent(_ratio(row), 1),
            percent(row["late_ratio"], 1),
            percent(row["rule_late_ratio"], 1),
            percent(row["utilisation_ratio"]),
            html.Span(
                f"{count(row['span_count'])} spans, {age(row['newest_at'], now)}",
                className="sub nowrap",
            ),
        ]
        for row in pools.iter_rows(named=True)
    ]
    return html.Div(table(HEAD, rows, "Champion's gain by pool"), className="engine-below")


def _tone(gain: float) -> str:
    return "nowrap good" if gain > 0 else "nowrap bad" if gain < 0 else "nowrap"
