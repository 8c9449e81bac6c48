"""How large the warehouse is, table by table, and how it grows; how its own jobs fare."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from warehouse.connecting import ATTACHED_AS, METADATA
from warehouse.records import StorageReading
from warehouse.schema import TABLES, Table
from warehouse.store import Store

CATALOGUE = "catalogue"
"""The name under which the catalogue itself is read: its rows are the snapshots kept."""
GROWTH_SPAN = timedelta(days=1)
GROWTH_KNOWN_AFTER = timedelta(hours=6)
"""From less than a quarter of a day nothing is told of a whole one: what a start and its merging do
within minutes would come out as hundreds of MiB a day."""


def read_storage(store: Store, *, now: datetime) -> list[StorageReading]:
    """How large every table is, and the catalogue; `now` by the machine's clock."""
    files = {
        row["table_name"]: row
        for row in store.query(f"FROM ducklake_table_info('{ATTACHED_AS}')").to_dicts()
    }
    tables = [_reading(store, table, files[table.name], now) for table in TABLES.values()]
    return [*tables, _catalogue(store, now)]


def _reading(store: Store, table: Table, files: dict[str, int], now: datetime) -> StorageReading:
    oldest = f'min("{table.partition_by}")' if table.partition_by else "NULL::TIMESTAMPTZ"
    rows, oldest_at = store.query(f"SELECT count(*), {oldest} FROM {table.name}").row(0)
    return StorageReading(
        table_name=table.name,
        row_count=rows,
        file_count=files["file_count"],
        size_bytes=files["file_size_bytes"] + files["delete_file_size_bytes"],
        delete_file_count=files["delete_file_count"],
        oldest_at=oldest_at,
        measured_at=now,
    )


def _catalogue(store: Store, now: datetime) -> StorageReading:
    """The embedded catalogue's own size; of one in PostgreSQL that is not ours to ask: 0."""
    kept = store.query(
        f"""
        SELECT count(*), min(snapshot_time) FROM {METADATA}.ducklake_snapshot
        """
    )
    size = store.query(
        """
        SELECT coalesce(max(block_size * total_blocks), 0)::BIGINT FROM pragma_database_size()
        WHERE database_name = $name
        """,
        name=METADATA,
    )
    snapshots, oldest_at = kept.row(0)
    return StorageReading(
        table_name=CATALOGUE,
        row_count=snapshots,
        file_count=1,
        size_bytes=size.item(),
        delete_file_count=0,
        oldest_at=oldest_at,
        measured_at=now,
    )


def read_at(store: Store) -> datetime | None:
    """When it was read last, by the machine's clock."""
    newest: datetime | None = store.query("SELECT max(measured_at) FROM storage_readings").item()
    return newest


def storage(store: Store) -> pl.DataFrame:
    """A row a table, the largest first, as last read: `table_name`, `row_count`, `file_count`,
    `size_bytes`, `delete_file_count`, `oldest_at`, `measured_at`, and `growth_bytes_per_day`:
    against the reading a day before, or the oldest within it; None while that is younger than
    `GROWTH_KNOWN_AFTER`."""
    return store.query(
        """
        WITH newest AS (
            SELECT * FROM storage_readings
            QUALIFY measured_at = max(measured_at) OVER ()
        ), before AS (
            SELECT table_name, arg_min(size_bytes, measured_at) AS size_bytes,
                min(measured_at) AS measured_at
            FROM storage_readings
            WHERE measured_at >= (SELECT max(measured_at) FROM storage_readings) - to_seconds($span)
            GROUP BY table_name
        )
        SELECT n.*, CASE WHEN n.measured_at >= b.measured_at + to_seconds($least) THEN
            (n.size_bytes - b.size_bytes) * 86400.0
                / (epoch(n.measured_at) - epoch(b.measured_at)) END AS growth_bytes_per_day
        FROM newest n LEFT JOIN before b USING (table_name)
        ORDER BY n.size_bytes DESC, n.row_count DESC, n.table_name
        """,
        span=GROWTH_SPAN.total_seconds(),
        least=GROWTH_KNOWN_AFTER.total_seconds(),
    )


def jobs_of_the_house(store: Store, *, now: datetime) -> pl.DataFrame:
    """A row a job, by name: how its newest run on record ended, what it said, how long it took;
    `runs_in_24h` and `failures_in_24h`. A run with nothing to do leaves none."""
    return store.query(
        """
        SELECT job, arg_max(outcome, started_at) AS outcome, arg_max(detail, started_at) AS detail,
            arg_max(row_count, started_at) AS row_count, max(started_at) AS started_at,
            arg_max(duration_seconds, started_at) AS duration_seconds,
            count(*) FILTER (started_at > $day) AS runs_in_24h,
            count(*) FILTER (started_at > $day AND outcome = 'failed') AS failures_in_24h
        FROM upkeep_runs GROUP BY job ORDER BY job
        """,
        day=now - timedelta(days=1),
    )
