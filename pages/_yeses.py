"""Who said yes so far where two people must agree, and what an approval would have to wait for."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
from dash import html

from pages._context import context, may
from pages._holds import window_closed
from pages._parts import icon
from warehouse import controls
from warehouse.approvals import SaidSoFar, approvals, said_so_far, standing_approvals
from warehouse.decisions import DecisionState
from warehouse.people import current_person


def card_notes(rows: list[dict[str, Any]], now: datetime) -> dict[str, list[str]]:
    """By decision what its card says besides: who said yes, and which window it waits for."""
    if not rows:
        return {}
    store = context().store
    standing, limits = standing_approvals(store), controls.limits(store)
    four_eyes = controls.four_eyes(store)
    notes: dict[str, list[str]] = {}
    for row in rows:
        said = said_so_far(row["action_hash"], standing.get(row["decision_id"], ()))
        words = [each.words for each in said]
        if not said and four_eyes.get(row["action"]):
            words = ["Two people must say yes"]
        closed = window_closed(limits, row["action"], now)
        notes[row["decision_id"]] = words + ([closed.alarm] if closed else [])
    return notes


def notes_digest(notes: dict[str, list[str]]) -> str:
    """Changes when a card's notes do."""
    return json.dumps(notes, sort_keys=True)


def said_of(found: DecisionState) -> list[SaidSoFar]:
    """What people said yes to so far."""
    return said_so_far(found.action_hash, approvals(context().store, found.decision_id))


def said_box(found: DecisionState) -> html.Div | None:
    """Who said yes to what, with a button to say the second yes; nothing where nobody is asked
    twice."""
    said = said_of(found)
    is_asked = controls.four_eyes(context().store).get(found.action, False)
    if found.state != "waiting" or not (said or is_asked):
        return None
    rule = html.Div("Two people must say yes to exactly the same.", className="sub")
    rows = [_said_row(found, each) for each in said]
    return html.Div([html.H3("Four eyes"), rule, *rows], className="section stack")


def said_digest(found: DecisionState) -> str:
    """Changes when somebody says yes."""
    return "|".join(each.words for each in said_of(found))


def _said_row(found: DecisionState, said: SaidSoFar) -> html.Div:
    why = html.Div(said.reason, className="sub") if said.reason else None
    return html.Div(
        [html.Div([html.Div(said.words), why]), _second_yes(found, said)], className="form-row"
    )


def _second_yes(found: DecisionState, said: SaidSoFar) -> Any:
    person = current_person.get()
    if person is not None and person.name in said.approved_by:
        return html.Span("You said yes: another person must", className="sub")
    if not may("operator"):
        return None
    # The hash goes with the button: the second yes is to what the first one was.
    shown = {"type": "decisions-second", "id": found.decision_id, "hash": said.action_hash}
    label = "Approve as edited" if said.is_edited else "Approve"
    return dmc.Button(label, id=shown, size="sm", leftSection=icon("check", 14))
