"""The ledger of what was proposed and not carried out: why, and what that cost."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import dcc, html

from pages._grid import number_column, server_grid, text_column
from pages._parts import empty, icon, panel, skeleton_rows, table
from pages._words import count, signed_usd, usd, words

SPANS = {
    "1": "the last 24 hours",
    "7": "the last 7 days",
    "30": "the last 30 days",
    "all": "all time",
}
"""How far back one looks, by days."""
SPAN = "7"

FATE_WORDS = {
    "shadow": "On record only",
    "lapsed": "Nobody answered",
    "rejected": "Rejected",
    "withdrawn": "Withdrawn",
    "held_back": "Held back",
    "refused": "Refused",
    "stale": "Overtaken",
    "failed": "Failed",
}
"""Why it was not done, in a word or two."""
FATE_SENTENCES = {
    "shadow": "its action only looks on: it is never carried out",
    "lapsed": "nobody decided in time",
    "rejected": "a person said no",
    "withdrawn": "a person took the approval back before it was begun",
    "held_back": "a guard let it not come to a decision",
    "refused": "a guard or the fleet said no right before it was done",
    "stale": "it made no sense any more, or somebody else had changed its target",
    "failed": "carrying it out went wrong",
}
"""And in a sentence, which stands where nobody gave a better one."""

ROW_HEIGHTS = {"rowHeight": 34, "headerHeight": 34}
"""Said outright, in px: a table that is drawn while its tab is hidden can't measure the theme's."""
_INSTANT = {"function": "asInstant(params.value)"}
COLUMNS = [
    text_column("at", "When", 112, valueFormatter=_INSTANT),
    text_column("fate", "Why not", 150),
    text_column("what", "What", 260, flex=1, minWidth=200),
    text_column("why", "In words", 300, flex=1.2, minWidth=220),
    number_column("expected_usd", "Promised", "asSignedUsd", 104),
    number_column("would_have_gained_usd", "By the twin", "asSignedUsd", 108),
    number_column("counts_seconds", "Counts for", "asDuration", 100),
]


def span_of(asked: str | None) -> str:
    """How far back an address asks to look."""
    return asked if asked in SPANS else SPAN


def since(span: str | None, now: datetime) -> datetime | None:
    """From when on; None for all time."""
    days = span_of(span)
    return None if days == "all" else now - timedelta(days=int(days))


def not_done_panels() -> html.Div:
    """What it cost in words and by reason, and the ledger's table."""
    download = dmc.Button(
        "Download CSV",
        id="decisions-forgone-download",
        variant="default",
        leftSection=icon("download", 14),
    )
    grid = html.Div(
        server_grid("decisions-forgone-grid", COLUMNS, dashGridOptions=dict(ROW_HEIGHTS)),
        className="grid-box",
        id="decisions-forgone-box",
    )
    return html.Div(
        [
            dcc.Download(id="decisions-forgone-file"),
            panel("What it cost", html.Div(skeleton_rows(3), id="decisions-forgone-sums")),
            panel(
                "Proposed and not done",
                html.Div(id="decisions-forgone-empty"),
                grid,
                right=download,
                className="panel-flush",
            ),
        ],
        className="only-not-done stack",
    )


def sums_box(totals: pl.DataFrame, span: str | None, pool: str | None, action: str | None) -> Any:
    """In words what was not carried out and what that cost, and below it by reason."""
    said = html.P(cost_words(totals, span, pool, action), className="prose")
    link = dcc.Link("the ledger of shadow proposals", href="/engine#engine-ledger")
    note = html.P(
        ["What each policy would have done at every tick, and why, stands in ", link, "."],
        className="sub",
    )
    if totals.is_empty():
        return html.Div([said, note], className="stack")
    return html.Div([said, _by_fate(totals), note], className="stack")


def cost_words(
    totals: pl.DataFrame, span: str | None, pool: str | None = None, action: str | None = None
) -> str:
    """`In the last 7 days 14 proposals were not carried out; the twin says …`."""
    days = span_of(span)
    when = "Ever" if days == "all" else f"In {SPANS[days]}"
    where = f" in {pool}" if pool else ""
    kind = f" to {words(action).lower()}" if action else ""
    number = int(totals["count"].sum())
    if not number:
        return f"{when} nothing was proposed{kind}{where} and not carried out."
    one = number == 1
    noun = f"proposal{'' if one else 's'}{kind}{where} {'was' if one else 'were'} not carried out"
    return f"{when} {count(number)} {noun}; {_told(totals, number)}"


def _told(totals: pl.DataFrame, number: int) -> str:
    promised = (
        f"{'It' if number == 1 else 'They'} promised {usd(float(totals['expected_usd'].sum()))}."
    )
    measured = int(totals["measured_count"].sum())
    if not measured:
        return f"the twin can't tell yet what that cost. {promised}"
    gained = float(totals["would_have_gained_usd"].sum())
    whom = "it" if number == 1 else "they"
    if measured < number:
        whom = f"that the {count(measured)} it can tell of"
        promised = f"All of them promised {usd(float(totals['expected_usd'].sum()))}."
    verb = "would have gained" if gained >= 0 else "would have lost"
    well = "" if gained >= 0 else ": it was well left" if number == 1 else ": they were well left"
    return f"the twin says {whom} {verb} {usd(abs(gained))}{well}. {promised}"


def _by_fate(totals: pl.DataFrame) -> html.Div:
    by_fate = totals.group_by("fate").agg(
        pl.sum("count"),
        pl.sum("expected_usd"),
        pl.sum("measured_count"),
        pl.when(pl.sum("measured_count") > 0).then(pl.sum("would_have_gained_usd")).alias("twin"),
    )
    rows = [
        [
            html.Div([html.B(FATE_WORDS[row["fate"]]), _sentence(row["fate"])]),
            count(row["count"]),
            html.Span(signed_usd(row["expected_usd"]), className="nowrap"),
            html.Span(_by_twin(row), className="nowrap"),
        ]
        for row in by_fate.sort("expected_usd", descending=True).iter_rows(named=True)
    ]
    return table(("Why not", "Proposals", "Promised", "By the twin"), rows, "Cost by reason")


def _by_twin(row: dict[str, Any]) -> str:
    if row["twin"] is None:
        return "not told yet"
    rest = row["count"] - row["measured_count"]
    return signed_usd(row["twin"]) + (f", {count(row['measured_count'])} told" if rest else "")


def _sentence(fate: str) -> html.Div:
    return html.Div(FATE_SENTENCES[fate], className="sub wide-only")


def nothing_left_undone() -> Any:
    """What stands where the ledger has no line."""
    told = html.Div("Whatever was proposed was carried out, or still waits.")
    return empty("Nothing was left undone", told, icon_name="check")


def for_the_wire(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Lines of the ledger as the table's columns want them."""
    return [_line(row) for row in frame.iter_rows(named=True)]


def _line(row: dict[str, Any]) -> dict[str, Any]:
    given = row["why"] or (row["guard"] and words(row["guard"]))
    return {
        "decision_id": row["decision_id"],
        "at": f"{row['at']:%Y-%m-%dT%H:%M:%SZ}",
        "fate": FATE_WORDS[row["fate"]],
        "what": row["summary"] or f"{words(row['action'])} on {row['target']}",
        "why": given or FATE_SENTENCES[row["fate"]],
        "expected_usd": row["expected_usd"],
        "would_have_gained_usd": row["would_have_gained_usd"],
        "counts_seconds": row["hours"] * 3600,
    }
