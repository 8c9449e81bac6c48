"""A day of telemetry: bytes a value, values a second, and the pages' questions; and Prometheus with
the same readings and the same questions.

    python benchmarks/telemetry.py [--gpus 1000] [--hours 24] [--without-prometheus]

A value is a numeric measurement that is not NULL (18 a reading: `benchmarks/_telemetry.py` lists
them). The first hour comes as a collector brings it, a round of 15 s an append, with roll-ups every
minute and merging every five; the rest in pieces of 5 minutes. Then the day is merged, and half an
hour more comes by rounds, as after midnight. Thirty days are the day's own hourly roll-ups, moved
back day by day.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import _prometheus
from benchmarks._telemetry import CONSTANT, MEASUREMENTS, Telemetry, gpu_id
from benchmarks._timing import machine, milliseconds, row
from warehouse import fleet, merging, rollups, storage, telemetry
from warehouse.records import GpuRollup, GpuSample, Ticket
from warehouse.store import Location, Store

STARTS_AT = datetime(2026, 11, 22, tzinfo=UTC)
ROUNDS_A_PIECE = 20
REPEATS = 15


@dataclass
class Loaded:
    """How the loading went."""

    values: int = 0
    """stored"""
    round_seconds: float = 0.0
    """that the appends of the first hour took"""
    round_values: int = 0
    piece_seconds: float = 0.0
    """that the appends of the other hours took"""
    piece_values: int = 0
    roll_up_seconds: list[float] = field(default_factory=list)
    """of each roll-up of a minute, in the first hour"""


def timed(act: Callable[[], object]) -> float:
    """The seconds that it takes."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def load(store: Store, frames: Iterator[pl.DataFrame], gpus: int) -> Loaded:
    """Store the readings, an hour a frame, and keep the house as the console does."""
    loaded = Loaded()
    for hour, frame in enumerate(frames):
        if hour == 0:
            _by_rounds(store, frame, gpus, loaded)
        else:
            size = ROUNDS_A_PIECE * gpus
            for first in range(0, frame.height, size):
                piece = frame.slice(first, size)
                loaded.piece_seconds += timed(lambda p=piece: store.append_frame(GpuSample, p))  # type: ignore[misc]
                loaded.piece_values += piece.height * len(MEASUREMENTS)
        rollups.roll_up(store)
        merging.merge(store, smaller_than_bytes=merging.MINUTES_BYTES)
    loaded.values = loaded.round_values + loaded.piece_values
    return loaded


def _by_rounds(store: Store, frame: pl.DataFrame, gpus: int, loaded: Loaded) -> None:
    for number, first in enumerate(range(0, frame.height, gpus)):
        piece = frame.slice(first, gpus)
        loaded.round_seconds += timed(lambda p=piece: store.append_frame(GpuSample, p))  # type: ignore[misc]
        loaded.round_values += piece.height * len(MEASUREMENTS)
        if number % 4 == 3:
            loaded.roll_up_seconds.append(timed(lambda: rollups.roll_up(store)))
        if number % 20 == 19:
            merging.merge(store, smaller_than_bytes=merging.MINUTES_BYTES)


@contextmanager
def approvals_beside(store: Store, waits: list[float]) -> Iterator[None]:
    """Somebody else gives and takes a ticket twenty times a second, as an approval does."""
    stop = threading.Event()

    def approve() -> None:
        number = 0
        while not stop.wait(0.05):
            number += 1
            ticket = Ticket(decision_id=f"benchmark-{number}", purpose="verdict")
            waits.append(1000 * timed(lambda t=ticket: store.append([t])))  # type: ignore[misc]
            with store.transaction():
                store.take(ticket)

    thread = threading.Thread(target=approve)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def thirty_days(store: Store) -> None:
    """Hourly roll-ups of the 29 days before, made of the day's own."""
    day = store.query("SELECT * FROM gpu_rollups WHERE period_seconds = 3600")
    for back in range(1, 30):
        moved = day.with_columns(pl.col("starts_at") - timedelta(days=back))
        store.append_frame(GpuRollup, moved)
    merging.merge(store)


def report_size(store: Store, loaded: Loaded) -> None:
    """Print bytes a value, of the raw samples and of their roll-ups."""
    sizes = {each.table_name: each for each in storage.read_storage(store, now=STARTS_AT)}
    samples, rolled = sizes["gpu_samples"], sizes["gpu_rollups"]
    varying = loaded.values * (1 - len(CONSTANT) / len(MEASUREMENTS))
    print(f"{loaded.values:,} values in {samples.file_count} files, {samples.size_bytes:,} bytes")
    print(f"bytes a value on disk: {samples.size_bytes / loaded.values:.3f}  aim 1.0")
    print(f"bytes a value, hardly changing ones not counted: {samples.size_bytes / varying:.3f}")
    print(f"roll-ups of them: {rolled.file_count} files, {rolled.size_bytes:,} bytes")


def report_questions(store: Store, until: datetime, hours: int, one: str) -> None:
    """Print how long each question takes."""
    day, hour = until - timedelta(hours=hours), until - timedelta(hours=1)

    def ask(what: str, act: Callable[[], object], aim: float | None = None) -> None:
        row(what, milliseconds(act, REPEATS), aim)

    load_of = telemetry.fleet_load
    ask(
        "the last hour by minute, p95 too",
        lambda: load_of(store, since=hour, until=until, step_seconds=60),
        50,
    )
    ask(
        f"{hours} h by 5 minutes with p95 over GPUs",
        lambda: load_of(store, since=day, until=until, step_seconds=300),
        150,
    )
    ask(
        f"one GPU's {hours} h by minute",
        lambda: telemetry.gpu_history(store, one, since=day, until=until),
        5,
    )
    ask(
        f"one GPU's {hours} h, every raw reading",
        lambda: store.query(_ONE, gpu=one, since=day, until=until),
        5,
    )
    ask(
        "30 days by hour with p95 over GPUs",
        lambda: load_of(store, since=until - timedelta(days=30), until=until, step_seconds=3600),
        150,
    )
    ask("the newest reading of every GPU", lambda: fleet.gpu_map(store), 100)
    ask(
        "the last hour by minute, of raw samples",
        lambda: store.query(_BY_MINUTE, since=hour, until=until),
    )
    ask(
        f"{hours} h by 5 minutes with p95 over GPUs, of raw samples",
        lambda: store.query(_P95, since=day, until=until),
    )
    ask(
        "the least a question costs: one row of one table",
        lambda: store.query("SELECT * FROM rollup_marks"),
    )


_ONE = """
    SELECT measured_at, utilisation_ratio, power_watts FROM gpu_samples
    WHERE gpu_id = $gpu AND measured_at >= $since AND measured_at < $until ORDER BY measured_at
"""
_BY_MINUTE = """
    SELECT time_bucket(INTERVAL 1 MINUTE, measured_at) AS "at", avg(utilisation_ratio) AS used
    FROM gpu_samples WHERE measured_at >= $since AND measured_at < $until GROUP BY 1 ORDER BY 1
"""
_P95 = """
    SELECT "at", quantile_cont(used, 0.95) AS p95 FROM (
        SELECT gpu_id, time_bucket(INTERVAL 5 MINUTE, measured_at) AS "at",
            avg(utilisation_ratio) AS used
        FROM gpu_samples WHERE measured_at >= $since AND measured_at < $until GROUP BY ALL
    ) GROUP BY 1 ORDER BY 1
"""


def compare(gpus: int, hours: int, until: datetime, one: str) -> None:
    """Load Prometheus with the same readings and ask it the same."""
    if not _prometheus.is_installed():
        print("Prometheus is not installed (Debian: prometheus): the comparison is left out.")
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        _prometheus.prometheus(Path(folder)) as other,
    ):
        frames = Telemetry(gpus, STARTS_AT).hours(hours)
        values = seconds = 0.0
        for frame in frames:
            seconds += other.write(frame)
            values += frame.height * len(MEASUREMENTS)
        print(f"Prometheus: {values / seconds / 1e6:.2f} M values a second by remote write")
        print(f"Prometheus: bytes a value on disk: {other.size_bytes() / values:.3f}")
        end, used = until.timestamp() - 1, "DCGM_FI_DEV_GPU_UTIL"
        series = f'{used}{{UUID="{one}"}}'
        questions: dict[str, Callable[[], object]] = {
            "the last hour by minute": lambda: other.query_range(
                f"avg(avg_over_time({used}[1m]))", end - 3540, end, 60
            ),
            f"{hours} h by 5 minutes with p95 over GPUs": lambda: other.query_range(
                f"quantile(0.95, avg_over_time({used}[5m]))", end - hours * 3600 + 300, end, 300
            ),
            f"one GPU's {hours} h, every raw reading": lambda: other.query(
                f"{series}[{hours}h]", end
            ),
            f"one GPU's {hours} h by minute": lambda: other.query_range(
                f"avg_over_time({series}[1m])", end - hours * 3600 + 60, end, 60
            ),
        }
        for what, act in questions.items():
            row(f"Prometheus: {what}", milliseconds(act, REPEATS))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Telemetry: size, speed, and Prometheus beside it")
    parser.add_argument("--gpus", type=int, default=1000)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--without-prometheus", action="store_true")
    given = parser.parse_args()
    one = gpu_id(given.gpus // 2)
    until = STARTS_AT + timedelta(hours=given.hours)
    print(f"{machine()}; {given.gpus} GPUs, {given.hours} h at 15 s")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Location.embedded(Path(folder)))
        frames = Telemetry(given.gpus, STARTS_AT).hours(given.hours + 1)
        loaded = load(store, itertools.islice(frames, given.hours), given.gpus)
        by_round = loaded.round_values / loaded.round_seconds / 1e6
        print(f"ingested, a round of {given.gpus} GPUs an append: {by_round:.2f} M values a second")
        if loaded.piece_seconds:
            by_piece = loaded.piece_values / loaded.piece_seconds / 1e6
            print(f"ingested, 5 minutes an append: {by_piece:.2f} M values a second  aim 1")
        row("a minute rolled up", [1000 * each for each in loaded.roll_up_seconds])
        quiet: list[float] = []
        beside: list[float] = []
        with approvals_beside(store, quiet):
            time.sleep(3)
        with approvals_beside(store, beside):
            took = timed(lambda: merging.merge(store))
        row("an approval is stored, nothing beside it", quiet)
        row("an approval is stored while the day is merged", beside)
        print(f"the day is merged in {took:.1f} s; the longest wait {max(beside):.0f} ms")
        thirty_days(store)
        report_size(store, loaded)
        _by_rounds(store, next(frames).head(6 * ROUNDS_A_PIECE * given.gpus), given.gpus, Loaded())
        report_questions(store, until, given.hours, one)
        store.close()
    if not given.without_prometheus:
        compare(given.gpus, given.hours, until, one)


if __name__ == "__main__":
    main()
