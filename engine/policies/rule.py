"""The rule: base stock for capacity, surge for the price. Every other policy is compared with it.

Capacity: keep enough GPUs on for what runs, what waits and what is expected to arrive, beyond
what ends, while a node boots; plus a safety stock. Nodes are released only with slack to spare
(a band), so that the same node is not bought and sold every quarter of an hour.
Price: the market's, dearer when the pool is nearly full or jobs wait, cheaper when it is idle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.observe import PoolObservation
from warehouse.words import counted

NAME = "rule"


@dataclass(frozen=True)
class RuleSettings:
    """The knobs of the rule."""

    lead_seconds: float = 1200.0
    """how long ahead capacity is bought: about a leased node's boot time"""
    safety_factor: float = 1.0
    """safety stock in standard deviations of the arrivals over the lead time"""
    queue_weight_ratio: float = 1.0
    """share of the queued GPUs that capacity is bought for"""
    owned_slack_nodes: float = 2.0
    """owned nodes beyond need that stay on: they cost power alone, and sell as spot"""
    leased_slack_nodes: float = 1.0
    """leased nodes beyond need that stay: a lease that is let go is paid for anew"""
    largest_step_nodes: int = 8
    """most nodes asked for or released at once"""
    surge_from_ratio: float = 0.90
    """utilisation from which the price rises above the market's"""
    surge_slope: float = 1.5
    """rise of the price ratio per unit of utilisation above that"""
    queue_surge_slope: float = 0.5
    """rise of the price ratio per queued GPU over GPUs on"""
    discount_below_ratio: float = 0.75
    """utilisation below which the price falls under the market's"""
    discount_slope: float = 0.4
    """fall of the price ratio per unit of utilisation below that"""
    level_ratio: float = 0.05
    """prices move on a grid of this share of the market"""
    lowest_ratio: float = 0.80
    """lowest price over the market's"""
    highest_ratio: float = 1.25
    """highest price over the market's"""


@dataclass(frozen=True)
class Proposal:
    """What a policy would do with a pool."""

    nodes: int
    """nodes to add, negative to release"""
    price_usd_per_gpu_hour: float
    wanted_gpus: float
    """GPUs it would like to have on"""
    sentence: str


def proposal(seen: PoolObservation, settings: RuleSettings | None = None) -> Proposal:
    """What the rule would do with the pool now."""
    knobs = settings or RuleSettings()
    wanted_gpus = _wanted_gpus(seen, knobs)
    nodes = _nodes(seen, wanted_gpus, knobs)
    price = _price(seen, knobs)
    return Proposal(nodes, price, wanted_gpus, _sentence(seen, nodes, price))


def _wanted_gpus(seen: PoolObservation, knobs: RuleSettings) -> float:
    f = seen.features
    lead_hours = knobs.lead_seconds / 3600
    arriving = f["submitted_last_hour_gpus_per_hour"] * lead_hours
    leaving = f["finished_last_day_gpus_per_hour"] * lead_hours
    jobs = f["submitted_last_day_jobs_per_hour"] * lead_hours
    mean_gpus = f["submitted_last_day_gpus_per_hour"] / max(
        f["submitted_last_day_jobs_per_hour"], 1e-9
    )
    # A compound Poisson stream whose sizes spread about as widely as their mean.
    safety = knobs.safety_factor * mean_gpus * math.sqrt(2 * jobs)
    held = f["used_gpus"] + knobs.queue_weight_ratio * f["queued_gpus"]
    return max(0.0, held + arriving - leaving + safety)


def _nodes(seen: PoolObservation, wanted_gpus: float, knobs: RuleSettings) -> int:
    f, size = seen.features, max(seen.pool.gpus_per_node, 1)
    coming = f["on_nodes"] + f["provisioning_nodes"]
    lacking = math.ceil(wanted_gpus / size) - coming
    if lacking > 0:
        room = f["startable_owned_nodes"] + f["startable_leased_nodes"]
        return int(min(lacking, room, knobs.largest_step_nodes))
    is_leasing = seen.state.leased_nodes_on > 0
    slack = knobs.leased_slack_nodes if is_leasing else knobs.owned_slack_nodes
    surplus = math.floor(-lacking - slack)
    return -int(max(0, min(surplus, f["empty_nodes"], knobs.largest_step_nodes)))


def _price(seen: PoolObservation, knobs: RuleSettings) -> float:
    f = seen.features
    use, market = f["utilisation_ratio"], f["market_usd_per_gpu_hour"]
    queue = f["queued_gpus"] / max(f["on_gpus"], 1.0)
    ratio = 1.0 + knobs.queue_surge_slope * queue
    ratio += knobs.surge_slope * max(0.0, use - knobs.surge_from_ratio)
    ratio -= knobs.discount_slope * max(0.0, knobs.discount_below_ratio - use)
    ratio = min(max(ratio, knobs.lowest_ratio), knobs.highest_ratio)
    level = round(ratio / knobs.level_ratio) * knobs.level_ratio
    return round(level * market, 4)


def _sentence(seen: PoolObservation, nodes: int, price: float) -> str:
    if nodes > 0:
        capacity = f"switch on {counted(nodes, 'node')}"
    elif nodes < 0:
        capacity = f"release {counted(-nodes, 'node')}"
    else:
        capacity = "keep the nodes as they are"
    now = seen.features["price_usd_per_gpu_hour"]
    return f"{capacity}, price ${price:.2f} per GPU-hour (now ${now:.2f})"
