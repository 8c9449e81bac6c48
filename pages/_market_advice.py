"""What to do about the market: recommendations by what each is worth, with their assumptions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from pages._context import may
from pages._interval import interval_bar
from pages._market_parts import lead
from pages._parts import empty, icon
from pages._words import age, exact_instant, signed_usd
from warehouse.recommendations import HOURS_PER_MONTH
from warehouse.records import Recommendation


def advice_box(found: Sequence[Recommendation], now: datetime) -> Any:
    """A card a recommendation, the most valuable first."""
    if not found:
        told = (
            "A round comes once an hour and after new prices. What is worth less than $50 a month "
            "is not said."
        )
        return empty("Nothing to recommend today", html.Div(told), icon_name="check")
    made = max(each.made_at for each in found)
    whole = sum(each.effect_usd_per_month for each in found)
    asks = "" if may("operator") else " Proposing one takes the role operator."
    return html.Div(
        [
            lead(
                html.B(f"{len(found)} recommendations"),
                f", worth {signed_usd(whole, 0)} a month if all their assumptions hold and none "
                f"takes from another; worked out {age(made, now)}.{asks}",
            ),
            html.Div([_card(each) for each in found], className="market-advice"),
        ]
    )


def _card(each: Recommendation) -> html.Article:
    return html.Article(
        [
            html.Div(
                [
                    html.Span(f"{each.rank}", className="market-rank"),
                    html.Div(each.title, className="card-title"),
                ],
                className="market-advice-head",
            ),
            html.Div(each.reason, className="sub"),
            _effect(each),
            _assumptions(each),
            html.Div(_foot(each), className="card-foot"),
        ],
        className="card market-advised",
        key=each.recommendation_id,
    )


def _effect(each: Recommendation) -> html.Div:
    low, mid, high = (
        each.effect_low_usd_per_month,
        each.effect_usd_per_month,
        each.effect_high_usd_per_month,
    )
    said = [
        html.B(f"{signed_usd(mid, 0)} a month", className="good" if mid >= 0 else "bad"),
        html.Span(f"{signed_usd(low, 0)} to {signed_usd(high, 0)}", className="sub"),
    ]
    hourly = [value / HOURS_PER_MONTH for value in (low, mid, high)]  # what the bar says aloud
    return html.Div([html.Div(said, className="card-gain"), interval_bar(*hourly)])


def _assumptions(each: Recommendation) -> Any:
    if not each.assumptions:
        return None
    listed = html.Ul([html.Li(said) for said in each.assumptions], className="market-assumptions")
    count = len(each.assumptions)
    head = html.Summary(f"{count} assumption{'' if count == 1 else 's'}")
    return html.Details([head, listed], className="market-details")


def _foot(each: Recommendation) -> list[Any]:
    kind = "For the loop" if each.kind == "decision" else "For a person"
    left = html.Span(
        [icon("clock", 13), f" {kind}"], className="sub nowrap", title=exact_instant(each.made_at)
    )
    if each.kind != "decision":
        return [left]
    if each.decision_id is not None:
        where = f"/decisions?id={each.decision_id}"
        return [left, dcc.Link("Proposed: see the decision", href=where)]
    if not may("operator"):
        return [left]
    button = dmc.Button(
        "Propose",
        id={"type": "market-propose", "id": each.recommendation_id},
        leftSection=icon("git-pull-request-arrow", 14),
        **{"aria-label": f"Propose: {each.title}"},
    )
    return [left, button]
