"""The table of jobs, and one job in detail."""

from __future__ import annotations

import json
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import dcc, html

from pages._context import context
from pages._grid import number_column, text_column
from pages._parts import icon
from pages._words import MISSING, count, duration, exact_instant, usd, words
from warehouse import fleet, jobs


def time_column(field: str, header: str) -> dict[str, Any]:
    return text_column(
        field, header, 111, sortable=True, valueFormatter={"function": "asInstant(params.value)"}
    )


COLUMNS = [
    text_column("job_id", "Job", 176, sortable=True, cellClass="mono", tooltipField="job_id"),
    text_column("state", "State", 92, sortable=True, cellRenderer="State"),
    text_column("tenant", "Tenant", 108, sortable=True, tooltipField="tenant"),
    text_column("pool", "Pool", 106, sortable=True, flex=1, minWidth=106, tooltipField="pool"),
    number_column("gpu_count", "GPUs", "asCount", 58, sortable=True),
    number_column("wait_seconds", "Waited", "asDuration", 76, sortable=True),
    number_column("run_seconds", "Ran", "asDuration", 76, sortable=True),
    number_column("price_usd_per_gpu_hour", "USD/GPU-h", "asUsd", 92, sortable=True),
    number_column("charged_usd", "Charged", "asUsd", 84),
    time_column("submitted_at", "Submitted"),
    time_column("started_at", "Started"),
    time_column("ended_at", "Ended"),
]


def filters(
    states: list[str], pool: str | None, tenant: str | None, search: str | None
) -> list[Any]:
    store = context().store
    return [
        dmc.TextInput(
            id="jobs-search",
            value=search or "",
            debounce=300,
            w=210,
            placeholder="Job or tenant",
            leftSection=icon("search", 14),
            **{"aria-label": "Search jobs and tenants"},
        ),
        dmc.MultiSelect(
            id="jobs-state",
            value=states,
            placeholder="" if states else "All states",
            data=[{"value": each, "label": words(each)} for each in jobs.JOB_STATES],
            clearable=True,
            miw=170,
            **{"aria-label": "States"},
        ),
        dmc.Select(
            id="jobs-pool",
            value=pool,
            data=[each.pool for each in fleet.pools(store)],
            placeholder="All pools",
            clearable=True,
            w=160,
            **{"aria-label": "Pool"},
        ),
        dmc.Select(
            id="jobs-tenant",
            value=tenant,
            data=jobs.tenants(store),
            searchable=True,
            placeholder="All tenants",
            clearable=True,
            w=160,
            **{"aria-label": "Tenant"},
        ),
    ]


def facts_of(row: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("Tenant", row["tenant"]),
        ("Pool", row["pool"]),
        ("GPUs", count(row["gpu_count"])),
        ("Nodes", node_links(row["node_ids"])),
        ("Waited", duration(row["wait_seconds"])),
        ("Ran", duration(row["run_seconds"])),
        ("Price, locked", f"{usd(row['price_usd_per_gpu_hour'])} per GPU-hour"),
        ("Charged so far", usd(row["charged_usd"])),
    ]


def node_links(node_ids: str | None) -> Any:
    nodes = json.loads(node_ids or "[]")
    if not nodes:
        return MISSING
    links = [dcc.Link(node, href=f"/fleet?node={node}") for node in nodes]
    return html.Span([piece for link in links for piece in (link, " ")])


def events(events: pl.DataFrame) -> html.Div:
    items = [
        html.Li(
            [
                html.Div(
                    [
                        html.B(words(row["event"])),
                        html.Span(exact_instant(row["happened_at"]), className="sub"),
                    ],
                    className="row",
                ),
                html.Div(row["detail"], className="sub") if row["detail"] else None,
            ]
        )
        for row in events.iter_rows(named=True)
    ]
    return html.Div(
        [html.H3("What happened"), html.Ol(items, className="timeline")], className="section"
    )
