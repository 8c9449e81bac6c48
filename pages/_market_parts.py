"""What the sections of the Market page share: names, prices, charts of steps, a price's place."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import html

from pages import _files
from pages._parts import Children, skeleton_rows
from pages._words import MISSING, THIN, usd, words

PROVIDERS = {
    "aws": "AWS", "gcp": "Google Cloud", "azure": "Azure", "oci": "Oracle Cloud",
    "runpod": "RunPod", "vast": "Vast.ai", "lambda": "Lambda", "nebius": "Nebius",
}  # fmt: skip
KINDS = {"on_demand": "On demand", "spot": "Spot", "spot_bid": "Lowest bid", "reserved": "Reserved"}
TIERS = {"secure": "Data centre", "community": "Anybody's host"}
OURS = "Ours"
OUR_COLOR = "harbour.5"
LINE_COLORS = (
    "blue.5",
    "amber.4",
    "grape.5",
    "orange.5",
    "violet.3",
    "pink.4",
    "lime.6",
    "indigo.4",
)
"""Colours of providers' lines; ours is the accent."""
BAND_COLOR, MEDIAN_COLOR = "gray.5", "gray.6"
CHART_PX = 280
UNMOVED_RATIO = 0.005
"""A price that moved by less is said to have stayed."""


def section(title: str, name: str, *, right: Children = None, rows: int = 4) -> html.Section:
    """A titled box of the page whose content `market-<name>` comes with the first answer."""
    head = html.Div(
        [html.H2(title), html.Div(right, className="panel-tools")], className="panel-head"
    )
    body = html.Div(skeleton_rows(rows), id=f"market-{name}")
    return html.Section([head, body], className="panel", id=f"market-{name}-box")


def lead(*said: Children) -> html.P:
    """The sentence above a picture that says what it shows and how old it is."""
    return html.P(list(said), className="market-lead")


def provider_words(provider: str) -> str:
    """A provider as people call it."""
    return PROVIDERS.get(provider, provider)


def kind_words(kind: str, months: float | None = None) -> str:
    """A kind of price, a commitment with its length."""
    told = KINDS.get(kind, words(kind))
    return told if not months else f"{told}, {months:g} months"


def download_menu(what: str, label: str) -> dmc.Menu:
    """A table of this page as CSV or Parquet; `what` is one of `_market_files.FILES`."""
    return _files.download_menu(label, type="market-download", what=what)


def moved(now: float | None, before: float | None) -> float | None:
    """By what ratio a price moved; None where one end is not known."""
    return None if now is None or not before else now / before - 1


def moved_words(ratio: float | None) -> str:
    """A move in words: `rose 3 %`, `fell 2 %`, `stayed`."""
    if ratio is None:
        return "has no price of yesterday"
    if abs(ratio) < UNMOVED_RATIO:
        return "stayed"
    return f"{'rose' if ratio > 0 else 'fell'} {abs(ratio) * 100:.0f}{THIN}%"


def against(ratio: float | None) -> str:
    """A price against another in words: `4 % above`."""
    if ratio is None:
        return MISSING
    if abs(ratio - 1) < UNMOVED_RATIO:
        return "at"
    return f"{abs(ratio - 1) * 100:.0f}{THIN}% {'above' if ratio > 1 else 'below'}"


def ordinal(number: int) -> str:
    """A place in a row: `1st`, `2nd`, `11th`."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }".replace(" ", "")


# -- pictures --------------------------------------------------------------------------


def price_bar(
    band: tuple[float, float],
    middle: float,
    ours: float | None,
    ends: tuple[float | None, float | None] = (None, None),
) -> html.Div:
    """The market's p10 to p90 a band, its median a tick, our price a dot, `ends` thin lines."""
    known = [value for value in (*band, middle, ours, *ends) if value is not None]
    low, high = min(known), max(known)
    margin = (high - low or 1.0) * 0.06

    def at(value: float) -> str:
        return f"{(value - low + margin) / (high - low + 2 * margin) * 100:.1f}%"

    width = (band[1] - band[0]) / (high - low + 2 * margin) * 100
    marks = [html.Span(className="interval-zero", style={"left": at(e)}) for e in ends if e]
    marks += [
        html.Span(
            className="interval-band",
            style={"left": at(band[0]), "width": f"{max(width, 0.8):.1f}%"},
        ),
        html.Span(className="interval-mid", style={"left": at(middle)}),
    ]
    if ours is not None:
        marks.append(html.Span(className="interval-dot is-kept", style={"left": at(ours)}))
    label = f"market {usd(band[0])} to {usd(band[1])}, median {usd(middle)}, ours {usd(ours)}"
    return html.Div(marks, className="interval", role="img", title=label, **{"aria-label": label})


def step_chart(
    rows: list[dict[str, Any]], lines: Mapping[str, str], bands: Mapping[str, str]
) -> html.Div:
    """Prices over time in USD per GPU-hour as steps over bands, with their key."""
    series = [
        {"name": name, "label": f"{name}: its width", "color": color, "type": "area"}
        for name, color in bands.items()
    ]
    series += [{"name": name, "color": color, "type": "line"} for name, color in lines.items()]
    chart = dmc.CompositeChart(
        data=rows,
        dataKey="at",
        h=CHART_PX,
        series=series,
        valueFormatter={"function": "asUsd"},
        areaProps={"fillOpacity": 0.18, "strokeOpacity": 0, "isAnimationActive": False},
        lineProps={"isAnimationActive": False},
        curveType="stepAfter",
        connectNulls=False,
        withDots=False,
        strokeWidth=1.75,
        gridAxis="x",
        tickLine="none",
        withLegend=False,
        tooltipAnimationDuration=0,
        xAxisProps={"minTickGap": 56, "interval": "preserveStartEnd", "height": 22},
        yAxisProps={"width": 54, "tickCount": 5, "domain": ["auto", "auto"]},
    )
    return html.Div([chart, _key(lines, bands)])


def _key(lines: Mapping[str, str], bands: Mapping[str, str]) -> html.Div:
    shown = [
        html.Span(
            [html.I(style={"background": _css(color), "opacity": opacity}), name],
            className="map-key",
        )
        for named, opacity in ((lines, 1.0), (bands, 0.3))
        for name, color in named.items()
    ]
    return html.Div(shown, className="market-key")


def _css(color: str) -> str:
    return f"var(--mantine-color-{color.replace('.', '-')})"


def held(frame: pl.DataFrame, at: pl.Series, seconds: int) -> pl.DataFrame:
    """A series on the instants of a picture: each value holds until the next, at most so long."""
    grid = pl.DataFrame({"at": at})
    if frame.is_empty():
        return grid
    same = frame.with_columns(pl.col("at").cast(at.dtype)).sort("at")
    return grid.join_asof(same, on="at", strategy="backward", tolerance=f"{seconds}s")


def axis_label(at: datetime, span_seconds: float) -> str:
    """An instant as an axis shows it; with its year where there may be two."""
    days = span_seconds / 86_400
    form = "%-d %b %H:%M" if days <= 8 else "%-d %b" if days <= 300 else "%-d %b %Y"
    return at.strftime(form)
