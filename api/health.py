"""/healthz and /readyz for whoever routes requests here, /api/v1/health for who wants to know."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, Response

from api.office import Here
from api.shapes import Shape, decoded
from warehouse import health as questions
from warehouse.store import WarehouseError

router = APIRouter(tags=["health"])

Outcome = Literal["succeeded", "failed", "timed_out", "skipped"]


class Alive(Shape):
    """The process answers."""

    status: Literal["alive"]
    """Always `alive`."""


class Ready(Shape):
    """Whether requests should be routed here."""

    is_ready: bool
    """Whether everything that it needs has started."""
    reasons: list[str]
    """Why it is not ready, in words."""


class CollectorShape(Shape):
    """A collector and how it fared."""

    collector: str
    """Its name."""
    outcome: Outcome
    """How its last run ended. Skipped: there is nothing here for it to read."""
    detail: str | None
    """The error, or why it was skipped."""
    row_count: int
    """Rows that the last run stored."""
    last_run_at: datetime
    """When it last ran."""
    last_success_at: datetime | None
    """When it last succeeded."""
    age_seconds: float | None
    """How long ago that was."""
    is_stale: bool | None
    """Whether that is more than three of its intervals; null where it never had to read."""
    runs_in_24h: int
    """Runs in the last 24 hours."""
    failures_in_24h: int
    """Of those, failed or out of time."""
    duration_p95_seconds: float | None
    """95th percentile of how long they took."""


class Freshness(Shape):
    """How new the rows of a table are."""

    table_name: str
    """The table."""
    newest_at: datetime | None
    """When its newest row was measured; null where it has none."""
    age_seconds: float | None
    """How long ago that is."""


class Health(Shape):
    """How the house fares."""

    is_ready: bool
    """Whether everything that it needs has started."""
    reasons: list[str]
    """Why it is not ready, in words."""
    now_at: datetime
    """The console's instant; a simulated fleet's where there is one."""
    led_by: str | None
    """Who acts, where another console does and this one only looks; null where this one acts."""
    collectors: list[CollectorShape]
    """Every collector that ever ran."""
    freshness: list[Freshness]
    """How new the measurements are."""


@router.get("/healthz", response_model=Alive)
async def healthz() -> dict[str, str]:
    """The process is alive. It asks nothing else: a slow warehouse is no reason to kill it."""
    return {"status": "alive"}


@router.get("/readyz", response_model=Ready, responses={503: {"model": Ready}})
def readyz(here: Here, response: Response) -> dict[str, Any]:
    """Whether requests should be routed here; 503 with the reasons where not."""
    reasons = _reasons(here)
    response.status_code = 503 if reasons else 200
    return {"is_ready": not reasons, "reasons": reasons}


@router.get("/api/v1/health", response_model=Health)
def health(here: Here) -> dict[str, Any]:
    """How the house fares: its collectors and how new what they brought is."""
    now = here.clock.now()
    reasons = _reasons(here)
    fresh = [_aged(row, now) for row in decoded(questions.freshness(here.store))]
    return {
        "is_ready": not reasons,
        "reasons": reasons,
        "now_at": now,
        "led_by": here.settings.led_by(),
        "collectors": list(decoded(questions.collector_health(here.store, now=here.wall.now()))),
        "freshness": fresh,
    }


def _reasons(here: Here) -> list[str]:
    reasons = here.readiness.reasons_not_ready()
    try:
        found = questions.readiness(here.store, now=here.wall.now())
    except WarehouseError as error:
        return [*reasons, f"the warehouse doesn't answer: {error}"]
    return reasons if found.is_ready else [*reasons, found.detail]


def _aged(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    newest_at = row["newest_at"]
    age = None if newest_at is None else max(0.0, (now - newest_at).total_seconds())
    return {**row, "age_seconds": age}
