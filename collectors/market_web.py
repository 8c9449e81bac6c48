"""Asking a source of the market over HTTP: at its pace, under our name, never for too much.

An answer that isn't one becomes the house's error, so that a collector reads only good ones.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx

from collectors.base import CollectorError, Malformed, RateLimited, Refused, Unreachable
from collectors.web_time import age_seconds, given_at, retry_after_seconds

MOST_BYTES = 32 * 2**20
"""A body larger than this, unpacked, is no answer."""

REST_LIMIT_SECONDS = 20.0
"""A source that asks for a longer rest is asked by a later run; a shorter one is waited for."""


@dataclass(frozen=True)
class Hands:
    """How a collector reaches out of itself; tests give their own."""

    transport: httpx.BaseTransport | None = None
    """How requests travel; None is the network."""
    seconds: Callable[[], float] = time.monotonic
    """A clock for spacing."""
    pause: Callable[[float], None] = time.sleep
    """How it waits for its turn."""


NETWORK = Hands()
"""The real ones."""


@dataclass(frozen=True)
class Door:
    """Where a source is and how it wants to be visited."""

    source: str
    """in words"""
    url: str
    url_setting: str
    """the environment variable that holds it, for whoever must change it"""
    key_setting: str | None = None
    spacing_seconds: float = 1.0
    """between two requests"""
    request_limit_seconds: float = 20.0
    """for one of them, the whole body included"""
    rate_window_seconds: float = 60.0
    """how long to leave it alone after a 429 that doesn't say"""
    most_bytes: int = MOST_BYTES
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """A good answer's body, and when it was given."""

    source: str
    content: bytes
    answered_at: datetime
    """UTC, a cache on the way counted in"""
    next_midnight_at: datetime
    """the end of the source's day, by its own clock, told by ours"""

    @property
    def digest(self) -> str:
        """SHA-256 of the body as it came."""
        return hashlib.sha256(self.content).hexdigest()

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            Malformed: it is none.
        """
        payload = json_or_none(self.content)
        if payload is None:
            raise Malformed(self.source, "the body", "is not JSON")
        return payload


class Visitor:
    """Visits one source; keeps its distance over runs and over tries of a run."""

    def __init__(self, door: Door, hands: Hands, user_agent: str) -> None:
        self.door = door
        self._hands = hands
        self._headers = {"User-Agent": user_agent, **door.headers}
        self._free_seconds = -math.inf

    def asked(
        self,
        method: str,
        path: str,
        now: datetime,
        *,
        json: Any = None,
        refused: Callable[[httpx.Response, bytes, datetime], CollectorError | None] | None = None,
    ) -> Answer:
        """One request; `now` is the instant at which it is asked for, its wait still to come.

        `refused` may know better what an answer that is no success means.

        Raises:
            CollectorError: there is no good answer, and why.
        """
        started_seconds = self._hands.seconds()
        self._wait_for_turn()
        response, content = self._exchanged(method, path, json)
        answered_at = now + timedelta(seconds=self._hands.seconds() - started_seconds)
        self._rest_as_told(response)
        if not response.is_success:
            told = refused(response, content, answered_at) if refused else None
            raise told or refusal(self.door, response, content, answered_at)
        age = timedelta(seconds=age_seconds(response))
        midnight_at = midnight_after(response, answered_at)
        return Answer(self.door.source, content, answered_at - age, midnight_at)

    def _exchanged(self, method: str, path: str, body: Any) -> tuple[httpx.Response, bytes]:
        door = self.door
        try:
            with (
                httpx.Client(
                    base_url=door.url,
                    transport=self._hands.transport,
                    timeout=door.request_limit_seconds,
                    headers=self._headers,
                ) as client,
                client.stream(method, path, json=body) as response,
            ):
                return response, self._body(response)
        except httpx.DecodingError as error:
            raise Malformed(door.source, "the body", f"can't be unpacked ({error})") from error
        except httpx.RequestError as error:
            raise Unreachable(
                f"{door.source} didn't answer ({type(error).__name__}: {error}): "
                f"check the network and {door.url_setting}, now {door.url}"
            ) from error

    def _body(self, response: httpx.Response) -> bytes:
        """The body, unpacked piece by piece, so that neither size nor slowness is without end."""
        deadline_seconds = self._hands.seconds() + self.door.request_limit_seconds
        pieces, size = [], 0
        for piece in response.iter_bytes(2**16):
            size += len(piece)
            if size > self.door.most_bytes:
                raise Malformed(
                    self.door.source, "the body", f"is larger than {self.door.most_bytes} bytes"
                )
            if self._hands.seconds() > deadline_seconds:
                raise Unreachable(
                    f"{self.door.source} was still sending its answer after "
                    f"{self.door.request_limit_seconds:g} s; it is asked again later by itself"
                )
            pieces.append(piece)
        return b"".join(pieces)

    def _wait_for_turn(self) -> None:
        wait_seconds = self._free_seconds - self._hands.seconds()
        if wait_seconds > max(REST_LIMIT_SECONDS, self.door.spacing_seconds):
            raise RateLimited(
                f"{self.door.source} said that its allowance is used up; "
                "it is asked again later by itself",
                wait_seconds,
            )
        if wait_seconds > 0:
            self._hands.pause(wait_seconds)
        self._free_seconds = self._hands.seconds() + self.door.spacing_seconds

    def _rest_as_told(self, response: httpx.Response) -> None:
        rest_seconds = rest_seconds_of(response.headers)
        if rest_seconds is not None:
            self._free_seconds = max(self._free_seconds, self._hands.seconds() + rest_seconds)


def refusal(
    door: Door, response: httpx.Response, content: bytes, answered_at: datetime
) -> CollectorError:
    """What an answer that is no success means, in the house's words."""
    status, said = response.status_code, _said(content)
    after_seconds = retry_after_seconds(response, answered_at)
    if status == httpx.codes.TOO_MANY_REQUESTS or (status == 503 and after_seconds is not None):
        if after_seconds is None:
            after_seconds = rest_seconds_of(response.headers)
        return RateLimited(
            f"{door.source} was asked too often ({status}{said}); it is asked again later",
            door.rate_window_seconds if after_seconds is None else after_seconds,
        )
    if status >= 500 or status == httpx.codes.REQUEST_TIMEOUT:
        return Unreachable(
            f"{door.source} is broken ({status}{said}); it is asked again later by itself"
        )
    if status in (401, 403) and door.key_setting:
        return Refused(f"{door.source} refused the key ({status}{said}): check {door.key_setting}")
    return Refused(f"{door.source} refused the request ({status}{said}): check {door.url_setting}")


def json_or_none(content: bytes) -> Any:
    """A body as JSON, or None where it is none."""
    try:
        payload = json.loads(content)
        if b"\\ud" in content.lower():  # half a character, which no table takes, is an error too
            json.dumps(payload, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return payload


def midnight_after(response: httpx.Response, answered_at: datetime) -> datetime:
    """The next midnight UTC by the source's clock, told by ours."""
    there = given_at(response, answered_at)
    midnight = there.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return answered_at + (midnight - there)


def rest_seconds_of(headers: httpx.Headers) -> float | None:
    """How long to rest by the `RateLimit` headers; None while something of the allowance is left.

    Understood are `limit=…, remaining=0, reset=30`, the later `"name";r=0;t=30`, and one header
    for each (`RateLimit-Remaining`, `X-RateLimit-Remaining`), with the reset in seconds.
    """
    rests = [_rest_of(item) for item in headers.get("RateLimit", "").split('",')]
    for prefix in ("RateLimit", "X-RateLimit"):
        left, reset = headers.get(f"{prefix}-Remaining"), headers.get(f"{prefix}-Reset")
        rests.append(_rest_of(f"remaining={left}, reset={reset}"))
    return max((rest for rest in rests if rest is not None), default=None)


def _rest_of(text: str) -> float | None:
    left = re.search(r"\b(?:remaining|r)\s*=\s*(\d+)", text)
    reset = re.search(r"\b(?:reset|t)\s*=\s*(\d{1,6})\b", text)
    if left is None or reset is None or int(left[1]) > 0:
        return None
    return float(reset[1])


def _said(content: bytes) -> str:
    """What a refusal says of itself: a problem's title and detail, an error's message."""
    payload = json_or_none(content)
    if not isinstance(payload, dict):
        return ""
    error = payload.get("error")
    told = error if isinstance(error, dict) else payload
    words = [told.get(name) for name in ("code", "title", "message", "detail", "suggestion")]
    words.append(error if isinstance(error, str) else None)
    said = ": ".join(word for word in words if isinstance(word, str) and word)
    return f", {said[:200]}" if said else ""
