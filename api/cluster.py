"""/api/v1/cluster: a Kubernetes cluster's nodes, Jobs, budgets and Events as they are now."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from api.office import Here
from api.problems import Refused
from api.shapes import Paged, Rows, shape_of
from warehouse import cluster
from warehouse.paging import Page
from warehouse.records import ClusterEvent, ClusterJob, ClusterNode, DisruptionBudget

router = APIRouter(prefix="/api/v1/cluster", tags=["cluster"])

NodeShape = shape_of(ClusterNode, without=("is_gone",))
BudgetShape = shape_of(DisruptionBudget, without=("is_gone",))
EventShape = shape_of(ClusterEvent)
_JobShape = shape_of(ClusterJob, without=("is_gone",), name="ClusterJobRow")


class JobShape(_JobShape):  # type: ignore[valid-type, misc]
    """A Job that asks for GPUs, as it is now."""

    node_ids: list[str]
    """Nodes that its pods hold."""


JobState = Literal["waiting", "running", "finished", "failed"]
PoolName = Annotated[str | None, Query(description="Only this pool.")]


@router.get("/nodes", response_model=Rows[NodeShape])  # type: ignore[valid-type]
def nodes(
    here: Here,
    paged: Paged,
    pool: PoolName = None,
    is_ready: Annotated[bool | None, Query(description="Only nodes that are ready.")] = None,
    is_unschedulable: Annotated[bool | None, Query(description="Only cordoned nodes.")] = None,
    search: Annotated[str | None, Query(description="Part of the node's name.")] = None,
) -> dict[str, Any]:
    """The nodes with GPUs, by name."""
    page = cluster.nodes(
        here.store,
        pool=pool,
        is_ready=is_ready,
        is_unschedulable=is_unschedulable,
        search=search,
        offset=paged.position,
        limit=paged.limit,
    )
    return paged.rows(page, json_columns=("conditions", "taints"))


@router.get("/nodes/{node_id}", response_model=NodeShape)
def node(here: Here, node_id: str) -> Any:
    """One node."""
    found = cluster.node(here.store, node_id)
    if found is None:
        raise Refused(404, "no such node", f"there is no node {node_id}: read the list again")
    return {name: getattr(found, name) for name in NodeShape.model_fields}


@router.get("/jobs", response_model=Rows[JobShape])
def jobs(
    here: Here,
    paged: Paged,
    pool: PoolName = None,
    tenant: Annotated[str | None, Query(description="Only this tenant's.")] = None,
    state: Annotated[list[JobState] | None, Query(description="Only in these states.")] = None,
    node_id: Annotated[str | None, Query(description="Only those with a pod on it.")] = None,
    search: Annotated[str | None, Query(description="Part of `namespace/name`.")] = None,
) -> dict[str, Any]:
    """The Jobs that ask for GPUs, the newest first."""
    page = cluster.jobs(
        here.store,
        pool=pool,
        tenant=tenant,
        states=state or (),
        node_id=node_id,
        search=search,
        offset=paged.position,
        limit=paged.limit,
    )
    return paged.rows(page)


@router.get("/budgets", response_model=Rows[BudgetShape])  # type: ignore[valid-type]
def budgets(here: Here, paged: Paged) -> dict[str, Any]:
    """The PodDisruptionBudgets, by `namespace/name`."""
    return paged.rows_of_records(cluster.budgets(here.store), BudgetShape)


@router.get("/events", response_model=Rows[EventShape])  # type: ignore[valid-type]
def events(
    here: Here,
    paged: Paged,
    kind: Annotated[
        Literal["Node", "Pod", "Job"] | None, Query(description="Only about this kind.")
    ] = None,
    namespace: Annotated[str | None, Query(description="Only in this namespace.")] = None,
    name: Annotated[str | None, Query(description="Only about the object so named.")] = None,
    is_warning: Annotated[bool | None, Query(description="Only warnings.")] = None,
    since: Annotated[datetime | None, Query(description="Only from then on.")] = None,
) -> dict[str, Any]:
    """Events about nodes, pods and Jobs with GPUs, the newest first."""
    page: Page = cluster.events(
        here.store,
        kind=kind,
        namespace=namespace,
        name=name,
        is_warning=is_warning,
        since=since,
        offset=paged.position,
        limit=paged.limit,
    )
    return paged.rows(page)
