"""What can be made to go wrong at the stand-in, by hand."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.stand_in.asked import Asked, Place
from tests.stand_in.refusals import Refusal, conflict, refuse, status


@dataclass
class Storm:
    """So many of the requests that match are refused, or their answers lost."""

    code: int
    left: float
    match: re.Pattern[str]


class Faults:
    """Everything that is wrong just now."""

    def __init__(self) -> None:
        self.is_down = False
        self.cuts = 0
        """how often the watches were cut"""
        self.changed: threading.Condition | None = None
        self.compact: Callable[[], None] = lambda: None
        """Forget all history: earlier lists and watches are answered with 410."""
        self.muted: set[str] = set()
        """`namespace/name` of the jobs that answer no request for a checkpoint"""
        self._storms: list[Storm] = []
        self._losses: list[Storm] = []
        self._forbidden: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    # -- what a test does ----------------------------------------------------------

    def down(self) -> None:
        """No request is answered, and every watch is cut."""
        self.is_down = True
        self.cut_watches()

    def up(self) -> None:
        """Requests are answered again."""
        self.is_down = False

    def storm(self, status: int, count: float = 1, match: str = "") -> None:
        """Refuse the next `count` requests whose "METHOD path" matches."""
        self._storms.append(Storm(status, count, re.compile(match)))

    def lose_answers(self, count: float = 1, match: str = "") -> None:
        """Carry out the next `count` such requests, and break the connection unanswered."""
        self._losses.append(Storm(0, count, re.compile(match)))

    def calm(self) -> None:
        """No storm, nothing lost, nothing forbidden, nobody mute."""
        with self._lock:
            self._storms.clear()
            self._losses.clear()
            self._forbidden.clear()
            self.muted.clear()

    def cut_watches(self) -> None:
        """Break the connections of all watches."""
        self.cuts += 1
        if self.changed is not None:
            with self.changed:
                self.changed.notify_all()

    def forbid(self, verb: str, resource: str) -> None:
        """Take a right away: `("create", "pods/eviction")`; the verb may be `*`."""
        self._forbidden.add((verb, resource))

    def allow(self, verb: str, resource: str) -> None:
        """Give a right back."""
        self._forbidden.discard((verb, resource))

    def mute_checkpoints(self, job: str) -> None:
        """A job (`namespace/name`) answers no request for a checkpoint any more."""
        self.muted.add(job if "/" in job else f"default/{job}")

    # -- what the server asks ------------------------------------------------------

    def check(self, asked: Asked, place: Place | None) -> None:
        """Nothing, where the request may go on.

        Raises:
            Refusal: a storm.
        """
        code = self._next(self._storms, asked)
        if code is not None:
            raise _refusal(code, place)

    def is_lost(self, asked: Asked) -> bool:
        """Whether this answer does not come through."""
        return self._next(self._losses, asked) is not None

    def is_forbidden(self, verb: str, resource: str) -> bool:
        """Whether that right is missing."""
        plain = resource.split(".")[0]
        mine = {(v, r) for v in (verb, "*") for r in (resource, plain, "*")}
        return bool(mine & self._forbidden)

    def _next(self, storms: list[Storm], asked: Asked) -> int | None:
        with self._lock:
            for storm in storms:
                if storm.left > 0 and storm.match.search(f"{asked.method} {asked.path}"):
                    storm.left -= 1
                    return storm.code
        return None


def _refusal(code: int, place: Place | None) -> Refusal:
    if code == 409 and place is not None:
        return conflict(place.kind, place.name)
    if code == 429:
        said: Mapping[str, Any] = {"retryAfterSeconds": 1}
        words = "the server has received too many requests and has asked us to try again later"
        return Refusal(429, status(429, "TooManyRequests", words, dict(said)), 1)
    reasons = {500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout", 410: "Expired"}
    return refuse(code, reasons.get(code, ""), f"a storm of {code}")
