"""What is asked of a Kubernetes cluster: its nodes, jobs, budgets and Events as they are now.

The tables have a row whenever something changed; the newest of an object holds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TypeVar

from warehouse.paging import Page, Position, page_of
from warehouse.records import (
    ClusterEvent,
    ClusterJob,
    ClusterNode,
    ClusterPod,
    ClusterRight,
    ClusterWorkload,
    DisruptionBudget,
    ScaleTarget,
)
from warehouse.store import Store

R = TypeVar("R")


def _newest(table: str, key: str) -> str:
    return f"""
        SELECT * FROM {table}
        QUALIFY row_number() OVER (
            PARTITION BY {key} ORDER BY measured_at DESC, is_gone, rowid DESC
        ) = 1
    """


_NODES = f"SELECT * FROM ({_newest('cluster_nodes', 'node_id')}) WHERE NOT is_gone"
_PODS = f"SELECT * FROM ({_newest('cluster_pods', 'pod_id')}) WHERE NOT is_gone"
JOBS_THERE = f"SELECT * FROM ({_newest('cluster_jobs', 'job_id')}) WHERE NOT is_gone"
_BUDGETS = f"SELECT * FROM ({_newest('disruption_budgets', 'budget_id')}) WHERE NOT is_gone"
_WORKLOADS = (
    f"SELECT * FROM ({_newest('cluster_workloads', 'kind, workload_id')}) WHERE NOT is_gone"
)
EVENTS_ONCE = """
    SELECT * FROM cluster_events
    QUALIFY row_number() OVER (
        PARTITION BY uid ORDER BY happened_at DESC, "count" DESC, rowid DESC
    ) = 1
"""
_SCALE_TARGETS = """
    SELECT * FROM scale_targets
    QUALIFY row_number() OVER (PARTITION BY pool ORDER BY measured_at DESC, rowid DESC) = 1
"""
_RIGHTS = """
    SELECT * FROM cluster_rights
    QUALIFY row_number() OVER (
        PARTITION BY action, "right" ORDER BY checked_at DESC, rowid DESC
    ) = 1
"""


# -- lists ----------------------------------------------------------------------------


def nodes(
    store: Store,
    *,
    pool: str | None = None,
    is_ready: bool | None = None,
    is_unschedulable: bool | None = None,
    search: str | None = None,
    offset: Position = 0,
    limit: int = 100,
) -> Page:
    """The nodes that are there, by name, a page of them; lists are JSON text."""
    return page_of(
        store,
        f"""
        SELECT * FROM ({_NODES})
        WHERE ($pool IS NULL OR pool = $pool) AND ($ready IS NULL OR is_ready = $ready)
            AND ($cordoned IS NULL OR is_unschedulable = $cordoned)
            AND ($search IS NULL OR contains(lower(node_id), lower($search)))
        """,
        order="node_id",
        offset=offset,
        limit=limit,
        pool=pool,
        ready=is_ready,
        cordoned=is_unschedulable,
        search=search or None,
    )


def jobs(
    store: Store,
    *,
    pool: str | None = None,
    tenant: str | None = None,
    states: Collection[str] = (),
    node_id: str | None = None,
    search: str | None = None,
    offset: Position = 0,
    limit: int = 100,
) -> Page:
    """The Jobs that are there, the newest first, a page of them.

    `node_ids` are the nodes that its pods are bound to and have not left, sorted. With a
    `node_id` only those with a pod on that node.
    """
    return page_of(
        store,
        f"""
        WITH held AS (
            SELECT job_id, list_sort(list_distinct(list(node_id))) AS node_ids FROM ({_PODS})
            WHERE node_id IS NOT NULL AND phase NOT IN ('Succeeded', 'Failed') GROUP BY job_id
        )
        SELECT jobs.*, coalesce(held.node_ids, []::VARCHAR[]) AS node_ids
        FROM ({JOBS_THERE}) jobs LEFT JOIN held USING (job_id)
        WHERE ($pool IS NULL OR pool = $pool) AND ($tenant IS NULL OR tenant = $tenant)
            AND (len($states::VARCHAR[]) = 0 OR list_contains($states::VARCHAR[], state))
            AND ($node IS NULL OR list_contains(held.node_ids, $node))
            AND ($search IS NULL OR contains(lower(jobs.job_id), lower($search)))
        """,
        order="created_at DESC, job_id",
        offset=offset,
        limit=limit,
        pool=pool,
        tenant=tenant,
        states=list(states),
        node=node_id,
        search=search or None,
    )


def events(
    store: Store,
    *,
    kind: str | None = None,
    namespace: str | None = None,
    name: str | None = None,
    is_warning: bool | None = None,
    since: datetime | None = None,
    offset: Position = 0,
    limit: int = 100,
) -> Page:
    """Events, the newest first, a page of them; each as it was last seen."""
    return page_of(
        store,
        f"""
        SELECT * FROM ({EVENTS_ONCE})
        WHERE ($kind IS NULL OR kind = $kind) AND ($name IS NULL OR object_name = $name)
            AND ($namespace IS NULL OR namespace = $namespace)
            AND ($warning IS NULL OR is_warning = $warning)
            AND ($since IS NULL OR happened_at >= $since)
        """,
        order="happened_at DESC, uid",
        offset=offset,
        limit=limit,
        kind=kind,
        namespace=namespace,
        name=name,
        warning=is_warning,
        since=since,
    )


def budgets(store: Store) -> list[DisruptionBudget]:
    """The PodDisruptionBudgets that are there, by `namespace/name`."""
    return store.rows(DisruptionBudget, f"{_BUDGETS} ORDER BY budget_id")


def scale_targets(store: Store) -> list[ScaleTarget]:
    """What each pool is scaled by, by pool."""
    return store.rows(ScaleTarget, f"{_SCALE_TARGETS} ORDER BY pool")


def workloads(store: Store) -> list[ClusterWorkload]:
    """Kueue's Workloads and Karpenter's NodeClaims that are there, by kind and name."""
    return store.rows(ClusterWorkload, f"{_WORKLOADS} ORDER BY kind, workload_id")


def rights(store: Store) -> list[ClusterRight]:
    """What the console may do in the cluster, as was last found out, by action."""
    return store.rows(ClusterRight, f'{_RIGHTS} ORDER BY action, "right"')


# -- one thing ------------------------------------------------------------------------


def node(store: Store, node_id: str) -> ClusterNode | None:
    """A node; None where it isn't there."""
    return _only(store.rows(ClusterNode, f"{_NODES} AND node_id = $id", id=node_id))


def job(store: Store, job_id: str) -> ClusterJob | None:
    """A Job by `namespace/name`; None where it isn't there."""
    return _only(store.rows(ClusterJob, f"{JOBS_THERE} AND job_id = $id", id=job_id))


def pods_of_job(store: Store, job_id: str) -> list[ClusterPod]:
    """The pods of a job that are there, by `namespace/name`."""
    return store.rows(ClusterPod, f"{_PODS} AND job_id = $id ORDER BY pod_id", id=job_id)


def pods_on(store: Store, node_id: str) -> list[ClusterPod]:
    """The pods with GPUs that are bound to a node, by `namespace/name`."""
    return store.rows(ClusterPod, f"{_PODS} AND node_id = $id ORDER BY pod_id", id=node_id)


def nodes_there(store: Store) -> list[ClusterNode]:
    """All nodes that are there."""
    return store.rows(ClusterNode, _NODES)


def pods_there(store: Store) -> list[ClusterPod]:
    """All pods with GPUs that are there."""
    return store.rows(ClusterPod, _PODS)


def jobs_there(store: Store) -> list[ClusterJob]:
    """All Jobs with GPUs that are there."""
    return store.rows(ClusterJob, JOBS_THERE)


def scale_target(store: Store, pool: str) -> ScaleTarget | None:
    """What a pool is scaled by; None where it isn't scaled."""
    return next((each for each in scale_targets(store) if each.pool == pool), None)


def events_of(
    store: Store, kind: str, name: str, *, namespace: str | None = None, limit: int = 50
) -> list[ClusterEvent]:
    """The newest Events of a `Node`, `Pod` or `Job`, the newest first."""
    return store.rows(
        ClusterEvent,
        f"""
        SELECT * FROM ({EVENTS_ONCE}) WHERE kind = $kind AND object_name = $name
            AND ($namespace IS NULL OR namespace = $namespace)
        ORDER BY happened_at DESC, uid LIMIT $limit
        """,
        kind=kind,
        name=name,
        namespace=namespace,
        limit=limit,
    )


def _only(rows: Sequence[R]) -> R | None:
    return rows[0] if rows else None
