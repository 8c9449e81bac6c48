"""What is paused now: why, since when, and until when."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dash import Input, Output, State, html, no_update

from pages._callbacks import answers
from pages._context import context
from pages._parts import state_badge, table
from pages._words import MISSING, duration, exact_instant, words
from warehouse.pauses import Pause, pauses


def paused_box(found: list[Pause], now: datetime) -> Any:
    """A row for everything that is paused; a word where nothing is."""
    if not found:
        return html.Div("Nothing is paused.", className="sub")
    head = ("What", "By", "Why", "For", "Until")
    return table(head, [_row(each, now) for each in found], "Paused now")


def _row(pause: Pause, now: datetime) -> list[Any]:
    lasting = duration(pause.seconds(now)) if pause.since_at else MISSING
    until = exact_instant(pause.until_at)[:16] if pause.until_at else "somebody changes it"
    return [
        html.B(words(pause.action) if pause.action else "Every action"),
        state_badge(pause.reason),
        html.Div(pause.words, style={"minWidth": 180}),
        html.Span(lasting, className="nowrap", title=exact_instant(pause.since_at)),
        html.Span(until, className="nowrap" if pause.until_at else "sub"),
    ]


def register() -> None:
    """Register the callback that keeps the list up to date with the app that is being made."""
    answers(
        Output("admin-paused", "children"),
        Output("admin-paused-shown", "data"),
        Input("shell-tick", "n_intervals"),
        State("admin-paused-shown", "data"),
    )(show_paused)


def show_paused(n_intervals: int | None, shown: str | None) -> tuple[Any, str]:
    """What is paused, drawn anew only when it looks different."""
    now = context().now()
    found = pauses(context().store, now=now, wall_now=context().wall.now())
    digest = "|".join(f"{each} {duration(each.seconds(now))}" for each in found) or "none"
    return no_update if digest == shown else paused_box(found, now), digest
