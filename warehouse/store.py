"""The store: DuckLake tables of Parquet behind a few verbs.

`append`, `query`, `rows`, `transaction`, `delete`, `tend`, `close` - hardly more. Every question is
a free function in the module of its noun (`warehouse/jobs.py`, …). This is the one module that
speaks to DuckDB. Its errors are in `warehouse/errors.py`.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import duckdb
import polars as pl

from warehouse import migrations
from warehouse.causes import is_settled, why_not_read, why_not_written
from warehouse.checking import checked, decoded, frame_of
from warehouse.connecting import ATTACHED_AS, METADATA, attached
from warehouse.errors import (
    Conflict,
    InDoubt,
    InUse,
    InvalidRow,
    NotStored,
    NotWritable,
    Refused,
    TicketGone,
    Unreachable,
    Unreadable,
    WarehouseError,
)
from warehouse.location import Location
from warehouse.records import Ticket
from warehouse.schema import INSTANT, TABLES

R = TypeVar("R")

OPEN_TRIES = 10
OPEN_PAUSE_SECONDS = 0.2
"""Of several consoles that start at once on a shared warehouse one makes the tables."""
PARTS = "moved_parts"
"""The table of what was moved here, as long as a move is not finished (`moving.py`)."""
SETTLE_TRIES = 4
SETTLE_PAUSE_SECONDS = 0.3
"""How often it is asked whether a commit that was never answered has come to pass."""


__all__ = [
    "Conflict",
    "InDoubt",
    "InUse",
    "InvalidRow",
    "Location",
    "NotStored",
    "NotWritable",
    "Refused",
    "Store",
    "TicketGone",
    "Unreachable",
    "Unreadable",
    "WarehouseError",
]


class Store:
    """An open warehouse. Safe to share between threads; each has its own cursor."""

    def __init__(self, location: Location, *, is_being_filled: bool = False) -> None:
        """`is_being_filled` is said by whoever moves another warehouse here."""
        self.location = location
        self._connection = attached(location)
        self._local = threading.local()
        self._write_lock = threading.RLock()
        try:
            if not is_being_filled:
                self._refuse_half_moved()
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
        frames = [(cls, frame_of(cls, group)) for cls, group in by_class.items()]
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
        rows = checked(table, frame)
        if rows.is_empty():
            return 0
        with self.transaction():
            names = ", ".join(f'"{name}"' for name in rows.columns)
            # DuckDB finds the frame by its name here. Registering it would ask the catalogue while
            # Python stands still: all of it, where a catalogue elsewhere takes its time.
            incoming = rows.to_arrow()  # noqa: F841
            self._cursor().execute(
                f"INSERT INTO {table.name} ({names}) SELECT {names} FROM incoming"
            )
        return rows.height

    def query(self, sql: str, **parameters: Any) -> pl.DataFrame:
        """The answer to a SELECT; parameters are named `$name` in it. Instants come as UTC."""
        cursor = self._cursor()
        try:
            table = cursor.execute(sql, _bound(parameters)).to_arrow_table()
        except duckdb.Error as error:
            raise why_not_read(self.location, error) or error from None
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        return frame.with_columns(
            *(pl.col(name).dt.convert_time_zone("UTC").cast(INSTANT) for name in _instants(frame)),
            *(pl.col(name).cast(pl.Float64) for name in _fractions(frame)),
        )

    def rows(self, record_class: type[R], sql: str, **parameters: Any) -> list[R]:
        """The answer to a SELECT whose columns are the record's, as records."""
        columns = {column.name: column for column in TABLES[record_class].columns}
        return [
            record_class(**{name: decoded(columns[name], value) for name, value in row.items()})
            for row in self.query(sql, **parameters).iter_rows(named=True)
        ]

    @contextmanager
    def transaction(self, *, is_long: bool = False) -> Iterator[None]:
        """All that this thread appends and takes inside is stored together, or not at all.

        Nested uses join the outer one. Others wait with their own meanwhile; for a long one they
        wait only while it is committed, and it may come to nothing by a `Conflict`.

        Raises:
            Conflict: another transaction took a row that this one took.
            NotStored, Unreachable: it could not be stored; nothing of it is.
            InDoubt: a shared catalogue was lost in the middle of the commit.
        """
        if getattr(self._local, "is_open", False):
            yield
            return
        with contextlib.nullcontext() if is_long else self._write_lock:
            cursor = self._cursor()
            cursor.execute("BEGIN")
            self._local.is_open = True
            try:
                yield
                self._commit(cursor)
            except BaseException as error:
                _roll_back(cursor)
                if isinstance(error, duckdb.Error):
                    raise why_not_written(self.location, error) or error from None
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

    def delete(self, record_class: type, where: str, **parameters: Any) -> int:
        """Let rows go; returns how many. For retention, and for what is reckoned anew from others.

        Files all of whose rows go are let go whole. Inside a long transaction others may write
        meanwhile.

        Raises:
            Conflict: another transaction took or merged those rows meanwhile.
        """
        table = TABLES[record_class]
        with self.transaction():
            gone = self._cursor().execute(
                f"DELETE FROM {table.name} WHERE {where}", _bound(parameters)
            )
            ((count,),) = gone.fetchall()
        return int(count)

    def tend(self, procedure: str, *, is_short: bool = False) -> pl.DataFrame:
        """The answer of one of DuckLake's own procedures: merging files, letting snapshots go.

        Nobody waits for its work, only for its commit; one that is short, and would lose to
        writers, has the warehouse to itself.

        Raises:
            Conflict: another transaction took or merged the same rows: try again later.
        """
        with self.transaction(is_long=not is_short):
            return self.query(f"CALL {procedure}")

    def snapshot_id(self) -> int:
        """The version of the data as it is now; `AT (VERSION => …)` reads it again."""
        frame = self.query(f"SELECT id FROM ducklake_current_snapshot('{ATTACHED_AS}')")
        return int(frame.item())

    def has_snapshot(self, snapshot_id: int) -> bool:
        """Whether that version is still there: old ones are let go."""
        found = self.query(
            f"SELECT 1 FROM {METADATA}.ducklake_snapshot WHERE snapshot_id = $snapshot_id",
            snapshot_id=snapshot_id,
        )
        return not found.is_empty()

    def close(self) -> None:
        """Write everything down and let go of the files."""
        with self._write_lock:
            self._connection.close()

    # -- how -----------------------------------------------------------------------

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor: duckdb.DuckDBPyConnection | None = getattr(self._local, "cursor", None)
        if cursor is None:
            cursor = self._new_cursor()
            self._local.cursor = cursor
        return cursor

    def _new_cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = self._connection.cursor()
        try:
            cursor.execute(f"USE {ATTACHED_AS}")
        except duckdb.Error as error:
            raise why_not_read(self.location, error) or error from None
        return cursor

    def _commit(self, cursor: duckdb.DuckDBPyConnection) -> None:
        if not self.location.is_shared:
            with self._write_lock:
                cursor.execute("COMMIT")
            return
        mark = secrets.token_hex(12)
        cursor.execute(
            f"CALL ducklake_set_commit_message('{ATTACHED_AS}', '', '', extra_info => '{mark}')"
        )
        try:
            with self._write_lock:
                cursor.execute("COMMIT")
        except duckdb.Error as error:
            if is_settled(error) or not self._is_committed(mark):
                raise

    def _is_committed(self, mark: str) -> bool:
        """Whether a commit whose answer was lost has come to pass all the same.

        Raises:
            InDoubt: the catalogue can't be asked.
        """
        for tries_left in reversed(range(SETTLE_TRIES)):
            try:
                found = self._new_cursor().execute(_MARKED, {"mark": mark}).fetchall()
            except (duckdb.Error, WarehouseError):
                found = None
            if found or (found is not None and not tries_left):
                return bool(found)
            time.sleep(SETTLE_PAUSE_SECONDS)
        raise InDoubt(
            "the warehouse's catalogue was lost while rows were being committed, and doesn't "
            "answer: look whether they are stored once PostgreSQL is back, before doing it again"
        )

    def _refuse_half_moved(self) -> None:
        sql = "SELECT 1 FROM duckdb_tables() WHERE database_name = $here AND table_name = $parts"
        if not self.query(sql, here=ATTACHED_AS, parts=PARTS).is_empty():
            raise Unreadable(
                "a move into this warehouse has not come to its end: run the same "
                "`python app.py move-warehouse` again, which goes on where it stopped"
            )

    def _create_tables(self) -> None:
        for tries_left in reversed(range(OPEN_TRIES)):
            try:
                with self.transaction():
                    migrations.migrate(self._cursor())
                with self.transaction():
                    migrations.take_blanks(self._cursor())
            except Conflict:  # another console makes them at this moment
                if not tries_left:
                    raise
                time.sleep(OPEN_PAUSE_SECONDS * (0.5 + secrets.randbelow(1000) / 1000))
            else:
                return


_MARKED = (
    f"SELECT 1 FROM {METADATA}.ducklake_snapshot_changes WHERE commit_extra_info = $mark LIMIT 1"
)


def _roll_back(cursor: duckdb.DuckDBPyConnection) -> None:
    with contextlib.suppress(duckdb.Error):  # a failed COMMIT has already rolled back
        cursor.execute("ROLLBACK")


def _instants(frame: pl.DataFrame) -> list[str]:
    """The columns that are instants, but not yet as the warehouse answers them."""
    kinds = frame.schema.items()
    return [name for name, kind in kinds if isinstance(kind, pl.Datetime) and kind != INSTANT]


def _fractions(frame: pl.DataFrame) -> list[str]:
    """The columns that DuckDB answers as decimals; whole numbers stay whole."""
    kinds = frame.schema.items()
    return [name for name, kind in kinds if isinstance(kind, pl.Decimal) and kind.scale > 0]


def _bound(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, (set, tuple, frozenset)) else value
        for name, value in parameters.items()
    }
