"""The frame around every page: header, banner, menu, notifications; and the app itself."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import dash_ag_grid  # noqa: F401  its scripts must be known before the first page is served
import dash_mantine_components as dmc
from dash import Dash, Input, Output, dcc, html, page_container, page_registry
from fastapi import FastAPI

from pages import _banner
from pages._callbacks import NOTICES, show_error
from pages._context import Context, context, set_context
from pages._parts import icon
from pages._theme import THEME
from pages._used import note_views
from warehouse.people import current_person

TITLE = "Pilothouse"
TICK_MILLISECONDS = 3000
FOLDER = Path(__file__).parent

# The scheme is set before anything is drawn, so that a dark console never flashes white.
_INDEX = (FOLDER / "assets" / "index.html").read_text(encoding="utf-8")


def create_pages(server: FastAPI, given: Context) -> Dash:
    """Put the console's pages onto a FastAPI server.

    The server's lifespan must run (`with TestClient(...)`, uvicorn): Dash adds its last route
    there. Whoever asks is `warehouse.people.current_person`, set before Dash is reached.
    """
    set_context(given)
    dash_app = Dash(
        "pages",
        server=server,
        pages_folder="",
        use_pages=True,
        assets_folder=str(FOLDER / "assets"),
        assets_ignore=r".*\.html$",
        title=TITLE,
        update_title="",
        index_string=_INDEX,
        serve_locally=True,
        suppress_callback_exceptions=True,
        on_error=show_error,
        enable_mcp=False,
    )
    _execute_pages()
    note_views(page_registry.values())
    _banner.register()
    _register_frame()
    dash_app.layout = frame
    # Dash collects scripts and styles at the first request for `/`, and whoever comes back to
    # another page after a restart would get that page without them.
    dash_app._setup_server()
    return dash_app


def _execute_pages() -> None:
    """Execute every page file anew, which registers it and its callbacks with this app."""
    page_registry.clear()
    for path in sorted(FOLDER.glob("[!_]*.py")):
        name = f"pages.{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])


def frame() -> dmc.MantineProvider:
    """What surrounds the page; asked anew at every load."""
    status = context().status()
    strip_px = 32 if status.is_simulated else 0
    shell = dmc.AppShell(
        [
            dmc.AppShellHeader([_header(), _banner.strip(status) if status.is_simulated else None]),
            dmc.AppShellNavbar(_navbar(), id="shell-navbar", className="navbar"),
            dmc.AppShellMain(page_container, id="shell-main", className="main"),
        ],
        id="shell-frame",
        header={"height": 48 + strip_px},
        navbar=_navbar_state(is_open=False),
        padding=0,
        transitionDuration=120,
    )
    return dmc.MantineProvider(
        [*_invisible(), shell], id="shell-provider", theme=THEME, defaultColorScheme="auto"
    )


def _invisible() -> list[Any]:
    return [
        # What is brought up to date at every tick must be somewhere, also without a strip.
        None if context().status().is_simulated else _banner.without_a_fleet(),
        html.A("Skip to the page", href="#shell-main", className="skip"),
        dcc.Interval(id="shell-tick", interval=TICK_MILLISECONDS),
        dcc.Location(id="shell-place", refresh="callback-nav"),
        dmc.NotificationContainer(id=NOTICES, position="bottom-right", limit=4),
        html.Div(
            "The console has not answered for a while: what is shown may be old. "
            "It is tried again by itself.",
            id="shell-offline",
            className="offline",
            role="alert",
        ),
    ]


def _header() -> html.Div:
    person = current_person.get()
    left = [
        dmc.Burger(
            id="shell-burger", size="sm", hiddenFrom="sm", opened=False, **{"aria-label": "Menu"}
        ),
        dcc.Link(
            [html.Span(className="mark"), html.Span(TITLE, className="brand-name")],
            href="/",
            className="brand",
        ),
    ]
    right = [
        html.Div(id="shell-alarms", className="alarms"),
        _theme_menu(),
        _person_menu(person.name, person.role) if person else None,
    ]
    return html.Div(
        [html.Div(left, className="header-side"), html.Div(right, className="header-side")],
        className="header-row",
    )


def _theme_menu() -> dmc.Menu:
    button = dmc.ActionIcon(
        [
            html.Span(icon("sun"), className="light-only"),
            html.Span(icon("moon"), className="dark-only"),
        ],
        size="lg",
        **{"aria-label": "Colours"},
    )
    items = [
        dmc.MenuItem(label, id=f"shell-scheme-{scheme}", leftSection=icon(name))
        for scheme, label, name in (
            ("light", "Light", "sun"),
            ("dark", "Dark", "moon"),
            ("auto", "As the system", "sliders-horizontal"),
        )
    ]
    return dmc.Menu(
        [dmc.MenuTarget(button), dmc.MenuDropdown(items)], position="bottom-end", width=180
    )


def _person_menu(name: str, role: str) -> dmc.Menu:
    button = dmc.UnstyledButton(
        [icon("circle-user-round", 18), html.Span(name, className="person-name")],
        className="person",
        **{"aria-label": f"Signed in as {name}"},
    )
    sign_out = html.Form(
        html.Button([icon("log-out"), "Sign out"], type="submit", className="sign-out"),
        method="POST",
        action="/sign-out",
    )
    dropdown = dmc.MenuDropdown([dmc.MenuLabel(f"{name}, {role}"), sign_out])
    return dmc.Menu([dmc.MenuTarget(button), dropdown], position="bottom-end", width=180)


def _navbar() -> list[Any]:
    pages = sorted(page_registry.values(), key=lambda each: each["order"] or 0)
    links = [_nav_link(each) for each in pages if "order" in each and each["order"] is not None]
    foot = html.A(
        [icon("code-xml", 15), "API"], href="/api/docs", className="nav-foot", target="_blank"
    )
    return [html.Nav(links, className="nav", **{"aria-label": "Pages"}), foot]


def _nav_link(registered: dict[str, Any]) -> html.Div:
    stem = registered["module"].rsplit(".", 1)[-1]
    badge = html.Span(id="shell-waiting", className="nav-badge") if stem == "decisions" else None
    link = dmc.NavLink(
        label=registered["name"],
        href=registered["path"],
        leftSection=icon(registered["icon"], 17),
        active="exact" if registered["path"] == "/" else "partial",
        id=f"shell-link-{stem}",
        className="nav-link",
    )
    return html.Div([link, badge], className="nav-item")


def _navbar_state(*, is_open: bool) -> dict[str, Any]:
    return {"width": 196, "breakpoint": "sm", "collapsed": {"mobile": not is_open}}


def _register_frame() -> None:
    from dash import ClientsideFunction, clientside_callback

    clientside_callback(
        ClientsideFunction("shell", "toggleMenu"),
        Output("shell-frame", "navbar"),
        Output("shell-burger", "opened"),
        Input("shell-burger", "opened"),
        Input("_pages_location", "pathname"),
    )
    clientside_callback(
        ClientsideFunction("shell", "setScheme"),
        Output("shell-provider", "id"),
        *(Input(f"shell-scheme-{scheme}", "n_clicks") for scheme in ("light", "dark", "auto")),
        prevent_initial_call=True,
    )
