"""For how many days the rows of each table are kept: a setting a table, printed with the others.

A table's own default stands at its record (`keep_days`); without one it is kept for ever, as money
and decisions are. `warehouse/retention.py` lets the older ones go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError, create_model
from pydantic_settings import BaseSettings, SettingsConfigDict

from warehouse.errors import WarehouseError
from warehouse.records import GpuProcess, GpuRollup, GpuSample, GpuShare
from warehouse.schema import TABLES, Table

KEEP_PREFIX = "PILOTHOUSE_KEEP_"
ROLLUP_DAYS = {60: 14, 300: 90, 3600: 1100}
"""How long roll-ups are kept, by the length of their period in seconds."""
SAMPLED: tuple[type, ...] = (GpuSample, GpuShare, GpuProcess)
"""What `PILOTHOUSE_SAMPLE_DAYS` speaks of."""

Days = Mapping[str, float | None]
"""By a table's name, or a length of its roll-ups: the days to keep, None for ever."""


class UnusableDays(WarehouseError):
    """A setting of how long rows are kept is no number of days."""


class _Settings(BaseSettings):
    """Days for which rows are kept, by table."""

    model_config = SettingsConfigDict(env_prefix=KEEP_PREFIX, extra="ignore", frozen=True)


def kept_apart() -> Iterator[tuple[str, Table, float | None]]:
    """All that is kept for a time of its own: its name, its table, and its days by default."""
    for table in TABLES.values():
        if table.record is GpuRollup:
            yield from ((f"{table.name}_{p}", table, days) for p, days in ROLLUP_DAYS.items())
        elif table.partition_by:
            yield table.name, table, table.keep_days


def _field(name: str, table: Table, days: float | None) -> Any:
    period = name.removeprefix(f"{table.name}_")
    of = f" of {period} s" if table.record is GpuRollup else ""
    newest = " What holds still is kept longer." if table.newest_of else ""
    sampled = " Without it `PILOTHOUSE_SAMPLE_DAYS` holds." if table.record in SAMPLED else ""
    said = f"Days for which `{table.name}`{of} is kept, 0 for ever.{newest}{sampled}"
    return (float, Field(days or 0, ge=0.0, description=said))


if TYPE_CHECKING:
    KeepSettings = _Settings
else:
    KeepSettings = create_model(
        "KeepSettings",
        __base__=_Settings,
        **{f"{name}_days": _field(name, table, days) for name, table, days in kept_apart()},
    )


def days_kept(sample_days: float) -> Days:
    """The days of everything, as the environment sets them; raw samples are kept `sample_days`
    where theirs are not set.

    Raises:
        UnusableDays: a setting is no number, or negative.
    """
    try:
        settings = KeepSettings()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"{KEEP_PREFIX}{first['loc'][0]}".upper()
        raise UnusableDays(f"{name} is {first['input']!r}: give it days, or 0 for ever") from error
    days: dict[str, float | None] = {}
    for name, table, _ in kept_apart():
        field = f"{name}_days"
        is_sampled = table.record in SAMPLED and field not in settings.model_fields_set
        days[name] = (sample_days if is_sampled else getattr(settings, field)) or None
    return days
