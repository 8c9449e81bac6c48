"""The door: nothing behind it is answered to somebody who is not signed in.

It is ASGI middleware around the whole app, so that it holds for pages, Dash's callbacks, its
component files, sockets and whatever is added later, not only for the routes of the API.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import anyio.to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.embedded import is_embedded, link_refusal
from api.headers import embedded_headers, security_headers
from api.office import Office
from api.origins import SAFE_METHODS, host_is_ours, is_same_origin
from api.problems import problem_response
from api.sessions import Session
from warehouse.people import Person, current_person

PROBES = frozenset({"/healthz", "/readyz"})
"""Answered to anybody by any name: they say only whether the console is well."""
STYLES = frozenset({"/sign-in.css", "/embed.css"})
OPEN_PATHS = PROBES | STYLES | {"/sign-in", "/sign-in/first", "/api/v1/sign-in"}
"""Answered to somebody not signed in."""
SIGNED = frozenset({"/slack/interactions"})
"""What comes in here is signed by whoever sends it; its route checks that over the raw body."""
VIEWERS_MAY_POST = ("/_dash-", "/sign-out", "/password", "/api/v1/sql")
"""Paths at which a viewer too may send something: Dash asks for what its pages show by POST,
and each callback that changes something asks `current_person` itself; a question changes none."""

SOCKET_CLOSED_NOT_SIGNED_IN = 4401


@dataclass(frozen=True)
class _Caller:
    """Who asks and by what."""

    person: Person
    session: Session | None
    token_id: str | None = None


class SignInRequired:
    """The door, as ASGI middleware."""

    def __init__(self, app: ASGIApp, office: Office) -> None:
        self._app = app
        self._office = office

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the app answer to who may ask."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        caller = None
        refusal = self._wrong_host(scope, headers)
        if refusal is None:
            if self._office.register.is_stale():
                await anyio.to_thread.run_sync(self._office.register.refresh)
            caller = self._caller(scope, headers)
            refusal = self._refusal(scope, headers, caller)
        if scope["type"] == "websocket":
            await self._let_socket(scope, receive, send, caller, refusal)
            return
        send = self._with_headers(scope, send, caller)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._let_in(scope, receive, send, caller)

    async def _let_in(
        self, scope: Scope, receive: Receive, send: Send, caller: _Caller | None
    ) -> None:
        state = scope.setdefault("state", {})
        state["session"] = caller.session if caller else None
        state["token_id"] = caller.token_id if caller else None
        entered = current_person.set(caller.person if caller else None)
        try:
            await self._app(scope, receive, send)
        finally:
            current_person.reset(entered)

    async def _let_socket(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        caller: _Caller | None,
        refusal: Response | None,
    ) -> None:
        """A browser sends cookies with sockets to anywhere, so these too must be of our pages."""
        is_foreign = caller is not None and caller.session and not is_same_origin_socket(scope)
        if refusal is not None or caller is None or is_foreign:
            await receive()
            await send({"type": "websocket.close", "code": SOCKET_CLOSED_NOT_SIGNED_IN})
            return
        await self._let_in(scope, receive, send, caller)

    # -- who asks ------------------------------------------------------------------

    def _caller(self, scope: Scope, headers: Headers) -> _Caller | None:
        if is_embedded(scope["path"]) or scope["path"] in SIGNED:
            return None  # nobody is signed in there: the link says all, or the signature
        now = self._office.wall.now()
        authorization = headers.get("authorization")
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            found = self._office.register.of_token(token.strip(), now)
            return (
                _Caller(found[0], None, found[1]) if scheme.lower() == "bearer" and found else None
            )
        cookie = cookies(headers).get(self._office.sessions.cookie_name(self._is_secure(scope)))
        session = self._office.sessions.session_of(cookie, now) if cookie else None
        person = self._office.register.of_session(session) if session else None
        return _Caller(person, session) if person else None

    def _is_secure(self, scope: Scope) -> bool:
        return self._office.settings.is_behind_https or scope["scheme"] in ("https", "wss")

    # -- who is refused ------------------------------------------------------------

    def _wrong_host(self, scope: Scope, headers: Headers) -> Response | None:
        if scope["path"] in PROBES or host_is_ours(headers.get("host", ""), self._office.settings):
            return None
        detail = (
            "this console doesn't go by this name: use the address it printed at its start, "
            "or add the name to PILOTHOUSE_ALLOWED_HOSTS"
        )
        return problem_response(scope["path"], 421, "unknown host", detail)

    def _refusal(self, scope: Scope, headers: Headers, caller: _Caller | None) -> Response | None:
        path, method = scope["path"], scope.get("method", "GET")
        if path in SIGNED:
            return None
        framed = is_embedded(path)
        if framed and (over := link_refusal(scope, self._office)) is not None:
            return over
        if caller is None and not framed and not self._is_open(path):
            return _not_signed_in(scope, headers)
        changes = method not in SAFE_METHODS
        by_form = framed or (path in OPEN_PATHS and not path.startswith("/api/"))
        if changes and (by_form or (caller and caller.session)) and not is_same_origin(headers):
            detail = "this was not sent by a page of this console; programs send an API token"
            return problem_response(path, 403, "cross site request", detail)
        if changes and caller and not _may_send(caller.person, path):
            detail = f"changing this needs the role operator and {caller.person.name} is viewer"
            return problem_response(path, 403, "not allowed", detail)
        return None

    def _is_open(self, path: str) -> bool:
        return path in OPEN_PATHS or (path == "/metrics" and self._office.settings.metrics_are_open)

    # -- what is added to the answer -----------------------------------------------

    def _with_headers(self, scope: Scope, send: Send, caller: _Caller | None) -> Send:
        headers_of = embedded_headers if is_embedded(scope["path"]) else security_headers
        added = headers_of(self._office.settings, self._is_secure(scope))
        cookie = self._renewed_cookie(scope, caller)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in added.items():
                    headers.setdefault(name, value)
                # A file with an ETag may be kept and asked about; all else is somebody's own.
                headers.setdefault("cache-control", "no-cache" if "etag" in headers else "no-store")
                if cookie and "set-cookie" not in headers:
                    headers.append("set-cookie", cookie)
            await send(message)

        return send_with_headers

    def _renewed_cookie(self, scope: Scope, caller: _Caller | None) -> str | None:
        if caller is None or caller.session is None:
            return None
        renewed = self._office.sessions.renewed(caller.session, self._office.wall.now())
        if renewed is None:
            return None
        response = Response()
        set_session_cookie(response, self._office, renewed, self._is_secure(scope))
        return response.headers["set-cookie"]


def set_session_cookie(
    response: Response, office: Office, session: Session, is_secure: bool
) -> None:
    """Give a browser its session.

    Lax and not strict: a link in a chat would else lead somebody signed in to the sign-in page.
    No GET changes anything, and what does must come from our own pages.
    """
    response.set_cookie(
        office.sessions.cookie_name(is_secure),
        office.sessions.cookie_of(session),
        httponly=True,
        samesite="lax",
        secure=is_secure,
        path="/",
    )


def cookies(headers: Headers) -> dict[str, str]:
    """The cookies of a request."""
    return cookie_parser(headers.get("cookie", ""))


def is_same_origin_socket(scope: Scope) -> bool:
    """Whether a page of ours opened this socket."""
    return is_same_origin(Headers(scope=scope))


def _may_send(person: Person, path: str) -> bool:
    return person.may("operator") or path.startswith(VIEWERS_MAY_POST)


def _not_signed_in(scope: Scope, headers: Headers) -> Response:
    path = scope["path"]
    if _is_browser(scope, headers):
        query = scope.get("query_string", b"").decode("latin-1")
        here = quote(path) + (f"?{query}" if query else "")
        return RedirectResponse(f"/sign-in?next={quote(here, safe='')}", 303)
    detail = "sign in, or send an API token as `Authorization: Bearer pht_…`"
    return problem_response(
        path, 401, "not signed in", detail, {"WWW-Authenticate": 'Bearer realm="pilothouse"'}
    )


def _is_browser(scope: Scope, headers: Headers) -> bool:
    """Whether somebody looks for a page, and not a program, a script or a picture."""
    is_page = scope.get("method") in ("GET", "HEAD") and "text/html" in headers.get("accept", "")
    return is_page and not scope["path"].startswith(("/api/v1", "/_dash-"))
