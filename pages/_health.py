"""How the collectors fare, and who may sign in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dash import html

from pages._context import needed
from pages._parts import empty, state_badge, table
from pages._words import MISSING, age, count, exact_instant
from warehouse import health, people
from warehouse.store import Store


def collectors_table(store: Store, now: datetime) -> Any:
    """A row a collector: how its newest run ended, how old its rows are, why it failed."""
    found = health.collector_health(store, now=now)
    if found.is_empty():
        return empty("No collector has run yet", html.Div("The first runs within a minute."))
    head = (
        "Collector",
        "Newest run",
        "When",
        "Rows fresh as of",
        "Rows",
        "Took",
        "Runs, 24 h",
        "Word",
    )
    return table(head, [_collector_row(row, now) for row in found.to_dicts()], "Collectors")


def _collector_row(row: dict[str, Any], now: datetime) -> list[Any]:
    runs, failures = row["runs_in_24h"], row["failures_in_24h"]
    failed = html.Div(f"{count(failures)} failed", className="sub bad") if failures else None
    return [
        html.B(row["collector"]),
        state_badge(row["outcome"]),
        html.Span(
            age(row["last_run_at"], now),
            className="nowrap",
            title=exact_instant(row["last_run_at"]),
        ),
        _freshness(row, now),
        count(row["row_count"]),
        _took(row["duration_seconds"], row["attempt_count"]),
        html.Div([html.Span(count(runs)), failed], className="nowrap"),
        html.Div(row["detail"] or MISSING, className="sub", style={"minWidth": 180}),
    ]


def _freshness(row: dict[str, Any], now: datetime) -> Any:
    words_of_it = age(row["last_success_at"], now)
    if row["is_stale"]:
        return html.Span(f"{words_of_it}, stale", className="warn nowrap")
    return html.Span(words_of_it, className="nowrap")


def _took(seconds: float, attempts: int) -> html.Span:
    tries = f", {attempts} tries" if attempts > 1 else ""
    return html.Span(f"{seconds:.2f} s{tries}", className="nowrap")


def people_table(store: Store, now: datetime) -> Any:
    """Everybody who may sign in, with their role; for admins only.

    Raises:
        NotAllowed: whoever asks is none.
    """
    needed("admin")
    found = people.users(store)
    if not found:
        return empty("Nobody yet", html.Div("The console printed a first sign-in when it started."))
    rows = [
        [
            each.user_name,
            each.role,
            "Active" if each.is_active else html.Span("Switched off", className="dim"),
            html.Span(exact_instant(each.recorded_at)[:16], className="sub nowrap"),
        ]
        for each in found
    ]
    return table(("Who", "Role", "State", "Since"), rows, "People")
