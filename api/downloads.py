"""Tables as files: CSV for spreadsheets, Parquet for programs."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import polars as pl
from fastapi import Response

FileFormat = Literal["csv", "parquet"]
MEDIA_TYPES: dict[str, str] = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
_FORMULA = r"^[=+\-@\t\r]"
"""How a cell begins that a spreadsheet would run; names come from strangers."""


def file_of(frame: pl.DataFrame, name: str, file_format: FileFormat) -> Response:
    """A frame as a file to keep; instants are UTC."""
    content = _csv(frame) if file_format == "csv" else _parquet(frame)
    headers = {"content-disposition": f'attachment; filename="{name}.{file_format}"'}
    return Response(content, media_type=MEDIA_TYPES[file_format], headers=headers)


def _csv(frame: pl.DataFrame) -> bytes:
    text = pl.col(pl.String)
    harmless = frame.with_columns(
        pl.when(text.str.contains(_FORMULA)).then("'" + text).otherwise(text).name.keep()
    )
    return harmless.write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%.3fZ").encode()


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()
