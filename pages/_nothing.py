"""What stands on a page of a console that has nothing to show yet."""

from __future__ import annotations

from dash import html

from pages._context import context
from pages._parts import empty


def nothing_yet(what: str, until_then: str) -> html.Div:
    """Why there is nothing: the fleet stopped, the history loads, or `until_then` in words."""
    status = context().status()
    if status.failure is not None:
        stopped = f"The simulated fleet stopped: {status.failure}"
        return empty(f"No {what} yet", html.Div(stopped, className="bad"))
    if not status.is_ready:
        progress = f"History is loading, {status.history_progress_ratio * 100:.0f} %."
        return empty(f"No {what} yet", html.Div(progress))
    return empty(f"No {what} yet", html.Div(until_then))
