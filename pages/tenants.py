"""Tenants: what they do, who gives signs of leaving and on what evidence, and who stays."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import Input, Output, State, dcc, html, no_update, register_page

from pages._address import chosen, keep_in_address
from pages._callbacks import NOTICES, answers
from pages._context import MINUTE_SECONDS, MOMENT_SECONDS, context, kept
from pages._drawers import asks_anew, opens_by
from pages._files import DOWNLOAD_ROWS_MAX, file_of, said_of_download
from pages._grid import server_grid, sorting
from pages._nothing import nothing_yet
from pages._parts import empty, icon, page, page_head, panel, skeleton_rows
from pages._tenants_cohorts import BY, cohorts_box
from pages._tenants_detail import Known, detail
from pages._tenants_signals import signals_box, standing_words, tiles
from pages._tenants_table import COLUMNS, file_frame, for_the_wire, search_box
from pages._words import exact_instant
from warehouse import behaviour, churn, cohorts, spend, usage
from warehouse.churn import Judged

SLOW_MILLISECONDS = 30_000
SPANS = {"30": "30 days", "7": "7 days", "90": "90 days"}
"""Days and words; the first is shown where none is asked for."""
ORDER = ("7", "30", "90")
HIDDEN = {"display": "none"}
SLOW = Input("tenants-slow", "n_intervals")
SPAN = Input("tenants-span", "value")


def layout(
    search: str | None = None,
    span: str | None = None,
    by: str | None = None,
    tenant: str | None = None,
    **_: str,
) -> html.Div:
    """The page before its rows are in."""
    return page(
        dcc.Input(id="tenants-tenant", type="hidden", value=tenant or ""),
        dcc.Download(id="tenants-file"),
        dcc.Interval(id="tenants-slow", interval=SLOW_MILLISECONDS),
        page_head(
            "Tenants",
            _pick("tenants-span", span, SPANS, ORDER, "How far back"),
            note=html.Span("Reading", id="tenants-age"),
        ),
        html.Div(skeleton_rows(3), id="tenants-standing"),
        html.Div(
            [
                panel("Signals", html.Div(skeleton_rows(4), id="tenants-signals")),
                _table_panel(search),
                panel(
                    "Who stays",
                    html.Div(skeleton_rows(6), id="tenants-cohorts"),
                    right=_pick("tenants-by", by, BY, tuple(BY), "Who stays by"),
                ),
            ],
            id="tenants-all",
            className="stack",
        ),
        _drawer(),
        name="tenants",
    )


def _pick(
    name: str, value: str | None, data: dict[str, str], order: tuple[str, ...], label: str
) -> dmc.SegmentedControl:
    return dmc.SegmentedControl(
        id=name,
        value=chosen(value, list(data)),
        data=[{"value": each, "label": data[each]} for each in order],
        **{"aria-label": label},
    )


def _table_panel(search: str | None) -> html.Section:
    button = dmc.Button(
        "Download CSV", id="tenants-download", variant="default", leftSection=icon("download", 14)
    )
    grid = server_grid("tenants-grid", COLUMNS, getRowId="params.data.tenant")
    return panel(
        "All tenants",
        html.Div(search_box(search), className="filters tenants-inset"),
        html.Div(grid, className="grid-box tenants-grid-box"),
        right=button,
        className="panel-flush",
    )


def _drawer() -> dmc.Drawer:
    return dmc.Drawer(
        html.Div(id="tenants-detail"),
        id="tenants-drawer",
        opened=False,
        position="right",
        size="min(640px, 100vw)",
        title=html.Div(id="tenants-title"),
        overlayProps={"backgroundOpacity": 0.2},
        closeButtonProps={"aria-label": "Close"},
    )


def since_of(span: str | None) -> tuple[int, datetime]:
    """The days of a span, and the instant it begins at."""
    days = int(chosen(span, list(SPANS)))
    return days, context().now() - timedelta(days=days)


@kept(MOMENT_SECONDS)
def figures_of(span: str | None) -> tuple[pl.DataFrame, datetime]:
    """A row a tenant, and the instant for which it was asked."""
    now = context().now()
    return behaviour.tenant_figures(context().store, since=since_of(span)[1], now=now), now


@kept(MINUTE_SECONDS)
def judged_now() -> list[Judged]:
    """Every tenant, judged by every rule."""
    return churn.judged(context().store, now=context().now())


@kept(MINUTE_SECONDS)
def cohorts_now() -> pl.DataFrame:
    """Who came when, and who is still there."""
    return cohorts.cohorts(context().store, now=context().now())


@answers(
    Output("tenants-standing", "children"),
    Output("tenants-signals", "children"),
    Output("tenants-age", "children"),
    Output("tenants-all", "style"),
    SPAN,
    SLOW,
)
def show_standing(span: str | None, n_intervals: int | None) -> tuple[Any, ...]:
    """Who is active, who gives signs of leaving, in words and figures."""
    days, _ = since_of(span)
    figures, now = figures_of(span)
    if figures.is_empty():
        nothing = nothing_yet("tenants", "They appear here when the first job is submitted.")
        return panel(None, nothing), None, "No tenants yet", HIDDEN
    judged = judged_now()
    standing = churn.standing(judged, now=now)
    money = behaviour.concentration(figures)
    top = [standing_words(standing, money, days), tiles(standing, money, figures, days)]
    said = f"As of {exact_instant(now)}, from the jobs' events and what was billed"
    return html.Div(top, className="stack"), signals_box(judged), said, {}


@answers(
    Output("tenants-grid", "getRowsResponse"),
    Input("tenants-grid", "getRowsRequest"),
    State("tenants-search", "value"),
    State("tenants-span", "value"),
)
def rows(request: dict[str, Any] | None, search: str | None, span: str | None) -> Any:
    """The block of tenants that the table asks for."""
    if request is None:
        return no_update
    sort, descending = sorting(request, "charge_usd")
    figures, _ = figures_of(span)
    found = behaviour.tenant_page(
        figures,
        search=search,
        sort=sort,
        descending=descending,
        offset=request["startRow"],
        limit=request["endRow"] - request["startRow"],
    )
    return {"rowData": for_the_wire(found.rows), "rowCount": found.total}


@answers(Output("tenants-cohorts", "children"), Input("tenants-by", "value"), SLOW)
def show_cohorts(by: str | None, n_intervals: int | None) -> Any:
    """Who came when, and who is still there."""
    return cohorts_box(cohorts_now(), chosen(by, list(BY)))


@answers(
    Output("tenants-title", "children"),
    Output("tenants-detail", "children"),
    Input("tenants-tenant", "value"),
    SPAN,
    SLOW,
)
def show_tenant(tenant: str | None, span: str | None, n_intervals: int | None) -> tuple[Any, Any]:
    """The picked tenant."""
    if not tenant:
        return skeleton_rows(1), skeleton_rows(6)
    known = _known(tenant, span)
    if known is None:
        missing = html.Div("No job of it is on record. Pick another in the table.")
        return tenant, empty(f"No tenant {tenant}", missing)
    days, _ = since_of(span)
    title = html.Div([html.B(tenant), html.Span(f"{days} days", className="sub")], className="row")
    return title, detail(known)


def _known(tenant: str, span: str | None) -> Known | None:
    store, now, wall = context().store, context().now(), context().wall.now()
    days, since = since_of(span)
    figures, _ = figures_of(span)
    row = figures.filter(figures["tenant"] == tenant)
    if row.is_empty():
        return None
    judged = judged_now()
    used = usage.usage_by_tenant(
        store, since=wall - timedelta(days=days), until=wall + timedelta(minutes=1)
    )
    return Known(
        row=row.row(0, named=True),
        judged=next((each for each in judged if each.tenant == tenant), None),
        days=behaviour.activity_by_day(store, since=since, now=now, tenant=tenant),
        spent=spend.spend(store, since=since, until=now, step="day", tenant=tenant),
        sizes=behaviour.sizes(store, since=since, now=now, tenant=tenant),
        troubles=behaviour.troubles(store, since=since, now=now, tenant=tenant),
        used=used.filter(used["tenant"] == tenant),
        since=since,
        now=now,
        wall=wall,
    )


@answers(
    Output("tenants-file", "data"),
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Input("tenants-download", "n_clicks"),
    State("tenants-search", "value"),
    State("tenants-span", "value"),
    running=[(Output("tenants-download", "loading"), True, False)],
    prevent_initial_call=True,
)
def download(n_clicks: int | None, search: str | None, span: str | None) -> tuple[Any, Any]:
    """The tenants that fit the search, all of them, as CSV."""
    if not n_clicks:  # the button was only drawn
        return no_update, no_update
    figures, now = figures_of(span)
    found = behaviour.tenant_page(figures, search=search, limit=DOWNLOAD_ROWS_MAX)
    file = file_of(file_frame(found.rows), "tenants", now)
    return file, [said_of_download(found.rows.height, found.total)]


opens_by("tenants", "tenants-tenant", "tenants-grid")
asks_anew("tenants", "tenants-grid", ("tenants-search", "tenants-span"), "tenants-slow")
keep_in_address("tenants-search", "tenants-span", "tenants-by", "tenants-tenant")
register_page(
    __name__,
    path="/tenants",
    name="Tenants",
    title="Tenants · Pilothouse",
    layout=layout,
    order=3.3,
    icon="users",
)
