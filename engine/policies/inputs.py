"""What the learned policy reads of a pool: raw figures, scaled so that all sizes look alike.

The raw figures are those of `engine/simulator/features.py`. Name and formula stand side by side, so
that the Engine page can name what moved a score.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.policies import (
    DRAIN,
    HEAD_COUNT,
    LOOSE,
    MIGRATE,
    PRICE_RATIOS,
    STRICT,
    Floats,
    Head,
    Integers,
)
from engine.simulator.features import FEATURE_COUNT, Feature

Singles = npt.NDArray[np.float32]

LARGEST_INPUT = 5.0
"""inputs are clipped to this on both sides"""


def inputs(seen: Floats, rule: Integers, dial: Floats) -> Singles:
    """What the network reads: (R, I) within ±LARGEST_INPUT, I = len(INPUT_NAMES) + D.

    `seen` has shape (R, FEATURE_COUNT), `rule` (R, HEAD_COUNT), the rule's own proposal, `dial`
    (R, D), the operator's wishes, taken as they are. Counts are shares of the owned nodes or GPUs
    and prices shares of the market's, so that only the first input tells a pool's size.
    """
    columns = _named(np.ascontiguousarray(seen.T), np.ascontiguousarray(rule.T))
    stacked = np.concatenate([np.stack(list(columns.values())), dial.T])
    return np.ascontiguousarray(stacked.clip(-LARGEST_INPUT, LARGEST_INPUT).T, dtype=np.float32)


def _named(seen: Floats, rule: Integers) -> dict[str, Floats]:
    """Name and column of each input, from (FEATURE_COUNT, R) and (HEAD_COUNT, R)."""
    owned, burst = seen[Feature.OWNED_NODES], seen[Feature.BURST_NODES]
    nodes = np.maximum(np.where(owned > 0, owned, burst), 1.0)
    gpus = nodes * np.maximum(seen[Feature.GPUS_PER_NODE], 1.0)
    return (
        {"size of the pool": np.log2(nodes / 16) / 2}
        | _terms(seen, nodes)
        | _nodes(seen, nodes)
        | _work(seen, nodes, gpus)
        | _prices(seen)
        | _flows(seen, nodes, gpus)
        | _forecast(seen)
        | _calendar(seen)
        | _proposal(rule, nodes)
    )


def _terms(seen: Floats, nodes: Floats) -> dict[str, Floats]:
    market = _positive(seen[Feature.MARKET_USD_PER_GPU_HOUR])
    return {
        "GPUs a node": np.log2(np.maximum(seen[Feature.GPUS_PER_NODE], 1.0) / 8),
        "leasable nodes": seen[Feature.BURST_NODES] / nodes,
        "cost of an owned GPU": 5 * seen[Feature.OWNED_USD_PER_GPU_HOUR] / market,
        "cost of work": 5 * seen[Feature.BUSY_USD_PER_GPU_HOUR] / market,
        "cost of a lease": seen[Feature.BURST_USD_PER_GPU_HOUR] / market,
        "cost of lateness": seen[Feature.SLA_USD_PER_GPU_HOUR] / market,
        "minimum bill": seen[Feature.MINIMUM_BILL_SECONDS] / 3600,
        "boot time": seen[Feature.OWNED_BOOT_SECONDS] / 1800,
        "boot time of a lease": seen[Feature.BURST_BOOT_SECONDS] / 1800,
    }


def _nodes(seen: Floats, nodes: Floats) -> dict[str, Floats]:
    share = seen / nodes
    return {
        "owned nodes on": share[Feature.OWNED_ACTIVE_NODES],
        "leased nodes on": share[Feature.BURST_ACTIVE_NODES],
        "nodes cordoned": share[Feature.CORDONED_NODES],
        "owned nodes booting": share[Feature.OWNED_PROVISIONING_NODES],
        "leased nodes booting": share[Feature.BURST_PROVISIONING_NODES],
        "nodes down": share[Feature.DOWN_NODES],
        "owned nodes off": share[Feature.OWNED_OFF_NODES],
        "leases to be had": share[Feature.BURST_OFF_NODES],
        "owned nodes empty": share[Feature.OWNED_EMPTY_NODES],
        "leased nodes empty": share[Feature.BURST_EMPTY_NODES],
        "leased nodes empty and past their minimum bill": share[Feature.BURST_RIPE_NODES],
        "nodes nearly empty": share[Feature.SPARSE_NODES],
        "suspect nodes": 5 * share[Feature.SUSPECT_NODES],
        "worst health": 1 - seen[Feature.WORST_HEALTH_RATIO],
    }


def _work(seen: Floats, nodes: Floats, gpus: Floats) -> dict[str, Floats]:
    share, used, free = seen / gpus, seen[Feature.USED_GPUS], seen[Feature.FREE_GPUS]
    return {
        "GPUs in use": share[Feature.USED_GPUS],
        "GPUs free": share[Feature.FREE_GPUS],
        "utilisation": used / np.maximum(used + free, 1.0),
        "GPUs queued": share[Feature.QUEUED_GPUS],
        "jobs queued": seen[Feature.QUEUED_JOBS] / nodes,
        "oldest wait": seen[Feature.OLDEST_WAIT_SECONDS] / 900,
        "largest job queued": share[Feature.LARGEST_QUEUED_GPUS],
        "running under 30 minutes": share[Feature.RUNNING_UNDER_30_MINUTES_GPUS],
        "running under 2 hours": share[Feature.RUNNING_UNDER_2_HOURS_GPUS],
        "running under 8 hours": share[Feature.RUNNING_UNDER_8_HOURS_GPUS],
        "running longer": share[Feature.RUNNING_LONGER_GPUS],
        "change of use in an hour": 5
        * (share[Feature.USED_GPUS] - share[Feature.USED_HOUR_AGO_GPUS]),
        "use against the day's": 2 * (share[Feature.USED_GPUS] - share[Feature.USED_DAY_GPUS]),
        "peak of the hour": share[Feature.DEMAND_PEAK_HOUR_GPUS],
    }


def _prices(seen: Floats) -> dict[str, Floats]:
    market = _positive(seen[Feature.MARKET_USD_PER_GPU_HOUR])
    hour_ago = _positive(seen[Feature.MARKET_HOUR_AGO_USD_PER_GPU_HOUR])
    day = _positive(seen[Feature.MARKET_DAY_USD_PER_GPU_HOUR])
    return {
        "our price": 5 * (seen[Feature.PRICE_USD_PER_GPU_HOUR] / market - 1),
        "price of the work under way": 5 * (seen[Feature.LOCKED_USD_PER_GPU_HOUR] / market - 1),
        "market's move in an hour": 20 * (market / hour_ago - 1),
        "market against the day's": 10 * (market / day - 1),
    }


def _flows(seen: Floats, nodes: Floats, gpus: Floats) -> dict[str, Floats]:
    day = _positive(seen[Feature.OFFERED_DAY_JOBS_PER_HOUR])
    taken, share = seen[Feature.SUBMITTED_DAY_JOBS_PER_HOUR], 3 * seen / gpus
    size = seen[Feature.SUBMITTED_DAY_GPUS_PER_HOUR] / _positive(taken)
    return {
        "offers of the quarter": seen[Feature.OFFERED_QUARTER_JOBS_PER_HOUR] / day - 1,
        "offers of the hour": seen[Feature.OFFERED_HOUR_JOBS_PER_HOUR] / day - 1,
        "offers of 3 hours": seen[Feature.OFFERED_3_HOURS_JOBS_PER_HOUR] / day - 1,
        "offers of the day": seen[Feature.OFFERED_DAY_JOBS_PER_HOUR] / nodes,
        "share of offers taken": taken / day,
        "size of a job": size / np.maximum(seen[Feature.GPUS_PER_NODE], 1.0),
        "GPUs come in an hour": share[Feature.SUBMITTED_HOUR_GPUS_PER_HOUR],
        "GPUs come in a day": share[Feature.SUBMITTED_DAY_GPUS_PER_HOUR],
        "GPUs gone in an hour": share[Feature.FINISHED_HOUR_GPUS_PER_HOUR],
        "GPUs gone in a day": share[Feature.FINISHED_DAY_GPUS_PER_HOUR],
    }


def _forecast(seen: Floats) -> dict[str, Floats]:
    day = _positive(seen[Feature.OFFERED_DAY_JOBS_PER_HOUR])
    return {
        "forecast for 30 minutes": seen[Feature.FORECAST_30_MINUTES_JOBS_PER_HOUR] / day - 1,
        "forecast for an hour": seen[Feature.FORECAST_HOUR_JOBS_PER_HOUR] / day - 1,
        "forecast for 2 hours": seen[Feature.FORECAST_2_HOURS_JOBS_PER_HOUR] / day - 1,
        "forecast for 6 hours": seen[Feature.FORECAST_6_HOURS_JOBS_PER_HOUR] / day - 1,
        "doubt of the forecast": seen[Feature.FORECAST_HOUR_SPREAD_JOBS_PER_HOUR] / day,
    }


def _calendar(seen: Floats) -> dict[str, Floats]:
    hour = seen[Feature.HOUR_OF_WEEK] * (2 * np.pi)
    return {
        "hour of the day (sine)": np.sin(hour / 24),
        "hour of the day (cosine)": np.cos(hour / 24),
        "day of the week (sine)": np.sin(hour / 168),
        "day of the week (cosine)": np.cos(hour / 168),
    }


def _proposal(rule: Integers, nodes: Floats) -> dict[str, Floats]:
    wish = rule[Head.NODES]
    return {
        "the rule's nodes": 5 * wish / nodes,
        "the rule adds or releases": np.sign(wish).astype(np.float64),
        "the rule's price": 5 * (PRICE_RATIOS[rule[Head.PRICE_LEVEL]] - 1),
        "the rule drains": (rule[Head.CONSOLIDATION] == DRAIN).astype(np.float64),
        "the rule migrates": (rule[Head.CONSOLIDATION] == MIGRATE).astype(np.float64),
        "the rule heals strictly": (rule[Head.HEAL] == STRICT).astype(np.float64),
        "the rule heals loosely": (rule[Head.HEAL] == LOOSE).astype(np.float64),
        "the rule's spot share": rule[Head.SPOT_PERCENT] / 100,
    }


def _positive(figures: Floats) -> Floats:
    """Fit to divide by: an empty day or a missing price must not blow up a ratio."""
    return np.maximum(figures, 0.01)


INPUT_NAMES = tuple(_named(np.ones((FEATURE_COUNT, 1)), np.zeros((HEAD_COUNT, 1), np.int64)))
"""What the inputs are called on the Engine page; the dial's come after these."""
