"""Engine: who steers, what it would do and why, whether it earns more, and who judges that."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import polars as pl
from dash import ALL, Input, Output, State, ctx, dcc, html, no_update, register_page

from pages._address import chosen, keep_in_address
from pages._callbacks import NOTICES, answers, notice
from pages._context import context, needed
from pages._drawers import asks_anew
from pages._engine_forecasts import HORIZONS, SERIES_WORDS, forecast_box, forecast_controls
from pages._engine_gain import gain_box
from pages._engine_judge import promises_box, twin_box
from pages._engine_learning import learning_box
from pages._engine_ledger import alarms_box, champions_box, for_the_wire, ledger_panel, ledger_words
from pages._engine_now import now_box
from pages._engine_parts import HALVES, policy_words, pool_of, pool_select, section
from pages._engine_steering import (
    DIAL_WORDS,
    back_dialog,
    back_words,
    challenger_box,
    champion_box,
    dial_box,
    dial_mark,
    steering_panel,
)
from pages._files import DOWNLOAD_ROWS_MAX, file_of, said_of_download
from pages._nothing import nothing_yet
from pages._parts import page, page_head
from pages._words import age, words
from warehouse import controls, decisions, forecasts, policies, shadow

SLOW_MILLISECONDS = 15_000
SCORES_SPAN = timedelta(days=90)
CHECKS_SPAN = timedelta(days=30)
FORECASTS_SPAN = timedelta(days=3)


def layout(
    pool: str | None = None,
    series: str | None = None,
    horizon: str | None = None,
    role: str | None = None,
    **_: str,
) -> html.Div:
    """The page before its rows are in."""
    return page(
        dcc.Download(id="engine-file"),
        dcc.Store(id="engine-back-of"),
        dcc.Interval(id="engine-slow", interval=SLOW_MILLISECONDS),
        page_head("Engine", pool_select(pool), note=html.Span("Reading", id="engine-age")),
        steering_panel(controls.dial_setting(context().store), context().now()),
        section("Who challenges", "challenger"),
        section("What it would do now, and why", "now", rows=6),
        section("Does it earn more?", "gain", rows=6),
        html.Div(
            [section("Are its promises kept?", "promises"), section("Is the twin honest?", "twin")],
            className=HALVES,
        ),
        section("How it learned", "learning"),
        section(
            "Forecasts against what came", "forecast", right=forecast_controls(series, horizon)
        ),
        ledger_panel(role),
        html.Div(
            [section("Alarms", "alarms"), section("Who steered when", "champions")],
            className=HALVES,
        ),
        back_dialog(),
        name="engine",
    )


# -- who steers ------------------------------------------------------------------------


@answers(
    Output("engine-champion", "children"),
    Output("engine-challenger", "children"),
    Output("engine-champions", "children"),
    Output("engine-alarms", "children"),
    Input("engine-slow", "n_intervals"),
)
def show_steering(n_intervals: int | None) -> tuple[Any, ...]:
    """Who steers, who challenges, who did and what went wrong."""
    store, now = context().store, context().now()
    return (
        _champion(),
        _challenger(),
        champions_box(policies.champion_history(store), now),
        alarms_box(policies.alarms(store), now),
    )


def _champion() -> html.Div:
    store, now = context().store, context().now()
    found = policies.steering(store)
    try:
        version = policies.policy(store, found.policy_id)
    except policies.NoSuchPolicy:  # the rule of day 0 has no row
        version = None
    return champion_box(found, version, shadow.drifting_pools(store), now)


def _challenger() -> html.Div:
    store, now = context().store, context().now()
    found = policies.challenger(store)
    asked = decisions.decisions(store, now=now, states=["waiting"], action="promote_policy")
    waiting = {
        json.loads(row["parameters"])["policy_id"]: row["decision_id"]
        for row in asked.rows.iter_rows(named=True)
    }
    return challenger_box(found, waiting.get(found.policy_id) if found else None, now)


@answers(
    Output("engine-back-dialog", "opened"),
    Output("engine-back-words", "children"),
    Output("engine-back-reason", "value"),
    Output("engine-back-of", "data"),
    Input({"type": "engine-back", "policy": ALL}, "n_clicks"),
    prevent_initial_call=True,
)
def ask_before_rolling_back(clicks: list[int | None]) -> tuple[Any, ...]:
    """Ask for a reason before another policy steers."""
    if not any(clicks) or not isinstance(ctx.triggered_id, dict):
        return (no_update,) * 4
    return True, back_words(policies.steering(context().store)), "", ctx.triggered_id["policy"]


@answers(
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Output("engine-back-dialog", "opened", allow_duplicate=True),
    Output("engine-champion", "children", allow_duplicate=True),
    Input("engine-back-confirm", "n_clicks"),
    State("engine-back-of", "data"),
    State("engine-back-reason", "value"),
    running=[(Output("engine-back-confirm", "loading"), True, False)],
    prevent_initial_call=True,
)
def roll_back(n_clicks: int | None, policy_id: str, reason: str | None) -> tuple[Any, ...]:
    """Let the policy before the one that was seen to steer steer again."""
    if not n_clicks:
        return no_update, no_update, no_update
    person = needed("operator")
    store, now = context().store, context().now()
    found = policies.roll_back(
        store, by=person.name, reason=reason, now=now, policy_id=policy_id, via=person.via
    )
    title = f"{policy_words(found.policy_id)} steers"
    return [notice(title, f"Said by {found.set_by}", key=str(found.since_at))], False, _champion()


@answers(
    Output("engine-dial-box", "children"),
    Output("engine-dial-seen", "data"),
    Input("engine-slow", "n_intervals"),
    State("engine-dial-seen", "data"),
)
def show_dial(n_intervals: int | None, seen: str | None) -> tuple[Any, Any]:
    """The dial, drawn anew only where it was turned elsewhere: a hand may be on this one."""
    now = context().now()
    dial = controls.dial_setting(context().store)
    mark = dial_mark(dial, now)
    return (no_update if mark == seen else dial_box(dial, now)), mark


@answers(
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Output("engine-dial-box", "children", allow_duplicate=True),
    Output("engine-dial-seen", "data", allow_duplicate=True),
    Input("engine-dial", "value"),
    prevent_initial_call=True,
)
def set_dial(name: str | None) -> tuple[Any, Any, Any]:
    """Turn the dial."""
    store, now = context().store, context().now()
    if name is None or name == controls.dial(store):  # it was only drawn
        return no_update, no_update, no_update
    person = needed("operator")
    controls.set_dial(store, name, by=person.name, now=now, via=person.via)
    dial = controls.dial_setting(store)
    told = notice("Dial turned", f"{words(name)}: weighs {DIAL_WORDS[name]}", key=now.isoformat())
    return [told], dial_box(dial, now), dial_mark(dial, now)


# -- what it would do, what it earns, who judges ---------------------------------------


@answers(
    Output("engine-now", "children"),
    Output("engine-age", "children"),
    Input("engine-pool", "value"),
    Input("engine-slow", "n_intervals"),
)
def show_now(pool: str | None, n_intervals: int | None) -> tuple[Any, str]:
    """What each policy would do with the pool."""
    store, now, name = context().store, context().now(), pool_of(pool)
    if name is None:
        return nothing_yet("pools", "They appear once a collector has reported them."), "No pools"
    found = shadow.newest_proposals(store, name)
    newest: Any = found["proposed_at"].max()
    asked = f"newest proposals {age(newest, now)}" if found.height else "no proposals yet"
    return now_box(name, found, shadow.newest_promise(store, name), now), f"{name}, {asked}"


@answers(Output("engine-gain", "children"), Input("engine-slow", "n_intervals"))
def show_gain(n_intervals: int | None) -> Any:
    """What champion and challenger earned beyond the rule, over the whole fleet."""
    now = context().now()
    return gain_box(shadow.scores(context().store, since=now - SCORES_SPAN), now)


@answers(
    Output("engine-promises", "children"),
    Output("engine-twin", "children"),
    Input("engine-pool", "value"),
    Input("engine-slow", "n_intervals"),
)
def show_judge(pool: str | None, n_intervals: int | None) -> tuple[Any, Any]:
    """Whether promises were kept, and whether the twin matches reality."""
    store, now = context().store, context().now()
    checks = shadow.twin_checks(store, since=now - CHECKS_SPAN)
    return (
        promises_box(shadow.promises_kept(store), now),
        twin_box(pool_of(pool), checks, policies.drift_threshold(store), now),
    )


@answers(Output("engine-learning", "children"), Input("engine-slow", "n_intervals"))
def show_learning(n_intervals: int | None) -> Any:
    """The learning curves of the newest run."""
    return learning_box(policies.training_runs(context().store, limit=5), context().now())


@answers(
    Output("engine-forecast", "children"),
    Input("engine-pool", "value"),
    Input("engine-series", "value"),
    Input("engine-horizon", "value"),
    Input("engine-slow", "n_intervals"),
)
def show_forecast(
    pool: str | None, series: str | None, horizon: str | None, n_intervals: int | None
) -> Any:
    """The forecasts of one series and horizon against what came."""
    now, name = context().now(), pool_of(pool)
    if name is None:
        return nothing_yet("forecasts", "They are issued for pools, and there is none yet.")
    what = chosen(series, list(SERIES_WORDS))
    ahead = timedelta(seconds=int(chosen(horizon, list(HORIZONS))))
    store, span = context().store, {"since": now - FORECASTS_SPAN, "until": now + ahead}
    found = forecasts.forecasts_against_actual(
        store, pool=name, series=what, horizon_seconds=int(ahead.total_seconds()), **span
    )
    latest = forecasts.latest_forecasts(store, name, what)
    return forecast_box(name, what, found, _of_horizon(latest, ahead), now)


def _of_horizon(latest: pl.DataFrame, ahead: timedelta) -> dict[str, Any]:
    """What the newest forecast of a horizon says of its own quality, where there is one."""
    own = latest.filter(pl.col("horizon_seconds") == int(ahead.total_seconds()))
    return own.row(0, named=True) if own.height else {}


# -- the ledger ------------------------------------------------------------------------


@answers(
    Output("engine-grid", "getRowsResponse"),
    Output("engine-ledger", "style"),
    Output("engine-ledger-words", "children"),
    Input("engine-grid", "getRowsRequest"),
    State("engine-pool", "value"),
    State("engine-role", "value"),
)
def rows(request: dict[str, Any] | None, pool: str | None, role: str | None) -> tuple[Any, ...]:
    """The block of proposals that the table asks for, the newest first."""
    if request is None:
        return no_update, no_update, no_update
    offset = request["startRow"]
    found = shadow.proposals(
        context().store,
        pool=pool or None,
        role=role or None,
        offset=offset,
        limit=request["endRow"] - offset,
    )
    answer = {"rowData": for_the_wire(found.rows), "rowCount": found.total}
    return answer, {} if found.total else {"display": "none"}, ledger_words(found.total, pool)


@answers(
    Output("engine-file", "data"),
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Input("engine-download", "n_clicks"),
    State("engine-pool", "value"),
    State("engine-role", "value"),
    running=[(Output("engine-download", "loading"), True, False)],
    prevent_initial_call=True,
)
def download(n_clicks: int | None, pool: str | None, role: str | None) -> tuple[Any, Any]:
    """The proposals that fit the filters, all pages of them, as CSV."""
    if not n_clicks:  # the button was only drawn
        return no_update, no_update
    found = shadow.proposals(
        context().store, pool=pool or None, role=role or None, limit=DOWNLOAD_ROWS_MAX
    )
    file = file_of(found.rows, "shadow-proposals", context().now())
    return file, [said_of_download(found.rows.height, found.total)]


asks_anew("engine", "engine-grid", ("engine-pool", "engine-role"), "engine-slow")
keep_in_address("engine-pool", "engine-series", "engine-horizon", "engine-role")
register_page(
    __name__,
    path="/engine",
    name="Engine",
    title="Engine · Pilothouse",
    layout=layout,
    order=5,
    icon="compass",
)
