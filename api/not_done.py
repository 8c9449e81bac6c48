"""/api/v1/decisions/not-done: what was proposed and not carried out, why, and what that cost."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from api.office import Here
from api.shapes import Paged, Rows, Shape
from warehouse import forgone
from warehouse.records import ActionType

router = APIRouter()


class NotDone(Shape):
    """Something that was proposed and not carried out."""

    at: datetime
    """When it was proposed, or held back."""
    action: ActionType
    """The kind of action."""
    target: str
    """On what."""
    pool: str | None
    """The pool it concerns."""
    decision_id: str | None
    """Its decision; null where a guard let it not come to one."""
    summary: str | None
    """The decision in one line."""
    guard: str | None
    """The guard that said no, where one did."""
    fate: forgone.Fate
    """Why it was not done, in a word."""
    why: str | None
    """And in a sentence, where somebody gave one."""
    expected_gain_usd_per_hour: float | None
    """What was promised."""
    realised_gain_usd_per_hour: float | None
    """What the twin says it would have gained; null where it can't tell."""
    hours: float
    """For how long it counts: until the same was proposed anew, at most its horizon."""
    expected_usd: float | None
    """What was promised over those hours."""
    would_have_gained_usd: float | None
    """What the twin says over those hours; below 0 it was well left."""


class NotDoneTotal(Shape):
    """What one kind of action and fate comes to."""

    action: ActionType
    """The kind of action."""
    fate: forgone.Fate
    """Why they were not done."""
    count: int
    """Proposals."""
    expected_usd: float
    """What they promised."""
    measured_count: int
    """Of how many the twin can tell what they would have gained."""
    would_have_gained_usd: float | None
    """What those would have gained; null where it can tell of none."""


class NotDoneRows(Rows[NotDone]):
    """One page of the ledger, and what all its lines come to."""

    totals: list[NotDoneTotal]
    """Of all pages together, a row an action and fate."""


@router.get("/not-done", response_model=NotDoneRows)
def not_done(
    here: Here,
    paged: Paged,
    since: Annotated[AwareDatetime | None, Query(description="From this instant on.")] = None,
    pool: Annotated[str | None, Query(description="Only this pool.")] = None,
    action: Annotated[ActionType | None, Query(description="Only this kind of action.")] = None,
    fate: Annotated[forgone.Fate | None, Query(description="Only this fate.")] = None,
) -> dict[str, Any]:
    """What was proposed and not carried out, the newest first, and what that cost."""
    asked: dict[str, Any] = {"since": since, "pool": pool, "action": action, "fate": fate}
    page = forgone.not_done(here.store, **asked, offset=paged.position, limit=paged.limit)
    totals = forgone.forgone(here.store, **asked)
    return {**paged.rows(page), "totals": totals.to_dicts()}
