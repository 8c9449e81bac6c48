"""What a person can do on the Benchmarks page: try weights, set them, and take tables home."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
from dash import ALL, Input, Output, State, ctx, no_update

from pages._benchmarks_asked import cards, metrics
from pages._benchmarks_history import NAMES, SPANS
from pages._benchmarks_weights import (
    KIND,
    as_weights,
    default_values,
    preview_box,
    weights_box,
    weights_frame,
    weights_given,
)
from pages._callbacks import NOTICES, answers, notice
from pages._context import context, needed
from pages._files import file_of, said_of_download
from warehouse import benchmarks, score_weights

FIELDS = {"type": KIND, "of": ALL, "name": ALL}


def register() -> None:
    """Register the callbacks with the app that is being made."""
    answers(
        Output("benchmarks-preview", "children"),
        Input(FIELDS, "value"),
        Input("benchmarks-round", "data"),
        State(FIELDS, "id"),
        State("benchmarks-drawn", "data"),
    )(preview)
    answers(
        Output(FIELDS, "value"),
        Input("benchmarks-defaults", "n_clicks"),
        State(FIELDS, "id"),
        prevent_initial_call=True,
    )(fill_in_defaults)
    answers(
        Output(NOTICES, "sendNotifications", allow_duplicate=True),
        Output("benchmarks-weights", "children"),
        Output("benchmarks-reason", "value"),
        Input("benchmarks-save", "n_clicks"),
        State(FIELDS, "value"),
        State(FIELDS, "id"),
        State("benchmarks-drawn", "data"),
        State("benchmarks-reason", "value"),
        running=[(Output("benchmarks-save", "loading"), True, False)],
        prevent_initial_call=True,
    )(save)
    answers(
        Output("benchmarks-file", "data"),
        Output(NOTICES, "sendNotifications", allow_duplicate=True),
        Input({"type": "benchmarks-download", "table": ALL, "file": ALL}, "n_clicks"),
        State("benchmarks-span", "value"),
        prevent_initial_call=True,
    )(download)


def preview(
    values: list[Any], mark: str | None, ids: list[dict[str, str]], drawn: dict[str, Any] | None
) -> Any:
    """What the weights in the fields would give, before they are saved."""
    if not ids:  # whoever may only look has no fields
        return None
    in_use, found = score_weights.weights(context().store), cards()
    tried = as_weights(weights_given(values, ids, drawn), in_use)
    would = benchmarks.overall_with(found, metrics(), tried) if tried and found.height else None
    return preview_box(tried, in_use, found, would)


def fill_in_defaults(n_clicks: int | None, ids: list[dict[str, str]]) -> list[Any]:
    """Put the defaults into the fields; nothing is saved by it."""
    return default_values(ids) if n_clicks else [no_update] * len(ids)


def save(
    n_clicks: int | None,
    values: list[Any],
    ids: list[dict[str, str]],
    drawn: dict[str, Any] | None,
    reason: str | None,
) -> tuple[Any, ...]:
    """Set the weights that were changed; the next round of scores goes by them."""
    if not n_clicks:  # the button was only drawn
        return (no_update,) * 3
    person = needed("operator")
    given = weights_given(values, ids, drawn)
    if not any(given.values()):
        return [notice("Nothing to save", "No weight was changed.")], no_update, no_update
    store, now = context().store, context().now()
    said = (reason or "").strip() or None
    in_use = score_weights.set_weights(
        store, given, by=person.name, reason=said, now=now, via=person.via
    )
    changed = sum(len(kind) for kind in given.values())
    what = f"{changed} changed by {person.name}. The scores follow within a minute."
    told = notice("Weights saved", what, key=now.isoformat())
    return [told], weights_box(in_use, now, may_set=True), ""


# -- tables to take home ---------------------------------------------------------------


def download(clicks: list[int | None], span: str | None) -> tuple[Any, Any]:
    """A table of the page, whole, as CSV or Parquet."""
    asked = ctx.triggered_id
    if not any(clicks) or not isinstance(asked, dict):
        return no_update, no_update
    frame = _TABLES[asked["table"]](span or next(iter(SPANS)))
    file = file_of(frame, f"benchmark-{asked['table']}", context().now(), asked["file"])
    return file, [said_of_download(frame.height, frame.height)]


def _history(span: str) -> pl.DataFrame:
    until = context().wall.now()
    since = until - SPANS.get(span, next(iter(SPANS.values())))
    return benchmarks.score_history(context().store, since=since, until=until, names=list(NAMES))


_TABLES: dict[str, Callable[[str], pl.DataFrame]] = {
    "scores": lambda _: benchmarks.score_cards(context().store, context().wall.now()),
    "metrics": lambda _: benchmarks.metric_table(context().store, context().wall.now()),
    "history": _history,
    "sensitivity": lambda _: benchmarks.sensitivity(context().store, context().wall.now()),
    "weights": lambda _: weights_frame(score_weights.weights(context().store)),
}
