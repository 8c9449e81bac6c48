"""The strip under the header that says the fleet is simulated, and what is alarming."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import Input, Output, State, ctx, dcc, html, no_update

from pages._callbacks import NOTICES, answers, notice
from pages._context import ConsoleStatus, context, may, needed
from pages._holds import holds
from pages._parts import icon
from pages._words import count
from warehouse import controls, decisions

SPEEDS = (0, 1, 10, 30, 60, 120, 300)
"""Fleet seconds per real second that the banner offers."""


def strip(status: ConsoleStatus) -> html.Div:
    """The banner of a simulated fleet."""
    return html.Div(
        [
            html.Div(
                [
                    html.Span("Simulated fleet", className="strip-name"),
                    html.Span(status.workload, className="strip-workload", title=status.workload),
                    html.Span(_clock_words(status), id="shell-time", className="strip-time"),
                ],
                className="strip-words",
            ),
            html.Div(
                [
                    html.Span("Speed", className="strip-label"),
                    html.Div(_speed(_speed_set(status)), id="shell-speed-box"),
                    dcc.Store(id="shell-speed-seen", data=_speed_set(status)),
                ],
                className="strip-speed",
            ),
            html.Div(html.Div(id="shell-history-bar"), className="strip-progress"),
        ],
        className="strip",
        role="region",
        **{"aria-label": "Simulated fleet"},
    )


def without_a_fleet() -> html.Div:
    """Where nothing is simulated: the parts that the frame's callbacks write to, unseen."""
    parts = ("shell-time", "shell-history-bar", "shell-speed-box")
    return html.Div(
        [*(html.Span(id=part) for part in parts), dcc.Store(id="shell-speed-seen")], hidden=True
    )


def _clock_words(status: ConsoleStatus) -> list[Any]:
    at = status.fleet_now.strftime("%a %-d %b %H:%M UTC")
    if status.failure is not None:
        stopped = f"The simulated fleet stopped: {status.failure}"
        return [html.Span(stopped, className="bad", role="alert", title=stopped)]
    if status.is_ready:
        return [html.Span("fleet time ", className="wide-only"), at]
    progress = f"history is loading, {status.history_progress_ratio * 100:.0f} %"
    return [progress, html.Span(f" · {at}", className="wide-only")]


def _speed_set(status: ConsoleStatus) -> float:
    """The speed that was set, which the fleet follows a moment later."""
    wanted = controls.fleet_speed(context().store)
    return status.speed if wanted is None else wanted


def _speed(speed: float) -> Any:
    choices = sorted({*SPEEDS, speed})
    if not may("operator"):
        return html.Span(_speed_words(speed))
    return dmc.Select(
        id="shell-speed",
        value=f"{speed:g}",
        data=[{"value": f"{each:g}", "label": _speed_words(each)} for each in choices],
        allowDeselect=False,
        size="xs",
        w=82,
        comboboxProps={"width": 110, "position": "bottom-end"},
        className="speed-select",
        **{"aria-label": "Speed of the simulated fleet"},
    )


def _speed_words(speed: float) -> str:
    return "Paused" if speed == 0 else f"{speed:g}×"


def register() -> None:
    """Register the frame's callbacks with the app that is being made."""
    answers(
        Output("shell-alarms", "children"),
        Output("shell-waiting", "children"),
        Output("shell-time", "children", allow_duplicate=True),
        Output("shell-history-bar", "style"),
        Input("shell-tick", "n_intervals"),
        prevent_initial_call="initial_duplicate",
    )(brought_up_to_date)
    answers(
        Output("shell-speed-box", "children"),
        Output("shell-speed-seen", "data"),
        Input("shell-tick", "n_intervals"),
        State("shell-speed-seen", "data"),
        prevent_initial_call=True,
    )(follow_speed)
    answers(
        Output(NOTICES, "sendNotifications", allow_duplicate=True),
        Input("shell-speed", "value"),
        prevent_initial_call=True,
    )(change_speed)


def brought_up_to_date(n_intervals: int | None) -> tuple[Any, ...]:
    """The alarms, the number of waiting decisions, the fleet's time and the history's progress."""
    status = context().status()
    waiting = decisions.waiting_count(context().store, now=context().now())
    width = "0" if status.is_ready else f"{status.history_progress_ratio * 100:.1f}%"
    badge = count(waiting) if waiting else ""
    words = _clock_words(status) if status.is_simulated else no_update
    return alarms(), badge, words, {"width": width}


def alarms() -> list[Any]:
    """What holds the engine back, each a link to where it can be changed."""
    raised = [(hold.alarm, hold.icon) for hold in holds(context().store, context().now())]
    led_by = context().status().led_by
    if led_by is not None:
        raised.append((f"Only looking: {led_by} acts", "compass"))
    if context().status().failure is not None:
        raised.insert(0, ("Simulated fleet stopped", "x"))
    return [
        dcc.Link([icon(name, 15), html.Span(text)], href="/admin", className="alarm")
        for text, name in raised
    ]


def follow_speed(n_intervals: int | None, seen: float | None) -> tuple[Any, Any]:
    """Show a speed that was set elsewhere.

    It is told by a change of the control, not by what the select shows: what a person has picked
    there may be on its way.
    """
    speed = _speed_set(context().status())
    if speed == seen or not context().status().is_simulated:
        return no_update, no_update
    return _speed(speed), speed


def change_speed(value: str | None) -> Any:
    """Set the fleet's speed; it takes effect at the console's next look at its controls.

    The speed that holds already is not set again: the select was only drawn anew.
    """
    if value is None or ctx.triggered_id is None:
        return no_update
    store, now = context().store, context().now()
    if float(value) == _speed_set(context().status()):
        return no_update
    person = needed("operator")
    controls.set_fleet_speed(store, float(value), by=person.name, now=now, via=person.via)
    return [
        notice("Speed set", f"The fleet runs at {_speed_words(float(value))}", key=now.isoformat())
    ]
