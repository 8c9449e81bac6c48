"""What every page is given: the warehouse, the clock, and what the console says of itself.

Dash executes page files itself and passes them nothing, so `create_pages` leaves the context
here and pages ask for it when they are asked, never when they are imported.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, ParamSpec, TypeVar

from pages._kept import Kept
from warehouse.analyst import Analyst
from warehouse.clock import Clock, WallClock
from warehouse.export_terms import ExportTerms
from warehouse.people import Person, current_person
from warehouse.records import Role
from warehouse.store import Store

P = ParamSpec("P")
T = TypeVar("T")

MOMENT_SECONDS = 5.0
"""How long is kept what changes with every reading"""
MINUTE_SECONDS = 60.0
"""How long is kept what is judged by days and weeks"""


@dataclass(frozen=True)
class ConsoleStatus:
    """What the banner says of the console."""

    is_simulated: bool
    """Whether the fleet is a simulated one."""
    workload: str
    """Whence its work comes, in words; empty for a real fleet."""
    fleet_now: datetime
    """The fleet's instant, UTC."""
    speed: float
    """Fleet seconds per real second."""
    history_progress_ratio: float
    """How much of the history is produced, 0 to 1."""
    is_ready: bool
    """Whether the history is complete and the fleet runs live."""
    failure: str | None = None
    """Why the simulated fleet stopped; None while it runs."""
    led_by: str | None = None
    """Who acts, where another console does and this one only looks; None where this one acts."""


@dataclass(frozen=True)
class Context:
    """What pages ask questions with."""

    store: Store
    clock: Clock
    status: Callable[[], ConsoleStatus]
    wall: Clock = field(default_factory=WallClock)
    """The machine's clock, by which collectors run."""
    analyst: Analyst | None = None
    """Who answers people's own questions; None where nobody does."""
    exports: ExportTerms | None = None
    """Where exports go and what names they bear; None where none are written."""
    exports_are_scheduled: bool = False
    """Whether what is due is written by itself."""
    kept: Kept = field(default_factory=Kept)
    """What was asked within moments"""

    def now(self) -> datetime:
        """The console's instant, UTC."""
        return self.clock.now()


class NotAllowed(Exception):
    """The person's role does not reach; the sentence says whom to ask."""


_current: list[Context] = []


def set_context(given: Context) -> None:
    """Leave the context for the pages; the newest holds."""
    _current[:] = [given]


def context() -> Context:
    """What the pages were given."""
    assert _current, "create_pages has not run"
    return _current[0]


def kept(seconds: float) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Of a page's question: its answer to the same arguments, which must be hashable, is kept.

    For what is the same for whoever asks, and is not what a person has just changed.
    """

    def of(function: Callable[P, T]) -> Callable[P, T]:
        name = f"{function.__module__}.{function.__qualname__}"

        @functools.wraps(function)
        def asked(*args: P.args, **kwargs: P.kwargs) -> T:
            key = (name, args, tuple(sorted(kwargs.items())))
            return context().kept.get(key, seconds, lambda: function(*args, **kwargs))

        return asked

    return of


def may(role: Role) -> bool:
    """Whether whoever asks has at least this role."""
    person = current_person.get()
    return person is not None and person.may(role)


def needed(role: Role) -> Person:
    """Whoever asks, who must have at least this role.

    Raises:
        NotAllowed: they have less.
    """
    person = current_person.get()
    if person is None:
        raise NotAllowed("You are signed out. Reload this page and sign in again.")
    if not person.may(role):
        raise NotAllowed(
            f"This takes the role {role}, and {person.name} is a {person.role}. "
            "Ask an admin for it."
        )
    return person


def door_of(person: Person) -> Literal["browser", "api"]:
    """By which door a verdict came: a token may ask the pages too, and is no browser."""
    return "browser" if person.via == "browser" else "api"
