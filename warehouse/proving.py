"""Whether a table that was moved has come as it was: counts, sums and digests of every column."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb

from warehouse.errors import WarehouseError
from warehouse.records import RollupMark
from warehouse.schema import Column, Table


class Differs(WarehouseError):
    """What has come is not what is there; nothing was taken away."""


def read_as(table: Table, column: Column) -> str:
    """Snapshots are numbered anew, so that roll-ups look once at all samples that are there."""
    if table.record is RollupMark and column.name == "snapshot_id":
        return "0"
    return f'"{column.name}"'


def prove(connection: duckdb.DuckDBPyConnection, table: Table, source: str) -> None:
    """Hold a table against the one of its name in the warehouse attached as `source`.

    Raises:
        Differs: they aren't alike, and in what.
    """
    names, asked = ["rows"], ["count(*)"]
    for column in table.columns:
        for what, sql in _sums(table, column):
            names.append(f"{what} of {column.name}")
            asked.append(sql)
    there, here = (
        connection.execute(f"SELECT {', '.join(asked)} FROM {place}{table.name}").fetchall()[0]
        for place in (f"{source}.", "")
    )
    for name, was, came in zip(names, there, here, strict=True):
        if was != came:
            raise Differs(
                f"{table.name} did not come as it is: the {name} were {was} and are {came}; empty "
                "the target and move again"
            )


def _sums(table: Table, column: Column) -> Iterator[tuple[str, str]]:
    """What must be alike; exact in whatever order rows are taken."""
    read = read_as(table, column)
    kind = column.sql_type
    yield "readings", f"count({read})"
    if kind == "TIMESTAMPTZ":
        yield "first and last", f"[epoch_us(min({read})), epoch_us(max({read}))]"
    elif kind in ("BIGINT", "DOUBLE") or kind.startswith("DECIMAL"):
        yield "sum", f"sum(TRY_CAST({read} AS DECIMAL(38, 9)))"
    yield "digests", f"sum(hash({read})::HUGEINT)"
