"""The catalogue that analysts' questions are answered from: a copy without what is withheld.

One process may open the embedded catalogue, and a catalogue in PostgreSQL has a password; so the
process that answers gets a file of its own, with the open tables as they are now and nothing else:
no older snapshot, no row, name or statistic of a withheld table. It is made anew from empty, so
that nothing lingers in freed pages. The Parquet files are read where they lie.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl

from warehouse.analyst_rules import OPEN, VIEWS_OPEN
from warehouse.clock import Clock
from warehouse.connecting import METADATA
from warehouse.store import Store

FRESH_SECONDS = 30.0
"""A copy no older answers questions; where nothing was written since, an older one does too."""
KEPT = 3
"""Copies that stay: a process may be about to open the one before."""
STALE_FILE_SECONDS = 3_600.0


_LIVE = "end_snapshot IS NULL"
_OF_OPEN = "table_id IN (SELECT unnest($ids))"
_NONE = "false"

_KEPT_ROWS: dict[str, str] = {
    "ducklake_metadata": "key IN ('version', 'created_by', 'encrypted', 'data_path')",
    "ducklake_snapshot": "snapshot_id = $snapshot_id",
    "ducklake_schema": _LIVE,
    "ducklake_table": f"{_LIVE} AND {_OF_OPEN}",
    "ducklake_view": f"{_LIVE} AND view_name IN (SELECT unnest($views))",
    "ducklake_column": f"{_LIVE} AND {_OF_OPEN}",
    "ducklake_data_file": f"{_LIVE} AND {_OF_OPEN}",
    "ducklake_delete_file": f"{_LIVE} AND {_OF_OPEN}",
    "ducklake_file_column_stats": f"{_OF_OPEN} AND data_file_id IN (SELECT data_file_id "
    f"FROM {METADATA}.ducklake_data_file WHERE {_LIVE})",
    "ducklake_file_partition_value": f"{_OF_OPEN} AND data_file_id IN (SELECT data_file_id "
    f"FROM {METADATA}.ducklake_data_file WHERE {_LIVE})",
    "ducklake_table_stats": _OF_OPEN,
    "ducklake_table_column_stats": _OF_OPEN,
    "ducklake_partition_info": _OF_OPEN,
    "ducklake_partition_column": _OF_OPEN,
    "ducklake_inlined_data_tables": _OF_OPEN,
    "ducklake_schema_versions": _OF_OPEN,
    "ducklake_snapshot_changes": _NONE,
    "ducklake_tag": _NONE,
    "ducklake_column_tag": _NONE,
    "ducklake_file_variant_stats": _NONE,
    "ducklake_files_scheduled_for_deletion": _NONE,
    "ducklake_column_mapping": _NONE,
    "ducklake_name_mapping": _NONE,
    "ducklake_macro": _NONE,
    "ducklake_macro_impl": _NONE,
    "ducklake_macro_parameters": _NONE,
    "ducklake_sort_info": _NONE,
    "ducklake_sort_expression": _NONE,
}
"""Every table of a DuckLake 1.0 catalogue, and which of its rows the copy has."""

_SQL_TYPES = {
    "varchar": "VARCHAR", "int64": "BIGINT", "int32": "INTEGER", "float64": "DOUBLE",
    "boolean": "BOOLEAN", "timestamptz": "TIMESTAMPTZ", "date": "DATE",
}  # fmt: skip
"""DuckLake's names of the types that the warehouse's columns have."""


@dataclass(frozen=True)
class Copy:
    """A copy of the catalogue, and what it opens."""

    file: Path
    snapshot_id: int
    """The version of the data that it shows."""
    made_at: datetime
    """When, by the machine's clock."""
    names: tuple[str, ...]
    """The tables and views in it."""
    folders: tuple[str, ...]
    """Folders or URL prefixes that the files of those tables lie under, each with a slash."""


class Copies:
    """Makes copies when they are asked for, and takes old ones away."""

    def __init__(self, store: Store, data: str, folder: Path, wall: Clock) -> None:
        """`data` is where the warehouse's Parquet files are, `folder` is for the copies."""
        self._store, self._data, self._folder, self._wall = store, data, folder, wall
        self._lock = threading.Lock()
        self._made: list[tuple[float, Copy]] = []
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._sweep()

    def current(self, *, is_fresh: bool = False) -> Copy:
        """A copy of the catalogue as it is now; `is_fresh` makes one in any case."""
        with self._lock:
            if not is_fresh and self._made:
                made_seconds, newest = self._made[-1]
                is_young = time.monotonic() - made_seconds < FRESH_SECONDS
                if is_young or self._store.snapshot_id() == newest.snapshot_id:
                    return newest
            copy = self._make()
            self._made.append((time.monotonic(), copy))
            for _, old in self._made[:-KEPT]:
                old.file.unlink(missing_ok=True)
            del self._made[:-KEPT]
            return copy

    def close(self) -> None:
        """Take the copies away."""
        with self._lock:
            for _, copy in self._made:
                copy.file.unlink(missing_ok=True)
            self._made.clear()

    def _sweep(self) -> None:
        """Take away what a console that was killed left here."""
        for left in self._folder.glob("catalogue-*"):
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > STALE_FILE_SECONDS:
                    left.unlink()

    def _make(self) -> Copy:
        file = self._folder / f"catalogue-{uuid.uuid4().hex}.duckdb"
        made_at = self._wall.now()
        with self._store.transaction(is_long=True):  # all of it as of one instant
            frames = _frames(self._store)
        try:
            _write(file, frames, self._data)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        snapshot_id = int(frames["ducklake_snapshot"]["snapshot_id"][0])
        return Copy(file, snapshot_id, made_at, _names(frames), _folders(frames, self._data))


# -- reading ---------------------------------------------------------------------------


def _frames(store: Store) -> dict[str, pl.DataFrame]:
    """Every table of the copy by its name."""
    tables = store.query(
        f"SELECT table_id FROM {METADATA}.ducklake_table "
        f"WHERE {_LIVE} AND table_name IN (SELECT unnest($open))",
        open=sorted(OPEN),
    )
    newest = store.query(f"SELECT max(snapshot_id) FROM {METADATA}.ducklake_snapshot").item()
    given = {"ids": tables["table_id"].to_list(), "snapshot_id": newest, "views": list(VIEWS_OPEN)}
    found = {}
    for name, rows in _KEPT_ROWS.items():
        used = {key: value for key, value in given.items() if f"${key}" in rows}
        found[name] = store.query(f"SELECT * FROM {METADATA}.{name} WHERE {rows}", **used)
    inlined = dict(_inlined(store, found))
    in_catalogue = found["ducklake_inlined_data_tables"]
    found["ducklake_inlined_data_tables"] = in_catalogue.filter(
        pl.col("table_name").is_in(list(inlined))
    )
    return found | inlined


def _inlined(store: Store, frames: dict[str, pl.DataFrame]) -> Iterator[tuple[str, pl.DataFrame]]:
    """The rows, and the deletions of rows, that are in the catalogue itself."""
    for name in frames["ducklake_inlined_data_tables"]["table_name"]:
        rows = store.query(f"SELECT * FROM {METADATA}.{name} WHERE {_LIVE}")
        if not rows.is_empty():
            yield name, rows
    for table_id in frames["ducklake_data_file"]["table_id"].unique():
        name = f"ducklake_inlined_delete_{table_id}"
        with contextlib.suppress(duckdb.CatalogException):  # there is one where rows were deleted
            yield name, store.query(f"SELECT * FROM {METADATA}.{name}")


def _names(frames: dict[str, pl.DataFrame]) -> tuple[str, ...]:
    tables, views = frames["ducklake_table"]["table_name"], frames["ducklake_view"]["view_name"]
    return tuple(sorted([*tables, *views]))


def _folders(frames: dict[str, pl.DataFrame], data: str) -> tuple[str, ...]:
    schemas = {row["schema_id"]: _below(data, row) for row in frames["ducklake_schema"].to_dicts()}
    tables = frames["ducklake_table"].to_dicts()
    return tuple(sorted(_below(schemas[row["schema_id"]], row) for row in tables))


def _below(parent: str, row: dict[str, object]) -> str:
    path = f"{parent}{row['path']}" if row["path_is_relative"] else str(row["path"])
    return path if path.endswith("/") else f"{path}/"


# -- writing ---------------------------------------------------------------------------


def _write(file: Path, frames: dict[str, pl.DataFrame], data: str) -> None:
    made = duckdb.connect(":memory:", config={"threads": "1"})
    try:
        made.execute(
            f"ATTACH '{str(file).replace(chr(39), chr(39) * 2)}' AS copy (BLOCK_SIZE 16384)"
        )
        made.execute("USE copy; BEGIN")
        for name, frame in frames.items():
            _write_table(made, name, frame, _types_of(name, frames))
        made.execute("UPDATE ducklake_metadata SET value = ? WHERE key = 'data_path'", [data])
        made.execute("COMMIT")
        made.execute("USE memory; DETACH copy")
    finally:
        made.close()
    file.chmod(0o600)


def _write_table(
    made: duckdb.DuckDBPyConnection, name: str, frame: pl.DataFrame, types: dict[str, str]
) -> None:
    told = ", ".join(
        f'CAST({_read(column, kind)} AS {types[column]}) AS "{column}"'
        if column in types
        else f'"{column}"'
        for column, kind in frame.schema.items()
    )
    made.register("frame", frame.to_arrow())
    made.execute(f'CREATE TABLE "{name}" AS SELECT {told} FROM frame')
    made.unregister("frame")


def _read(column: str, kind: pl.DataType) -> str:
    """PostgreSQL keeps inlined text as bytes."""
    return f'decode("{column}")' if kind == pl.Binary() else f'"{column}"'


def _types_of(name: str, frames: dict[str, pl.DataFrame]) -> dict[str, str]:
    """The SQL types of a table's columns, where the frame alone doesn't tell them."""
    if name.startswith("ducklake_inlined_data_") and name != "ducklake_inlined_data_tables":
        of_tables = frames["ducklake_inlined_data_tables"]
        table_id = of_tables.filter(pl.col("table_name") == name)["table_id"][0]
        columns = frames["ducklake_column"].filter(pl.col("table_id") == table_id)
        return {
            row["column_name"]: _SQL_TYPES.get(row["column_type"], row["column_type"].upper())
            for row in columns.to_dicts()
        }
    return {column: "UUID" for column in frames[name].columns if column.endswith("_uuid")}
