"""/api/v1/jobs: which jobs wait, run and ended."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from api.office import Here
from api.problems import Refused
from api.shapes import Paged, Rows, Shape, decoded, shape_of
from warehouse import jobs as questions
from warehouse.records import JobEvent

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

EventShape = shape_of(JobEvent, without=("job_id", "tenant"))

JobState = Literal["queued", "running", "finished", "failed", "left"]
JobSort = Literal[
    "submitted_at",
    "started_at",
    "ended_at",
    "gpu_count",
    "wait_seconds",
    "run_seconds",
    "tenant",
    "pool",
    "state",
    "job_id",
    "price_usd_per_gpu_hour",
]


class JobShape(Shape):
    """A job as its events tell it."""

    job_id: str
    """The job."""
    tenant: str
    """Who submitted it."""
    pool: str
    """The pool it runs or waits in."""
    state: JobState
    """Queued, running, finished, failed, or left: it gave up waiting."""
    gpu_count: int
    """GPUs it asks for."""
    node_ids: list[str] | None
    """Nodes it held last."""
    submitted_at: datetime
    """When it was submitted."""
    started_at: datetime | None
    """When it first started."""
    ended_at: datetime | None
    """When it ended."""
    wait_seconds: float
    """How long it waited for its first start, or waits."""
    run_seconds: float | None
    """How long since its first start, or until its end."""
    price_usd_per_gpu_hour: float | None
    """The price locked for it."""
    charged_usd: float | None
    """What was charged for it so far."""


class JobDetail(JobShape):
    """A job and all that happened to it."""

    events: list[EventShape]  # type: ignore[valid-type]
    """What happened, in time order."""


@router.get("", response_model=Rows[JobShape])
def jobs(
    here: Here,
    paged: Paged,
    state: Annotated[list[JobState] | None, Query(description="Only these states.")] = None,
    tenant: Annotated[str | None, Query(description="Only this tenant.")] = None,
    pool: Annotated[str | None, Query(description="Only this pool.")] = None,
    search: Annotated[str | None, Query(description="Part of the job's or tenant's name.")] = None,
    sort: JobSort = "submitted_at",
    descending: bool = True,
) -> dict[str, Any]:
    """The jobs."""
    page = questions.jobs(
        here.store,
        now=here.clock.now(),
        states=state,
        pool=pool,
        tenant=tenant,
        search=search,
        sort=sort,
        descending=descending,
        offset=paged.position,
        limit=paged.limit,
    )
    return paged.rows(page, json_columns=("node_ids",))


@router.get("/{job_id}", response_model=JobDetail)
def job(here: Here, job_id: str) -> dict[str, Any]:
    """One job with its events."""
    found = questions.job(here.store, job_id, now=here.clock.now())
    if found.is_empty():
        raise Refused(404, "no such job", f"there is no job {job_id}: read the list again")
    (row,) = decoded(found, ("node_ids",))
    events = decoded(questions.job_events(here.store, job_id), ("node_ids",))
    return {**row, "events": list(events)}
