"""Bringing a warehouse to this code's tables, whatever version it was made by.

New tables and new nullable columns come by themselves from `records.py`, and the views of
`views.py` are made anew. Anything else - a
rename, a column that must be filled - is a numbered function in `STEPS`, run once, in order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import duckdb

from warehouse.errors import WarehouseError
from warehouse.schema import TABLES, Table
from warehouse.views import VIEWS

log = logging.getLogger(__name__)

Step = Callable[[duckdb.DuckDBPyConnection], None]


def made_anew(*names: str) -> Step:
    """A step that copies tables, where they are, into what the records now declare: the way to
    other types of columns, and to files sorted and parted otherwise.

    Those that are empty lose their statistics by it: let `blanks_filled` follow.
    """

    def make_anew(cursor: duckdb.DuckDBPyConnection) -> None:
        existing = _columns_by_table(cursor)
        for table in TABLES.values():
            if table.name in names and table.name in existing:
                _make_anew(cursor, table, existing[table.name])

    return make_anew


def _make_anew(cursor: duckdb.DuckDBPyConnection, table: Table, existing: set[str]) -> None:
    log.warning("the table %s is brought to its new layout; this takes a while, once", table.name)
    kept = ", ".join(f'"{each.name}"' for each in table.columns if each.name in existing)
    _create(cursor, table, as_name=f"{table.name}_anew")
    cursor.execute(f"INSERT INTO {table.name}_anew ({kept}) SELECT {kept} FROM {table.name}")
    cursor.execute(f"DROP TABLE {table.name}")
    cursor.execute(f"ALTER TABLE {table.name}_anew RENAME TO {table.name}")


def blanks_filled(cursor: duckdb.DuckDBPyConnection) -> None:
    """A step that gives statistics to every table that nothing was written to so far.

    But for the samples: roll-ups take what was inserted there, and would take the blank too.
    """
    existing = _columns_by_table(cursor)
    for table in TABLES.values():
        is_whole = {column.name for column in table.columns} == existing.get(table.name)
        if table.name == "gpu_samples" or not is_whole:
            continue
        if not cursor.execute(f"SELECT 1 FROM {table.name} LIMIT 1").fetchall():
            _fill_blank(cursor, table)


STEPS: tuple[Step, ...] = (
    # 1: digits in place of doubles, files sorted by GPU or node, roll-ups parted by their length.
    made_anew("gpu_samples", "gpu_rollups", "gpu_shares", "gpu_processes", "node_states"),
    # 2: statistics for tables that stayed empty.
    blanks_filled,
)
"""Add at the end, never change one that was released."""


OPTIONS = {"parquet_compression": "zstd", "parquet_version": "2"}
"""How DuckLake writes every table's files: half the bytes of its own choice (snappy, version 1)."""


class NewerWarehouse(WarehouseError):
    """The warehouse was written by a newer Pilothouse."""


def migrate(cursor: duckdb.DuckDBPyConnection) -> None:
    """Run the steps that this warehouse lacks, then add what the records have and it has not.

    Raises:
        NewerWarehouse: it knows more steps than this code does.
    """
    cursor.execute("CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT NOT NULL)")
    cursor.execute("CREATE TABLE IF NOT EXISTS blank_tables (table_name VARCHAR NOT NULL)")
    existing = _columns_by_table(cursor)
    is_new = existing.keys() == {"schema_versions", "blank_tables"}
    _set_options(cursor)
    done = _version(cursor)
    if done > len(STEPS):
        raise NewerWarehouse(
            f"this warehouse is of version {done} and this Pilothouse knows {len(STEPS)}: "
            "start the newer Pilothouse that made it"
        )
    if not is_new:
        for step in STEPS[done:]:
            step(cursor)
        existing = _columns_by_table(cursor)
    for table in TABLES.values():
        _bring_up(cursor, table, existing.get(table.name))
    for name, sql in VIEWS.items():
        cursor.execute(f"CREATE OR REPLACE VIEW {name} AS {sql}")
    if is_new or done < len(STEPS):
        cursor.execute("INSERT INTO schema_versions VALUES (?)", [len(STEPS)])


def _set_options(cursor: duckdb.DuckDBPyConnection) -> None:
    ((name,),) = cursor.execute("SELECT current_database()").fetchall()
    told = cursor.execute(
        f"SELECT option_name, value FROM ducklake_options('{name}') WHERE scope = 'GLOBAL'"
    )
    known = dict(told.fetchall())
    for option, value in OPTIONS.items():
        if known.get(option, "").removeprefix("V") != value:
            cursor.execute(f"CALL {name}.set_option('{option}', '{value}')")


def _version(cursor: duckdb.DuckDBPyConnection) -> int:
    ((version,),) = cursor.execute("SELECT max(version) FROM schema_versions").fetchall()
    return version or 0


def _columns_by_table(cursor: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for table, column in cursor.execute(
        "SELECT table_name, column_name FROM duckdb_columns() "
        "WHERE database_name = current_database()"
    ).fetchall():
        found.setdefault(table, set()).add(column)
    return found


def _bring_up(cursor: duckdb.DuckDBPyConnection, table: Table, existing: set[str] | None) -> None:
    if existing is None:
        _create(cursor, table, as_name=table.name)
        _fill_blank(cursor, table)
        return
    for column in table.columns:
        if column.name not in existing:
            cursor.execute(f'ALTER TABLE {table.name} ADD COLUMN "{column.name}" {column.sql_type}')


def _create(cursor: duckdb.DuckDBPyConnection, table: Table, *, as_name: str) -> None:
    columns = ", ".join(
        f'"{column.name}" {column.sql_type}{"" if column.nullable else " NOT NULL"}'
        for column in table.columns
    )
    cursor.execute(f"CREATE TABLE {as_name} ({columns})")
    if table.partition_by:
        instant = f'"{table.partition_by}"'
        apart = f"{table.apart_by}, " if table.apart_by else ""
        cursor.execute(
            f"ALTER TABLE {as_name} "
            f"SET PARTITIONED BY ({apart}year({instant}), month({instant}), day({instant}))"
        )
    if table.sort_by:
        cursor.execute(f"ALTER TABLE {as_name} SET SORTED BY ({', '.join(table.sort_by)})")


_BLANKS = {"VARCHAR": "''", "BIGINT": "0", "DOUBLE": "0", "DECIMAL": "0", "BOOLEAN": "false"}


def _blank(sql_type: str) -> str:
    return _BLANKS.get(sql_type.partition("(")[0], "now()")


def _fill_blank(cursor: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Put a blank row in, which `take_blanks` takes out.

    DuckLake keeps no statistics of a table that nothing was ever written to, and looks for them at
    every query, for each column: 20 ms instead of 4 for a table of 12 columns
    (`benchmarks/warehouse.py`, `decisions.counts_by_state`). The two must be two transactions:
    after an insert and a delete in one, `max()` answers with the deleted row. Tables that begin
    with no text, by which the blank is known again, do without: they have two columns.
    """
    if table.columns[0].sql_type != "VARCHAR":
        return
    blanks = ", ".join(_blank(column.sql_type) for column in table.columns)
    cursor.execute(f"INSERT INTO {table.name} VALUES ({blanks})")
    cursor.execute("INSERT INTO blank_tables VALUES (?)", [table.name])


def take_blanks(cursor: duckdb.DuckDBPyConnection) -> None:
    """Take the blank rows of new tables out; also after a kill between the two transactions."""
    names = cursor.execute("SELECT table_name FROM blank_tables").fetchall()
    keys = {table.name: table.columns[0].name for table in TABLES.values()}
    for (name,) in names:
        # Only the blank one: on a shared catalogue another console may be at work already.
        cursor.execute(f"DELETE FROM {name} WHERE \"{keys[name]}\" = ''")
    if names:
        cursor.execute("DELETE FROM blank_tables")
