"""The jobs of the house: each is run at its pace, put on record, and stops no other by failing.

A chore is rows to rows, or rows to files: roll-ups, merging, retention, metering, exports. What it
does is a function in its noun's module; here is when, and what is told of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from warehouse.clock import Clock
from warehouse.records import UpkeepRun
from warehouse.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Done:
    """What a chore did, in words, and how many rows it wrote or removed."""

    detail: str
    row_count: int = 0


@dataclass(frozen=True)
class Chore:
    """A job of the house: its name, its pace, and the function that does it."""

    name: str
    every_seconds: float
    act: Callable[[], Done]


class Upkeep:
    """Runs chores and keeps their record. `clock` is the machine's."""

    def __init__(
        self, store: Store, clock: Clock, leads: Callable[[], bool] = lambda: True
    ) -> None:
        """`leads` says whether this console does them: of several that share a warehouse, one."""
        self._store = store
        self._clock = clock
        self._leads = leads

    def run(self, chore: Chore) -> UpkeepRun | None:
        """Do it once, and put it on record where it did something or failed. Never raises."""
        if not self._leads():
            return None
        started_at, started_seconds = self._clock.now(), time.monotonic()
        done, failed = Done(""), None
        try:
            done = chore.act()
        except Exception as error:
            log.exception("the chore %s failed", chore.name)
            failed = f"{type(error).__name__}: {error}"
        run = UpkeepRun(
            job=chore.name,
            outcome="failed" if failed else "succeeded",
            detail=failed or done.detail,
            row_count=done.row_count,
            started_at=started_at,
            duration_seconds=round(time.monotonic() - started_seconds, 6),
        )
        if failed or done.row_count:
            self._note(run)
        return run

    def _note(self, run: UpkeepRun) -> None:
        try:
            self._store.append([run])
        except Exception:
            log.exception("the run of the chore %s is not on record", run.job)
