"""Scores over time, a line a provider; a score holds until the next one is written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import html

from pages._benchmarks_cards import color_key
from pages._benchmarks_words import OVERALL, colors, label_of, provider_words
from pages._charts import POINTS_MAX
from pages._charts import label_of as instant_label
from pages._parts import empty
from warehouse.metric_catalogue import GROUPS

SPANS = {"30": timedelta(days=30), "7": timedelta(days=7), "90": timedelta(days=90)}
"""Days back, the first where none is asked for."""
NAMES = (OVERALL, *GROUPS)
CHART_PX = 260


def history_tools(name: str, span: str) -> list[Any]:
    """Which score, and over how long."""
    return [
        dmc.Select(
            id="benchmarks-name",
            value=name,
            data=[{"value": each, "label": label_of(each)} for each in NAMES],
            allowDeselect=False,
            w=170,
            **{"aria-label": "Score over time"},
        ),
        dmc.SegmentedControl(
            id="benchmarks-span",
            value=span,
            data=[{"value": each, "label": f"{each} d"} for each in sorted(SPANS, key=int)],
            **{"aria-label": "Days back"},
        ),
    ]


def history_box(found: pl.DataFrame, shown: Sequence[str], name: str, span: str) -> Any:
    """The chart of a score over time, or a word why there is none."""
    known = found.filter(pl.col("provider").is_in(list(shown)) & pl.col("score").is_not_null())
    if known.is_empty():
        said = "A score is kept whenever it moves by half a point, and once a day."
        return empty(f"{label_of(name)}: no score in these {span} days", html.Div(said))
    tints = {provider_words(each): color for each, color in colors(shown).items()}
    rounds = known["scored_at"].n_unique()
    kept = "1 round kept" if rounds == 1 else f"{rounds} rounds kept"
    note = f"{kept}. A line stays until the next round; a gap is a withheld score."
    return html.Div(
        [
            html.Div(note, className="sub"),
            color_key({each: tints[each] for each in map(provider_words, _seen(known, shown))}),
            _chart(found.filter(pl.col("provider").is_in(list(shown))), tints, span),
        ]
    )


def _seen(known: pl.DataFrame, shown: Sequence[str]) -> list[str]:
    there = set(known["provider"])
    return [each for each in shown if each in there]


def _chart(found: pl.DataFrame, tints: dict[str, str], span: str) -> dmc.LineChart:
    wide = (
        found.with_columns(pl.col("score").round(1))
        .pivot(on="provider", index="scored_at", values="score", aggregate_function="last")
        .sort("scored_at")
    )
    seconds = SPANS[span].total_seconds()
    rows = [
        {
            "at": instant_label(row.pop("scored_at"), seconds),
            **{provider_words(provider): score for provider, score in row.items()},
        }
        for row in thinned(wide).iter_rows(named=True)
    ]
    drawn = {provider_words(each) for each in found["provider"].unique()}
    return dmc.LineChart(
        data=rows,
        dataKey="at",
        h=CHART_PX,
        series=[{"name": n, "color": color} for n, color in tints.items() if n in drawn],
        curveType="stepAfter",
        withDots=len(rows) < 40,  # a single round is no line
        strokeWidth=1.75,
        gridAxis="x",
        tickLine="none",
        connectNulls=False,
        lineProps={"isAnimationActive": False},
        tooltipAnimationDuration=0,
        xAxisProps={"minTickGap": 56, "interval": "preserveStartEnd", "height": 22},
        yAxisProps={"width": 36, "tickCount": 5, "domain": ["auto", "auto"]},
        valueFormatter={"function": "asCount"},
    )


def thinned(wide: pl.DataFrame, points_max: int = POINTS_MAX) -> pl.DataFrame:
    """At most so many rounds, evenly picked; the newest is always among them."""
    if wide.height <= points_max:
        return wide
    step = -(-wide.height // points_max)
    return wide.reverse().gather_every(step).reverse()
