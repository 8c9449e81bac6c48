"""What stands around the decisions: filters, table, the promise kept, the drawer."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import html

from pages._context import context
from pages._grid import number_column, text_column
from pages._not_done import FATE_WORDS, SPANS
from pages._parts import icon, panel, skeleton_tiles
from pages._words import words
from warehouse import controls, decisions, fleet

_INSTANT = {"function": "asInstant(params.value)"}

COLUMNS = [
    text_column("proposed_at", "Proposed", 116, valueFormatter=_INSTANT),
    text_column("state", "State", 122, cellRenderer="State"),
    text_column("summary", "What", 320, flex=1, minWidth=220),
    number_column("expected_gain_usd_per_hour", "Expected/h", "asSignedUsd", 108),
    text_column("realised_gain_usd_per_hour", "Realised/h", 232, cellRenderer="Realised"),
    text_column("gain", "Interval and outcome", 150, cellRenderer="Gain"),
    text_column("deciders", "Decided by", 128),
    text_column("mode", "Mode", 106, valueFormatter={"function": "asWords(params.value)"}),
]

SENT = [column["field"] for column in COLUMNS if column["field"] != "gain"] + [
    "decision_id",
    "execution_phase",
    "outcome_judgement",
    "outcome_criterion",
    "outcome_criterion_is_met",
    "expected_gain_low_usd_per_hour",
    "expected_gain_high_usd_per_hour",
]


TABS = {"queue": "Decisions", "not-done": "Not done"}
"""What the page shows: what is to be decided and was, or what was proposed and not done."""


def tabs(chosen: str) -> dmc.SegmentedControl:
    """Between the decisions and what was not done; it stands in the address."""
    return dmc.SegmentedControl(
        id="decisions-tab",
        value=chosen,
        data=[{"value": each, "label": label} for each, label in TABS.items()],
        **{"aria-label": "What is shown"},
    )


def filters(
    states: list[str],
    pool: str | None,
    action: str | None,
    search: str | None,
    span: str,
    fate: str | None,
) -> list[Any]:
    """The filters of both tabs; pool and action hold on both."""
    pools = [each.pool for each in fleet.pools(context().store)]
    actions = [
        {"value": each, "label": words(each)} for each in (*controls.GOVERNED_ACTIONS, "do_nothing")
    ]
    of_the_queue = [
        dmc.TextInput(
            id="decisions-search",
            value=search or "",
            debounce=300,
            w=210,
            placeholder="Words, target or person",
            leftSection=icon("search", 14),
            **{"aria-label": "Search decisions"},
        ),
        dmc.MultiSelect(
            id="decisions-state",
            value=states,
            placeholder="" if states else "All states",
            data=[{"value": each, "label": words(each)} for each in decisions.STATES],
            clearable=True,
            miw=170,
            **{"aria-label": "States"},
        ),
    ]
    return [
        html.Div(of_the_queue, className="only-queue filters"),
        dmc.Select(
            id="decisions-pool",
            value=pool,
            data=pools,
            placeholder="All pools",
            clearable=True,
            w=160,
            **{"aria-label": "Pool"},
        ),
        dmc.Select(
            id="decisions-action",
            value=action,
            data=actions,
            placeholder="All actions",
            clearable=True,
            w=150,
            **{"aria-label": "Action"},
        ),
        dmc.Select(
            id="decisions-fate",
            value=fate,
            data=[{"value": each, "label": label} for each, label in FATE_WORDS.items()],
            placeholder="All reasons",
            clearable=True,
            w=190,
            className="only-not-done",
            **{"aria-label": "Why it was not done"},
        ),
        dmc.Select(
            id="decisions-span",
            value=span,
            data=[{"value": each, "label": words(label)} for each, label in SPANS.items()],
            allowDeselect=False,
            w=160,
            className="only-not-done",
            **{"aria-label": "How far back"},
        ),
    ]


def drawer() -> dmc.Drawer:
    body = [
        html.Div(id="decisions-why"),
        html.Div(id="decisions-form"),
        html.Div(id="decisions-detail"),
    ]
    return dmc.Drawer(
        html.Div(body, className="stack"),
        id="decisions-drawer",
        opened=False,
        position="right",
        size="min(620px, 100vw)",
        title=html.Div(id="decisions-title"),
        overlayProps={"backgroundOpacity": 0.2},
        closeButtonProps={"aria-label": "Close"},
    )


def scatter_panel() -> html.Section:
    return panel(
        "Expected against realised, USD an hour",
        html.Div(dmc.Skeleton(height=230), id="decisions-scatter"),
        right="a dot on the line kept its promise",
    )


def score_box() -> html.Div:
    return html.Div(skeleton_tiles(4), id="decisions-score", className="tiles tiles-2")
