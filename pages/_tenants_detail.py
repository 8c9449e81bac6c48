"""One tenant in the drawer: its signals, submissions, waits, troubles, sizes, spend, API use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from dash import dcc, html

from pages._charts import area_chart
from pages._parts import facts, table
from pages._tenants_signals import TITLES, evidence
from pages._words import age, count, duration, exact_instant, percent, usd, words
from warehouse.churn import Judged

CHART_PX = 150
DAY = timedelta(days=1)
CAUSES_SHOWN = 8
HAPPENED = {"failed": "Failed", "preempted": "Interrupted", "left": "Gave up"}


@dataclass(frozen=True)
class Known:
    """What the drawer is made of."""

    row: dict[str, Any]
    """As `behaviour.tenant_figures` gives it."""
    judged: Judged | None
    """None of a tenant that has been silent for half a year."""
    days: pl.DataFrame
    """As `behaviour.activity_by_day` gives it."""
    spent: pl.DataFrame
    """As `spend.spend` gives it, by day."""
    sizes: pl.DataFrame
    troubles: pl.DataFrame
    used: pl.DataFrame
    """As `usage.usage_by_tenant` gives it, of this tenant."""
    since: datetime
    now: datetime
    wall: datetime
    """By the machine's clock, which usage bears."""


def detail(known: Known) -> html.Div:
    """The drawer's content."""
    return html.Div(
        [
            facts(_facts(known)),
            _section("Signals", _signals(known.judged)),
            _section("Submitted and run", _charts(known)),
            _section("What went wrong", _troubles(known.troubles)),
            _section("Sizes", _sizes(known.sizes)),
            _section("What its people do with the console", _used(known)),
        ],
        className="stack",
    )


def _section(title: str, content: Any) -> html.Div:
    return html.Div([html.H3(title), content], className="section")


def _facts(known: Known) -> list[tuple[str, Any]]:
    row = known.row
    jobs = dcc.Link(f"{count(row['jobs'])} jobs", href=f"/jobs?tenant={row['tenant']}")
    grown = row["growth_ratio"]
    change = "" if grown is None else f", {'+' if grown >= 0 else '−'}{percent(abs(grown))}"
    share = percent(row["revenue_share_ratio"], 1)
    asked = f"{count(row['delivered_gpu_hours'])} of {count(row['asked_gpu_hours'])} GPU-hours"
    wait = f"{duration(row['wait_median_seconds'])}, p95 {duration(row['wait_p95_seconds'])}"
    return [
        ("Submitted", html.Span([jobs, f" on {count(row['active_days'])} days"])),
        ("This week", f"{count(row['week_jobs'])} jobs{change} on the week before"),
        ("Ran", f"{asked} asked for"),
        ("Waited", wait),
        ("Gave up", percent(row["left_ratio"], 1)),
        ("Failed", percent(row["failed_ratio"], 1)),
        ("Interrupted", percent(row["preempted_ratio"], 1)),
        ("Charged", f"{usd(row['charge_usd'])}, {share} of all"),
        ("First seen", exact_instant(row["first_seen_at"])),
        ("Last job", age(row["last_seen_at"], known.now)),
    ]


def _signals(judged: Judged | None) -> Any:
    if judged is None:
        return html.P("It submitted nothing in half a year.", className="prose")
    given = evidence(judged) if judged.signals else html.P("None.", className="prose")
    if not judged.unjudged:
        return given
    unjudged = [html.Li(f"{TITLES[each.rule]}: {each.why}.") for each in judged.unjudged]
    said = html.Summary(f"{len(unjudged)} of the rules know too little")
    more = html.Details([said, html.Ul(unjudged, className="tenants-rules")])
    return html.Div([given, more])


def _charts(known: Known) -> Any:
    """Whole days alone: the first of the span and today would look like a fall."""
    days = pl.DataFrame(
        {
            "at": pl.datetime_range(
                known.since.replace(hour=0, minute=0, second=0, microsecond=0) + DAY,
                known.now - DAY,
                "1d",
                time_unit="us",
                time_zone="UTC",
                eager=True,
            )
        }
    )
    did = known.days.rename({"day_at": "at"})
    spent = known.spent.select("at", Charged="charge_usd")
    joined = days.join(did, on="at", how="left").join(spent, on="at", how="left")
    shown = joined.with_columns(
        pl.col("jobs", "left_jobs", "Charged").fill_null(0),
        pl.col("wait_median_seconds", "wait_p95_seconds") / 60,
    ).sort("at")
    made = [
        (
            "Jobs a day, whole days of UTC",
            {"Submitted": ("jobs", "harbour.5"), "Gave up": ("left_jobs", "orange.5")},
        ),
        (
            "Minutes waited",
            {
                "Median": ("wait_median_seconds", "blue.5"),
                "p95": ("wait_p95_seconds", "amber.4"),
            },
        ),
        ("USD a day", {"Charged": ("Charged", "harbour.5")}),
    ]
    return html.Div([_chart(shown, title, lines) for title, lines in made],
                    className="tenants-charts")  # fmt: skip


def _chart(shown: pl.DataFrame, title: str, lines: dict[str, tuple[str, str]]) -> html.Div:
    rows = shown.select(
        pl.col("at").dt.to_string("%-d %b"),
        *(pl.col(column).round(2).alias(name) for name, (column, _) in lines.items()),
    ).to_dicts()
    colors = {name: color for name, (_, color) in lines.items()}
    money = "asUsd" if title.startswith("USD") else "asCount"
    chart = area_chart(rows, colors, format_js=money, height_px=CHART_PX)
    return html.Div([html.Div(title, className="sub"), chart])


def _troubles(troubles: pl.DataFrame) -> Any:
    if troubles.is_empty():
        return html.P("No job failed, was interrupted or gave up.", className="prose")
    rows = [
        [HAPPENED[row["event"]], row["cause"], count(row["jobs"])]
        for row in troubles.head(CAUSES_SHOWN).iter_rows(named=True)
    ]
    return table(("What", "Why", "Jobs"), rows, "What went wrong")


def _sizes(sizes: pl.DataFrame) -> Any:
    if sizes.is_empty():
        return html.P("No jobs in this span.", className="prose")
    rows = [
        [
            f"{row['gpu_count']:g}",
            count(row["jobs"]),
            duration(row["wait_median_seconds"]),
            count(row["delivered_gpu_hours"]),
        ]
        for row in sizes.iter_rows(named=True)
    ]
    return table(("GPUs", "Jobs", "Waited, median", "GPU-hours ran"), rows, "Sizes")


def _used(known: Known) -> Any:
    if known.used.is_empty():
        told = (
            "Nothing in this span. Users who belong to a tenant are counted by its name; no user "
            "of this one has signed in or called the API."
        )
        return html.P(told, className="prose")
    rows = [
        [words(row["kind"]), count(row["count"]), _ago(row["last_at"], known.wall)]
        for row in known.used.iter_rows(named=True)
    ]
    return table(("What", "Times", "Last, by the machine's clock"), rows, "Use of the console")


def _ago(at: datetime, wall: datetime) -> str:
    return "this minute" if wall - at < timedelta(minutes=1) else age(at, wall)
