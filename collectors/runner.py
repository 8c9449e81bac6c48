"""Running one collector: time-boxed, tried again, stored in one go, and always on record.

What a source yields is stored together with the `collector_runs` row that vouches for it, in
one transaction: a run is on record as succeeded exactly if its rows are there. A run that
brings nothing takes nothing away, so the last good rows stay.
"""

from __future__ import annotations

import itertools
import logging
import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from collectors.base import (
    Absent,
    CollectorError,
    NotHere,
    QuotaExhausted,
    RateLimited,
    Source,
    Yielded,
)
from collectors.harvest import NOTHING, Harvest, harvest_of
from collectors.timebox import Answer, Stopped, TimeBox, TimedOut, attempted
from warehouse.clock import Clock
from warehouse.records import CollectorRun
from warehouse.store import InvalidRow, Store

Outcome = Literal["succeeded", "failed", "timed_out", "skipped"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How a failed try is followed by the next, within the run's time-box."""

    most_attempts: int = 4
    """tries a run"""
    first_pause_seconds: float = 1.0
    """the pause after the first try"""
    pause_factor: float = 2.0
    """each pause is this many times the one before"""
    longest_pause_seconds: float = 60.0
    """where the growth ends"""
    jitter_ratio: float = 0.5
    """share of a pause that chance may take off, so that many consoles don't ask in step"""

    def pause_seconds(self, attempt: int, chance: float) -> float:
        """The pause after try number `attempt` (from 1); `chance` lies in 0 to 1."""
        grown = self.first_pause_seconds * self.pause_factor ** (attempt - 1)
        return min(grown, self.longest_pause_seconds) * (1.0 - self.jitter_ratio * chance)


@dataclass(frozen=True)
class _Hold:
    """A source that asked to be left alone, by the runner's own seconds."""

    until_seconds: float
    why: str


@dataclass(frozen=True)
class _Ending:
    """How a run ended, before it is stored."""

    outcome: Outcome
    attempts: int
    detail: str | None = None
    harvest: Harvest = NOTHING


class Runner:
    """Runs sources; safe to use from many threads, one run a source at a time.

    Sources of the real world go with a wall clock, a simulated fleet with its own: the clock
    tells what `now` is and when a run began. Time-boxes and pauses are real seconds always.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        pace: Pace = Pace(),
        seconds: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`wait(seconds)` pauses and says whether the runner was stopped meanwhile."""
        self._store = store
        self._clock = clock
        self._pace = pace
        self._seconds = seconds
        self._is_stopping = threading.Event()
        self._wait = wait or self._is_stopping.wait
        self._chance = chance
        self._lock = threading.Lock()
        self._waited_for: dict[str, TimeBox[list[Yielded]]] = {}
        self._abandoned: dict[str, TimeBox[list[Yielded]]] = {}
        self._holds: dict[str, _Hold] = {}

    # -- what others call ----------------------------------------------------------

    def run(self, source: Source) -> CollectorRun:
        """Run a source once and put the run on record. Never raises."""
        started_at, started_seconds = self._clock.now(), self._seconds()
        ending = self._ending(source, started_seconds + source.time_limit_seconds)
        took_seconds = round(max(self._seconds() - started_seconds, 0.0), 6)
        return self._recorded(source.name, ending, started_at, took_seconds)

    def record_absent(self, name: str, absent: Absent) -> CollectorRun:
        """Put on record that a collector has nothing to read here; once, at the start."""
        return self._recorded(name, _Ending("skipped", 0, absent.reason), self._clock.now(), 0.0)

    def stop(self) -> None:
        """Let every run that waits end now; no further one asks its source."""
        self._is_stopping.set()
        with self._lock:
            for box in self._waited_for.values():
                box.stop()

    # -- how a run ends ------------------------------------------------------------

    def _ending(self, source: Source, deadline_seconds: float) -> _Ending:
        hold = self._holds.get(source.name)
        if hold and self._seconds() < hold.until_seconds:
            return _Ending("skipped", 0, hold.why)
        abandoned = self._abandoned.get(source.name)
        if abandoned and abandoned.is_running:
            return _Ending("timed_out", 0, "an earlier run hangs still, so no second was started")
        return self._tried(source, deadline_seconds)

    def _tried(self, source: Source, deadline_seconds: float) -> _Ending:
        for attempt in itertools.count(1):
            answer = self._asked(source, deadline_seconds)
            if answer.error is None:
                harvest = harvest_of(answer.unwrapped())
                return _Ending("succeeded", attempt, harvest.remarks, harvest)
            pause_seconds = self._pause_seconds(answer.error, attempt)
            if pause_seconds >= deadline_seconds - self._seconds() or self._wait(pause_seconds):
                return self._given_up(source, answer.error, attempt)
        raise AssertionError("unreachable")

    def _asked(self, source: Source, deadline_seconds: float) -> Answer[list[Yielded]]:
        now = self._clock.now()
        box = TimeBox(lambda: list(source.collect(now)), f"collect-{source.name}")
        with self._lock:
            self._waited_for[source.name] = box
            if self._is_stopping.is_set():
                box.stop()
        answer = box.answer(deadline_seconds - self._seconds())
        with self._lock:
            self._waited_for.pop(source.name, None)
            if isinstance(answer.error, (TimedOut, Stopped)):
                self._abandoned[source.name] = box
        return answer

    def _pause_seconds(self, error: BaseException, attempt: int) -> float:
        """How long to wait before the next try; for ever if there is to be none."""
        if not (isinstance(error, CollectorError) and error.may_be_retried):
            return math.inf
        if attempt >= self._pace.most_attempts:
            return math.inf
        pause_seconds = self._pace.pause_seconds(attempt, self._chance())
        asked_for = error.retry_after_seconds if isinstance(error, RateLimited) else None
        return max(pause_seconds, asked_for or 0.0)

    def _given_up(self, source: Source, error: BaseException, attempt: int) -> _Ending:
        self._hold(source, error)
        if isinstance(error, TimedOut):
            limit = f"{source.time_limit_seconds:g} s"
            return _Ending("timed_out", attempt, f"no answer within {limit}: left to itself")
        if isinstance(error, Stopped):
            return _Ending("skipped", attempt, "the console stopped before the answer came")
        if isinstance(error, NotHere):
            return _Ending("skipped", attempt, str(error))
        if isinstance(error, CollectorError):
            return _Ending("failed", attempt, str(error))
        log.error("collector %s broke", source.name, exc_info=error)
        return _Ending("failed", attempt, f"the collector broke: {type(error).__name__}: {error}")

    def _hold(self, source: Source, error: BaseException) -> None:
        """Leave a source alone as long as it asked, over later runs, too."""
        now = self._clock.now()
        if isinstance(error, QuotaExhausted):
            until = error.until
        elif isinstance(error, RateLimited) and error.retry_after_seconds:
            until = now + timedelta(seconds=error.retry_after_seconds)
        else:
            return
        self._holds[source.name] = _Hold(
            self._seconds() + (until - now).total_seconds(),
            f"not asked before {_in_words(until)}: {error}",
        )

    # -- how it is stored ----------------------------------------------------------

    def _recorded(
        self, name: str, ending: _Ending, started_at: datetime, took_seconds: float
    ) -> CollectorRun:
        run = _run_of(name, ending, started_at, took_seconds)
        stored = attempted(lambda: self._append(run, ending.harvest))
        if stored.error is None:
            return run
        not_stored = _Ending("failed", ending.attempts, _why_not_stored(stored.error))
        log.error("collector %s: %s", name, not_stored.detail)
        failed = _run_of(name, not_stored, started_at, took_seconds)
        noted = attempted(lambda: self._append(failed, NOTHING))
        if noted.error is not None:
            log.error("the run of %s is not on record", name, exc_info=noted.error)
        return failed

    def _append(self, run: CollectorRun, harvest: Harvest) -> None:
        stamped = harvest.stored_at(self._clock.now())
        with self._store.transaction():
            self._store.append([*stamped.records, run])
            for record_class, frame in stamped.frames:
                self._store.append_frame(record_class, frame)


def _run_of(name: str, ending: _Ending, started_at: datetime, took_seconds: float) -> CollectorRun:
    return CollectorRun(
        collector=name,
        outcome=ending.outcome,
        row_count=ending.harvest.row_count,
        attempt_count=ending.attempts,
        detail=ending.detail,
        started_at=started_at,
        duration_seconds=took_seconds,
    )


def _why_not_stored(error: BaseException) -> str:
    if isinstance(error, InvalidRow):
        return f"a row breaks its table's declaration, so nothing was stored: {error}"
    return f"the warehouse didn't take the rows: {type(error).__name__}: {error}"


def _in_words(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
