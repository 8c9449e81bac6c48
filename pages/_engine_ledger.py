"""The ledger of shadow proposals, alarms, and who steered when."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import dcc, html

from pages._engine_parts import policy_words
from pages._grid import number_column, server_grid, text_column
from pages._parts import empty, icon, panel, table
from pages._words import age, count, exact_instant, words

_INSTANT = {"function": "asInstant(params.value)"}
_WORDS = {"function": "asWords(params.value)"}

COLUMNS = [
    text_column("proposed_at", "When", 112, valueFormatter=_INSTANT),
    text_column("role", "Role", 98, valueFormatter=_WORDS),
    text_column("policy_id", "Policy", 112),
    number_column("nodes", "Nodes", "asCount", 72),
    number_column("price_usd_per_gpu_hour", "Price/GPU-h", "asUsd", 108),
    text_column("rest", "Releases, repairs, spot", 196),
    text_column("held_back", "Envelope", 96),
    number_column("value_usd", "Beyond the rule", "asSignedUsd", 124),
    text_column("done", "What was done", 260, flex=1, minWidth=190),
    number_column("missed_gain_usd_per_hour", "Missed/h", "asSignedUsd", 100),
]
ROLES = ("champion", "challenger", "rule")


def ledger_panel(role: str | None) -> html.Section:
    """The table of proposals with its filter and its download."""
    tools = [
        dcc.Link("What was not done, and its cost", href="/decisions?tab=not-done"),
        dmc.Select(
            id="engine-role",
            value=role if role in ROLES else None,
            data=[{"value": each, "label": words(each)} for each in ROLES],
            placeholder="All roles",
            clearable=True,
            w=130,
            **{"aria-label": "Role"},
        ),
        dmc.Button(
            "Download CSV",
            id="engine-download",
            variant="default",
            leftSection=icon("download", 14),
        ),
    ]
    grid = html.Div(
        server_grid("engine-grid", COLUMNS),
        className="grid-box engine-grid-box",
        id="engine-ledger",
    )
    said = html.P(
        "What each policy proposed in the shadow at every tick, newest first, and what was done.",
        className="engine-lead",
        style={"padding": "0 14px"},
        id="engine-ledger-words",
    )
    return panel("Ledger of shadow proposals", said, grid, right=tools, className="panel-flush")


def ledger_words(total: int, pool: str | None) -> str:
    """What the table shows, or why it shows nothing."""
    where = f" for {pool}" if pool else ""
    if not total:
        return (
            f"Nothing was proposed in the shadow{where} yet. Every tick adds what champion, "
            "challenger and rule would do, and what was done instead."
        )
    return (
        f"{count(total)} proposals{where}, newest first: what each policy would have done, what "
        "was done, and what its decisions promised that were not acted on."
    )


def for_the_wire(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as the grid's columns want them."""
    held = pl.when("is_clipped").then(pl.lit("held back")).otherwise(pl.lit(""))
    heads = [pl.col(name).str.replace_all("_", " ") for name in ("consolidation", "heal")]
    spot = pl.format("{} % spot", (pl.col("spot_ratio") * 100).round(0).cast(pl.Int64))
    shown = frame.with_columns(held_back=held, rest=pl.concat_str(*heads, spot, separator=", "))
    shown = shown.select([column["field"] for column in COLUMNS])
    return shown.with_columns(
        pl.col(pl.Datetime).dt.to_string("%Y-%m-%dT%H:%M:%SZ"), pl.col(pl.Float64).round(4)
    ).to_dicts()


# -- alarms and champions --------------------------------------------------------------

TRIGGER_WORDS = {
    "cusum": "earned less than the twin said",
    "late_burn": "too many late jobs",
    "price_bounds": "price out of its bounds",
    "failing_actions": "actions fail",
    "twin_drift": "the twin drifts from reality",
    "weights": "its weights can't be loaded",
}


def alarms_box(found: pl.DataFrame, now: datetime) -> Any:
    """What took a policy out of service, or would have."""
    if found.is_empty():
        said = "Nothing has ever called for taking a policy out of service."
        return empty("No alarms", html.Div(said), icon_name="check")
    rows = [
        [
            html.Span(age(row["raised_at"], now), title=exact_instant(row["raised_at"])),
            html.Div([TRIGGER_WORDS[row["trigger"]], _where(row)]),
            html.Span(f"{row['value']:.3g} of {row['threshold']:.3g}", className="nowrap"),
            html.Div(row["detail"], className="sub engine-words"),
        ]
        for row in found.iter_rows(named=True)
    ]
    return table(("When", "What was seen", "Figure of limit", "In words"), rows, "Alarms")


def _where(row: dict[str, Any]) -> html.Div:
    return html.Div(f"{row['policy_id']}, {row['pool'] or 'all pools'}", className="sub")


def champions_box(found: pl.DataFrame, now: datetime) -> Any:
    """Who steered when, and by whose word."""
    if found.is_empty():
        said = "The rule has steered from the start; every change will stand here."
        return empty("No change of champion", html.Div(said))
    rows = [
        [
            html.Span(age(row["since_at"], now), title=exact_instant(row["since_at"])),
            html.Div([html.B(policy_words(row["policy_id"])), _after(row)]),
            row["set_by"],
            html.Div(
                [html.Div(row["reason"], className="sub"), _decision(row["decision_id"])],
                className="engine-words",
            ),
        ]
        for row in found.iter_rows(named=True)
    ]
    return table(("Since", "Who steered", "Set by", "Why"), rows, "History of champions")


def _after(row: dict[str, Any]) -> Any:
    before = row["previous_policy_id"]
    return html.Div(f"after {before}", className="sub") if before else None


def _decision(decision_id: str | None) -> Any:
    if decision_id is None:
        return None
    return html.Div(dcc.Link("Decision", href=f"/decisions?id={decision_id}"), className="sub")
