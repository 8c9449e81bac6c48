"""An answer as a picture: what stands on its axes, what gets a colour, how many points it takes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import html

from pages._parts import empty
from pages._theme import SERIES
from warehouse.analyst_answers import Answer
from warehouse.analyst_tables import unit_of

KINDS = {"line": "Line", "bar": "Bars", "scatter": "Points"}
COLORS = (*SERIES, "pink.4", "lime.6")
POINTS_MOST = 400
BARS_MOST = 40
DOTS_MOST = 1_500
HEIGHT_PX = 360
NO_COLOR = ""


@dataclass(frozen=True)
class Axes:
    """What a picture shows."""

    kind: str
    x: str
    y: str
    color: str = NO_COLOR


def default_axes(schema: dict[str, pl.DataType], frame: pl.DataFrame) -> Axes | None:
    """The picture that suits an answer, or None where it holds no figure to draw."""
    instants = [name for name, kind in schema.items() if isinstance(kind, (pl.Datetime, pl.Date))]
    figures = [name for name, kind in schema.items() if kind.is_numeric()]
    words = [name for name, kind in schema.items() if _is_words(kind)]
    if not figures:
        return None
    spread = [name for name in instants if frame[name].n_unique() > 1]
    x = next(iter([*spread, *words, *instants, *figures]))
    y = next((name for name in figures if name != x), figures[0])
    few = (name for name in words if name != x and 2 <= frame[name].n_unique() <= len(COLORS))
    if x in instants:
        return Axes("line", x, y, next(few, NO_COLOR))
    return Axes("bar", x, y) if x in words else Axes("scatter", x, y, next(few, NO_COLOR))


def _is_words(kind: pl.DataType) -> bool:
    return kind in (pl.String, pl.Boolean)


def plot_controls(answer: Answer) -> html.Div:
    """What can be chosen; filled in with what suits the answer by the first callback."""
    names = list(answer.schema)
    figures = [name for name, kind in answer.schema.items() if kind.is_numeric()]
    words = [name for name, kind in answer.schema.items() if _is_words(kind)]
    return html.Div(
        [
            dmc.SegmentedControl(
                id="sql-kind",
                data=[{"value": key, "label": label} for key, label in KINDS.items()],
                value="line",
                **{"aria-label": "Kind of plot"},
            ),
            _pick("sql-x", "Across", names, clearable=False),
            _pick("sql-y", "Up", figures, clearable=False),
            _pick("sql-colour", "Colour", words, clearable=True),
        ],
        className="filters sql-axes",
    )


def _pick(name: str, label: str, data: list[str], *, clearable: bool) -> dmc.Select:
    return dmc.Select(
        id=name,
        label=label,
        data=data,
        w=190,
        searchable=len(data) > 8,
        allowDeselect=clearable,
        clearable=clearable,
        placeholder="None" if clearable else "",
    )


def plot_of(frame: pl.DataFrame, axes: Axes) -> Any:
    """The picture, or why there is none."""
    if axes.x not in frame.columns or axes.y not in frame.columns:
        return empty("Choose what stands across and up")
    if not frame.schema[axes.y].is_numeric():
        return empty(f"{axes.y} holds no figures", icon_name="trending-up")
    color = axes.color if axes.color in frame.columns and axes.color != axes.x else NO_COLOR
    known = frame.filter(pl.col(axes.x).is_not_null() & pl.col(axes.y).is_not_null())
    if known.is_empty():
        return empty("Nothing to draw: no row has both values")
    notes: list[str] = []
    known = _few_colors(known, color, notes)
    if axes.kind == "scatter" and frame.schema[axes.x].is_numeric():
        chart = _scatter(known, axes, color, notes)
    else:
        chart = _over_x(known, axes, color, notes)
    said = [f"{axes.y}{_in_unit(axes.y)} by {axes.x}{_in_unit(axes.x)}", *notes]
    return html.Div([html.P(". ".join(said) + ".", className="sub"), chart])


def _in_unit(column: str) -> str:
    unit = unit_of(column)
    return f" ({unit})" if unit else ""


def _few_colors(frame: pl.DataFrame, color: str, notes: list[str]) -> pl.DataFrame:
    if not color:
        return frame
    frame = frame.with_columns(pl.col(color).cast(pl.String).fill_null("none"))
    largest = frame[color].value_counts(sort=True)[color].to_list()
    if len(largest) > len(COLORS):
        notes.append(f"Only the {len(COLORS)} of {len(largest)} {color} with most rows are drawn")
    return frame.filter(pl.col(color).is_in(largest[: len(COLORS)]))


def _over_x(frame: pl.DataFrame, axes: Axes, color: str, notes: list[str]) -> Any:
    """A line or bars; where several rows share a place, their mean."""
    keys = [axes.x, *([color] if color else [])]
    means = frame.group_by(keys, maintain_order=True).agg(
        pl.col(axes.y).cast(pl.Float64).mean().alias("_y")
    )
    if means.height < frame.height:
        notes.append("Where several rows share a place their mean is drawn")
    is_ordered = axes.kind == "line" and not _is_words(frame.schema[axes.x])
    places = means[axes.x].unique(maintain_order=True)
    places = places.sort() if is_ordered else places
    kept = _thinned(places, axes.kind, notes)
    names = sorted(means[color].unique()) if color else [axes.y]
    table: dict[Any, dict[str, Any]] = {place: {"at": _label(place)} for place in kept}
    for row in means.iter_rows(named=True):
        if row[axes.x] in table:
            table[row[axes.x]][row[color] if color else axes.y] = _round(row["_y"])
    return _drawn(list(table.values()), [str(name) for name in names], axes.kind, bool(color))


def _thinned(places: pl.Series, kind: str, notes: list[str]) -> list[Any]:
    if kind == "bar":
        if len(places) > BARS_MOST:
            notes.append(f"The first {BARS_MOST} of {len(places):,} bars are drawn")
        return places.head(BARS_MOST).to_list()
    step = -(-len(places) // POINTS_MOST)
    if step > 1:
        notes.append(f"One in {step} of {len(places):,} places is drawn")
    return places.gather_every(step).to_list()


def _drawn(rows: list[dict[str, Any]], names: list[str], kind: str, has_legend: bool) -> Any:
    given: dict[str, Any] = {
        "data": rows,
        "dataKey": "at",
        "h": HEIGHT_PX,
        "series": [
            {"name": name, "color": COLORS[i % len(COLORS)]} for i, name in enumerate(names)
        ],
        "gridAxis": "xy",
        "tickLine": "none",
        "withLegend": has_legend,
        "legendProps": {"verticalAlign": "bottom"},
        "valueFormatter": {"function": "asFigure"},
        "tooltipAnimationDuration": 0,
        "xAxisProps": {"minTickGap": 40, "interval": "preserveStartEnd", "height": 26},
        "yAxisProps": {"width": 62, "tickCount": 6},
    }
    if kind == "bar":
        return dmc.BarChart(**given, barProps={"isAnimationActive": False})
    return dmc.LineChart(
        **given,
        withDots=len(rows) < 2,
        strokeWidth=1.75,
        curveType="linear",
        connectNulls=True,
        lineProps={"isAnimationActive": False},
    )


def _scatter(frame: pl.DataFrame, axes: Axes, color: str, notes: list[str]) -> Any:
    step = -(-frame.height // DOTS_MOST)
    if step > 1:
        notes.append(f"One in {step} of {frame.height:,} rows is drawn")
    shown = frame.gather_every(step)
    groups = shown.partition_by(color, as_dict=True) if color else {(axes.y,): shown}
    data = [
        {
            "name": str(name[0]),
            "color": COLORS[i % len(COLORS)],
            "data": [
                {"x": _round(x), "y": _round(y)} for x, y in part.select(axes.x, axes.y).iter_rows()
            ],
        }
        for i, (name, part) in enumerate(sorted(groups.items()))
    ]
    return dmc.ScatterChart(
        h=HEIGHT_PX,
        data=data,
        dataKey={"x": "x", "y": "y"},
        labels={"x": axes.x, "y": axes.y},
        xAxisLabel=axes.x,
        gridAxis="xy",
        tickLine="none",
        withLegend=bool(color),
        valueFormatter={"function": "asFigure"},
        yAxisProps={"width": 62, "domain": ["auto", "auto"]},
        xAxisProps={"domain": ["auto", "auto"]},
        scatterProps={"isAnimationActive": False},
    )


def _label(place: Any) -> str:
    if isinstance(place, datetime):
        return place.strftime("%-d %b %H:%M")
    return place.isoformat() if isinstance(place, date) else str(place)


def _round(value: float) -> float:
    return float(f"{value:.6g}")
