"""Is the judge honest: promises against what was realised, and the twin against the ledger."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import html

from pages._charts import chart_rows
from pages._engine_parts import lead, line_chart, titled
from pages._nothing import nothing_yet
from pages._parts import empty, figure_tile
from pages._words import age, count, percent, signed_usd, usd

EXPECTED, REALISED = "expected_gain_usd_per_hour", "realised_gain_usd_per_hour"
POINTS_MAX = 400


# -- promises --------------------------------------------------------------------------


def promises_box(kept: pl.DataFrame, now: datetime) -> Any:
    """Each measured decision as a dot, and how often its interval held."""
    if kept.is_empty():
        return empty(
            "Nothing is measured yet",
            html.Div("A gain is measured when a decision's horizon has passed."),
        )
    inside = float(kept["is_inside"].cast(pl.Float64).mean() or 0.0)  # type: ignore[arg-type]
    newest: Any = kept["measured_at"].max()
    claimed: Any = kept["interval_ratio"].median()
    said = lead(
        "Of the last ",
        count(kept.height),
        " decisions that were carried out as proposed, ",
        html.B(f"{percent(inside)} gained within the interval"),
        f" they promised, which claims {percent(claimed)}. Newest measured {age(newest, now)}.",
    )
    return html.Div(
        [
            said,
            html.H3("Promised across, realised upwards, USD an hour"),
            _scatter(kept),
            html.Div(_promise_tiles(kept), className="engine-figures engine-below"),
        ]
    )


def _promise_tiles(kept: pl.DataFrame) -> list[Any]:
    error = kept[REALISED] - kept[EXPECTED]
    signs: Any = ((kept[REALISED] > 0) == (kept[EXPECTED] > 0)).cast(pl.Float64).mean()
    mean: Any = error.mean()
    size: Any = error.abs().mean()
    return [
        figure_tile("Sign foretold", percent(signs), note="gain or loss"),
        figure_tile("Mean error", usd(size), "/h", "either way"),
        figure_tile("Bias", signed_usd(mean), "/h", "realised less promised"),
    ]


def _scatter(kept: pl.DataFrame) -> dmc.ScatterChart:
    ends = kept.select(
        low=pl.min_horizontal(pl.col(EXPECTED, REALISED).min()),
        high=pl.max_horizontal(pl.col(EXPECTED, REALISED).max()),
    ).row(0)
    low, high = min(0.0, ends[0]), max(0.0, ends[1])
    line = [{"x": low, "y": low}, {"x": high, "y": high}]
    data = [
        {"name": name, "color": color, "data": _dots(kept.filter(pl.col("is_inside") == inside))}
        for name, color, inside in (
            ("Inside its interval", "harbour.5", True),
            ("Outside", "amber.4", False),
        )
    ]
    return dmc.ScatterChart(
        data=data,
        dataKey={"x": "Promised", "y": "Realised"},
        labels={"x": "Promised", "y": "Realised"},
        h=390,
        gridAxis="xy",
        tickLine="none",
        withLegend=True,
        legendProps={"verticalAlign": "top", "height": 30},
        valueFormatter={"function": "asUsd"},
        tooltipAnimationDuration=0,
        yAxisProps={"width": 58, "tickCount": 5},
        xAxisProps={"tickCount": 6, "domain": ["auto", "auto"]},
        referenceLines=[
            {"y": 0, "color": "gray.5"},
            {"segment": line, "strokeDasharray": "4 4", "color": "gray.5", "ifOverflow": "hidden"},
        ],
    )


def _dots(rows: pl.DataFrame) -> list[dict[str, Any]]:
    return rows.select(
        Promised=pl.col(EXPECTED).round(2), Realised=pl.col(REALISED).round(2)
    ).to_dicts()


# -- the twin --------------------------------------------------------------------------


def twin_box(pool: str | None, checks: pl.DataFrame, threshold: float | None, now: datetime) -> Any:
    """The twin against reality in one pool, and its drift; `checks` are of all pools."""
    own = checks.filter(pl.col("pool") == pool) if pool else checks.clear()
    if own.is_empty():
        return nothing_yet(
            "checks of the twin",
            "The twin is held against the ledger once a day, under the commands that were given.",
        )
    last = own.row(-1, named=True)
    span: Any = (own["ends_at"].max() - own["ends_at"].min()).total_seconds()  # type: ignore[operator, union-attr]
    return html.Div(
        [
            lead(
                html.B(pool),
                " ",
                _badge(last["is_valid"]),
                f" {last['detail']} Checked {age(last['ends_at'], now)}.",
                _others(checks, pool),
            ),
            titled("Profit a span, USD", _profits(own, span)),
            titled(*_drift(own, threshold, span)),
        ]
    )


def _badge(is_valid: bool) -> dmc.Badge:
    said = "The twin may judge" if is_valid else "The twin may not judge"
    return dmc.Badge(said, color="harbour" if is_valid else "red", size="sm", className="state")


def _others(checks: pl.DataFrame, pool: str | None) -> Any:
    newest = checks.group_by("pool", maintain_order=True).last()
    bad = newest.filter(~pl.col("is_valid") & (pl.col("pool") != pool))["pool"].sort().to_list()
    return (
        html.Span(f" It may not judge in {', '.join(bad)} either.", className="bad")
        if bad
        else None
    )


def _thinned(rows: pl.DataFrame) -> pl.DataFrame:
    every = -(-rows.height // POINTS_MAX)
    return rows.reverse().gather_every(every).reverse() if every > 1 else rows


def _profits(own: pl.DataFrame, span_seconds: float) -> Any:
    shown = _thinned(own).select(
        at="ends_at",
        Twin=pl.col("twin_profit_usd").round(2),
        Ledger=pl.col("actual_profit_usd").round(2),
    )
    lines = {"Ledger": "gray.5", "Twin": "harbour.5"}
    return line_chart(chart_rows(shown, span_seconds), lines, format_js="asUsd")


def _drift(own: pl.DataFrame, threshold: float | None, span_seconds: float) -> tuple[str, Any]:
    shown = _thinned(own).select(at="ends_at", Drift=pl.col("drift").round(3))
    limit = [{"y": threshold, "color": "red.6", "label": "limit"}] if threshold is not None else []
    title = "Drift of the twin: CUSUM of its standardised error"
    if threshold is not None:
        title += f", may not pass {threshold:g}"
    chart = line_chart(
        chart_rows(shown, span_seconds),
        {"Drift": "blue.5"},
        format_js="asScore",
        references=limit,
        withLegend=False,
        yAxisProps={"width": 58, "tickCount": 5, "domain": [0, _ceiling(own, threshold)]},
    )
    return title, chart


def _ceiling(own: pl.DataFrame, threshold: float | None) -> float:
    most: Any = own["drift"].max()
    return round(max(float(most), threshold or 0.0) * 1.1 + 0.1, 1)
