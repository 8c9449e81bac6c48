"""Prices: how a capacity policy without a view of prices of its own sets them.

A price is a place in PRICE_RATIOS, our price over the market's, set anew at each decision. Each
function reads raw figures (R, FEATURE_COUNT) and knobs (K,) or (R, K) and answers levels (R,).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.policies import PRICE_RATIOS, Floats, Integers, Knob
from engine.policies.stock import (
    coming_nodes,
    demand_gpus,
    knob,
    node_gpus,
    owned_gpus,
)
from engine.simulator.features import Feature

LIST_KNOBS = (Knob("list_ratio", 1.0, 0.7, 1.3, "the list price over the market's usual one"),)
FOLLOW_KNOBS = (Knob("follow_ratio", 1.0, 0.7, 1.3, "the price over the market's of the moment"),)
SURGE_KNOBS = (
    Knob("idle_price_ratio", 0.90, 0.70, 1.15, "price over the market's while the pool is idle"),
    Knob("full_rise_ratio", 0.33, 0.0, 0.8, "rise once the owned GPUs are full and leases begin"),
    Knob("idle_below_ratio", 0.45, 0.0, 1.0, "demand over owned GPUs, below which a pool is idle"),
    Knob("full_width_ratio", 0.80, 0.05, 1.5, "from there to full"),
    Knob("queue_slope", 1.2, 0.0, 4.0, "rise of the ratio per GPU waited for, over those on"),
)
_RATIO_STEP = float(PRICE_RATIOS[1] - PRICE_RATIOS[0])


def list_price(seen: Floats, knobs: Floats) -> Integers:
    """A price in dollars that stays while the market moves.

    The list is written anew against the market of the last day: the price in force cannot be its
    anchor, since rounding it to a level at each decision would let it drift along with the market.
    """
    market = _market(seen)
    usual = np.where(
        seen[:, Feature.MARKET_DAY_USD_PER_GPU_HOUR] > 0,
        seen[:, Feature.MARKET_DAY_USD_PER_GPU_HOUR],
        market,
    )
    return closest_level(knob(knobs, 0) * usual / market)


def follow_market(seen: Floats, knobs: Floats) -> Integers:
    """A fixed share of the market's price of the moment."""
    return closest_level(np.broadcast_to(knob(knobs, 0), len(seen)))


def surge(seen: Floats, knobs: Floats) -> Integers:
    """Dear when full or queued, cheap when idle.

    What a GPU-hour costs us turns on the owned GPUs: while some are idle it is power and a forgone
    spot sale, beyond them a lease. Under a logit acceptance the best price rises with that cost by
    a little over a third of it (Phillips, Pricing and Revenue Optimization, ch. 5), so that the
    rise is scaled by the lease over the market's price, as it is on the day.
    """
    return closest_level(surge_ratio(seen, knobs))


def surge_ratio(seen: Floats, knobs: Floats) -> Floats:
    """Our price over the market's before it is rounded to a level, shape (R,)."""
    idle, rise, below, width, slope = (knob(knobs, at) for at in range(5))
    pressure = demand_gpus(seen) / owned_gpus(seen)
    fullness = np.clip((pressure - below) / width, 0.0, 1.0)
    lease = seen[:, Feature.BURST_USD_PER_GPU_HOUR] / _market(seen)
    on = np.maximum(coming_nodes(seen), 1.0) * node_gpus(seen)
    queue = seen[:, Feature.QUEUED_GPUS] / on
    ratio: Floats = idle + rise * fullness * lease / USUAL_LEASE_RATIO + slope * queue
    return ratio


USUAL_LEASE_RATIO = 0.66
"""The lease over the market's price in the design study's economics: 1.90 over 2.89."""


def closest_level(ratio: Floats) -> Integers:
    """The place in PRICE_RATIOS nearest to each ratio."""
    place = np.round((ratio - PRICE_RATIOS[0]) / _RATIO_STEP)
    levels: Integers = np.clip(place, 0, len(PRICE_RATIOS) - 1).astype(np.int64)
    return levels


def _market(seen: Floats) -> Floats:
    # A pool whose market is not known is priced against itself.
    market = seen[:, Feature.MARKET_USD_PER_GPU_HOUR]
    known: Floats = np.where(market > 0, market, seen[:, Feature.PRICE_USD_PER_GPU_HOUR])
    return np.maximum(known, 1e-6)


Pricing = Callable[[Floats, Floats], Integers]
PRICINGS: dict[str, tuple[tuple[Knob, ...], Pricing]] = {
    "list": (LIST_KNOBS, list_price),
    "follow": (FOLLOW_KNOBS, follow_market),
    "surge": (SURGE_KNOBS, surge),
}
"""By name: the knobs and the function."""
