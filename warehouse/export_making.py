"""Making exports: one at a time, each on record whether it was written or failed.

How one version is made is in `export_versions.py`, which of them are due in `export_schedule.py`.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from warehouse import exports, leases, metering
from warehouse.clock import Clock
from warehouse.export_errors import ExportUnderWay, NotMetered, PlaceFailed
from warehouse.export_files import as_json, instant
from warehouse.export_kinds import Kind
from warehouse.export_periods import Meterings, Period
from warehouse.export_places import INDEX_NAME
from warehouse.export_terms import ExportTerms
from warehouse.export_versions import Version
from warehouse.records import Export
from warehouse.store import Store

LEASE = "exports"
LEASE_SECONDS = 300.0
"""How long one who writes is waited for; renewed before each export. After a kill it runs
out."""
AGAIN_AFTER = timedelta(minutes=15)
"""How long after a failure the same is tried again by itself."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ByHand:
    """What became of days or months that somebody asked for."""

    rows: list[Export] = field(default_factory=list)
    """written, or failed"""
    unchanged: list[Period] = field(default_factory=list)
    """whose newest version still holds"""
    waits_because: str | None = None
    """why the rest was left: its first is not metered yet"""

    @property
    def written(self) -> list[Export]:
        """Those that did not fail."""
        return [row for row in self.rows if row.outcome == "written"]


class Exporter:
    """Makes exports of a warehouse at a place. `clock` is the machine's: it dates what is written;
    which days there are is told by the metered hours alone."""

    def __init__(self, store: Store, terms: ExportTerms, clock: Clock) -> None:
        self.store = store
        self.names = terms.names
        self.place = terms.opened()
        self.clock = clock
        self._rests_until_at: datetime | None = None
        self._holder = uuid.uuid4().hex

    def rests(self) -> bool:
        """Whether the place failed so lately that the schedule leaves it alone."""
        until = self._rests_until_at
        return until is not None and self.clock.now() < until

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else exports from this warehouse meanwhile, on whatever console.

        Raises:
            ExportUnderWay: somebody does.
        """
        self._hold()
        try:
            yield
        finally:
            leases.resign(self.store, LEASE, self._holder, now=self.clock.now())

    def _hold(self) -> None:
        now = self.clock.now()
        if not leases.hold(self.store, LEASE, self._holder, seconds=LEASE_SECONDS, now=now):
            raise ExportUnderWay(
                "another export is being written, or was when its console ended: "
                "ask again in five minutes at most"
            )

    def export(
        self, kind: Kind, period: Period, *, reason: str, requested_by: str
    ) -> Export | None:
        """Write the next version of a period, if there is anything new to write; else None.

        To be called inside `alone`, whose lease it renews.

        Raises:
            NotMetered: its hours are not all metered yet; nothing is put on record.
        """
        self._hold()
        found = exports.meterings(self.store, period)
        if not found.is_complete:
            raise NotMetered(self._not_metered(found))
        before = self._newest(kind, period)
        if before is not None and not found.outdate(before.metering_digest):
            return None
        row = self._on_record(
            Version(
                store=self.store,
                place=self.place,
                names=self.names,
                kind=kind,
                found=found,
                before=before,
                reason=reason,
                requested_by=requested_by,
                now=self.clock.now(),
            )
        )
        self.store.append([row])
        return row

    def by_hand(self, kind: Kind, wanted: Sequence[Period], *, requested_by: str) -> ByHand:
        """Write what somebody asked for, in order, up to the first that is not metered yet.

        Raises:
            NotMetered: not even the first of them is.
            ExportUnderWay: somebody else exports just now.
        """
        made = ByHand()
        with self.alone():
            for period in wanted:
                try:
                    row = self.export(kind, period, reason="by hand", requested_by=requested_by)
                except NotMetered as error:
                    if period == wanted[0]:
                        raise
                    made = replace(made, waits_because=str(error))
                    break
                if row is None:
                    made.unchanged.append(period)
                else:
                    made.rows.append(row)
            if made.written:
                self.write_index()
        return made

    def _on_record(self, version: Version) -> Export:
        """The row that says what became of it. Broad, since whatever fails must be told."""
        began_seconds = time.monotonic()
        try:
            row = version.adopted() or version.written()
        except Exception as error:
            log.exception("the export of %s failed", version.folder)
            row = version.failed(error)
            if isinstance(error, PlaceFailed):
                self._rests_until_at = self.clock.now() + AGAIN_AFTER
        return replace(row, took_seconds=round(time.monotonic() - began_seconds, 6))

    def _newest(self, kind: Kind, period: Period) -> Export | None:
        found = self.store.rows(
            Export,
            """
            SELECT * FROM exports WHERE outcome = 'written' AND place = $place AND kind = $kind
                AND span = $span AND period_starts_at = $starts_at
            ORDER BY version DESC, written_at DESC, rowid DESC LIMIT 1
            """,
            place=self.place.url,
            kind=kind.name,
            span=period.span,
            starts_at=period.starts_at,
        )
        return found[0] if found else None

    def _not_metered(self, found: Meterings) -> str:
        until = metering.metered_until(self.store)
        so_far = f"hours are metered up to {until:%Y-%m-%d %H:%M} UTC" if until else "none is yet"
        if not found.hours_wanted:
            return (
                f"{found.period.label} is over before the first hour that was metered "
                f"({found.counts_from_at:%Y-%m-%d %H:%M} UTC): there is nothing to export"
            )
        return (
            f"{found.period.label} is not wholly metered ({found.hours_metered} of "
            f"{found.hours_wanted} hours; {so_far}): it is exported once it is"
        )

    def write_index(self) -> None:
        """Say in one file which version of each period holds; replaced at once."""
        rows = exports.newest(self.store, self.place.url)
        if not rows:
            return
        content = {
            "format": 1,
            "written_at": instant(self.clock.now()),
            "exports": [_indexed(row) for row in rows],
        }
        self.place.replace(INDEX_NAME, as_json(content))


def _indexed(row: Export) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "span": row.span,
        "period_starts_at": instant(row.period_starts_at),
        "period_ends_at": instant(row.period_ends_at),
        "version": row.version,
        "path": row.path,
        "manifest": row.manifest_path,
        "rows": row.row_count,
        "size_bytes": row.size_bytes,
        "sha256": row.sha256,
        "billed_usd": row.billed_usd,
        "gpu_hours": row.gpu_hours,
        "reason": row.reason,
        "written_at": instant(row.written_at),
    }
