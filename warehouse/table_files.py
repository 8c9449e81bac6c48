"""Tables as files to keep: CSV for spreadsheets, Parquet for programs."""

from __future__ import annotations

from io import BytesIO

import polars as pl

_FORMULA = r"^[=+\-@\t\r]"
"""How a cell begins that a spreadsheet would run; names come from strangers."""


def csv_text(frame: pl.DataFrame) -> str:
    """A frame as CSV; instants are UTC, and no cell is one that a spreadsheet would run."""
    text = pl.col(pl.String)
    harmless = frame.with_columns(
        pl.when(text.str.contains(_FORMULA)).then("'" + text).otherwise(text).name.keep()
    )
    return harmless.write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%.3fZ")


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    """A frame as a Parquet file, types and all."""
    buffer = BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()
