"""Gains: what each candidate is expected to earn against doing nothing now, in USD per hour.

By paired rollouts of the planning model: every candidate meets the same drawn future as doing
nothing does, and the rule steers both from the next quarter of an hour on, so that the difference
is the candidate's own doing.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np

from engine.actions import Candidate
from engine.history import PoolPast
from engine.observe import PoolObservation
from engine.policies import Policy
from engine.policies.registry import baseline
from engine.simulator import orders, planning
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
        stands = standing(replace(seen, terms=terms), past)
        done = [order for one in given for order in orders_of(one, stands)]
        plan = planning.rollouts(
            stands.pool,
            [done, *(done + orders_of(candidate, stands) for candidate in candidates)],
            count=self.rollouts,
            horizon_seconds=horizon_seconds,
            seed=_seed(seen.pool.pool, seen.observed_at),
            then=(self.rule or baseline("rule")) if steers_on else None,
        )
        return [_gain(plan, at + 1, horizon_seconds / 3600) for at in range(len(candidates))]


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
            return [(orders.SCALE_DOWN, int(given["nodes"]), 1)]
        case "adjust_price":
            return [planning.price_order(given["price_usd_per_gpu_hour"])]
        case "migrate_job":
            return [(orders.MIGRATE, at, 0) for at in _places(stands.job_ids, given["job_id"])]
        case "quarantine_node":
            return [(orders.DRAIN, at, 0) for at in _places(stands.node_ids, given["node_id"])]
        case "repair_node":
            return [(orders.REPAIR, at, 0) for at in _places(stands.node_ids, given["node_id"])]
    return []


def _places(names: Sequence[str], name: str) -> list[int]:
    return [names.index(name)] if name in names else []


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
