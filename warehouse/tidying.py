"""What keeps the warehouse fast by itself, as chores: when each is due, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from functools import partial

from warehouse import merging, retention, rollups, storage
from warehouse.clock import Clock
from warehouse.keeping import Days
from warehouse.store import Store
from warehouse.upkeep import Chore, Done

MINUTE, HOUR = 60.0, 3600.0
MERGE_SECONDS = 300.0
DAY_BEGUN_MINUTES = 30
"""After midnight, UTC, until the day before is merged."""
STORAGE_EVERY = timedelta(hours=1)
SNAPSHOTS_KEPT = timedelta(days=2)
"""How long the data can be asked what it was."""


def house_chores(store: Store, wall: Clock, days: Days) -> tuple[Chore, ...]:
    """Roll-ups, merging, retention and readings of the storage; `wall` is the machine's clock,
    `days` how long everything is kept."""
    return (
        Chore("roll_up", MINUTE, partial(_roll_up, store)),
        Chore("merge_minutes", MERGE_SECONDS, partial(_merge, store, merging.MINUTES_BYTES)),
        Chore("merge_hours", HOUR, partial(_merge, store, merging.HOURS_BYTES)),
        Chore("merge_days", HOUR, _OnceADay(wall, partial(_merge_days, store))),
        Chore("retention", HOUR, partial(_let_go, store, days)),
        Chore("snapshots", HOUR, partial(_let_snapshots_go, store, wall)),
        Chore("storage", MINUTE, partial(_read_storage, store, wall)),
    )


def _roll_up(store: Store) -> Done:
    rows = rollups.roll_up(store)
    return Done(f"{rows} rows rolled up", rows)


def _merge(store: Store, smaller_than_bytes: int | None) -> Done:
    spared = merging.merge(store, smaller_than_bytes=smaller_than_bytes)
    return Done(f"{spared} files fewer", spared)


class _OnceADay:
    """Does what it is given once a UTC day, at the first turn after it has well begun.

    Then hardly anything of the new day is merged along, and the newest readings, which the Fleet
    page asks for, are in its small files, where they are found at once.
    """

    def __init__(self, wall: Clock, act: Callable[[], Done]) -> None:
        self._wall = wall
        self._act = act
        self._done_on: date | None = None

    def __call__(self) -> Done:
        now = self._wall.now()
        today = now.date()
        if self._done_on == today or (now.hour == 0 and now.minute < DAY_BEGUN_MINUTES):
            return Done("done today already, or too early")
        done = self._act()
        self._done_on = today
        return done


def _merge_days(store: Store) -> Done:
    spared, written = merging.merge(store), merging.rewrite(store)
    flushed = merging.flush(store)
    said = f"{spared} files fewer, {written} without the rows that are gone, {flushed} tables out"
    return Done(f"{said} of the catalogue", spared + written + flushed)


def _let_go(store: Store, days: Days) -> Done:
    rows = retention.let_go(store, days)
    return Done(f"{rows} rows let go that were past their days", rows)


def _let_snapshots_go(store: Store, wall: Clock) -> Done:
    now = wall.now()
    versions = merging.let_snapshots_go(store, older_than=now - SNAPSHOTS_KEPT)
    files = merging.delete_dead_files(store, now=now)
    return Done(f"{versions} old versions and {files} files let go", versions + files)


def _read_storage(store: Store, wall: Clock) -> Done:
    now, newest_at = wall.now(), storage.read_at(store)
    if newest_at and now - newest_at < STORAGE_EVERY:
        return Done("read within the hour already")
    readings = storage.read_storage(store, now=now)
    return Done(f"{len(readings)} tables read", store.append(readings))
