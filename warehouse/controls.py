"""What people set while the console runs: modes, kill switch, limits, the breaker, the speed.

The newest row of a name holds; every change is audited.

    ControlError
    ├── UnknownMode     no such mode, or an action that has none
    ├── UnknownDial     no such setting of the engine's dial
    └── InvalidSpeed    a fleet's speed is 0 or more
    InvalidLimit        no such limit, or a value it can't take
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast, get_args

import polars as pl

from warehouse.actions import ACTION_SPECS
from warehouse.limits import LIMIT_COLUMNS, InvalidLimit, Limits, checked_limit, limits_from
from warehouse.records import AuditEvent, Control, Mode
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
    "kill_switch",
    "limits",
    "mode",
    "modes",
    "open_breaker",
    "set_dial",
    "set_fleet_speed",
    "set_kill_switch",
    "set_limit",
    "set_mode",
    "standing",
]

Found = dict[str, dict[str, Any]]
"""The newest row of each control by its name, the value decoded."""
Door = Literal["browser", "api", "rule", "console"]

MODES: tuple[str, ...] = get_args(Mode)
DEFAULT_MODE: Mode = "approve"
GOVERNED_ACTIONS: tuple[str, ...] = tuple(name for name in ACTION_SPECS if name != "do_nothing")
"""The actions that have a mode; doing nothing needs nobody's leave."""
MAX_FLEET_SPEED = 100_000.0
"""Fleet seconds per real second."""
DIALS: tuple[str, ...] = ("balanced", "profit", "service", "utilisation", "reliability")
"""What the engine's dial can be turned to: the objectives it weighs, by the name of a preset."""
DEFAULT_DIAL = "balanced"

_NEWEST = """
    SELECT name, value, set_by, reason, set_at FROM controls
    QUALIFY row_number() OVER (PARTITION BY name ORDER BY set_at DESC, rowid DESC) = 1
"""
"""Two rows of one instant exist where the fleet's clock stands still; the later written holds."""

_NEWEST_ENDS = """
    SELECT phase FROM executions
    WHERE phase IN ('succeeded', 'failed') AND ($closed_at IS NULL OR happened_at > $closed_at)
    ORDER BY happened_at DESC, rowid DESC LIMIT 100
"""


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
class Breaker:
    """It opens by itself after failures in a row; only a person closes it."""

    is_open: bool
    failures: int
    """Failures in a row since the last success, or since it was closed."""
    opened_at: datetime | None = None


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


def standing(store: Store) -> Standing:
    """Every control that the engine obeys, as it is now."""
    found = _newest(store)
    return Standing(_modes(found), _limits(found), _kill_switch(found), _breaker(store, found))


def mode(store: Store, action: str) -> Mode:
    """How far an action may go without a person; `approve` where nobody set it.

    Raises:
        UnknownMode: the action has no mode.
    """
    _refuse_ungoverned(action)
    return modes(store)[action]


def modes(store: Store) -> dict[str, Mode]:
    """The mode of every action that has one."""
    return _modes(_newest(store))


def _modes(found: Found) -> dict[str, Mode]:
    return {
        action: cast(Mode, _value(found, f"mode.{action}", DEFAULT_MODE))
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
    _set(store, f"mode.{action}", mode, by, reason, now, via)


def kill_switch(store: Store) -> KillSwitch:
    """Whether it is on, who set it and why."""
    return _kill_switch(_newest(store))


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
    _set(store, "kill_switch", bool(is_on), by, reason, now, via)


def limits(store: Store) -> Limits:
    """The limits in force."""
    return _limits(_newest(store))


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
        _set(store, f"limit.{name}", checked, by, reason, now, via)


def breaker(store: Store) -> Breaker:
    """Whether it is open, and how many failures in a row there were."""
    return _breaker(store, _newest(store))


def _breaker(store: Store, found: Found) -> Breaker:
    row = found.get("breaker")
    is_open = bool(row and row["value"])
    closed_at = row["set_at"] if row and not is_open else None
    ends = store.query(_NEWEST_ENDS, closed_at=closed_at)["phase"].to_list()
    failures = next((i for i, phase in enumerate(ends) if phase != "failed"), len(ends))
    return Breaker(is_open, failures, row["set_at"] if row and is_open else None)


def open_breaker(store: Store, *, failures: int, now: datetime) -> None:
    """Carry nothing out until a person closes it; the engine says this after failures in a row."""
    reason = f"{failures} actions failed in a row"
    _set(store, "breaker", True, "engine", reason, now, "rule")


def close_breaker(
    store: Store, *, by: str, reason: str | None, now: datetime, via: Door = "console"
) -> None:
    """Let actions be carried out again; failures are counted anew."""
    _set(store, "breaker", False, by, reason, now, via)


def fleet_speed(store: Store) -> float | None:
    """Fleet seconds per real second as last set; None where nobody did."""
    row = _newest(store).get("fleet_speed")
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
    _set(store, "fleet_speed", float(speed), by, reason, now, via)


def dial(store: Store) -> str:
    """What the engine's dial is turned to, one of `DIALS`; balanced where nobody turned it."""
    return dial_setting(store).name


def dial_setting(store: Store) -> Dial:
    """What the engine's dial is turned to, by whom and when."""
    row = _newest(store).get("engine.dial")
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
    _set(store, "engine.dial", name, by, reason, now, via)


def control_history(store: Store, limit: int = 100) -> pl.DataFrame:
    """The newest changes first: `name`, `value` (JSON text), `set_by`, `reason`, `set_at`."""
    return store.query(
        "SELECT name, value ->> '$.value' AS value, set_by, reason, set_at FROM controls "
        "ORDER BY set_at DESC, rowid DESC LIMIT $limit",
        limit=limit,
    )


# -- how -------------------------------------------------------------------------------


def _newest(store: Store) -> Found:
    found = {row["name"]: row for row in store.query(_NEWEST).iter_rows(named=True)}
    return {
        name: {**row, "value": json.loads(row["value"])["value"]} for name, row in found.items()
    }


def _value(found: Found, name: str, default: Any) -> Any:
    return found[name]["value"] if name in found else default


def _refuse_ungoverned(action: str) -> None:
    if action not in GOVERNED_ACTIONS:
        raise UnknownMode(f"{action} has no mode: use {', '.join(GOVERNED_ACTIONS)}")


def _after_the_last(store: Store, name: str, now: datetime) -> datetime:
    """The newest row of a name holds, so a row is never older than the one it replaces, whatever
    the clock says."""
    sql = "SELECT max(set_at) AS at FROM controls WHERE name = $name"
    last: datetime | None = store.query(sql, name=name).item()
    return now if last is None else max(now, last + timedelta(microseconds=1))


def _set(
    store: Store, name: str, value: Any, by: str, reason: str | None, now: datetime, via: Door
) -> None:
    control = Control(
        name=name,
        value={"value": value},
        set_by=by,
        reason=reason or None,
        set_at=_after_the_last(store, name, now),
    )
    event = AuditEvent(
        actor=by,
        act="control.set",
        target=name,
        detail={"value": value, "reason": reason or None},
        via=via,
        happened_at=now,
    )
    store.append([control, event])
