"""The SQL page: the first question after the start, the next ones, and what stands around them.

    python benchmarks/sql_page.py

On a new warehouse with a day of 1,000 GPUs read every 5 minutes (288,000 rows). Each question has a
process of its own; "around it" is all that is not DuckDB's own work: the process, the copy's
attachment, the walls, the way back.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._timing import machine, row
from warehouse.analyst import Analyst
from warehouse.analyst_catalogue import Copies
from warehouse.analyst_question import Limits
from warehouse.analyst_source import Source
from warehouse.clock import WallClock
from warehouse.people import Person
from warehouse.records import GpuSample
from warehouse.store import Location, Store

GPUS, STEP_SECONDS, HOURS = 1_000, 300, 24
REPEATS = 12
WHO = Person("benchmark", "viewer", "api")
NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
P95 = """
    SELECT time_bucket(INTERVAL 5 MINUTE, measured_at) AS at, pool,
           quantile_cont(utilisation_ratio, 0.95) AS p95
    FROM gpu_samples GROUP BY ALL ORDER BY ALL
"""


def main() -> None:
    """Print a line for each."""
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        store = Store(Location.embedded(home))
        _fill(store)
        wall = WallClock()
        source = Source(f"{home}/parquet/")
        started = time.perf_counter()
        analyst = Analyst(store, source, home / "questions", wall, wall, Limits())
        analyst.ask("SELECT count(*) FROM gpu_samples", WHO)
        row("first question after the start, nothing warm", [_since(started)], 2_000)
        _questions(analyst)
        copies = Copies(store, source.data, home / "copies", wall)
        row("copying the catalogue", [_timed(lambda: copies.current(is_fresh=True))
                                      for _ in range(REPEATS)])  # fmt: skip
        copies.close()
        analyst.close()
        store.close()
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest process that answered: {used:.0f} MB resident")


def _questions(analyst: Analyst) -> None:
    for what, sql, aim in (
        ("SELECT 1, a process waiting", "SELECT 1", 300),
        ("p95 of utilisation by pool and 5 minutes over a day", P95, 1_000),
        ("100,000 rows as they are", "SELECT * FROM gpu_samples", 2_000),
    ):
        whole, around = [], []
        for _ in range(REPEATS):
            _wait_for_spare(analyst)
            started = time.perf_counter()
            answer = analyst.ask(sql, WHO)
            whole.append(_since(started))
            around.append(whole[-1] - answer.took_seconds * 1_000)
        row(what, whole, aim)
        row("    of it around the question", around)


def _wait_for_spare(analyst: Analyst) -> None:
    """As while somebody thinks: the next process is up before the next question."""
    analyst.warm()
    time.sleep(1.5)


def _fill(store: Store) -> None:
    steps = HOURS * 3_600 // STEP_SECONDS
    at = [NOW - timedelta(seconds=STEP_SECONDS * i) for i in range(steps)]
    gpus = pl.DataFrame({"n": range(GPUS)}).select(
        gpu_id="gpu-" + pl.col("n").cast(pl.String),
        node_id="node-" + (pl.col("n") // 8).cast(pl.String),
        pool="pool-" + (pl.col("n") // 250).cast(pl.String),
        slot=pl.col("n") % 8,
        utilisation_ratio=(pl.col("n") % 97) / 97,
        power_watts=100.0 + pl.col("n") % 400,
        source=pl.lit("benchmark"),
    )
    frame = gpus.join(pl.DataFrame({"measured_at": at}), how="cross")
    store.append_frame(GpuSample, frame.with_columns(stored_at=pl.col("measured_at")))


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1_000


def _timed(act: object) -> float:
    started = time.perf_counter()
    act()  # type: ignore[operator]
    return _since(started)


if __name__ == "__main__":
    main()
