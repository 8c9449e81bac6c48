"""How pages answer: off the event loop, and never silently.

Dash's FastAPI backend runs a plain function on the event loop, where one slow question would
hold up everybody. `answers` registers it as a coroutine that asks in a worker thread; what a
request knows (who asks) goes along, as `asyncio.to_thread` copies the context.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from dash import callback, set_props

from pages._context import NotAllowed
from pages._used import noting_downloads
from warehouse.actions import InvalidParameters
from warehouse.store import WarehouseError

F = TypeVar("F", bound=Callable[..., Any])

log = logging.getLogger("pilothouse.pages")

NOTICES = "shell-notices"
"""The id of the notification container."""

SAYS_WHAT_TO_DO: tuple[type[Exception], ...] = (NotAllowed, InvalidParameters, WarehouseError)
"""Errors whose own sentence is fit for people."""


def answers(*outputs_and_inputs: Any, **options: Any) -> Callable[[F], F]:
    """`dash.callback` for a function that asks the warehouse; returns the function itself."""

    def register(function: F) -> F:
        counted = noting_downloads(function, outputs_and_inputs)

        @functools.wraps(function)
        async def in_a_thread(*values: Any) -> Any:
            return await asyncio.to_thread(counted, *values)

        callback(*outputs_and_inputs, **options)(in_a_thread)
        return function

    return register


def notice(title: str, message: str, color: str = "harbour", *, key: str = "") -> dict[str, Any]:
    """A notification; of two with one key only one is shown at a time."""
    digest = hashlib.sha256(f"{title}{message}{key}".encode()).hexdigest()[:12]
    return {
        "action": "show",
        "id": f"notice-{digest}",
        "title": title,
        "message": message,
        "color": color,
        "autoClose": 12_000 if color == "red" else 6_000,
        "withBorder": True,
    }


def show_error(error: Exception) -> None:
    """Tell the person what went wrong and what to do; Dash's `on_error`."""
    if isinstance(error, SAYS_WHAT_TO_DO) or _is_of_the_house(error):
        shown = notice("Not done", str(error), "red")
    else:
        log.exception("a page's callback failed", exc_info=error)
        shown = notice(
            "This part of the page could not be brought up to date",
            f"{type(error).__name__}. It will be tried again by itself; what is shown may be old. "
            "The console's log has the details.",
            "red",
        )
    set_props(NOTICES, {"sendNotifications": [shown]})


def _is_of_the_house(error: Exception) -> bool:
    """Errors of the warehouse's own verbs are written for people."""
    return type(error).__module__.startswith("warehouse.")
