"""The table of metered hours: its columns, and its rows for the wire."""

from __future__ import annotations

from typing import Any

import polars as pl
from dash import html

from pages._finance_asked import BY, FIELDS
from pages._finance_parts import download_menu, pick
from pages._grid import number_column, server_grid, text_column
from pages._parts import panel
from pages._words import count

_LOSS = {
    "styleConditions": [{"condition": "params.value < 0", "style": {"color": "var(--bad)"}}],
}


def _number(field: str, header: str, format_js: str, width: int, **more: Any) -> dict[str, Any]:
    return number_column(field, header, format_js, width, sortable=True, **more)


_FIGURES = [
    _number("allocated_gpu_hours", "Allocated GPU-h", "asFinanceHours", 128),
    _number("used_gpu_hours", "Used GPU-h", "asFinanceHours", 104),
    _number("efficiency_ratio", "Used of measured", "asFinanceShare", 142),
    _number("list_cost_usd", "At list", "asUsd", 100),
    _number("charge_usd", "Billed", "asUsd", 100),
    _number("cost_usd", "Our cost", "asUsd", 100),
    _number("margin_usd", "Margin", "asSignedUsd", 104, cellStyle=_LOSS),
    _number("margin_ratio", "Margin ratio", "asFinanceShare", 104, cellStyle=_LOSS),
    _number("jobs", "Jobs", "asCount", 76),
]


def columns(by: str) -> list[dict[str, Any]]:
    """The columns where a row is one of `BY`; every figure can be sorted by."""
    key = text_column(
        "key", BY[by], 190, sortable=True, pinned="left", tooltipField="key",
        cellClass="mono" if by == "job_id" else "",
    )  # fmt: skip
    who = [text_column("tenant", "Tenant", 120)] if by == "job_id" else []
    return [key, *who, *_FIGURES]


def table_panel(by: str) -> html.Section:
    """The table with its control and its download."""
    grid = server_grid("finance-grid", columns(by))
    control = pick("by", by, BY, "A row is a")
    return panel(
        "Who had how much",
        html.Div(control, className="filters finance-inset"),
        html.P("Reading", className="finance-lead finance-inset", id="finance-table-words"),
        html.Div(grid, className="grid-box finance-grid-box", id="finance-grid-box"),
        right=download_menu("money", "who had how much"),
        className="panel-flush",
        id="finance-table-box",
    )


def table_words(total: int, by: str, span_words: str) -> str:
    """What the table shows, or why it shows nothing."""
    if not total:
        return f"{span_words}: no job held a GPU."
    noun = BY[by].lower()
    return (
        f"{span_words}, {count(total)} {noun}{'' if total == 1 else 's'}. Used is the time GPUs "
        "worked, where it was measured. Margin is billed less cost where the cost is known; GPUs "
        "that no job held are not in it."
    )


def for_the_wire(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as the grid takes them."""
    shown = [*FIELDS, *(["tenant"] if "tenant" in frame.columns else [])]
    return frame.select(shown).with_columns(pl.col(pl.Float64).round(4)).to_dicts()
