"""Who said yes so far where two people must agree, and what an approval would have to wait for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
from dash import html

from pages._context import context, may
from pages._detail import parameter_words
from pages._holds import window_closed
from pages._parts import icon
from warehouse import controls
from warehouse.approvals import SaidSoFar, approvals, said_so_far, standing_approvals
from warehouse.decisions import DecisionState
from warehouse.people import current_person


@dataclass(frozen=True)
class Notes:
    """What the card of a waiting decision says besides."""

    words: tuple[str, ...]
    """Who said yes, and which window it waits for."""
    is_edited: bool
    """Whether more than one version of its action stands."""
    is_for_another: bool
    """Whether whoever looks has said yes, and another person must."""


def card_notes(rows: list[dict[str, Any]], now: datetime) -> dict[str, Notes]:
    """By decision what its card says besides."""
    if not rows:
        return {}
    store = context().store
    standing, limits = standing_approvals(store), controls.limits(store)
    four_eyes = controls.four_eyes(store)
    notes: dict[str, Notes] = {}
    for row in rows:
        said = said_so_far(row["action_hash"], standing.get(row["decision_id"], ()))
        words = [each.words for each in said]
        if not said and four_eyes.get(row["action"]):
            words = ["Two people must say yes"]
        closed = window_closed(limits, row["action"], now)
        notes[row["decision_id"]] = Notes(
            words=(*words, *([closed.alarm] if closed else [])),
            is_edited=any(each.is_edited for each in said),
            is_for_another=any(_is_mine(each) for each in said),
        )
    return notes


def notes_digest(notes: dict[str, Notes]) -> str:
    """Changes when a card's notes do."""
    return json.dumps({name: each.words for name, each in notes.items()}, sort_keys=True)


def _is_mine(said: SaidSoFar) -> bool:
    person = current_person.get()
    return person is not None and person.name in said.approved_by


def said_of(found: DecisionState) -> list[SaidSoFar]:
    """What people said yes to so far."""
    return said_so_far(found.action_hash, approvals(context().store, found.decision_id))


def said_box(found: DecisionState) -> html.Div | None:
    """Each version of the action that one can say yes to, side by side and with a button each;
    nothing where nobody is asked twice."""
    said = said_of(found)
    is_asked = controls.four_eyes(context().store).get(found.action, False)
    if found.state != "waiting" or not (said or is_asked):
        return None
    rule = html.Div("Two people must say yes to exactly the same.", className="sub")
    if not said:
        return html.Div([html.H3("Four eyes"), rule], className="section stack")
    edited = [each for each in said if each.is_edited]
    original = next((each for each in said if not each.is_edited), None)
    cards = [_version(found, original), *(_version(found, each) for each in edited)]
    count = 1 + len(edited)
    title = f"{count} versions stand: say which you mean" if edited else "Four eyes"
    return html.Div(
        [html.H3(title), rule, html.Div(cards, className="versions")], className="section stack"
    )


def has_own_buttons(found: DecisionState) -> bool:
    """Whether each version that one can say yes to has a button of its own."""
    return found.state == "waiting" and bool(said_of(found))


def said_digest(found: DecisionState) -> str:
    """Changes when somebody says yes."""
    return "|".join(each.words for each in said_of(found))


def _version(found: DecisionState, said: SaidSoFar | None) -> html.Article:
    """One version: what it is, who said yes to it, and the button that says yes to it alone."""
    edited = said if said is not None and said.is_edited else None
    head = f"As edited by {edited.approved_by[0]}" if edited else "As proposed"
    why = html.Div(f"“{edited.reason}”", className="sub") if edited and edited.reason else None
    told = said.words if said else "0 of 2: nobody said yes to this one"
    action_hash = said.action_hash if said else found.action_hash
    shown = html.Span(action_hash[:16], className="mono sub", title=action_hash)
    body = [html.B(head), _parameters(found, edited), why, html.Div(told, className="sub"), shown]
    name = "version is-edited" if edited else "version"
    return html.Article([*body, _yes(found, said, action_hash)], className=name)


def _parameters(found: DecisionState, edited: SaidSoFar | None) -> html.Div:
    """What would be done; where it is edited, beside what was proposed."""
    meant = edited.parameters if edited else found.parameters
    lines = [_line(found, name, value) for name, value in meant.items()]
    return html.Div(lines)


def _line(found: DecisionState, name: str, value: Any) -> html.Div:
    label, said = parameter_words(found.action, name, value)
    before = found.parameters.get(name, value)
    if before == value:
        return html.Div([f"{label}: ", html.B(said)])
    proposed = parameter_words(found.action, name, before)[1]
    return html.Div([f"{label}: ", html.B(said), " instead of ", html.S(proposed)])


def _yes(found: DecisionState, said: SaidSoFar | None, action_hash: str) -> Any:
    if said is not None and _is_mine(said):
        return html.Span("You said yes: another person must", className="sub")
    if not may("operator"):
        return None
    # The hash goes with the button: what is said yes to is what stands above it.
    shown = {"type": "decisions-second", "id": found.decision_id, "hash": action_hash}
    is_edited = said is not None and said.is_edited
    label = f"Approve {said.approved_by[0]}'s edit" if said and is_edited else "Approve as proposed"
    return dmc.Button(label, id=shown, size="sm", fullWidth=True, leftSection=icon("check", 14))
