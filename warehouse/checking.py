"""Rows to columns and back: what is appended is held against its record's declaration first.

DuckLake has no bounds and no lists of choices; a row that breaks its declaration is refused here,
by the name of its column.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from warehouse.errors import InvalidRow
from warehouse.schema import INSTANT, TABLES, Column, Table


def frame_of(record_class: type, rows: Sequence[Any]) -> pl.DataFrame:
    """Records of one class as a frame of its columns.

    Raises:
        InvalidRow: a value is of another type than its column.
    """
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


def checked(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame, once it is known to keep to its table's declaration.

    Raises:
        InvalidRow: a column is unknown, of the wrong type, missing or out of bounds.
    """
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
    if column.digits and most >= column.digits.most:  # type: ignore[operator]
        raise InvalidRow(f"{where} is {most!s}, and must stay under {column.digits.most:g}")


def decoded(column: Column, value: Any) -> Any:
    """A value of a column as its record has it."""
    return json.loads(value) if column.is_json and value is not None else value
