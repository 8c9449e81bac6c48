"""Charts over time in the colours of the theme; Mantine's, so that they follow dark and light.

A chart is sent at most `POINTS_MAX` points a series.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
import polars as pl

from pages._theme import SERIES

POINTS_MAX = 400

_AXES: dict[str, Any] = {
    "withDots": False,
    "strokeWidth": 1.5,
    "curveType": "linear",
    "gridAxis": "x",
    "tickLine": "none",
    "withLegend": True,
    "legendProps": {"verticalAlign": "top", "height": 30},
    "tooltipAnimationDuration": 0,
    "xAxisProps": {"minTickGap": 56, "interval": "preserveStartEnd", "height": 22},
    "yAxisProps": {"width": 54, "tickCount": 5},
    "unit": "",
}


def step_seconds(span_seconds: float) -> int:
    """A round step that keeps a span within `POINTS_MAX` points, in seconds."""
    steps = (60, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
    return next((step for step in steps if span_seconds / step <= POINTS_MAX), steps[-1])


def colors_of(names: Sequence[str]) -> dict[str, str]:
    """The colour of each series, the same for a name on every page while the set is the same."""
    return {name: SERIES[i % len(SERIES)] for i, name in enumerate(sorted(names))}


def label_of(at: datetime, span_seconds: float) -> str:
    """An instant as an axis shows it."""
    return at.strftime("%H:%M" if span_seconds <= 36 * 3600 else "%-d %b %H:%M")


def wide(frame: pl.DataFrame, value: str, *, decimals: int = 2) -> pl.DataFrame:
    """Rows of (at, pool, value) as a column a pool, rounded for the wire."""
    rounded = frame.select("at", "pool", pl.col(value).cast(pl.Float64).round(decimals))
    return rounded.pivot(on="pool", index="at", values=value, aggregate_function="sum").sort("at")


def chart_rows(frame: pl.DataFrame, span_seconds: float) -> list[dict[str, Any]]:
    """A frame with an `at` column as rows whose `at` is the axis label."""
    return [{**row, "at": label_of(row["at"], span_seconds)} for row in frame.iter_rows(named=True)]


def area_chart(
    rows: list[dict[str, Any]],
    series: dict[str, str],
    *,
    format_js: str = "asCount",
    height_px: int = 220,
    kind: str = "default",
    **options: Any,
) -> dmc.AreaChart:
    """Areas over time; `kind` is `stacked` where the series add up."""
    return dmc.AreaChart(
        data=rows,
        dataKey="at",
        type=kind,
        h=height_px,
        series=_series(series),
        fillOpacity=0.14,
        withGradient=False,
        valueFormatter={"function": format_js},
        **(_AXES | options),
    )


def sparkline(values: Sequence[float | None], color: str = "harbour.5") -> dmc.Sparkline:
    """A small line without axes."""
    known = [value if value is not None else 0.0 for value in values]
    return dmc.Sparkline(
        data=known,
        color=color,
        w=96,
        h=24,
        strokeWidth=1.25,
        fillOpacity=0.18,
        curveType="linear",
        withGradient=False,
    )


def _series(colors: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "color": color} for name, color in colors.items()]
