"""The incidents of the fleet: which nodes are ill, which were, and how long they were away."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dash import dcc, html

from pages._parts import empty, figure_tile, state_badge, table
from pages._words import MISSING, age, count, duration, exact_instant
from warehouse import healing
from warehouse.healing import Incident, Times
from warehouse.store import Store

MOST_SHOWN = 12
"""Incidents in the panel; the API has them all."""


def incidents_panel(store: Store, now: datetime) -> Any:
    """How long nodes are away, then the incidents: open ones first."""
    found = healing.incidents(store, now=now)
    days = healing.INCIDENT_WINDOW.days
    if not found:
        why = "Nodes are watched for XID and memory errors, heat, silence and jobs that fail."
        return empty(f"No node has been ill in the last {days} days", html.Div(why))
    shown = found[:MOST_SHOWN]
    more = len(found) - len(shown)
    left_out = f"{count(more)} more in the API: /api/v1/fleet/incidents" if more else None
    head = ("Node", "What was found", "Now", "Found", "To detect", "To repair", "Without people")
    rows = [_row(each, now) for each in shown]
    return html.Div(
        [
            html.Div(_tiles(found, healing.times(found), days), className="tiles"),
            table(head, rows, "Incidents"),
            html.Div(left_out, className="sub") if left_out else None,
        ],
        className="stack",
    )


def _tiles(found: list[Incident], times: Times, days: int) -> list[html.Div]:
    ill = sum(each.is_open for each in found)
    return [
        figure_tile(
            "Ill now",
            count(ill),
            "node" if ill == 1 else "nodes",
            f"{count(len(found))} found in {days} days",
            "bad" if ill else "",
        ),
        figure_tile(
            "Median time to detect",
            duration(times.detect_median_seconds),
            note=f"mean {duration(times.detect_mean_seconds)}, from the first evidence",
        ),
        figure_tile(
            "Median time to repair",
            duration(times.repair_median_seconds),
            note=f"mean {duration(times.repair_mean_seconds)}, until back in use",
        ),
        figure_tile(
            "Without waiting for people",
            duration(times.unattended_median_seconds),
            note=f"mean {duration(times.unattended_mean_seconds)}, median of the same repairs",
        ),
    ]


def _row(each: Incident, now: datetime) -> list[Any]:
    return [
        dcc.Link(each.node_id, href=f"/fleet?node={each.node_id}", className="nowrap"),
        html.Div(_found(each), className="sub", style={"minWidth": 220}),
        state_badge(each.phase),
        html.Span(
            age(each.detected_at, now), className="nowrap", title=exact_instant(each.detected_at)
        ),
        html.Span(duration(each.detect_seconds), className="nowrap"),
        html.Span(_repair(each, now), className="nowrap"),
        html.Span(duration(each.unattended_seconds), className="nowrap"),
    ]


def _found(each: Incident) -> str:
    return each.detail.removeprefix(f"Node {each.node_id}: ")


def _repair(each: Incident, now: datetime) -> str:
    if each.is_open:
        return f"{duration((now - each.detected_at).total_seconds())} so far"
    return duration(each.repair_seconds) if each.repair_seconds is not None else MISSING
