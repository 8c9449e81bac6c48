"""Overview: is the fleet well, what does it earn and cost, what waits for me."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import ALL, Input, Output, State, ctx, dcc, html, no_update, register_page

from pages._address import chosen, keep_in_address
from pages._callbacks import NOTICES, answers
from pages._cards import waiting_cards
from pages._charts import area_chart, chart_rows, colors_of, step_seconds, wide
from pages._context import context
from pages._figures import figure_tiles, pools_table
from pages._nothing import nothing_yet
from pages._parts import page, page_head, panel, skeleton_rows, skeleton_tiles
from pages._verdicts import approve
from pages._words import age, count
from warehouse import decisions, fleet, money
from warehouse.words import counted

SPANS = {"24h": timedelta(hours=24), "14d": timedelta(days=14)}
MEASURES = {
    "profit": ("Profit", pl.col("profit_usd")),
    "revenue": ("Revenue", pl.col("revenue_usd") + pl.col("spot_revenue_usd")),
    "cost": (
        "Cost",
        pl.col("owned_cost_usd")
        + pl.col("leased_cost_usd")
        + pl.col("penalty_usd")
        + pl.col("refund_usd"),
    ),
}
CARDS_MAX = 6
UNTIL_THEN = "They appear once a collector has reported them."
SLOW_MILLISECONDS = 30_000


def layout(span: str | None = None, measure: str | None = None, **_: str) -> html.Div:
    """The page before its figures are in."""
    return page(
        dcc.Store(id="overview-waiting-of"),
        dcc.Interval(id="overview-slow", interval=SLOW_MILLISECONDS),
        page_head("Overview", note=html.Span("Reading the warehouse", id="overview-age")),
        html.Div(skeleton_tiles(6), id="overview-tiles", className="tiles", **{"aria-live": "off"}),
        panel(
            "Waiting for you",
            html.Div(skeleton_rows(3), id="overview-waiting"),
            right=dcc.Link("All decisions", href="/decisions"),
        ),
        panel("Pools", html.Div(skeleton_rows(4), id="overview-pools")),
        panel(
            "Money, USD an hour by pool",
            html.Div(dmc.Skeleton(height=240), id="overview-money"),
            right=[_measure_control(measure), _span_control(span)],
        ),
        name="overview",
    )


def _measure_control(measure: str | None) -> dmc.SegmentedControl:
    return dmc.SegmentedControl(
        id="overview-measure",
        value=chosen(measure, list(MEASURES)),
        data=[{"value": name, "label": label} for name, (label, _) in MEASURES.items()],
        **{"aria-label": "What is shown"},
    )


def _span_control(span: str | None) -> dmc.SegmentedControl:
    labels = {"24h": "24 h", "14d": "14 days"}
    return dmc.SegmentedControl(
        id="overview-span",
        value=chosen(span, list(SPANS)),
        data=[{"value": name, "label": label} for name, label in labels.items()],
        **{"aria-label": "Over how long"},
    )


@answers(
    Output("overview-tiles", "children"),
    Output("overview-waiting", "children"),
    Output("overview-pools", "children"),
    Output("overview-age", "children"),
    Output("overview-waiting-of", "data"),
    Input("shell-tick", "n_intervals"),
    State("overview-waiting-of", "data"),
)
def bring_up_to_date(n_intervals: int | None, cards_shown: str | None) -> tuple[Any, ...]:
    """The figures, what waits, the pools, and how old it all is."""
    store, now = context().store, context().now()
    pools = fleet.pool_overview(store, now=now)
    history = fleet.pool_history(
        store, since=now - timedelta(hours=24), until=now, step_seconds=3600
    )
    money_24h = money.earnings(store, since=now - timedelta(hours=48), until=now, step_seconds=3600)
    cards, digest = waiting(now)
    newest = pools["measured_at"].max() if pools.height else None
    return (
        figure_tiles(pools, money_24h, now),
        no_update if digest == cards_shown else cards,
        pools_table(pools, history, money_24h, now)
        if pools.height
        else nothing_yet("pools", UNTIL_THEN),
        _age_words(newest, pools.height, now),
        digest,
    )


def _age_words(newest: Any, pool_count: int, now: datetime) -> str:
    if newest is None:
        return "Nothing was read yet"
    return f"{counted(pool_count, 'pool')}, read {age(newest, now)}"


def waiting(now: datetime) -> tuple[Any, str]:
    """The cards of what waits for a person, the oldest first, and what they are told apart by."""
    found = decisions.decisions(
        context().store, now=now, states=["waiting"], newest_first=False, limit=CARDS_MAX
    )
    rows = found.rows.to_dicts()
    cards, digest = waiting_cards(rows, "overview", now)
    more = found.total - found.rows.height
    link = dcc.Link(f"and {count(more)} more", href="/decisions") if more > 0 else None
    shown = html.Div([cards, link], className="stack") if link else cards
    return shown, f"{found.total} {digest}"


@answers(
    Output("overview-money", "children"),
    Input("overview-span", "value"),
    Input("overview-measure", "value"),
    Input("overview-slow", "n_intervals"),
)
def draw_money(span: str, measure: str, n_intervals: int | None) -> Any:
    """The chart of what each pool earns or costs, USD an hour."""
    now, length = context().now(), SPANS[chosen(span, list(SPANS))]
    seconds = length.total_seconds()
    step = max(step_seconds(seconds), 3600)
    until = now.replace(minute=0, second=0, microsecond=0)
    frame = money.earnings(context().store, since=until - length, until=until, step_seconds=step)
    if frame.is_empty():
        return nothing_yet("money", UNTIL_THEN)
    label, expression = MEASURES[chosen(measure, list(MEASURES))]
    per_hour = frame.select("at", "pool", (expression / (step / 3600)).alias(label))
    table = wide(per_hour, label)
    return area_chart(
        chart_rows(table, seconds),
        colors_of([name for name in table.columns if name != "at"]),
        format_js="asUsd",
        kind="default" if label == "Profit" else "stacked",  # a loss can't be stacked
        height_px=260,
    )


@answers(
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Output("overview-waiting", "children", allow_duplicate=True),
    Input({"type": "overview-approve", "id": ALL, "hash": ALL}, "n_clicks"),
    prevent_initial_call=True,
)
def approve_shown(clicks: list[int | None]) -> Any:
    """Approve the decision whose card's button was pressed."""
    if not any(clicks) or not isinstance(ctx.triggered_id, dict):  # the cards were only drawn anew
        return no_update, no_update
    told = approve(ctx.triggered_id["id"], ctx.triggered_id["hash"])
    return [told], waiting(context().now())[0]


keep_in_address("overview-span", "overview-measure")
register_page(
    __name__,
    path="/",
    name="Overview",
    title="Overview · Pilothouse",
    layout=layout,
    order=1,
    icon="layout-dashboard",
)
