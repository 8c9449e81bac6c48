"""What is asked of the exports: what was written, what holds, what comes next, what is in it.

How they are made is in `export_making.py`, when in `export_schedule.py`; `docs/exports.md` tells
all of it to whoever reads the files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Any, BinaryIO

import polars as pl

from warehouse import metering
from warehouse.export_errors import ExportError, NoSuchExport
from warehouse.export_files import digest_of
from warehouse.export_kinds import KIND_OF, ExportKind
from warehouse.export_periods import ExportSpan, Meterings, Period, day_of
from warehouse.export_places import Place
from warehouse.focus import Names
from warehouse.paging import Page, Position, page_of
from warehouse.records import Export
from warehouse.store import Store

_HISTORY = """
    SELECT * FROM exports
    WHERE ($kind IS NULL OR kind = $kind) AND ($span IS NULL OR span = $span)
        AND ($outcome IS NULL OR outcome = $outcome) AND ($place IS NULL OR place = $place)
"""
_NEWEST = """
    SELECT * FROM exports WHERE outcome = 'written' AND place = $place
    QUALIFY row_number() OVER (
        PARTITION BY kind, span, period_starts_at ORDER BY version DESC, written_at DESC, rowid DESC
    ) = 1
    ORDER BY kind, span, period_starts_at
"""
_FAILED_SINCE = """
    SELECT f.kind, f.span, f.period_starts_at, max_by(f.detail, f.written_at) AS detail,
        max(f.written_at) AS failed_at, count(*) AS failures
    FROM exports f LEFT JOIN (
        SELECT kind, span, period_starts_at, max(written_at) AS written_at FROM exports
        WHERE outcome = 'written' AND place = $place GROUP BY ALL
    ) w USING (kind, span, period_starts_at)
    WHERE f.outcome = 'failed' AND f.place = $place
        AND (w.written_at IS NULL OR f.written_at > w.written_at)
    GROUP BY ALL ORDER BY f.kind, f.span, f.period_starts_at
"""


def history(
    store: Store,
    *,
    kind: ExportKind | None = None,
    span: ExportSpan | None = None,
    outcome: str | None = None,
    place: str | None = None,
    offset: Position = 0,
    limit: int = 100,
) -> Page:
    """Every export and every failure, the newest first; columns are those of `exports`."""
    return page_of(
        store,
        _HISTORY,
        order="written_at DESC, period_ends_at DESC, span DESC, kind, export_id",
        offset=offset,
        limit=limit,
        kind=kind,
        span=span,
        outcome=outcome,
        place=place,
    )


def newest(store: Store, place: str) -> list[Export]:
    """The version that holds of each kind and period at a place."""
    return store.rows(Export, _NEWEST, place=place)


def failing(store: Store, place: str) -> pl.DataFrame:
    """What failed and was not written since: `kind`, `span`, `period_starts_at`, `detail` (the
    last sentence), `failed_at` (last) and `failures` (how often)."""
    return store.query(_FAILED_SINCE, place=place)


def export(store: Store, export_id: str) -> Export:
    """One export or failure.

    Raises:
        NoSuchExport: none has this id.
    """
    found = store.rows(Export, "SELECT * FROM exports WHERE export_id = $id LIMIT 1", id=export_id)
    if not found:
        raise NoSuchExport(f"there is no export {export_id}: the history lists what there is")
    return found[0]


def meterings(store: Store, period: Period) -> Meterings:
    """The meterings that hold of a period's hours."""
    span = metering.metered_span(store)
    runs = metering.version_of(store, since=period.starts_at, until=period.ends_at)
    return Meterings(period, runs, span[0] if span else period.starts_at)


@dataclass(frozen=True)
class Preview:
    """What an export of a day would hold if it were made now."""

    rows: pl.DataFrame
    """Its first rows, as they would be written."""
    row_count: int
    """All of its rows."""
    sums: dict[str, float]
    """By column, over all rows."""
    is_complete: bool
    """Whether all of the day's hours are metered; until then it is not exported."""
    hours_metered: int
    hours_wanted: int


def preview(store: Store, kind: ExportKind, day: date, names: Names, *, limit: int = 50) -> Preview:
    """A day's rows as they would be written now, and their sums."""
    made, period = KIND_OF[kind], day_of(day)
    found = meterings(store, period)
    hours = metering.hours(store, since=period.starts_at, until=period.ends_at)
    rows = made.rows(hours, names)
    return Preview(
        rows=rows.head(limit),
        row_count=rows.height,
        sums={name: float(rows[name].sum() or 0) for name in made.sums},
        is_complete=found.is_complete,
        hours_metered=found.hours_metered,
        hours_wanted=found.hours_wanted,
    )


# -- its files --------------------------------------------------------------------------


def opened(place: Place, found: Export) -> BinaryIO:
    """The data file of an export, to be read from anywhere in it.

    The path is the export's own: nothing that anybody sends is made part of one.

    Raises:
        NoSuchExport: it failed, lies at another place than the one that is set, or is gone.
    """
    path = _path_here(place, found, found.path)
    try:
        return place.open(path)
    except FileNotFoundError as error:
        raise _gone(place, path) from error


def manifest(place: Place, found: Export) -> dict[str, Any]:
    """The manifest of an export.

    Raises:
        NoSuchExport: as with `opened`.
    """
    path = _path_here(place, found, found.manifest_path)
    try:
        content: dict[str, Any] = json.loads(place.read(path))
    except FileNotFoundError as error:
        raise _gone(place, path) from error
    return content


def _path_here(place: Place, found: Export, path: str | None) -> str:
    if path is None:
        raise NoSuchExport(f"export {found.export_id} failed and left no file: {found.detail}")
    if found.place != place.url:
        raise NoSuchExport(
            f"export {found.export_id} lies at {found.place}, and exports go to {place.url} now: "
            "fetch it there"
        )
    return path


def _gone(place: Place, path: str) -> NoSuchExport:
    return NoSuchExport(
        f"{path} is no longer at {place.url}: restore it, or have the period exported again by hand"
    )


@dataclass(frozen=True)
class Verification:
    """Whether a file is still what was written."""

    is_intact: bool
    detail: str
    """In words, with what to do where it is not."""


def verify(place: Place, found: Export) -> Verification:
    """Read a file again and hold its size and SHA-256 against the row and the manifest."""
    try:
        told = manifest(place, found)
        with opened(place, found) as data:
            sha256, size_bytes = digest_of(data), data.tell()
    except (ExportError, OSError, ValueError) as error:
        return Verification(False, f"it can't be read: {error}")
    if told.get("sha256") != found.sha256:
        return Verification(
            False, "its manifest is not the one that was written: restore both from a backup"
        )
    if sha256 != found.sha256 or size_bytes != found.size_bytes:
        return Verification(
            False,
            f"the file has {size_bytes} bytes of SHA-256 {sha256[:12]}…, written were "
            f"{found.size_bytes} of {str(found.sha256)[:12]}…: restore it from a backup",
        )
    return Verification(True, f"{size_bytes} bytes, SHA-256 {sha256}, as written")
