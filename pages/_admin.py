"""The pieces of Admin: the audit record and the dialog of the kill switch."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import html

from pages._callbacks import notice
from pages._grid import server_grid, text_column
from pages._parts import icon, panel
from pages._words import count, words

_INSTANT = {"function": "asInstant(params.value)"}

COLUMNS = [
    text_column("happened_at", "When", 126, valueFormatter=_INSTANT),
    text_column("actor", "Who", 120),
    text_column("act", "What", 160),
    text_column("target", "On", 220),
    text_column("detail", "Particulars", 320, flex=1, minWidth=200, cellClass="mono"),
    text_column("via", "Door", 96),
    text_column("address", "From", 126),
]

ASK_OFF = (
    "Nothing is carried out until it is switched off: what is approved waits, and lapses if that "
    "takes too long. What is half done stops before its next step, and goes on afterwards."
)

ASK_ON = (
    "The engine carries out what is approved again. Approvals that waited and are still fresh are "
    "carried out at its next tick."
)


def audit_panel(search: str | None) -> html.Section:
    tools = [
        dmc.TextInput(
            id="admin-search",
            value=search or "",
            debounce=300,
            w=200,
            placeholder="Search the record",
            leftSection=icon("search", 14),
            **{"aria-label": "Search the audit record"},
        ),
        dmc.Button(
            "Download CSV", id="admin-download", variant="default", leftSection=icon("download", 14)
        ),
    ]
    grid = server_grid("admin-grid", COLUMNS)
    box = html.Div(grid, className="grid-box", style={"height": 420, "minHeight": 0})
    return panel("Who did what", box, right=tools, className="panel-flush")


def for_admins(title: str, what: str) -> html.Section:
    """What stands in place of what only an admin is shown."""
    told = html.Div(f"{what} takes the role admin.", className="sub")
    return panel(title, told)


def kill_dialog() -> dmc.Modal:
    return dmc.Modal(
        html.Div(
            [
                html.P(id="admin-kill-words", className="prose"),
                dmc.Textarea(
                    id="admin-kill-reason",
                    label="Reason",
                    autosize=True,
                    minRows=2,
                    required=True,
                    **{"data-autofocus": "true"},
                ),
                dmc.Button(
                    "Stop every action",
                    id="admin-kill-confirm",
                    color="red",
                    size="sm",
                    fullWidth=True,
                ),
            ],
            className="stack",
        ),
        id="admin-kill-dialog",
        opened=False,
        title="Kill switch",
        centered=True,
        closeButtonProps={"aria-label": "Close"},
    )


def told_of_limits(changed: list[str], refused_count: int) -> dict[str, Any]:
    if refused_count:
        message = f"{count(refused_count)} could not be set: see the words under each."
        return notice("Not all limits are set", message, "red", key=str(changed))
    if not changed:
        return notice("Nothing to set", "No limit was changed.", "gray")
    return notice("Limits set", ", ".join(words(each) for each in changed), key=str(changed))
