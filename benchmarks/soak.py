"""Weeks of a fleet's life in an hour or less: do memory, files and questions level off?

    python -m benchmarks.soak --days 21

A simulated fleet is read every five minutes of its own time and its rows are stored as a console
stores them; roll-ups, merging, retention, metering and exports are the console's own chores, done
when they are due by the fleet's time. Rows are kept for shorter than by default, so that old ones
go many times over within the run. After each day of the fleet: this process's memory, the files and
bytes of the warehouse, and what the pages' questions take. At the end the last third of the days is
held against the third before it.

The fleet itself keeps every job it ever had; what it takes is told apart, by a fleet that is played
without a warehouse (`python -m benchmarks.soak --bare`).
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from benchmarks._timing import machine, milliseconds
from engine.simulator.generate import Upkept
from engine.simulator.session import FleetAsked, FleetSession
from warehouse import fleet, jobs, metering, money, telemetry
from warehouse.clock import FleetClock
from warehouse.export_making import Exporter
from warehouse.export_schedule import export_due
from warehouse.export_terms import ExportTerms
from warehouse.keeping import days_kept
from warehouse.metering_hours import Meter
from warehouse.store import Location, Store

START = datetime(2026, 11, 2, tzinfo=UTC)
KEPT_DAYS = {
    "gpu_samples": 1.0,
    "gpu_rollups_60": 2.0,
    "gpu_rollups_300": 4.0,
    "gpu_rollups_3600": 6.0,
    "node_states": 4.0,
    "collector_runs": 4.0,
    "upkeep_runs": 4.0,
}
"""Days, in place of those by default; the fleet lives through them several times."""
REPEATS = 5
_HELD = "SELECT sum(memory_usage_bytes) FROM duckdb_memory()"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Life:
    """A fleet, its warehouse, and what a console does for them as the fleet's time passes."""

    def __init__(self, home: Path, gpus: int) -> None:
        self.store = Store(Location.embedded(home))
        asked = FleetAsked(seed=7, history=HOUR, live_from=START, gpus=gpus, speed=0.0)
        self.session = FleetSession.open(self.store, asked, wall_now=START)
        if not self.session.catch_up(threading.Event()):
            raise RuntimeError(self.session.failure)
        kept = {**days_kept(KEPT_DAYS["gpu_samples"]), **KEPT_DAYS}
        self.upkept = Upkept(self.store, kept)
        self.home = home

    def days(self, days: int) -> Iterator[datetime]:
        """Live so many days; yields the end of each."""
        for day in range(days):
            for hour in range(24):
                self._hour(START + day * DAY + (hour + 1) * HOUR)
            self._night(START + (day + 1) * DAY)
            yield START + (day + 1) * DAY

    def _hour(self, until: datetime) -> None:
        with self.store.transaction():
            for record_class, frame in self.session.played_to(until):
                self.store.append_frame(record_class, frame)
        self.upkept.after(until)

    def _night(self, at: datetime) -> None:
        clock = FleetClock(at, 0.0)
        Meter(self.store, clock).run()
        export_due(Exporter(self.store, ExportTerms(place=str(self.home / "exports")), clock))
        self.upkept.tidy()


def memory_bytes() -> int:
    """What this process holds of the machine's memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def questions(store: Store, now: datetime) -> dict[str, Callable[[], object]]:
    """What pages ask most."""
    since = now - 7 * DAY
    spent = partial(money.earnings, store, since=since, until=now, step_seconds=3600)
    return {
        "map": partial(fleet.gpu_map, store),
        "pools": partial(fleet.pool_overview, store, now=now),
        "GPUs over a week": partial(telemetry.gpu_utilisation, store, since=since, until=now),
        "jobs": partial(jobs.jobs, store, now=now),
        "earnings": spent,
        "bill": partial(metering.by, store, since=since, until=now, keys=("tenant",)),
    }


def measured(life: Life, now: datetime) -> dict[str, float]:
    """One line of the table."""
    files = list((life.home / "parquet").rglob("*.parquet"))
    taken = {
        name: statistics.median(milliseconds(ask, REPEATS))
        for name, ask in questions(life.store, now).items()
    }
    return {
        "memory MiB": memory_bytes() / 2**20,
        "of it DuckDB MiB": life.store.query(_HELD).item() / 2**20,
        "files": len(files),
        "Parquet MiB": sum(path.stat().st_size for path in files) / 2**20,
        "catalogue MiB": sum(path.stat().st_size for path in life.home.glob("catalogue*")) / 2**20,
        **{f"{name} ms": each for name, each in taken.items()},
    }


def bare(days: int, gpus: int) -> None:
    """What the fleet takes by itself."""
    from engine.simulator.fleet import SimulatedFleet
    from engine.simulator.settings import FleetSettings, default_pools

    played = SimulatedFleet(FleetSettings(7, default_pools(gpus), START))
    for day in range(days):
        played.advance_to(START + (day + 1) * DAY)
        if (day + 1) % 7 == 0:
            used = memory_bytes() / 2**20
            print(f"day {day + 1}: {used:.0f} MiB with nothing stored")


def main() -> None:
    """Print a line a day, and the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--days", type=int, default=21)
    parser.add_argument("--gpus", type=int, default=128)
    parser.add_argument("--bare", action="store_true", help="the fleet alone, without a warehouse")
    given = parser.parse_args()
    print(machine())
    if given.bare:
        return bare(given.days, given.gpus)
    with tempfile.TemporaryDirectory() as home:
        lines = _lived(Life(Path(home), given.gpus), given.days)
    third = len(lines) // 3
    for name in lines[0]:
        before, last = (
            statistics.median(line[name] for line in part)
            for part in (lines[third : 2 * third], lines[2 * third :])
        )
        print(f"{name:24} {before:9.1f} -> {last:9.1f}   x {last / before:.2f}")
    return None


def _lived(life: Life, days: int) -> list[dict[str, float]]:
    lines = []
    started_seconds = time.perf_counter()
    for day, now in enumerate(life.days(days), 1):
        lines.append(measured(life, now))
        shown = "  ".join(f"{name} {each:.1f}" for name, each in lines[-1].items())
        print(f"day {day:3} at {time.perf_counter() - started_seconds:5.0f} s: {shown}", flush=True)
    life.store.close()
    return lines


if __name__ == "__main__":
    main()
