"""Which exports are due, and writing them: the chore of the house, and what waits and why.

Every day that is wholly metered and not exported yet is exported in order, a month when its last
day is; a period whose hours were metered anew since comes again, as its next version.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from warehouse import exports, metering
from warehouse.export_errors import ExportError, ExportUnderWay, NotMetered
from warehouse.export_kinds import KIND_OF, KINDS, ExportKind
from warehouse.export_making import AGAIN_AFTER, Exporter
from warehouse.export_periods import (
    DAY,
    HOUR,
    ExportSpan,
    Meterings,
    Period,
    day_of,
    month_of,
    period_of,
)
from warehouse.records import Export
from warehouse.store import Store
from warehouse.upkeep import Done

EXPORT_SECONDS = 300.0
"""How often it is looked what is due."""
MOST_PER_RUN = 24
"""Most exports in one run: after a long stand the rest comes in the next ones, in order."""
SCHEDULED_WITHIN = timedelta(hours=26)
"""A period that ended at most this long before the last metered hour is on time; else caught up."""
SCHEDULE = "schedule"
"""Who asked, where nobody did."""


_Key = tuple[ExportKind, ExportSpan, datetime]


@dataclass(frozen=True)
class Due:
    """An export that is to be written now."""

    kind: ExportKind
    period: Period
    reason: str
    """`scheduled`, `catch_up`, or `corrected`."""


@dataclass(frozen=True)
class Waiting:
    """A period that can't be exported yet, and why."""

    period: Period
    detail: str


@dataclass(frozen=True)
class Failing:
    """An export that failed and was not written since."""

    kind: ExportKind
    period: Period
    detail: str
    """The last failure, with what to do."""
    failures: int
    again_at: datetime
    """When it is tried again by itself."""


@dataclass(frozen=True)
class Schedule:
    """What is due, what waits, and what fails, each in the order it comes."""

    place: str
    metered_until_at: datetime | None
    """Hours are metered up to here, exclusive; None where none is."""
    due: tuple[Due, ...]
    waiting: tuple[Waiting, ...]
    failing: tuple[Failing, ...]


def schedule(store: Store, place: str) -> Schedule:
    """What is due at a place, what waits for hours to be metered, and what failed.

    `place` is `Place.url`.
    """
    span = metering.metered_span(store)
    if span is None:
        return Schedule(place, None, (), (), ())
    first, until = span
    found = list(_periods(store, first, until))
    digests = {
        (row.kind, row.span, row.period_starts_at): row.metering_digest or "0/"
        for row in exports.newest(store, place)
    }
    return Schedule(
        place=place,
        metered_until_at=until,
        due=tuple(_due(found, digests, until)),
        waiting=tuple(Waiting(each.period, _why(each)) for each in found if not each.is_complete),
        failing=tuple(_failing(store, place)),
    )


def _periods(store: Store, first: datetime, until: datetime) -> Iterator[Meterings]:
    """Every day and month from the first metered hour to the last, by their ends."""
    runs = metering.version_of(store, since=first, until=until)
    hours = runs["hour_starts_at"].to_list()
    last = until - HOUR
    days = {day_of(first + number * DAY) for number in range((last.date() - first.date()).days + 1)}
    for period in sorted(days | {month_of(day.starts_at) for day in days}):
        start, end = bisect_left(hours, period.starts_at), bisect_left(hours, period.ends_at)
        yield Meterings(period, runs.slice(start, end - start), first)


def _due(found: list[Meterings], digests: dict[_Key, str], until: datetime) -> Iterator[Due]:
    for each in found:
        if not each.is_complete:
            continue
        for kind in KINDS:
            before = digests.get((kind, each.period.span, each.period.starts_at))
            if before is None:
                is_late = until - each.period.ends_at > SCHEDULED_WITHIN
                yield Due(kind, each.period, "catch_up" if is_late else "scheduled")
            elif each.outdate(before):
                yield Due(kind, each.period, "corrected")


def _why(found: Meterings) -> str:
    return (
        f"{found.hours_metered} of {found.hours_wanted} hours are metered; "
        "it is exported once the last one is"
    )


def _failing(store: Store, place: str) -> Iterator[Failing]:
    for row in exports.failing(store, place).iter_rows(named=True):
        yield Failing(
            kind=row["kind"],
            period=period_of(row["span"], row["period_starts_at"]),
            detail=row["detail"],
            failures=row["failures"],
            again_at=row["failed_at"] + AGAIN_AFTER,
        )


# -- the chore --------------------------------------------------------------------------


def export_due(exporter: Exporter, *, most: int = MOST_PER_RUN) -> Done:
    """Write what is due, in order and at most so many; the chore of the house.

    Where the place fails the rest waits, since it would fail as well; where a period fails by
    itself the others go on, and it is tried again later.

    Raises:
        ScheduledExportFailed: something failed; it is on record.
    """
    if exporter.rests():
        return Done("the place failed lately: it is tried again in some minutes")
    if not schedule(exporter.store, exporter.place.url).due:
        return Done("nothing is due")
    try:
        with exporter.alone():
            return _export_due(exporter, most)
    except ExportUnderWay:
        return Done("somebody else exports just now")


def _export_due(exporter: Exporter, most: int) -> Done:
    found = schedule(exporter.store, exporter.place.url)
    now = exporter.clock.now()
    resting = {(each.kind, each.period) for each in found.failing if now < each.again_at}
    rows: list[Export] = []
    for due in found.due:
        if len(rows) == most or exporter.rests():
            break
        if (due.kind, due.period) not in resting:
            rows += _made(exporter, due)
    return _done(exporter, rows, len(found.due))


def _made(exporter: Exporter, due: Due) -> list[Export]:
    with suppress(NotMetered):  # old hours were let go since it was looked
        row = exporter.export(
            KIND_OF[due.kind], due.period, reason=due.reason, requested_by=SCHEDULE
        )
        return [row] if row else []
    return []


def _done(exporter: Exporter, rows: list[Export], due_count: int) -> Done:
    failed = [row for row in rows if row.outcome == "failed"]
    written = len(rows) - len(failed)
    if written:
        exporter.write_index()
    if failed:
        raise ScheduledExportFailed(
            f"{written} exports written, {len(failed)} failed; the last: {failed[-1].detail}"
        )
    return Done(f"{written} exports written, {due_count - written} are still due", written)


class ScheduledExportFailed(ExportError):
    """An export that was due failed, and is on record as such."""
