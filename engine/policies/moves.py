"""Which waiting jobs move to another pool of the same kind: by what a free GPU is worth in each.

The critic is not asked: it was trained on what a pool earns beyond its twin, so that it prices the
difference between two policies and not the state of a pool. A free GPU is worth what spot pays for
it, and, where more is likely to be asked for within the hour than is free, the work that it would
serve: a newsvendor's critical figure, the demand taken as normal (Porteus, Foundations of
Stochastic Inventory Theory, 2002, ch. 1).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.policies import Floats, Integers
from engine.policies.rule import finishing_gpus
from engine.policies.stock import arriving_gpus, mean_job_gpus, startable_nodes
from engine.simulator.features import Feature
from engine.simulator.settings import Economics

AHEAD_HOURS = 0.5
"""how far ahead shortage is looked for: about the time in which capacity can be bought"""
USUAL = Economics()
"""whose spot price and depth are reckoned with: a pool's own are not among the figures"""
LEAST_GAIN_RATIO = 0.15
"""of the market's price: a GPU-hour must be worth so much more there, or the job stays"""


class Move(NamedTuple):
    """Waiting jobs of one pool that go to another."""

    source: int
    target: int
    gpus: int
    """at most"""
    gain_usd_per_hour: float
    """what its GPUs are worth more"""


def shortage_ratio(seen: Floats) -> Floats:
    """How likely more is asked for than is free within AHEAD_HOURS, shape (R,), 0 to 1."""
    hours = np.full(len(seen), AHEAD_HOURS)
    arriving = arriving_gpus(seen, hours)
    net = seen[:, Feature.QUEUED_GPUS] + arriving - finishing_gpus(seen, hours, np.ones(len(seen)))
    spread = np.sqrt(np.maximum(2.0 * mean_job_gpus(seen) * arriving, 1.0))
    # The logistic curve that is nearest to the normal one: no library is needed for it.
    return np.asarray(1.0 / (1.0 + np.exp(-1.702 * (net - seen[:, Feature.FREE_GPUS]) / spread)))


def free_gpu_usd_per_hour(seen: Floats) -> Floats:
    """What one more free GPU is worth in each pool, shape (R,)."""
    market = seen[:, Feature.MARKET_USD_PER_GPU_HOUR]
    depth = USUAL.spot_depth_ratio * seen[:, Feature.OWNED_NODES] * seen[:, Feature.GPUS_PER_NODE]
    spot = USUAL.spot_ratio * market * (seen[:, Feature.FREE_GPUS] < depth)
    lease = seen[:, Feature.BURST_USD_PER_GPU_HOUR]
    # Where nodes can still be had, a missing GPU costs a lease and the wait for it, not the work.
    work = np.where(
        startable_nodes(seen) > 0, lease, market + seen[:, Feature.SLA_USD_PER_GPU_HOUR]
    )
    short = shortage_ratio(seen)
    worth: Floats = short * work + (1 - short) * spot
    return worth


def planned_moves(seen: Floats, groups: Integers) -> list[Move]:
    """The moves worth making now, the most valuable first.

    `seen` (R, FEATURE_COUNT); pools of one number in `groups` (R,) can take each other's jobs.
    """
    worth, market = free_gpu_usd_per_hour(seen), seen[:, Feature.MARKET_USD_PER_GPU_HOUR]
    # Those that wait are worth what it costs to keep them waiting.
    waiting = np.maximum(worth, seen[:, Feature.SLA_USD_PER_GPU_HOUR])
    free = seen[:, Feature.FREE_GPUS].copy()
    sources = np.flatnonzero(seen[:, Feature.QUEUED_GPUS] > 0)
    by_group = {int(g): np.flatnonzero(groups == g) for g in np.unique(groups[sources])}
    found: list[Move] = []
    for source in sources[np.argsort(-waiting[sources], kind="stable")]:
        others = by_group[int(groups[source])]
        left = float(seen[source, Feature.QUEUED_GPUS])
        for target in others[np.argsort(worth[others], kind="stable")]:
            gain = waiting[source] - worth[target]
            if left <= 0 or gain < LEAST_GAIN_RATIO * market[source]:
                break
            gpus = min(left, float(free[target]))
            if target == source or gpus < 1:
                continue
            found.append(Move(int(source), int(target), int(gpus), float(gain * gpus)))
            free[target] -= gpus
            left -= gpus
    return sorted(found, key=lambda move: -move.gain_usd_per_hour)
