"""A waiting decision as a card: what, why, what it should gain, how long one may think."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from pages._context import may
from pages._interval import interval_bar
from pages._parts import empty, icon
from pages._words import percent, signed_usd, until
from pages._yeses import Notes, card_notes, notes_digest


def waiting_cards(rows: list[dict[str, Any]], page: str, now: datetime) -> tuple[Any, str]:
    """The cards of what waits, or a word that nothing does; and what changes when they would look
    different: drawn anew, they cost a callback a button. `page` begins the buttons' ids."""
    if not rows:
        hint = html.Div("New proposals appear here by themselves.")
        return empty("Nothing waits for you", hint, icon_name="check"), ""
    notes = card_notes(rows, now)
    cards = [_card(row, page, now, notes[row["decision_id"]]) for row in rows]
    shown = [f"{row['decision_id']} {until(row['expires_at'], now)}" for row in rows]
    return html.Div(cards, className="cards"), "|".join([*shown, notes_digest(notes)])


def _card(row: dict[str, Any], page: str, now: datetime, notes: Notes) -> html.Article:
    where = f"/decisions?id={row['decision_id']}"
    return html.Article(
        [
            html.Div(dcc.Link(row["summary"], href=where), className="card-title"),
            html.Div(row["reason"], className="card-why", title=row["reason"]),
            _gain(row),
            *(html.Div(note, className="sub warn") for note in notes.words),
            html.Div(
                [_expiry(row["expires_at"], now), _buttons(row, page, where, notes)],
                className="card-foot",
            ),
        ],
        className="card",
        key=row["decision_id"],
    )


def _gain(row: dict[str, Any]) -> html.Div:
    expected, low, high = (row[f"expected_gain_{end}usd_per_hour"] for end in ("", "low_", "high_"))
    words = [
        html.B(f"{signed_usd(expected)}/h", className="good" if expected >= 0 else "bad"),
        html.Span(
            f"{percent(row['interval_ratio'])} sure of {signed_usd(low)} to {signed_usd(high)}",
            className="sub",
        ),
    ]
    return html.Div([html.Div(words, className="card-gain"), interval_bar(low, expected, high)])


def _expiry(expires_at: datetime, now: datetime) -> html.Span:
    is_soon = (expires_at - now).total_seconds() < 600
    return html.Span(
        [icon("clock", 13), f" expires {until(expires_at, now)}"],
        className="sub nowrap warn" if is_soon else "sub nowrap",
    )


def _buttons(row: dict[str, Any], page: str, where: str, notes: Notes) -> html.Div:
    details = dcc.Link(dmc.Button("Details", variant="default", tabIndex=-1), href=where)
    if not may("operator"):
        return html.Div([details], className="row")
    if notes.is_edited:  # a yes from here would not say to which version
        choose = dcc.Link(dmc.Button("Choose a version", tabIndex=-1), href=where)
        return html.Div([choose], className="row")
    if notes.is_for_another:
        said = html.Span("You said yes", className="sub nowrap")
        return html.Div([said, details], className="row")
    # The hash goes with the button: what is approved is what is on the screen.
    shown = {"type": f"{page}-approve", "id": row["decision_id"], "hash": row["action_hash"]}
    approve = dmc.Button("Approve", id=shown, leftSection=icon("check", 14))
    return html.Div([details, approve], className="row")
