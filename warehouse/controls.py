"""What people set while the console runs: modes, kill switch, limits, four eyes, the speed.

The newest row of a name holds; every change is audited.

    ControlError
    ├── UnknownMode     no such mode, or an action that has none
    ├── UnknownDial     no such setting of the engine's dial
    └── InvalidSpeed    a fleet's speed is 0 or more
    InvalidLimit        no such limit, or a value it can't take
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast, get_args

import polars as pl

from warehouse import control_rows
from warehouse.actions import ACTION_SPECS
from warehouse.breaker import Breaker, breaker, breaker_of, close_breaker, open_breaker
from warehouse.control_rows import Door, Found, value_of
from warehouse.limits import LIMIT_COLUMNS, InvalidLimit, Limits, checked_limit, limits_from
from warehouse.records import Mode
from warehouse.store import Store

__all__ = [
    "DEFAULT_DIAL",
    "DEFAULT_MODE",
    "DIALS",
    "GOVERNED_ACTIONS",
    "LIMIT_COLUMNS",
    "MODES",
    "Breaker",
    "ControlError",
    "Dial",
    "InvalidLimit",
    "InvalidSpeed",
    "KillSwitch",
    "Limits",
    "Standing",
    "UnknownDial",
    "UnknownMode",
    "breaker",
    "close_breaker",
    "control_history",
    "dial",
    "dial_setting",
    "fleet_speed",
    "four_eyes",
    "kill_switch",
    "limits",
    "mode",
    "modes",
    "open_breaker",
    "set_dial",
    "set_fleet_speed",
    "set_four_eyes",
    "set_kill_switch",
    "set_limit",
    "set_mode",
    "standing",
]

MODES: tuple[str, ...] = get_args(Mode)
DEFAULT_MODE: Mode = "approve"
GOVERNED_ACTIONS: tuple[str, ...] = tuple(name for name in ACTION_SPECS if name != "do_nothing")
"""The actions that have a mode; doing nothing needs nobody's leave."""
MAX_FLEET_SPEED = 100_000.0
"""Fleet seconds per real second."""
DIALS: tuple[str, ...] = ("balanced", "profit", "service", "utilisation", "reliability")
"""What the engine's dial can be turned to: the objectives it weighs, by the name of a preset."""
DEFAULT_DIAL = "balanced"


class ControlError(ValueError):
    """A setting that can't be; the sentence says what would do."""


class UnknownMode(ControlError):
    """No such mode, or an action that has none."""


class UnknownDial(ControlError):
    """No such setting of the engine's dial."""


class InvalidSpeed(ControlError):
    """A fleet's speed is 0 or more."""


@dataclass(frozen=True)
class KillSwitch:
    """While it is on nothing is carried out, whatever was approved."""

    is_on: bool
    set_by: str | None = None
    reason: str | None = None
    set_at: datetime | None = None


@dataclass(frozen=True)
class Dial:
    """Which objective the engine weighs most."""

    name: str = DEFAULT_DIAL
    """One of `DIALS`."""
    set_by: str | None = None
    reason: str | None = None
    set_at: datetime | None = None


@dataclass(frozen=True)
class Standing:
    """Every control that the engine obeys, read at once."""

    modes: dict[str, Mode]
    limits: Limits
    kill_switch: KillSwitch
    breaker: Breaker
    four_eyes: dict[str, bool] = field(default_factory=dict)
    """Of each action whether two people must say yes."""


def standing(store: Store) -> Standing:
    """Every control that the engine obeys, as it is now."""
    found = control_rows.newest(store)
    return Standing(
        _modes(found),
        _limits(found),
        _kill_switch(found),
        breaker_of(store, found),
        _four_eyes(found),
    )


def mode(store: Store, action: str) -> Mode:
    """How far an action may go without a person; `approve` where nobody set it.

    Raises:
        UnknownMode: the action has no mode.
    """
    _refuse_ungoverned(action)
    return modes(store)[action]


def modes(store: Store) -> dict[str, Mode]:
    """The mode of every action that has one."""
    return _modes(control_rows.newest(store))


def _modes(found: Found) -> dict[str, Mode]:
    return {
        action: cast(Mode, value_of(found, f"mode.{action}", DEFAULT_MODE))
        for action in GOVERNED_ACTIONS
    }


def set_mode(
    store: Store,
    action: str,
    mode: str,
    *,
    by: str,
    reason: str | None,
    now: datetime,
    via: Door = "console",
) -> None:
    """Say how far an action may go without a person.

    Raises:
        UnknownMode: no such mode, or the action has none.
    """
    _refuse_ungoverned(action)
    if mode not in MODES:
        raise UnknownMode(f"{mode!r} is not a mode: use {', '.join(MODES)}")
    control_rows.write(store, f"mode.{action}", mode, by, reason, now, via)


def four_eyes(store: Store) -> dict[str, bool]:
    """Of every action that has a mode whether two people must say yes; nobody must at first."""
    return _four_eyes(control_rows.newest(store))


def _four_eyes(found: Found) -> dict[str, bool]:
    return {
        action: bool(value_of(found, f"four_eyes.{action}", False)) for action in GOVERNED_ACTIONS
    }


def set_four_eyes(
    store: Store,
    action: str,
    is_on: bool,
    *,
    by: str,
    reason: str | None,
    now: datetime,
    via: Door = "console",
) -> None:
    """Say whether two people must say yes to an action, in autonomous mode too.

    Raises:
        UnknownMode: nobody is asked about the action.
    """
    _refuse_ungoverned(action)
    control_rows.write(store, f"four_eyes.{action}", bool(is_on), by, reason, now, via)


def kill_switch(store: Store) -> KillSwitch:
    """Whether it is on, who set it and why."""
    return _kill_switch(control_rows.newest(store))


def _kill_switch(found: Found) -> KillSwitch:
    row = found.get("kill_switch")
    if row is None:
        return KillSwitch(False)
    return KillSwitch(row["value"], row["set_by"], row["reason"], row["set_at"])


def set_kill_switch(
    store: Store,
    is_on: bool,
    *,
    by: str,
    reason: str | None,
    now: datetime,
    via: Door = "console",
) -> None:
    """Stop every action, or let them go on."""
    control_rows.write(store, "kill_switch", bool(is_on), by, reason, now, via)


def limits(store: Store) -> Limits:
    """The limits in force."""
    return _limits(control_rows.newest(store))


def _limits(found: Found) -> Limits:
    prefix = "limit."
    return limits_from(
        {
            name.removeprefix(prefix): row["value"]
            for name, row in found.items()
            if name.startswith(prefix)
        }
    )


def set_limit(
    store: Store,
    name: str,
    value: Any,
    *,
    by: str,
    reason: str | None,
    now: datetime,
    via: Door = "console",
) -> None:
    """Set one of the fields of `Limits`.

    Raises:
        InvalidLimit: no such limit, or it can't take this value.
    """
    with store.transaction():
        checked = checked_limit(name, value, limits(store))
        control_rows.write(store, f"limit.{name}", checked, by, reason, now, via)


def fleet_speed(store: Store) -> float | None:
    """Fleet seconds per real second as last set; None where nobody did."""
    row = control_rows.newest(store).get("fleet_speed")
    return None if row is None else float(row["value"])


def set_fleet_speed(
    store: Store,
    speed: float,
    *,
    by: str,
    reason: str | None = None,
    now: datetime,
    via: Door = "console",
) -> None:
    """Set how fast the simulated fleet's clock runs; 0 stands still.

    Raises:
        InvalidSpeed: it is negative, not a number, or beyond `MAX_FLEET_SPEED`.
    """
    if not (math.isfinite(speed) and 0 <= speed <= MAX_FLEET_SPEED):
        raise InvalidSpeed(f"a speed is 0 to {MAX_FLEET_SPEED:g} fleet seconds a second")
    control_rows.write(store, "fleet_speed", float(speed), by, reason, now, via)


def dial(store: Store) -> str:
    """What the engine's dial is turned to, one of `DIALS`; balanced where nobody turned it."""
    return dial_setting(store).name


def dial_setting(store: Store) -> Dial:
    """What the engine's dial is turned to, by whom and when."""
    row = control_rows.newest(store).get("engine.dial")
    if row is None:
        return Dial()
    return Dial(row["value"], row["set_by"], row["reason"], row["set_at"])


def set_dial(
    store: Store,
    name: str,
    *,
    by: str,
    reason: str | None = None,
    now: datetime,
    via: Door = "console",
) -> None:
    """Turn the engine's dial to a preset; policies take it at their next tick.

    Raises:
        UnknownDial: there is no such preset.
    """
    if name not in DIALS:
        raise UnknownDial(f"{name!r} is not on the dial: use {', '.join(DIALS)}")
    control_rows.write(store, "engine.dial", name, by, reason, now, via)


def control_history(store: Store, limit: int = 100) -> pl.DataFrame:
    """The newest changes first: `name`, `value` (JSON text), `set_by`, `reason`, `set_at`."""
    return store.query(
        "SELECT name, value ->> '$.value' AS value, set_by, reason, set_at FROM controls "
        "ORDER BY set_at DESC, rowid DESC LIMIT $limit",
        limit=limit,
    )


# -- how -------------------------------------------------------------------------------


def _refuse_ungoverned(action: str) -> None:
    if action not in GOVERNED_ACTIONS:
        raise UnknownMode(f"{action} has no mode: use {', '.join(GOVERNED_ACTIONS)}")
