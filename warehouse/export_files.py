"""The two files of a version: the data as Parquet, and the manifest that says what is in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.export_kinds import Kind
from warehouse.export_periods import Meterings
from warehouse.focus import NEWER_COLUMNS

COMPRESSION = "snappy"
"""What every reader knows, spreadsheets' included."""
ROWS_PER_GROUP = 1_000_000
MANIFEST_FORMAT = 1
"""Raised when a field changes its meaning; new fields may come at any time."""
_HASHED_BYTES = 2**20


@dataclass(frozen=True)
class DataFile:
    """What was written."""

    row_count: int
    size_bytes: int
    sha256: str
    sums: Mapping[str, Decimal] = field(default_factory=dict)
    """By column."""


def write_data(path: Path, kind: Kind, frames: Iterable[pl.DataFrame]) -> DataFile:
    """Write the frames one after the other, each as row groups of its own: a month is never in
    memory as a whole.

    Raises:
        OSError: the disk would not take it.
    """
    row_count, sums = 0, dict.fromkeys(kind.sums, Decimal(0))
    with pq.ParquetWriter(
        path, _arrow_schema(kind), compression=COMPRESSION, store_schema=False
    ) as writer:
        for frame in frames:
            writer.write_table(_arrow(frame, kind), row_group_size=ROWS_PER_GROUP)
            row_count += frame.height
            for name in sums:
                sums[name] += Decimal(str(frame[name].sum() or 0))
    return DataFile(row_count, path.stat().st_size, sha256_of(path), sums)


def _arrow_schema(kind: Kind) -> pa.Schema:
    """The file's schema; it says of which specification it is and what its columns mean."""
    bare = pl.DataFrame(schema=kind.schema).to_arrow().schema
    about = {b"export": kind.name.encode()}
    if kind.spec_version:
        about[b"focus_version"] = kind.spec_version.encode()
    return pa.schema([each.with_type(_plain(each.type)) for each in bare], metadata=about)


def _plain(dtype: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_large_string(dtype) else dtype


def _arrow(frame: pl.DataFrame, kind: Kind) -> pa.Table:
    return frame.to_arrow().cast(_arrow_schema(kind))


def sha256_of(path: Path) -> str:
    """Of a local file."""
    with path.open("rb") as opened:
        return digest_of(opened)


def digest_of(opened: Any) -> str:
    """SHA-256 of an open file, from its start, in hexadecimal."""
    found = hashlib.sha256()
    while chunk := opened.read(_HASHED_BYTES):
        found.update(chunk)
    return found.hexdigest()


@dataclass(frozen=True)
class Told:
    """What a manifest tells besides the data file."""

    export_id: str
    version: int
    reason: str
    requested_by: str
    snapshot_id: int
    written_at: datetime


def manifest(kind: Kind, meterings: Meterings, data: DataFile, told: Told) -> dict[str, Any]:
    """The manifest of a version, for programs and for people."""
    period = meterings.period
    return {
        "format": MANIFEST_FORMAT,
        "export_id": told.export_id,
        "kind": kind.name,
        "span": period.span,
        "period": period.label,
        "period_starts_at": instant(period.starts_at),
        "period_ends_at": instant(period.ends_at),
        "version": told.version,
        "replaces_version": told.version - 1 or None,
        "reason": told.reason,
        "requested_by": told.requested_by,
        "written_at": instant(told.written_at),
        "specification": _specification(kind),
        "file": "part-0.parquet",
        "rows": data.row_count,
        "size_bytes": data.size_bytes,
        "sha256": data.sha256,
        "sums": {name: f"{value:f}" for name, value in data.sums.items()},
        "currency": "USD",
        "columns": [
            {"name": each.name, "type": kind.type_words(each), "meaning": each.meaning}
            for each in kind.columns
        ],
        "software": f"pilothouse {software_version()}",
        "warehouse_snapshot": told.snapshot_id,
        "metering_digest": meterings.digest,
        "hours_metered": meterings.hours_metered,
        "meterings": [
            {
                "hour": instant(run["hour_starts_at"]),
                "run_id": run["run_id"],
                "version": run["version"],
            }
            for run in meterings.runs.iter_rows(named=True)
        ],
    }


def _specification(kind: Kind) -> dict[str, Any] | None:
    if kind.spec_version is None:
        return None
    newer = {name: list(columns) for name, columns in NEWER_COLUMNS.items()}
    return {"name": "FOCUS", "version": kind.spec_version, "columns_of_later_versions": newer}


def instant(at: datetime) -> str:
    """As manifests write it: ISO 8601 in UTC."""
    return at.isoformat().replace("+00:00", "Z")


def as_json(content: object) -> bytes:
    """As files hold it."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def software_version() -> str:
    """Of this program, as it was installed."""
    try:
        return version("pilothouse")
    except PackageNotFoundError:
        return "unpacked"
