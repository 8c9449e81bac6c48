"""What would be done now and why: champion beside challenger and rule, and the drivers."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import dcc, html

from pages._engine_parts import lead, policy_words, word
from pages._interval import interval_bar
from pages._nothing import nothing_yet
from pages._parts import table
from pages._words import MISSING, age, percent, signed_usd, usd, words
from warehouse.shadow import Promise

ROLES = ("champion", "challenger", "rule")
DRIVERS_MAX = 8
RELEASING = {
    "empties_only": "empty nodes only",
    "drain": "drains nodes first",
    "migrate": "migrates jobs away",
}
HEALING = {
    "nobody": "no node",
    "strict": "plainly ailing nodes",
    "loose": "any suspect node",
}


def now_box(pool: str | None, found: pl.DataFrame, promise: Promise | None, now: datetime) -> Any:
    """What each policy would do with a pool, why the champion would, and what that should earn."""
    rows = {row["role"]: row for row in found.iter_rows(named=True)}
    if not rows:
        said = "Champion, challenger and rule propose beside each other at every tick."
        return html.Div([nothing_yet("proposals", said), _range(promise, now)])
    first = rows.get("champion") or next(iter(rows.values()))
    said = lead(
        html.B(pool), ": ", _sentence(first, rows.get("rule")), f" Asked {_age(first, now)}."
    )
    shown = [html.Div(_side_by_side(rows, now), className="engine-proposals"), _why(first)]
    return html.Div([said, html.Div(shown, className="engine-charts"), _range(promise, now)])


def _age(row: dict[str, Any], now: datetime) -> str:
    return age(row["proposed_at"], now)


def _sentence(row: dict[str, Any], rule: dict[str, Any] | None) -> str:
    who = policy_words(row["policy_id"])
    said = f"{who} would {_deed(row)}"
    if rule is None or row["policy_id"] == rule["policy_id"]:
        return f"{said}."
    if _deed(rule) == _deed(row):
        is_all = all(write(rule) == write(row) for _, write in _HEADS)
        rest = "" if is_all else "; it differs in what stands in bold"
        return f"{said}, as the rule would{rest}."
    return f"{said}; the rule would {_deed(rule)}."


def _deed(row: dict[str, Any]) -> str:
    return f"{_nodes_verb(row['nodes'])} and ask {usd(row['price_usd_per_gpu_hour'])} a GPU-hour"


def _nodes_verb(nodes: int) -> str:
    if nodes == 0:
        return "keep its nodes"
    verb = "add" if nodes > 0 else "release"
    return f"{verb} {abs(nodes)} node{'s' if abs(nodes) != 1 else ''}"


# -- side by side ----------------------------------------------------------------------


def _side_by_side(rows: dict[str, dict[str, Any]], now: datetime) -> html.Div:
    shown = [role for role in ROLES if role in rows]
    head = ["", *(_who(rows[role]) for role in shown)]
    rule = rows.get("rule")
    lines = [
        [label, *(_cell(write(rows[role]), write(rule) if rule else None) for role in shown)]
        for label, write in _HEADS
    ]
    lines += [[label, *(write(rows[role]) for role in shown)] for label, write in _REMARKS]
    lines.append(["Asked", *(html.Span(_age(rows[role], now), className="sub") for role in shown)])
    return table(head, lines, "What each policy would do now")


def _who(row: dict[str, Any]) -> html.Div:
    named = word(row["policy_id"]) if row["role"] == "rule" else row["policy_id"]
    return html.Div([words(row["role"]), html.Div(named, className="sub")])


def _cell(text: str, of_the_rule: str | None) -> html.Span:
    """Bold where it is not what the rule would do."""
    differs = of_the_rule is not None and text != of_the_rule
    return html.Span(text, className="engine-differs" if differs else "")


def _beyond(row: dict[str, Any]) -> str:
    return MISSING if row["value_usd"] is None else signed_usd(row["value_usd"], 0)


_HEADS = (
    ("Nodes", lambda row: f"{row['nodes']:+d}".replace("-", "−") if row["nodes"] else "0"),
    ("Price, a GPU-hour", lambda row: usd(row["price_usd_per_gpu_hour"])),
    ("Releases", lambda row: RELEASING[row["consolidation"]]),
    ("Repairs", lambda row: HEALING[row["heal"]]),
    ("Idle GPUs as spot", lambda row: percent(row["spot_ratio"])),
)
_REMARKS = (
    ("Held back by the envelope", lambda row: "yes" if row["is_clipped"] else "no"),
    ("Beyond the rule, USD", _beyond),
)


# -- why -------------------------------------------------------------------------------


def _why(row: dict[str, Any]) -> html.Div:
    drivers = sorted(json.loads(row["drivers"]), key=lambda each: -abs(each["effect"]))
    if not drivers:
        told = "Nothing moved it away from the rule."
        return html.Div([html.H3("Why"), html.Div(told, className="sub")])
    most = max(abs(each["effect"]) for each in drivers) or 1.0
    bars = [_driver(each, most) for each in drivers[:DRIVERS_MAX]]
    note = (
        "How much each speaks for its choice over the rule's, in logits: right for, left against."
    )
    return html.Div(
        [
            html.H3("What moved it away from the rule"),
            html.Div(bars, className="engine-drivers"),
            html.Div(note, className="sub", style={"marginTop": 8}),
        ]
    )


def _driver(driver: dict[str, Any], most: float) -> html.Div:
    effect = float(driver["effect"])
    width = abs(effect) / most * 50
    color = "harbour" if effect >= 0 else "amber"
    fill = {
        "left": f"{50 if effect >= 0 else 50 - width:.1f}%",
        "width": f"{max(width, 0.8):.1f}%",
        "background": f"var(--mantine-color-{color}-5)",
    }
    effect_words = f"{'−' if effect < 0 else '+'}{abs(effect):.2f}"
    return html.Div(
        [
            html.Div(driver["words"]),
            html.Div(html.Span(style=fill), className="engine-driver-track", role="presentation"),
            html.Div(effect_words, className="engine-driver-effect"),
        ],
        className="engine-driver",
    )


# -- what the twin expects -------------------------------------------------------------


def _range(promise: Promise | None, now: datetime) -> html.Div:
    if promise is None:
        return html.Div("No decision was proposed for this pool yet.", className="sub engine-foot")
    low, middle, high = (
        promise.expected_gain_low_usd_per_hour,
        promise.expected_gain_usd_per_hour,
        promise.expected_gain_high_usd_per_hour,
    )
    said = [
        "Newest decision: ",
        dcc.Link(promise.summary, href=f"/decisions?id={promise.decision_id}"),
        f", {age(promise.proposed_at, now)}. The twin expects ",
        html.B(f"{signed_usd(middle)} an hour"),
        f", {percent(promise.interval_ratio)} sure of {signed_usd(low)} to {signed_usd(high)}.",
    ]
    return html.Div(
        [dmc.Divider(my=12), lead(*said), interval_bar(low, middle, high)], className="engine-range"
    )
