"""What there is to ask, in words: tables and columns with their units, and the search for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from warehouse import records
from warehouse.analyst_rules import OPEN
from warehouse.schema import TABLES, Column, Table

assert records.GpuSample in TABLES

UNITS = {
    "usd_per_gpu_hour": "USD per GPU-hour", "usd_per_hour": "USD per hour", "usd": "USD",
    "usd_per_month": "USD per month", "usd_per_gpu": "USD per GPU", "gpu_hours": "GPU-hours",
    "kilowatt_hours": "kWh", "bits_per_second": "bit/s", "bytes": "bytes", "seconds": "s",
    "watts": "W", "joules": "J", "celsius": "°C", "hertz": "Hz", "ratio": "ratio", "years": "years",
    "months": "months", "count": "", "at": "UTC", "megabytes": "MB", "hours": "h", "days": "days",
}  # fmt: skip
"""A unit by the last words of a column's name."""

DECISION_STATES = (
    "Every decision with its state, what was said to it, what was done and what came of it: "
    "the columns of decisions, verdicts, executions and outcomes side by side. "
    "DESCRIBE decision_states lists them."
)


@dataclass(frozen=True)
class AnalystColumn:
    """A column as an analyst is told of it."""

    name: str
    kind: str
    """Its SQL type."""
    unit: str
    meaning: str


@dataclass(frozen=True)
class AnalystTable:
    """A table as an analyst is told of it."""

    name: str
    meaning: str
    columns: tuple[AnalystColumn, ...]

    @property
    def summary(self) -> str:
        """Its first sentence."""
        return self.meaning.partition(". ")[0].rstrip(".")


@dataclass(frozen=True)
class Found:
    """What fits a search."""

    tables: tuple[AnalystTable, ...]
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By table the columns that fit, where a search was for one."""


@cache
def tables() -> tuple[AnalystTable, ...]:
    """All that can be asked, by name."""
    found = [_told(table) for table in TABLES.values() if table.name in OPEN]
    found.append(AnalystTable("decision_states", DECISION_STATES, ()))
    return tuple(sorted(found, key=lambda each: each.name))


def table(name: str | None) -> AnalystTable | None:
    """One of them by its name."""
    return next((each for each in tables() if each.name == name), None)


def search(words: str | None) -> Found:
    """The tables in whose name, meaning or columns all of the words occur; best first."""
    wanted = (words or "").lower().split()
    if not wanted:
        return Found(tables())
    ranked, columns = [], {}
    for each in tables():
        fitting = tuple(
            column.name
            for column in each.columns
            if _fits(wanted, f"{column.name} {column.name.replace('_', ' ')} {column.meaning}")
        )
        in_name = _fits(wanted, f"{each.name} {each.name.replace('_', ' ')}")
        if in_name or fitting or _fits(wanted, each.meaning):
            ranked.append((not in_name, not fitting, each.name, each))
            columns[each.name] = fitting
    return Found(tuple(each for *_, each in sorted(ranked, key=lambda r: r[:3])), columns)


def unit_of(column: str) -> str:
    """The unit that a column's name ends in, or nothing."""
    parts = column.split("_")
    for start in range(len(parts)):
        unit = UNITS.get("_".join(parts[start:]))
        if unit is not None and (start > 0 or len(parts) > 1):
            return unit
    return ""


def _fits(wanted: list[str], text: str) -> bool:
    lowered = text.lower()
    return all(word in lowered for word in wanted)


def _told(table: Table) -> AnalystTable:
    meaning = " ".join(table.description.split())
    return AnalystTable(table.name, meaning, tuple(_column(each) for each in table.columns))


def _column(column: Column) -> AnalystColumn:
    meaning = " ".join(column.description.split())
    if column.choices:
        meaning += " One of " + ", ".join(column.choices) + "."
    kind = f"{column.sql_type}, JSON" if column.is_json else column.sql_type
    return AnalystColumn(column.name, kind, unit_of(column.name), meaning)
