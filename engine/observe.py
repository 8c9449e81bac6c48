"""Observe: the warehouse's newest rows as one observation a pool.

Nothing here knows where the rows came from: a simulated fleet and a real one look the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

import polars as pl

from warehouse.records import NodeReading, Observation, Pool, PoolState
from warehouse.store import Store

STALE = timedelta(minutes=30)
"""A pool that was not read for so long is not reasoned about."""
JOB_WINDOW = timedelta(days=30)
"""A job without any event for so long is taken to be gone."""
ARRIVAL_WINDOW = timedelta(hours=24)
"""Arrivals are counted over this long."""
RECENT = timedelta(hours=1)

_POOLS = """
    SELECT * FROM pools
    QUALIFY row_number() OVER (PARTITION BY pool ORDER BY recorded_at DESC) = 1
"""
_STATES = """
    SELECT * FROM pool_states WHERE measured_at BETWEEN $since AND $now
    QUALIFY row_number() OVER (PARTITION BY pool ORDER BY measured_at DESC) = 1
"""
_NODES = """
    SELECT * FROM node_states WHERE measured_at BETWEEN $since AND $now
    QUALIFY row_number() OVER (PARTITION BY node_id ORDER BY measured_at DESC) = 1
"""
_JOBS = """
    SELECT job_id, any_value(pool) AS pool, arg_max(gpu_count, rank) AS gpu_count,
        arg_max(event, rank) AS event, arg_max(node_ids, rank) AS node_ids,
        arg_max(price_usd_per_gpu_hour, rank) AS price,
        max(happened_at) FILTER (event IN ('submitted', 'preempted')) AS queued_at,
        min(happened_at) FILTER (event = 'started') AS started_at
    FROM (
        SELECT *, (happened_at, rowid) AS rank
        FROM job_events WHERE happened_at BETWEEN $since AND $now
    )
    GROUP BY job_id
    HAVING arg_max(event, rank) NOT IN ('finished', 'failed', 'left')
"""
_ARRIVALS = """
    SELECT pool, event, count(*) AS jobs, sum(gpu_count)::DOUBLE AS gpus,
        count(*) FILTER (happened_at > $recent) AS recent_jobs,
        coalesce(sum(gpu_count) FILTER (happened_at > $recent), 0) AS recent_gpus
    FROM job_events
    WHERE happened_at > $since AND happened_at <= $now AND event IN ('submitted', 'finished')
    GROUP BY pool, event
"""

QUEUED_AFTER = ("submitted", "preempted")
"""After these events a job waits; after the others that do not end it, it runs."""


@dataclass(frozen=True)
class PoolObservation:
    """What the engine saw of a pool, with the rows behind it."""

    observation_id: str
    pool: Pool
    state: PoolState
    nodes: tuple[NodeReading, ...]
    jobs: pl.DataFrame = field(repr=False)
    """Jobs that run or wait: job_id, gpu_count, event, node_ids (JSON), price, queued_at,
    started_at."""
    features: dict[str, float]
    """The numbers by name, the unit its last word."""
    snapshot_id: int
    observed_at: datetime

    @property
    def row(self) -> Observation:
        """As it is kept."""
        return Observation(
            observation_id=self.observation_id,
            pool=self.pool.pool,
            features=self.features,
            snapshot_id=self.snapshot_id,
            observed_at=self.observed_at,
        )

    @property
    def waiting(self) -> pl.DataFrame:
        """The jobs that wait, the longest first."""
        return self.jobs.filter(pl.col("event").is_in(QUEUED_AFTER)).sort("queued_at")

    @property
    def running(self) -> pl.DataFrame:
        """The jobs that run."""
        return self.jobs.filter(~pl.col("event").is_in(QUEUED_AFTER))


def observed(store: Store, now: datetime) -> dict[str, PoolObservation]:
    """Every pool that was read lately, by name."""
    snapshot_id = store.snapshot_id()
    pools = {pool.pool: pool for pool in store.rows(Pool, _POOLS)}
    states = store.rows(PoolState, _STATES, since=now - STALE, now=now)
    nodes = store.rows(NodeReading, _NODES, since=now - STALE, now=now)
    jobs = store.query(_JOBS, since=now - JOB_WINDOW, now=now)
    arrivals = store.query(_ARRIVALS, since=now - ARRIVAL_WINDOW, recent=now - RECENT, now=now)
    return {
        state.pool: _observation(
            pools[state.pool],
            state,
            tuple(node for node in nodes if node.pool == state.pool),
            jobs.filter(pl.col("pool") == state.pool),
            flows_of(arrivals, state.pool),
            snapshot_id,
            now,
        )
        for state in sorted(states, key=lambda state: state.pool)
        if state.pool in pools
    }


def observation_id(pool: str, now: datetime) -> str:
    """The same for the same pool and instant, so that a repeated tick repeats itself."""
    return str(uuid5(NAMESPACE_URL, f"observation/{pool}/{now.isoformat()}"))


def _observation(
    pool: Pool,
    state: PoolState,
    nodes: tuple[NodeReading, ...],
    jobs: pl.DataFrame,
    flows: dict[str, float],
    snapshot_id: int,
    now: datetime,
) -> PoolObservation:
    return PoolObservation(
        observation_id=observation_id(pool.pool, now),
        pool=pool,
        state=state,
        nodes=nodes,
        jobs=jobs,
        features=features_of(pool, state, nodes, now) | flows,
        snapshot_id=snapshot_id,
        observed_at=now,
    )


def features_of(
    pool: Pool, state: PoolState, nodes: tuple[NodeReading, ...], now: datetime
) -> dict[str, float]:
    """The numbers of a pool by name."""
    nodes_on = state.owned_nodes_on + state.leased_nodes_on
    leased = [n for n in nodes if n.kind == "leased" and n.state not in ("off", "down")]
    owned_off = [n for n in nodes if n.kind == "owned" and n.state == "off"]
    market = state.market_usd_per_gpu_hour or state.price_usd_per_gpu_hour
    return {
        "used_gpus": state.gpus_used,
        "on_gpus": state.gpus_on,
        "free_gpus": state.gpus_on - state.gpus_used,
        "queued_gpus": state.queued_gpus,
        "queued_jobs": state.queued_jobs,
        "running_jobs": state.running_jobs,
        "oldest_wait_seconds": state.oldest_wait_seconds,
        "on_nodes": nodes_on,
        "provisioning_nodes": state.nodes_provisioning,
        "empty_nodes": state.nodes_empty,
        "down_nodes": state.nodes_down,
        "startable_owned_nodes": len(owned_off),
        "startable_leased_nodes": max(0, pool.leased_nodes_limit - len(leased)),
        "utilisation_ratio": state.gpus_used / state.gpus_on if state.gpus_on else 0.0,
        "price_usd_per_gpu_hour": state.price_usd_per_gpu_hour,
        "market_usd_per_gpu_hour": market,
        "price_to_market_ratio": state.price_usd_per_gpu_hour / market if market else 1.0,
        "reading_age_seconds": (now - state.measured_at).total_seconds(),
    }


def flows_of(arrivals: pl.DataFrame, pool: str) -> dict[str, float]:
    """GPUs asked for and given back per hour, over the last hour and the last day."""
    hours = ARRIVAL_WINDOW / timedelta(hours=1)
    flows = dict.fromkeys(
        (
            "submitted_last_hour_gpus_per_hour",
            "submitted_last_day_gpus_per_hour",
            "submitted_last_day_jobs_per_hour",
            "finished_last_hour_gpus_per_hour",
            "finished_last_day_gpus_per_hour",
            "finished_last_day_jobs_per_hour",
        ),
        0.0,
    )
    for row in arrivals.filter(pl.col("pool") == pool).iter_rows(named=True):
        flows[f"{row['event']}_last_hour_gpus_per_hour"] = float(row["recent_gpus"])
        flows[f"{row['event']}_last_day_gpus_per_hour"] = row["gpus"] / hours
        flows[f"{row['event']}_last_day_jobs_per_hour"] = row["jobs"] / hours
    return flows
