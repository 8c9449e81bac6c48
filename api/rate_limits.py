"""How many requests a token may send: so many a minute, and no more in one go.

Each token - in a browser each person, of those not signed in each address - has a bucket that
fills evenly, by the generic cell rate algorithm: one instant a bucket is all that is kept. Every
answer of the API says what is left, as the draft `ietf-httpapi-ratelimit-headers` spells it.
Consoles that share a warehouse count each for itself.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem_response
from warehouse.people import current_person

WINDOW_SECONDS = 60.0
BUCKETS_MAX = 10_000
"""Most buckets remembered; the one longest unused goes first."""
LIMITED = "/api/v1/"
"""Paths that are counted: pages ask many things at once, and a person doesn't flood."""


@dataclass(frozen=True)
class Standing:
    """How a bucket stands after a request."""

    is_within: bool
    remaining: int
    """Requests that may follow at once."""
    reset_seconds: int
    """Until the bucket is full again; where there is nothing left, until the next request."""


class RateLimits:
    """The buckets, each of `per_minute` requests; 0 counts nothing.

    `read_seconds` is any clock that never goes backward.
    """

    def __init__(self, per_minute: int, read_seconds: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._read_seconds = read_seconds
        self._lock = threading.Lock()
        self._full_at_seconds: OrderedDict[str, float] = OrderedDict()

    def count(self, key: str) -> Standing:
        """Count a request, unless there is no room for it."""
        each_seconds = WINDOW_SECONDS / self.per_minute
        with self._lock:
            now_seconds = self._read_seconds()
            full_at = max(now_seconds, self._full_at_seconds.get(key, 0.0)) + each_seconds
            if full_at - now_seconds > WINDOW_SECONDS * (1 + 1e-9):
                wait_seconds = full_at - now_seconds - WINDOW_SECONDS
                return Standing(False, 0, math.ceil(wait_seconds))
            self._keep(key, full_at)
        used_seconds = full_at - now_seconds
        remaining = math.floor((WINDOW_SECONDS - used_seconds) / each_seconds + 1e-6)
        return Standing(True, remaining, math.ceil(used_seconds))

    def _keep(self, key: str, full_at_seconds: float) -> None:
        self._full_at_seconds[key] = full_at_seconds
        self._full_at_seconds.move_to_end(key)
        while len(self._full_at_seconds) > BUCKETS_MAX:
            self._full_at_seconds.popitem(last=False)


class RateLimited:
    """ASGI middleware, right inside the door: answers 429 to who asks too often."""

    def __init__(self, app: ASGIApp, limits: RateLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 429, or let the app answer and say what is left."""
        is_counted = scope["type"] == "http" and scope["path"].startswith(LIMITED)
        if not is_counted or not self._limits.per_minute:
            await self._app(scope, receive, send)
            return
        standing = self._limits.count(_key(scope))
        headers = self._headers(standing)
        if not standing.is_within:
            await _refusal(scope, standing, headers)(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _headers(self, standing: Standing) -> dict[str, str]:
        return {
            "ratelimit-policy": f'"token";q={self._limits.per_minute};w={WINDOW_SECONDS:.0f}',
            "ratelimit": f'"token";r={standing.remaining};t={standing.reset_seconds}',
        }


def _key(scope: Scope) -> str:
    token_id = scope.get("state", {}).get("token_id")
    if token_id:
        return f"token/{token_id}"
    person = current_person.get()
    if person is not None:
        return f"person/{person.name}"
    client = scope.get("client")
    return f"address/{client[0] if client else ''}"


def _refusal(scope: Scope, standing: Standing, headers: dict[str, str]) -> ASGIApp:
    wait = standing.reset_seconds
    detail = (
        f"too many requests: send the next one in {wait} s; RateLimit-Policy says how many a "
        "minute, and an admin can raise it by PILOTHOUSE_REQUESTS_PER_MINUTE"
    )
    more = {"Retry-After": str(wait), **headers}
    return problem_response(scope["path"], 429, "too many requests", detail, more)
