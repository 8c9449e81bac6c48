"""Moving a warehouse to another place: `python app.py move-warehouse` (`docs/scale.md`).

Table by table and day by day, each part wholly or not at all, and noted in the same transaction: a
move that was killed goes on where it stopped. What has come is held against what is there by
counts, sums and digests of every column. The source is only read. Until all is proved no console
opens the target.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from pydantic import SecretStr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from warehouse.causes import why_not_written
from warehouse.connecting import ATTACHED_AS, attach_beside, attached
from warehouse.errors import InUse, Refused, WarehouseError
from warehouse.location import CATALOGUE_FILE, Location
from warehouse.migrations import STEPS
from warehouse.proving import prove, read_as
from warehouse.schema import TABLES, Table
from warehouse.settings import PREFIX, Settings
from warehouse.store import PARTS, Store

SOURCE = "moved_from"
"""The name by which the source is attached beside the target."""

_NEWEST_LEASES = f"""
    SELECT DISTINCT holder FROM {SOURCE}.leases AS l WHERE expires_at > $now AND renewed_at = (
        SELECT max(renewed_at) FROM {SOURCE}.leases WHERE name = l.name
    ) ORDER BY 1
"""


@dataclass(frozen=True)
class Part:
    """What is moved in one transaction: a day of a table, or all of a small one."""

    table: Table
    day: str
    """As YYYY-MM-DD; empty for all."""
    rows: int


@dataclass(frozen=True)
class Moved:
    """What a move did."""

    tables: int
    rows: int
    rows_before: int
    """Of them, rows that an earlier, unfinished move had brought."""

    @property
    def words(self) -> str:
        """A line for whoever started it."""
        before = f", {self.rows_before:,} of them by a move before" if self.rows_before else ""
        return (
            f"{self.rows:,} rows of {self.tables} tables were moved{before}; counts, sums and "
            "digests of every column are alike"
        )


def main(arguments: Sequence[str]) -> int:
    """`move-warehouse [--home …] [--to-catalogue … --to-data … | --to-home …]`; the exit status."""
    given = _parser().parse_args(list(arguments))
    told = Console(stderr=True)
    try:
        source, target = _places(given)
        told.print(f"From {source.words}\n  to {target.words}", highlight=False, soft_wrap=True)
        done = move(source, target, now=datetime.now(UTC), told=told)
    except WarehouseError as error:
        print(f"pilothouse: {error}", file=sys.stderr)
        return 1
    print(f"{done.words}.")
    print("The old warehouse is untouched: keep it until the new one has run a while.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python app.py move-warehouse",
        description="Copy a warehouse to another place and prove the copy; see docs/scale.md. "
        f"What isn't given is read from {PREFIX}CATALOGUE, {PREFIX}DATA and {PREFIX}S3_…",
    )
    parser.add_argument("--home", type=Path, help="folder of the embedded warehouse to be moved")
    parser.add_argument("--to-catalogue", help="catalogue to move to, without its password")
    parser.add_argument("--to-data", help="where its data shall be, s3://bucket/prefix")
    parser.add_argument(
        "--to-home",
        type=Path,
        help="the way back: a folder for an embedded warehouse, made of the shared one",
    )
    return parser


def _places(given: argparse.Namespace) -> tuple[Location, Location]:
    changes: dict[str, Any] = {"home": given.home} if given.home else {}
    settings = Settings(**changes)
    named: dict[str, Any] = dict(changes)
    if given.to_catalogue:
        named["catalogue"] = SecretStr(given.to_catalogue)
    if given.to_data:
        named["data"] = given.to_data
    shared = Location.of(Settings(**named))
    if not shared.is_shared:
        raise Refused(
            f"no shared warehouse is named: give --to-catalogue and --to-data, or set "
            f"{PREFIX}CATALOGUE and {PREFIX}DATA"
        )
    if given.to_home:
        if given.to_catalogue or given.to_data:
            raise Refused("--to-home goes back to a folder: leave --to-catalogue and --to-data out")
        return shared, Location.embedded(given.to_home)
    if not (settings.home / CATALOGUE_FILE).exists():
        raise Refused(f"there is no warehouse in {settings.home}: say by --home where it is")
    return Location.embedded(settings.home), shared


# -- the move -----------------------------------------------------------------------------


def move(
    source: Location, target: Location, *, now: datetime, told: Console | None = None
) -> Moved:
    """Copy a warehouse to a target that has no rows, and prove the copy.

    Raises:
        InUse: a console has the source open.
        Refused: the target has rows of its own, or those of another move.
        Differs: a table didn't come as it is; the target is not opened by any console.
        WarehouseError: a place can't be read or written; do it again, it goes on.
    """
    with closing(attached(source, is_read_only=True)) as looking:
        _refuse_other_version(looking)
    Store(target, is_being_filled=True).close()
    with closing(attached(target)) as connection:
        attach_beside(connection, source, SOURCE)
        try:
            return _moved(connection, _source_words(connection, source, now), told)
        except duckdb.Error as error:
            raise why_not_written(target, error) or error from None


def _moved(connection: duckdb.DuckDBPyConnection, origin: str, told: Console | None) -> Moved:
    done = _begin(connection, origin)
    parts = list(_parts(connection))
    total, before = sum(part.rows for part in parts), 0
    with _bar(told) as bar:
        moving = bar.add_task("moving", total=total)
        for part in parts:
            bar.update(moving, description=f"{part.table.name} {part.day}".strip())
            if (part.table.name, part.day) in done:
                before += part.rows
            else:
                _copy(connection, part)
            bar.advance(moving, part.rows)
        _prove_all(connection, bar)
    connection.execute(f"DROP TABLE {PARTS}")
    return Moved(len(TABLES), total, before)


def _prove_all(connection: duckdb.DuckDBPyConnection, bar: Progress) -> None:
    there, here = _counts(connection, SOURCE), _counts(connection, ATTACHED_AS)
    filled = [table for table in TABLES.values() if there[table.name] or here[table.name]]
    proving = bar.add_task("proving", total=len(filled))
    for table in filled:
        bar.update(proving, description=f"proving {table.name}")
        prove(connection, table, SOURCE)
        bar.advance(proving)


def _counts(connection: duckdb.DuckDBPyConnection, place: str) -> dict[str, int]:
    """The rows of every table, asked at once: most are empty."""
    asked = (f"SELECT '{t.name}', count(*) FROM {place}.{t.name}" for t in TABLES.values())
    return dict(connection.execute(" UNION ALL ".join(asked)).fetchall())


def _refuse_other_version(looking: duckdb.DuckDBPyConnection) -> None:
    try:
        ((version,),) = looking.execute("SELECT max(version) FROM schema_versions").fetchall()
    except duckdb.CatalogException:
        raise Refused("there is no warehouse to be moved: see --home") from None
    tables = {name for (name,) in looking.execute(
        f"SELECT table_name FROM duckdb_tables() WHERE database_name = '{ATTACHED_AS}'"
    ).fetchall()}  # fmt: skip
    if version != len(STEPS) or {table.name for table in TABLES.values()} - tables:
        raise Refused(
            "the warehouse to be moved is of another version of Pilothouse: start this one on it "
            "once, stop it, and move it then"
        )


def _source_words(connection: duckdb.DuckDBPyConnection, source: Location, now: datetime) -> str:
    """The source and its version; an unfinished move goes on only from the very same."""
    holders = connection.execute(_NEWEST_LEASES, {"now": now}).fetchall()
    if source.is_shared and holders:
        names = ", ".join(name for (name,) in holders)
        raise InUse(f"{names} works on the warehouse to be moved: stop it, and wait half a minute")
    ((snapshot,),) = connection.execute(
        f"SELECT id FROM ducklake_current_snapshot('{SOURCE}')"
    ).fetchall()
    return f"{source.catalogue} at {snapshot}"


def _begin(connection: duckdb.DuckDBPyConnection, origin: str) -> set[tuple[str, str]]:
    """The parts that a move before this one has brought."""
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {PARTS} (table_name VARCHAR, day VARCHAR, origin VARCHAR)"
    )
    rows = connection.execute(f"SELECT table_name, day, origin FROM {PARTS}").fetchall()
    if any(known != origin for _, _, known in rows):
        raise Refused(
            "the target has parts of another warehouse, or of this one before it went on: empty "
            "it (drop the database and the prefix, or the folder) and move again"
        )
    if not rows:
        filled = [name for name, count in _counts(connection, ATTACHED_AS).items() if count]
        if filled:
            connection.execute(f"DROP TABLE {PARTS}")
            raise Refused(
                f"the target has rows of its own, in {', '.join(filled[:3])}: give a database and "
                "a prefix that nothing is in"
            )
        connection.execute(f"INSERT INTO {PARTS} VALUES ('', '', ?)", [origin])
    return {(name, day) for name, day, _ in rows}


def _parts(connection: duckdb.DuckDBPyConnection) -> Iterator[Part]:
    counts = _counts(connection, SOURCE)
    for table in TABLES.values():
        if not counts[table.name]:
            continue
        if table.partition_by is None:
            yield Part(table, "", counts[table.name])
            continue
        days = connection.execute(
            f"SELECT strftime(\"{table.partition_by}\"::DATE, '%Y-%m-%d'), count(*) "
            f"FROM {SOURCE}.{table.name} GROUP BY 1 ORDER BY 1"
        )
        for day, rows in days.fetchall():
            yield Part(table, day, rows)


def _copy(connection: duckdb.DuckDBPyConnection, part: Part) -> None:
    """Rows keep the order in which they were stored: of two at one instant the later one counts."""
    table = part.table
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    read = ", ".join(read_as(table, column) for column in table.columns)
    order = ", ".join([*(f'"{name}"' for name in table.sort_by), "rowid"])
    of_day = f" WHERE \"{table.partition_by}\"::DATE = '{part.day}'::DATE" if part.day else ""
    connection.execute("BEGIN")
    try:
        connection.execute(
            f"INSERT INTO {table.name} ({names}) "
            f"SELECT {read} FROM {SOURCE}.{table.name}{of_day} ORDER BY {order}"
        )
        connection.execute(
            f"INSERT INTO {PARTS} SELECT ?, ?, origin FROM {PARTS} LIMIT 1", [table.name, part.day]
        )
        connection.execute("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    try:
        connection.execute("ROLLBACK")
    except duckdb.Error:  # a failed COMMIT has already rolled back
        return


def _bar(told: Console | None) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=told or Console(quiet=True),
    )
