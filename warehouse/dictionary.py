"""`docs/data.md`, printed from the records, so that it can't fall behind them."""

from __future__ import annotations

from warehouse import records
from warehouse.keeping import kept_apart
from warehouse.schema import TABLES, Column, Table

HEAD = """# Data

Printed by `python app.py data` from `warehouse/records.py`; a test compares the two.

Every table is DuckLake over Parquet: `PILOTHOUSE_HOME/parquet` holds the files, and
`PILOTHOUSE_HOME/catalogue.duckdb` says which belong to what. Rows are facts: appended, never
changed. Units are the last words of names, instants end in `_at` and are UTC, a missing measurement
is NULL and never 0. Lists and objects are kept as JSON text. Tables marked *by day* are partitioned
by the day of the column named; how long they are kept is set by `PILOTHOUSE_KEEP_…`
([settings.md](settings.md)), and of roll-ups by the length of their period. A DECIMAL is a number
whose source tells no more digits; a question answers it as a float.
"""


def data_markdown() -> str:
    """The whole document: a section a table, a row a column."""
    assert records.GpuSample in TABLES
    return HEAD + "".join(_section(table) for table in TABLES.values())


def _section(table: Table) -> str:
    by_day = f" *By day of `{table.partition_by}`{_kept(table)}.*" if table.partition_by else ""
    rows = "".join(_row(column) for column in table.columns)
    return (
        f"\n## `{table.name}`\n\n{table.description}{by_day}\n\n"
        f"| column | type | may be NULL | meaning |\n|---|---|---|---|\n{rows}"
    )


def _kept(table: Table) -> str:
    days = [days for _, each, days in kept_apart() if each is table]
    if days == [None]:
        return ", kept for ever"
    return ", kept " + ", ".join(f"{each:g}" for each in days if each) + " days"


def _row(column: Column) -> str:
    meaning = " ".join(column.description.split())
    if column.choices:
        meaning += " One of " + ", ".join(f"`{choice}`" for choice in column.choices) + "."
    if column.bounds:
        meaning += _bounds(column)
    return (
        f"| `{column.name}` | {column.sql_type}{' (JSON)' if column.is_json else ''} "
        f"| {'yes' if column.nullable else ''} | {meaning} |\n"
    )


def _bounds(column: Column) -> str:
    assert column.bounds
    low, high = column.bounds.low, column.bounds.high
    if low is not None and high is not None:
        return f" From {low:g} to {high:g}."
    return f" At least {low:g}." if low is not None else f" At most {high:g}."
