"""The time of one tick of the engine over 1,000 simulated GPUs, in seconds.

python benchmarks/engine_tick.py
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataclasses import replace

from engine.simulator.settings import default_pools
from tests.engine.world import Played
from warehouse.store import Location, Store

TICKS = 20
HISTORY = timedelta(days=14)
SCALE = 2
"""The demo fleet's 512 owned GPUs, twice."""


def main() -> None:
    """Play a fortnight, then tick every quarter of an hour in autonomous mode; print the median."""
    pools = tuple(replace(pool, owned_nodes=pool.owned_nodes * SCALE) for pool in default_pools())
    gpus = sum(pool.owned_nodes * pool.node_gpus for pool in pools)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Location.embedded(Path(folder)))
        played = Played(store, pools, rollouts=24)
        played.start(HISTORY)
        played.set_modes("autonomous")
        played.engine.tick()  # compiles
        seconds = [_tick_seconds(played) for _ in range(TICKS)]
        store.close()
    median, worst = statistics.median(seconds), max(seconds)
    print(f"{gpus} GPUs in {len(pools)} pools: median {median:.3f} s, worst {worst:.3f} s a tick")


def _tick_seconds(played: Played) -> float:
    played.forward(timedelta(minutes=15))
    began = time.perf_counter()
    played.engine.tick()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
