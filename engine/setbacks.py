"""Setbacks: what keeps failing is tried ever more rarely, and put on record as rarely."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

SHORTEST_SECONDS = 60.0
"""Between a first failure and the next attempt."""
LONGEST_SECONDS = 3600.0
"""Between two attempts at most; each wait is twice the one before."""


@dataclass
class Setbacks:
    """Which pieces of work failed and may not be tried yet; real time, kept in memory only."""

    seconds: Callable[[], float] = time.monotonic
    """A clock that no one sets"""
    _waits: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By piece of work: when it may be tried again, and how long it waits, in seconds."""

    def must_wait(self, work: str) -> bool:
        """Whether it failed too lately to be tried again."""
        return work in self._waits and self.seconds() < self._waits[work][0]

    def failed(self, work: str) -> None:
        """Let it wait, twice as long as the last time."""
        before = self._waits.get(work)
        wait = min(before[1] * 2, LONGEST_SECONDS) if before else SHORTEST_SECONDS
        self._waits[work] = (self.seconds() + wait, wait)

    def succeeded(self, work: str) -> None:
        """Forget what was."""
        self._waits.pop(work, None)
