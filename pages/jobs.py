"""Jobs: the queue and what runs, filtered and asked for a page at a time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import (
    Input,
    Output,
    State,
    dcc,
    html,
    no_update,
    register_page,
)

from pages._address import keep_in_address, listed
from pages._callbacks import NOTICES, answers
from pages._context import context
from pages._drawers import asks_anew, opens_by
from pages._files import DOWNLOAD_ROWS_MAX, file_of, said_of_download
from pages._grid import server_grid, sorting
from pages._job import COLUMNS, events, facts_of, filters
from pages._nothing import nothing_yet
from pages._parts import empty, facts, icon, page, page_head, panel, skeleton_rows, state_badge
from pages._words import count
from warehouse import jobs

FILTERS = ("jobs-state", "jobs-pool", "jobs-tenant", "jobs-search")


def layout(
    state: str | None = None,
    pool: str | None = None,
    tenant: str | None = None,
    search: str | None = None,
    job: str | None = None,
    **_: str,
) -> html.Div:
    """The page before its rows are in."""
    return page(
        dcc.Input(id="jobs-job", type="hidden", value=job or ""),
        dcc.Download(id="jobs-file"),
        page_head(
            "Jobs", _download_button(), note=html.Span("Reading the warehouse", id="jobs-counts")
        ),
        html.Div(
            filters(listed(state, jobs.JOB_STATES), pool, tenant, search), className="filters"
        ),
        panel(
            None,
            html.Div(id="jobs-empty"),
            html.Div(
                server_grid("jobs-grid", COLUMNS, getRowId="params.data.job_id"),
                className="grid-box",
            ),
            className="panel-flush",
        ),
        dmc.Drawer(
            html.Div(id="jobs-detail"),
            id="jobs-drawer",
            opened=False,
            position="right",
            size="min(560px, 100vw)",
            title=html.Div(id="jobs-title"),
            overlayProps={"backgroundOpacity": 0.2},
            closeButtonProps={"aria-label": "Close"},
        ),
        name="jobs",
    )


def _download_button() -> dmc.Button:
    return dmc.Button(
        "Download CSV", id="jobs-download", variant="default", leftSection=icon("download", 14)
    )


@answers(
    Output("jobs-grid", "getRowsResponse"),
    Input("jobs-grid", "getRowsRequest"),
    State("jobs-state", "value"),
    State("jobs-pool", "value"),
    State("jobs-tenant", "value"),
    State("jobs-search", "value"),
)
def rows(
    request: dict[str, Any] | None,
    states: list[str] | None,
    pool: str | None,
    tenant: str | None,
    search: str | None,
) -> Any:
    """The block of jobs that the table asks for."""
    if request is None:
        return no_update
    sort, descending = sorting(request, "submitted_at")
    offset = request["startRow"]
    found = jobs.jobs(
        context().store,
        now=context().now(),
        states=states or None,
        pool=pool or None,
        tenant=tenant or None,
        search=search or None,
        sort=sort,
        descending=descending,
        offset=offset,
        limit=request["endRow"] - offset,
    )
    return {"rowData": _for_the_wire(found.rows), "rowCount": found.total}


def _for_the_wire(frame: pl.DataFrame) -> list[dict[str, Any]]:
    shown = [column["field"] for column in COLUMNS]
    return (
        frame.select(shown)
        .with_columns(
            pl.col(pl.Datetime).dt.to_string("%Y-%m-%dT%H:%M:%SZ"), pl.col(pl.Float64).round(4)
        )
        .to_dicts()
    )


@answers(
    Output("jobs-counts", "children"),
    Output("jobs-empty", "children"),
    Input("shell-tick", "n_intervals"),
)
def count_states(n_intervals: int | None) -> tuple[Any, Any]:
    """How many jobs are in each state."""
    counts = jobs.counts_by_state(context().store)
    if not sum(counts.values()):
        return "No jobs yet", nothing_yet("jobs", "They appear here when the first is submitted.")
    return " · ".join(f"{count(number)} {state}" for state, number in counts.items()), None


@answers(
    Output("jobs-title", "children"),
    Output("jobs-detail", "children"),
    Input("jobs-job", "value"),
    Input("shell-tick", "n_intervals"),
)
def show_job(job_id: str | None, n_intervals: int | None) -> tuple[Any, ...]:
    """The picked job with all that happened to it."""
    if not job_id:
        return skeleton_rows(1), skeleton_rows(6)
    now = context().now()
    found = jobs.job(context().store, job_id, now=now)
    if found.is_empty():
        missing = html.Div("It may have been too long ago. Pick another in the table.")
        return job_id, empty(f"No job {job_id}", missing)
    row = found.row(0, named=True)
    title = html.Div(
        [html.Span(job_id, className="mono"), state_badge(row["state"])], className="row"
    )
    happened = jobs.job_events(context().store, job_id)
    return title, html.Div([facts(facts_of(row)), events(happened)], className="stack")


@answers(
    Output("jobs-file", "data"),
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Input("jobs-download", "n_clicks"),
    *(State(name, "value") for name in FILTERS),
    running=[(Output("jobs-download", "loading"), True, False)],
    prevent_initial_call=True,
)
def download(
    n_clicks: int | None,
    states: list[str] | None,
    pool: str | None,
    tenant: str | None,
    search: str | None,
) -> tuple[Any, Any]:
    """The jobs that fit the filters, all pages of them, as CSV."""
    if not n_clicks:  # the button was only drawn
        return no_update, no_update
    now: datetime = context().now()
    found = jobs.jobs(
        context().store,
        now=now,
        states=states or None,
        pool=pool or None,
        tenant=tenant or None,
        search=search or None,
        limit=DOWNLOAD_ROWS_MAX,
    )
    file = file_of(found.rows, "jobs", now)
    return file, [said_of_download(found.rows.height, found.total)]


opens_by("jobs", "jobs-job", "jobs-grid")
asks_anew("jobs", "jobs-grid", FILTERS, "shell-tick")
keep_in_address(*FILTERS, "jobs-job")
register_page(
    __name__,
    path="/jobs",
    name="Jobs",
    title="Jobs · Pilothouse",
    layout=layout,
    order=3,
    icon="list-ordered",
)
