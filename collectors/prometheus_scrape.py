"""Asking many exporters at once over HTTP, within one round's time, none delaying another.

So many are asked at a time as are allowed; one that is slow lends its place to the next and goes
on beside it, up to as many again. Connections stay open from round to round, each target with a
pool of its own: one pool of thousands would look through all of them at every request.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from collectors.prometheus_failures import Failure, failure_of, refusal_of

T = TypeVar("T")

LATE = Failure("was not reached within the round's time")
PATIENCE_SECONDS = 0.5
"""A target that takes longer lends its place to the next."""
ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=1.0,*/*;q=0.1"
SPARE_FILES = 512
"""File descriptors that are left to the rest of the console; connections beyond are closed."""
LOOKUPS = 32
"""Host names that are looked up at once."""


@dataclass(frozen=True)
class Access:
    """How targets are asked."""

    timeout_seconds: float = 4.0
    """for one target, the whole answer included"""
    concurrency: int = 128
    """targets asked at once"""
    most_bytes: int = 32 * 2**20
    """of an answer, unpacked"""
    takes_gzip: bool = True
    tls: ssl.SSLContext | bool = True
    """what certificates are checked against"""
    keep_seconds: float = 75.0
    """how long an idle connection is kept"""


@dataclass(frozen=True)
class Got:
    """A good answer."""

    url: str
    body: bytes
    content_type: str
    after_seconds: float
    """since the round began"""


OnAnswer = Callable[[Got], None]


@dataclass
class _Door:
    """What is kept of one target between rounds."""

    transport: httpx.AsyncHTTPTransport
    has_answered: bool = False
    resting_until: float = 0.0


@dataclass
class _Lanes:
    """Who may ask now: a number of places, and as many for those that are slow."""

    places: asyncio.Semaphore
    spare: int
    lent: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    """Whose turn came"""

    def lend(self, url: str) -> None:
        """A slow one's place goes to the next, if there is room beside."""
        if self.spare > 0:
            self.spare -= 1
            self.lent.add(url)
            self.places.release()

    def leave(self, url: str) -> None:
        """Done, in time or not."""
        if url in self.lent:
            self.lent.remove(url)
            self.spare += 1
        else:
            self.places.release()


class Scraper:
    """Asks targets; its loop runs in a thread of its own, so that connections outlive a round."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._loop: asyncio.AbstractEventLoop | None = None
        self._doors: dict[str, _Door] = {}
        self._unasked: set[str] = set()
        """Whose turn did not come in the round before"""

    def round(
        self,
        urls: Iterable[str],
        headers: Mapping[str, str],
        limit_seconds: float,
        on_answer: OnAnswer,
    ) -> dict[str, Failure]:
        """Ask every target once; the failures by URL. Returns within the limit.

        `on_answer` is given each answer as it comes, in the loop's thread: it must be quick.
        """
        return self._done(self._round(list(urls), headers, limit_seconds, on_answer))

    def close(self) -> None:
        """Close the connections and end the thread."""
        if self._loop is not None:
            self._done(self._shut(list(self._doors)))
            self._done(self._loop.shutdown_default_executor())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = None

    # -- the loop ------------------------------------------------------------------

    def _done(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            # Names are looked up in threads: enough of them that a dead resolver holds few up.
            self._loop.set_default_executor(ThreadPoolExecutor(LOOKUPS, "prometheus-names"))
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="prometheus-loop", daemon=True
            )
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _shut(self, urls: Iterable[str]) -> None:
        for url in urls:
            await self._doors.pop(url).transport.aclose()

    # -- a round -------------------------------------------------------------------

    async def _round(
        self,
        urls: list[str],
        headers: Mapping[str, str],
        limit_seconds: float,
        on_answer: OnAnswer,
    ) -> dict[str, Failure]:
        await self._shut(self._doors.keys() - set(urls))
        began = time.monotonic()
        kept = self._kept_open(len(urls))
        order = sorted(urls, key=self._rank)
        lanes = _Lanes(asyncio.Semaphore(self._access.concurrency), self._access.concurrency)
        tasks = {
            url: asyncio.create_task(
                self._turn(url, self._headers(headers, at < kept), lanes, began, on_answer)
            )
            for at, url in enumerate(order)
        }
        await asyncio.wait(tasks.values(), timeout=limit_seconds)
        late = {url: task for url, task in tasks.items() if not task.done()}
        for url, task in late.items():  # all at once: else the others would go on meanwhile
            task.cancel()
            if url in self._doors:
                self._doors[url].has_answered = False
        await asyncio.gather(*late.values(), return_exceptions=True)
        self._unasked = tasks.keys() - lanes.asked
        ended = {url: LATE if url in late else task.result() for url, task in tasks.items()}
        return {url: failure for url, failure in ended.items() if failure is not None}

    def _rank(self, url: str) -> int:
        """Whose turn did not come in the round before comes first, who failed last: so a dead
        target takes nobody's place, and nobody is left out twice."""
        if url in self._unasked:
            return 0
        return 2 if url in self._doors and not self._doors[url].has_answered else 1

    def _kept_open(self, count: int) -> int:
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return count if most < 0 else max(most - SPARE_FILES - 2 * self._access.concurrency, 0)

    def _headers(self, headers: Mapping[str, str], is_kept: bool) -> dict[str, str]:
        return {
            "Accept": ACCEPT,
            "Accept-Encoding": "gzip" if self._access.takes_gzip else "identity",
            "Connection": "keep-alive" if is_kept else "close",
            **headers,
        }

    async def _turn(
        self,
        url: str,
        headers: Mapping[str, str],
        lanes: _Lanes,
        began: float,
        on_answer: OnAnswer,
    ) -> Failure | None:
        await lanes.places.acquire()
        lanes.asked.add(url)
        slow = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, lanes.lend, url)
        try:
            outcome = await self._asked(url, headers, began)
        finally:
            slow.cancel()
            lanes.leave(url)
        if isinstance(outcome, Failure):
            return outcome
        on_answer(outcome)
        return None

    async def _asked(self, url: str, headers: Mapping[str, str], began: float) -> Got | Failure:
        door = self._doors.get(url) or self._door(url)
        if door.resting_until > time.monotonic():
            return Failure("asked to be left alone for a while")
        try:
            async with asyncio.timeout(self._access.timeout_seconds):
                outcome = await self._answer(door, url, headers, began)
        except TimeoutError:
            outcome = Failure(f"gave no whole answer within {self._access.timeout_seconds:g} s")
        except (httpx.RequestError, httpx.StreamError, OSError, UnicodeError) as error:
            outcome = failure_of(error)
        door.has_answered = isinstance(outcome, Got)
        if isinstance(outcome, Failure):
            if outcome.rest_seconds:
                door.resting_until = time.monotonic() + outcome.rest_seconds
            # What is left of a broken answer is no start of the next one.
            with contextlib.suppress(httpx.RequestError, OSError):
                await door.transport.aclose()
            door.transport = self._transport()
        return outcome

    async def _answer(
        self, door: _Door, url: str, headers: Mapping[str, str], began: float
    ) -> Got | Failure:
        try:
            return await self._exchanged(door, url, headers, began)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            if not door.has_answered:
                raise
        # The connection of the round before may have been closed just now: once more, on a new one.
        return await self._exchanged(door, url, headers, began)

    async def _exchanged(
        self, door: _Door, url: str, headers: Mapping[str, str], began: float
    ) -> Got | Failure:
        response = await door.transport.handle_async_request(
            httpx.Request("GET", url, headers=dict(headers), extensions={"timeout": {}})
        )
        try:
            if response.status_code != httpx.codes.OK:
                return refusal_of(response)
            pieces, size = [], 0
            async for piece in response.aiter_bytes():
                size += len(piece)
                if size > self._access.most_bytes:
                    return Failure(f"answered with more than {self._access.most_bytes} bytes")
                pieces.append(piece)
        finally:
            await response.aclose()
        kind = response.headers.get("Content-Type", "")
        return Got(url, b"".join(pieces), kind, time.monotonic() - began)

    def _door(self, url: str) -> _Door:
        self._doors[url] = _Door(self._transport())
        return self._doors[url]

    def _transport(self) -> httpx.AsyncHTTPTransport:
        one = httpx.Limits(
            max_connections=1,
            max_keepalive_connections=1,
            keepalive_expiry=self._access.keep_seconds,
        )
        return httpx.AsyncHTTPTransport(verify=self._access.tls, limits=one, trust_env=False)
