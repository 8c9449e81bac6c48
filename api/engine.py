"""/api/v1/engine: who steers, every policy, the forecasts; the dial, and rolling a policy back.

Whoever may look may read; turning the dial and rolling back need an operator.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from api.office import Here, Office, Operator
from api.shapes import Paged, Rows, Sent, Shape, shape_of
from warehouse import controls, forecasts, policies
from warehouse.records import Forecast, PolicyVersion
from warehouse.schema import columns_of

router = APIRouter(prefix="/api/v1/engine", tags=["engine"])

PolicyShape = shape_of(PolicyVersion)
ForecastShape = shape_of(Forecast)
DialName = Literal[controls.DIALS]  # type: ignore[valid-type]

_JSON_COLUMNS = tuple(column.name for column in columns_of(PolicyVersion) if column.is_json)


class DialShape(Shape):
    """Which objective the engine weighs most."""

    name: str
    """Balanced, profit, service, utilisation or reliability."""
    set_by: str | None
    """Who turned it last; null where nobody did."""
    reason: str | None
    """Why."""
    set_at: datetime | None
    """When."""


class EngineShape(Shape):
    """Who steers, since when and by whose word."""

    policy_id: str
    """The policy that steers; `rule` where nobody was ever made champion."""
    previous_policy_id: str | None
    """What rolling back returns to; null where the rule steers."""
    since_at: datetime | None
    """Since when; null where it has been so from the start."""
    set_by: str | None
    """Who said so."""
    reason: str | None
    """Why."""
    decision_id: str | None
    """The decision that promoted it, where one did."""
    dial: DialShape
    """Which objective it weighs most."""
    challenger_id: str | None
    """The policy that would steer next, which `/api/v1/engine/policies` tells more of."""
    now_at: datetime
    """The instant of this answer."""


class Rollback(Sent):
    """Which policy is to stop steering, and why."""

    reason: str
    """Why, for the record."""
    policy_id: str | None = None
    """The policy you saw steer; where it does no longer, nothing is changed."""


class DialSetting(Sent):
    """Where the dial is turned to."""

    name: DialName
    """Balanced, profit, service, utilisation or reliability."""
    reason: str | None = None
    """Why, for the record."""


@router.get("", response_model=EngineShape)
def engine(here: Here) -> dict[str, Any]:
    """Who steers, what the dial is turned to, and who challenges."""
    return _as_it_stands(here)


@router.get("/policies", response_model=Rows[PolicyShape])  # type: ignore[valid-type]
def policy_versions(here: Here, paged: Paged) -> dict[str, Any]:
    """Every version of a policy with its gates and figures, the newest first."""
    page = policies.policy_versions(here.store, offset=paged.position, limit=paged.limit)
    return paged.rows(page, json_columns=_JSON_COLUMNS)


@router.get("/policies/{policy_id}", response_model=PolicyShape)
def policy(here: Here, policy_id: str) -> dict[str, Any]:
    """One version of a policy."""
    return asdict(policies.policy(here.store, policy_id))


@router.get("/forecasts", response_model=Rows[ForecastShape])  # type: ignore[valid-type]
def latest_forecasts(
    here: Here,
    paged: Paged,
    pool: Annotated[str | None, Query(description="Only this pool.")] = None,
    series: Annotated[
        Literal["occupancy", "arrivals", "market_price"] | None,
        Query(description="Only this series."),
    ] = None,
) -> dict[str, Any]:
    """The newest forecasts with their quantiles, by pool, series and horizon."""
    return paged.rows_of_frame(forecasts.latest_forecasts(here.store, pool, series))


@router.put("/dial", response_model=DialShape)
def set_dial(here: Here, person: Operator, sent: DialSetting) -> dict[str, Any]:
    """Turn the dial; policies take it at their next tick."""
    controls.set_dial(
        here.store,
        sent.name,
        by=person.name,
        reason=sent.reason,
        now=here.clock.now(),
        via=person.via,
    )
    return asdict(controls.dial_setting(here.store))


@router.post("/rollback", response_model=EngineShape)
def roll_back(here: Here, person: Operator, sent: Rollback) -> dict[str, Any]:
    """Let the policy before the champion steer again. Where the rule steers nothing is changed."""
    policies.roll_back(
        here.store,
        by=person.name,
        reason=sent.reason,
        now=here.clock.now(),
        policy_id=sent.policy_id,
        via=person.via,
    )
    return _as_it_stands(here)


def _as_it_stands(here: Office) -> dict[str, Any]:
    challenger = policies.challenger(here.store)
    return {
        **asdict(policies.steering(here.store)),
        "dial": asdict(controls.dial_setting(here.store)),
        "challenger_id": challenger.policy_id if challenger else None,
        "now_at": here.clock.now(),
    }
