"""The limits inside which the engine acts, whatever a policy says, and what each may be."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from warehouse.schema import Bounds, Column, columns_of
from warehouse.windows import (
    FreezeWindow,
    InvalidWindow,
    MaintenanceWindow,
    freeze_window,
    maintenance_window,
)

__all__ = [
    "LIMIT_COLUMNS",
    "FreezeWindow",
    "InvalidLimit",
    "Limits",
    "MaintenanceWindow",
    "checked_limit",
    "limits_from",
]


class InvalidLimit(ValueError):
    """No such limit, or a value it can't take; the sentence says what would do."""


@dataclass(frozen=True)
class Limits:
    """Every limit with its default. Units are the last words of the names."""

    max_actions_per_hour: Annotated[int, Bounds(0, 1000)] = 30
    """Most actions carried out in any hour, over the whole fleet; undoing is not counted."""
    added_cost_budget_usd_per_hour: Annotated[float, Bounds(0, 1e6)] = 400.0
    """Most running cost that the scale-ups of any one hour may add together."""
    max_disrupted_ratio: Annotated[float, Bounds(0, 1)] = 0.25
    """Largest share of a pool's GPUs that the actions of any one hour may take away."""
    cooldown_seconds: Annotated[int, Bounds(0, 86_400)] = 900
    """Least time between two actions on one target."""
    price_floor_ratio: Annotated[float, Bounds(0.1, 2)] = 0.70
    """Lowest price, as a share of the market's."""
    price_ceiling_ratio: Annotated[float, Bounds(0.5, 5)] = 1.30
    """Highest price, as a share of the market's."""
    price_floor_usd_per_gpu_hour: dict[str, float] = dataclasses.field(default_factory=dict)
    """Lowest price of each pool named here, whatever the market does."""
    price_ceiling_usd_per_gpu_hour: dict[str, float] = dataclasses.field(default_factory=dict)
    """Highest price of each pool named here, whatever the market does."""
    price_step_ratio: Annotated[float, Bounds(0.001, 1)] = 0.10
    """Largest change of a price in one action, as a share of the price in force."""
    minimum_capacity_ratio: Annotated[float, Bounds(0, 1)] = 0.25
    """Share of a pool's owned nodes that stays on."""
    minimum_capacity_nodes: Annotated[int, Bounds(0, 10_000)] = 1
    """Nodes of a pool that stay on."""
    minimum_gain_usd_per_hour: Annotated[float, Bounds(0, 1e6)] = 1.0
    """A proposal's expected gain must be at least this."""
    harm_usd_per_hour: Annotated[float, Bounds(0, 1e6)] = 2.0
    """A decision that lost at least this is judged harmful, and undone where it can be."""
    decision_expiry_seconds: Annotated[int, Bounds(60, 604_800)] = 3600
    """How long a decision waits for a person, and an approved one for being carried out."""
    horizon_seconds: Annotated[int, Bounds(900, 86_400)] = 14_400
    """Over how long gains are reckoned, and after how long they are measured."""
    breaker_failures: Annotated[int, Bounds(1, 100)] = 3
    """Failures in a row after which nothing more is carried out until a person says so."""
    breaker_quarantines: Annotated[int, Bounds(1, 1000)] = 3
    """Nodes quarantined within the breaker's window after which it opens as well."""
    breaker_window_seconds: Annotated[int, Bounds(60, 604_800)] = 3600
    """Over how long quarantines are counted for the breaker."""
    freeze_windows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """Times in which nothing is carried out: `{"starts_at", "ends_at", "reason"}`, ISO 8601."""

    maintenance_windows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """The only times in which the actions named are begun: `{"actions", "weekdays", "starts",
    "ends", "time_zone"}`, for example `["rebalance"]`, `["sat"]`, `02:00`, `05:00`,
    `Europe/Berlin`."""

    @property
    def frozen_spans(self) -> list[FreezeWindow]:
        """The freeze windows, read."""
        return [freeze_window(window) for window in self.freeze_windows]

    @property
    def maintenance(self) -> list[MaintenanceWindow]:
        """The maintenance windows, read."""
        return [maintenance_window(window) for window in self.maintenance_windows]


LIMIT_COLUMNS: dict[str, Column] = {column.name: column for column in columns_of(Limits)}
"""Each limit's name with its type, bounds and sentence; forms are made from here."""


def limits_from(values: Mapping[str, Any]) -> Limits:
    """The limits with these values in place of the defaults; names long gone are passed over."""
    return Limits(**{name: value for name, value in values.items() if name in LIMIT_COLUMNS})


def checked_limit(name: str, value: Any, limits: Limits) -> Any:
    """The value as the limit takes it, given the other limits in force.

    Raises:
        InvalidLimit: no such limit, or it can't take this.
    """
    column = LIMIT_COLUMNS.get(name)
    if column is None:
        raise InvalidLimit(f"there is no limit {name}: use one of {', '.join(LIMIT_COLUMNS)}")
    checked = _CHECKS[column.dtype.base_type().__name__](column, value)
    _check_order(dataclasses.replace(limits, **{name: checked}))
    return checked


def _number(column: Column, value: Any) -> float:
    assert column.bounds is not None
    low, high = column.bounds.low, column.bounds.high
    assert low is not None
    assert high is not None
    wanted = f"a number from {low:g} to {high:g}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidLimit(f"{column.name} takes {wanted}, not {value!r}")
    if not low <= value <= high:  # also refuses NaN
        raise InvalidLimit(f"{column.name} takes {wanted}, not {value:g}")
    return float(value)


def _whole(column: Column, value: Any) -> int:
    number = _number(column, value)
    if number != int(number):
        raise InvalidLimit(f"{column.name} takes a whole number, not {number:g}")
    return int(number)


def _several(column: Column, value: Any) -> Any:
    if column.name in _WINDOWS:
        return _windows(column.name, value)
    if not isinstance(value, Mapping):
        raise InvalidLimit(f"{column.name} takes a price for each pool, not {value!r}")
    return {str(pool): _price(column.name, price) for pool, price in value.items()}


def _price(name: str, value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value <= 0:
        raise InvalidLimit(f"{name} takes prices above 0 in USD per GPU-hour, not {value!r}")
    return float(value)


def _windows(name: str, value: Any) -> list[dict[str, Any]]:
    needs = '"starts_at", "ends_at", "reason"'
    if name == "maintenance_windows":
        needs = '"actions", "weekdays", "starts", "ends", "time_zone"'
    if not isinstance(value, list) or not all(isinstance(window, Mapping) for window in value):
        raise InvalidLimit(f"{name} takes a list of {{{needs}}}")
    try:
        return [_WINDOWS[name](window) for window in value]
    except InvalidWindow as error:
        raise InvalidLimit(str(error)) from error


def _checked_freeze(sent: Mapping[str, Any]) -> dict[str, Any]:
    window = freeze_window(sent)
    return {
        "starts_at": window.starts_at.isoformat(),
        "ends_at": window.ends_at.isoformat(),
        "reason": window.reason,
    }


def _checked_maintenance(sent: Mapping[str, Any]) -> dict[str, Any]:
    return maintenance_window(sent).as_sent()


_WINDOWS = {"freeze_windows": _checked_freeze, "maintenance_windows": _checked_maintenance}
_CHECKS = {"Float64": _number, "Int64": _whole, "String": _several}


def _check_order(limits: Limits) -> None:
    if limits.price_floor_ratio > limits.price_ceiling_ratio:
        raise InvalidLimit("the price floor would lie above the ceiling: move the other one first")
    floors, ceilings = limits.price_floor_usd_per_gpu_hour, limits.price_ceiling_usd_per_gpu_hour
    for pool in floors.keys() & ceilings.keys():
        if floors[pool] > ceilings[pool]:
            raise InvalidLimit(f"the price floor of {pool} would lie above its ceiling")
