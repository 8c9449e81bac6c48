"""What people set: the kill switch, modes, the breaker, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import dash_mantine_components as dmc
from dash import html

from pages._context import may
from pages._parts import icon, state_badge
from pages._words import THIN, age, duration, exact_instant, usd, words
from warehouse.actions import ACTION_SPECS
from warehouse.controls import MODES, Breaker, KillSwitch
from warehouse.limits import LIMIT_COLUMNS, Limits
from warehouse.schema import Column

MODE_WORDS = {
    "off": "never proposed",
    "shadow": "proposed and measured, never done",
    "approve": "done once a person says yes",
    "autonomous": "done by itself, inside the limits",
}
ASKS = ("approve", "autonomous")
"""Modes in which four eyes count: the rule is no person."""
UNITS = (
    ("_usd_per_gpu_hour", "USD per GPU-hour"),
    ("_usd_per_hour", "USD per hour"),
    ("_seconds", "seconds"),
    ("_per_hour", "per hour"),
    ("_ratio", "as a share"),
    ("_nodes", "nodes"),
    ("_failures", "failures"),
    ("_quarantines", "quarantines"),
)


def kill_box(switch: KillSwitch, now: datetime) -> html.Div:
    """The kill switch, large; whoever may throw it sees the button."""
    title = "Every action is stopped" if switch.is_on else "Actions are carried out"
    since = ""
    if switch.set_at is not None:
        why = f": {switch.reason}" if switch.reason else ""
        since = f"Set by {switch.set_by} {age(switch.set_at, now)}{why}"
    words_of_it = html.Div(
        [html.Div(title, className="kill-title"), html.Div(since or "Never used", className="sub")]
    )
    label = "Let actions go on" if switch.is_on else "Stop everything"
    button = dmc.Button(
        label,
        id={"type": "admin-kill", "is_on": str(switch.is_on)},
        size="md",
        color="harbour" if switch.is_on else "red",
        leftSection=icon("power" if switch.is_on else "octagon-pause", 17),
    )
    is_allowed = may("admin" if switch.is_on else "operator")
    return html.Div(
        [words_of_it, button if is_allowed else None],
        className="kill is-on" if switch.is_on else "kill",
    )


def modes_form(
    modes: Mapping[str, str], four_eyes: Mapping[str, bool], is_admin: bool
) -> list[Any]:
    """A row an action type, with its mode, and whether two people must say yes."""
    return [_mode_row(each, mode, four_eyes[each], is_admin) for each, mode in modes.items()]


def _mode_row(action: str, mode: str, is_by_two: bool, is_admin: bool) -> html.Div:
    label = ACTION_SPECS[action].label if action in ACTION_SPECS else words(action)
    control = dmc.SegmentedControl(
        id={"type": "admin-mode", "action": action},
        value=mode,
        data=[{"value": each, "label": words(each)} for each in MODES],
        disabled=not is_admin,
        **{"aria-label": f"Mode of {label}"},
    )
    by_two = dmc.Switch(
        id={"type": "admin-four-eyes", "action": action},
        checked=is_by_two,
        label="Two people must say yes",
        size="xs",
        mt=4,
        disabled=not is_admin,
        **{"aria-label": f"Two people must say yes to {label}"},
    )
    meant = "done once two people say yes" if is_by_two and mode in ASKS else MODE_WORDS[mode]
    told = html.Div([html.Div(label), html.Div(meant, className="sub"), by_two])
    return html.Div([told, control], className="form-row")


def breaker_box(breaker: Breaker, limits: Limits, is_admin: bool, now: datetime) -> html.Div:
    """Whether the breaker is open, what opened it, and the button that closes it."""
    if not breaker.is_open:
        window = duration(limits.breaker_window_seconds)
        told = (
            f"{breaker.failures} failures in a row; it opens at {limits.breaker_failures}, "
            f"or at {limits.breaker_quarantines} nodes quarantined within {window}."
        )
        return html.Div([state_badge("closed"), html.Div(told, className="sub")], className="stack")
    opened = html.Span(age(breaker.opened_at, now), title=exact_instant(breaker.opened_at))
    button = dmc.Button("Close it", id={"type": "admin-breaker", "action": "close"}, size="sm")
    words_of_it = html.Div(
        [
            "Opened ",
            opened,
            f": {breaker.reason}. " if breaker.reason else ". ",
            "Nothing is carried out until a person closes it.",
        ],
        className="bad",
    )
    return html.Div([words_of_it, button if is_admin else None], className="stack")


def limits_form(limits: Limits, is_admin: bool) -> html.Div:
    """A row a limit that is one number, with its unit and what it may be."""
    shown = [column for column in LIMIT_COLUMNS.values() if column.bounds is not None]
    rows = [_limit_row(column, getattr(limits, column.name), is_admin) for column in shown]
    save = [
        dmc.TextInput(
            id="admin-limits-reason",
            placeholder="Reason, kept on record",
            className="grow",
            **{"aria-label": "Reason for changing limits"},
        ),
        dmc.Button("Save limits", id="admin-limits-save", size="sm"),
    ]
    foot = html.Div(
        save, className="row", style={"marginTop": 12, "display": "flex" if is_admin else "none"}
    )
    return html.Div([html.Div(rows), foot])


def limits_set_elsewhere(limits: Limits) -> html.Div:
    """The limits that are no single number, to be read here and set through the API."""
    shown = {
        "price_floor_usd_per_gpu_hour": _prices(limits.price_floor_usd_per_gpu_hour),
        "price_ceiling_usd_per_gpu_hour": _prices(limits.price_ceiling_usd_per_gpu_hour),
    }
    return html.Div([_read_only_row(LIMIT_COLUMNS[name], each) for name, each in shown.items()])


def _read_only_row(column: Column, lines: Sequence[str]) -> html.Div:
    path = f"PUT /api/v1/admin/limits/{column.name}"
    how = ["Set through the API: ", html.Code(path, className="mono")]
    told = html.Div(
        [
            html.Div(words(column.name.removesuffix("_usd_per_gpu_hour"))),
            html.Div(column.description, className="sub"),
            html.Div(how, className="sub"),
        ]
    )
    value = [html.Div(line, className="nowrap") for line in lines]
    return html.Div(
        [told, html.Div(value or html.Span("None", className="dim"))], className="form-row"
    )


def _prices(by_pool: Mapping[str, float]) -> list[str]:
    return [f"{pool}: {usd(price)}{THIN}/GPU-hour" for pool, price in sorted(by_pool.items())]


def _limit_row(column: Column, value: Any, is_admin: bool) -> html.Div:
    assert column.bounds is not None
    unit = next((unit for ending, unit in UNITS if column.name.endswith(ending)), "")
    ending = next((ending for ending, _ in UNITS if column.name.endswith(ending)), "")
    label = words(column.name.removesuffix(ending))
    is_whole = column.sql_type == "BIGINT"
    field = dmc.NumberInput(
        id={"type": "admin-limit", "name": column.name},
        value=value,
        min=column.bounds.low,
        max=column.bounds.high,
        clampBehavior="none",
        allowDecimal=not is_whole,
        step=1 if is_whole else 0.05,
        disabled=not is_admin,
        w=150,
        **{"aria-label": f"{label}, {unit}"},
    )
    span = f"{column.bounds.low:g} to {column.bounds.high:,.10g}"
    name = html.Div([label, html.Span(f", {unit}" if unit else "", className="dim")])
    told = html.Div([name, html.Div(f"{column.description} {span}.", className="sub")])
    return html.Div([told, field], className="form-row")
