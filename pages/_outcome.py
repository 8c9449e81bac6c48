"""What came of a decision, in words: judged how, gained what, and whether it was a success."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import html

from pages._parts import facts
from pages._words import signed_usd
from warehouse.decisions import DecisionState

JUDGEMENTS: dict[str, tuple[str, str, str, str]] = {
    "helped": ("▲", "Helped", "Would have helped", "harbour"),
    "harmed": ("▼", "Harmed", "Would have harmed", "red"),
    "inconclusive": ("≈", "Inconclusive", "Inconclusive", "gray"),
    "unmeasured": ("–", "Not measured", "Not measured", "gray"),
}
"""Each judgement: its sign, its word, the word for what was not done, its colour."""


def outcome_box(found: DecisionState) -> html.Div | None:
    """The judgement, the gain with its interval, and the success criterion; None before that."""
    if found.measured_at is None:
        return None
    head = html.Div([_badge(found), *_gain(found)], className="row")
    told = html.Div(found.outcome_detail, className="sub")
    shown = [html.H3("What came of it"), head, told, _criterion(found)]
    return html.Div(shown, className="outcome stack")


def _judgement(found: DecisionState) -> str | None:
    """Rows from before judgements were kept say whether it did harm, and no more."""
    if found.outcome_judgement is not None:
        return found.outcome_judgement
    if found.realised_gain_usd_per_hour is None:
        return "unmeasured"
    return "harmed" if found.did_harm else None


def _badge(found: DecisionState) -> Any:
    judged = _judgement(found)
    if judged is None:
        return None
    sign, word, word_undone, color = JUDGEMENTS[judged]
    was_done = found.execution_phase == "succeeded"
    told = f"{sign} {word if was_done else word_undone}"
    return dmc.Badge(told, color=color, size="lg", className="state")


def _gain(found: DecisionState) -> list[Any]:
    gain = found.realised_gain_usd_per_hour
    if gain is None:
        return []
    low, high = found.realised_gain_low_usd_per_hour, found.realised_gain_high_usd_per_hour
    span = "" if low is None or low == high else f", {signed_usd(low)} to {signed_usd(high)}"
    verb = "realised" if found.execution_phase == "succeeded" else "by the twin, had it been done"
    return [
        html.B(f"{signed_usd(gain)}/h", className=f"nowrap {'bad' if gain < 0 else 'good'}"),
        html.Span(f"{verb}{span}", className="sub"),
    ]


def _criterion(found: DecisionState) -> Any:
    if not found.outcome_criterion:
        return None
    if found.execution_phase != "succeeded":
        return facts([("Succeeds when", found.outcome_criterion)], "criterion")
    said = {True: "✓ Met", False: "✗ Not met", None: "Can't be told"}
    tone = {True: "good", False: "bad", None: "dim"}
    is_met = found.outcome_criterion_is_met
    return facts(
        [
            ("Succeeds when", found.outcome_criterion),
            ("Success", html.B(said[is_met], className=tone[is_met])),
        ],
        "criterion",
    )
