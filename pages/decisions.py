"""Decisions: what waits for a person, what was decided, and what came of it."""

from __future__ import annotations

from typing import Any

import polars as pl
from dash import (
    ALL,
    ClientsideFunction,
    Input,
    Output,
    State,
    clientside_callback,
    ctx,
    dcc,
    html,
    no_update,
    register_page,
)

from pages import _verdicts
from pages._address import chosen, keep_in_address, listed
from pages._callbacks import NOTICES, answers
from pages._cards import waiting_cards
from pages._context import context
from pages._decisions import (
    COLUMNS,
    SENT,
    TABS,
    drawer,
    filters,
    scatter_panel,
    score_box,
    tabs,
)
from pages._detail import decision_detail, decision_head
from pages._drawers import asks_anew, opens_by
from pages._forms import verdict_form
from pages._grid import server_grid
from pages._not_done import ROW_HEIGHTS, not_done_panels, span_of
from pages._not_done_answers import answer_for_not_done
from pages._nothing import nothing_yet
from pages._parts import (
    empty,
    page,
    page_head,
    panel,
    skeleton_rows,
    state_badge,
)
from pages._score import scatter, score_tiles
from pages._words import count
from pages._yeses import has_own_buttons, said_box, said_digest
from warehouse import decisions, forgone
from warehouse.steps import steps

FILTERS = ("decisions-state", "decisions-pool", "decisions-action", "decisions-search")
CARDS_MAX = 24
SLOW_MILLISECONDS = 15_000


def layout(
    state: str | None = None,
    pool: str | None = None,
    action: str | None = None,
    search: str | None = None,
    id: str | None = None,
    tab: str | None = None,
    span: str | None = None,
    fate: str | None = None,
    **_: str,
) -> html.Div:
    """The page before its rows are in."""
    shown = chosen(tab, list(TABS))
    states, days = listed(state, decisions.STATES), span_of(span)
    found = filters(states, pool, action, search, days, fate if fate in forgone.FATES else None)
    note = html.Span("Reading the warehouse", id="decisions-counts")
    body = [
        html.Div(queue(), className="only-queue stack"),
        html.Div(found, className="filters"),
        table_panel(),
        not_done_panels(),
    ]
    return page(
        dcc.Input(id="decisions-id", type="hidden", value=id or ""),
        dcc.Store(id="decisions-form-of"),
        dcc.Store(id="decisions-waiting-of"),
        dcc.Store(id="decisions-said"),
        dcc.Interval(id="decisions-slow", interval=SLOW_MILLISECONDS),
        page_head("Decisions", tabs(shown), note=note),
        html.Div(body, id="decisions-body", className=f"stack tab-{shown}"),
        drawer(),
        name="decisions",
    )


def queue() -> list[Any]:
    """What waits for a person, and what was promised and kept."""
    return [
        panel("Waiting", html.Div(skeleton_rows(3), id="decisions-waiting")),
        html.Div([scatter_panel(), score_box()], className="columns columns-main"),
    ]


def table_panel() -> html.Section:
    """The table of all decisions."""
    grid = server_grid(
        "decisions-grid",
        COLUMNS,
        getRowId="params.data.decision_id",
        dashGridOptions=dict(ROW_HEIGHTS),
    )
    return panel(
        None,
        html.Div(id="decisions-empty"),
        html.Div(grid, className="grid-box"),
        className="panel-flush only-queue",
    )


@answers(
    Output("decisions-waiting", "children"),
    Output("decisions-counts", "children"),
    Output("decisions-empty", "children"),
    Output("decisions-waiting-of", "data"),
    Input("shell-tick", "n_intervals"),
    State("decisions-waiting-of", "data"),
)
def bring_up_to_date(n_intervals: int | None, cards_shown: str | None) -> tuple[Any, ...]:
    """What waits, and how many decisions are in each state."""
    counts = decisions.counts_by_state(context().store, now=context().now())
    known = [
        f"{count(number)} {state.replace('_', ' ')}" for state, number in counts.items() if number
    ]
    nothing = (
        None if known else nothing_yet("decisions", "The engine looks at the fleet at every tick.")
    )
    cards, digest = waiting()
    words_of_it = " · ".join(known) or "No decisions yet"
    return no_update if digest == cards_shown else cards, words_of_it, nothing, digest


def waiting() -> tuple[Any, str]:
    """The cards of what waits for a person, the oldest first, and what they are told apart by."""
    now = context().now()
    found = decisions.decisions(
        context().store, now=now, states=["waiting"], newest_first=False, limit=CARDS_MAX
    )
    rows = found.rows.to_dicts()
    return waiting_cards(rows, "decisions", now)


@answers(
    Output("decisions-score", "children"),
    Output("decisions-scatter", "children"),
    Input("decisions-slow", "n_intervals"),
)
def show_score(n_intervals: int | None) -> tuple[Any, Any]:
    """What was promised and what was kept."""
    store, now = context().store, context().now()
    measured = decisions.decisions(store, now=now, states=["measured", "undone"], limit=400)
    return score_tiles(decisions.scoreboard(store)), scatter(measured.rows)


@answers(
    Output("decisions-grid", "getRowsResponse"),
    Input("decisions-grid", "getRowsRequest"),
    State("decisions-state", "value"),
    State("decisions-pool", "value"),
    State("decisions-action", "value"),
    State("decisions-search", "value"),
)
def rows(
    request: dict[str, Any] | None,
    states: list[str] | None,
    pool: str | None,
    action: str | None,
    search: str | None,
) -> Any:
    """The block of decisions that the table asks for, the newest first."""
    if request is None:
        return no_update
    offset = request["startRow"]
    found = decisions.decisions(
        context().store,
        now=context().now(),
        states=states or None,
        pool=pool or None,
        action=action or None,
        search=search or None,
        offset=offset,
        limit=request["endRow"] - offset,
    )
    sent = found.rows.select(SENT).with_columns(
        pl.col(pl.Datetime).dt.to_string("%Y-%m-%dT%H:%M:%SZ"), pl.col(pl.Float64).round(2)
    )
    return {"rowData": sent.to_dicts(), "rowCount": found.total}


@answers(
    Output("decisions-title", "children"),
    Output("decisions-why", "children"),
    Output("decisions-detail", "children"),
    Output("decisions-form", "children"),
    Output("decisions-form-of", "data"),
    Input("decisions-id", "value"),
    Input("shell-tick", "n_intervals"),
    Input("decisions-said", "data"),
    State("decisions-form-of", "data"),
)
def show(
    decision_id: str | None, n_intervals: int | None, said: str | None, form_key: str | None
) -> tuple[Any, ...]:
    """The picked decision; its form is made anew only when its state changed, so that what is
    being typed stays."""
    if not decision_id:
        return skeleton_rows(1), skeleton_rows(4), None, None, ""
    store, now = context().store, context().now()
    try:
        found = decisions.decision(store, decision_id, now=now)
    except decisions.NoSuchDecision:
        gone = empty("No such decision", html.Div("Pick another in the table."))
        return decision_id, gone, None, None, ""
    title = html.Div([html.Span(found.summary), state_badge(found.state)], className="row")
    happened, taken = decisions.timeline(store, decision_id), steps(store, decision_id)
    detail = decision_detail(found, happened, now, taken)
    key = f"{decision_id} {found.state} {said_digest(found)}"
    form = no_update if key == form_key else _form(found)
    return title, decision_head(found), detail, form, key


def _form(found: decisions.DecisionState) -> list[Any]:
    return [said_box(found), verdict_form(found, has_own_buttons=has_own_buttons(found))]


@answers(
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Output("decisions-waiting", "children", allow_duplicate=True),
    Input({"type": "decisions-approve", "id": ALL, "hash": ALL}, "n_clicks"),
    prevent_initial_call=True,
)
def approve_shown(clicks: list[int | None]) -> Any:
    """Approve the decision whose card's button was pressed."""
    if not any(clicks) or not isinstance(ctx.triggered_id, dict):  # the cards were only drawn anew
        return no_update, no_update
    told = _verdicts.approve(ctx.triggered_id["id"], ctx.triggered_id["hash"])
    return [told], waiting()[0]


@answers(
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Output("decisions-said", "data", allow_duplicate=True),
    Output("decisions-waiting", "children", allow_duplicate=True),
    Input({"type": "decisions-second", "id": ALL, "hash": ALL}, "n_clicks"),
    prevent_initial_call=True,
)
def say_second_yes(clicks: list[int | None]) -> Any:
    """Say yes to exactly what another person said yes to."""
    if not any(clicks) or not isinstance(ctx.triggered_id, dict):
        return no_update, no_update, no_update
    asked = ctx.triggered_id
    told = _verdicts.approve(asked["id"], asked["hash"])
    return [told], f"{asked['id']} {asked['hash']}", waiting()[0]


@answers(
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Output("decisions-said", "data", allow_duplicate=True),
    Output("decisions-waiting", "children", allow_duplicate=True),
    Input("decisions-confirm", "n_clicks"),
    State("decisions-choice", "value"),
    State("decisions-reason", "value"),
    State({"type": "decisions-parameter", "name": ALL}, "value"),
    State({"type": "decisions-parameter", "name": ALL}, "id"),
    State("decisions-shown", "data"),
    running=[(Output("decisions-confirm", "loading"), True, False)],
    prevent_initial_call=True,
)
def confirm(
    n_clicks: int | None,
    choice: str,
    reason: str | None,
    values: list[Any],
    names: list[dict[str, str]],
    shown: dict[str, str],
) -> Any:
    """Say what was chosen in the form."""
    if not n_clicks:
        return no_update, no_update, no_update
    told = _said(choice, reason, {n["name"]: v for n, v in zip(names, values, strict=True)}, shown)
    return [told], f"{shown['id']} {n_clicks}", waiting()[0]


def _said(
    choice: str, reason: str | None, parameters: dict[str, Any], shown: dict[str, str]
) -> dict[str, Any]:
    if choice == "reject":
        return _verdicts.reject(shown["id"], reason)
    if choice in ("override", "edit_anew"):
        return _verdicts.override(shown["id"], parameters, reason, shown["hash"])
    return _verdicts.approve(shown["id"], shown["hash"])


@answers(
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Output("decisions-said", "data", allow_duplicate=True),
    Input("decisions-undo", "n_clicks"),
    State("decisions-undo-reason", "value"),
    State("decisions-id", "value"),
    running=[(Output("decisions-undo", "loading"), True, False)],
    prevent_initial_call=True,
)
def undo(n_clicks: int | None, reason: str | None, decision_id: str) -> Any:
    """Ask that the picked decision be undone."""
    if not n_clicks:
        return no_update, no_update
    return [_verdicts.undo(decision_id, reason)], f"undo {decision_id} {n_clicks}"


@answers(
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Output("decisions-said", "data", allow_duplicate=True),
    Input("decisions-withdraw", "n_clicks"),
    State("decisions-withdraw-reason", "value"),
    State("decisions-id", "value"),
    running=[(Output("decisions-withdraw", "loading"), True, False)],
    prevent_initial_call=True,
)
def withdraw(n_clicks: int | None, reason: str | None, decision_id: str) -> Any:
    """Take the approval of the picked decision back."""
    if not n_clicks:
        return no_update, no_update
    return [_verdicts.withdraw(decision_id, reason)], f"withdraw {decision_id} {n_clicks}"


clientside_callback(
    ClientsideFunction("decisions", "choose"),
    Output("decisions-parameters", "style"),
    Output("decisions-reason", "style"),
    Output("decisions-confirm", "children"),
    Output("decisions-confirm", "color"),
    Input("decisions-choice", "value"),
)
clientside_callback(
    ClientsideFunction("decisions", "show"),
    Output("decisions-body", "className"),
    Input("decisions-tab", "value"),
)
answer_for_not_done()
opens_by("decisions", "decisions-id", "decisions-grid")
asks_anew("decisions", "decisions-grid", FILTERS, "shell-tick")
keep_in_address("decisions-tab", *FILTERS, "decisions-span", "decisions-fate", "decisions-id")
register_page(
    __name__,
    path="/decisions",
    name="Decisions",
    title="Decisions · Pilothouse",
    layout=layout,
    order=4,
    icon="git-pull-request-arrow",
)
