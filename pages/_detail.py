"""One decision in full: what, why, what it should gain, what else was weighed, what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl
from dash import html

from pages._interval import interval_bar
from pages._outcome import outcome_box
from pages._parts import facts
from pages._steps import steps_list
from pages._words import duration, exact_instant, percent, signed_usd, until, usd, words
from warehouse.actions import ACTION_SPECS
from warehouse.decisions import DecisionState
from warehouse.records import ExecutionStep

UNIT_WORDS = (
    ("_usd_per_gpu_hour", "USD per GPU-hour"),
    ("_usd_per_hour", "USD per hour"),
    ("_usd", "USD"),
    ("_seconds", "s"),
    ("_ratio", ""),
)


def decision_head(found: DecisionState) -> html.Div:
    """Why, what it should gain and what came of it: what one reads first."""
    shown = [html.P(found.reason, className="prose"), _gain(found), outcome_box(found)]
    return html.Div(shown, className="stack")


def decision_detail(
    found: DecisionState,
    timeline: pl.DataFrame,
    now: datetime,
    steps: Sequence[ExecutionStep] = (),
) -> html.Div:
    """Everything else that is known of a decision, in the order one asks."""
    return html.Div(
        [
            _section("What would be done", facts(_what(found, now))),
            _section("Its steps", steps_list(steps)) if steps else None,
            _section("The numbers behind it", facts(_evidence(found.evidence))),
            _section("What the rule would do", html.P(found.baseline, className="prose")),
            _section("What else was weighed", *_alternatives(found.alternatives)),
            _section("What happened", _timeline(timeline)),
        ],
        className="stack",
    )


def _section(title: str, *children: Any) -> html.Div:
    return html.Div([html.H3(title), *children], className="section")


def _gain(found: DecisionState) -> html.Div:
    low, high = found.expected_gain_low_usd_per_hour, found.expected_gain_high_usd_per_hour
    expected, realised = found.expected_gain_usd_per_hour, found.realised_gain_usd_per_hour
    words_of_it = [
        html.B(f"{signed_usd(expected)}/h", className="good" if expected >= 0 else "bad"),
        html.Span(
            f"expected over {duration(found.horizon_seconds)}; "
            f"{percent(found.interval_ratio)} sure of {signed_usd(low)} to {signed_usd(high)}",
            className="sub",
        ),
    ]
    bar = interval_bar(low, expected, high, realised)
    return html.Div([html.Div(words_of_it, className="card-gain"), bar])


def _what(found: DecisionState, now: datetime) -> list[tuple[str, Any]]:
    shown: list[tuple[str, Any]] = [
        (
            "Action",
            ACTION_SPECS[found.action].label
            if found.action in ACTION_SPECS
            else words(found.action),
        ),
        ("On", found.target),
        *(_beside(found, name, value) for name, value in found.parameters.items()),
        ("Disruption", usd(found.disruption_cost_usd)),
        ("Proposed", f"{exact_instant(found.proposed_at)} by {found.policy}, mode {found.mode}"),
    ]
    if found.state == "waiting":
        shown.append(
            ("Expires", f"{exact_instant(found.expires_at)}, {until(found.expires_at, now)}")
        )
    if found.decided_at is not None:
        shown.append(("Decided", decided_words(found)))
    if found.withdrawn_at is not None:
        by_whom = f"by {found.withdrawn_by}, {exact_instant(found.withdrawn_at)}"
        shown.append(("Withdrawn", f"{by_whom}: {found.withdrawal_reason}"))
    if found.verdict == "override":
        shown.append(("Why edited", found.verdict_reason))
    shown.append(("Hash", _hash(found.action_hash)))
    if found.verdict_action_hash not in (None, found.action_hash):
        shown.append(("Hash as edited", _hash(str(found.verdict_action_hash))))
    return shown


VERDICT_WORDS = {
    "approve": "Approved",
    "override": "Approved as edited",
    "reject": "Rejected",
    "lapse": "Lapsed",
}


def decided_words(found: DecisionState) -> str:
    """What was said and by whom; both are named where two said yes."""
    said = VERDICT_WORDS.get(found.verdict or "", words(found.verdict or "decided"))
    return f"{said} by {found.deciders}, {exact_instant(found.decided_at)}"


def _hash(action_hash: str) -> html.Span:
    return html.Span(action_hash[:16], className="mono", title=action_hash)


def _beside(found: DecisionState, name: str, value: Any) -> tuple[str, Any]:
    """A parameter as it was proposed, and beside it what it was edited to."""
    label, proposed = parameter_words(found.action, name, value)
    edited = (found.verdict_parameters or {}).get(name, value)
    if found.verdict != "override" or edited == value:
        return label, proposed
    return label, [
        html.S(proposed, title="as proposed"),
        " ",
        html.B(parameter_words(found.action, name, edited)[1]),
    ]


def parameter_words(action: str, name: str, value: Any) -> tuple[str, Any]:
    spec = ACTION_SPECS.get(action)
    known = {each.name: each for each in spec.parameters} if spec else {}
    if name not in known:
        return words(name), str(value)
    shown = f"{value:g}" if isinstance(value, (int, float)) else str(value)
    return known[name].label, f"{shown} {known[name].unit}"


def _evidence(evidence: dict[str, Any]) -> list[tuple[str, Any]]:
    return [_figure(name, value) for name, value in evidence.items()]


def _figure(name: str, value: Any) -> tuple[str, str]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return words(name), str(value)
    if name.endswith("_seconds"):
        return words(name.removesuffix("_seconds")), duration(value)
    if name.endswith("_ratio"):
        return words(name.removesuffix("_ratio")), percent(value, 1)
    for ending, unit in UNIT_WORDS:
        if name.endswith(ending):
            return words(name.removesuffix(ending)), f"{value:,.2f} {unit}"
    return words(name), f"{value:,.4g}" if isinstance(
        value, float
    ) and value < 1e4 else f"{value:,.0f}"


def _alternatives(alternatives: list[dict[str, Any]]) -> list[Any]:
    if not alternatives:
        return [html.P("Nothing else was possible.", className="prose")]
    return [_alternative(each) for each in alternatives]


def _alternative(given: dict[str, Any]) -> html.Div:
    """One refused alternative: what, what it should gain and how surely, and why not."""
    kind, parameters = str(given.get("action", "another")), given.get("parameters") or {}
    pairs = [parameter_words(kind, name, value) for name, value in parameters.items()]
    inner = ", ".join(f"{label.lower()} {value}" for label, value in pairs)
    head = [html.B(f"{words(kind)}: {inner}" if inner else words(kind))]
    ends = ("", "low_", "high_")
    gain, low, high = (given.get(f"expected_gain_{end}usd_per_hour") for end in ends)
    if gain is not None and parameters:
        span = "" if low is None else f", {signed_usd(low)} to {signed_usd(high)}"
        head.append(html.Span(f"{signed_usd(gain)}/h{span}", className="sub"))
    why = given.get("why_not", "")
    return html.Div(
        [html.Div(head, className="row"), html.Div(why, className="sub")], className="alternative"
    )


def _timeline(timeline: pl.DataFrame) -> html.Ol:
    items = [
        html.Li(
            [
                html.Div(
                    [
                        html.B(words(row["what"])),
                        html.Span(f"by {row['by']}, {exact_instant(row['at'])}", className="sub"),
                    ],
                    className="row",
                ),
                html.Div(row["detail"], className="sub") if row["detail"] else None,
            ]
        )
        for row in timeline.iter_rows(named=True)
    ]
    return html.Ol(items, className="timeline")
