"""Whence prices come: sources with their health, alarms, names that nobody knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
from dash import html

from pages._market_history import IMPORT
from pages._market_parts import lead, provider_words
from pages._parts import empty, table
from pages._words import MISSING, age, count, duration, exact_instant, usd, words
from warehouse.offers import MARKET_SOURCES, STALE_AFTER


@dataclass(frozen=True)
class Source:
    """What is known of a source before it has run."""

    name: str
    usual: str
    """How often it is asked, unless a setting says else."""
    switch: str
    """How it is switched on."""


SOURCES: Mapping[str, Source] = {
    "runpod": Source(
        "RunPod", "every 15 min",
        "PILOTHOUSE_RUNPOD_ENABLED=true; with PILOTHOUSE_RUNPOD_API_KEY also its REST interface",
    ),
    "lambda_cloud": Source(
        "Lambda", "every 15 min", "needs a key: PILOTHOUSE_LAMBDA_CLOUD_API_KEY"
    ),
    "vast": Source("Vast.ai", "every 15 min", "PILOTHOUSE_VAST_ENABLED=true; no key needed"),
    "hyperscalers": Source(
        "Catalogues of AWS, Azure, Google Cloud and others", "every 6 h",
        "PILOTHOUSE_HYPERSCALERS_ENABLED=true; no key needed",
    ),
    "pricing_pages": Source(
        "Pricing pages, in a browser", "every 6 h",
        "PILOTHOUSE_PRICING_PAGES_ENABLED=true; needs Playwright and a Chromium, "
        "PILOTHOUSE_PRICING_PAGES_BROWSER",
    ),
}  # fmt: skip
assert set(SOURCES) == set(MARKET_SOURCES)

STATES = {
    "on": ("On", "good"),
    "failing": ("Failing", "bad"),
    "stale": ("Stale", "warn"),
    "off": ("Off", "dim"),
    "held": ("Left alone", "warn"),
    "silent": ("Never asked", "dim"),
}


def source_rows(health: pl.DataFrame, brought: pl.DataFrame) -> list[dict[str, Any]]:
    """A row a source: `state` of `STATES`, why, how often, what it brought in a week."""
    runs = {row["collector"]: row for row in health.to_dicts()}
    totals = brought.group_by("source").agg(
        pl.col("offers", "unknown_names").sum(), pl.col("measured_at").max(), pl.col("models").max()
    )
    given = {row["source"]: row for row in totals.to_dicts()}
    return [_source_row(key, runs.get(key), given.get(key)) for key in sorted(SOURCES)]


def _source_row(
    key: str, run: dict[str, Any] | None, given: dict[str, Any] | None
) -> dict[str, Any]:
    known = SOURCES[key]
    run, given = run or {}, given or {}
    gap = run.get("usual_gap_seconds")
    return {
        "source": key,
        "name": known.name,
        "state": _state(run),
        "why": run.get("detail"),
        "switch_on": known.switch,
        "how_often": known.usual if gap is None else f"every {duration(gap)}",
        "last_run_at": run.get("last_run_at"),
        "last_success_at": run.get("last_success_at"),
        "runs_in_24h": run.get("runs_in_24h", 0),
        "failures_in_24h": run.get("failures_in_24h", 0),
        "offers": given.get("offers", 0),
        "models": given.get("models", 0),
        "unknown_names": given.get("unknown_names", 0),
        "newest_offer_at": given.get("measured_at"),
    }


def _state(run: dict[str, Any]) -> str:
    if not run:
        return "silent"
    if run["outcome"] in ("failed", "timed_out"):
        return "failing"
    if run["outcome"] == "skipped":
        is_off = run["last_success_at"] is None or (run["detail"] or "").startswith("switched off")
        return "off" if is_off else "held"
    is_old = (run["age_seconds"] or 0) > STALE_AFTER.total_seconds()
    return "stale" if is_old else "on"


def states_told(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many sources are in each state that any is in, by the state's word."""
    told = {STATES[s][0].lower(): sum(r["state"] == s for r in rows) for s in STATES}
    return {name: number for name, number in told.items() if number}


def sources_box(rows: list[dict[str, Any]], now: datetime) -> Any:
    """Which sources are on, off or failing, why, and how old what they brought is."""
    said = ", ".join(f"{number} {name}" for name, number in states_told(rows).items())
    head = ("Source", "State", "Newest price", "How often", "Last day", "Brought in a week", "Word")
    return html.Div(
        [
            lead(
                html.B(said.capitalize()),
                ". A source that fails leaves its last good prices in force with their age; "
                "settings are read when the console starts.",
            ),
            table(head, [_source_cells(row, now) for row in rows], "Sources"),
        ]
    )


def _source_cells(row: dict[str, Any], now: datetime) -> list[Any]:
    word, tone = STATES[row["state"]]
    failed = row["failures_in_24h"]
    newest = row["newest_offer_at"] or row["last_success_at"]
    needs = row["state"] in ("off", "silent")
    return [
        html.B(row["name"]),
        html.Span(word, className=f"{tone} nowrap"),
        html.Span(age(newest, now), className="nowrap", title=exact_instant(newest)),
        html.Span(row["how_often"], className="nowrap"),
        html.Span(
            [
                f"{count(row['runs_in_24h'])} run{'' if row['runs_in_24h'] == 1 else 's'}",
                f", {count(failed)} failed" if failed else "",
            ],
            className="nowrap warn" if failed else "nowrap",
        ),
        html.Span(
            f"{count(row['offers'])} prices, {count(row['models'])} models"
            if row["offers"]
            else MISSING,
            className="nowrap",
        ),
        html.Div(
            [
                html.Div(row["why"]) if row["why"] else None,
                html.Div(f"To switch it on: {row['switch_on']}") if needs else None,
                None if row["why"] or needs else MISSING,
            ],
            className="sub market-words",
        ),
    ]


def nothing_brought(rows: list[dict[str, Any]], imported: int) -> Any:
    """What stands at the top while no source has brought a price."""
    off = [r for r in rows if r["state"] in ("off", "silent")]
    failing = [r for r in rows if r["state"] == "failing"]
    items = [html.Li([html.B(f"{r['name']} fails: "), r["why"] or "no word"]) for r in failing]
    items += [html.Li([html.B(f"{r['name']}: "), r["switch_on"]]) for r in off]
    history = html.Div(
        [
            f"{count(imported)} models have imported history, below. "
            if imported
            else "Or bring in history that somebody recorded: ",
            None if imported else html.Code(IMPORT, className="mono"),
        ]
    )
    return empty(
        "No source has brought a price yet",
        html.Div("Set these in the environment and start the console again:" if items else
                 "Every source is on; the first answers come within minutes."),
        html.Ul(items, className="market-switches"),
        history,
        icon_name="trending-up",
    )  # fmt: skip


# -- alarms and names ------------------------------------------------------------------

ALARMS = {
    "zero_price": "A price of nothing", "jump": "A jump", "empty": "An empty answer",
    "unknown_model": "An unknown GPU", "cross_check": "Page and interface differ",
    "layout": "A changed layout", "stale": "Nothing new",
}  # fmt: skip


def alarms_box(found: pl.DataFrame, total: int, now: datetime) -> Any:
    """What must not enter as a price, the newest first."""
    if found.is_empty():
        told = "Prices of 0, jumps, unknown names and changed layouts would stand here."
        return empty("No alarm in 30 days", html.Div(told), icon_name="check")
    rows = [
        [
            html.Span(
                age(row["raised_at"], now),
                className="nowrap",
                title=exact_instant(row["raised_at"]),
            ),
            html.B(ALARMS.get(row["kind"], words(row["kind"]))),
            html.Div([provider_words(row["provider"]), _of(row)]),
            html.Span(_figure(row), className="nowrap"),
            html.Div(row["detail"], className="sub market-words"),
        ]
        for row in found.to_dicts()
    ]
    shown = f"The newest {count(found.height)} of {count(total)}" if total > len(rows) else (
        f"{count(total)} in all"
    )  # fmt: skip
    return html.Div(
        [
            lead(f"{shown} of the last 30 days. None of these entered as a price."),
            table(("When", "What", "Whose", "Figure", "In words"), rows, "Alarms"),
        ]
    )


def _of(row: dict[str, Any]) -> Any:
    return html.Div(row["gpu_model"], className="sub") if row["gpu_model"] else None


def _figure(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return MISSING
    if row["kind"] not in ("zero_price", "jump", "cross_check"):
        return f"{row['value']:g}"
    return usd(row["value"]) + ("" if row["expected"] is None else f", not {usd(row['expected'])}")


def names_box(found: pl.DataFrame, now: datetime) -> Any:
    """GPU names that a person should look at."""
    if found.is_empty():
        return empty("Every GPU's name is known", icon_name="check")
    rows = [
        [
            html.B(row["name"]),
            provider_words(row["provider"]),
            usd(row["price_usd_per_gpu_hour"]),
            count(row["times_seen"]),
            html.Span(
                age(row["last_seen_at"], now),
                className="nowrap",
                title=exact_instant(row["last_seen_at"]),
            ),
        ]
        for row in found.to_dicts()
    ]
    return html.Div(
        [
            lead(
                f"{count(found.height)} name{'' if found.height == 1 else 's'} that could mean "
                "several models or none: no price of theirs is taken."
            ),
            table(("As the source says it", "Whose", "Price", "Seen", "Last"), rows, "Names"),
        ]
    )
