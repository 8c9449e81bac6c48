"""Benchmarks: every provider's scores from 0 to 100, why, over time, and by which weights."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import Input, Output, State, dcc, html, no_update, register_page

from pages._address import chosen, keep_in_address, listed
from pages._benchmarks_asked import cards, metrics
from pages._benchmarks_cards import cards_box, compare_chart
from pages._benchmarks_empty import no_scores, only_documents
from pages._benchmarks_history import NAMES, SPANS, history_box, history_tools
from pages._benchmarks_saving import register
from pages._benchmarks_standing import standing_box
from pages._benchmarks_table import metric_grid, sensitivity_box
from pages._benchmarks_weights import weights_box, weights_foot
from pages._benchmarks_why import no_such_score, why_metric, why_score, why_title
from pages._benchmarks_words import asked_score, order_of, provider_words, shown_of
from pages._callbacks import answers
from pages._context import context, may
from pages._drawers import opens_by
from pages._parts import Children, icon, page, page_head, panel, skeleton_rows
from pages._words import age, exact_instant
from warehouse import benchmarks, market, score_weights
from warehouse.metric_catalogue import GROUPS
from warehouse.offers import IMPORTED

SLOW_MILLISECONDS = 30_000


def layout(
    group: str | None = None,
    providers: str | None = None,
    name: str | None = None,
    span: str | None = None,
    score: str | None = None,
    **_: str,
) -> html.Div:
    """The page before its rows are in."""
    everybody = order_of(cards())
    picked = listed(providers, everybody)
    return page(
        dcc.Download(id="benchmarks-file"),
        dcc.Interval(id="benchmarks-slow", interval=SLOW_MILLISECONDS),
        dcc.Store(id="benchmarks-round", data=_round()),
        dcc.Input(id="benchmarks-score", type="hidden", value=score or ""),
        page_head(
            "Benchmarks",
            _providers_select(everybody, picked),
            note=html.Span(_age_words(cards()), id="benchmarks-age"),
        ),
        html.Div(id="benchmarks-notice"),
        _section("Where we stand", "standing", rows=5),
        _section("Score cards", "cards", right=_downloads("scores"), rows=6),
        _section("Groups beside each other", "compare", rows=8),
        _section(
            "Metrics", "metrics", right=[_group_select(group), _downloads("metrics")], rows=12
        ),
        _section(
            "Scores over time",
            "history",
            right=[
                *history_tools(chosen(name, NAMES), chosen(span, list(SPANS))),
                _downloads("history"),
            ],
        ),
        _section("What other weights would do", "sensitivity", right=_downloads("sensitivity")),
        _weights_panel(),
        _drawer(),
        name="benchmarks",
    )


def _section(title: str, name: str, *, right: Children = None, rows: int = 4) -> html.Section:
    return panel(title, html.Div(skeleton_rows(rows), id=f"benchmarks-{name}"), right=right)


def _providers_select(everybody: list[str], picked: list[str]) -> dmc.MultiSelect:
    return dmc.MultiSelect(
        id="benchmarks-providers",
        value=picked,
        data=[{"value": each, "label": provider_words(each)} for each in everybody],
        placeholder="" if picked else "Providers shown",
        maxValues=8,
        clearable=True,
        className="bench-pick",
        size="xs",
        **{"aria-label": "Providers shown"},
    )


def _group_select(group: str | None) -> dmc.Select:
    return dmc.Select(
        id="benchmarks-group",
        value=group if group in GROUPS else None,
        data=[{"value": name, "label": label} for name, label in GROUPS.items()],
        placeholder="All groups",
        clearable=True,
        w=170,
        **{"aria-label": "Group of metrics"},
    )


def _downloads(table: str) -> html.Div:
    buttons = [
        dmc.Button(
            label,
            id={"type": "benchmarks-download", "table": table, "file": kind},
            variant="default",
            leftSection=icon("download", 14),
            **{"aria-label": f"Download {table} as {label}"},
        )
        for kind, label in (("csv", "CSV"), ("parquet", "Parquet"))
    ]
    return html.Div(buttons, className="row")


def _weights_panel() -> html.Section:
    may_set = may("operator")
    in_use = score_weights.weights(context().store)
    shown = weights_box(in_use, context().now(), may_set=may_set)
    note = (
        None if may_set else html.Div("Setting weights takes the role operator.", className="sub")
    )
    parts = [html.Div(shown, id="benchmarks-weights"), note]
    if may_set:
        parts += [html.Div(id="benchmarks-preview", className="bench-preview"), weights_foot()]
    return panel("Weights", html.Div(parts, className="stack"), right=_downloads("weights"))


def _drawer() -> dmc.Drawer:
    return dmc.Drawer(
        html.Div(id="benchmarks-why"),
        id="benchmarks-drawer",
        opened=False,
        position="right",
        size="min(620px, 100vw)",
        title=html.Div(id="benchmarks-why-title"),
        overlayProps={"backgroundOpacity": 0.2},
        closeButtonProps={"aria-label": "Close"},
    )


# -- which round is shown --------------------------------------------------------------


def _scored_at(cards: pl.DataFrame) -> datetime | None:
    newest: Any = cards["scored_at"].max()
    return newest if isinstance(newest, datetime) else None


def _round() -> str:
    """Changes when there is something new to show."""
    set_at = score_weights.weights(context().store).set_at
    return f"{_scored_at(cards())} {set_at}"


@answers(
    Output("benchmarks-round", "data"),
    Output("benchmarks-age", "children"),
    Input("benchmarks-slow", "n_intervals"),
    State("benchmarks-round", "data"),
    # At first its `no_update` would keep from being called what hears of nothing but the round.
    prevent_initial_call=True,
)
def look_again(n_intervals: int | None, seen: str | None) -> tuple[Any, str]:
    """How old the scores are; the page is drawn anew only where a new round came."""
    mark = _round()
    return (no_update if mark == seen else mark), _age_words(cards())


def _age_words(cards: pl.DataFrame) -> str:
    scored_at = _scored_at(cards)
    if scored_at is None:
        return "No scores yet"
    return f"Scored {age(scored_at, context().wall.now())}, {exact_instant(scored_at)}"


# -- what is shown ---------------------------------------------------------------------


@answers(
    Output("benchmarks-notice", "children"),
    Output("benchmarks-standing", "children"),
    Output("benchmarks-cards", "children"),
    Input("benchmarks-round", "data"),
)
def show_standing(mark: str | None) -> tuple[Any, ...]:
    """Where we stand in words, and everybody's card."""
    store, found = context().store, cards()
    if found.is_empty():
        return None, no_scores(), html.Div("They come with the first round.", className="sub")
    read = market.sources(store, context().wall.now()).filter(
        ~pl.col("source").str.starts_with(IMPORTED)
    )
    told = None if read.height else only_documents()
    in_use = score_weights.weights(store)
    return told, standing_box(found, metrics(), in_use), cards_box(found)


@answers(
    Output("benchmarks-compare", "children"),
    Output("benchmarks-metrics", "children"),
    Output("benchmarks-sensitivity", "children"),
    Input("benchmarks-round", "data"),
    Input("benchmarks-providers", "value"),
    Input("benchmarks-group", "value"),
)
def show_tables(
    mark: str | None, providers: list[str] | None, group: str | None
) -> tuple[Any, ...]:
    """The groups beside each other, the metrics, and what other weights would do."""
    found = cards()
    if found.is_empty():
        return (html.Div("They come with the first round.", className="sub"),) * 3
    shown, in_use = shown_of(providers, order_of(found)), score_weights.weights(context().store)
    return (
        compare_chart(found, shown),
        metric_grid(metrics(), shown, group, in_use),
        sensitivity_box(benchmarks.sensitivity_of(found, in_use), shown),
    )


@answers(
    Output("benchmarks-history", "children"),
    Input("benchmarks-round", "data"),
    Input("benchmarks-providers", "value"),
    Input("benchmarks-name", "value"),
    Input("benchmarks-span", "value"),
)
def show_history(
    mark: str | None, providers: list[str] | None, name: str | None, span: str | None
) -> Any:
    """A score over time."""
    what, days = chosen(name, NAMES), chosen(span, list(SPANS))
    shown = shown_of(providers, order_of(cards()))
    until = context().wall.now()
    found = benchmarks.score_history(
        context().store, since=until - SPANS[days], until=until, names=[what]
    )
    return history_box(found, shown, what, days)


opens_by("benchmarks", "benchmarks-score")


@answers(
    Output("benchmarks-why", "children"),
    Output("benchmarks-why-title", "children"),
    Input("benchmarks-score", "value"),
    State("benchmarks-round", "data"),
)
def show_why(picked: str | None, mark: str | None) -> tuple[Any, Any]:
    """How the picked score came about, down to its rows."""
    asked = asked_score(picked)
    if asked is None:
        return no_update, no_update
    (provider, name), store, wall_now = asked, context().store, context().wall.now()
    found = benchmarks.explanation(store, provider, name, wall_now)
    rows = metrics().filter(provider=provider, metric=name)
    parts: list[Any] = [why_score(found, wall_now)] if found else []
    if rows.height:
        prices = benchmarks.model_prices(store, wall_now).filter(provider=provider)
        parts.append(why_metric(rows.row(0, named=True), prices, wall_now))
    shown = html.Div(parts, className="stack") if parts else no_such_score(provider, name)
    return shown, why_title(provider, name)


register()
keep_in_address(
    "benchmarks-group",
    "benchmarks-providers",
    "benchmarks-name",
    "benchmarks-span",
    "benchmarks-score",
)
register_page(
    __name__,
    path="/benchmarks",
    name="Benchmarks",
    title="Benchmarks · Pilothouse",
    layout=layout,
    order=3.7,
    icon="gauge",
)
