"""Who steers: the champion, the dial, the challenger with its gates, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from pages._context import may
from pages._engine_parts import HALVES, lead, policy_words, word
from pages._parts import Children, empty, icon, panel, skeleton_rows
from pages._words import MISSING, age, exact_instant, percent, words
from warehouse.controls import DIALS, Dial
from warehouse.policies import Steering
from warehouse.records import PolicyVersion

DIAL_WORDS = {
    "balanced": "all four as the policy was trained to weigh them",
    "profit": "contribution profit before the others",
    "service": "jobs that start on time before the others",
    "utilisation": "GPUs in use before the others",
    "reliability": "fewer interruptions by failing nodes before the others",
}
KIND_WORDS = {"rule": "Hand-made", "network": "Learned"}
ORIGIN_WORDS = {
    "shipped": "came with the console",
    "challenger": "trained on this console's own history",
}
FIGURES_MAX = 6
TAKES_TIME = ("held_out_weeks", "shadow_days", "shadow_gain", "canary")
"""Gates that are passed by waiting; one of them that is not passed has not failed."""
COUNTS = ("weeks", "days", "guardrails")
"""Gates whose figure is a count, by the end of their names; of all others it is a share."""


# -- the champion ----------------------------------------------------------------------


def champion_box(
    found: Steering, version: PolicyVersion | None, drifting: list[str], now: datetime
) -> html.Div:
    """Who steers, since when and by whose word; whoever may roll back sees the button.

    In `drifting` pools the twin no longer matches reality, and the rule steers.
    """
    elsewhere = f"In {', '.join(drifting)} the rule steers: the twin no longer matches there."
    return html.Div(
        [
            lead("Who decides what is proposed. ", *_since(found, now)),
            html.Div(policy_words(found.policy_id), className="engine-name"),
            _about(version, now),
            html.Div(elsewhere, className="sub warn") if drifting else None,
            _way_back(found),
        ]
    )


def _since(found: Steering, now: datetime) -> list[Children]:
    if found.since_at is None:
        return ["It has steered from the start; nobody was ever promoted."]
    since = html.Span(age(found.since_at, now), title=exact_instant(found.since_at))
    said: list[Children] = ["Set ", since, f" by {found.set_by}: {found.reason}"]
    if found.decision_id:
        said += [" ", dcc.Link("The decision", href=f"/decisions?id={found.decision_id}"), "."]
    return said


def _about(version: PolicyVersion | None, now: datetime) -> html.Div:
    if version is None:
        return html.Div("Base stock, surge prices and consolidation, tuned once.", className="sub")
    known = [
        f"{KIND_WORDS[version.kind]}, {ORIGIN_WORDS[version.origin]}, made "
        f"{age(version.created_at, now)}."
    ]
    figures = [f"{words(_bare(name))} {_number(name, value)}" for name, value in _figures(version)]
    return html.Div([*known, html.Div(" · ".join(figures))], className="sub")


def _figures(version: PolicyVersion) -> list[tuple[str, Any]]:
    numbers = [each for each in version.figures.items() if isinstance(each[1], (int, float))]
    return numbers[:FIGURES_MAX]


def _way_back(found: Steering) -> html.Div:
    to = found.previous_policy_id
    if to is None:
        return html.Div("There is nothing to roll back to.", className="sub engine-foot")
    if not may("operator"):
        return html.Div("Rolling back takes the role operator.", className="sub engine-foot")
    button = dmc.Button(
        f"Roll back to {policy_words(to).lower() if to == 'rule' else to}",
        id={"type": "engine-back", "policy": found.policy_id},
        variant="default",
        leftSection=icon("undo-2", 14),
    )
    return html.Div(button, className="engine-foot")


def back_dialog() -> dmc.Modal:
    """Asks for a reason before a policy is rolled back."""
    body = [
        html.P(id="engine-back-words", className="prose"),
        dmc.Textarea(
            id="engine-back-reason",
            label="Reason",
            autosize=True,
            minRows=2,
            required=True,
            **{"data-autofocus": "true"},
        ),
        dmc.Button("Roll back", id="engine-back-confirm", color="red", size="sm", fullWidth=True),
    ]
    return dmc.Modal(
        html.Div(body, className="stack"),
        id="engine-back-dialog",
        opened=False,
        title="Roll back",
        centered=True,
        closeButtonProps={"aria-label": "Close"},
    )


def back_words(found: Steering) -> str:
    """What the dialog says will happen."""
    to = policy_words(found.previous_policy_id or "rule")
    return (
        f"{policy_words(found.policy_id)} stops steering at once and {to[:1].lower() + to[1:]} "
        "proposes from the next tick on. What is approved or under way is not touched."
    )


# -- the dial --------------------------------------------------------------------------


def dial_box(dial: Dial, now: datetime) -> html.Div:
    """What the engine weighs most; operators turn it."""
    control = dmc.SegmentedControl(
        id="engine-dial",
        value=dial.name,
        data=[{"value": each, "label": words(each)} for each in DIALS],
        disabled=not may("operator"),
        fullWidth=True,
        **{"aria-label": "What the engine weighs most"},
    )
    who = "" if dial.set_at is None else f" Set {age(dial.set_at, now)} by {dial.set_by}."
    told = f"Weighs {DIAL_WORDS[dial.name]}.{who}"
    return html.Div([html.H3("The dial"), control, html.Div(told, className="sub")])


def steering_panel(dial: Dial, now: datetime) -> html.Section:
    """The box of champion and dial before the champion is known."""
    halves = [
        html.Div(skeleton_rows(4), id="engine-champion"),
        html.Div(dial_box(dial, now), id="engine-dial-box", className="engine-dial"),
    ]
    seen = dcc.Store(id="engine-dial-seen", data=dial_mark(dial, now))
    return panel("Who steers", html.Div(halves, className=HALVES), seen)


def dial_mark(dial: Dial, now: datetime) -> str:
    """Changes when the dial would look different."""
    return f"{dial.name} {age(dial.set_at, now)}"


# -- the challenger --------------------------------------------------------------------


def challenger_box(
    version: PolicyVersion | None, promotion_id: str | None, now: datetime
) -> html.Div:
    """The challenger, how it stands at each gate, and the decision on it that waits."""
    if version is None:
        return empty(
            "No challenger",
            html.Div(
                "One is trained on this console's own history once there is enough of it; it "
                "steers only after every gate is passed and a person has said yes."
            ),
        )
    return html.Div(
        [
            lead(
                f"Who would decide. Trained {age(version.created_at, now)}. ",
                _standing(version.gates),
            ),
            html.Div(version.policy_id, className="engine-name"),
            _about(version, now),
            _promotion(promotion_id),
            html.Ul([_gate(each) for each in version.gates], className="engine-gates"),
        ]
    )


def _promotion(decision_id: str | None) -> html.Div | None:
    if decision_id is None:
        return None
    where = dcc.Link("Approve or reject it", href=f"/decisions?id={decision_id}")
    return html.Div(["Its promotion waits for a person. ", where], className="engine-foot")


def _standing(gates: list[dict[str, Any]]) -> str:
    if not gates:
        return "Its gates have not been looked at yet."
    passed = sum(_outcome(each) == "passed" for each in gates)
    said = f"It passed {passed} of {len(gates)} gates."
    for outcome in ("failed", "awaited"):
        named = [word(_bare(str(each["name"]))) for each in gates if _outcome(each) == outcome]
        said += f" {outcome.capitalize()}: {', '.join(named)}." if named else ""
    return said


def _outcome(gate: Mapping[str, Any]) -> str:
    """Passed, failed, or awaited: what is not known yet has not failed."""
    if gate.get("passed"):
        return "passed"
    waits = gate["name"] in TAKES_TIME and (gate.get("threshold") or 0.0) >= 0.0
    return "awaited" if waits or gate.get("value") is None else "failed"


def _gate(gate: Mapping[str, Any]) -> html.Li:
    name, said = str(gate["name"]), _outcome(gate)
    mark, tone = {
        "passed": ("check", "good"),
        "failed": ("x", "bad"),
        "awaited": ("clock", "warn"),
    }[said]
    sign = html.Span(icon(mark, 14), className=tone, role="img", **{"aria-label": said})
    unit = name if name.endswith(COUNTS) else f"{_bare(name)}_ratio"
    value, threshold = (_number(unit, gate.get(key)) for key in ("value", "threshold"))
    told = html.Div([words(_bare(name)), html.Div(gate.get("sentence", ""), className="sub")])
    figure = html.Div(
        [html.Span(value), html.Div(f"limit {threshold}", className="sub")],
        className="engine-gate-value",
    )
    return html.Li([sign, told, figure])


def _bare(name: str) -> str:
    """A name without its unit, which the figure shows."""
    return name.removesuffix("_ratio")


def _number(name: str, value: Any) -> str:
    """A figure by the last word of its name."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return MISSING if value is None else str(value)
    if name.endswith(("_ratio", "_share")):
        shown = percent(value, 1)
    else:
        shown = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}"
    return shown.replace("-", "−")
