"""Finance: what was metered and billed, whether the books agree, and the files for finance."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import ALL, Input, Output, State, ctx, dcc, html, no_update, register_page

from pages import _finance_answers
from pages import _finance_asked as asked
from pages._address import chosen, keep_in_address
from pages._callbacks import NOTICES, answers
from pages._context import context
from pages._drawers import asks_anew, opens_by
from pages._files import DOWNLOAD_ROWS_MAX, file_of, said_of_download
from pages._finance_alarms import alarms_box
from pages._finance_asked import BY
from pages._finance_books import SHOWN, book_detail, book_title, books_box, no_book
from pages._finance_costs import cost_form
from pages._finance_exports import SHOWN as LOGS
from pages._finance_exports import export_form
from pages._finance_parts import HIDDEN, download_menu, pick, section
from pages._finance_preview import kind_of, preview_panel
from pages._finance_standing import nothing_metered, standing_box
from pages._finance_table import columns, for_the_wire, table_panel, table_words
from pages._grid import sorting
from pages._parts import page, page_head, skeleton_rows
from pages._words import exact_instant
from warehouse import fleet, metering, reconciliation

SLOW_MILLISECONDS = 30_000
SLOW = Input("finance-slow", "n_intervals")
SPAN = Input("finance-span", "value")


def layout(
    span: str | None = None,
    by: str | None = None,
    shown: str | None = None,
    log: str | None = None,
    day: str | None = None,
    kind: str | None = None,
    book: str | None = None,
    **_: str,
) -> html.Div:
    """The page before its rows are in."""
    first, until = asked.metered()
    spans = asked.spans(first, until)
    newest = asked.newest_day()
    return page(
        dcc.Input(id="finance-book", type="hidden", value=book or ""),
        dcc.Download(id="finance-file"),
        dcc.Interval(id="finance-slow", interval=SLOW_MILLISECONDS),
        page_head(
            "Finance",
            dmc.Select(
                id="finance-span",
                value=chosen(span, list(spans)),
                data=[{"value": key, "label": said} for key, said in spans.items()],
                allowDeselect=False,
                w=180,
                **{"aria-label": "Month or days"},
            ),
            note=html.Span("Reading", id="finance-age"),
        ),
        html.Div(skeleton_rows(3), id="finance-standing"),
        html.Div(
            [
                table_panel(chosen(by, list(BY))),
                _books_section(shown),
                section("Alarms", "alarms", right=download_menu("alarms", "alarms")),
                _exports_section(log, newest),
                preview_panel(asked.as_day(day) or newest, kind_of(kind)),
            ],
            id="finance-all",
            className="stack",
        ),
        _costs_section(),
        dmc.Drawer(
            html.Div(id="finance-detail"),
            id="finance-drawer",
            opened=False,
            position="right",
            size="min(760px, 100vw)",
            title=html.Div(id="finance-title"),
            overlayProps={"backgroundOpacity": 0.2},
            closeButtonProps={"aria-label": "Close"},
        ),
        name="finance",
    )


def _books_section(shown: str | None) -> html.Section:
    right = [
        pick("shown", chosen(shown, list(SHOWN)), SHOWN, "Which days"),
        download_menu("books", "the reconciliation"),
    ]
    made = section("Reconciliation", "books", right=right, rows=8)
    return _with_pager(made, "books")


def _exports_section(log: str | None, day: str | None) -> html.Section:
    right = [
        pick("log", chosen(log, list(LOGS)), LOGS, "Which exports"),
        download_menu("exports", "the history of exports"),
    ]
    above = html.Div([html.Div(skeleton_rows(2), id="finance-schedule"), export_form(day)])
    made = section("Exports", "history", right=right, rows=5, above=above)
    return _with_pager(made, "history")


def _with_pager(made: html.Section, name: str) -> html.Section:
    pager = dmc.Pagination(id=f"finance-{name}-page", value=1, total=1, size="sm", style=HIDDEN)
    made.children.append(html.Div(pager, className="finance-pager"))
    return made


def _costs_section() -> html.Section:
    made = section("Unit costs", "costs", rows=3)
    pools = [each.pool for each in fleet.pools(context().store)]
    made.children.append(cost_form(pools))
    return made


# -- money and books -------------------------------------------------------------------


@answers(
    Output("finance-standing", "children"),
    Output("finance-age", "children"),
    Output("finance-all", "style"),
    SPAN,
    SLOW,
)
def show_standing(span: str | None, n_intervals: int | None) -> tuple[Any, ...]:
    """Where the money stands, in words and figures."""
    now, failure = context().now(), asked.failing_chore("meter")
    until, found = asked.metered()[1], asked.span_of(span)
    if until is None or found is None:
        return nothing_metered(failure), "Nothing is metered yet", HIDDEN
    books = asked.books(found)
    box = standing_box(found, asked.totals(found), books, until, now, failure)
    said = f"As of {exact_instant(now)}, by the newest metering of each hour"
    return box, said, {}


@answers(
    Output("finance-grid", "getRowsResponse"),
    Output("finance-table-words", "children"),
    Output("finance-grid-box", "style"),
    Input("finance-grid", "getRowsRequest"),
    State("finance-span", "value"),
    State("finance-by", "value"),
)
def rows(request: dict[str, Any] | None, span: str | None, by: str | None) -> tuple[Any, ...]:
    """The block of the table that it asks for."""
    found = asked.span_of(span)
    if request is None or found is None:
        return no_update, no_update, no_update
    picked = chosen(by, list(BY))
    frame = asked.money(found, picked)
    sort, down = sorting(request, "key" if picked == "day" else "charge_usd")
    first, last = request["startRow"], request["endRow"]
    shown = asked.money_page(frame, sort, first, last - first, down=down)
    answer = {"rowData": for_the_wire(shown.rows), "rowCount": shown.total}
    said = table_words(shown.total, picked, found.words)
    return answer, said, {} if shown.total else HIDDEN


@answers(
    Output("finance-grid", "columnDefs"), Input("finance-by", "value"), prevent_initial_call=True
)
def show_columns(by: str | None) -> Any:
    """The columns of what a row is."""
    return columns(chosen(by, list(BY)))


@answers(
    Output("finance-books", "children"),
    Output("finance-books-page", "total"),
    Output("finance-books-page", "style"),
    SPAN,
    Input("finance-shown", "value"),
    Input("finance-books-page", "value"),
    SLOW,
)
def show_books(
    span: str | None, shown: str | None, number: int | None, n_intervals: int | None
) -> tuple[Any, ...]:
    """A page of the reconciliation."""
    found = asked.span_of(span)
    if found is None:
        return None, 1, HIDDEN
    box, pages = books_box(asked.books(found), chosen(shown, list(SHOWN)), number or 1)
    return box, pages, {} if pages > 1 else HIDDEN


@answers(
    Output("finance-title", "children"),
    Output("finance-detail", "children"),
    Input("finance-book", "value"),
)
def show_book(value: str | None) -> tuple[Any, Any]:
    """The pool's day that is picked, and one hour of it taken apart."""
    if not value:
        return skeleton_rows(1), skeleton_rows(6)
    book = asked.book_of(value)
    hours = asked.book_hours(book) if book else None
    if book is None or hours is None or hours.is_empty():
        return "Reconciliation", no_book(book)
    at = asked.farthest(hours) if book.hour is None else asked.hour_of(book)
    found = reconciliation.where_it_differs(context().store, book.pool, at)
    return book_title(book), book_detail(book, hours, found, at.hour)


@answers(Output("finance-alarms", "children"), SLOW)
def show_alarms(n_intervals: int | None) -> Any:
    """What of the money a person must look at."""
    return alarms_box(metering.alarms(context().store))


# -- files -----------------------------------------------------------------------------


@answers(
    Output("finance-file", "data"),
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Input({"type": "finance-download", "what": ALL, "format": ALL}, "n_clicks"),
    State("finance-span", "value"),
    State("finance-by", "value"),
    State("finance-log", "value"),
    prevent_initial_call=True,
)
def download(
    clicks: list[int | None], span: str | None, by: str | None, log: str | None
) -> tuple[Any, Any]:
    """The table whose button was pressed, all pages of it."""
    pressed = ctx.triggered_id
    if not any(clicks) or not isinstance(pressed, dict):
        return no_update, no_update
    frame, total = asked.file_frame(
        pressed["what"], span, chosen(by, list(BY)), chosen(log, list(LOGS)), DOWNLOAD_ROWS_MAX
    )
    file = file_of(frame, f"finance-{pressed['what']}", context().now(), pressed["format"])
    return file, [said_of_download(frame.height, total)]


_finance_answers.register()
opens_by("finance", "finance-book")
asks_anew("finance", "finance-grid", ("finance-span", "finance-by"), "finance-slow")
keep_in_address(
    "finance-span", "finance-by", "finance-shown", "finance-log", "finance-day", "finance-kind",
    "finance-book",
)  # fmt: skip
register_page(
    __name__,
    path="/finance",
    name="Finance",
    title="Finance · Pilothouse",
    layout=layout,
    order=3.8,
    icon="wallet",
)
