"""Keeping the files few: small ones merged by stages, old snapshots let go, dead files deleted.

A collector's round is a file. Those are merged within minutes, their sum within the hour, and a
day's into files sorted through (`sort_by` of its record) once it is over: each row is written some
four times, whatever the fleet's size. The work is done beside everybody else's, table by table and
a file at a time; the warehouse is held only to commit (`Store.tend`). Where a merge and a writer
touch the same rows the merge gives way, and its turn comes again.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from warehouse.connecting import ATTACHED_AS, METADATA
from warehouse.errors import Conflict
from warehouse.store import Store

log = logging.getLogger(__name__)

MEBIBYTE = 2**20
MINUTES_BYTES = 4 * MEBIBYTE
"""Files smaller than this are merged every few minutes."""
HOURS_BYTES = 32 * MEBIBYTE
"""Smaller than this: every hour. Larger ones wait until the day's end."""
READERS_NEED = timedelta(minutes=15)
"""A merged file's sources stay this long, for whoever was still reading them."""
REWRITE_RATIO = 0.1
"""A file is written anew when more of its rows are gone than this."""
INLINED_ROWS = 200
"""A table with more rows in the catalogue than this has them written to a file."""


def merge(store: Store, *, smaller_than_bytes: int | None = None) -> int:
    """Merge each table's files of under a size, or all that fit into larger ones; returns how many
    files that spares."""
    size = "" if smaller_than_bytes is None else f", max_file_size => {smaller_than_bytes}"
    tables = _tables(store, "file_count > 1")
    return sum(_merged(store, name, size) for name in tables)


def rewrite(store: Store) -> int:
    """Write files anew of which many rows are gone; returns how many."""
    tables = _tables(store, "file_count > 0")
    return sum(_rewritten(store, name) for name in tables)


def flush(store: Store) -> int:
    """Write the rows that lie in the catalogue to files, table by table; returns how many."""
    return sum(_flushed(store, name) for name in _with_many_inlined(store))


def let_snapshots_go(store: Store, *, older_than: datetime) -> int:
    """Forget what the data was before an instant of the machine's clock; returns how many
    versions are forgotten."""
    since = older_than.astimezone(UTC).isoformat()
    return _tended(store, f"ducklake_expire_snapshots('{ATTACHED_AS}', older_than => '{since}')")


def delete_dead_files(store: Store, *, now: datetime) -> int:
    """Delete the files that nothing refers to any more; returns how many.

    Nobody waits for it: it takes no lock.
    """
    since = (now - READERS_NEED).astimezone(UTC).isoformat()
    found = store.query(
        f"CALL ducklake_cleanup_old_files('{ATTACHED_AS}', older_than => '{since}')"
    )
    return found.height


def _tables(store: Store, where: str) -> list[str]:
    found = store.query(
        f"SELECT table_name FROM ducklake_table_info('{ATTACHED_AS}') WHERE {where} ORDER BY 1"
    )
    return found["table_name"].to_list()


def _merged(store: Store, table: str, size: str) -> int:
    spared = 0
    procedure = (
        f"ducklake_merge_adjacent_files('{ATTACHED_AS}', '{table}', max_compacted_files => 1{size})"
    )
    while True:
        try:
            made = store.tend(procedure)
        except Conflict as error:
            log.debug("%s is merged another time: %s", table, error)
            return spared
        if made.is_empty():
            return spared
        spared += int((made["files_processed"] - made["files_created"]).sum())


def _rewritten(store: Store, table: str) -> int:
    return _tended(
        store,
        f"ducklake_rewrite_data_files('{ATTACHED_AS}', '{table}', "
        f"delete_threshold => {REWRITE_RATIO})",
    )


def _flushed(store: Store, table: str) -> int:
    """Short, and it would lose to whoever takes a ticket: so it has the warehouse to itself."""
    return _tended(
        store,
        f"ducklake_flush_inlined_data('{ATTACHED_AS}', table_name => '{table}')",
        is_short=True,
    )


def _tended(store: Store, procedure: str, *, is_short: bool = False) -> int:
    try:
        return store.tend(procedure, is_short=is_short).height
    except Conflict as error:
        log.debug("%s comes another time: %s", procedure, error)
        return 0


def _with_many_inlined(store: Store) -> list[str]:
    tables = store.query(
        f"""
        SELECT t.table_name, i.table_name AS inlined
        FROM {METADATA}.ducklake_inlined_data_tables i
        JOIN {METADATA}.ducklake_table t USING (table_id) WHERE t.end_snapshot IS NULL
        """
    )
    rows: dict[str, int] = {}
    for name, inlined in tables.iter_rows():
        count = store.query(f"SELECT count(*) FROM {METADATA}.{inlined}").item()
        rows[name] = rows.get(name, 0) + count
    return [name for name, count in rows.items() if count > INLINED_ROWS]
