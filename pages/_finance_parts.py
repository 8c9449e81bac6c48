"""What the sections of the Finance page share: boxes, sentences, figures, the bar of the books."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dash_mantine_components as dmc
from dash import html

from pages import _files
from pages._parts import Children, skeleton_rows
from pages._words import count, usd, words

HIDDEN = {"display": "none"}
PARTS = {
    "allocated": "held by jobs",
    "idle": "idle",
    "cordoned": "cordoned",
    "down": "down or off",
    "unread": "seen by nobody",
}
"""Where a physical GPU-hour went. Each part has a pattern of its own, so that no colour is needed
to tell them apart."""


def section(
    title: str, name: str, *, right: Children = None, rows: int = 4, above: Children = None
) -> html.Section:
    """A titled box whose content `finance-<name>` comes with the first answer."""
    head = html.Div(
        [html.H2(title), html.Div(right, className="panel-tools")], className="panel-head"
    )
    body = html.Div(skeleton_rows(rows), id=f"finance-{name}")
    return html.Section([head, above, body], className="panel", id=f"finance-{name}-box")


def lead(*said: Children) -> html.P:
    """The sentence above a table that says what it shows."""
    return html.P(list(said), className="finance-lead")


def pick(
    name: str, value: str, data: Mapping[str, str], label: str, **options: Any
) -> dmc.SegmentedControl:
    """One of a few, always one."""
    return dmc.SegmentedControl(
        id=f"finance-{name}",
        value=value,
        data=[{"value": key, "label": said} for key, said in data.items()],
        **{"aria-label": label},
        **options,
    )


def download_menu(what: str, label: str) -> dmc.Menu:
    """A table of this page as CSV or Parquet."""
    return _files.download_menu(label, type="finance-download", what=what)


def gpu_hours(number: float | None) -> str:
    """GPU-hours: whole ones from a hundred on."""
    if number is None or abs(number) >= 100:
        return count(number)
    return f"{number:.2f}".replace("-", "−")


def signed_gpu_hours(number: float | None) -> str:
    """GPU-hours with their sign."""
    if number is None or abs(number) < 0.005:
        return gpu_hours(number and 0.0)
    return ("+" if number > 0 else "") + f"{number:,.2f}".replace("-", "−")


def hours_words(number: int) -> str:
    """So many hours."""
    return f"{count(number)} hour{'' if number == 1 else 's'}"


def money_words(amount: float | None) -> str:
    """An amount of the books, to the cent below a thousand."""
    return usd(amount, 2 if amount is not None and abs(amount) < 1000 else 0)


def kind_words(kind: str) -> str:
    """A kind of export."""
    return "FOCUS" if kind == "focus" else words(kind)


def parts_bar(row: Mapping[str, Any]) -> html.Div:
    """Where the physical GPU-hours of a row of the books went; the words are its label."""
    physical = row["physical_gpu_hours"]
    known = {name: row[f"{name}_gpu_hours"] for name in PARTS}
    said = ", ".join(f"{gpu_hours(known[name])} {told}" for name, told in PARTS.items())
    pieces = [
        html.Span(
            className=f"finance-part is-{name}",
            style={"width": f"{known[name] / physical * 100:.2f}%"},
            title=f"{gpu_hours(known[name])} GPU-hours {told}",
        )
        for name, told in PARTS.items()
        if physical > 0 and known[name] > 0
    ]
    label = f"{gpu_hours(physical)} GPU-hours: {said}"
    return html.Div(pieces, className="finance-bar", role="img", **{"aria-label": label})


def parts_key() -> html.Div:
    """The key of the bars."""
    shown = [
        html.Span([html.I(className=f"finance-part is-{name}"), told], className="finance-key")
        for name, told in PARTS.items()
    ]
    return html.Div(shown, className="finance-keys")
