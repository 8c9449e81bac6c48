"""Where an earlier console left off with a cluster: what it told last of each object and job."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from warehouse import cluster
from warehouse.records import (
    ClusterJob,
    ClusterNode,
    ClusterPod,
    ClusterWorkload,
    DisruptionBudget,
    Pool,
    ScaleTarget,
)
from warehouse.store import Store

SOURCE = "kubernetes"
EVENTS_KEPT = timedelta(hours=2)
"""Kubernetes forgets Events after an hour; of those older than this none will be told again."""


@dataclass(frozen=True)
class LastTold:
    """What was last told of a cluster: the collector goes on from there after a restart."""

    nodes: Sequence[ClusterNode] = ()
    pods: Sequence[ClusterPod] = ()
    jobs: Sequence[ClusterJob] = ()
    budgets: Sequence[DisruptionBudget] = ()
    workloads: Sequence[ClusterWorkload] = ()
    pools: Sequence[Pool] = ()
    scale_targets: Sequence[ScaleTarget] = ()
    standings: Sequence[Mapping[str, Any]] = ()
    """A job that has not ended, or is still there, as its events tell it."""
    event_times: Mapping[str, int] = field(default_factory=dict)
    """How often each Event had been seen, by uid; the newest alone."""

    @property
    def is_of_a_cluster(self) -> bool:
        """Whether a cluster was read before."""
        return bool(self.nodes or self.pools)


def last_told(store: Store, *, now: datetime) -> LastTold:
    """What an earlier console has told of the cluster."""
    recent = store.query(
        f'SELECT uid, "count" FROM ({cluster.EVENTS_ONCE}) WHERE happened_at >= $since',
        since=now - EVENTS_KEPT,
    )
    return LastTold(
        nodes=cluster.nodes_there(store),
        pods=cluster.pods_there(store),
        jobs=cluster.jobs_there(store),
        budgets=cluster.budgets(store),
        workloads=cluster.workloads(store),
        pools=store.rows(Pool, _POOLS, source=SOURCE),
        scale_targets=cluster.scale_targets(store),
        standings=_standings(store),
        event_times=dict(recent.iter_rows()),
    )


_POOLS = """
    SELECT * FROM pools WHERE source = $source
    QUALIFY row_number() OVER (PARTITION BY pool ORDER BY recorded_at DESC, rowid DESC) = 1
"""
_STANDINGS = f"""
    WITH told AS (
        SELECT job_id, arg_max(tenant, (happened_at, rowid)) AS tenant,
            arg_max(pool, (happened_at, rowid)) AS pool,
            arg_max(gpu_count, (happened_at, rowid)) AS gpu_count,
            arg_max(event, (happened_at, rowid)) FILTER (event <> 'checkpointed') AS event,
            arg_max(node_ids, (happened_at, rowid)) FILTER (node_ids <> '[]') AS node_ids,
            bool_or(event IN ('started', 'migrated')) AS has_started,
            max(happened_at) FILTER (event IN ('submitted', 'preempted')) AS queued_at,
            max(happened_at) FILTER (event = 'checkpointed') AS checkpointed_at,
            max(happened_at) AS told_until_at
        FROM job_events WHERE source = $source GROUP BY job_id
    )
    SELECT told.*, coalesce(there.uid, told.job_id) AS uid,
        coalesce(there.checkpointed_at, told.checkpointed_at) AS seen_checkpointed_at,
        there.job_id IS NOT NULL AS is_there
    FROM told LEFT JOIN ({cluster.JOBS_THERE}) there USING (job_id)
    WHERE there.job_id IS NOT NULL OR told.event NOT IN ('finished', 'failed', 'left')
"""
_STATE_AFTER = {
    "submitted": "waiting",
    "preempted": "waiting",
    "started": "running",
    "migrated": "running",
    "finished": "finished",
    "failed": "failed",
}


def _standings(store: Store) -> list[dict[str, Any]]:
    return [
        {
            "job_id": row["job_id"],
            "uid": row["uid"],
            "tenant": row["tenant"],
            "pool": row["pool"],
            "gpu_count": row["gpu_count"],
            "state": _STATE_AFTER[row["event"]],
            "node_ids": tuple(json.loads(row["node_ids"] or "[]")),
            "has_started": row["has_started"],
            "is_queued": _STATE_AFTER[row["event"]] == "waiting",
            "queued_at": row["queued_at"] or row["told_until_at"],
            "checkpointed_at": row["seen_checkpointed_at"],
            "told_until_at": row["told_until_at"],
        }
        for row in store.query(_STANDINGS, source=SOURCE).iter_rows(named=True)
        if row["event"] in _STATE_AFTER
    ]
