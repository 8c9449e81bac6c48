"""A drawer whose content is picked by a hidden field, so that it stands in the address."""

from __future__ import annotations

from dash import ClientsideFunction, Input, Output, State, clientside_callback


def opens_by(page: str, picked_id: str, grid_id: str | None = None) -> None:
    """Open a page's drawer while the hidden field holds something, and empty the field with it.

    A row picked in the grid is written into the field.
    """
    drawer = f"{page}-drawer"
    clientside_callback(
        ClientsideFunction("grid", "opens"), Output(drawer, "opened"), Input(picked_id, "value")
    )
    states = [State(picked_id, "id")] + ([State(grid_id, "id")] if grid_id else [])
    clientside_callback(
        ClientsideFunction("grid", "closed"),
        Input(drawer, "opened"),
        *states,
        prevent_initial_call=True,
    )
    if grid_id:
        clientside_callback(
            ClientsideFunction("grid", "picked"),
            Input(grid_id, "selectedRows"),
            prevent_initial_call=True,
        )


def asks_anew(page: str, grid_id: str, filters: tuple[str, ...], tick_id: str) -> None:
    """Have a grid ask for its rows anew when a filter changes, and refresh them at a tick."""
    clientside_callback(
        ClientsideFunction("grid", "purge"),
        *(Input(name, "value") for name in filters),
        State(grid_id, "id"),
        prevent_initial_call=True,
    )
    clientside_callback(
        ClientsideFunction("grid", "refresh"),
        Output(f"{page}-page", "lang"),  # nothing is written: it keeps the callback to this page
        Input(tick_id, "n_intervals"),
        State(grid_id, "id", allow_optional=True),  # some are shown to admins only
        prevent_initial_call=True,
    )
