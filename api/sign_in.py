"""Signing in and out in a browser, and choosing a password."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from api import sign_in_pages as pages
from api.door import set_session_cookie
from api.office import Address, Here, Office, Viewer
from api.origins import safe_path
from api.people import password_is_right
from api.problems import Refused
from warehouse import people, tokens, usage
from warehouse.people import WeakPassword, current_person
from warehouse.records import User

router = APIRouter(include_in_schema=False, max_body_size=65_536)

FORM_COOKIE = "form"
FORM_COOKIE_SECONDS = 86_400

Field = Annotated[str, Form()]

STALE_FORM = "this page was open for too long, or your browser refuses cookies: try again"
WRONG = "this name and password don't belong together"
NOT_EQUAL = "the two passwords are not the same"


@router.get("/sign-in.css")
async def style() -> Response:
    """The style of these pages."""
    kept = {"cache-control": "public, max-age=300"}
    return Response(_style(), media_type="text/css", headers=kept)


@router.get("/sign-in")
def sign_in_form(
    request: Request, here: Here, next: str = "/", token: str | None = None
) -> Response:
    """The form to sign in with; from a one-time link, the one to choose a password in."""
    if token is not None:
        return _first_form(request, here, token)
    if current_person.get() is not None:
        return RedirectResponse(safe_path(next), 303)
    if not people.has_admin(here.store):
        return HTMLResponse(pages.not_opened_page())
    return _sign_in_form(request, here, next)


@router.post("/sign-in")
def sign_in(
    request: Request,
    here: Here,
    address: Address,
    user_name: Field = "",
    password: Field = "",
    next: Field = "/",
    form_token: Field = "",
) -> Response:
    """Sign in, and go where one wanted to."""
    if not _form_is_ours(request, here, form_token):
        return _sign_in_form(request, here, next, user_name, STALE_FORM, 403)
    try:
        user = password_is_right(here, user_name, password, address)
    except Refused as refused:
        return _sign_in_form(
            request, here, next, user_name, refused.detail, refused.status, refused.headers
        )
    if user is None:
        return _sign_in_form(request, here, next, user_name, WRONG, 401)
    usage.note("sign_in", "/sign-in", user_id=user.user_name, tenant=user.tenant)
    return _signed_in(request, here, user, address, safe_path(next))


@router.post("/sign-in/first")
def choose_first_password(
    request: Request,
    here: Here,
    address: Address,
    token: Field = "",
    password: Field = "",
    repeated: Field = "",
    form_token: Field = "",
) -> Response:
    """Use the one-time link up: the admin has a password now and is signed in."""
    if not _form_is_ours(request, here, form_token):
        return _first_form(request, here, token, STALE_FORM, 403)
    if password != repeated:
        return _first_form(request, here, token, NOT_EQUAL, 422)
    try:
        admin = tokens.use_first_sign_in(
            here.store, here.passwords, token, password, now=here.wall.now()
        )
    except WeakPassword as error:
        return _first_form(request, here, token, str(error), 422)
    except tokens.LinkIsUsed:
        return HTMLResponse(pages.dead_link_page(), 410)
    here.register.forget()
    here.note(admin.user_name, "password.set", admin.user_name, via="browser", address=address)
    usage.note("sign_in", "/sign-in/first", user_id=admin.user_name)
    return _signed_in(request, here, admin, address, "/")


@router.get("/password")
def password_form(request: Request, here: Here, person: Viewer) -> Response:
    """The form to change one's own password in."""
    return _password_form(request, here, person.name)


@router.post("/password")
def change_password(
    request: Request,
    here: Here,
    person: Viewer,
    address: Address,
    old_password: Field = "",
    password: Field = "",
    repeated: Field = "",
    form_token: Field = "",
) -> Response:
    """Change one's own password; other sessions end, this one goes on."""
    if not _form_is_ours(request, here, form_token):
        return _password_form(request, here, person.name, STALE_FORM, 403)
    if password != repeated:
        return _password_form(request, here, person.name, NOT_EQUAL, 422)
    try:
        if password_is_right(here, person.name, old_password, address) is None:
            return _password_form(request, here, person.name, "that is not your password", 401)
        user = people.set_password(
            here.store, here.passwords, person.name, password, now=here.wall.now()
        )
    except (Refused, WeakPassword) as error:
        status = error.status if isinstance(error, Refused) else 422
        return _password_form(request, here, person.name, str(error), status)
    here.register.forget()
    here.note(user.user_name, "password.set", user.user_name, via="browser", address=address)
    return _signed_in(request, here, user, address, "/")


@router.get("/sign-out")
def sign_out_form(request: Request, here: Here, person: Viewer) -> Response:
    """The question before signing out: a link may lead here, and changes nothing."""

    def page(form_token: str) -> str:
        return pages.sign_out_page(form_token=form_token, user_name=person.name)

    return _with_form(request, here, page)


@router.post("/sign-out")
def sign_out(request: Request, here: Here, person: Viewer, address: Address) -> Response:
    """End this session, for whoever else has its cookie too."""
    session = request.state.session
    if session is not None:
        here.register.end(session)
        here.note(person.name, "session.end", session.session_id, via="browser", address=address)
    response = RedirectResponse("/sign-in", 303)
    is_secure = _is_secure(request, here)
    response.delete_cookie(
        here.sessions.cookie_name(is_secure),
        secure=is_secure,
        httponly=True,
        samesite="lax",
    )
    return response


# -- how -------------------------------------------------------------------------------


def _signed_in(
    request: Request, here: Office, user: User, address: str | None, next_path: str
) -> Response:
    """A new session, never one the browser brought along."""
    session = here.sessions.started(user, here.wall.now())
    here.note(user.user_name, "session.start", session.session_id, via="browser", address=address)
    response = RedirectResponse(next_path, 303)
    set_session_cookie(response, here, session, _is_secure(request, here))
    return response


def _sign_in_form(
    request: Request,
    here: Office,
    next_path: str,
    user_name: str = "",
    error: str = "",
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    def page(form_token: str) -> str:
        return pages.sign_in_page(
            form_token=form_token,
            next_path=safe_path(next_path),
            user_name=user_name[:64],
            error=error,
        )

    response = _with_form(request, here, page, status)
    response.headers.update(headers or {})
    return response


def _first_form(
    request: Request, here: Office, token: str, error: str = "", status: int = 200
) -> Response:
    if not tokens.opens_first_time(here.store, token, now=here.wall.now()):
        return HTMLResponse(pages.dead_link_page(), 410)

    def page(form_token: str) -> str:
        return pages.first_password_page(form_token=form_token, token=token, error=error)

    return _with_form(request, here, page, status)


def _password_form(
    request: Request, here: Office, user_name: str, error: str = "", status: int = 200
) -> Response:
    def page(form_token: str) -> str:
        return pages.password_page(form_token=form_token, user_name=user_name, error=error)

    return _with_form(request, here, page, status)


def _with_form(
    request: Request, here: Office, page: Callable[[str], str], status: int = 200
) -> Response:
    """A page with a form, bound to the browser that gets it by a cookie."""
    cookie = request.cookies.get(_form_cookie(here)) or secrets.token_urlsafe(16)
    response = HTMLResponse(page(here.sessions.form_token(cookie)), status)
    response.set_cookie(
        _form_cookie(here),
        cookie,
        max_age=FORM_COOKIE_SECONDS,
        httponly=True,
        samesite="strict",
        secure=_is_secure(request, here),
    )
    return response


def _form_is_ours(request: Request, here: Office, form_token: str) -> bool:
    return here.sessions.form_is_ours(request.cookies.get(_form_cookie(here)), form_token)


def _form_cookie(here: Office) -> str:
    return f"{here.sessions.name}_{FORM_COOKIE}"


def _is_secure(request: Request, here: Office) -> bool:
    return here.settings.is_behind_https or request.url.scheme == "https"


@cache
def _style() -> bytes:
    return (files("api") / "static" / "sign-in.css").read_bytes()
