"""Exports: what comes next and what waits, what was written, and having one written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from pages._context import may
from pages._finance_parts import gpu_hours, kind_words, lead, money_words, pick
from pages._parts import empty, icon, state_badge, table
from pages._words import age, count, duration, exact_instant, until
from warehouse.export_periods import period_of
from warehouse.export_schedule import EXPORT_SECONDS, Due, Schedule
from warehouse.paging import Page

KINDS = {"focus": "FOCUS", "usage": "Usage"}
SHOWN = {"all": "All", **KINDS, "failed": "Failed"}
ROWS_PER_PAGE = 12
LISTED = 6
"""Periods that are named one by one; the rest are counted."""
_UNITS = ("B", "KB", "MB", "GB", "TB")
_REASONS = {"scheduled": "on time", "catch_up": "late, after a stand", "corrected": "corrected"}


# -- what comes next -------------------------------------------------------------------


def schedule_box(found: Schedule, now: datetime, *, is_scheduled: bool) -> html.Div:
    """What is due, what waits and why, and what fails; `now` is the fleet's."""
    how = (
        f"Every {duration(EXPORT_SECONDS)} the console looks what is due, and writes it to "
        if is_scheduled
        else "Nothing is written by itself: PILOTHOUSE_EXPORT_ENABLED is off. By hand it goes to "
    )
    due = _due(found.due, is_scheduled=is_scheduled)
    listed = [due, *_waiting(found, now), *_failing(found)]
    return html.Div(
        [
            lead(how, html.Span(found.place, className="mono finance-path"), "."),
            html.Ul(
                listed,
                className="finance-next",
            ),
        ]
    )


def _due(due: Sequence[Due], *, is_scheduled: bool) -> html.Li:
    if not due:
        said = "Every day and month that is wholly metered is written."
        return _next("check", "Nothing is due", said)
    named = [
        f"{each.period.label} {kind_words(each.kind)}"
        + ("" if each.reason == "scheduled" else f" ({_REASONS.get(each.reason, each.reason)})")
        for each in due[:LISTED]
    ]
    rest = len(due) - LISTED
    more = f" and {count(rest)} more, in order" if rest > 0 else ""
    when = "written at the next look" if is_scheduled else "to be written by hand"
    return _next("clock", f"{count(len(due))} due, {when}", f"{', '.join(named)}{more}.")


def _waiting(found: Schedule, now: datetime) -> list[html.Li]:
    listed = sorted(found.waiting, key=lambda each: each.period.ends_at)[:LISTED]
    rows = [
        _next(
            "inbox",
            f"{each.period.label} waits, {_over(each.period.ends_at, now)}",
            f"{each.detail[:1].upper()}{each.detail[1:]}.",
        )
        for each in listed
    ]
    rest = len(found.waiting) - len(listed)
    return rows + ([_next("inbox", f"{count(rest)} more wait", "")] if rest > 0 else [])


def _over(ends_at: datetime, now: datetime) -> str:
    return "though it is over" if ends_at <= now else f"over {until(ends_at, now)}"


def _failing(found: Schedule) -> list[html.Li]:
    return [
        _next(
            "octagon-pause",
            f"{each.period.label} {kind_words(each.kind)} failed {_times(each.failures)}",
            f"{each.detail}. Tried again from {each.again_at:%H:%M} UTC on.",
            "bad",
        )
        for each in found.failing[:LISTED]
    ]


def _times(number: int) -> str:
    return "once" if number == 1 else f"{count(number)} times"


def _next(name: str, title: str, said: str, tone: str = "") -> html.Li:
    head = html.B([icon(name, 14), html.Span(title)], className=f"finance-next-head {tone}".strip())
    return html.Li([head, html.Span(said, className="sub")])


# -- what was written ------------------------------------------------------------------


def history_box(found: Page, place: str, now: datetime, shown: str) -> html.Div:
    """A page of what was written or failed, the newest first; `now` is the machine's clock."""
    if not found.total:
        why = (
            "The first day is written once all of its hours are metered; or have one written now."
            if shown == "all"
            else "None of this kind."
        )
        return empty("No exports yet" if shown == "all" else "None", html.Div(why))
    head = ["Period", "Version", "Outcome", "Rows", "GPU-hours", "Billed", "Size", "SHA-256",
            "Written", ""]  # fmt: skip
    rows = [_row(row, place, now) for row in found.rows.iter_rows(named=True)]
    said = lead(
        f"{count(found.total)} on record. A version is never changed: what is corrected comes as "
        "the next one, with its reason."
    )
    return html.Div([said, table(head, rows, "Exports")])


def _row(row: Mapping[str, Any], place: str, now: datetime) -> list[Any]:
    label = period_of(row["span"], row["period_starts_at"]).label
    is_written = row["outcome"] == "written"
    why = row["reason"] if is_written else row["detail"]
    period = [
        html.Span(f"{label} {kind_words(row['kind'])}", className="nowrap"),
        html.Div(f"{why}, by {row['requested_by']}", className="sub finance-why", title=why),
    ]
    when = html.Span(
        age(row["written_at"], now), className="nowrap", title=exact_instant(row["written_at"])
    )
    if not is_written:
        return [period, str(row["version"]), state_badge("failed"), *[""] * 5, when, ""]
    return [
        period,
        str(row["version"]),
        html.Span([icon("check", 13), " written"], className="good nowrap"),
        count(row["row_count"]),
        gpu_hours(row["gpu_hours"]),
        money_words(row["billed_usd"]),
        html.Span(size_words(row["size_bytes"]), className="nowrap"),
        _digest(row["sha256"]),
        when,
        _does(row["export_id"], label, is_here=row["place"] == place, place=row["place"]),
    ]


def _digest(sha256: str | None) -> html.Span:
    if sha256 is None:
        return html.Span()
    copy = dcc.Clipboard(content=sha256, title="Copy the SHA-256", className="finance-copy")
    return html.Span(
        [html.Span(sha256[:10], className="mono", title=sha256), copy], className="nowrap"
    )


def _does(export_id: str, label: str, *, is_here: bool, place: str) -> html.Div:
    if not is_here:
        return html.Div(f"at {place}", className="sub finance-path")
    path = f"/api/v1/exports/{export_id}"
    return html.Div(
        [
            html.A("File", href=f"{path}/file", download="", **{"aria-label": f"File of {label}"}),
            html.A(
                "Manifest",
                href=f"{path}/manifest",
                target="_blank",
                **{"aria-label": f"Manifest of {label}"},
            ),
            dmc.Button(
                "Verify",
                id={"type": "finance-verify", "id": export_id},
                variant="default",
                size="compact-xs",
                **{"aria-label": f"Verify {label}"},
            ),
        ],
        className="finance-does",
    )


def size_words(size_bytes: float) -> str:
    """A size of a file."""
    unit = 0
    while size_bytes >= 1000 and unit < len(_UNITS) - 1:
        size_bytes, unit = size_bytes / 1000, unit + 1
    return f"{size_bytes:.0f} {_UNITS[unit]}" if unit == 0 else f"{size_bytes:.1f} {_UNITS[unit]}"


# -- by hand ---------------------------------------------------------------------------


def export_form(day: str | None) -> html.Div:
    """What an operator asks an export with; `day` is the newest that is over."""
    if not may("operator"):
        said = "Having an export written takes the role operator: ask one, or wait for it."
        return html.Div(said, className="sub")
    spans = {"day": "By day", "month": "By month"}
    return html.Div(
        [
            pick("ask-kind", "focus", KINDS, "Kind"),
            pick("ask-span", "day", spans, "Span"),
            _day("finance-ask-from", "From", day),
            _day("finance-ask-to", "To", day),
            dmc.Button("Export now", id="finance-ask", leftSection=icon("download", 14)),
        ],
        className="filters",
    )


def _day(name: str, label: str, value: str | None) -> dmc.DatePickerInput:
    return dmc.DatePickerInput(id=name, value=value, label=label, valueFormat="YYYY-MM-DD", w=140)
