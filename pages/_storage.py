"""How large the warehouse is, table by table, how it grows, and how its own jobs fare."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import Input, Output, dcc, html, no_update

from pages._callbacks import NOTICES, answers, notice
from pages._context import context
from pages._files import file_of
from pages._parts import empty, icon, panel, skeleton_rows, state_badge, table
from pages._words import MISSING, age, count, exact_instant
from warehouse import storage

ROWS_SHOWN = 12
"""The largest tables; the download has them all."""
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def storage_panel() -> html.Section:
    """The panel of the Admin page; `show_storage` fills it."""
    button = dmc.Button(
        "Download",
        id="admin-storage-download",
        leftSection=icon("download", 14),
        size="xs",
        variant="default",
    )
    return panel(
        "Storage",
        dcc.Download(id="admin-storage-file"),
        html.Div(skeleton_rows(4), id="admin-storage"),
        right=button,
    )


def register() -> None:
    """Register the panel's callbacks with the app that is being made."""
    answers(Output("admin-storage", "children"), Input("admin-slow", "n_intervals"))(show_storage)
    answers(
        Output("admin-storage-file", "data"),
        Output(NOTICES, "sendNotifications", allow_duplicate=True),
        Input("admin-storage-download", "n_clicks"),
        prevent_initial_call=True,
    )(download_storage)


def show_storage(n_intervals: int | None) -> Any:
    """The largest tables as last read, and how the jobs of the house ended."""
    store, now = context().store, context().wall.now()
    return [
        *_tables(storage.storage(store), now),
        html.H3("Jobs of the house", className="chart-title"),
        _jobs(storage.jobs_of_the_house(store, now=now), now),
    ]


def download_storage(n_clicks: int | None) -> tuple[Any, Any]:
    """Every table's reading, as CSV."""
    if not n_clicks:  # the button was only drawn
        return no_update, no_update
    found = storage.storage(context().store)
    told = notice("Downloaded", f"{count(found.height)} tables")
    return file_of(found, "storage", context().wall.now()), [told]


def _tables(found: pl.DataFrame, now: datetime) -> list[Any]:
    if found.is_empty():
        return [empty("Not read yet", html.Div("It is read within minutes of the first start."))]
    head = ("Table", "Rows", "Files", "Size", "Grows a day", "Since")
    rows = [_row(each) for each in found.head(ROWS_SHOWN).to_dicts()]
    whole, files = int(found["size_bytes"].sum()), int(found["file_count"].sum())
    read_at: Any = found["measured_at"].max()
    said = f"{size(whole)} in {count(files)} files, read {age(read_at, now)}"
    return [
        html.Div(said, className="sub", title=exact_instant(read_at)),
        table(head, rows, "Storage by table"),
    ]


def _row(row: dict[str, Any]) -> list[Any]:
    gone = row["delete_file_count"]
    files = html.Div(f"{count(gone)} of rows gone", className="sub") if gone else None
    oldest = row["oldest_at"]
    return [
        html.B(row["table_name"]),
        count(row["row_count"]),
        html.Div([html.Span(count(row["file_count"])), files], className="nowrap"),
        html.Span(size(row["size_bytes"]), className="nowrap"),
        html.Span(_growth(row["growth_bytes_per_day"]), className="nowrap"),
        html.Span(exact_instant(oldest)[:10] if oldest else MISSING, className="sub nowrap"),
    ]


def _growth(bytes_per_day: float | None) -> str:
    if bytes_per_day is None:
        return MISSING
    sign = "−" if bytes_per_day < 0 else "+"
    return f"{sign}{size(abs(bytes_per_day))}" if bytes_per_day else "0 B"


def size(number: float) -> str:
    """Bytes in the unit that fits: `81.3 MiB`."""
    unit = 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:.1f} {_UNITS[unit]}" if unit else f"{number:.0f} B"


def _jobs(found: pl.DataFrame, now: datetime) -> Any:
    if found.is_empty():
        return html.Div("None has had anything to do yet.", className="sub")
    head = ("Job", "Last", "When", "Took", "On record, 24 h", "Word")
    return table(head, [_job(each, now) for each in found.to_dicts()], "Jobs of the house")


def _job(row: dict[str, Any], now: datetime) -> list[Any]:
    failures = row["failures_in_24h"]
    failed = html.Div(f"{count(failures)} failed", className="sub bad") if failures else None
    when = exact_instant(row["started_at"])
    return [
        html.B(row["job"].replace("_", " ")),
        state_badge(row["outcome"]),
        html.Span(age(row["started_at"], now), className="nowrap", title=when),
        html.Span(f"{row['duration_seconds']:.2f} s", className="nowrap"),
        html.Div([html.Span(count(row["runs_in_24h"])), failed], className="nowrap"),
        html.Div(row["detail"] or MISSING, className="sub", style={"minWidth": 180}),
    ]
