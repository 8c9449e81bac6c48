"""Admin: what holds the engine and what is paused, how the collectors fare, who did what."""

from __future__ import annotations

from typing import Any

from dash import (
    ALL,
    Input,
    Output,
    State,
    ctx,
    dcc,
    html,
    no_update,
    register_page,
)

from pages import _paused, _storage, _windows
from pages._address import keep_in_address
from pages._admin import (
    ASK_OFF,
    ASK_ON,
    COLUMNS,
    audit_panel,
    for_admins,
    kill_dialog,
    told_of_limits,
)
from pages._callbacks import NOTICES, answers, notice
from pages._context import context, may, needed
from pages._controls import breaker_box, kill_box, limits_form, limits_set_elsewhere, modes_form
from pages._drawers import asks_anew
from pages._files import DOWNLOAD_ROWS_MAX, file_of
from pages._health import collectors_table, people_table
from pages._parts import page, page_head, panel, skeleton_rows
from pages._words import age, count, words
from warehouse import audit, controls

SLOW_MILLISECONDS = 15_000


def layout(search: str | None = None, **_: str) -> html.Div:
    """The page; what people may edit is built once, so that nothing is lost while they type."""
    store = context().store
    is_admin, limits = may("admin"), controls.limits(store)
    return page(
        dcc.Download(id="admin-file"),
        dcc.Store(id="admin-kill-aim"),
        dcc.Store(id="admin-shown"),
        dcc.Interval(id="admin-slow", interval=SLOW_MILLISECONDS),
        page_head("Admin", note=None if is_admin else "Changing these takes the role admin."),
        dcc.Store(id="admin-paused-shown"),
        html.Div(id="admin-kill-box"),
        panel("Paused now", html.Div(skeleton_rows(1), id="admin-paused")),
        html.Div(
            [
                panel(
                    "How far each action may go by itself",
                    html.Div(_modes(is_admin), id="admin-modes"),
                ),
                panel("Breaker", html.Div(id="admin-breaker-box")),
            ],
            className="columns columns-main",
        ),
        panel(
            "Windows",
            html.Div(_windows.windows_lists(limits, is_admin, context().now()), id="admin-windows"),
            _windows.windows_forms() if is_admin else None,
        ),
        panel("Collectors", html.Div(skeleton_rows(3), id="admin-collectors")),
        _storage.storage_panel(),
        html.Div(
            [
                panel("Limits", limits_form(limits, is_admin), limits_set_elsewhere(limits)),
                _people_panel() if is_admin else for_admins("People", "Seeing who may sign in"),
            ],
            className="columns columns-main",
        ),
        audit_panel(search) if is_admin else for_admins("Who did what", "Reading the record"),
        kill_dialog(),
        name="admin",
    )


def _modes(is_admin: bool) -> list[Any]:
    store = context().store
    return modes_form(controls.modes(store), controls.four_eyes(store), is_admin)


def _people_panel() -> html.Section:
    shown = people_table(context().store, context().now())
    return panel("People", html.Div(shown, id="admin-people"))


@answers(
    Output("admin-kill-box", "children"),
    Output("admin-breaker-box", "children"),
    Output("admin-shown", "data"),
    Input("shell-tick", "n_intervals"),
    State("admin-shown", "data"),
)
def bring_up_to_date(n_intervals: int | None, shown: str | None) -> tuple[Any, ...]:
    """The kill switch and the breaker as they stand, drawn anew only when they look different."""
    store, now = context().store, context().now()
    switch, breaker = controls.kill_switch(store), controls.breaker(store)
    digest = f"{switch} {age(switch.set_at, now)} {breaker} {age(breaker.opened_at, now)}"
    if digest == shown:
        return no_update, no_update, digest
    shown_breaker = breaker_box(breaker, controls.limits(store), may("admin"), now)
    return kill_box(switch, now), shown_breaker, digest


@answers(Output("admin-collectors", "children"), Input("admin-slow", "n_intervals"))
def show_collectors(n_intervals: int | None) -> Any:
    """How each collector fared lately."""
    return collectors_table(context().store, context().wall.now())


@answers(
    Output("admin-kill-dialog", "opened"),
    Output("admin-kill-words", "children"),
    Output("admin-kill-confirm", "children"),
    Output("admin-kill-confirm", "color"),
    Output("admin-kill-reason", "value"),
    Output("admin-kill-aim", "data"),
    Input({"type": "admin-kill", "is_on": ALL}, "n_clicks"),
    prevent_initial_call=True,
)
def ask_before_kill(clicks: list[int | None]) -> tuple[Any, ...]:
    """Ask for a reason before everything stops, or goes on."""
    if not any(clicks):
        return (no_update,) * 6
    if controls.kill_switch(context().store).is_on:
        return True, ASK_ON, "Let actions go on", "harbour", "", False
    return True, ASK_OFF, "Stop every action", "red", "", True


@answers(
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Output("admin-kill-dialog", "opened", allow_duplicate=True),
    Output("admin-kill-box", "children", allow_duplicate=True),
    Input("admin-kill-confirm", "n_clicks"),
    State("admin-kill-aim", "data"),
    State("admin-kill-reason", "value"),
    prevent_initial_call=True,
)
def kill(n_clicks: int | None, is_on: bool, reason: str | None) -> tuple[Any, ...]:
    """Throw the kill switch as the dialog said. Stopping takes an operator, going on an admin."""
    if not n_clicks:
        return no_update, no_update, no_update
    person = needed("operator" if is_on else "admin")
    if not (reason or "").strip():
        return (
            [notice("Not done", "Say why: the reason is kept on record.", "red")],
            True,
            no_update,
        )
    store, now = context().store, context().now()
    controls.set_kill_switch(store, is_on, by=person.name, reason=reason, now=now, via=person.via)
    title = "Every action is stopped" if is_on else "Actions go on"
    told = notice(
        title, f"Said by {person.name}", "red" if is_on else "harbour", key=now.isoformat()
    )
    return [told], False, kill_box(controls.kill_switch(store), now)


@answers(
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Output("admin-modes", "children"),
    Input({"type": "admin-mode", "action": ALL}, "value"),
    prevent_initial_call=True,
)
def set_modes(chosen: list[str]) -> tuple[Any, Any]:
    """Set the mode of the action whose control was moved."""
    store, now = context().store, context().now()
    asked = ctx.triggered_id
    before = controls.modes(store)
    if not isinstance(asked, dict) or ctx.triggered[0]["value"] == before[asked["action"]]:
        return no_update, no_update
    if not may("admin"):  # the control goes back to where it was
        told = notice("Not done", "Setting a mode takes the role admin.", "red")
        return [told], _modes(is_admin=False)
    person, mode = needed("admin"), ctx.triggered[0]["value"]
    controls.set_mode(
        store, asked["action"], mode, by=person.name, reason=None, now=now, via=person.via
    )
    said = f"{words(asked['action'])}: {mode}"
    return [notice("Mode set", said, key=now.isoformat())], _modes(is_admin=True)


@answers(
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Output("admin-modes", "children", allow_duplicate=True),
    Input({"type": "admin-four-eyes", "action": ALL}, "checked"),
    prevent_initial_call=True,
)
def set_four_eyes(checked: list[bool]) -> tuple[Any, Any]:
    """Say whether two people must say yes to the action whose switch was moved."""
    store, now, asked = context().store, context().now(), ctx.triggered_id
    is_on = bool(ctx.triggered[0]["value"]) if ctx.triggered else False
    if not isinstance(asked, dict) or is_on == controls.four_eyes(store)[asked["action"]]:
        return no_update, no_update
    if not may("admin"):  # the switch goes back to where it was
        told = notice("Not done", "Asking for two people takes the role admin.", "red")
        return [told], _modes(is_admin=False)
    person, action = needed("admin"), asked["action"]
    controls.set_four_eyes(
        store, action, is_on, by=person.name, reason=None, now=now, via=person.via
    )
    said = f"{words(action)}: {'two people' if is_on else 'one person'} must say yes"
    return [notice("Four eyes set", said, key=now.isoformat())], _modes(is_admin=True)


@answers(
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Output("admin-breaker-box", "children", allow_duplicate=True),
    Input({"type": "admin-breaker", "action": ALL}, "n_clicks"),
    prevent_initial_call=True,
)
def close_breaker(clicks: list[int | None]) -> tuple[Any, Any]:
    """Close the breaker, after which failures are counted anew."""
    if not any(clicks):
        return no_update, no_update
    person, store, now = needed("admin"), context().store, context().now()
    controls.close_breaker(store, by=person.name, reason=None, now=now, via=person.via)
    shown = breaker_box(controls.breaker(store), controls.limits(store), may("admin"), now)
    return [notice("Breaker closed", "Actions are carried out again.", key=now.isoformat())], shown


@answers(
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Output({"type": "admin-limit", "name": ALL}, "error"),
    Input("admin-limits-save", "n_clicks"),
    State({"type": "admin-limit", "name": ALL}, "value"),
    State({"type": "admin-limit", "name": ALL}, "id"),
    State("admin-limits-reason", "value"),
    running=[(Output("admin-limits-save", "loading"), True, False)],
    prevent_initial_call=True,
)
def save_limits(
    n_clicks: int | None, values: list[Any], names: list[dict[str, str]], reason: str | None
) -> tuple[Any, Any]:
    """Set each limit that was changed; one that can't be is marked, and the others are set."""
    if not n_clicks:
        return no_update, [no_update] * len(names)
    person, store, now = needed("admin"), context().store, context().now()
    before = controls.limits(store)
    errors: list[str | None] = []
    changed: list[str] = []
    for name, value in zip((each["name"] for each in names), values, strict=True):
        errors.append(None)
        if value == getattr(before, name):
            continue
        try:
            controls.set_limit(
                store, name, value, by=person.name, reason=reason, now=now, via=person.via
            )
            changed.append(name)
        except controls.InvalidLimit as error:
            errors[-1] = str(error)
    return [told_of_limits(changed, sum(each is not None for each in errors))], errors


@answers(
    Output("admin-grid", "getRowsResponse"),
    Input("admin-grid", "getRowsRequest"),
    State("admin-search", "value"),
)
def rows(request: dict[str, Any] | None, search: str | None) -> Any:
    """The block of the audit record that the table asks for."""
    if request is None:
        return no_update
    needed("admin")
    offset = request["startRow"]
    found = audit.audit(
        context().store, search=search or None, offset=offset, limit=request["endRow"] - offset
    )
    return {"rowData": _for_the_wire(found.rows), "rowCount": found.total}


def _for_the_wire(frame: Any) -> list[dict[str, Any]]:
    shown = frame.select([column["field"] for column in COLUMNS])
    return [{**row, "happened_at": row["happened_at"].isoformat()} for row in shown.to_dicts()]


@answers(
    Output("admin-file", "data"),
    Output(NOTICES, "sendNotifications", allow_duplicate=True),
    Input("admin-download", "n_clicks"),
    State("admin-search", "value"),
    prevent_initial_call=True,
)
def download(n_clicks: int | None, search: str | None) -> tuple[Any, Any]:
    """The audit record that fits the search, all pages of it, as CSV."""
    if not n_clicks:  # the button was only drawn
        return no_update, no_update
    needed("admin")
    found = audit.audit(context().store, search=search or None, limit=DOWNLOAD_ROWS_MAX)
    said = f"{count(found.rows.height)} of {count(found.total)} rows, the newest first"
    return file_of(found.rows, "audit", context().now()), [notice("Downloaded", said)]


_paused.register()
_storage.register()
_windows.register()
asks_anew("admin", "admin-grid", ("admin-search",), "admin-slow")
keep_in_address("admin-search")
register_page(
    __name__,
    path="/admin",
    name="Admin",
    title="Admin · Pilothouse",
    layout=layout,
    order=9,
    icon="sliders-horizontal",
)
