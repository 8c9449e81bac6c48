"""What the Finance page asks of the warehouse; nothing here draws.

Hours and days are the metering's own, which follow the fleet's clock; exports are dated by the
machine's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import polars as pl

from pages._address import chosen
from pages._context import MOMENT_SECONDS, context, kept
from warehouse import exports, metering, reconciliation, storage, unit_costs
from warehouse.export_errors import ExportError
from warehouse.export_kinds import KIND_OF
from warehouse.export_periods import month_of
from warehouse.export_places import Place
from warehouse.export_terms import ExportTerms
from warehouse.focus import Names
from warehouse.paging import Page
from warehouse.records import UnitCost

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MONTHS_LISTED = 24
LAST = {"1": "Last 24 hours", "7": "Last 7 days", "30": "Last 30 days"}
BY = {"tenant": "Tenant", "pool": "Pool", "gpu_model": "Model", "day": "Day", "job_id": "Job"}
"""By what the table may be summed, and how that is called."""
FIELDS = (
    "key", "allocated_gpu_hours", "used_gpu_hours", "efficiency_ratio", "list_cost_usd",
    "charge_usd", "cost_usd", "margin_usd", "margin_ratio", "jobs",
)  # fmt: skip
"""What the table shows; what it may be sorted by."""


@dataclass(frozen=True)
class Span:
    """The hours that the page is about."""

    since: datetime
    until: datetime
    """Exclusive; no later than what is metered."""
    words: str
    """`November so far`, `October 2026`, `The last 7 days`."""


@dataclass(frozen=True)
class Book:
    """A pool on a day, and the hour of it that is taken apart; None: the one that is farthest."""

    pool: str
    day: date
    hour: int | None = None


@dataclass(frozen=True)
class Rate:
    """What the nodes of a kind cost in a pool now."""

    pool: str
    kind: Literal["owned", "leased"]
    idle_usd_per_gpu_hour: float | None
    busy_usd_per_gpu_hour: float | None
    is_stand_in: bool
    """Whether nobody set it, so that what the pool declares stands in."""
    cost: UnitCost | None


# -- spans -----------------------------------------------------------------------------


def spans(first: datetime | None, until: datetime | None) -> dict[str, str]:
    """What may be chosen: the months that hours are metered of, the newest first; then days."""
    if first is None or until is None:
        return dict(LAST)
    months: dict[str, str] = {}
    at = month_of(until - HOUR)
    while at.ends_at > first and len(months) < MONTHS_LISTED:
        months[at.label] = f"{at.starts_at:%B %Y}"
        at = month_of(at.starts_at - HOUR)
    return months | LAST


@kept(MOMENT_SECONDS)
def metered() -> tuple[datetime | None, datetime | None]:
    """The first hour that is metered, and up to when hours are."""
    return metering.metered_span(context().store) or (None, None)


def span_of(asked: str | None) -> Span | None:
    """The span that is asked for, else this month; None where nothing is metered."""
    first, until = metered()
    if first is None or until is None:
        return None
    picked = chosen(asked, list(spans(first, until)))
    if picked in LAST:
        return Span(until - int(picked) * DAY, until, f"The l{LAST[picked][1:]}")
    month = month_of(date.fromisoformat(f"{picked}-01"))
    is_running = until < month.ends_at
    words = f"{month.starts_at:%B} so far" if is_running else f"{month.starts_at:%B %Y}"
    return Span(month.starts_at, min(until, month.ends_at), words)


def newest_day() -> str | None:
    """The newest day that is wholly metered, as the address has it."""
    until = metered()[1]
    return str(until.date() - DAY) if until else None


def as_day(value: str | None) -> str | None:
    """A day as the address has it; None where it is none."""
    try:
        return str(date.fromisoformat(value or ""))
    except ValueError:
        return None


# -- money -----------------------------------------------------------------------------


@kept(MOMENT_SECONDS)
def totals(span: Span) -> dict[str, Any]:
    """The sums of a span, as `metering.SUMS`, with `margin_ratio`."""
    found = metering.by(context().store, since=span.since, until=span.until, keys=())
    return _with_ratio(found).row(0, named=True)


@kept(MOMENT_SECONDS)
def money(span: Span, by: str | None) -> pl.DataFrame:
    """The sums of a span by one of `BY`, with `key` and `margin_ratio`."""
    picked = chosen(by, list(BY))
    keys = [picked, "tenant"] if picked == "job_id" else [picked]
    found = metering.by(context().store, since=span.since, until=span.until, keys=keys)
    key = pl.col(picked)
    named = key.dt.strftime("%Y-%m-%d") if picked == "day" else key.fill_null("not known")
    return _with_ratio(found.with_columns(key=named))


def money_page(frame: pl.DataFrame, sort: str, offset: int, limit: int, *, down: bool) -> Page:
    """A page of `money`; rows without the figure come last."""
    by = sort if sort in FIELDS else "charge_usd"
    ordered = frame.sort([by, "key"], descending=[down, False], nulls_last=True)
    return Page(ordered.slice(offset, limit), frame.height)


def _with_ratio(frame: pl.DataFrame) -> pl.DataFrame:
    # The margin is of the rows whose cost is known, so it is held against what these billed.
    billed = pl.col("margin_usd") + pl.col("cost_usd")
    ratio = pl.when(billed > 0).then(pl.col("margin_usd") / billed)
    return frame.with_columns(margin_ratio=ratio)


# -- the books -------------------------------------------------------------------------


@kept(MOMENT_SECONDS)
def books(span: Span) -> pl.DataFrame:
    """The books of a span by day and pool, the newest day first."""
    found = reconciliation.days(context().store, since=span.since, until=span.until)
    return found.sort("day", "pool", descending=[True, False])


def book_of(asked: str | None) -> Book | None:
    """`pool@2026-11-20` or `pool@2026-11-20T14` as the address has it; None where it is none."""
    pool, at, when = (asked or "").rpartition("@")
    day, _, hour = when.partition("T")
    try:
        found = Book(pool, date.fromisoformat(day), int(hour) if hour else None)
    except ValueError:
        return None
    return found if at and found.hour in (None, *range(24)) else None


def book_hours(book: Book) -> pl.DataFrame:
    """The books of the hours of a pool's day, in their order."""
    since = hour_of(Book(book.pool, book.day))
    return reconciliation.hours(context().store, since=since, until=since + DAY, pool=book.pool)


def hour_of(book: Book) -> datetime:
    """The start of a book's hour; of the day where it names none."""
    day = book.day
    return datetime(day.year, day.month, day.day, book.hour or 0, tzinfo=UTC)


def farthest(hours: pl.DataFrame) -> datetime:
    """The hour that lies farthest beyond its bound, or nearest to it."""
    beyond = pl.col("difference_gpu_hours").abs() - pl.col("bound_gpu_hours")
    ordered = hours.sort(
        "is_within_bound", beyond, "hour_starts_at", descending=[False, True, False]
    )
    found: datetime = ordered["hour_starts_at"][0]
    return found


# -- exports ---------------------------------------------------------------------------


def terms() -> ExportTerms:
    """Where exports go.

    Raises:
        ExportError: this console writes none.
    """
    given = context().exports
    if given is None:
        raise ExportError("this console writes no exports: set PILOTHOUSE_EXPORT_PLACE")
    return given


def names() -> Names:
    """What files call us; as usual where this console writes none."""
    given = context().exports
    return given.names if given else Names()


def place_url() -> str:
    """Where exports go, as each export tells; empty where they go nowhere."""
    try:
        return place().url
    except ExportError:
        return ""


def history(shown: str, offset: int, limit: int) -> Page:
    """A page of all exports and failures, of one kind, or of the failures alone."""
    asked: dict[str, Any] = {"kind": shown} if shown in KIND_OF else {}
    if shown == "failed":
        asked["outcome"] = "failed"
    return exports.history(context().store, offset=offset, limit=limit, **asked)


def place() -> Place:
    """The place itself.

    Raises:
        ExportError: there is none, or it is none.
    """
    return terms().opened()


# -- files -----------------------------------------------------------------------------


def file_frame(
    what: str, span: str | None, by: str, shown: str, limit: int
) -> tuple[pl.DataFrame, int]:
    """A table to be downloaded, and how many rows it would have without the limit."""
    if what == "exports":
        page = history(shown, 0, limit)
        return page.rows, page.total
    if what == "alarms":
        found = metering.alarms(context().store, limit=limit)
        return pl.DataFrame([asdict(each) for each in found], infer_schema_length=None), len(found)
    over = span_of(span)
    if over is None:
        return pl.DataFrame(), 0
    frame = money(over, by).drop("key") if what == "money" else books(over)
    return frame.head(limit), frame.height


# -- the rest --------------------------------------------------------------------------


def failing_chore(name: str) -> str | None:
    """What a job of the house says of its last run, where that failed."""
    found = storage.jobs_of_the_house(context().store, now=context().wall.now())
    row = found.filter((pl.col("job") == name) & (pl.col("outcome") == "failed"))
    return str(row["detail"][0]) if row.height else None


def rates() -> list[Rate]:
    """What a GPU-hour costs us now, by pool and kind of node."""
    store, now = context().store, context().now()
    found = unit_costs.rates(store, pl.Series([now]).cast(pl.Datetime("us", "UTC")))
    given = {(each.pool, each.kind): each for each in unit_costs.all_in_force(store, now)}
    rows: Sequence[dict[str, Any]] = found.sort("pool", "kind", descending=[False, True]).to_dicts()
    return [
        Rate(
            pool=row["pool"],
            kind=row["kind"],
            idle_usd_per_gpu_hour=_an_hour(row, "idle"),
            busy_usd_per_gpu_hour=_an_hour(row, "busy"),
            is_stand_in=row["is_stand_in"],
            cost=given.get((row["pool"], row["kind"])),
        )
        for row in rows
    ]


def _an_hour(row: dict[str, Any], state: str) -> float | None:
    """A GPU-hour by the watts that were set; where power is measured, that counts instead."""
    parts = [row["fixed_usd"], row[f"{state}_usd"]]
    if None in parts:
        return None
    return float(sum(parts) + row["kilowatt_hour_usd"] * row[f"{state}_kilowatts"])
