"""What the tab "Not done" asks of the warehouse; the page that shows it registers it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dash import ClientsideFunction, Input, Output, State, clientside_callback, no_update

from pages._callbacks import NOTICES, answers
from pages._context import context
from pages._files import DOWNLOAD_ROWS_MAX, file_of, said_of_download
from pages._not_done import for_the_wire, nothing_left_undone, since, sums_box
from warehouse import forgone

FILTERS = ("decisions-span", "decisions-pool", "decisions-action", "decisions-fate")
GRID = "decisions-forgone-grid"


def answer_for_not_done() -> None:
    """Register what the tab asks; once an app, as Dash runs the page's file."""
    _answer_from_the_server()
    _answer_in_the_browser()


def _answer_from_the_server() -> None:
    chosen = [State(name, "value") for name in FILTERS]
    answers(
        Output("decisions-forgone-sums", "children"),
        Output("decisions-forgone-empty", "children"),
        Output("decisions-forgone-box", "style"),
        Input("decisions-tab", "value"),
        *(Input(name, "value") for name in FILTERS),
        Input("decisions-slow", "n_intervals"),
    )(show_cost)
    answers(
        Output(GRID, "getRowsResponse"),
        Input(GRID, "getRowsRequest"),
        State("decisions-tab", "value"),
        *chosen,
    )(ledger_rows)
    answers(
        Output("decisions-forgone-file", "data"),
        Output(NOTICES, "sendNotifications", allow_duplicate=True),
        Input("decisions-forgone-download", "n_clicks"),
        *chosen,
        running=[(Output("decisions-forgone-download", "loading"), True, False)],
        prevent_initial_call=True,
    )(download)


def _answer_in_the_browser() -> None:
    grid = State(GRID, "id")
    clientside_callback(
        ClientsideFunction("grid", "purge"),
        *(Input(name, "value") for name in ("decisions-tab", *FILTERS)),
        grid,
        prevent_initial_call=True,
    )
    clientside_callback(
        ClientsideFunction("grid", "refresh"),
        Output("decisions-forgone-box", "lang"),  # nothing is written, as in `asks_anew`
        Input("decisions-slow", "n_intervals"),
        grid,
        prevent_initial_call=True,
    )
    clientside_callback(
        ClientsideFunction("grid", "picked"), Input(GRID, "selectedRows"), prevent_initial_call=True
    )
    clientside_callback(
        ClientsideFunction("decisions", "release"),
        Input("decisions-drawer", "opened"),
        grid,
        prevent_initial_call=True,
    )


def show_cost(tab: str, *asked: Any) -> tuple[Any, ...]:
    """What was proposed and not carried out, and what that cost."""
    if tab != "not-done":
        return no_update, no_update, no_update
    span, pool, action, fate, _ = asked
    now = context().now()
    totals = forgone.forgone(context().store, **_asked(now, span, pool, action, fate))
    box = sums_box(totals, span, pool, action)
    if totals.is_empty():
        return box, nothing_left_undone(), {"display": "none"}
    return box, None, {}


def ledger_rows(request: dict[str, Any] | None, tab: str, *asked: Any) -> Any:
    """The block of the ledger that the table asks for; none while it is not shown."""
    if request is None:
        return no_update
    if tab != "not-done":
        return {"rowData": [], "rowCount": 0}
    offset = request["startRow"]
    found = forgone.not_done(
        context().store,
        **_asked(context().now(), *asked),
        offset=offset,
        limit=request["endRow"] - offset,
    )
    return {"rowData": for_the_wire(found.rows), "rowCount": found.total}


def download(n_clicks: int | None, *asked: Any) -> tuple[Any, Any]:
    """The lines of the ledger that fit the filters, all pages of them, as CSV."""
    if not n_clicks:  # the button was only drawn
        return no_update, no_update
    now = context().now()
    found = forgone.not_done(context().store, **_asked(now, *asked), limit=DOWNLOAD_ROWS_MAX)
    file = file_of(found.rows, "not-done", now)
    return file, [said_of_download(found.rows.height, found.total)]


def _asked(now: datetime, *asked: str | None) -> dict[str, Any]:
    """The values of `FILTERS` as the warehouse is asked."""
    span, pool, action, fate = asked
    return {
        "since": since(span, now),
        "pool": pool or None,
        "action": action or None,
        "fate": fate or None,
    }
