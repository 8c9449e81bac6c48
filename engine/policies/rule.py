"""The rule: base stock for capacity, surge for the price, consolidation. Day 0's policy.

Every other policy is compared with it, and the learned one acts inside an envelope around it.

Capacity: what waits and what will have arrived a lead time ahead, less what will have finished
and what is free, is what is lacking. Finishing is foretold from the ages of the running jobs: the
longer a job has run, the longer it will (durations are heavy-tailed). Two stocks are kept, since
two kinds of node cost differently: an owned node idles for its power and mostly earns that back as
spot, so that a share of the owned GPUs is held free; a lease must be filled to pay, so that its
safety stock is counted in deviations of the arrivals and may be negative.
Consolidation, while nobody waits: a lease costs many times an own node's power, so that leases are
emptied by moving their jobs as soon as there is room for them; own nodes where the surplus is more
than the empty ones.
Price: `pricing.surge`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from engine.observe import PoolObservation
from engine.policies import (
    EMPTIES_ONLY,
    HEAD_COUNT,
    MIGRATE,
    NOBODY,
    PRICE_RATIOS,
    STRICT,
    Floats,
    Head,
    Integers,
    Knob,
)
from engine.policies.parameters import in_order, tuned
from engine.policies.pricing import SURGE_KNOBS, surge
from engine.policies.stock import (
    arriving_gpus,
    banded,
    booting_nodes,
    clipped,
    knob,
    leased_nodes,
    mean_job_gpus,
    node_gpus,
    owned_gpus,
    whole_nodes,
)
from engine.simulator.features import Feature
from warehouse.words import counted

NAME = "rule"
DECISION_SECONDS = 900
CAPACITY_KNOBS = (
    Knob("lead_ratio", 0.5, 0.1, 3.0, "how far ahead is reckoned, over the time a lease takes"),
    Knob("finishing_ratio", 1.0, 0.2, 2.5, "rate of finishing, over that of log-normal durations"),
    Knob("queue_weight_ratio", 1.3, 0.0, 2.0, "share of the GPUs waited for that is bought for"),
    Knob("packing_ratio", 0.9, 0.4, 1.0, "share of the free GPUs that new jobs can use"),
    Knob("owned_reserve_ratio", 0.25, 0.0, 0.6, "owned GPUs held free, over all owned ones"),
    Knob("lease_deviations", -1.0, -3.5, 2.5, "safety stock of leases in deviations of arrivals"),
    Knob("lease_band_nodes", 1.0, 0.0, 8.0, "surplus that is kept before a lease is let go"),
)
KNOBS = CAPACITY_KNOBS + SURGE_KNOBS
"""The twelve."""
RuleSettings = Mapping[str, float]
"""Knobs by name; those that are not named are the tuned ones."""

_AGES = (
    Feature.RUNNING_UNDER_30_MINUTES_GPUS,
    Feature.RUNNING_UNDER_2_HOURS_GPUS,
    Feature.RUNNING_UNDER_8_HOURS_GPUS,
    Feature.RUNNING_LONGER_GPUS,
)
_FINISHING_PER_HOUR = np.array([0.85, 0.55, 0.26, 0.10])
"""Hazard of a log-normal duration with median 1 h and log deviation 1.45 (the generated
workload's, after Philly and Helios) at 15 min, 1, 4 and 16 hours of age."""


class Stock(NamedTuple):
    """How far the pool is from its two base stocks, in GPUs, shape (R,); negative is surplus."""

    owned_lacking: Floats
    lease_lacking: Floats


@dataclass(frozen=True)
class Proposal:
    """What a policy would do with a pool."""

    nodes: int
    """nodes to add, negative to release"""
    price_usd_per_gpu_hour: float
    wanted_gpus: float
    """GPUs it would like to have on"""
    sentence: str
    consolidation: int = EMPTIES_ONLY
    """how nodes are released: EMPTIES_ONLY, DRAIN or MIGRATE"""
    heal: int = NOBODY
    """which suspect nodes are healed: NOBODY, STRICT or LOOSE"""


def proposals(seen: Floats, knobs: Floats) -> Integers:
    """What the rule does, shape (R, HEAD_COUNT), for raw figures and knobs (K,) or (R, K)."""
    wish, how = nodes(seen, knobs)
    result = np.empty((len(seen), HEAD_COUNT), np.int64)
    result[:, Head.NODES] = change = clipped(seen, wish, how)
    result[:, Head.PRICE_LEVEL] = levels(seen, knobs)
    result[:, Head.CONSOLIDATION] = np.where(change < 0, how, EMPTIES_ONLY)
    result[:, Head.HEAL] = STRICT
    result[:, Head.SPOT_PERCENT] = 100
    return result


def levels(seen: Floats, knobs: Floats) -> Integers:
    """The price level, shape (R,)."""
    return surge(seen, knobs[..., len(CAPACITY_KNOBS) :])


def nodes(seen: Floats, knobs: Floats) -> tuple[Integers, Integers]:
    """Nodes to add, negative to release, and how: both (R,)."""
    size, booting = node_gpus(seen), booting_nodes(seen)
    lacking = stock(seen, knobs)
    own = whole_nodes(lacking.owned_lacking / size - booting)
    own = np.minimum(own, seen[:, Feature.OWNED_OFF_NODES].astype(np.int64))
    up = np.maximum(own, whole_nodes(lacking.lease_lacking / size - booting))
    down = _surplus_nodes(seen, lacking, knobs)
    leases, waits = leased_nodes(seen) > 0, seen[:, Feature.QUEUED_JOBS] > 0
    # Leases are emptied wherever their jobs fit, own nodes only beyond those that are empty.
    moves = ~waits & (leases | (down > _empty_nodes(seen)))
    at_once = np.where(leases & waits, seen[:, Feature.BURST_RIPE_NODES], down).astype(np.int64)
    return banded(up, np.minimum(down, at_once)), np.where(moves, MIGRATE, EMPTIES_ONLY)


def stock(seen: Floats, knobs: Floats) -> Stock:
    """How far the pool is from what it should hold."""
    lead = knob(knobs, 0) * lease_hours(seen)
    arriving = arriving_gpus(seen, lead)
    short = (
        knob(knobs, 2) * seen[:, Feature.QUEUED_GPUS]
        + arriving
        - finishing_gpus(seen, lead, knob(knobs, 1))
        - knob(knobs, 3) * seen[:, Feature.FREE_GPUS]
    )
    # A compound Poisson stream whose sizes spread about as widely as their mean.
    deviation = np.sqrt(2.0 * mean_job_gpus(seen) * arriving)
    return Stock(
        owned_lacking=short + knob(knobs, 4) * owned_gpus(seen),
        lease_lacking=short + knob(knobs, 5) * deviation,
    )


def lease_hours(seen: Floats) -> Floats:
    """From one decision, by the next, until a lease asked for then is ready: (R,)."""
    hours: Floats = (seen[:, Feature.BURST_BOOT_SECONDS] + DECISION_SECONDS) / 3600
    return hours


def finishing_gpus(seen: Floats, hours: Floats, scale: Floats) -> Floats:
    """GPUs that will have been given back `hours` from now, by the ages of what runs: (R,)."""
    rates = np.multiply.outer(scale * hours, _FINISHING_PER_HOUR)
    result: Floats = (seen[:, _AGES] * -np.expm1(-rates)).sum(axis=1)
    return result


def _empty_nodes(seen: Floats) -> Floats:
    return seen[:, Feature.OWNED_EMPTY_NODES] + seen[:, Feature.BURST_RIPE_NODES]


def _surplus_nodes(seen: Floats, lacking: Stock, knobs: Floats) -> Integers:
    size, leased = node_gpus(seen), leased_nodes(seen)
    of_leases = np.floor(-lacking.lease_lacking / size - knob(knobs, 6))
    of_leases = np.minimum(of_leases, seen[:, Feature.BURST_ACTIVE_NODES])
    of_owned = np.floor(-lacking.owned_lacking / size - 1.0)
    surplus = np.where(leased > 0, of_leases, of_owned)
    result: Integers = np.clip(surplus, 0.0, 1e6).astype(np.int64)
    return result


# -- for the console: one pool, seen through the warehouse's rows ----------------------


def tuned_settings(settings: RuleSettings | None = None) -> Floats:
    """The twelve knobs, shape (12,): the tuned ones, changed where `settings` names one."""
    return in_order(KNOBS, {**tuned().get(NAME, {}).get("knobs", {}), **(settings or {})})


def proposal(seen: PoolObservation, settings: RuleSettings | None = None) -> Proposal:
    """What the rule would do with the pool now."""
    knobs, row = tuned_settings(settings), seen.raw[None]
    chosen = proposals(row, knobs)[0]
    market = float(row[0, Feature.MARKET_USD_PER_GPU_HOUR])
    price = round(float(PRICE_RATIOS[chosen[Head.PRICE_LEVEL]]) * market, 4)
    change, how = int(chosen[Head.NODES]), int(chosen[Head.CONSOLIDATION])
    on = float(row[0, Feature.USED_GPUS] + row[0, Feature.FREE_GPUS])
    wanted = max(0.0, on + float(stock(row, knobs).lease_lacking[0]))
    return Proposal(change, price, wanted, in_words(seen, change, how, price), how, STRICT)


def in_words(seen: PoolObservation, nodes: int, how: int, price: float) -> str:
    """What would be done, as it goes on after "The rule would"."""
    if nodes > 0:
        capacity = f"switch on {counted(nodes, 'node')}"
    elif nodes < 0:
        moving = ", moving the jobs of sparse ones" if how == MIGRATE else ""
        capacity = f"release {counted(-nodes, 'node')}{moving}"
    else:
        capacity = "keep the nodes as they are"
    now = seen.features["price_usd_per_gpu_hour"]
    return f"{capacity}, price ${price:.2f} per GPU-hour (now ${now:.2f})"
