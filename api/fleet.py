"""/api/v1/fleet: pools, nodes and GPUs as last read, their health and their incidents."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import polars as pl
from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from api.gpu_shapes import NodeGpuShape, node_gpus
from api.office import Here
from api.problems import Refused
from api.shapes import Paged, Rows, Shape, shape_of
from warehouse import capacity as capacities
from warehouse import fleet, healing, shares
from warehouse.paging import Page
from warehouse.records import NodeHealth, NodeReading, NodeState

router = APIRouter(prefix="/api/v1/fleet", tags=["fleet"])

NodeShape = shape_of(NodeReading, name="Node")
HealthShape = shape_of(NodeHealth, name="NodeHealth")


class PoolShape(Shape):
    """A pool as last read. Measurements are null where it was not read yet."""

    pool: str
    """Its name."""
    gpu_model: str
    """The GPU's product name."""
    region: str
    """Where it stands."""
    gpus_on: int | None
    """GPUs in nodes that are switched on."""
    gpus_used: int | None
    """GPUs that jobs hold."""
    utilisation_ratio: float | None
    """The share of the two, 0 to 1."""
    nodes_on: int | None
    """Nodes switched on."""
    owned_nodes_on: int | None
    """Of those, our own."""
    leased_nodes_on: int | None
    """Of those, leased."""
    nodes_provisioning: int | None
    """Nodes on their way."""
    nodes_down: int | None
    """Nodes that failed and are not back."""
    nodes_off: int | None
    """Our own nodes switched off."""
    nodes_empty: int | None
    """Nodes on which nothing runs."""
    running_jobs: int | None
    """Jobs running."""
    queued_jobs: int | None
    """Jobs waiting."""
    queued_gpus: int | None
    """GPUs those ask for."""
    oldest_wait_seconds: float | None
    """Wait of the oldest queued job."""
    price_usd_per_gpu_hour: float | None
    """Our price in force."""
    market_usd_per_gpu_hour: float | None
    """The market's price."""
    measured_at: datetime | None
    """When this was read."""
    age_seconds: float | None
    """How old that is."""


class CapacityShape(Shape):
    """How many GPUs of a pool or node were delivered, are sound, promised and busy."""

    pool: str | None
    """The pool."""
    node_id: str | None = None
    """The node; null where it is a pool's."""
    gpus_delivered: int
    """GPUs in nodes that are here, on or off."""
    gpus_healthy: int
    """Of those, in nodes that are active and nothing speaks against."""
    gpus_reserved: int
    """GPUs that jobs hold."""
    gpus_in_use: int | None
    """Of those, a kernel ran in the last reading; null where no GPU was read."""
    measured_at: datetime
    """The oldest reading that this rests on."""


class GpuShape(Shape):
    """A GPU as last read. A missing measurement is null, never 0."""

    gpu_id: str
    """The GPU's UUID."""
    node_id: str
    """The node it sits in."""
    pool: str | None
    """The pool of that node."""
    slot: int
    """Its index in the node, from 0."""
    gpu_model: str | None
    """Product name as the driver says it."""
    utilisation_ratio: float | None
    """Share of the last interval in which a kernel ran, 0 to 1."""
    temperature_celsius: float | None
    """Core temperature."""
    power_watts: float | None
    """Power drawn."""
    power_limit_watts: float | None
    """Power cap in force."""
    memory_used_bytes: int | None
    """Device memory in use."""
    memory_total_bytes: int | None
    """Device memory present."""
    job_id: str | None
    """The job that holds it."""
    tenant: str | None
    """That job's tenant."""
    node_state: str
    """The state of its node."""
    node_kind: str | None
    """Whether that is our own or leased."""
    source: str
    """The collector that read it."""
    measured_at: datetime
    """When it was read."""


class IncidentStep(Shape):
    """A step in the story of a node that fell ill."""

    phase: str
    """Detected, quarantined, repairing, returned, passed (sound without our doing) or gone."""
    at: datetime
    """When."""
    detail: str
    """In words."""
    decision_id: str | None
    """The decision that brought it there, where one did."""


class IncidentShape(Shape):
    """An illness of a node, from the first evidence to its return."""

    incident_id: str
    """Its id."""
    node_id: str
    """The node."""
    pool: str | None
    """Its pool."""
    phase: str
    """The newest phase."""
    detail: str
    """What was found, in one line."""
    onset_at: datetime
    """When the first evidence came."""
    detected_at: datetime
    """When it was found."""
    ended_at: datetime | None
    """When it was over; null while it is open."""
    detect_seconds: float | None
    """From the first evidence to its detection; null where that is older than this console's
    watch."""
    repair_seconds: float | None
    """From its detection to its return; null where it has not returned."""
    people_seconds: float
    """What of that, or of the time so far, went by waiting for a person."""
    unattended_seconds: float | None
    """The time to repair without that."""
    decisions: list[str]
    """The decisions about it, in order."""
    steps: list[IncidentStep]
    """Its story."""


PoolName = Annotated[str | None, Query(description="Only this pool.")]
NodeSort = Literal["node_id", "pool", "kind", "state", "gpus_used", "health_ratio", "measured_at"]


@router.get("/pools", response_model=Rows[PoolShape])
def pools(here: Here, paged: Paged) -> dict[str, Any]:
    """Every pool: what it is, how full, who waits, what it charges."""
    return paged.rows_of_frame(fleet.pool_overview(here.store, now=here.clock.now()))


@router.get("/capacity", response_model=Rows[CapacityShape])
def capacity(
    here: Here,
    paged: Paged,
    by: Annotated[Literal["pool", "node"], Query(description="A row a pool, or a node.")] = "pool",
    pool: PoolName = None,
) -> dict[str, Any]:
    """GPUs delivered, healthy, reserved and in use."""
    return paged.rows_of_frame(capacities.capacity(here.store, by, pool=pool))


@router.get("/nodes", response_model=Rows[NodeShape])  # type: ignore[valid-type]
def nodes(
    here: Here,
    paged: Paged,
    pool: PoolName = None,
    state: Annotated[NodeState | None, Query(description="Only nodes in this state.")] = None,
    search: Annotated[str | None, Query(description="Part of the node's name.")] = None,
    sort: NodeSort = "node_id",
    descending: bool = False,
) -> dict[str, Any]:
    """The nodes."""
    page = fleet.nodes(
        here.store,
        pool=pool,
        state=state,
        search=search,
        sort=sort,
        descending=descending,
        offset=paged.position,
        limit=paged.limit,
    )
    return paged.rows(page)


@router.get("/nodes/{node_id}", response_model=NodeShape)
def node(here: Here, node_id: str) -> Any:
    """One node."""
    found = fleet.node(here.store, node_id)
    if found is None:
        raise Refused(404, "no such node", f"there is no node {node_id}: read the list again")
    return {name: getattr(found, name) for name in NodeShape.model_fields}


@router.get("/nodes/{node_id}/health", response_model=HealthShape)
def node_health(here: Here, node_id: str) -> Any:
    """What speaks against one node, as last judged; a node that was never ill has a health of 1."""
    found, read = healing.node_health(here.store, node_id), fleet.node(here.store, node_id)
    if found is None and read is None:
        raise Refused(404, "no such node", f"there is no node {node_id}: read the list again")
    if found is None:
        now, pool = here.clock.now(), read.pool if read else None
        found = NodeHealth(
            node_id=node_id,
            pool=pool,
            health_ratio=1.0,
            is_suspect=False,
            evidence=[],
            judged_at=now,
        )
    return {name: getattr(found, name) for name in HealthShape.model_fields}


@router.get("/nodes/{node_id}/gpus", response_model=Rows[NodeGpuShape])
def gpus_of_node(here: Here, paged: Paged, node_id: str) -> dict[str, Any]:
    """One node's GPUs, with their MIG instances and all who hold a part of them."""
    read = fleet.node(here.store, node_id)
    if read is None:
        raise Refused(404, "no such node", f"there is no node {node_id}: read the list again")
    since = read.measured_at - fleet.READING_WINDOW
    found = node_gpus(
        fleet.gpu_samples(here.store, node_id, since=since),
        shares.instances(here.store, node_id, since=since),
        shares.holders(here.store, node_id, since=since),
    )
    shown = found[paged.offset : paged.offset + paged.limit]
    return {**paged.rows(Page.counted(len(found))), "items": shown}


@router.get("/incidents", response_model=Rows[IncidentShape])
def incidents(
    here: Here,
    paged: Paged,
    node_id: Annotated[str | None, Query(description="Only incidents of this node.")] = None,
    since: Annotated[
        AwareDatetime | None, Query(description="Those that ended since; 30 days without it.")
    ] = None,
) -> dict[str, Any]:
    """Nodes that are ill, then those that were, the newest first."""
    found = healing.incidents(here.store, now=here.clock.now(), since=since, node_id=node_id)
    shown = [healing.as_dict(each) for each in found[paged.offset : paged.offset + paged.limit]]
    return {**paged.rows(Page.counted(len(found))), "items": shown}


@router.get("/gpus", response_model=Rows[GpuShape])
def gpus(
    here: Here,
    paged: Paged,
    pool: PoolName = None,
    node_id: Annotated[str | None, Query(description="Only GPUs of this node.")] = None,
    is_held: Annotated[bool | None, Query(description="Only GPUs that a job holds.")] = None,
) -> dict[str, Any]:
    """The GPUs, ordered by pool, node and slot. MIG instances are within theirs."""
    frame = fleet.gpu_map(here.store)
    if pool is not None:
        frame = frame.filter(pl.col("pool") == pool)
    if node_id is not None:
        frame = frame.filter(pl.col("node_id") == node_id)
    if is_held is not None:
        frame = frame.filter(pl.col("job_id").is_not_null() == is_held)
    return paged.rows_of_frame(frame)
