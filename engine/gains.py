"""Gains: what each candidate is expected to earn against doing nothing now, in USD per hour.

By paired rollouts of the planning model: every candidate meets the same drawn future as doing
nothing does, and the rule steers both from the next quarter of an hour on, so that the difference
is the candidate's own doing.

The model knows neither XIDs nor ECC counters: a node that is judged ill plays in it as a sound one.
What its illness costs, and what moving a job can lose, is put on top (`engine/illness.py`).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np

from engine.actions import Candidate
from engine.actions.rebalance import named_nodes
from engine.history import PoolPast
from engine.illness import Stakes, as_if_sound, stakes
from engine.observe import PoolObservation
from engine.policies import Policy
from engine.policies.registry import baseline
from engine.simulator import orders, planning
from engine.simulator.layout import BURST
from engine.simulator.metrics import Metric
from engine.simulator.settings import Economics
from engine.twin.sight import Standing, standing

INTERVAL_RATIO = 0.8
ROLLOUTS = 24
"""Drawn futures a pool and tick; the mean gain's standard error is kept beside it."""


@dataclass(frozen=True)
class Gain:
    """What a candidate is expected to earn against doing nothing."""

    mean_usd_per_hour: float
    low_usd_per_hour: float
    high_usd_per_hour: float
    """Ends of the interval that held `INTERVAL_RATIO` of the drawn futures."""
    error_usd_per_hour: float
    """Standard error of the mean: fewer rollouts, more error."""
    disruption_cost_usd: float
    """Penalties and refunds added over the horizon, where it adds any."""
    late_jobs: float
    """Late starts added over the horizon; negative where it saves some."""
    gpu_hours: float
    """GPU-hours delivered that would not have been, over the horizon."""


@dataclass(frozen=True)
class Planner:
    """The planning model with its knobs."""

    terms: Mapping[str, Economics] = field(default_factory=dict)
    """What is agreed with the customers of a pool and with its landlord, by pool; where a pool
    is not named, the defaults of `Economics` hold, scaled to its price where they are money"""
    rollouts: int = ROLLOUTS
    """drawn futures"""
    rule: Policy | None = None
    """who steers from the next quarter of an hour on; None: the tuned rule"""

    def gains(
        self,
        seen: PoolObservation,
        past: PoolPast,
        candidates: Sequence[Candidate],
        horizon_seconds: int,
        given: Sequence[Candidate] = (),
        steers_on: bool = True,
    ) -> list[Gain]:
        """The gain of each candidate, in their order; on top of those `given`, which are done.

        With `steers_on` the rule goes on steering, with the candidate and without; else nothing
        more is done over the horizon, which is what leaving a proposal unanswered comes to.
        """
        if not candidates:
            return []
        terms = self.terms.get(seen.pool.pool, seen.terms)
        known = as_if_sound(replace(seen, terms=terms))
        stands = standing(known, past)
        done = [order for one in given for order in orders_of(one, stands)]
        plan = planning.rollouts(
            stands.pool,
            [done, *(done + orders_of(candidate, stands) for candidate in candidates)],
            count=self.rollouts,
            horizon_seconds=horizon_seconds,
            seed=_seed(seen.pool.pool, seen.observed_at),
            then=(self.rule or baseline("rule")) if steers_on else None,
        )
        hours = horizon_seconds / 3600
        return [
            _with_stakes(_gain(plan, at + 1, hours), stakes(known, one, given, hours), hours)
            for at, one in enumerate(candidates)
        ]


def _seed(pool: str, now: datetime) -> int:
    """The same pool and instant draw the same futures, so that a tick can be repeated."""
    return zlib.crc32(f"{pool}/{now.isoformat()}".encode())


def orders_of(candidate: Candidate, stands: Standing) -> list[planning.Order]:
    """The candidate as the simulator's orders; none where its node or job is not known there."""
    given = candidate.parameters
    match candidate.action:
        case "scale_up" | "pre_warm":
            return [(orders.SCALE_UP, int(given["nodes"]), 0)]
        case "scale_down":
            return [(orders.SCALE_DOWN, int(given["nodes"]), 0)]
        case "rebalance":
            return _emptied([at for n in named_nodes(given) for at in _places(stands.node_ids, n)])
        case "adjust_price":
            return [planning.price_order(given["price_usd_per_gpu_hour"])]
        case "migrate_job":
            return [(orders.MIGRATE, at, 0) for at in _places(stands.job_ids, given["job_id"])]
        case "quarantine_node":
            # It is repaired as soon as it is empty; where it is not, that order changes nothing.
            here = _places(stands.node_ids, given["node_id"])
            return [one for at in here for one in ((orders.DRAIN, at, 0), _repair(stands, at))]
        case "repair_node":
            return [_repair(stands, at) for at in _places(stands.node_ids, given["node_id"])]
    return []


def _repair(stands: Standing, at: int) -> planning.Order:
    """A lease is handed back: it is the landlord's to mend."""
    is_leased = stands.pool.node_kind[at] == BURST
    return (orders.RELEASE if is_leased else orders.REPAIR, at, 0)


def _emptied(places: Sequence[int]) -> list[planning.Order]:
    """Closed together, so that no job moves from one to the next; what can't be emptied reopens."""
    closed = [(orders.CORDON, at, 0) for at in places]
    steps = (orders.DRAIN, orders.RELEASE, orders.UNCORDON)
    return closed + [(kind, at, 0) for at in places for kind in steps]


def _places(names: Sequence[str], name: str) -> list[int]:
    return [names.index(name)] if name in names else []


def _with_stakes(gain: Gain, at_stake: Stakes, hours: float) -> Gain:
    """The gain with what the model does not know of."""
    on_top = (at_stake.spared_usd - at_stake.charged_usd) / hours
    if at_stake.least_usd is not None:
        on_top = max(on_top, at_stake.least_usd / hours - gain.mean_usd_per_hour)
    return replace(
        gain,
        mean_usd_per_hour=gain.mean_usd_per_hour + on_top,
        low_usd_per_hour=gain.low_usd_per_hour + on_top,
        high_usd_per_hour=gain.high_usd_per_hour + on_top,
        disruption_cost_usd=gain.disruption_cost_usd + at_stake.unsaved_usd,
    )


def _gain(plan: planning.Plan, at: int, hours: float) -> Gain:
    gains = plan.gain_usd[at] / hours
    low, high = plan.interval_usd(INTERVAL_RATIO)[at] / hours
    added = (plan.metrics[at] - plan.metrics[0]).mean(axis=0)
    owed = float(added[Metric.SLA_PENALTY_USD] + added[Metric.REFUND_USD])
    return Gain(
        mean_usd_per_hour=float(gains.mean()),
        low_usd_per_hour=float(low),
        high_usd_per_hour=float(high),
        error_usd_per_hour=float(gains.std(ddof=1) / np.sqrt(len(gains))),
        disruption_cost_usd=max(0.0, owed),
        late_jobs=float(added[Metric.LATE_JOBS]),
        gpu_hours=float(added[Metric.USED_GPU_SECONDS] / 3600),
    )
