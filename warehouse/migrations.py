"""Bringing a warehouse to this code's tables, whatever version it was made by.

New tables and new nullable columns come by themselves from `records.py`, and the views of
`views.py` are made anew. Anything else - a
rename, a column that must be filled - is a numbered function in `STEPS`, run once, in order.
"""

from __future__ import annotations

from collections.abc import Callable

import duckdb

from warehouse.errors import WarehouseError
from warehouse.schema import TABLES, Table
from warehouse.views import VIEWS

Step = Callable[[duckdb.DuckDBPyConnection], None]

STEPS: tuple[Step, ...] = ()
"""Add at the end, never change one that was released."""


OFTEN_EMPTY = frozenset(
    {
        "decisions", "verdicts", "executions", "undo_requests", "outcomes", "controls", "tickets",
        "policies", "training_runs", "champions", "shadow_proposals", "shadow_scores",
        "twin_checks", "policy_alarms", "forecasts", "execution_steps", "approvals", "leases",
        "node_health", "node_incidents", "gpu_events", "cluster_nodes", "cluster_pods",
        "cluster_jobs", "cluster_events", "disruption_budgets", "cluster_workloads",
        "scale_targets", "cluster_rights", "withdrawals", "market_alarms", "market_metrics",
        "benchmark_scores", "recommendations", "price_elasticities", "market_percentiles",
        "gpu_shares", "gpu_rollups", "unit_costs", "metering_runs", "metered_hours", "fleet_hours",
        "metering_alarms", "exports", "usage_events", "storage_readings", "upkeep_runs",
    }
)  # fmt: skip
"""Tables that every page and every tick asks, and that may stay empty for long."""


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
    done = _version(cursor)
    if done > len(STEPS):
        raise NewerWarehouse(
            f"this warehouse is of version {done} and this Pilothouse knows {len(STEPS)}: "
            "start the newer Pilothouse that made it"
        )
    if not is_new:
        for step in STEPS[done:]:
            step(cursor)
    for table in TABLES.values():
        _bring_up(cursor, table, existing.get(table.name))
    for name, sql in VIEWS.items():
        cursor.execute(f"CREATE OR REPLACE VIEW {name} AS {sql}")
    if is_new or done < len(STEPS):
        cursor.execute("INSERT INTO schema_versions VALUES (?)", [len(STEPS)])


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
        columns = ", ".join(
            f'"{column.name}" {column.sql_type}{"" if column.nullable else " NOT NULL"}'
            for column in table.columns
        )
        cursor.execute(f"CREATE TABLE {table.name} ({columns})")
        if table.partition_by:
            instant = f'"{table.partition_by}"'
            cursor.execute(
                f"ALTER TABLE {table.name} "
                f"SET PARTITIONED BY (year({instant}), month({instant}), day({instant}))"
            )
        if table.name in OFTEN_EMPTY:
            _fill_blank(cursor, table)
        return
    for column in table.columns:
        if column.name not in existing:
            cursor.execute(f'ALTER TABLE {table.name} ADD COLUMN "{column.name}" {column.sql_type}')


_BLANKS = {"VARCHAR": "''", "BIGINT": "0", "DOUBLE": "0", "BOOLEAN": "false"}


def _fill_blank(cursor: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Put a blank row in, which `take_blanks` takes out.

    DuckLake keeps no statistics of a table that nothing was ever written to, and looks for them at
    every query: 20 ms instead of 4 for a table of 12 columns (`benchmarks/warehouse.py`,
    `decisions.counts_by_state`). The two must be two transactions: after an insert and a delete in
    one, `max()` answers with the deleted row.
    """
    blanks = ", ".join(_BLANKS.get(column.sql_type, "now()") for column in table.columns)
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
