"""A node's health: its score, what speaks against it, and the story of its illness."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dash import dcc, html

from pages._parts import bar, facts, state_badge, table
from pages._words import age, duration, exact_instant, instant, percent, words
from warehouse import healing
from warehouse.healing import Incident
from warehouse.records import NodeHealth, NodeIncident
from warehouse.store import Store


def health_of_node(store: Store, node_id: str, now: datetime) -> html.Div:
    """The score with its evidence, and the newest incident."""
    health = healing.node_health(store, node_id)
    told = healing.incidents(store, now=now, node_id=node_id)
    parts = [html.H3("Health"), *_health(health, now)]
    if told:
        parts += [html.H3("Its illness" if told[0].is_open else "Its last illness")]
        parts += _story(told[0], now)
        earlier = len(told) - 1
        if earlier:
            days, times = (
                healing.INCIDENT_WINDOW.days,
                "once" if earlier == 1 else f"{earlier} times",
            )
            said = f"Ill {times} before, in the last {days} days."
            parts.append(html.P(said, className="prose"))
    return html.Div(parts, className="stack")


def _health(health: NodeHealth | None, now: datetime) -> list[Any]:
    if health is None or not health.evidence:
        return [html.P("Nothing speaks against it.", className="prose")]
    tone = "bad" if health.is_suspect else "warn"
    color = "red" if health.is_suspect else "amber"
    said = "too ill to be given jobs" if health.is_suspect else "watched"
    score = html.Div(
        [
            html.B(percent(health.health_ratio), className=tone),
            html.Span(f" sound, {said}", className=tone),
            html.Span(f", judged {age(health.judged_at, now)}", className="sub"),
            bar(health.health_ratio, color),
        ]
    )
    rows = [_piece(each, now) for each in health.evidence]
    return [score, table(("What was seen", "Last", "Takes away"), rows, "Evidence")]


def _piece(piece: dict[str, Any], now: datetime) -> list[Any]:
    at = datetime.fromisoformat(piece["at"])
    said = str(piece["words"])
    return [
        html.Div(said[:1].upper() + said[1:], style={"minWidth": 180}),
        html.Span(age(at, now), className="nowrap", title=exact_instant(at)),
        percent(piece["weight_ratio"]),
    ]


def _story(told: Incident, now: datetime) -> list[Any]:
    return [
        facts(_durations(told, now)),
        html.Ol([_step(step) for step in told.steps], className="timeline"),
        _undone_links(told),
    ]


def _durations(told: Incident, now: datetime) -> list[tuple[str, Any]]:
    shown: list[tuple[str, Any]] = [("First evidence", exact_instant(told.onset_at))]
    if told.detect_seconds is not None:
        shown.append(("Time to detect", duration(told.detect_seconds)))
    if told.repair_seconds is not None:
        shown.append(("Time to repair", duration(told.repair_seconds)))
        shown.append(("Without waiting for people", duration(told.unattended_seconds)))
    elif told.is_open:
        ill_seconds = (now - told.detected_at).total_seconds()
        shown.append(("Ill for", duration(ill_seconds)))
    if told.people_seconds:
        shown.append(("Waited for a person", duration(told.people_seconds)))
    return shown


def _step(step: NodeIncident) -> html.Li:
    head = [
        state_badge(step.phase),
        html.Span(
            instant(step.happened_at), className="sub", title=exact_instant(step.happened_at)
        ),
    ]
    if step.decision_id:
        head.append(_decision(step.decision_id, "Its decision"))
    body = html.Div(step.detail.removeprefix(f"Node {step.node_id}: "), className="sub")
    return html.Li([html.Div(head, className="row"), body], title=words(step.phase))


def _undone_links(told: Incident) -> Any:
    """The decisions about it that have brought it no step: those that wait, or came to nothing."""
    named = {step.decision_id for step in told.steps}
    others = [each for each in told.decisions if each not in named]
    if not others:
        return None
    links = [_decision(each, f"Decision {number}") for number, each in enumerate(others, 1)]
    return html.Div(["Also decided on: ", *(x for link in links for x in (link, " "))])


def _decision(decision_id: str, said: str) -> dcc.Link:
    return dcc.Link(said, href=f"/decisions?id={decision_id}")
