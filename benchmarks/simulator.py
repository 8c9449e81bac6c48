"""The simulator's speed: `python -m benchmarks.simulator`. Medians of several runs, one process.

The first line is the cold start: all kernels compiled, with an empty cache of machine code.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks._timing import milliseconds, row
from engine.simulator.fleet import SimulatedFleet
from engine.simulator.kernel import advance_many
from engine.simulator.layout import REPLY_WIDTH, TICK_SECONDS, State
from engine.simulator.observe import observed
from engine.simulator.orders import SCALE_DOWN, SCALE_UP
from engine.simulator.planning import cordon_order, price_order, rollouts
from engine.simulator.replay import replay
from engine.simulator.settings import FleetSettings, default_pools
from engine.simulator.source import SimulatedSource

TRACES = Path(__file__).resolve().parents[2] / "shared" / "traces"
SETTINGS = FleetSettings(7, default_pools(), datetime(2026, 11, 2, tzinfo=UTC))
NOW = SETTINGS.started_at + timedelta(days=13, hours=21)
_COLD = """
from datetime import UTC, datetime
from engine.simulator.fleet import SimulatedFleet
from engine.simulator.settings import FleetSettings, default_pools
fleet = SimulatedFleet(FleetSettings(7, default_pools(), datetime(2026, 11, 2, tzinfo=UTC)))
fleet.advance_to(3600)
"""


def cold_start() -> None:
    """Seconds from nothing to a fleet that has lived an hour, in a fresh process."""
    with tempfile.TemporaryDirectory() as cache:
        for words in ("cold start, all kernels compiled", "warm start, kernels from the cache"):
            start = time.perf_counter()
            environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
            subprocess.run([sys.executable, "-c", _COLD], check=True, env=environment)
            row(words, [(time.perf_counter() - start) * 1000])


def exact_replay() -> None:
    """All VCs of the Philly trace, both orders."""
    if not TRACES.is_dir():
        print("exact replay: left out, the folder ../shared/traces is not beside the project")
        return
    jobs = pl.read_parquet(TRACES / "philly_schedules.parquet")
    nodes = pl.read_parquet(TRACES / "philly_nodes.parquet")
    row(f"exact replay, {jobs.height} jobs, FIFO", milliseconds(lambda: replay(jobs, nodes), 7))
    row(
        f"exact replay, {jobs.height} jobs, SJF",
        milliseconds(lambda: replay(jobs, nodes, "sjf"), 7),
    )


def live_fleet() -> SimulatedFleet:
    """A fortnight of the demo fleet, alone and with all its rows."""

    def lived() -> SimulatedFleet:
        fleet = SimulatedFleet(SETTINGS)
        fleet.advance_to(NOW)
        return fleet

    row("demo fleet (512 GPUs), 13.9 days, state alone", milliseconds(lived, 5))
    row(
        "demo fleet, 13.9 days, with every row of its history",
        milliseconds(lambda: list(SimulatedSource(SimulatedFleet(SETTINGS)).history(NOW)), 3),
    )
    fleet = lived()
    row("clone of the demo fleet", milliseconds(fleet.clone, 9))
    return fleet


def decisions(fleet: SimulatedFleet, rows: int = 64, hours: int = 12) -> None:
    """15-minute decisions a second: rows side by side, each step an order and an advance."""
    pool = fleet.clone().pools["h100-us-east"]
    pool._append(pool.filled_to, pool.filled_to + 86_400)
    live = int(pool.state.pool[0, 0]["job_count"])
    one = pool.state._replace(jobs=pool.state.jobs[:, :live])
    steps = hours * 3600 // TICK_SECONDS
    orders = np.zeros((rows, 1, 3), np.int64)
    replies = np.zeros((rows, 1, REPLY_WIDTH), np.int64)

    def run(states: State) -> None:
        for step in range(1, steps + 1):
            orders[:, 0] = (SCALE_UP if step % 8 < 4 else SCALE_DOWN, 1, 0)
            until = states.pool[:, 0]["now"] + TICK_SECONDS
            advance_many(states, until, orders, replies)

    taken = []
    for _ in range(5):
        states = State._make(np.repeat(array, rows, axis=0) for array in one)
        start = time.perf_counter()
        run(states)
        taken.append((time.perf_counter() - start) * 1000)
    row(f"advance_many, {rows} pools of 192 GPUs, {steps} decisions each", taken)
    rate = rows * steps / sorted(taken)[len(taken) // 2] * 1000
    print(f"{'':64} {rate:,.0f} decisions/s on one core")


def planning(fleet: SimulatedFleet) -> None:
    """8 alternatives, 32 rollouts each, 6 hours ahead."""
    pool = fleet.pools["h100-us-east"]
    price = pool.settings.list_price_usd_per_gpu_hour
    seen = observed(pool, 0.0)
    alternatives = [
        [],
        [(SCALE_UP, 1, 0)],
        [(SCALE_UP, 2, 0)],
        [(SCALE_UP, 4, 0)],
        [(SCALE_DOWN, 2, 0)],
        [price_order(price * 1.1)],
        [price_order(price * 0.9)],
        [cordon_order(1, drain=True)],
    ]
    row(
        "rollouts, 8 alternatives x 32, 6 h, 192 GPUs",
        milliseconds(lambda: rollouts(seen, alternatives), 15),
        aim_milliseconds=200,
    )


def main() -> None:
    """Prints the table."""
    cold_start()
    exact_replay()
    fleet = live_fleet()
    decisions(fleet)
    planning(fleet)


if __name__ == "__main__":
    main()
