"""Tables as files: CSV for spreadsheets, Parquet for programs."""

from __future__ import annotations

from typing import Literal

import polars as pl
from fastapi import Response

from warehouse.table_files import csv_text, parquet_bytes

FileFormat = Literal["csv", "parquet"]
MEDIA_TYPES: dict[str, str] = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}


def file_of(frame: pl.DataFrame, name: str, file_format: FileFormat) -> Response:
    """A frame as a file to keep; instants are UTC."""
    content = csv_text(frame) if file_format == "csv" else parquet_bytes(frame)
    headers = {"content-disposition": f'attachment; filename="{name}.{file_format}"'}
    return Response(content, media_type=MEDIA_TYPES[file_format], headers=headers)
