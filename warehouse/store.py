"""The store: DuckLake tables of Parquet behind a few verbs.

`append`, `query`, `rows`, `transaction`, `close` - nothing else. Every question is a free
function in the module of its noun (`warehouse/jobs.py`, …). This is the one module that
speaks to DuckDB. Its errors are in `warehouse/errors.py`.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import polars as pl
from duckdb_extensions import import_extension

from warehouse import migrations
from warehouse.errors import (
    Conflict,
    InUse,
    InvalidRow,
    NotStored,
    NotWritable,
    TicketGone,
    Unreadable,
    WarehouseError,
)
from warehouse.records import Ticket
from warehouse.schema import INSTANT, TABLES, Column, Table

R = TypeVar("R")

CATALOGUE_FILE = "catalogue.duckdb"
DATA_FOLDER = "parquet"
ATTACHED_AS = "warehouse"


__all__ = [
    "Conflict",
    "InUse",
    "InvalidRow",
    "Location",
    "NotStored",
    "NotWritable",
    "Store",
    "TicketGone",
    "Unreadable",
    "WarehouseError",
]


@dataclass(frozen=True)
class Location:
    """Where a warehouse is: its catalogue and its Parquet files, as DuckLake names them."""

    catalogue: str
    """What follows `ducklake:`, a file path or a connection string."""
    data: str
    """Folder or URL prefix of the Parquet files."""

    @classmethod
    def embedded(cls, home: Path) -> Location:
        """The default: a DuckDB catalogue in `home` and the Parquet files beside it.

        Raises:
            NotWritable: `home` can't be made or written.
        """
        _prove_writable(home)
        data = home / DATA_FOLDER
        data.mkdir(exist_ok=True)
        return cls(str(home / CATALOGUE_FILE), f"{data}/")


def _prove_writable(home: Path) -> None:
    probe = home / ".writable"
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise NotWritable(
            f"the data folder {home} can't be written ({error.strerror}): "
            "give PILOTHOUSE_HOME a folder that this user may write"
        ) from error


class Store:
    """An open warehouse. Safe to share between threads; each has its own cursor."""

    def __init__(self, location: Location) -> None:
        self._connection = _attach(location)
        self._local = threading.local()
        self._write_lock = threading.RLock()
        try:
            self._create_tables()
        except BaseException:
            self._connection.close()
            raise

    # -- verbs ---------------------------------------------------------------------

    def append(self, rows: Iterable[Any]) -> int:
        """Store records, of one class or several, all or none; returns how many.

        Raises:
            InvalidRow: one breaks its declaration.
        """
        by_class: dict[type, list[Any]] = {}
        for row in rows:
            by_class.setdefault(type(row), []).append(row)
        frames = [(cls, _frame_of(cls, group)) for cls, group in by_class.items()]
        with self.transaction():
            for record_class, frame in frames:
                self.append_frame(record_class, frame)
        return sum(frame.height for _, frame in frames)

    def append_frame(self, record_class: type, frame: pl.DataFrame) -> int:
        """Store a frame whose columns are the record's; the way for thousands of rows.

        Columns that the frame lacks are stored as NULL where the record allows it.

        Raises:
            InvalidRow: a column is unknown, of the wrong type, missing or out of bounds.
        """
        table = TABLES[record_class]
        checked = _checked(table, frame)
        if checked.is_empty():
            return 0
        with self.transaction():
            cursor = self._cursor()
            cursor.register("incoming", checked.to_arrow())
            try:
                names = ", ".join(f'"{name}"' for name in checked.columns)
                cursor.execute(f"INSERT INTO {table.name} ({names}) SELECT {names} FROM incoming")
            finally:
                cursor.unregister("incoming")
        return checked.height

    def query(self, sql: str, **parameters: Any) -> pl.DataFrame:
        """The answer to a SELECT; parameters are named `$name` in it. Instants come as UTC."""
        cursor = self._cursor()
        try:
            table = cursor.execute(sql, _bound(parameters)).to_arrow_table()
        except duckdb.TransactionException as error:
            raise Conflict(str(error)) from error
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        return frame.with_columns(pl.col(pl.Datetime).dt.convert_time_zone("UTC").cast(INSTANT))

    def rows(self, record_class: type[R], sql: str, **parameters: Any) -> list[R]:
        """The answer to a SELECT whose columns are the record's, as records."""
        columns = {column.name: column for column in TABLES[record_class].columns}
        return [
            record_class(**{name: _decoded(columns[name], value) for name, value in row.items()})
            for row in self.query(sql, **parameters).iter_rows(named=True)
        ]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that this thread appends and takes inside is stored together, or not at all.

        Nested uses join the outer one.

        Raises:
            Conflict: another transaction took a row that this one took.
        """
        if getattr(self._local, "is_open", False):
            yield
            return
        with self._write_lock:
            cursor = self._cursor()
            cursor.execute("BEGIN")
            self._local.is_open = True
            try:
                yield
                cursor.execute("COMMIT")
            except BaseException as error:
                _roll_back(cursor)
                if isinstance(error, duckdb.TransactionException):
                    raise Conflict(str(error)) from error
                if isinstance(error, duckdb.IOException):
                    raise NotStored(
                        f"the warehouse could not write ({str(error).splitlines()[0]}): "
                        "see that its disk has room and can be written"
                    ) from error
                raise
            finally:
                self._local.is_open = False

    def take(self, ticket: Ticket) -> None:
        """Use up a ticket, inside a transaction.

        Raises:
            TicketGone: it was used before.
        """
        taken = self._cursor().execute(
            "DELETE FROM tickets WHERE decision_id = $decision_id AND purpose = $purpose",
            {"decision_id": ticket.decision_id, "purpose": ticket.purpose},
        )
        if taken.fetchall() == [(0,)]:
            raise TicketGone(f"the {ticket.purpose} of decision {ticket.decision_id} was given")

    def delete_before(self, record_class: type, instant: datetime, source: str = "") -> int:
        """Drop a partitioned table's rows older than an instant; for retention alone.

        With a `source`, only what that collector brought.
        """
        table = TABLES[record_class]
        assert table.partition_by, f"{table.name} is kept for ever"
        of_source = " AND source = $source" if source else ""
        with self.transaction():
            gone = self._cursor().execute(
                f'DELETE FROM {table.name} WHERE "{table.partition_by}" < $instant{of_source}',
                {"instant": instant} | ({"source": source} if source else {}),
            )
            ((count,),) = gone.fetchall()
        return int(count)

    def tidy(self, keep_snapshots_since: datetime) -> None:
        """Merge small Parquet files, let old snapshots go and delete files nothing refers to."""
        since = keep_snapshots_since.astimezone(UTC).isoformat()
        with self._write_lock:
            cursor = self._cursor()
            cursor.execute(f"CALL ducklake_flush_inlined_data('{ATTACHED_AS}')")
            cursor.execute(f"CALL ducklake_merge_adjacent_files('{ATTACHED_AS}')")
            cursor.execute(
                f"CALL ducklake_expire_snapshots('{ATTACHED_AS}', older_than => '{since}')"
            )
            cursor.execute(f"CALL ducklake_cleanup_old_files('{ATTACHED_AS}', cleanup_all => true)")

    def snapshot_id(self) -> int:
        """The version of the data as it is now; `AT (VERSION => …)` reads it again."""
        frame = self.query(f"SELECT id FROM ducklake_current_snapshot('{ATTACHED_AS}')")
        return int(frame.item())

    def close(self) -> None:
        """Write everything down and let go of the files."""
        with self._write_lock:
            self._connection.close()

    # -- how -----------------------------------------------------------------------

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor: duckdb.DuckDBPyConnection | None = getattr(self._local, "cursor", None)
        if cursor is None:
            cursor = self._connection.cursor()
            cursor.execute(f"USE {ATTACHED_AS}")
            self._local.cursor = cursor
        return cursor

    def _create_tables(self) -> None:
        with self.transaction():
            migrations.migrate(self._cursor())
        with self.transaction():
            migrations.take_blanks(self._cursor())


def _attach(location: Location) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    import_extension("ducklake", con=connection)
    connection.execute("LOAD ducklake")
    try:
        connection.execute(
            f"ATTACH 'ducklake:{_quoted(location.catalogue)}' AS {ATTACHED_AS} "
            # A home that was moved, or restored elsewhere, is still that home.
            f"(DATA_PATH '{_quoted(location.data)}', OVERRIDE_DATA_PATH true)"
        )
        connection.execute(f"USE {ATTACHED_AS}")
    except duckdb.Error as error:
        connection.close()
        raise _why_not_attached(location, error) from error
    return connection


def _why_not_attached(location: Location, error: duckdb.Error) -> WarehouseError:
    text = str(error).splitlines()[0]
    if "lock" in text or "file handle conflict" in text:
        return InUse(
            f"another console has the warehouse {location.catalogue} open: "
            "stop it, or give this one another PILOTHOUSE_HOME"
        )
    if "Permission denied" in text or "read-only" in text.lower():
        return NotWritable(f"the warehouse {location.catalogue} can't be written: {text}")
    return Unreadable(
        f"{location.catalogue} can't be opened as a warehouse ({text}): "
        "restore it from a backup, or move it away to start afresh"
    )


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _roll_back(cursor: duckdb.DuckDBPyConnection) -> None:
    with contextlib.suppress(duckdb.Error):  # a failed COMMIT has already rolled back
        cursor.execute("ROLLBACK")


def _bound(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, (set, tuple, frozenset)) else value
        for name, value in parameters.items()
    }


# -- rows to columns ------------------------------------------------------------------


def _frame_of(record_class: type, rows: Sequence[Any]) -> pl.DataFrame:
    table = TABLES[record_class]
    series = [_series(table, column, rows) for column in table.columns]
    return pl.DataFrame(series)


def _series(table: Table, column: Column, rows: Sequence[Any]) -> pl.Series:
    name = column.name
    values = [getattr(row, name) for row in rows]
    if column.is_json:
        values = [None if v is None else json.dumps(v, sort_keys=True, default=str) for v in values]
    try:
        return pl.Series(name, values, dtype=column.dtype, strict=True)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise InvalidRow(f"{table.name}.{name} takes {column.sql_type}: {error}") from error


def _checked(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    declared = {column.name: column for column in table.columns}
    unknown = set(frame.columns) - set(declared)
    if unknown:
        raise InvalidRow(f"{table.name} has no column {', '.join(sorted(unknown))}")
    for column in table.columns:
        if column.name in frame.columns:
            _check_column(table, column, frame[column.name])
        elif not column.nullable:
            raise InvalidRow(f"{table.name}.{column.name} is required")
    return frame


def _check_column(table: Table, column: Column, values: pl.Series) -> None:
    where = f"{table.name}.{column.name}"
    if values.dtype == pl.Null() and column.nullable:
        return
    if values.dtype != column.dtype and not _widens(values.dtype, column.dtype):
        raise InvalidRow(f"{where} takes {column.dtype}, not {values.dtype}")
    if not column.nullable and values.null_count():
        raise InvalidRow(f"{where} is required, and row {values.is_null().arg_max()} has none")
    if column.bounds:
        _check_bounds(where, column, values)
    if column.choices:
        odd = values.drop_nulls().filter(~values.drop_nulls().is_in(list(column.choices)))
        if len(odd):
            raise InvalidRow(f"{where} takes one of {', '.join(column.choices)}, not {odd[0]!r}")


def _widens(given: pl.DataType, wanted: pl.DataType) -> bool:
    if wanted == pl.Float64():
        return given.is_numeric()
    if wanted == pl.Int64():
        return given.is_integer()
    return isinstance(given, pl.Datetime) and wanted == INSTANT and given.time_zone == "UTC"


def _check_bounds(where: str, column: Column, values: pl.Series) -> None:
    assert column.bounds
    low, high = column.bounds.low, column.bounds.high
    if values.dtype.is_float() and values.is_nan().any():
        raise InvalidRow(f"{where} is not a number in row {values.is_nan().arg_max()}: use None")
    least, most = values.min(), values.max()
    if least is None:
        return
    if low is not None and least < low:  # type: ignore[operator]
        raise InvalidRow(f"{where} is {least!s}, below {low}")
    if high is not None and most > high:  # type: ignore[operator]
        raise InvalidRow(f"{where} is {most!s}, above {high}")


def _decoded(column: Column, value: Any) -> Any:
    return json.loads(value) if column.is_json and value is not None else value
