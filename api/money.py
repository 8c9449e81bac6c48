"""/api/v1/metering, /reconciliation and /unit-costs: what was metered, whether it adds up, and what
the GPUs cost us."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, TypedDict

import polars as pl
from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime

from api.money_shapes import (
    AlarmShape,
    BookShape,
    CostInForce,
    CostSetting,
    CostShape,
    DifferencesShape,
    HourShape,
    Key,
    MeteredState,
    RunShape,
    SumShape,
)
from api.office import Admin, Here, Office
from api.problems import Refused
from api.shapes import Paged, Rows
from warehouse import metering, reconciliation, unit_costs
from warehouse.records import UnitCost

router = APIRouter(prefix="/api/v1", tags=["money"])

USUAL_SPAN = timedelta(days=1)
LONGEST_SPAN = timedelta(days=92)


class Bounds(TypedDict):
    """Whole hours from one to another, the latter exclusive."""

    since: datetime
    until: datetime


class SpanAsked:
    """Which hours are asked for: the last day without a word."""

    def __init__(
        self,
        since: Annotated[
            AwareDatetime | None, Query(description="First hour; a day before `until` without it.")
        ] = None,
        until: Annotated[
            AwareDatetime | None, Query(description="End, exclusive; what is metered without it.")
        ] = None,
    ) -> None:
        self._since, self._until = since, until

    def of(self, here: Office) -> Bounds:
        """The span, at most three months."""
        until = self._until or metering.metered_until(here.store) or here.clock.now()
        since = self._since or until - USUAL_SPAN
        if until - since > LONGEST_SPAN:
            raise Refused(
                422, "span too long", f"ask for at most {LONGEST_SPAN.days} days at a time"
            )
        return {"since": since, "until": until}


Span = Annotated[SpanAsked, Depends()]
PoolName = Annotated[str | None, Query(description="Only this pool.")]


@router.get("/metering", response_model=MeteredState)
def metered(here: Here) -> dict[str, Any]:
    """How far the metering has come, and what of it a person must look at."""
    alarms = metering.alarms(here.store)
    return {
        "metered_until": metering.metered_until(here.store),
        "alarms": [
            {name: getattr(each, name) for name in AlarmShape.model_fields} for each in alarms
        ],
    }


@router.get("/metering/hours", response_model=Rows[HourShape])  # type: ignore[valid-type]
def hours(
    here: Here,
    paged: Paged,
    span: Span,
    tenant: Annotated[str | None, Query(description="Only this tenant.")] = None,
    pool: PoolName = None,
    job_id: Annotated[str | None, Query(description="Only this job.")] = None,
) -> dict[str, Any]:
    """What each job had in each hour, at which price and cost, by the newest metering."""
    page = metering.hours_page(
        here.store, **span.of(here), tenant=tenant, pool=pool, job_id=job_id,
        offset=paged.position, limit=paged.limit,
    )  # fmt: skip
    return paged.rows(page)


@router.get("/metering/summary", response_model=Rows[SumShape])
def summary(
    here: Here,
    paged: Paged,
    span: Span,
    by: Annotated[list[Key], Query(description="By what to sum.")] = ["tenant"],  # noqa: B006
    tenant: Annotated[str | None, Query(description="Only this tenant.")] = None,
    pool: PoolName = None,
) -> dict[str, Any]:
    """Metered hours of a span summed by tenant, pool, GPU model, job or day, or several of them."""
    keys = list(dict.fromkeys(by))
    found = metering.by(here.store, **span.of(here), keys=keys, tenant=tenant, pool=pool)
    return paged.rows_of_frame(found)


@router.get("/metering/runs", response_model=Rows[RunShape])  # type: ignore[valid-type]
def runs(here: Here, paged: Paged, span: Span) -> dict[str, Any]:
    """Every metering of the hours of a span, older versions too, with the reason of each."""
    page = metering.runs(here.store, **span.of(here), offset=paged.position, limit=paged.limit)
    return paged.rows(page)


@router.get("/reconciliation/days", response_model=Rows[BookShape])
def days(here: Here, paged: Paged, span: Span, pool: PoolName = None) -> dict[str, Any]:
    """The books by pool and day: whether what was metered adds up to what was there."""
    return paged.rows_of_frame(reconciliation.days(here.store, **span.of(here), pool=pool))


@router.get("/reconciliation/hours", response_model=Rows[BookShape])
def book_hours(here: Here, paged: Paged, span: Span, pool: PoolName = None) -> dict[str, Any]:
    """The books by pool and hour."""
    return paged.rows_of_frame(reconciliation.hours(here.store, **span.of(here), pool=pool))


@router.get("/reconciliation/{pool}/differences", response_model=DifferencesShape)
def differences(
    here: Here,
    pool: str,
    hour: Annotated[AwareDatetime, Query(description="The start of a whole hour.")],
) -> dict[str, Any]:
    """One pool in one hour taken apart: which nodes and jobs make its difference."""
    if hour != hour.replace(minute=0, second=0, microsecond=0):
        raise Refused(422, "no whole hour", f"{hour.isoformat()} is not the start of an hour")
    found = reconciliation.where_it_differs(here.store, pool, hour)
    return {
        "words": found.words,
        "hour": next(found.hour.iter_rows(named=True), None),
        "nodes": found.nodes.to_dicts(),
        "jobs": found.jobs.to_dicts(),
    }


@router.get("/unit-costs", response_model=list[CostInForce])
def costs(here: Here) -> list[dict[str, Any]]:
    """What a GPU-hour of each pool costs us now, and whether that was set or stands in."""
    now = here.clock.now()
    found = unit_costs.rates(here.store, pl.Series([now]).cast(pl.Datetime("us", "UTC")))
    given = {(each.pool, each.kind): each for each in unit_costs.all_in_force(here.store, now)}
    return [
        {**row, "cost": _as_dict(given.get((row["pool"], row["kind"])))}
        for row in found.sort("pool", "kind").to_dicts()
    ]


@router.get("/unit-costs/history", response_model=Rows[CostShape])  # type: ignore[valid-type]
def cost_history(here: Here, paged: Paged, pool: PoolName = None) -> dict[str, Any]:
    """Every unit cost that was ever set, the newest first."""
    return paged.rows_of_records(unit_costs.history(here.store, pool=pool), CostShape)


@router.put("/unit-costs/{pool}", response_model=CostShape)
def set_cost(here: Here, person: Admin, pool: str, sent: CostSetting) -> dict[str, Any]:
    """Set what the owned or leased nodes of a pool cost us; hours since are metered anew."""
    now = here.clock.now()
    figures = sent.model_dump(exclude={"in_force_from_at"})
    cost = UnitCost(
        pool=pool, set_by=person.name, in_force_from_at=sent.in_force_from_at or now, **figures
    )
    unit_costs.set_unit_cost(here.store, cost, now=now, via=person.via)
    return _as_dict(cost) or {}


def _as_dict(cost: UnitCost | None) -> dict[str, Any] | None:
    return None if cost is None else {name: getattr(cost, name) for name in CostShape.model_fields}
