"""`Idempotency-Key`: a POST that is sent again is answered again, and done once.

Whoever loses an answer - a time-out, a lost connection, a restart - sends the same request with
the same key and gets what was answered the first time, marked `Idempotency-Replayed: true`. What
is meant by it follows the draft `ietf-httpapi-idempotency-key-header`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta

import anyio.to_thread
from fastapi import Request
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.body_limit import told_first
from api.problems import problem_response
from warehouse import request_keys
from warehouse.clock import Clock
from warehouse.people import current_person
from warehouse.request_keys import Claim
from warehouse.store import Store

HEADER = "idempotency-key"
KEY_LENGTH_MAX = 255
UNDER_WAY = timedelta(seconds=60)
"""A request that is unanswered for longer was cut off: by a kill, or a crash."""
HEADERS_KEPT = ("content-type", "location", "etag", "content-disposition")
CHANGES_NOTHING = ("/api/v1/sql", "/api/v1/sign-in")
"""POSTs that may be done again as they are: questions, and a token that lapses by itself."""


def tells_a_secret(request: Request) -> None:
    """A dependency of routes whose answer is shown once: it is not kept with the key."""
    request.state.tells_a_secret = True


class Repeated:
    """ASGI middleware that knows a POST again by its key. It wants a body of one message, and who
    asks in `current_person`: keys are each person's own."""

    def __init__(self, app: ASGIApp, store: Store, wall: Clock) -> None:
        self._app = app
        self._store = store
        self._wall = wall

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the first time, or let the app answer and keep what it says."""
        key = _key_of(scope)
        if key is None:
            await self._app(scope, receive, send)
            return
        if not key.isascii() or not key.isprintable() or not 0 < len(key) <= KEY_LENGTH_MAX:
            await _unusable(scope)(scope, receive, send)
            return
        first = await receive()
        hashes = _key_hash(scope, key), _fingerprint(scope, first)
        claim = await anyio.to_thread.run_sync(self._claim, *hashes)
        if not claim.is_ours:
            await self._known(scope, claim, hashes[1])(scope, receive, send)
            return
        await self._carried_out(scope, told_first(first, receive), send, claim.claim_id)

    def _claim(self, key_hash: str, fingerprint: str) -> Claim:
        return request_keys.claim(self._store, key_hash, fingerprint, now=self._wall.now())

    async def _carried_out(self, scope: Scope, receive: Receive, send: Send, claim_id: str) -> None:
        heard = _Heard()
        try:
            await self._app(scope, receive, heard.listening(send))
        finally:
            is_secret = scope.get("state", {}).get("tells_a_secret", False)
            body = None if is_secret else bytes(heard.body).decode("utf-8", "replace")
            await anyio.to_thread.run_sync(self._settle, claim_id, heard, body)

    def _settle(self, claim_id: str, heard: _Heard, body: str | None) -> None:
        headers, now = heard.headers, self._wall.now()
        request_keys.settle(self._store, claim_id, heard.status, headers, body, now=now)

    def _known(self, scope: Scope, claim: Claim, fingerprint: str) -> ASGIApp:
        path, answer = scope["path"], claim.answer
        if claim.fingerprint != fingerprint:
            detail = "this Idempotency-Key came with another request: choose a new key for this one"
            return problem_response(path, 422, "key of another request", detail)
        if answer is None and self._wall.now() - claim.claimed_at < UNDER_WAY:
            detail = "the request with this key is still under way: send it again in a moment"
            return problem_response(path, 409, "under way", detail, {"Retry-After": "1"})
        if answer is None:
            detail = (
                f"the request with this key came at {claim.claimed_at:%H:%M:%S} UTC and was cut "
                "off: look whether it was done, and if not, send it with a new key"
            )
            return problem_response(path, 409, "cut off", detail)
        if answer.body is None:
            detail = (
                f"this was done at {answer.answered_at:%H:%M:%S} UTC, and its answer held a secret "
                "that is told once: if you don't have it, undo it and ask with a new key"
            )
            return problem_response(path, 409, "done already", detail)
        headers = {**answer.headers, "idempotency-replayed": "true"}
        return Response(answer.body, answer.status, headers)


@dataclass
class _Heard:
    """What the app answers, as it goes by."""

    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)

    def listening(self, send: Send) -> Send:
        async def listen(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                found = Headers(raw=message.get("headers", []))
                self.headers = {name: found[name] for name in HEADERS_KEPT if name in found}
            elif message["type"] == "http.response.body":
                self.body += message.get("body", b"")
            await send(message)

        return listen


def _key_of(scope: Scope) -> str | None:
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    path = scope["path"]
    if not path.startswith("/api/v1/") or path in CHANGES_NOTHING:
        return None
    return Headers(scope=scope).get(HEADER)


def _key_hash(scope: Scope, key: str) -> str:
    person = current_person.get()
    name = person.name if person else ""
    return hashlib.sha256("\0".join((name, scope["path"], key)).encode()).hexdigest()


def _fingerprint(scope: Scope, first: Message) -> str:
    body: bytes = first.get("body", b"")
    return hashlib.sha256(scope.get("query_string", b"") + b"\0" + body).hexdigest()


def _unusable(scope: Scope) -> ASGIApp:
    detail = f"Idempotency-Key is 1 to {KEY_LENGTH_MAX} printable characters, a UUID for example"
    return problem_response(scope["path"], 422, "unusable key", detail)
