"""Facts: what rows tell of a pool's nodes and jobs beyond their readings, and what is forecast.

Where nobody reports a thing (no health, no cluster, no forecast) it is not known, and the actions
that need it have no candidates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from warehouse.records import ClusterJob, Forecast, NodeHealth
from warehouse.store import Store

FACT_WINDOW = timedelta(days=30)
"""These rows are written when something changed; one older than this is taken to be gone."""
FORECAST_WINDOW = timedelta(hours=2)
"""A forecast that was issued longer ago is not acted on."""

_HEALTH = """
    SELECT * FROM node_health WHERE judged_at BETWEEN $since AND $now
    QUALIFY row_number() OVER (PARTITION BY node_id ORDER BY judged_at DESC, rowid DESC) = 1
"""
_OCCUPANCY = """
    SELECT * FROM forecasts
    WHERE issued_at BETWEEN $since AND $now AND series = 'occupancy' AND target_at > $now
    QUALIFY issued_at = max(issued_at) OVER (PARTITION BY pool)
    ORDER BY target_at
"""
_JOBS = """
    SELECT * FROM cluster_jobs WHERE measured_at BETWEEN $since AND $now
    QUALIFY NOT is_gone
        AND row_number() OVER (PARTITION BY job_id ORDER BY measured_at DESC, rowid DESC) = 1
"""
_KEPT_NODES = """
    SELECT node_id FROM (
        SELECT * FROM cluster_nodes WHERE measured_at BETWEEN $since AND $now
        QUALIFY row_number() OVER (PARTITION BY node_id ORDER BY measured_at DESC, rowid DESC) = 1
    ) WHERE is_do_not_disrupt AND NOT is_gone
"""
_QUARANTINED = """
    SELECT pool, node_id, decision_id FROM (
        SELECT d.pool, d.decision_id, d.parameters ->> 'node_id' AS node_id, d.action, e.kind
        FROM executions e JOIN decisions d USING (decision_id)
        WHERE d.action IN ('quarantine_node', 'repair_node') AND e.phase = 'succeeded'
            AND e.happened_at BETWEEN $since AND $now
        QUALIFY row_number() OVER (
            PARTITION BY node_id ORDER BY e.happened_at DESC, e.rowid DESC
        ) = 1
    ) WHERE action = 'quarantine_node' AND kind = 'do'
"""
"""The nodes whose newest deed of ours is a quarantine that was not taken back."""


@dataclass(frozen=True)
class Facts:
    """What is known of one pool; empty where nothing is."""

    health: Mapping[str, NodeHealth] = field(default_factory=dict)
    """By node, as last judged"""
    occupancy: tuple[Forecast, ...] = ()
    """The newest forecasts of GPUs in use, the nearest first"""
    jobs: Mapping[str, ClusterJob] = field(default_factory=dict)
    """By job, where a cluster tells of it"""
    kept_nodes: frozenset[str] = frozenset()
    """Nodes that must not be disrupted"""
    quarantined: Mapping[str, str] = field(default_factory=dict)
    """Nodes that we took out of use, with the decision that did"""

    @property
    def suspects(self) -> list[NodeHealth]:
        """The nodes that are too ill to be given jobs, the worst first."""
        ill = (one for one in self.health.values() if one.is_suspect)
        return sorted(ill, key=lambda one: (one.health_ratio, one.node_id))

    def is_suspect(self, node_id: str) -> bool:
        """Whether the node is known to be too ill to be given jobs."""
        return node_id in self.health and self.health[node_id].is_suspect


NO_FACTS = Facts()


def facts(store: Store, now: datetime, pools: Mapping[str, str]) -> dict[str, Facts]:
    """What is known of each pool; `pools` is the pool of each node that was read lately."""
    span = {"since": now - FACT_WINDOW, "now": now}
    health: dict[str, dict[str, NodeHealth]] = defaultdict(dict)
    for judged in store.rows(NodeHealth, _HEALTH, **span):
        health[pools.get(judged.node_id, judged.pool or "")][judged.node_id] = judged
    occupancy: dict[str, list[Forecast]] = defaultdict(list)
    for told in store.rows(Forecast, _OCCUPANCY, since=now - FORECAST_WINDOW, now=now):
        occupancy[told.pool].append(told)
    jobs: dict[str, dict[str, ClusterJob]] = defaultdict(dict)
    for job in store.rows(ClusterJob, _JOBS, **span):
        jobs[job.pool or ""][job.job_id] = job
    kept = frozenset(store.query(_KEPT_NODES, **span)["node_id"])
    quarantined: dict[str, dict[str, str]] = defaultdict(dict)
    for pool, node_id, decision_id in store.query(_QUARANTINED, **span).iter_rows():
        quarantined[pool][node_id] = decision_id
    return {
        pool: Facts(health[pool], tuple(occupancy[pool]), jobs[pool], kept, quarantined[pool])
        for pool in sorted({*pools.values(), *occupancy})
    }
