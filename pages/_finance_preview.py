"""A day as it would be written now: its rows, its sums, and whether it is complete."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
import polars as pl
import polars.selectors as cs
from dash import html

from pages._address import chosen
from pages._finance_exports import KINDS
from pages._finance_parts import gpu_hours, money_words, pick
from pages._grid import server_grid
from pages._parts import panel
from pages._words import count
from warehouse.export_kinds import KIND_OF, ExportKind, Kind
from warehouse.exports import Preview
from warehouse.focus import FileColumn


def kind_of(asked: str | None) -> Kind:
    """The kind that is asked for."""
    picked: ExportKind = "usage" if chosen(asked, list(KINDS)) == "usage" else "focus"
    return KIND_OF[picked]


def columns(kind: Kind) -> list[dict[str, Any]]:
    """The columns of the file, in its order, each with what it means."""
    return [_column(column) for column in kind.columns]


def _column(column: FileColumn) -> dict[str, Any]:
    made: dict[str, Any] = {
        "field": column.name,
        "headerName": column.name,
        "headerTooltip": column.meaning,
        "tooltipField": column.name,
        "width": max(136, 9 * len(column.name) + 24),
    }
    if column.dtype.is_numeric():
        made["type"] = "rightAligned"
    return made


def preview_panel(day: str | None, kind: Kind) -> html.Section:
    """The table with what picks its day and its kind."""
    picks = html.Div(
        [
            dmc.DatePickerInput(
                id="finance-day",
                value=day,
                valueFormat="YYYY-MM-DD",
                w=140,
                **{"aria-label": "Day of the preview"},
            ),
            pick("kind", kind.name, KINDS, "Kind of the preview"),
        ],
        className="filters finance-inset",
    )
    grid = server_grid("finance-preview-grid", columns(kind))
    return panel(
        "Preview",
        picks,
        html.P("Reading", className="finance-lead finance-inset", id="finance-preview-words"),
        html.Div(grid, className="grid-box finance-preview-box", id="finance-preview-box"),
        className="panel-flush",
        id="finance-preview-all",
    )


def preview_words(found: Preview, kind: Kind, day: str) -> str:
    """What a file of the day would hold, or why there would be none."""
    if not found.hours_metered:
        return f"No hour of {day} is metered: pick another day."
    whole = (
        "It is complete"
        if found.is_complete
        else f"It is not complete: {found.hours_metered} of {found.hours_wanted} hours are "
        "metered, and it is not written before the last one is"
    )
    return (
        f"{day} as {KINDS[kind.name]}, if it were written now: {count(found.row_count)} rows, "
        f"{gpu_hours(found.sums[kind.quantity])} GPU-hours, "
        f"{money_words(found.sums[kind.billed])} billed. {whole}."
    )


def for_the_wire(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as the file has them: amounts as text, to lose no digit."""
    return rows.with_columns(
        pl.col(pl.Datetime).dt.to_string("%Y-%m-%dT%H:%M:%SZ"),
        cs.decimal().cast(pl.String),
        pl.col(pl.Date).dt.to_string("%Y-%m-%d"),
        pl.col(pl.Float64).round(6),
    ).to_dicts()
