"""Tables of pages as files to take home, and the button that asks for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import dcc

from pages._callbacks import notice
from pages._parts import icon
from pages._words import count
from warehouse.table_files import csv_text, parquet_bytes

FORMATS = {"csv": "CSV", "parquet": "Parquet"}
DOWNLOAD_ROWS_MAX = 50_000
"""Most rows that a download holds; where there are more it says so."""


def file_of(
    frame: pl.DataFrame, what: str, at: datetime, file_format: str = "csv"
) -> dict[str, Any]:
    """A frame as what `dcc.Download` takes, named by what it holds and when it was asked for."""
    name = f"{what}-{at:%Y%m%d-%H%M}.{file_format}"
    sent: dict[str, Any]
    if file_format == "parquet":
        sent = dcc.send_bytes(parquet_bytes(frame), name)
    else:
        sent = dcc.send_string(csv_text(frame), name)
    return sent


def download_menu(label: str, **of: str) -> dmc.Menu:
    """A table as CSV or Parquet; `of` makes the items' ids, with `format` beside it."""
    button = dmc.Button(
        "Download",
        variant="default",
        leftSection=icon("download", 14),
        **{"aria-label": f"Download {label}"},
    )
    items = [dmc.MenuItem(name, id={**of, "format": key}) for key, name in FORMATS.items()]
    return dmc.Menu(
        [dmc.MenuTarget(button), dmc.MenuDropdown(items)], position="bottom-end", width=140
    )


def said_of_download(rows_sent: int, total: int) -> dict[str, Any]:
    """How many rows a download holds, and that it is cut where it is."""
    if rows_sent < total:
        rows = f"The newest {count(rows_sent)} of {count(total)} rows"
        message = f"{rows}: narrow the filters for the rest."
        return notice("Downloaded in part", message, "amber")
    return notice("Downloaded", f"{count(total)} rows")
