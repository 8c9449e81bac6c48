"""The table of tenants: its columns, its rows for the wire, and its file."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
import polars as pl

from pages._grid import number_column, text_column
from pages._parts import icon
from warehouse import behaviour


def _number(field: str, header: str, format_js: str, width: int) -> dict[str, Any]:
    return number_column(field, header, format_js, width, sortable=True)


def _time(field: str, header: str) -> dict[str, Any]:
    return text_column(
        field, header, 116, sortable=True, valueFormatter={"function": "asInstant(params.value)"}
    )


COLUMNS = [
    text_column("tenant", "Tenant", 160, sortable=True, pinned="left", tooltipField="tenant"),
    _number("charge_usd", "Charged", "asUsd", 100),
    _number("revenue_share_ratio", "Of revenue", "asTenantShare", 98),
    _number("jobs", "Jobs", "asCount", 80),
    _number("growth_ratio", "Week on week", "asTenantGrowth", 112),
    _number("delivered_gpu_hours", "GPU-h ran", "asCount", 98),
    _number("asked_gpu_hours", "GPU-h asked", "asCount", 108),
    _number("gpu_count_median", "GPUs, median", "asCount", 112),
    _number("gpu_count_p95", "GPUs, p95", "asCount", 96),
    _number("wait_median_seconds", "Wait, median", "asDuration", 112),
    _number("wait_p95_seconds", "Wait, p95", "asDuration", 98),
    _number("left_ratio", "Gave up", "asTenantShare", 88),
    _number("failed_ratio", "Failed", "asTenantShare", 80),
    _number("preempted_ratio", "Interrupted", "asTenantShare", 102),
    _number("retried_ratio", "Restarted", "asTenantShare", 96),
    _number("active_days", "Active days", "asCount", 104),
    _time("first_seen_at", "First seen"),
    _time("last_seen_at", "Last seen"),
]
"""Every one can be sorted by."""


def search_box(search: str | None) -> dmc.TextInput:
    """What the table is narrowed by."""
    return dmc.TextInput(
        id="tenants-search",
        value=search or "",
        debounce=300,
        w=210,
        placeholder="Tenant",
        leftSection=icon("search", 14),
        **{"aria-label": "Search tenants"},
    )


def for_the_wire(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as the grid takes them; `picked_tenant` opens the drawer."""
    return (
        frame.select([column["field"] for column in COLUMNS])
        .with_columns(
            pl.col(pl.Datetime).dt.to_string("%Y-%m-%dT%H:%M:%SZ"), pl.col(pl.Float64).round(4)
        )
        .with_columns(picked_tenant=pl.col("tenant"))
        .to_dicts()
    )


def file_frame(figures: pl.DataFrame) -> pl.DataFrame:
    """What a download holds: the sortable columns."""
    return figures.select(behaviour.SORTABLE)
