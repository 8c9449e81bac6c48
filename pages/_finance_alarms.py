"""Alarms about the money, each with what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from dash import dcc, html

from pages._finance_books import open_link
from pages._finance_parts import lead
from pages._parts import empty
from pages._words import count, instant
from warehouse.records import MeteringAlarm

SHOWN = 40
TITLES = {
    "zero_price": "Price of $0",
    "no_price": "No price",
    "no_cost": "No unit cost",
    "out_of_bounds": "Out of bound",
    "unknown_tenant": "Unknown tenant",
}


def alarms_box(found: Sequence[MeteringAlarm]) -> html.Div:
    """Every alarm, the newest first."""
    if not found:
        told = "Every hour has a price, a cost and a tenant, and lies within its bound."
        return empty("No alarms", html.Div(told), icon_name="check")
    shown = [_alarm(each) for each in found[:SHOWN]]
    rest = len(found) - len(shown)
    more = f" The newest {SHOWN} of {count(len(found))} are shown." if rest else ""
    said = lead(f"Each is told once, in the hour it was first seen.{more}")
    return html.Div([said, html.Ul(shown, className="finance-alarms")])


def _alarm(each: MeteringAlarm) -> html.Li:
    head = [html.B(TITLES[each.kind]), html.Span(instant(each.happened_at), className="sub nowrap")]
    detail = each.detail[:1].upper() + each.detail[1:]
    foot = _step(each)
    return html.Li(
        [
            html.Div(head),
            html.Div([html.P(f"{detail}."), foot] if foot is not None else html.P(f"{detail}.")),
        ],
        key=each.alarm_id,
    )


def _step(each: MeteringAlarm) -> Any:
    """Where to do it."""
    if each.kind == "out_of_bounds" and each.pool:
        book = f"{each.pool}@{each.happened_at:%Y-%m-%dT%H}"
        return open_link(book, f"Take {each.pool} at {instant(each.happened_at)} apart")
    if each.job_id:
        return dcc.Link("See the job", href=f"/jobs?job={quote(each.job_id)}")
    if each.kind == "no_cost":
        return html.A("Unit costs below", href="#finance-costs-box")
    if each.kind in ("zero_price", "no_price"):
        return dcc.Link("See its price on Market", href="/market")
    return None
