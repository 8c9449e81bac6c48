"""What the Finance page answers of exports and unit costs, and what people do there."""

from __future__ import annotations

from datetime import date
from typing import Any

from dash import (
    ALL,
    ClientsideFunction,
    Input,
    Output,
    State,
    clientside_callback,
    ctx,
    html,
    no_update,
)

from pages import _finance_asked as asked
from pages._address import chosen
from pages._callbacks import NOTICES, answers, notice
from pages._context import context, needed
from pages._finance_costs import cost_kind, costs_box, figures_of
from pages._finance_exports import ROWS_PER_PAGE, SHOWN, history_box, schedule_box
from pages._finance_making import exports_by_hand, put_in_force, verified
from pages._finance_parts import HIDDEN, lead
from pages._finance_preview import columns, for_the_wire, kind_of, preview_words
from warehouse import export_schedule, exports
from warehouse.export_errors import ExportError
from warehouse.export_periods import ExportSpan
from warehouse.records import UnitCost

SLOW = Input("finance-slow", "n_intervals")
TOLD = Output(NOTICES, "sendNotifications", allow_duplicate=True)


def register() -> None:
    """Register the callbacks with the app that is being made."""
    _register_history()
    _register_preview()
    answers(Output("finance-costs", "children"), SLOW)(show_costs)
    answers(
        TOLD,
        Output("finance-costs", "children", allow_duplicate=True),
        Input("finance-cost-set", "n_clicks"),
        State("finance-cost-pool", "value"),
        State("finance-cost-kind", "value"),
        State({"type": "finance-cost", "name": ALL}, "id"),
        State({"type": "finance-cost", "name": ALL}, "value"),
        prevent_initial_call=True,
    )(set_cost)


def _register_history() -> None:
    answers(Output("finance-schedule", "children"), SLOW)(show_schedule)
    answers(
        Output("finance-history", "children"),
        Output("finance-history-page", "total"),
        Output("finance-history-page", "style"),
        Input("finance-log", "value"),
        Input("finance-history-page", "value"),
        SLOW,
    )(show_history)
    answers(
        TOLD, Input({"type": "finance-verify", "id": ALL}, "n_clicks"), prevent_initial_call=True
    )(verify)
    answers(
        TOLD,
        # Not the interval itself: what listens to nothing else would then never be drawn.
        Output("finance-schedule", "children", allow_duplicate=True),
        Output("finance-history", "children", allow_duplicate=True),
        Input("finance-ask", "n_clicks"),
        *(State(f"finance-ask-{name}", "value") for name in ("kind", "span", "from", "to")),
        State("finance-log", "value"),
        running=[(Output("finance-ask", "loading"), True, False)],
        prevent_initial_call=True,
    )(ask)


def _register_preview() -> None:
    answers(
        Output("finance-preview-grid", "getRowsResponse"),
        Output("finance-preview-words", "children"),
        Output("finance-preview-box", "style"),
        Input("finance-preview-grid", "getRowsRequest"),
        State("finance-day", "value"),
        State("finance-kind", "value"),
    )(preview)
    answers(
        Output("finance-preview-grid", "columnDefs"),
        Input("finance-kind", "value"),
        prevent_initial_call=True,
    )(show_preview_columns)
    clientside_callback(
        ClientsideFunction("grid", "purge"),
        Input("finance-day", "value"),
        Input("finance-kind", "value"),
        State("finance-preview-grid", "id"),
        prevent_initial_call=True,
    )


# -- exports ---------------------------------------------------------------------------


def show_schedule(n_intervals: int | None) -> Any:
    """What is due, what waits, and what fails."""
    try:
        found = export_schedule.schedule(context().store, asked.place().url)
    except ExportError as error:
        return lead(html.B(f"No exports: {error}", className="bad"))
    return schedule_box(found, context().now(), is_scheduled=context().exports_are_scheduled)


def show_history(log: str | None, number: int | None, n_intervals: int | None) -> tuple[Any, ...]:
    """A page of what was written and what failed."""
    shown = chosen(log, list(SHOWN))
    found = asked.history(shown, ((number or 1) - 1) * ROWS_PER_PAGE, ROWS_PER_PAGE)
    pages = max(1, -(-found.total // ROWS_PER_PAGE))
    if (number or 1) > pages:  # the filter left fewer pages
        found = asked.history(shown, (pages - 1) * ROWS_PER_PAGE, ROWS_PER_PAGE)
    box = history_box(found, asked.place_url(), context().wall.now(), shown)
    return box, pages, {} if pages > 1 else HIDDEN


def verify(clicks: list[int | None]) -> Any:
    """Read a file again and say whether it is what was written."""
    pressed = ctx.triggered_id
    if not any(clicks) or not isinstance(pressed, dict):
        return no_update
    return [verified(pressed["id"])]


def ask(
    n_clicks: int | None,
    kind: str | None,
    span: str | None,
    first: str | None,
    last: str | None,
    log: str | None,
) -> tuple[Any, Any, Any]:
    """Write what is asked for; then show it first, with what is still due."""
    if not n_clicks:  # the button was only drawn
        return no_update, no_update, no_update
    person = needed("operator")
    every: ExportSpan = "month" if span == "month" else "day"
    told = exports_by_hand(person, kind_of(kind), every, first, last)
    return [told], show_schedule(None), show_history(log, 1, None)[0]


def preview(request: dict[str, Any] | None, day: str | None, kind: str | None) -> tuple[Any, ...]:
    """The rows of a day as they would be written now."""
    if request is None:
        return no_update, no_update, no_update
    picked = asked.as_day(day) or asked.newest_day()
    if picked is None:
        return {"rowData": [], "rowCount": 0}, "Nothing is metered yet.", HIDDEN
    made, last = kind_of(kind), request["endRow"]
    when = date.fromisoformat(picked)
    found = exports.preview(context().store, made.name, when, asked.names(), limit=last)
    rows = for_the_wire(found.rows.slice(request["startRow"]))
    answer = {"rowData": rows, "rowCount": found.row_count}
    return answer, preview_words(found, made, picked), {} if found.row_count else HIDDEN


def show_preview_columns(kind: str | None) -> Any:
    """The columns of the kind."""
    return columns(kind_of(kind))


# -- unit costs ------------------------------------------------------------------------


def show_costs(n_intervals: int | None) -> Any:
    """What a GPU-hour costs us."""
    return costs_box(asked.rates())


def set_cost(
    n_clicks: int | None,
    pool: str | None,
    kind: str | None,
    ids: list[dict[str, str]],
    values: list[float | str | None],
) -> tuple[Any, Any]:
    """Put a unit cost in force."""
    if not n_clicks:
        return no_update, no_update
    person = needed("admin")
    if not pool:
        return [notice("Not done", "Pick a pool first.", "amber")], no_update
    cost = UnitCost(
        pool=pool,
        kind=cost_kind(kind),
        set_by=person.name,
        in_force_from_at=context().now(),
        **figures_of(ids, values),
    )
    return [put_in_force(person, cost)], costs_box(asked.rates())
