"""The steps of a deed that takes several: how each stands, and what it waits for."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from pages._parts import state_badge
from pages._words import exact_instant, words
from warehouse.records import ExecutionStep


def steps_list(steps: Sequence[ExecutionStep]) -> html.Ol:
    """Each step in its order, with the newest word of it."""
    return html.Ol([_step(each) for each in steps], className="timeline")


def _step(step: ExecutionStep) -> html.Li:
    undo = "Undo: " if step.kind == "undo" else ""
    name = html.B(f"{undo}{words(step.step)}")
    head = [name, html.Span(step.target, className="mono"), state_badge(step.phase)]
    at = html.Div(exact_instant(step.happened_at), className="sub")
    told = html.Div(step.detail, className="sub warn" if step.phase == "waiting" else "sub")
    return html.Li([html.Div(head, className="row"), at, told if step.detail else None])
