"""Market: where our prices stand, what others ask, now and over time, and what to do about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dash_mantine_components as dmc
from dash import ALL, Input, Output, State, ctx, dcc, html, no_update, register_page

from pages._address import chosen, keep_in_address
from pages._callbacks import NOTICES, answers, notice
from pages._context import context, needed
from pages._drawers import asks_anew
from pages._files import DOWNLOAD_ROWS_MAX, file_of, said_of_download
from pages._market_advice import advice_box
from pages._market_asked import (
    asked_of,
    availability_now,
    chart_models,
    file_frame,
    imported_past,
    known_models,
    our_pools,
    past_of,
    sources_now,
    standing_now,
    table_page,
)
from pages._market_files import FILES
from pages._market_history import history_box, history_controls, imported_box, no_imports
from pages._market_parts import download_menu, lead, section
from pages._market_pools import pools_box
from pages._market_sources import (
    alarms_box,
    names_box,
    nothing_brought,
    sources_box,
)
from pages._market_standing import standing_box
from pages._market_stock import availability_box
from pages._market_table import (
    COLUMNS,
    FILTERS,
    VIEWS,
    for_the_wire,
    our_prices,
    table_panel,
    table_words,
    with_ours,
)
from pages._parts import page, page_head
from pages._words import age
from warehouse import market, market_table, offers, recommendations
from warehouse.market import FRESH

SLOW_MILLISECONDS = 30_000
ALARMS_SHOWN = 50
ALARMS_SPAN = timedelta(days=30)
HIDDEN = {"display": "none"}
SLOW = Input("market-slow", "n_intervals")


def layout(
    history: str | None = None, span: str | None = None, scope: str | None = None, **asked: str
) -> html.Div:
    """The page before its rows are in."""
    store, at = context().store, context().wall.now()
    return page(
        dcc.Download(id="market-file"),
        dcc.Interval(id="market-slow", interval=SLOW_MILLISECONDS),
        page_head("Market", note=html.Span("Reading", id="market-age")),
        section("Where we stand", "standing", rows=5),
        html.Div(
            [
                table_panel(market_table.choices(store, at), asked),
                _over_time(history, span),
            ],
            className="stack market-prices",
            id="market-prices",
        ),
        _imported(scope),
        section("Availability", "stock", right=download_menu("availability", "availability")),
        section(
            "What our price engine goes by", "pools", right=download_menu("pools", "the evidence")
        ),
        section("What to do", "advice", right=download_menu("recommendations", "recommendations")),
        html.Div(
            [
                section("Alarms", "alarms", right=download_menu("alarms", "alarms")),
                section("Names nobody knows", "names", right=download_menu("names", "names")),
            ],
            className="columns columns-main",
        ),
        section("Sources", "sources", right=download_menu("sources", "sources")),
        name="market",
    )


def _over_time(history: str | None, span: str | None) -> html.Section:
    controls = history_controls(chart_models(), history, span)
    return section("Prices over time", "past", right=controls, rows=8)


def _imported(scope: str | None) -> html.Section:
    pick = dmc.Select(
        id="market-scope",
        value=scope,
        data=[scope] if scope else [],
        allowDeselect=False,
        placeholder="Scope",
        w=330,
        **{"aria-label": "Scope of imported history"},
    )
    right = [pick, download_menu("imported", "imported history")]
    return section("Imported history", "imported", right=right, rows=6)


# -- where we stand --------------------------------------------------------------------


@answers(
    Output("market-standing", "children"),
    Output("market-age", "children"),
    Output("market-sources", "children"),
    Output("market-prices", "style"),
    Output("market-stock-box", "style"),
    SLOW,
)
def show_standing(n_intervals: int | None) -> tuple[Any, ...]:
    """Where we stand in words, and whence that is known."""
    at = context().wall.now()
    rows = sources_now()
    newest = max((row["newest_offer_at"] for row in rows if row["newest_offer_at"]), default=None)
    known = known_models()
    if newest is None:
        box = nothing_brought(rows, known.height)
        style = {} if known.height else HIDDEN
        return box, "No source has brought a price yet", sources_box(rows, at), style, HIDDEN
    said = f"Newest price {age(newest, at)}, by the machine's clock"
    return standing_box(standing_now(rows)), said, sources_box(rows, at), {}, {}


@answers(
    Output("market-pools", "children"),
    Output("market-advice", "children"),
    SLOW,
)
def show_pools(n_intervals: int | None) -> tuple[Any, Any]:
    """What the price engine goes by, and what it would do."""
    store, now, at = context().store, context().now(), context().wall.now()
    found = recommendations.recommendations(store, now)
    return pools_box(our_pools(), now, at), advice_box(found, now)


@answers(
    Output("market-alarms", "children"),
    Output("market-names", "children"),
    SLOW,
)
def show_alarms(n_intervals: int | None) -> tuple[Any, Any]:
    """What did not enter as a price."""
    store, at = context().store, context().wall.now()
    found = market.alarms(store, at, since=at - ALARMS_SPAN, limit=ALARMS_SHOWN)
    return alarms_box(found.rows, found.total, at), names_box(offers.unmatched_names(store, at), at)


@answers(Output("market-stock", "children"), Input("market-model", "value"), SLOW)
def show_availability(model: str | None, n_intervals: int | None) -> Any:
    """Who had stock."""
    return availability_box(availability_now(), model or None, context().wall.now())


# -- prices ----------------------------------------------------------------------------


@answers(
    Output("market-grid", "getRowsResponse"),
    Output("market-table-words", "children"),
    Output("market-grid-box", "style"),
    Input("market-grid", "getRowsRequest"),
    *(State(name, "value") for name in FILTERS),
)
def rows(request: dict[str, Any] | None, *chosen_filters: str | None) -> tuple[Any, ...]:
    """The block of prices that the table asks for."""
    if request is None:
        return no_update, no_update, no_update
    asked = asked_of(chosen_filters)
    found = table_page(asked, request, request["startRow"], request["endRow"] - request["startRow"])
    shown = with_ours(found.rows, our_prices(our_pools()))
    answer = {
        "rowData": for_the_wire(shown, asked.view, FRESH.total_seconds()),
        "rowCount": found.total,
    }
    said = table_words(found.total, asked.view, is_filtered=asked.is_filtered)
    return answer, said, {} if found.total else HIDDEN


@answers(
    Output("market-grid", "columnDefs"), Input("market-view", "value"), prevent_initial_call=True
)
def show_columns(view: str | None) -> Any:
    """The columns of the view."""
    return COLUMNS[chosen(view, list(VIEWS))]


@answers(
    Output("market-past", "children"),
    Input("market-history", "value"),
    Input("market-span", "value"),
    SLOW,
)
def show_history(model: str | None, span: str | None, n_intervals: int | None) -> Any:
    """The prices of one model over time."""
    if not model:
        return lead("No model has a price yet.")
    return history_box(past_of(model, span))


@answers(
    Output("market-imported", "children"),
    Output("market-scope", "data"),
    Output("market-scope", "value"),
    Output("market-imported-box", "style"),
    Input("market-history", "value"),
    Input("market-span", "value"),
    Input("market-scope", "value"),
)
def show_imported(model: str | None, span: str | None, scope: str | None) -> tuple[Any, ...]:
    """Imported history of the model, one scope at a time."""
    found = imported_past(model, span, scope)
    if found is None:
        is_any = not known_models().is_empty()
        return no_imports(model), [], None, {} if is_any else HIDDEN
    box = imported_box(found.model, found.series, found.rows, context().wall.now())
    value = no_update if found.scope == scope else found.scope
    return box, found.choices, value, {}


# -- what a person does ----------------------------------------------------------------


@answers(
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Output("market-advice", "children", allow_duplicate=True),
    Input({"type": "market-propose", "id": ALL}, "n_clicks"),
    prevent_initial_call=True,
)
def propose(clicks: list[int | None]) -> tuple[Any, Any]:
    """Make a recommendation a decision that waits for approval."""
    if not any(clicks) or not isinstance(ctx.triggered_id, dict):
        return no_update, no_update
    person = needed("operator")
    store, now = context().store, context().now()
    made = recommendations.propose_recommendation(
        store,
        ctx.triggered_id["id"],
        by=person.name,
        now=now,
        via="browser" if person.via == "browser" else "api",
        market_at=context().wall.now(),
    )
    told = notice("Proposed", f"{made.summary}. It waits for approval on Decisions.")
    return [told], advice_box(recommendations.recommendations(store, now), now)


@answers(
    Output("market-file", "data"),
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Input({"type": "market-download", "what": ALL, "format": ALL}, "n_clicks"),
    State("market-history", "value"),
    State("market-span", "value"),
    State("market-scope", "value"),
    *(State(name, "value") for name in FILTERS),
    prevent_initial_call=True,
)
def download(
    clicks: list[int | None],
    model: str | None,
    span: str | None,
    scope: str | None,
    *chosen_filters: str | None,
) -> tuple[Any, Any]:
    """The table whose button was pressed, as it is filtered, all pages of it."""
    pressed = ctx.triggered_id
    if not any(clicks) or not isinstance(pressed, dict) or pressed["what"] not in FILES:
        return no_update, no_update
    frame, total = file_frame(
        pressed["what"], asked_of(chosen_filters), model, span, scope, DOWNLOAD_ROWS_MAX
    )
    file = file_of(frame, f"market-{pressed['what']}", context().wall.now(), pressed["format"])
    return file, [said_of_download(frame.height, total)]


asks_anew("market", "market-grid", FILTERS, "market-slow")
keep_in_address(*FILTERS, "market-history", "market-span", "market-scope")
register_page(
    __name__,
    path="/market",
    name="Market",
    title="Market · Pilothouse",
    layout=layout,
    order=3.6,
    icon="trending-up",
)
