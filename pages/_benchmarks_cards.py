"""Score cards of every provider, and their groups beside each other as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import html

from pages._benchmarks_words import (
    OVERALL,
    colors,
    css_color,
    label_of,
    provider_words,
    score_words,
    why,
)
from pages._parts import Children
from pages._words import percent
from warehouse.metric_catalogue import GROUPS, US
from warehouse.score_weights import LEAST_KNOWN_RATIO

BAR_PX = 9
GROUP_GAP_PX = 26
AXIS_PX = 40


def cards_box(cards: pl.DataFrame) -> html.Div:
    """A card a provider, by rank; those without an overall score last."""
    overall = cards.filter(pl.col("name") == OVERALL).sort("rank", "provider", nulls_last=True)
    made = [
        _card(row, cards.filter(pl.col("provider") == row["provider"]))
        for row in overall.iter_rows(named=True)
    ]
    return html.Div(made, className="bench-cards")


def _card(overall: dict[str, Any], own: pl.DataFrame) -> html.Article:
    provider = overall["provider"]
    groups = {row["name"]: row for row in own.iter_rows(named=True)}
    head = html.Div([html.H3(provider_words(provider)), _rank(overall)], className="bench-head")
    bars = [_group(provider, name, groups.get(name)) for name in GROUPS]
    return html.Article(
        [head, _overall(provider, overall), html.Div(bars, className="bench-groups")],
        className="bench-card is-us" if provider == US else "bench-card",
        key=provider,
    )


def _rank(overall: dict[str, Any]) -> html.Span:
    said = f"rank {overall['rank']}" if overall["rank"] else "no rank"
    return html.Span(said, className="bench-rank")


def _overall(provider: str, overall: dict[str, Any]) -> html.Div:
    score, known = overall["score"], overall["known_ratio"]
    shown: list[Children] = (
        [html.Span("Withheld", className="bench-withheld")]
        if score is None
        else [html.Span(score_words(score, 1), className="bench-score"), html.Small(" of 100")]
    )
    need = f"; {percent(LEAST_KNOWN_RATIO)} must be" if score is None else ""
    note = html.Div(f"{percent(known)} of the weight is known{need}", className="sub")
    return html.Div([why(provider, OVERALL, shown), note, _track(known, "gray.5")])


def _group(provider: str, name: str, group: dict[str, Any] | None) -> html.A:
    score = group["score"] if group else None
    known = group["known_ratio"] if group else 0.0
    line = [
        html.Span(label_of(name), className="bench-group-name"),
        html.Span(score_words(score) if score is not None else "", className="bench-group-score"),
        html.Span(
            f"{percent(known)} known" if score is not None else "unknown",
            className="sub bench-group-known",
        ),
        _track(None if score is None else score / 100, "harbour.5"),
    ]
    return why(provider, name, line, "bench-group")


def _track(ratio: float | None, color: str) -> html.Span:
    """A thin bar; an empty one with a dashed edge is unknown."""
    if ratio is None:
        return html.Span(className="bench-track is-unknown")
    fill = {"width": f"{ratio * 100:.1f}%", "background": css_color(color)}
    return html.Span(html.Span(style=fill), className="bench-track")


# -- beside each other -----------------------------------------------------------------


def compare_chart(cards: pl.DataFrame, shown: Sequence[str]) -> html.Div:
    """Bars of each group's score, a colour a provider; where nothing is known there is no bar."""
    scores = {(row["name"], row["provider"]): row["score"] for row in cards.iter_rows(named=True)}
    rows = [
        {"group": label_of(name)}
        | {provider_words(each): _rounded(scores.get((name, each))) for each in shown}
        for name in (OVERALL, *GROUPS)
    ]
    tints = {provider_words(each): color for each, color in colors(shown).items()}
    height = len(rows) * (len(shown) * BAR_PX + GROUP_GAP_PX) + AXIS_PX
    chart = dmc.BarChart(
        data=rows,
        dataKey="group",
        orientation="vertical",
        h=height,
        series=[{"name": name, "color": color} for name, color in tints.items()],
        gridAxis="y",
        tickLine="none",
        maxBarWidth=BAR_PX,
        barProps={"isAnimationActive": False},
        valueFormatter={"function": "asCount"},
        xAxisProps={"domain": [0, 100], "ticks": [0, 25, 50, 75, 100], "height": 22},
        yAxisProps={"width": 92, "tick": {"fontSize": 12}},
        tooltipAnimationDuration=0,
    )
    note = html.Div("No bar: unknown, or an overall score that is withheld.", className="sub")
    return html.Div([color_key(tints), chart, note])


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 1)


def color_key(tints: dict[str, str]) -> html.Div:
    """Which colour is which, wrapping where a chart's own key would lie over it."""
    shown = [
        html.Span([html.I(style={"background": css_color(color)}), name], className="map-key")
        for name, color in tints.items()
    ]
    return html.Div(shown, className="bench-key")
