"""What a decision was proposed on: the rows of the cluster as they were then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from warehouse.records import ClusterJob, ClusterNode, Pool, ScaleTarget
from warehouse.store import Store

_PROPOSED_AT = "SELECT proposed_at FROM decisions WHERE decision_id = $decision_id"
_NODE = """
    SELECT * FROM cluster_nodes WHERE node_id = $name AND measured_at <= $at
    ORDER BY measured_at DESC, rowid DESC LIMIT 1
"""
_JOB = """
    SELECT * FROM cluster_jobs WHERE job_id = $name AND measured_at <= $at
    ORDER BY measured_at DESC, rowid DESC LIMIT 1
"""
_SCALE_TARGET = """
    SELECT * FROM scale_targets WHERE pool = $name AND measured_at <= $at
    ORDER BY measured_at DESC, rowid DESC LIMIT 1
"""
_NEWEST_SCALE_TARGET = """
    SELECT * FROM scale_targets WHERE pool = $name ORDER BY measured_at DESC, rowid DESC LIMIT 1
"""
_POOL = "SELECT * FROM pools WHERE pool = $name ORDER BY recorded_at DESC, rowid DESC LIMIT 1"


@dataclass(frozen=True)
class Proposal:
    """What was known when a decision was proposed; nothing where there is no such decision, as
    of what takes a decision back."""

    store: Store
    at: datetime | None

    def node(self, node_id: str) -> ClusterNode | None:
        """The node."""
        if self.at is None:
            return None
        rows = self.store.rows(ClusterNode, _NODE, name=node_id, at=self.at)
        return next((row for row in rows if not row.is_gone), None)

    def job(self, job_id: str) -> ClusterJob | None:
        """The job."""
        if self.at is None:
            return None
        rows = self.store.rows(ClusterJob, _JOB, name=job_id, at=self.at)
        return next((row for row in rows if not row.is_gone), None)

    def scale_target(self, pool: str) -> ScaleTarget | None:
        """What the pool is scaled by."""
        if self.at is None:
            return None
        return next(iter(self.store.rows(ScaleTarget, _SCALE_TARGET, name=pool, at=self.at)), None)


def proposal(store: Store, decision_id: str) -> Proposal:
    """What a decision was proposed on."""
    found = store.query(_PROPOSED_AT, decision_id=decision_id)
    return Proposal(store, found.item() if found.height == 1 else None)


def scaled_by(store: Store, pool: str) -> str | None:
    """Path of what a pool is scaled by, as the collector last saw it."""
    rows = store.rows(ScaleTarget, _NEWEST_SCALE_TARGET, name=pool)
    return rows[0].target if rows else None


def gpus_per_node(store: Store, pool: str) -> int | None:
    """GPUs in each node of a pool."""
    rows = store.rows(Pool, _POOL, name=pool)
    return rows[0].gpus_per_node if rows else None
