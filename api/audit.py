"""/api/v1/admin/audit: who did what."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.office import Admin, Here
from api.shapes import Paged, Rows, shape_of
from warehouse import audit as questions
from warehouse.records import AuditEvent

router = APIRouter(prefix="/api/v1/admin", tags=["admin"])

EventShape = shape_of(AuditEvent)


@router.get("/audit", response_model=Rows[EventShape])  # type: ignore[valid-type]
def audit(
    here: Here,
    person: Admin,
    paged: Paged,
    actor: Annotated[str | None, Query(description="Only who did it.")] = None,
    act: Annotated[
        str | None, Query(description="Only this act, or its noun alone: `session`.")
    ] = None,
    search: Annotated[str | None, Query(description="Part of anything in the row.")] = None,
) -> dict[str, Any]:
    """Who did what, the newest first."""
    page = questions.audit(
        here.store,
        actor=actor,
        act=act,
        search=search,
        offset=paged.position,
        limit=paged.limit,
    )
    return paged.rows(page, json_columns=("detail",))
