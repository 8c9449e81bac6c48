"""A home with months of a large fleet's past, as a console would have it that had run so long.

    python app.py generate --home /data/large --days 90 --gpus 1000
    python app.py --home /data/large

The fleet is played and its GPUs are read as telemetry reads them; roll-ups, metering, retention and
merging are the console's own. So that months come in minutes, GPUs are read every 15 s only on the
days whose raw samples are kept, each minute where roll-ups of a minute are, and every five minutes
before. As many rows remain as if they had been read every 15 s all along. Stopped or killed, it
goes on where it stood.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console as Terminal
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from engine.simulator.session import FleetAsked, FleetSession, SessionError
from engine.simulator.source import Fineness
from warehouse import merging, retention, rollups, storage
from warehouse.clock import FleetClock
from warehouse.keeping import Days, days_kept
from warehouse.metering_hours import Meter
from warehouse.settings import Settings
from warehouse.store import Location, Store, WarehouseError

FINE_SECONDS = 15
"""between two readings on the days whose raw samples are kept"""
MINUTE_SECONDS = 60
COARSE_SECONDS = 300


@dataclass(frozen=True)
class Kept:
    """For how long what is kept, as the retention has it."""

    raw: timedelta
    minutes: timedelta

    @classmethod
    def by(cls, days: Days) -> Kept:
        """By the days of every table."""
        raw, minutes = days["gpu_samples"], days["gpu_rollups_60"]
        whole = timedelta(days=400)
        return cls(
            timedelta(days=raw) if raw else whole, timedelta(days=minutes) if minutes else whole
        )

    def fineness(self, until: datetime) -> Fineness:
        """How often GPUs are read, for a past that ends at `until`."""

        def seconds(at: datetime) -> int:
            if at >= until - self.raw - timedelta(days=1):
                return FINE_SECONDS
            if at >= until - self.minutes - timedelta(days=1):
                return MINUTE_SECONDS
            return COARSE_SECONDS

        return seconds


class Upkept:
    """Does what a console's chores do, as the fleet's time passes instead of the machine's."""

    def __init__(self, store: Store, days: Days) -> None:
        self._store = store
        self._days = days
        self._day: date | None = None
        self._stored_until_at: datetime | None = None

    def after(self, at: datetime) -> None:
        """What is due once the rows up to an instant of the fleet are stored."""
        stored = at - self._stored_until_at if self._stored_until_at else rollups.PIECE
        # What was stored in one go is rolled up in one go: by the hour costs 0.4 s an hour.
        rollups.roll_up(self._store, max(stored, rollups.PIECE))
        self._stored_until_at = at
        if self._day != at.date():
            self._day = at.date()
            self.meter(at)
            self.tidy()

    def meter(self, at: datetime) -> None:
        """Meter what is whole, while raw readings still tell who held what without an event."""
        Meter(self._store, FleetClock(at, 0.0)).run()

    def tidy(self) -> None:
        """Leave the warehouse as a console leaves it at night, without its older versions."""
        store, now = self._store, datetime.now(UTC)
        retention.let_go(store, self._days)
        merging.merge(store)
        merging.rewrite(store)
        merging.flush(store)
        merging.let_snapshots_go(store, older_than=now)
        # Nobody reads what was merged just now.
        merging.delete_dead_files(store, now=now + merging.READERS_NEED)
        storage.read_storage(store, now=now)


def generate(
    store: Store, asked: FleetAsked, days: Days, told: Callable[[float], None]
) -> FleetSession:
    """Fill a warehouse with the past of a fleet; `told` hears the share that is done.

    Raises:
        SessionError: the fleet can't be had, or the warehouse refused its rows.
    """
    session = FleetSession.open(store, asked, wall_now=datetime.now(UTC))
    upkept = Upkept(store, days)

    def after(at: datetime) -> None:
        upkept.after(at)
        told(session.progress_ratio)

    fine = Kept.by(days).fineness(session.live_from_at)
    if not session.catch_up(threading.Event(), fine, after):
        raise SessionError(session.failure or "the past was not finished: run the command again")
    upkept.meter(session.live_from_at)
    upkept.tidy()
    return session


def main(arguments: Sequence[str]) -> int:
    """The command `generate`; returns the exit status."""
    given = _parser().parse_args(arguments)
    asked = FleetAsked(seed=given.seed, history=timedelta(days=given.days), gpus=given.gpus)
    try:
        store = Store(Location.embedded(given.home))
        try:
            _generate(store, asked)
        finally:
            store.close()
    except (SessionError, WarehouseError) as error:
        print(f"pilothouse: {error}", file=sys.stderr)
        return 1
    print(f"Start it with: python app.py --home {given.home}")
    return 0


def _generate(store: Store, asked: FleetAsked) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    from_environment: dict[str, Any] = {}
    days = days_kept(Settings(**from_environment).sample_days)
    started_seconds = time.monotonic()
    with Progress(*columns, TimeElapsedColumn()) as progress:
        task = progress.add_task("The fleet's past", total=1.0)
        generate(store, asked, days, lambda done: progress.update(task, completed=done))
        progress.update(task, completed=1.0)
    took_seconds = time.monotonic() - started_seconds
    rows = store.query("SELECT count(*) FROM gpu_rollups").item()
    Terminal().print(f"Done in {took_seconds:.0f} s: {rows:,} rows of roll-ups.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python app.py generate",
        description="Make a home that holds months of a large simulated fleet's past.",
        epilog="About half an hour for 90 days of 1,000 GPUs; run again, it goes on.",
    )
    parser.add_argument("--home", type=Path, required=True, help="data folder, made if not there")
    parser.add_argument("--days", type=float, default=90.0, help="days of past (90)")
    parser.add_argument("--gpus", type=int, default=1000, help="GPUs that the fleet owns (1000)")
    parser.add_argument("--seed", type=int, default=7, help="same seed, same luck")
    return parser
