"""Freezes and maintenance windows on Admin: those in force, and the forms that add one."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import dash_mantine_components as dmc
from dash import ALL, Input, Output, State, ctx, html, no_update

from pages._callbacks import NOTICES, answers, notice
from pages._context import context, may, needed
from pages._words import exact_instant, words
from warehouse import controls
from warehouse.limits import FreezeWindow, Limits, MaintenanceWindow
from warehouse.windows import WEEKDAYS, open_span

FREEZES, MAINTENANCE = "freeze_windows", "maintenance_windows"


def windows_lists(limits: Limits, is_admin: bool, now: datetime) -> list[Any]:
    """The freezes and the maintenance windows in force, each with its button."""
    freezes = [
        _row(FREEZES, sent, *_freeze_words(span, now), is_admin)
        for sent, span in zip(limits.freeze_windows, limits.frozen_spans, strict=True)
    ]
    windows = [
        _row(MAINTENANCE, sent, *_window_words(window, now), is_admin)
        for sent, window in zip(limits.maintenance_windows, limits.maintenance, strict=True)
    ]
    none = html.Div("None", className="sub")
    return [
        html.H3("Freezes: nothing is begun"),
        html.Div(freezes or none),
        html.H3("Maintenance windows: what they name is begun inside them alone"),
        html.Div(windows or none),
    ]


def _freeze_words(span: FreezeWindow, now: datetime) -> tuple[str, str]:
    why = f", {span.reason}" if span.reason else ""
    told = f"{exact_instant(span.starts_at)[:16]} to {exact_instant(span.ends_at)[:16]} UTC{why}"
    state = "over" if span.ends_at <= now else "now" if span.starts_at <= now else "to come"
    return told, state


def _window_words(window: MaintenanceWindow, now: datetime) -> tuple[str, str]:
    named = ", ".join(words(action) for action in window.actions)
    is_open = any(open_span([window], action, now) for action in window.actions)
    return f"{named}: {window.sentence}", "open now" if is_open else "closed now"


def _row(name: str, sent: dict[str, Any], told: str, state: str, is_admin: bool) -> html.Div:
    button = {"type": "admin-window-remove", "limit": name, "key": key_of(sent)}
    remove = dmc.Button("Remove", id=button, variant="default", size="xs") if is_admin else None
    return html.Div(
        [html.Div([html.Div(told), html.Div(state, className="sub")]), remove], className="form-row"
    )


def key_of(sent: dict[str, Any]) -> str:
    """Tells a window from every other, so that the one on the screen is the one removed."""
    return hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()[:16]


def windows_forms() -> html.Div:
    """The forms of an admin that add a freeze and a maintenance window."""
    return html.Div([_freeze_form(), _maintenance_form()], className="stack")


def _freeze_form() -> html.Div:
    picker = {"valueFormat": "YYYY-MM-DD HH:mm", "w": 180, "clearable": True}
    fields = [
        dmc.DateTimePicker(id="admin-freeze-starts", label="Freeze from, UTC", **picker),
        dmc.DateTimePicker(id="admin-freeze-ends", label="To, UTC", **picker),
        dmc.TextInput(id="admin-freeze-reason", label="Reason", w=180),
        dmc.Button("Add freeze", id="admin-freeze-add", variant="default"),
    ]
    return html.Div(fields, className="filters")


def _maintenance_form() -> html.Div:
    actions = [{"value": each, "label": words(each)} for each in controls.GOVERNED_ACTIONS]
    days = [{"value": each, "label": each.capitalize()} for each in WEEKDAYS]
    fields = [
        dmc.MultiSelect(id="admin-window-actions", label="Actions", data=actions, w=220),
        dmc.MultiSelect(id="admin-window-days", label="Starts on", data=days, w=180),
        dmc.TextInput(id="admin-window-starts", label="From", placeholder="02:00", w=90),
        dmc.TextInput(id="admin-window-ends", label="To", placeholder="05:00", w=90),
        dmc.TextInput(id="admin-window-zone", label="Time zone", value="UTC", w=150),
        dmc.Button("Add window", id="admin-window-add", variant="default"),
    ]
    return html.Div(fields, className="filters")


# -- what the buttons do ---------------------------------------------------------------


def register() -> None:
    """Register the buttons' callbacks with the app that is being made."""
    told = (
        Output(NOTICES, "sendNotifications", allow_duplicate=True),
        Output("admin-windows", "children", allow_duplicate=True),
    )
    answers(
        *told,
        Input({"type": "admin-window-remove", "limit": ALL, "key": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )(remove_window)
    answers(
        *told,
        Input("admin-freeze-add", "n_clicks"),
        State("admin-freeze-starts", "value"),
        State("admin-freeze-ends", "value"),
        State("admin-freeze-reason", "value"),
        prevent_initial_call=True,
    )(add_freeze)
    answers(
        *told,
        Input("admin-window-add", "n_clicks"),
        State("admin-window-actions", "value"),
        State("admin-window-days", "value"),
        State("admin-window-starts", "value"),
        State("admin-window-ends", "value"),
        State("admin-window-zone", "value"),
        prevent_initial_call=True,
    )(add_maintenance)


def remove_window(clicks: list[int | None]) -> tuple[Any, Any]:
    """Remove the window whose button was pressed."""
    asked = ctx.triggered_id
    if not any(clicks) or not isinstance(asked, dict):  # the list was only drawn anew
        return no_update, no_update
    before = getattr(controls.limits(context().store), asked["limit"])
    return _set(asked["limit"], [each for each in before if key_of(each) != asked["key"]])


def add_freeze(
    n_clicks: int | None, starts: str | None, ends: str | None, reason: str | None
) -> tuple[Any, Any]:
    """Add a freeze; its instants were given in UTC."""
    if not n_clicks:
        return no_update, no_update
    sent = {"starts_at": _utc(starts), "ends_at": _utc(ends), "reason": reason or ""}
    return _set(FREEZES, [*controls.limits(context().store).freeze_windows, sent])


def add_maintenance(
    n_clicks: int | None,
    actions: list[str] | None,
    days: list[str] | None,
    starts: str | None,
    ends: str | None,
    zone: str | None,
) -> tuple[Any, Any]:
    """Add a maintenance window."""
    if not n_clicks:
        return no_update, no_update
    sent = {"actions": actions, "weekdays": days, "starts": starts, "ends": ends}
    sent["time_zone"] = (zone or "UTC").strip()
    return _set(MAINTENANCE, [*controls.limits(context().store).maintenance_windows, sent])


def _utc(picked: str | None) -> str | None:
    """What the picker sends names no time zone."""
    return datetime.fromisoformat(picked).replace(tzinfo=UTC).isoformat() if picked else None


def _set(name: str, windows: list[dict[str, Any]]) -> tuple[Any, Any]:
    person, store, now = needed("admin"), context().store, context().now()
    controls.set_limit(store, name, windows, by=person.name, reason=None, now=now, via=person.via)
    shown = windows_lists(controls.limits(store), may("admin"), now)
    return [notice("Windows set", words(name), key=now.isoformat())], shown
