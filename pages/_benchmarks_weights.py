"""What counts how much: the weights, what others would do to the ranks, and setting them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import dcc, html

from pages._benchmarks_words import OVERALL, label_of, provider_words
from pages._parts import empty, table
from pages._words import age, exact_instant, percent
from warehouse.metric_catalogue import GROUPS, METRICS, metrics_of
from warehouse.score_weights import Weights

KIND = "benchmarks-weight"
"""The type of the id of every field."""


def weights_box(in_use: Weights, now: datetime, *, may_set: bool) -> html.Div:
    """The weights: fields for whoever may set them, else as they are."""
    inside = [
        dmc.AccordionItem(
            [
                dmc.AccordionControl(_group_head(name, label, in_use)),
                dmc.AccordionPanel(_group_body(name, in_use, may_set=may_set)),
            ],
            value=name,
        )
        for name, label in GROUPS.items()
    ]
    groups = _group_fields(in_use) if may_set else None
    note = html.P(_set_words(in_use, now), className="prose bench-lead")
    # What is saved is what was changed here: what others changed meanwhile stays.
    drawn = dcc.Store(
        id="benchmarks-drawn", data={"groups": in_use.groups, "metrics": in_use.metrics}
    )
    folded = dmc.Accordion(inside, multiple=True, chevronPosition="left", className="bench-fold")
    return html.Div([note, groups, folded, drawn])


def _set_words(in_use: Weights, now: datetime) -> str:
    if in_use.set_at is None:
        return "The default weights are in force; nobody has set others."
    why = f": {in_use.reason}" if in_use.reason else ""
    when = f"{age(in_use.set_at, now)}, {exact_instant(in_use.set_at)}"
    return f"Set by {in_use.set_by} {when}{why}."


def _group_head(name: str, label: str, in_use: Weights) -> html.Div:
    share = percent(in_use.group_share(name), 1)
    return html.Div([label, html.Span(f"{share} of all", className="sub")], className="bench-row")


def _group_fields(in_use: Weights) -> html.Div:
    fields = [_field("groups", name, label, in_use.groups[name]) for name, label in GROUPS.items()]
    return html.Div(fields, className="bench-fields")


def _field(of: str, name: str, label: str, value: float) -> dmc.NumberInput:
    return dmc.NumberInput(
        id={"type": KIND, "of": of, "name": name},
        label=label,
        value=value,
        min=0,
        step=0.05 if of == "groups" else 0.5,
        decimalScale=4,
        clampBehavior="none",
        debounce=400,
    )


def _group_body(group: str, in_use: Weights, *, may_set: bool) -> Any:
    scored = [metric for metric in metrics_of(group) if metric.name in in_use.metrics]
    if may_set:
        fields = [
            _field("metrics", each.name, each.label, in_use.metrics[each.name]) for each in scored
        ]
        return html.Div(fields, className="bench-fields")
    rows = [
        [each.label, f"{in_use.metrics[each.name]:g}", percent(in_use.share(each.name), 1)]
        for each in scored
    ]
    return table(("Metric", "Weight in its group", "Of all"), rows, f"Weights of {label_of(group)}")


def weights_foot() -> html.Div:
    """The reason and the buttons of whoever may set weights."""
    return html.Div(
        [
            dmc.TextInput(
                id="benchmarks-reason",
                label="Reason",
                placeholder="kept on record with the weights",
                className="grow",
            ),
            dmc.Button("Save weights", id="benchmarks-save"),
            dmc.Button("Fill in the defaults", id="benchmarks-defaults", variant="default"),
        ],
        className="bench-foot",
    )


def weights_given(
    values: Sequence[Any],
    ids: Sequence[Mapping[str, str]],
    drawn: Mapping[str, Mapping[str, float]] | None,
) -> dict[str, dict[str, Any]]:
    """What was changed in the fields, as `set_weights` takes it; an empty field is no number."""
    given: dict[str, dict[str, Any]] = {"groups": {}, "metrics": {}}
    for value, each in zip(values, ids, strict=True):
        if value != (drawn or {}).get(each["of"], {}).get(each["name"]):
            given[each["of"]][each["name"]] = value
    return given


def as_weights(given: Mapping[str, Mapping[str, Any]], in_use: Weights) -> Weights | None:
    """What stands in the fields as weights; None where a field holds no weight."""
    values = [value for kind in given.values() for value in kind.values()]
    if not all(_is_weight(value) for value in values):
        return None
    tried = Weights(
        {**in_use.groups, **given.get("groups", {})}, {**in_use.metrics, **given.get("metrics", {})}
    )
    return tried if sum(map(tried.share, tried.metrics)) > 0 else None


def _is_weight(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 <= value <= 1e6


def default_values(ids: Sequence[Mapping[str, str]]) -> list[float]:
    """The default of each field, in their order."""
    usual = Weights()
    kinds = {"groups": usual.groups, "metrics": usual.metrics}
    return [kinds[each["of"]][each["name"]] for each in ids]


def is_changed(tried: Weights, in_use: Weights) -> bool:
    """Whether the fields say something else than what is in force."""
    return tried.groups != in_use.groups or tried.metrics != in_use.metrics


def preview_box(
    tried: Weights | None, in_use: Weights, cards: pl.DataFrame, would: pl.DataFrame | None
) -> Any:
    """The overall scores and ranks that the fields would give, beside those in force."""
    if tried is None:
        said = "Each weight is a number from 0 to 1,000,000, and some must be above 0."
        return empty("These weights can't be saved", html.Div(said, className="bad"))
    now = {
        row["provider"]: row
        for row in cards.filter(pl.col("name") == OVERALL).iter_rows(named=True)
    }
    if would is None or not now:
        return empty("No scores yet", html.Div("Weights can be saved and hold from the start."))
    lead = (
        "Not saved yet: this is what the weights in the fields would give."
        if is_changed(tried, in_use)
        else "As it is. Change a weight, and what it would do stands here before it is saved."
    )
    rows = [_preview_row(row, now.get(row["provider"])) for row in would.iter_rows(named=True)]
    head = ("Provider", "Now", "Would be", "Rank now", "Rank would be")
    return html.Div(
        [html.P(lead, className="prose bench-lead"), table(head, rows, "What the weights give")]
    )


def _preview_row(would: dict[str, Any], now: dict[str, Any] | None) -> list[Any]:
    before, after = (now or {}).get("rank"), would["rank"]
    change = after - before if before and after else 0
    arrow = f" {'▲' if change < 0 else '▼'}{abs(change)}" if change else ""
    tone = "good" if change < 0 else "bad" if change > 0 else ""
    return [
        provider_words(would["provider"]),
        _score((now or {}).get("score")),
        _score(would["score"]),
        str(before or "none"),
        html.Span(f"{after or 'none'}{arrow}", className=f"nowrap {tone}".strip()),
    ]


def _score(score: float | None) -> str:
    return "withheld" if score is None else f"{score:.1f}"


def weights_frame(in_use: Weights) -> pl.DataFrame:
    """The weights as a table to keep."""
    groups = [
        ("group", name, label, in_use.groups[name], in_use.group_share(name))
        for name, label in GROUPS.items()
    ]
    metrics = [
        ("metric", name, METRICS[name].label, weight, in_use.share(name))
        for name, weight in in_use.metrics.items()
    ]
    names = ["level", "name", "label", "weight", "share_ratio"]
    return pl.DataFrame([*groups, *metrics], schema=names, orient="row")
