"""How fast fleets are simulated for training: `python -m benchmarks.training`.

Decisions a second on one core, each the proposal carried out and 15 minutes played; with what a
policy sees, and with the twin and the rule beside it. The same demand per node is played on pools
of 30 to 1,000 nodes, so that the cost can be compared with the work.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from benchmarks._timing import row
from engine.learning.practice import Practice, PracticeSettings
from engine.policies.envelope import head_sizes
from engine.policies.registry import baseline
from engine.simulator.episode_sources import (
    Demand,
    arrivals_of_demand,
    episode_of,
    training_episodes,
)
from engine.simulator.episodes import Episode
from engine.simulator.metrics import Metric
from engine.simulator.pools import Pools
from engine.simulator.settings import PoolSettings

TICKS = 192
RUNS = 5
PHILLY_LIKE = Demand((0.62, 0.10, 0.12, 0.13, 0.02, 0.01), 2400.0, 2.0, 0.3, 14.0, 0.8, 0.15, 0.2)


def sized(nodes: int, seed: int) -> Episode:
    """A pool of so many nodes, a quarter of them leasable, its demand in proportion."""
    random = np.random.default_rng(seed)
    burst = nodes // 4
    settings = PoolSettings("sized", "H100 SXM", "any", nodes - burst, burst, 2.89, 2.89)
    arrivals = arrivals_of_demand(random, settings, PHILLY_LIKE, 0.0, TICKS)
    return episode_of("sized", settings, arrivals, 0.0, TICKS, random, warm_ticks=0)


def simulated(nodes: int, rows: int) -> None:
    """Decisions a second at one size."""
    episodes = [sized(nodes, seed) for seed in range(rows)]
    rule = baseline("rule")
    stepping, seeing, events = [], [], 0.0
    for _ in range(RUNS):
        pools = Pools(episodes, threads=1)
        pools.step(rule.proposals(pools.observe()))
        steps = sees = 0.0
        while not pools.done:
            start = time.perf_counter()
            seen = pools.observe()
            between = time.perf_counter()
            proposals = rule.proposals(seen)
            planned = time.perf_counter()
            pools.step(proposals)
            steps += time.perf_counter() - planned
            sees += between - start
        decisions = rows * (TICKS - 1)
        stepping.append(steps / decisions * 1e6)
        seeing.append(sees / decisions * 1e6)
        counted = pools.metrics[:, [Metric.OFFERED_JOBS, Metric.STARTED_JOBS, Metric.FINISHED_JOBS]]
        events = float(counted.sum()) / decisions
    step, see = float(np.median(stepping)), float(np.median(seeing))
    rate, with_sight = 1e6 / step, 1e6 / (step + see)
    print(
        f"{nodes:5d} nodes  {rate:9,.0f} decisions/s  with sight {with_sight:9,.0f}"
        f"   {events:6.1f} events a decision  {step:6.1f} us, a node {step / nodes * 1e3:5.1f} ns"
    )


def practised(rows: int = 256) -> None:
    """The training environment whole: twin, rule, inputs and masks."""
    made = training_episodes(rows, 5, ticks=TICKS)
    practice = Practice([replace(e, warm_ticks=96) for e in made], baseline("rule"),
                        PracticeSettings(rows=rows))  # fmt: skip
    practice.reset(0)
    sizes = np.array(head_sizes(practice.settings.mode))
    random, taken = np.random.default_rng(0), []
    for _ in range(60):
        choices = random.integers(0, sizes, (rows, len(sizes)))
        start = time.perf_counter()
        practice.step(choices)
        taken.append((time.perf_counter() - start) * 1000)
    row(f"practice: {rows} pools, their twins, the rule for both, inputs, masks", taken)
    print(f"{'':64} {rows / np.median(taken) * 1000:,.0f} decisions/s on one core")


def main() -> None:
    """Prints the table."""
    for nodes, rows in ((30, 256), (60, 128), (120, 64), (250, 32), (500, 16), (1000, 8)):
        simulated(nodes, rows)
    practised()


if __name__ == "__main__":
    main()
