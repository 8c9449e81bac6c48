"""The pieces every page is built of: panels, figures, states, empty and loading pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import html

from pages._theme import STATE_COLORS
from pages._words import words

Children = Any
"""What a component may hold: a component, a string, a number or a list of those."""


def icon(name: str, size_px: int = 16) -> html.Span:
    """An icon of `assets/icons/`, in the colour of the text around it."""
    source = f"url(/assets/icons/{name}.svg)"
    style = {"--icon": source, "width": size_px, "height": size_px}
    return html.Span(className="icon", style=style, **{"aria-hidden": "true"})


def page(*children: Children, name: str) -> html.Div:
    """A page's whole content."""
    return html.Div(list(children), className="page", id=f"{name}-page")


def page_head(title: str, *right: Children, note: Children = None) -> html.Div:
    """The title of a page, a note under it and what stands on the right."""
    left = html.Div([html.H1(title), html.Div(note, className="page-note") if note else None])
    return html.Div([left, html.Div(list(right), className="page-tools")], className="page-head")


def panel(
    title: str | None,
    *children: Children,
    right: Children = None,
    className: str = "",
    **options: Any,
) -> html.Section:
    """A titled box."""
    head = html.Div(
        [html.H2(title), html.Div(right, className="panel-tools")], className="panel-head"
    )
    body = [head, *children] if title else list(children)
    return html.Section(body, className=f"panel {className}".strip(), **options)


def figure_tile(
    label: str,
    value: str,
    unit: str = "",
    note: Children = None,
    tone: str = "",
    extra: Children = None,
) -> html.Div:
    """One figure with its unit and, under it, what it rests on."""
    return html.Div(
        [
            html.Div(label, className="tile-label"),
            html.Div([html.Span(value), html.Small(unit)], className=f"tile-value {tone}".strip()),
            html.Div(note, className="tile-note"),
            extra,
        ],
        className="tile",
    )


def state_badge(state: str) -> dmc.Badge:
    """A state in its colour; the word says it too."""
    return dmc.Badge(
        words(state), color=STATE_COLORS.get(state, "gray"), size="sm", className="state"
    )


def empty(message: str, *more: Children, icon_name: str = "inbox") -> html.Div:
    """What stands where there is nothing to show, saying why."""
    return html.Div(
        [icon(icon_name, 22), html.Div(message, className="empty-title"), *more],
        className="empty",
        role="status",
    )


def skeleton_rows(rows: int, height_px: int = 18) -> html.Div:
    """Grey bars while rows load."""
    bars = [dmc.Skeleton(height=height_px, mb=10, animate=True) for _ in range(rows)]
    return html.Div(bars, className="skeletons", **{"aria-busy": "true", "aria-label": "Loading"})


def skeleton_tiles(tiles: int) -> list[html.Div]:
    """Grey tiles while figures load."""
    return [
        html.Div(
            [dmc.Skeleton(height=12, width=72), dmc.Skeleton(height=26, mt=10, width=110)],
            className="tile",
            **{"aria-busy": "true"},
        )
        for _ in range(tiles)
    ]


def facts(pairs: Sequence[tuple[str, Children]], className: str = "") -> html.Dl:
    """Names and values, two columns."""
    cells = [cell for name, value in pairs for cell in (html.Dt(name), html.Dd(value))]
    return html.Dl(cells, className=f"facts {className}".strip())


def table(head: Sequence[Children], rows: Sequence[Sequence[Children]], label: str) -> html.Div:
    """A small table; on a narrow screen it scrolls inside its own box."""
    header = html.Thead(html.Tr([html.Th(cell, scope="col") for cell in head]))
    body = html.Tbody([html.Tr([html.Td(cell) for cell in row]) for row in rows])
    made = html.Table([header, body], className="table")
    return html.Div(
        made, className="table-scroll", role="region", tabIndex=0, **{"aria-label": label}
    )


def bar(ratio: float | None, color: str = "harbour") -> html.Div:
    """A thin bar filled to a ratio."""
    width = f"{max(0.0, min(1.0, ratio or 0.0)) * 100:.1f}%"
    fill = {"width": width, "background": f"var(--mantine-color-{color}-5)"}
    return html.Div(html.Div(style=fill), className="bar", role="presentation")
