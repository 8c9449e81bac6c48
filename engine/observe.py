"""Observe: the warehouse's newest rows as one observation a pool.

Nothing here knows where the rows came from: a simulated fleet and a real one look the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.facts import NO_FACTS, Facts, facts
from engine.simulator.features import FEATURE_NAMES
from engine.simulator.settings import Economics
from engine.twin.sight import raw_features
from engine.twin.tapes import PoolTape, job_flows, tapes
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
    QUALIFY row_number() OVER (PARTITION BY pool ORDER BY recorded_at DESC, rowid DESC) = 1
"""
_STATES = """
    SELECT * FROM pool_states WHERE measured_at BETWEEN $since AND $now
        AND ($pool IS NULL OR pool = $pool)
    QUALIFY row_number() OVER (PARTITION BY pool ORDER BY measured_at DESC, rowid DESC) = 1
"""
_NODES = """
    SELECT * FROM node_states WHERE measured_at BETWEEN $since AND $now
        AND ($pool IS NULL OR pool = $pool)
    QUALIFY row_number() OVER (PARTITION BY node_id ORDER BY measured_at DESC, rowid DESC) = 1
"""
_JOBS = """
    WITH gone AS (
        SELECT job_id FROM job_events
        WHERE happened_at BETWEEN $since AND $now AND event IN ('finished', 'left')
            AND ($pool IS NULL OR pool = $pool)
    )
    SELECT job_id, any_value(pool) AS pool, arg_max(gpu_count, rank) AS gpu_count,
        arg_max(event, rank) AS event, arg_max(node_ids, rank) AS node_ids,
        arg_max(price_usd_per_gpu_hour, rank) AS price,
        max(happened_at) FILTER (event IN ('submitted', 'preempted')) AS queued_at,
        min(happened_at) FILTER (event = 'started') AS started_at,
        max(happened_at) FILTER (event IN ('started', 'checkpointed', 'migrated')) AS saved_at
    FROM (
        SELECT *, (happened_at, rowid) AS rank
        FROM job_events ANTI JOIN gone USING (job_id)
        WHERE happened_at BETWEEN $since AND $now AND ($pool IS NULL OR pool = $pool)
    )
    GROUP BY job_id
    HAVING arg_max(event, rank) NOT IN ('finished', 'failed', 'left')
"""
"""A job that failed may be started again; those that are gone for good are left out early."""
_JOB_COLUMNS: dict[str, Any] = {
    "job_id": pl.String, "gpu_count": pl.Int64, "event": pl.String, "node_ids": pl.String,
    "price": pl.Float64, "queued_at": pl.Datetime("us", "UTC"),
    "started_at": pl.Datetime("us", "UTC"), "saved_at": pl.Datetime("us", "UTC"),
}  # fmt: skip
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
    started_at, saved_at (its newest start or checkpoint: the work since then is not saved)."""
    features: dict[str, float]
    """The numbers by name, the unit its last word."""
    snapshot_id: int
    observed_at: datetime
    tape: PoolTape | None = field(default=None, repr=False)
    """Its past quarters of an hour; None where there were none."""
    terms: Economics | None = None
    """What is agreed with its customers and its landlord; None where nobody told."""
    facts: Facts = field(default=NO_FACTS, repr=False)
    """What is known of its nodes and jobs beyond their readings, and what is forecast."""

    @cached_property
    def raw(self) -> npt.NDArray[np.float64]:
        """What policies read, shape (FEATURE_COUNT,): training's own figures."""
        return raw_features(self)

    @property
    def row(self) -> Observation:
        """As it is kept."""
        return Observation(
            observation_id=self.observation_id,
            pool=self.pool.pool,
            features=dict(zip(FEATURE_NAMES, self.raw.tolist(), strict=True)) | self.features,
            snapshot_id=self.snapshot_id,
            observed_at=self.observed_at,
        )

    @property
    def waiting(self) -> pl.DataFrame:
        """The jobs that wait, the longest first."""
        return self._known.filter(pl.col("event").is_in(QUEUED_AFTER)).sort("queued_at")

    @property
    def running(self) -> pl.DataFrame:
        """The jobs that run."""
        return self._known.filter(~pl.col("event").is_in(QUEUED_AFTER))

    @property
    def _known(self) -> pl.DataFrame:
        return self.jobs if self.jobs.width else pl.DataFrame(schema=_JOB_COLUMNS)


def observed(
    store: Store,
    now: datetime,
    terms: Mapping[str, Economics] | None = None,
    only: str | None = None,
) -> dict[str, PoolObservation]:
    """Every pool that was read lately, by name, or only one.

    `terms` are what is agreed in each pool, where that is known.
    """
    snapshot_id = store.snapshot_id()
    pools = {pool.pool: pool for pool in store.rows(Pool, _POOLS)}
    states = store.rows(PoolState, _STATES, since=now - STALE, now=now, pool=only)
    nodes = store.rows(NodeReading, _NODES, since=now - STALE, now=now, pool=only)
    jobs = store.query(_JOBS, since=now - JOB_WINDOW, now=now, pool=only)
    flows = job_flows(store, now, only)
    arrivals = _arrivals(flows, now)
    ends = {state.pool: state.measured_at for state in states}
    pasts = tapes(store, now, ends, flows, only)
    known = facts(store, now, {node.node_id: node.pool or "" for node in nodes})
    found = {}
    for state in sorted(states, key=lambda state: state.pool):
        if state.pool in pools:
            of_pool = _here(tuple(node for node in nodes if node.pool == state.pool), state)
            features = features_of(pools[state.pool], state, of_pool, now)
            found[state.pool] = PoolObservation(
                observation_id=observation_id(state.pool, now),
                pool=pools[state.pool],
                state=state,
                nodes=of_pool,
                jobs=jobs.filter(pl.col("pool") == state.pool),
                features=features | flows_of(arrivals, state.pool),
                snapshot_id=snapshot_id,
                observed_at=now,
                tape=pasts.get(state.pool),
                terms=(terms or {}).get(state.pool),
                facts=known.get(state.pool, NO_FACTS),
            )
    return found


def _here(nodes: tuple[NodeReading, ...], state: PoolState) -> tuple[NodeReading, ...]:
    """The nodes but leases that are gone: whoever read the pool just now no longer saw them."""
    reads_both = any(
        node.source == state.source and node.measured_at == state.measured_at for node in nodes
    )
    return tuple(
        node
        for node in nodes
        if not (
            reads_both
            and node.kind == "leased"
            and node.source == state.source
            and node.measured_at < state.measured_at
        )
    )


def _arrivals(flows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Jobs and GPUs that came and ended in the last day and hour, a row a pool and event."""
    recent, gpus = pl.col("happened_at") > now - RECENT, pl.col("gpu_count")
    return (
        flows.filter(pl.col("happened_at") > now - ARRIVAL_WINDOW)
        .group_by("pool", "event")
        .agg(
            jobs=pl.len(),
            gpus=gpus.sum().cast(pl.Float64),
            recent_jobs=recent.sum(),
            recent_gpus=gpus.filter(recent).sum(),
        )
    )


def observation_id(pool: str, now: datetime) -> str:
    """The same for the same pool and instant, so that a repeated tick repeats itself."""
    return str(uuid5(NAMESPACE_URL, f"observation/{pool}/{now.isoformat()}"))


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
