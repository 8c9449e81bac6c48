"""What a person may say to a decision: the form for a verdict, and the one for an undo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from pages._context import may
from warehouse.actions import ACTION_SPECS, Parameter
from warehouse.decisions import DecisionState

CHOICES = {"approve": "Approve", "override": "Override", "reject": "Reject"}
CHOICES_BESIDES = {"edit_anew": "Edit it otherwise", "reject": "Reject"}
"""Where each version that stands has a button of its own."""


def verdict_form(found: DecisionState, *, has_own_buttons: bool = False) -> Any:
    """The form that fits the decision's state; nothing where nothing can be said.

    Where each version of the action has a button of its own, the form offers no yes: it would
    not say to which.
    """
    if not may("operator"):
        needs_word = found.state in ("waiting", "approved") or found.can_undo
        note = "Deciding takes the role operator." if needs_word else ""
        return html.Div(note, className="sub") if note else None
    if found.state == "waiting":
        return _decide(found, has_own_buttons)
    if found.state == "approved":
        return _withdraw()
    return _undo() if found.can_undo else None


def _decide(found: DecisionState, has_own_buttons: bool) -> html.Div:
    form = _choices(found, CHOICES_BESIDES if has_own_buttons else CHOICES)
    if not has_own_buttons:
        return html.Div([html.H3("Your decision"), *form], className="section stack")
    # Folded away, so that the buttons one sees are those of the versions.
    summary = html.Summary("Or edit it otherwise, or reject it")
    body = html.Div(form, className="stack")
    return html.Div(html.Details([summary, body]), className="section")


def _choices(found: DecisionState, offered: Mapping[str, str]) -> list[Any]:
    edits = set() if _inputs(found) else {"override", "edit_anew"}
    choices = {name: label for name, label in offered.items() if name not in edits}
    return [
        dmc.SegmentedControl(
            id="decisions-choice",
            value=next(iter(choices)),
            fullWidth=True,
            data=[{"value": name, "label": label} for name, label in choices.items()],
            **{"aria-label": "Your decision"},
        ),
        # What is approved is what was shown when this form was made.
        dcc.Store(id="decisions-shown", data={"id": found.decision_id, "hash": found.action_hash}),
        html.Div(
            _inputs(found),
            id="decisions-parameters",
            style={"display": "none"},
            className="row",
        ),
        dmc.Textarea(
            id="decisions-reason",
            label="Reason",
            autosize=True,
            minRows=2,
            maxRows=6,
            description="Kept with the decision, and read by whoever comes after you.",
            style={"display": "none"},
        ),
        dmc.Button("Approve", id="decisions-confirm", size="sm", fullWidth=True),
    ]


def _inputs(found: DecisionState) -> list[dmc.NumberInput]:
    spec = ACTION_SPECS.get(found.action)
    return (
        [_input(each, found.parameters.get(each.name)) for each in spec.parameters] if spec else []
    )


def _input(parameter: Parameter, value: Any) -> dmc.NumberInput:
    return dmc.NumberInput(
        id={"type": "decisions-parameter", "name": parameter.name},
        label=f"{parameter.label}, {parameter.unit}",
        description=f"{parameter.low:g} to {parameter.high:g}",
        value=value,
        min=parameter.low,
        max=parameter.high,
        step=1 if parameter.is_whole else 0.01,
        allowDecimal=not parameter.is_whole,
        clampBehavior="none",
        required=True,
        w=240,
    )


def _withdraw() -> html.Div:
    note = "It has not been begun. Until then it can be taken back, and then nothing is done."
    return html.Div(
        [
            html.H3("Withdraw the approval"),
            html.Div(note, className="sub"),
            dmc.Textarea(id="decisions-withdraw-reason", label="Reason", autosize=True, minRows=2),
            dmc.Button(
                "Withdraw", id="decisions-withdraw", variant="default", size="sm", fullWidth=True
            ),
        ],
        className="section stack",
    )


def _undo() -> html.Div:
    return html.Div(
        [
            html.H3("Take it back"),
            dmc.Textarea(id="decisions-undo-reason", label="Reason", autosize=True, minRows=2),
            dmc.Button("Undo", id="decisions-undo", variant="default", size="sm", fullWidth=True),
        ],
        className="section stack",
    )
