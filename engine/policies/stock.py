"""What a pool has, and what is about to come and go: the arithmetic that policies share.

`seen` is (R, FEATURE_COUNT) throughout and every result has shape (R,).
"""

from __future__ import annotations

import numpy as np

from engine.policies import DRAIN, MIGRATE, MOST_NODES, Floats, Integers
from engine.simulator.features import Feature


def knob(knobs: Floats, place: int) -> Floats:
    """One knob for all pools, shape (), or one a pool, shape (R,)."""
    value: Floats = knobs[..., place]
    return value


def coming_nodes(seen: Floats) -> Floats:
    """Nodes that serve new jobs, now or once they have booted."""
    columns = (
        Feature.OWNED_ACTIVE_NODES,
        Feature.BURST_ACTIVE_NODES,
        Feature.OWNED_PROVISIONING_NODES,
        Feature.BURST_PROVISIONING_NODES,
    )
    nodes: Floats = seen[:, columns].sum(axis=1)
    return nodes


def booting_nodes(seen: Floats) -> Floats:
    """Nodes on their way."""
    return seen[:, Feature.OWNED_PROVISIONING_NODES] + seen[:, Feature.BURST_PROVISIONING_NODES]


def leased_nodes(seen: Floats) -> Floats:
    """Leases that are paid for: active or on their way."""
    return seen[:, Feature.BURST_ACTIVE_NODES] + seen[:, Feature.BURST_PROVISIONING_NODES]


def node_gpus(seen: Floats) -> Floats:
    """GPUs a node, at least 1."""
    return np.maximum(seen[:, Feature.GPUS_PER_NODE], 1.0)


def owned_gpus(seen: Floats) -> Floats:
    """GPUs of our own nodes, on or off; at least a node's, so that it may divide."""
    return np.maximum(seen[:, Feature.OWNED_NODES], 1.0) * node_gpus(seen)


def demand_gpus(seen: Floats) -> Floats:
    """GPUs in use and waited for."""
    return seen[:, Feature.USED_GPUS] + seen[:, Feature.QUEUED_GPUS]


def accepted_gpus_per_offer(seen: Floats) -> Floats:
    """GPUs that an offer brings on average, the offers that were refused included.

    Of the last day, at the prices of the last day; 0 where nobody came.
    """
    offers = seen[:, Feature.OFFERED_DAY_JOBS_PER_HOUR]
    gpus: Floats = np.divide(
        seen[:, Feature.SUBMITTED_DAY_GPUS_PER_HOUR], offers, out=np.zeros_like(offers),
        where=offers > 0,
    )  # fmt: skip
    return gpus


def mean_job_gpus(seen: Floats) -> Floats:
    """GPUs of a job that took the price; 1 where nobody came."""
    jobs = seen[:, Feature.SUBMITTED_DAY_JOBS_PER_HOUR]
    gpus: Floats = np.divide(
        seen[:, Feature.SUBMITTED_DAY_GPUS_PER_HOUR], jobs, out=np.ones_like(jobs), where=jobs > 0
    )
    return gpus


def forecast_jobs(seen: Floats, hours: Floats) -> Floats:
    """Offers expected from now to `hours` ahead, between the forecast's horizons linearly.

    The forecast gives mean rates from now to each horizon, so that rate times horizon is a count;
    beyond 6 hours the last rate goes on.
    """
    edges = (0.0, 0.5, 1.0, 2.0, 6.0)
    columns = range(
        Feature.FORECAST_30_MINUTES_JOBS_PER_HOUR, Feature.FORECAST_6_HOURS_JOBS_PER_HOUR + 1
    )
    counts = [np.zeros(len(seen))]
    counts += [seen[:, column] * edge for column, edge in zip(columns, edges[1:], strict=True)]
    jobs = np.zeros(len(seen))
    for at in range(len(edges) - 1):
        width = edges[at + 1] - edges[at]
        part = np.clip((hours - edges[at]) / width, 0.0, 1.0)
        # A later horizon may not promise fewer offers in all than an earlier one.
        jobs = jobs + part * np.maximum(counts[at + 1] - counts[at], 0.0)
    beyond = np.maximum(hours - edges[-1], 0.0)
    result: Floats = jobs + beyond * seen[:, Feature.FORECAST_6_HOURS_JOBS_PER_HOUR]
    return result


def arriving_gpus(seen: Floats, hours: Floats) -> Floats:
    """GPUs expected to be asked for from now to `hours` ahead, at about the prices of late."""
    return forecast_jobs(seen, hours) * accepted_gpus_per_offer(seen)


def finished_share_per_hour(seen: Floats) -> Floats:
    """Share of the GPUs in use that finish in an hour, over the last day; 0.25 where unknown."""
    used = seen[:, Feature.USED_DAY_GPUS]
    share: Floats = np.divide(
        seen[:, Feature.FINISHED_DAY_GPUS_PER_HOUR], used, out=np.full_like(used, 0.25),
        where=used > 0,
    )  # fmt: skip
    return np.clip(share, 0.01, 4.0)


def startable_nodes(seen: Floats) -> Floats:
    """Nodes that are off and may be switched on or leased."""
    return seen[:, Feature.OWNED_OFF_NODES] + seen[:, Feature.BURST_OFF_NODES]


def releasable_nodes(seen: Floats, consolidation: Integers) -> Floats:
    """Most nodes that a release may reach: empty ones, and where nodes are emptied sparse ones or
    leases.

    Empty leases inside their minimum bill are free to keep and stay. Closed nodes count: those
    that were closed to run empty are released by the same order once they have.
    """
    empty = seen[:, Feature.OWNED_EMPTY_NODES] + seen[:, Feature.BURST_RIPE_NODES]
    closed = seen[:, Feature.CORDONED_NODES]
    in_use = seen[:, Feature.BURST_ACTIVE_NODES] - seen[:, Feature.BURST_EMPTY_NODES]
    emptied = np.maximum(seen[:, Feature.SPARSE_NODES], in_use)
    is_emptied = (consolidation == DRAIN) | (consolidation == MIGRATE)
    return empty + closed + np.where(is_emptied, emptied, 0.0)


def clipped(seen: Floats, nodes: Integers, consolidation: Integers) -> Integers:
    """What of a wish can be: within ±MOST_NODES, what can be started and what may be released."""
    most = np.minimum(startable_nodes(seen), MOST_NODES)
    least = -np.minimum(releasable_nodes(seen, consolidation), MOST_NODES)
    whole: Integers = np.clip(nodes, least, most).astype(np.int64)
    return whole


def whole_nodes(nodes: Floats) -> Integers:
    """Rounded up to whole nodes; what is beyond reason is cut before it becomes an integer."""
    # A hair is taken off, so that rounding errors buy no node.
    result: Integers = np.ceil(np.clip(nodes, -1e6, 1e6) - 1e-9).astype(np.int64)
    return result


def banded(up: Integers, down: Integers) -> Integers:
    """Adds `up` where it is positive, else releases `down` where that is positive."""
    result: Integers = np.where(up > 0, up, -np.maximum(down, 0)).astype(np.int64)
    return result
