"""A page's filters stand in its address."""

from __future__ import annotations

from collections.abc import Sequence

from dash import ClientsideFunction, Input, clientside_callback


def keep_in_address(*component_ids: str) -> None:
    """Write the values of these components into the address whenever one changes.

    `jobs-pool` becomes `?pool=…`; the page's `layout` is given it back by that name.
    """
    clientside_callback(
        ClientsideFunction("address", "keep"),
        *(Input(component_id, "value") for component_id in component_ids),
        prevent_initial_call=True,
    )


def chosen(value: str | None, choices: Sequence[str]) -> str:
    """What an address asks for where it is one of the choices, else the first of them."""
    return value if value is not None and value in choices else choices[0]


def listed(value: str | None, choices: Sequence[str]) -> list[str]:
    """The choices that an address lists, separated by commas."""
    return [each for each in (value or "").split(",") if each in choices]
