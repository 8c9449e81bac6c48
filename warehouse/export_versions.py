"""One version of an export: read, write, publish, and the row that tells of it.

A version is never rewritten. Where the hours of a period were metered anew, the next version comes
beside it, with what changed in words.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from warehouse import exports, metering
from warehouse.errors import WarehouseError
from warehouse.export_errors import ExportError, RowsMissing
from warehouse.export_files import DataFile, Told, as_json, manifest, write_data
from warehouse.export_kinds import Kind
from warehouse.export_periods import Meterings
from warehouse.export_places import DATA_NAME, MANIFEST_NAME, Place
from warehouse.focus import Names
from warehouse.records import Export
from warehouse.store import Store

REASONS_SHOWN = 3
"""Most reasons of metering anew that a correction's own names."""

log = logging.getLogger(__name__)


def hours_of(store: Store, found: Meterings) -> Iterator[pl.DataFrame]:
    """The metered hours of each day of a period, exactly those of its meterings.

    Raises:
        RowsMissing: there are not as many as the meterings say.
    """
    for day in found.period.days():
        runs = found.of_day(day)
        hours = metering.hours(store, since=day.starts_at, until=day.ends_at)
        if not hours["run_id"].is_in(runs["run_id"].implode()).all():
            raise RowsMissing(f"{day.label} was metered anew while it was read: it comes next")
        if hours.height != runs["row_count"].sum():
            raise RowsMissing(
                f"the metering of {day.label} made {runs['row_count'].sum()} rows and "
                f"{hours.height} are there: have the day metered anew"
            )
        yield hours


@dataclass
class Version:
    """The next version of a period, on its way."""

    store: Store
    place: Place
    names: Names
    kind: Kind
    found: Meterings
    before: Export | None
    reason: str
    requested_by: str
    now: datetime
    """When it is made, by the machine's clock."""

    def __post_init__(self) -> None:
        self.export_id = uuid.uuid4().hex
        self.folder = f"kind={self.kind.name}/{self.found.period.folder}"
        self.version = self.before.version + 1 if self.before else 1

    def adopted(self) -> Export | None:
        """The newest version at the place that no row tells of: a kill came between the two, or
        the warehouse was restored. It is put on record as it is, if it still holds."""
        there = self.place.versions(self.folder)
        if not there or there[-1] < self.version:
            return None
        self.version = there[-1] + 1
        told = json.loads(self.place.read(f"{self._path(there[-1])}/{MANIFEST_NAME}"))
        row = self._adopted_row(told)
        if self.found.outdate(row.metering_digest):
            self.before = row
            return None
        return row

    def written(self) -> Export:
        """Write it, publish it, and make its row."""
        snapshot_id = self.store.snapshot_id()
        with self.place.staging() as staging:
            prepared = staging / f"version={self.version}"
            prepared.mkdir()
            data = self._data(prepared / DATA_NAME)
            if self.before is not None:
                self.reason = self._correction(self.before, data)
            told = self._told(snapshot_id)
            content = as_json(manifest(self.kind, self.found, data, told))
            (prepared / MANIFEST_NAME).write_bytes(content)
            self.place.publish(prepared, self._path(self.version))
        log.info(
            "exported %s %s, version %d", self.kind.name, self.found.period.label, self.version
        )
        return self._written_row(data, snapshot_id)

    def failed(self, error: Exception) -> Export:
        """The row of a failure, with what to do next."""
        advice = "" if isinstance(error, WarehouseError) else "; see the console's log"
        return replace(self._row(), outcome="failed", detail=f"{error}{advice}", path=None)

    def _data(self, path: Path) -> DataFile:
        frames = (
            self.kind.rows(hours, self.names)
            for hours in hours_of(self.store, self.found)
            if hours.height
        )
        return write_data(path, self.kind, frames)

    def _told(self, snapshot_id: int) -> Told:
        return Told(
            export_id=self.export_id,
            version=self.version,
            reason=self.reason,
            requested_by=self.requested_by,
            snapshot_id=snapshot_id,
            written_at=self.now,
        )

    def _correction(self, before: Export, data: DataFile) -> str:
        """What changed since the version before, by how much and why."""
        billed = float(data.sums[self.kind.billed])
        gpu_hours = float(data.sums[self.kind.quantity])
        return (
            f"corrected: {self._what_changed(before)}; billed "
            f"{before.billed_usd:,.2f} -> {billed:,.2f} USD ({billed - before.billed_usd:+,.2f}), "
            f"GPU-hours {before.gpu_hours:,.3f} -> {gpu_hours:,.3f} "
            f"({gpu_hours - before.gpu_hours:+,.3f}), rows {before.row_count} -> {data.row_count}"
        )

    def _what_changed(self, before: Export) -> str:
        try:
            told = exports.manifest(self.place, before)["meterings"]
        except (ExportError, OSError, ValueError, KeyError):
            return "hours were metered anew"  # the older manifest is gone; the sums still tell
        known = [each["run_id"] for each in told]
        anew = self.found.runs.filter(~pl.col("run_id").is_in(known))
        reasons = anew["reason"].unique(maintain_order=True).to_list()
        shown = ", ".join(reasons[:REASONS_SHOWN]) + (", …" * (len(reasons) > REASONS_SHOWN))
        return f"{anew.height} of {self.found.hours_metered} hours metered anew ({shown})"

    # -- rows ----------------------------------------------------------------------

    def _path(self, version: int) -> str:
        return f"{self.folder}/version={version}"

    def _written_row(self, data: DataFile, snapshot_id: int) -> Export:
        return replace(
            self._row(),
            row_count=data.row_count,
            size_bytes=data.size_bytes,
            sha256=data.sha256,
            billed_usd=float(data.sums[self.kind.billed]),
            gpu_hours=float(data.sums[self.kind.quantity]),
            snapshot_id=snapshot_id,
            metering_digest=self.found.digest,
            manifest_path=f"{self._path(self.version)}/{MANIFEST_NAME}",
        )

    def _adopted_row(self, told: dict[str, Any]) -> Export:
        path = self._path(told["version"])
        return replace(
            self._row(),
            export_id=told["export_id"],
            version=told["version"],
            reason=told["reason"],
            requested_by=told["requested_by"],
            row_count=told["rows"],
            size_bytes=told["size_bytes"],
            sha256=told["sha256"],
            billed_usd=float(told["sums"][self.kind.billed]),
            gpu_hours=float(told["sums"][self.kind.quantity]),
            snapshot_id=told["warehouse_snapshot"],
            metering_digest=told["metering_digest"],
            path=f"{path}/{DATA_NAME}",
            manifest_path=f"{path}/{MANIFEST_NAME}",
            written_at=datetime.fromisoformat(told["written_at"]),
        )

    def _row(self) -> Export:
        period = self.found.period
        return Export(
            export_id=self.export_id,
            kind=self.kind.name,
            span=period.span,
            version=self.version,
            reason=self.reason,
            outcome="written",
            requested_by=self.requested_by,
            place=self.place.url,
            path=f"{self._path(self.version)}/{DATA_NAME}",
            spec_version=self.kind.spec_version,
            row_count=0,
            size_bytes=0,
            billed_usd=0.0,
            gpu_hours=0.0,
            period_starts_at=period.starts_at,
            period_ends_at=period.ends_at,
            written_at=self.now,
            took_seconds=0.0,
        )
