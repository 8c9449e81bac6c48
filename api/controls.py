"""/api/v1/admin: modes, four eyes, the kill switch, limits, the breaker, and what is paused.

Whoever may look may read them; setting them needs an admin, but stopping everything needs only
an operator: who sees harm done must not look for somebody else first.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter

from api.office import Admin, Here, Operator
from api.problems import Refused
from api.shapes import Sent, Shape, shape_of
from warehouse import controls
from warehouse import pauses as paused
from warehouse.limits import Limits
from warehouse.people import Person
from warehouse.records import Mode

router = APIRouter(prefix="/api/v1/admin", tags=["admin"])

LimitsShape = shape_of(Limits)


class ModeSetting(Sent):
    """How far an action may go without a person."""

    mode: Mode
    """Off, shadow (decide, never act), approve (a person must) or autonomous (inside limits)."""
    reason: str | None = None
    """Why, for the record."""


class KillSwitchShape(Shape):
    """While it is on nothing is carried out, whatever was approved."""

    is_on: bool
    """Whether it is on."""
    set_by: str | None
    """Who set it last."""
    reason: str | None
    """Why."""
    set_at: datetime | None
    """When."""


class KillSwitchSetting(Sent):
    """Stop everything, or let it go on."""

    is_on: bool
    """True stops everything."""
    reason: str | None = None
    """Why, for the record."""


class LimitSetting(Sent):
    """A limit's new value."""

    value: float | dict[str, float] | list[dict[str, Any]]
    """In the unit that the limit's name ends in."""
    reason: str | None = None
    """Why, for the record."""


class FourEyesSetting(Sent):
    """Whether two people must say yes to an action."""

    is_on: bool
    """True asks for two different people, in autonomous mode too."""
    reason: str | None = None
    """Why, for the record."""


class PauseShape(Shape):
    """Something that is not done now."""

    reason: paused.Reason
    """What pauses it."""
    action: str | None
    """The kind of action; null where it is every one."""
    words: str
    """Why, in a sentence."""
    since_at: datetime | None
    """Since when, where that is known."""
    until_at: datetime | None
    """Until when, where that is known; else until somebody changes it."""


class BreakerShape(Shape):
    """It opens by itself after failures or too many quarantines; only a person closes it."""

    is_open: bool
    """While it is open nothing is carried out."""
    failures: int
    """Failures in a row since the last success, or since it was closed."""
    opened_at: datetime | None
    """When it opened."""
    reason: str | None
    """What opened it."""
    closed_at: datetime | None
    """When a person closed it last, while it is closed."""


class BreakerSetting(Sent):
    """Closing the breaker; it opens by itself."""

    is_open: Literal[False]
    """False."""
    reason: str | None = None
    """Why it may be closed, for the record."""


class SpeedShape(Shape):
    """How fast a simulated fleet's clock runs."""

    speed: float | None
    """Fleet seconds per real second, 0 to stand still; null where nobody has set it."""


class SpeedSetting(Sent):
    """A simulated fleet's new speed."""

    speed: float
    """Fleet seconds per real second, 0 to stand still."""
    reason: str | None = None
    """Why, for the record."""


@router.get("/modes")
def modes(here: Here) -> dict[str, Mode]:
    """The mode of each kind of action."""
    return controls.modes(here.store)


@router.put("/modes/{action}")
def set_mode(here: Here, person: Admin, action: str, sent: ModeSetting) -> dict[str, Mode]:
    """Set the mode of one kind of action."""
    controls.set_mode(
        here.store,
        action,
        sent.mode,
        by=person.name,
        reason=sent.reason,
        now=here.clock.now(),
        via=person.via,
    )
    return controls.modes(here.store)


@router.get("/four-eyes")
def four_eyes(here: Here) -> dict[str, bool]:
    """Of each kind of action whether two people must say yes."""
    return controls.four_eyes(here.store)


@router.put("/four-eyes/{action}")
def set_four_eyes(here: Here, person: Admin, action: str, sent: FourEyesSetting) -> dict[str, bool]:
    """Say whether two people must say yes to one kind of action."""
    controls.set_four_eyes(
        here.store,
        action,
        sent.is_on,
        by=person.name,
        reason=sent.reason,
        now=here.clock.now(),
        via=person.via,
    )
    return controls.four_eyes(here.store)


@router.get("/pauses", response_model=list[PauseShape])
def pauses(here: Here) -> list[dict[str, Any]]:
    """What is paused now, why and since when."""
    found = paused.pauses(here.store, now=here.clock.now(), wall_now=here.wall.now())
    return [asdict(each) for each in found]


@router.get("/kill-switch", response_model=KillSwitchShape)
def kill_switch(here: Here) -> dict[str, Any]:
    """Whether everything is stopped, by whom and why."""
    return asdict(controls.kill_switch(here.store))


@router.put("/kill-switch", response_model=KillSwitchShape)
def set_kill_switch(here: Here, person: Operator, sent: KillSwitchSetting) -> dict[str, Any]:
    """Stop everything, or let it go on, which needs an admin."""
    _refuse_release(person, sent.is_on)
    controls.set_kill_switch(
        here.store,
        sent.is_on,
        by=person.name,
        reason=sent.reason,
        now=here.clock.now(),
        via=person.via,
    )
    return asdict(controls.kill_switch(here.store))


@router.get("/limits", response_model=LimitsShape)
def limits(here: Here) -> dict[str, Any]:
    """The limits inside which the engine acts."""
    return asdict(controls.limits(here.store))


@router.put("/limits/{name}", response_model=LimitsShape)
def set_limit(here: Here, person: Admin, name: str, sent: LimitSetting) -> dict[str, Any]:
    """Set one limit."""
    controls.set_limit(
        here.store,
        name,
        sent.value,
        by=person.name,
        reason=sent.reason,
        now=here.clock.now(),
        via=person.via,
    )
    return asdict(controls.limits(here.store))


@router.get("/breaker", response_model=BreakerShape)
def breaker(here: Here) -> dict[str, Any]:
    """Whether the breaker is open, and how many failures in a row there were."""
    return asdict(controls.breaker(here.store))


@router.put("/breaker", response_model=BreakerShape)
def close_breaker(here: Here, person: Admin, sent: BreakerSetting) -> dict[str, Any]:
    """Close the breaker: actions are carried out again, failures counted anew."""
    controls.close_breaker(
        here.store, by=person.name, reason=sent.reason, now=here.clock.now(), via=person.via
    )
    return asdict(controls.breaker(here.store))


@router.get("/fleet-speed", response_model=SpeedShape)
def fleet_speed(here: Here) -> dict[str, Any]:
    """How fast the simulated fleet's clock was set to run."""
    return {"speed": controls.fleet_speed(here.store)}


@router.put("/fleet-speed", response_model=SpeedShape)
def set_fleet_speed(here: Here, person: Operator, sent: SpeedSetting) -> dict[str, Any]:
    """Set how fast the simulated fleet's clock runs; it follows within a second."""
    controls.set_fleet_speed(
        here.store,
        sent.speed,
        by=person.name,
        reason=sent.reason,
        now=here.clock.now(),
        via=person.via,
    )
    return {"speed": controls.fleet_speed(here.store)}


def _refuse_release(person: Person, is_on: bool) -> None:
    if not is_on and not person.may("admin"):
        raise Refused(403, "not allowed", "letting everything go on needs the role admin")
