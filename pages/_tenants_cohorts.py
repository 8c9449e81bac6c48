"""The grid of cohorts: who came in which week, and how many are still there n weeks later.

One hue from pale to full, so that it reads without telling red from green; the number stands in
each cell all the same.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
from dash import html

from pages._parts import empty
from pages._tenants_signals import lead, tenants_words
from pages._words import MISSING, count, percent

WEEKS_MAX = 13
"""Most cohorts and most weeks shown, the newest."""
BY = {"tenants": "Tenants", "hours": "GPU-hours"}
DEEPEST_PERCENT = 62
"""Of the accent in the fullest cell: its number must stay readable."""


def cohorts_box(found: pl.DataFrame, by: str) -> Any:
    """The grid, with what its cells say above it."""
    if found.is_empty():
        return empty("No cohorts yet", html.Div("They begin with the first job."))
    starts = found["cohort_at"].unique().sort().to_list()[-WEEKS_MAX:]
    weeks = range(min(WEEKS_MAX, max(found["week"].to_list()) + 1))
    head = html.Tr(
        [html.Th("First job in the week of", scope="col"), html.Th("Tenants", scope="col")]
        + [html.Th(_column(week), scope="col") for week in weeks]
    )
    body = [_row(found.filter(pl.col("cohort_at") == start), start, by, weeks) for start in starts]
    made = html.Table([html.Thead(head), html.Tbody(body)], className="tenants-cohorts")
    scroll = html.Div(
        made, className="table-scroll", role="region", tabIndex=0, **{"aria-label": "Cohorts"}
    )
    return html.Div([_said(by, len(starts), found), scroll])


def _said(by: str, shown: int, found: pl.DataFrame) -> html.P:
    what = (
        "the share of them that submitted a job in that week"
        if by == "tenants"
        else "the GPU-hours that they held in it, against their first whole week"
    )
    cut = f" The newest {shown} of {count(found['cohort_at'].n_unique())} weeks."
    return lead(
        f"Tenants by the week of their first job on record, and n weeks later {what}. "
        "A dashed cell is the week that still runs.",
        cut if found["cohort_at"].n_unique() > shown else "",
    )


def _column(week: int) -> str:
    return "same week" if week == 0 else f"+{week}"


def _row(cohort: pl.DataFrame, start: datetime, by: str, weeks: range) -> html.Tr:
    known = {row["week"]: row for row in cohort.iter_rows(named=True)}
    tenants = known[0]["tenants"]
    cells = [_cell(known[week], by) if week in known else html.Td("") for week in weeks]
    name = html.Th(start.strftime("%-d %b %Y"), scope="row")
    return html.Tr([name, html.Td(count(tenants)), *cells])


def _cell(row: dict[str, Any], by: str) -> html.Td:
    ratio = row["retained_ratio" if by == "tenants" else "gpu_hours_ratio"]
    depth = 0.0 if ratio is None else min(1.0, ratio) * DEEPEST_PERCENT
    at = row["cohort_at"] + timedelta(weeks=row["week"])
    title = (
        f"Week of {at:%-d %b}: {row['active_tenants']} of {tenants_words(row['tenants'])}, "
        f"{count(row['gpu_hours'])} GPU-hours"
    )
    return html.Td(
        MISSING if ratio is None else percent(ratio),
        title=title,
        className="is-running" if row["is_running"] else "",
        style={"background": f"color-mix(in srgb, var(--accent) {depth:.0f}%, transparent)"},
    )
