"""Fluid MPC: every change of nodes and price is looked two hours ahead in a fluid; the best wins.

Model predictive control with enumerated moves (Rawlings, Mayne and Diehl, Model Predictive Control,
ch. 1): demand flows in as forecast, thinned by the acceptance of the price; what runs flows out at
the last day's rate; what does not fit waits, owes penalties and leaves. Only the first move is
made, and a quarter of an hour later the question is asked anew.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from engine.policies import EMPTIES_ONLY, LEVEL_AT_MARKET, PRICE_RATIOS, Floats, Integers, Knob
from engine.policies.stock import (
    finished_share_per_hour,
    forecast_jobs,
    knob,
    mean_job_gpus,
    node_gpus,
    owned_gpus,
    releasable_nodes,
    startable_nodes,
)
from engine.simulator.features import Feature
from engine.simulator.settings import Economics

NAME = "mpc"
KNOBS = (
    Knob("finishing_ratio", 1.0, 0.3, 2.0, "rate of finishing over the last day's"),
    Knob("packing_ratio", 0.92, 0.6, 1.0, "share of the GPUs that can be filled in practice"),
    Knob("waiting_ratio", 1.0, 0.0, 5.0, "weight of the penalty for waiting"),
    Knob("afterwards_hours", 2.0, 0.0, 8.0, "what is still running at the end earns so long"),
    Knob("reserve_deviations", 0.5, -1.0, 3.0, "demand it plans for beyond the forecast"),
)
DELTAS = np.array([-8, -4, -2, -1, 0, 1, 2, 4, 8])
LEVELS = np.array([1, 3, 4, 5, 6, 7, 8, 9, 11])
STEPS = 8
_STEP_HOURS = 0.25
_TERMS = Economics()


class Moves(NamedTuple):
    """The alternatives of each pool, arrays (R, A) or (1, A)."""

    deltas: Floats
    ratios: Floats


class _Flow(NamedTuple):
    """What stays the same while a pool is looked ahead, arrays (R, 1)."""

    finishing: Floats
    """share that finishes in a step"""
    packing: Floats
    waiting_usd: Floats
    """per GPU that waits for an hour"""
    market_usd: Floats
    spot_usd: Floats
    """margin of an idle GPU sold as spot, per hour"""
    spot_gpus: Floats
    """most that are"""


def nodes(seen: Floats, knobs: Floats) -> tuple[Integers, Integers]:
    """Nodes to add at the price in force, negative to release, and how: both (R,)."""
    market = np.maximum(seen[:, Feature.MARKET_USD_PER_GPU_HOUR], 1e-6)
    ratios = np.clip(seen[:, Feature.PRICE_USD_PER_GPU_HOUR] / market, 0.3, 3.0)[:, None]
    values = look_ahead(seen, knobs, Moves(DELTAS[None].astype(float), ratios))
    return DELTAS[values.argmax(axis=1)], np.full(len(seen), EMPTIES_ONLY)


def plan(seen: Floats, knobs: Floats) -> tuple[Integers, Integers, Integers]:
    """Nodes, how, and the price level, chosen together: each (R,)."""
    deltas, levels = (grid.ravel() for grid in np.meshgrid(DELTAS, LEVELS, indexing="ij"))
    moves = Moves(deltas[None].astype(float), PRICE_RATIOS[levels][None])
    best = look_ahead(seen, knobs, moves).argmax(axis=1)
    return deltas[best], np.full(len(seen), EMPTIES_ONLY), levels[best]


def look_ahead(seen: Floats, knobs: Floats, moves: Moves) -> Floats:
    """Profit of each alternative over the horizon in USD, shape (R, A)."""
    flow = _flow(seen, knobs)
    arriving = _arriving(seen, knobs)
    acceptance = 1.0 / (
        1.0 + np.exp(_TERMS.acceptance_slope * (moves.ratios - _TERMS.acceptance_midpoint))
    )
    owned, leased = _capacity(seen, moves.deltas)
    price = moves.ratios * flow.market_usd
    locked = _column(seen, Feature.LOCKED_USD_PER_GPU_HOUR)
    shape = np.broadcast_shapes(owned[0].shape, acceptance.shape)
    old = np.broadcast_to(_column(seen, Feature.USED_GPUS), shape)
    new = np.zeros(shape)
    queue = np.broadcast_to(_column(seen, Feature.QUEUED_GPUS), shape)
    value = np.zeros(shape)
    for step in range(STEPS):
        room = flow.packing * (owned[step] + leased[step])
        waiting = queue + arriving[step] * acceptance
        started = np.clip(room - old - new, 0.0, waiting)
        queue, new = waiting - started, new + started
        income = old * locked + new * price - flow.waiting_usd * queue
        value = value + _STEP_HOURS * (
            income + _running(seen, flow, old + new, owned[step], leased[step])
        )
        old, new = old * (1 - flow.finishing), new * (1 - flow.finishing)
        queue = queue * (1 - _STEP_HOURS)  # patience is an hour
    return value + _afterwards(seen, knobs, flow, new, price) - _over(moves.deltas)


def _flow(seen: Floats, knobs: Floats) -> _Flow:
    hourly = finished_share_per_hour(seen) * knob(knobs, 0)
    market = np.maximum(_column(seen, Feature.MARKET_USD_PER_GPU_HOUR), 1e-6)
    busy = _column(seen, Feature.BUSY_USD_PER_GPU_HOUR)
    return _Flow(
        finishing=-np.expm1(-hourly * _STEP_HOURS)[:, None],
        packing=_tall(knob(knobs, 1), seen),
        waiting_usd=_tall(knob(knobs, 2), seen) * _column(seen, Feature.SLA_USD_PER_GPU_HOUR),
        market_usd=market,
        spot_usd=np.maximum(_TERMS.spot_ratio * market - busy, 0.0),
        spot_gpus=_TERMS.spot_depth_ratio * owned_gpus(seen)[:, None],
    )


def _arriving(seen: Floats, knobs: Floats) -> list[Floats]:
    """GPUs offered in each step, before acceptance: STEPS of (R, 1)."""
    size = mean_job_gpus(seen)
    edges = [forecast_jobs(seen, np.asarray(step * _STEP_HOURS)) for step in range(STEPS + 1)]
    # A lucky hour brings more: its deviation (compound Poisson) is planned for in equal parts.
    extra = knob(knobs, 4) * size * np.sqrt(2 * edges[-1]) / STEPS
    return [
        np.maximum(size * (after - before) + extra, 0.0)[:, None]
        for before, after in pairwise(edges)
    ]


def _capacity(seen: Floats, deltas: Floats) -> tuple[list[Floats], list[Floats]]:
    """GPUs on, owned and leased, at each step: STEPS of (R, A)."""
    size = node_gpus(seen)[:, None]
    none = np.full(len(seen), EMPTIES_ONLY)
    up = np.clip(deltas, 0.0, startable_nodes(seen)[:, None])
    down = np.clip(-deltas, 0.0, releasable_nodes(seen, none)[:, None])
    up_owned = np.minimum(up, _column(seen, Feature.OWNED_OFF_NODES))
    down_leased = np.minimum(down, _column(seen, Feature.BURST_RIPE_NODES))
    owned = _column(seen, Feature.OWNED_ACTIVE_NODES) - (down - down_leased)
    leased = _column(seen, Feature.BURST_ACTIVE_NODES) - down_leased
    owned_later = owned + _column(seen, Feature.OWNED_PROVISIONING_NODES) + up_owned
    leased_later = leased + _column(seen, Feature.BURST_PROVISIONING_NODES) + up - up_owned
    # Our own boot within the first quarter, leases (20 minutes) early in the second.
    third = leased + 2 / 3 * (leased_later - leased)
    return (
        [size * owned, *[size * owned_later] * (STEPS - 1)],
        [size * leased, size * third, *[size * leased_later] * (STEPS - 2)],
    )


def _running(seen: Floats, flow: _Flow, used: Floats, owned: Floats, leased: Floats) -> Floats:
    """What running costs an hour, spot sales taken off, as a negative figure."""
    power = owned * _column(seen, Feature.OWNED_USD_PER_GPU_HOUR)
    power = power + used * _column(seen, Feature.BUSY_USD_PER_GPU_HOUR)
    rent = leased * _column(seen, Feature.BURST_USD_PER_GPU_HOUR)
    idle = np.clip(owned + leased - used, 0.0, flow.spot_gpus)
    result: Floats = flow.spot_usd * idle - power - rent
    return result


def _afterwards(seen: Floats, knobs: Floats, flow: _Flow, new: Floats, price: Floats) -> Floats:
    """What the jobs that were taken on still earn beyond what their GPUs cost."""
    full = np.clip(_column(seen, Feature.USED_GPUS) / owned_gpus(seen)[:, None], 0.0, 1.0)
    lease = _column(seen, Feature.BURST_USD_PER_GPU_HOUR)
    cost = flow.spot_usd + full * np.maximum(lease - flow.spot_usd, 0.0)
    earned: Floats = _tall(knob(knobs, 3), seen) * new * (price - cost)
    return earned


def _over(deltas: Floats) -> Floats:
    # Of equals the smaller move is made.
    return 1e-6 * np.abs(deltas)


def _column(seen: Floats, feature: Feature) -> Floats:
    column: Floats = seen[:, feature, None]
    return column


def _tall(values: Floats, seen: Floats) -> Floats:
    tall: Floats = np.broadcast_to(values, len(seen))[:, None]
    return tall


assert PRICE_RATIOS[LEVEL_AT_MARKET] == 1.0
