"""What an export covers: a day or a month of UTC, and whether its hours are all metered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

import polars as pl

from warehouse.export_errors import BadSpan

ExportSpan = Literal["day", "month"]
SPANS: tuple[ExportSpan, ...] = ("day", "month")
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
PERIODS_MAX = 31
"""Most days or months that a page or a request of the API may ask for at once."""


@dataclass(frozen=True, order=True)
class Period:
    """A day or a month of UTC; sorted by their ends, a day before the month that it ends."""

    ends_at: datetime
    """Exclusive."""
    span: ExportSpan
    starts_at: datetime
    """Inclusive."""

    @property
    def label(self) -> str:
        """As people and folders name it: `2026-11-22` or `2026-11`."""
        return f"{self.starts_at:%Y-%m-%d}" if self.span == "day" else f"{self.starts_at:%Y-%m}"

    @property
    def folder(self) -> str:
        """The hive folders below those of the kind."""
        month = f"span={self.span}/billing_period={self.starts_at:%Y-%m}"
        return f"{month}/day={self.label}" if self.span == "day" else month

    def days(self) -> Iterator[Period]:
        """Its days in order."""
        at = self.starts_at
        while at < self.ends_at:
            yield day_of(at)
            at += DAY


def day_of(instant: datetime | date) -> Period:
    """The day of UTC that an instant, or a date, lies in."""
    midnight = _midnight(instant)
    return Period(midnight + DAY, "day", midnight)


def month_of(instant: datetime | date) -> Period:
    """The month of UTC that an instant, or a date, lies in."""
    first = _midnight(instant).replace(day=1)
    return Period((first + 31 * DAY).replace(day=1), "month", first)


def period_of(span: ExportSpan, instant: datetime | date) -> Period:
    """The day or the month that an instant, or a date, lies in."""
    return day_of(instant) if span == "day" else month_of(instant)


def periods(span: ExportSpan, first: date, last: date) -> list[Period]:
    """The days, or the months, from the one of `first` to the one of `last`, both included.

    Raises:
        BadSpan: the last is before the first.
    """
    if last < first:
        raise BadSpan(f"{last} is before {first}: give the earlier day first")
    found, at = [], period_of(span, first)
    while at.starts_at <= _midnight(last):
        found.append(at)
        at = period_of(span, at.ends_at)
    return found


def _midnight(instant: datetime | date) -> datetime:
    if isinstance(instant, datetime):
        instant = instant.astimezone(UTC).date()
    return datetime.combine(instant, time(), UTC)


@dataclass(frozen=True)
class Meterings:
    """The meterings that hold of a period's hours, as `metering.version_of` gives them."""

    period: Period
    runs: pl.DataFrame
    """In time order"""
    counts_from_at: datetime
    """The first hour that was ever metered: the fleet's history begins there, not before."""

    @property
    def hours_wanted(self) -> int:
        """Hours that must be metered before the period may be exported."""
        starts_at = max(self.period.starts_at, self.counts_from_at)
        return max(0, int((self.period.ends_at - starts_at) / HOUR))

    @property
    def hours_metered(self) -> int:
        """Hours that are."""
        return self.runs.height

    @property
    def is_complete(self) -> bool:
        """Whether every hour is metered."""
        return 0 < self.hours_wanted <= self.hours_metered

    @property
    def digest(self) -> str:
        """How many hours, a slash, and a digest of which metering holds of each: two exports
        of a period rest on the same meterings where this is the same."""
        named = "\n".join(self.runs["run_id"])
        return f"{self.hours_metered}/{hashlib.sha256(named.encode()).hexdigest()[:32]}"

    def outdate(self, digest: str | None) -> bool:
        """Whether an export of that digest is to be corrected: hours were metered anew, or more of
        them. Fewer than it rests on means that old rows were let go, which corrects nothing."""
        if digest == self.digest:
            return False
        return int((digest or "0/").partition("/")[0]) <= self.hours_metered

    def of_day(self, day: Period) -> pl.DataFrame:
        """Those of one day."""
        hour = pl.col("hour_starts_at")
        return self.runs.filter((hour >= day.starts_at) & (hour < day.ends_at))
