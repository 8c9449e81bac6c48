"""What the sections of the Engine page share: leads, charts with bands, who is who."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import html

from pages._context import context
from pages._parts import Children, skeleton_rows
from pages._words import ABBREVIATIONS
from warehouse import fleet
from warehouse.policies import RULE

ROLE_COLORS = {"champion": "harbour.5", "challenger": "blue.5", "rule": "amber.4"}
"""The colour of each role, the same in every picture of the page."""

CHART_PX = 240
HALVES = "columns columns-2"
"""The class of two boxes side by side where there is room."""

_AXES: dict[str, Any] = {
    "withDots": False,
    "strokeWidth": 1.75,
    "curveType": "linear",
    "gridAxis": "x",
    "tickLine": "none",
    "withLegend": True,
    "legendProps": {"verticalAlign": "top", "height": 30},
    "tooltipAnimationDuration": 0,
    "xAxisProps": {"minTickGap": 56, "interval": "preserveStartEnd", "height": 22},
    "yAxisProps": {"width": 58, "tickCount": 5, "domain": ["auto", "auto"]},
}


def section(title: str, name: str, *, right: Children = None, rows: int = 4) -> html.Section:
    """A titled box of the page whose content `engine-<name>` comes with the first answer."""
    head = html.Div(
        [html.H2(title), html.Div(right, className="panel-tools")], className="panel-head"
    )
    body = html.Div(skeleton_rows(rows), id=f"engine-{name}")
    return html.Section([head, body], className="panel")


def lead(*said: Children) -> html.P:
    """The one sentence above a picture that says what it shows and how old it is."""
    return html.P(list(said), className="engine-lead")


def pool_names() -> list[str]:
    """Every pool by name."""
    return [each.pool for each in fleet.pools(context().store)]


def pool_of(chosen: str | None) -> str | None:
    """The pool that was chosen, else the first; None where there is none yet."""
    return chosen or next(iter(pool_names()), None)


def pool_select(pool: str | None) -> dmc.Select:
    """Which pool the page is about."""
    names = pool_names()
    return dmc.Select(
        id="engine-pool",
        value=pool if pool in names else next(iter(names), None),
        data=names,
        allowDeselect=False,
        placeholder="No pool yet",
        w=190,
        **{"aria-label": "Pool"},
    )


def policy_words(policy_id: str) -> str:
    """A policy's name as people say it."""
    return "The rule" if policy_id == RULE else policy_id


def band_chart(
    rows: list[dict[str, Any]],
    lines: Mapping[str, str],
    bands: Mapping[str, str],
    *,
    format_js: str,
    zero: bool = False,
    height_px: int = CHART_PX,
) -> html.Div:
    """Lines over bands over time with their key; a band's value in a row is a pair of ends."""
    # Of a pair the chart's tooltip shows the difference, so there it is called what it is.
    series = [
        {"name": name, "label": f"{name}: its width", "color": color, "type": "area"}
        for name, color in bands.items()
    ]
    series += [{"name": name, "color": color, "type": "line"} for name, color in lines.items()]
    chart = dmc.CompositeChart(
        data=rows,
        dataKey="at",
        h=height_px,
        series=series,
        valueFormatter={"function": format_js},
        areaProps={"fillOpacity": 0.16, "strokeOpacity": 0, "isAnimationActive": False},
        lineProps={"isAnimationActive": False},
        connectNulls=False,
        referenceLines=[{"y": 0, "color": "gray.5"}] if zero else None,
        **(_AXES | {"withLegend": False}),
    )
    return html.Div([_key(lines, bands), chart])


def _key(lines: Mapping[str, str], bands: Mapping[str, str]) -> html.Div:
    """Which colour is which; the chart's own key would lie over it on a narrow screen."""
    shown = [
        html.Span([html.I(style={"background": _css(color), "opacity": opacity}), name])
        for named, opacity in ((lines, 1.0), (bands, 0.3))
        for name, color in named.items()
    ]
    for each in shown:
        each.className = "map-key"
    return html.Div(shown, className="engine-key")


def _css(color: str) -> str:
    """A colour of the theme, `harbour.5`, for a style."""
    return f"var(--mantine-color-{color.replace('.', '-')})"


def line_chart(
    rows: list[dict[str, Any]],
    lines: Mapping[str, str],
    *,
    format_js: str,
    references: Sequence[Mapping[str, Any]] = (),
    key: str = "at",
    **options: Any,
) -> dmc.LineChart:
    """Lines over time, or over whatever `key` names."""
    return dmc.LineChart(
        data=rows,
        dataKey=key,
        h=CHART_PX,
        series=[{"name": name, "color": color} for name, color in lines.items()],
        valueFormatter={"function": format_js},
        referenceLines=list(references),
        **(_AXES | options),
    )


def titled(title: str, chart: Children) -> html.Div:
    """A chart under its own small title, which names the unit."""
    return html.Div([html.H3(title), chart], className="engine-titled")


def word(name: str) -> str:
    """A name of the code in the middle of a sentence."""
    return " ".join(ABBREVIATIONS.get(part, part) for part in name.split("_"))
