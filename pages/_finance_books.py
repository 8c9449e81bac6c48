"""The books: where every physical GPU-hour went, by day and pool, and where metering and readings
lie apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import polars as pl
from dash import dcc, html

from pages._finance_asked import Book
from pages._finance_parts import (
    gpu_hours,
    hours_words,
    lead,
    money_words,
    parts_bar,
    parts_key,
    signed_gpu_hours,
)
from pages._parts import empty, icon, table
from pages._words import MISSING, count, percent
from warehouse.reconciliation import Differences

SHOWN = {"all": "All days", "apart": "Where they differ"}
ROWS_PER_PAGE = 14
PARTS_SHOWN = 12
"""Nodes and jobs of an hour that are listed, those farthest apart."""


def books_box(books: pl.DataFrame, shown: str, page: int) -> tuple[html.Div, int]:
    """A page of the books with what the whole of them says, and how many pages there are."""
    if books.is_empty():
        said = "They need readings of the fleet's nodes: no source has brought one."
        return empty("No books in this span", html.Div(said)), 1
    apart = books.filter(pl.col("hours_out_of_bound") > 0)
    listed = apart if shown == "apart" else books
    if listed.is_empty():
        said = "Of every pool, in every hour, metering and readings lie within the bound."
        return empty("They differ nowhere", html.Div(said), icon_name="check"), 1
    pages = -(-listed.height // ROWS_PER_PAGE)
    page = min(max(page, 1), pages)
    rows = listed.slice((page - 1) * ROWS_PER_PAGE, ROWS_PER_PAGE)
    head = ["Day", "Pool", _figure("Physical"), "Where it went", _figure("Difference"),
            _figure("Bound"), "", ""]  # fmt: skip
    made = [_row(row) for row in rows.iter_rows(named=True)]
    return html.Div([_words(books), parts_key(), table(head, made, "Books by day and pool")]), pages


def _words(books: pl.DataFrame) -> html.P:
    physical = float(books["physical_gpu_hours"].sum() or 0)
    apart = float(books["difference_gpu_hours"].sum() or 0)
    lost = float(books["unaccounted_gpu_hours"].abs().max() or 0)  # type: ignore[arg-type]
    adds_up = "adds up" if lost < 0.005 else f"lacks up to {gpu_hours(lost)} GPU-hours a row"
    said = (
        f"{gpu_hours(physical)} GPU-hours were physically there; the sum of their parts "
        f"{adds_up}. Metering lies {signed_gpu_hours(apart)} GPU-hours "
        f"({percent(abs(apart) / physical if physical else None, 2)}) from the GPUs' own readings. "
        "Each hour is held against a bound of its own: a start or an end of a job moves the "
        "readings by at most the time between two of them."
    )
    charged = books["charge_difference_usd"].drop_nulls()
    if charged.len():
        said += f" Against what the fleet itself charged: {money_words(float(charged.sum()))}."
    return lead(said)


def _row(row: Mapping[str, Any]) -> list[Any]:
    book = f"{row['pool']}@{row['day']:%Y-%m-%d}"
    hours = "" if row["hours"] == 24 else f", {count(row['hours'])} of 24 hours"
    return [
        html.Span(f"{row['day']:%-d %b}{hours}", className="nowrap"),
        html.Span(row["pool"], className="nowrap"),
        _figure(gpu_hours(row["physical_gpu_hours"])),
        parts_bar(row),
        _figure(_apart(row)),
        _figure(gpu_hours(row["bound_gpu_hours"])),
        _verdict(row["hours_out_of_bound"]),
        open_link(book, f"Take {row['pool']} on {row['day']:%-d %B} apart"),
    ]


def _apart(row: Mapping[str, Any]) -> str:
    if row["observed_gpu_hours"] is None:
        return "not read"
    return signed_gpu_hours(row["difference_gpu_hours"])


def _figure(said: str) -> html.Span:
    return html.Span(said, className="finance-figure")


def _verdict(out_of_bound: int) -> html.Span:
    if out_of_bound:
        said = f" {hours_words(out_of_bound)} beyond"
        return html.Span([icon("octagon-pause", 13), said], className="warn nowrap")
    return html.Span([icon("check", 13), " within"], className="good nowrap")


def open_link(book: str, label: str) -> html.A:
    """Opens the drawer on a pool's day or hour; on this page without drawing it anew."""
    href = f"/finance?book={quote(book, safe='')}"
    return html.A("Take apart", href=href, className="nowrap", **{"aria-label": label})


# -- one pool's day --------------------------------------------------------------------


def book_title(book: Book) -> html.Div:
    """Whose books the drawer shows."""
    return html.Div(
        [html.B(book.pool), html.Span(f"{book.day:%-d %B %Y}", className="sub")], className="row"
    )


def no_book(book: Book | None) -> html.Div:
    """The address asks for a book that is not there."""
    which = f"of {book.pool} on {book.day:%-d %B %Y}" if book else "by this address"
    return empty(f"No books {which}", html.Div("Pick a row of the reconciliation."))


def book_detail(book: Book, hours: pl.DataFrame, found: Differences, picked: int) -> html.Div:
    """A pool's day hour by hour, and one hour taken apart into nodes and jobs."""
    return html.Div(
        [
            html.H3(f"{picked:02}:00 to {picked:02}:59 UTC"),
            lead(f"{found.words}."),
            _nodes(found.nodes),
            _jobs(found.jobs),
            html.Div([html.H3("Hour by hour"), parts_key(), _hours(book, hours, picked)],
                     className="section"),
        ],
        className="stack",
    )  # fmt: skip


def _nodes(nodes: pl.DataFrame) -> Any:
    if nodes.is_empty():
        return html.Div("No node of it was read in this hour.", className="sub")
    rows = [
        [
            dcc.Link(row["node_id"], href=f"/fleet?node={row['node_id']}")
            if row["node_id"]
            else "no node named",
            _figure(gpu_hours(row["physical_gpu_hours"])),
            _figure(gpu_hours(row["metered_gpu_hours"])),
            _figure(gpu_hours(row["observed_gpu_hours"])),
            _figure(signed_gpu_hours(row["difference_gpu_hours"])),
        ]
        for row in nodes.head(PARTS_SHOWN).iter_rows(named=True)
    ]
    head = ["Node", *map(_figure, ("Physical", "Metered", "Read", "Difference"))]
    return html.Div(
        [html.H3("Nodes"), table(head, rows, "Nodes of the hour"), _rest(nodes.height, "nodes")]
    )


def _jobs(jobs: pl.DataFrame) -> html.Div:
    if jobs.is_empty():
        return html.Div("No job of it differs.", className="sub")
    rows = [
        [
            dcc.Link(row["job_id"], href=f"/jobs?job={row['job_id']}"),
            _figure(gpu_hours(row["metered_gpu_hours"])),
            _figure(gpu_hours(row["observed_gpu_hours"])),
            _figure(signed_gpu_hours(row["difference_gpu_hours"])),
            _figure(gpu_hours(row["charged_gpu_hours"])),
            _figure(signed_gpu_hours(row["charge_difference_gpu_hours"])),
        ]
        for row in jobs.head(PARTS_SHOWN).iter_rows(named=True)
    ]
    figures = ("Metered", "Read", "Difference", "Charged", "Difference")
    head = ["Job", *map(_figure, figures)]
    return html.Div(
        [html.H3("Jobs"), table(head, rows, "Jobs that differ"), _rest(jobs.height, "jobs")]
    )


def _rest(total: int, noun: str) -> Any:
    left = total - PARTS_SHOWN
    if left <= 0:
        return None
    return html.Div(f"And {count(left)} {noun} that lie closer.", className="sub")


def _hours(book: Book, hours: pl.DataFrame, picked: int) -> html.Div:
    return table(
        ["Hour", "Where it went", _figure("Difference"), _figure("Bound"), "", ""],
        [_hour(book, row, picked) for row in hours.iter_rows(named=True)],
        "Books by the hour",
    )


def _hour(book: Book, row: Mapping[str, Any], picked: int) -> list[Any]:
    hour = row["hour_starts_at"].hour
    name = f"{book.pool}@{book.day:%Y-%m-%d}T{hour:02}"
    # Whether the row is within its bound is the warehouse's word: NULL where nothing was read.
    beyond = row["is_within_bound"] is False
    shown: Any = html.Span("shown", className="sub") if hour == picked else None
    return [
        f"{hour:02}:00",
        parts_bar(row),
        _figure(_apart(row)),
        _figure(gpu_hours(row["bound_gpu_hours"])),
        MISSING if row["is_within_bound"] is None else _verdict(int(beyond)),
        shown or open_link(name, f"Take the hour of {hour:02}:00 apart"),
    ]
