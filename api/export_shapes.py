"""How exports look as JSON: what was written, what comes next, and what is asked for."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from api.shapes import Sent, Shape, shape_of
from warehouse.export_kinds import ExportKind
from warehouse.export_periods import ExportSpan
from warehouse.records import Export

ExportShape = shape_of(Export)


class DueShape(Shape):
    """An export that is written at the next run."""

    kind: ExportKind
    """FOCUS cost and usage rows, or plain usage."""
    period: str
    """The day or the month."""
    reason: Literal["scheduled", "catch_up", "corrected"]
    """On time, late after a stand, or because hours were metered anew."""


class WaitingShape(Shape):
    """A day or a month that can't be exported yet."""

    period: str
    """The day or the month."""
    detail: str
    """Why, in words."""


class FailingShape(Shape):
    """An export that failed and was not written since."""

    kind: ExportKind
    """FOCUS cost and usage rows, or plain usage."""
    period: str
    """The day or the month."""
    detail: str
    """The last failure, with what to do."""
    failures: int
    """How often it failed."""
    again_at: datetime
    """When it is tried again by itself."""


class ScheduleShape(Shape):
    """What comes next."""

    place: str
    """The folder or bucket that exports go to."""
    metered_until_at: datetime | None
    """Hours are metered up to here, exclusive; null where none is."""
    due: list[DueShape]
    """What is written at the next run, in its order."""
    waiting: list[WaitingShape]
    """What waits for hours to be metered."""
    failing: list[FailingShape]
    """What failed."""


class PreviewShape(Shape):
    """What an export of a day would hold if it were made now."""

    rows: list[dict[str, Any]]
    """Its first rows, by column; costs and quantities as decimal text, to lose no digit."""
    row_count: int
    """All of its rows."""
    sums: dict[str, float]
    """By column, over all rows."""
    is_complete: bool
    """Whether all of the day's hours are metered; until then it is not exported."""
    hours_metered: int
    """Hours of the day that are metered."""
    hours_wanted: int
    """Hours that must be."""


class VerificationShape(Shape):
    """Whether a file is still what was written."""

    is_intact: bool
    """Whether size, SHA-256 and manifest are those that were written."""
    detail: str
    """In words, with what to do where they are not."""


class Asked(Sent):
    """Which days or months to export now."""

    kind: ExportKind = "focus"
    """FOCUS cost and usage rows, or plain usage."""
    span: ExportSpan = "day"
    """A file for each day, or one for each month."""
    from_day: date
    """The first day, or a day of the first month."""
    to_day: date
    """The last day, or a day of the last month."""


class Answered(Shape):
    """What became of the request."""

    exports: list[ExportShape]  # type: ignore[valid-type]
    """What was written, or failed, in order."""
    unchanged: list[str]
    """Days or months of which the newest version still holds: nothing is written twice."""
    waits_because: str | None
    """Why the rest was left, where it is not metered yet; null where all was made."""
