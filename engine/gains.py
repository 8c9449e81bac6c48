"""Gains: what each candidate is expected to earn against doing nothing, in USD per hour.

By paired rollouts of the planning model: every candidate meets the same drawn future as doing
nothing does, so that the difference is the candidate's own doing.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import polars as pl

from engine.actions import Candidate
from engine.history import ACCEPTANCE_MIDPOINT, ACCEPTANCE_SLOPE, NO_PAST, PoolPast
from engine.observe import PoolObservation
from engine.simulator import layout, orders, planning
from engine.simulator.metrics import Metric
from engine.simulator.settings import Economics, PoolSettings
from warehouse.records import NodeReading, Pool

INTERVAL_RATIO = 0.8
ROLLOUTS = 24
"""Drawn futures a pool and tick; the mean gain's standard error is kept beside it."""

_STATES = {name: code for code, name in enumerate(layout.NODE_STATES)}


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

    def gains(
        self,
        seen: PoolObservation,
        past: PoolPast,
        candidates: Sequence[Candidate],
        horizon_seconds: int,
    ) -> list[Gain]:
        """The gain of each candidate, in their order."""
        if not candidates:
            return []
        plan = planning.rollouts(
            observed_pool(seen, past, self.terms.get(seen.pool.pool)),
            [[], *([_order(candidate)] for candidate in candidates)],
            count=self.rollouts,
            horizon_seconds=horizon_seconds,
            seed=_seed(seen.pool.pool, seen.observed_at),
        )
        return [_gain(plan, at + 1, horizon_seconds / 3600) for at in range(len(candidates))]


def _seed(pool: str, now: datetime) -> int:
    """The same pool and instant draw the same futures, so that a tick can be repeated."""
    return zlib.crc32(f"{pool}/{now.isoformat()}".encode())


def _order(candidate: Candidate) -> planning.Order:
    match candidate.action:
        case "scale_up":
            return (orders.SCALE_UP, int(candidate.parameters["nodes"]), 0)
        case "scale_down":
            return (orders.SCALE_DOWN, int(candidate.parameters["nodes"]), 0)
        case "adjust_price":
            return planning.price_order(candidate.parameters["price_usd_per_gpu_hour"])
    raise AssertionError(f"the planning model knows no {candidate.action}")


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


# -- rows to the model -----------------------------------------------------------------


def observed_pool(
    seen: PoolObservation, past: PoolPast | None, terms: Economics | None
) -> planning.ObservedPool:
    """The pool as the planning model wants it, from rows alone."""
    known = past or NO_PAST
    nodes = _nodes(seen)
    index = {node.node_id: at for at, node in enumerate(nodes)}
    running, held = _running(seen, index)
    waiting = seen.waiting
    now, f = seen.observed_at, seen.features
    economics = terms or _assumed_terms(seen)
    return planning.ObservedPool(
        settings=_settings(seen.pool, economics, f["market_usd_per_gpu_hour"]),
        acceptance_scale=known.acceptance_scale,
        hour_of_week=now.weekday() * 24 + now.hour + now.minute / 60 + now.second / 3600,
        node_state=np.array([_STATES[node.state] for node in nodes], np.int64),
        node_kind=np.array([int(node.kind == "leased") for node in nodes], np.int64),
        node_ready_in_seconds=_seconds([_until(node.ready_at, now) for node in nodes]),
        node_billed_for_seconds=_seconds([_since(node.lease_started_at, now) for node in nodes]),
        running_gpus=_whole(running["gpu_count"]),
        running_age_seconds=_seconds([_since(at, now) for at in running["started_at"]]),
        running_price_usd=_prices(running, f["price_usd_per_gpu_hour"]),
        running_nodes=held,
        queued_gpus=_whole(waiting["gpu_count"]),
        queued_wait_seconds=_seconds([_since(at, now) for at in waiting["queued_at"]]),
        queued_price_usd=_prices(waiting, f["price_usd_per_gpu_hour"]),
        price_usd_per_gpu_hour=f["price_usd_per_gpu_hour"],
        market_usd_per_gpu_hour=f["market_usd_per_gpu_hour"],
        spot_share_ratio=economics.spot_share_ratio,
        arrivals_per_hour=known.arrivals_per_hour,
        past_gpus=known.gpus,
        past_duration_seconds=known.duration_seconds,
    )


def _assumed_terms(seen: PoolObservation) -> Economics:
    """The defaults, the penalty for waiting about a GPU-hour's market price."""
    pool, market = seen.pool, seen.features["market_usd_per_gpu_hour"]
    return Economics(
        owned_usd_per_gpu_hour=pool.owned_idle_usd_per_gpu_hour,
        busy_usd_per_gpu_hour=pool.owned_busy_usd_per_gpu_hour,
        burst_usd_per_gpu_hour=pool.leased_usd_per_gpu_hour,
        sla_usd_per_gpu_hour=round(market, 2),
        acceptance_slope=ACCEPTANCE_SLOPE,
        acceptance_midpoint=ACCEPTANCE_MIDPOINT,
    )


def _settings(pool: Pool, economics: Economics, market: float) -> PoolSettings:
    return PoolSettings(
        name=pool.pool,
        gpu_model=pool.gpu_model,
        region=pool.region,
        owned_nodes=pool.owned_nodes,
        burst_nodes=pool.leased_nodes_limit,
        list_price_usd_per_gpu_hour=market,
        market_usd_per_gpu_hour=market,
        node_gpus=pool.gpus_per_node,
        economics=economics,
    )


def _nodes(seen: PoolObservation) -> list[NodeReading]:
    """Every node that was read, owned first, and leases not taken as nodes that are off."""
    read = sorted(seen.nodes, key=lambda node: (node.kind != "owned", node.node_id))
    leased = sum(node.kind == "leased" for node in read)
    missing = max(0, seen.pool.leased_nodes_limit - leased)
    return read + [
        NodeReading(
            node_id=f"not-leased-{at}",
            pool=seen.pool.pool,
            kind="leased",
            state="off",
            gpu_count=seen.pool.gpus_per_node,
            gpus_used=0,
            source="engine",
            measured_at=seen.observed_at,
        )
        for at in range(missing)
    ]


def _running(
    seen: PoolObservation, index: Mapping[str, int]
) -> tuple[pl.DataFrame, list[list[int]]]:
    """The jobs whose nodes are known to have room for them, and those nodes' places.

    Rows of different sources are a moment apart: a job that would not fit is left out rather
    than let two jobs hold one GPU.
    """
    free = dict.fromkeys(index.values(), seen.pool.gpus_per_node)
    kept, held = [], []
    for at, job in enumerate(seen.running.iter_rows(named=True)):
        places = sorted(index[node] for node in json.loads(job["node_ids"]) if node in index)
        each = min(job["gpu_count"], seen.pool.gpus_per_node)
        if places and all(free[place] >= each for place in places):
            for place in places:
                free[place] -= each
            kept.append(at)
            held.append(places)
    return seen.running[kept], held


def _until(instant: datetime | None, now: datetime) -> float:
    return max(0.0, (instant - now).total_seconds()) if instant else 0.0


def _since(instant: datetime | None, now: datetime) -> float:
    return max(0.0, (now - instant).total_seconds()) if instant else 0.0


def _seconds(values: Sequence[float]) -> planning.Integers:
    return np.array(values, np.float64).astype(np.int64)


def _whole(values: pl.Series) -> planning.Integers:
    return values.to_numpy().astype(np.int64)


def _prices(jobs: pl.DataFrame, otherwise: float) -> planning.Floats:
    return jobs["price"].fill_null(otherwise).to_numpy().astype(np.float64)
