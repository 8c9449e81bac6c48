"""What decisions promised and what they kept."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import html

from pages._parts import empty, figure_tile
from pages._words import count, percent, short_usd
from warehouse.decisions import Scoreboard


def score_tiles(score: Scoreboard) -> list[Any]:
    """The sums over all measured decisions, and what was missed."""
    measured = score.measured_count
    kept = score.covered_count / measured if measured else None
    missed = (
        f"shadow {short_usd(score.shadow_usd)} · lapsed {short_usd(score.lapsed_usd)} · "
        f"rejected {short_usd(score.rejected_usd)}"
    )
    expected = score.expected_usd if measured else None
    realised = score.realised_usd if measured else None
    tone = "" if not realised else ("good" if realised > 0 else "bad")
    harm = f"{count(score.harmful_count)} judged harmful" if measured else "nothing measured yet"
    return [
        figure_tile(
            "Expected", short_usd(expected), note=f"of {count(measured)} measured decisions"
        ),
        figure_tile("Realised", short_usd(realised), note=_against(realised, expected), tone=tone),
        figure_tile("Within the interval", percent(kept), note=harm),
        figure_tile("Not acted on", short_usd(score.missed_usd), "expected", missed),
    ]


def _against(realised: float | None, expected: float | None) -> str:
    if realised is None or not expected:
        return "against what would have happened without"
    return f"{percent(realised / expected)} of what was expected"


def scatter(measured: pl.DataFrame) -> Any:
    """Each measured decision as a dot, and the line on which promises are kept."""
    points = measured.select(
        pl.col("expected_gain_usd_per_hour").round(2).alias("Expected"),
        pl.col("realised_gain_usd_per_hour").round(2).alias("Realised"),
    ).drop_nulls()
    if points.is_empty():
        return empty(
            "Nothing is measured yet",
            html.Div("A gain is measured when the decision's horizon has passed."),
        )
    most = _most(points)
    least = _least(points)
    return dmc.ScatterChart(
        data=[{"name": "Decisions", "color": "harbour.5", "data": points.to_dicts()}],
        dataKey={"x": "Expected", "y": "Realised"},
        h=230,
        xAxisLabel="Expected",
        yAxisLabel="Realised",
        gridAxis="xy",
        tickLine="none",
        labels={"x": "Expected", "y": "Realised"},
        valueFormatter={"function": "asUsd"},
        yAxisProps={"width": 64, "tickCount": 5},
        xAxisProps={"tickCount": 7, "domain": [_round_down(least), "auto"]},
        referenceLines=[
            {"y": 0, "color": "gray.5"},
            {
                "segment": [{"x": least, "y": least}, {"x": most, "y": most}],
                "ifOverflow": "hidden",
                "strokeDasharray": "4 4",
                "color": "amber.4",
            },
        ],
    )


def _most(points: pl.DataFrame) -> float:
    return float(points.select(pl.max_horizontal(pl.all().max())).item())


def _least(points: pl.DataFrame) -> float:
    return min(0.0, float(points.select(pl.min_horizontal(pl.all().min())).item()))


def _round_down(value: float) -> float:
    return float(value // 50 * 50)
