"""Vast.ai's market: what hosts ask for data-centre GPUs, on demand and as the lowest spot bid.

One search a GPU model, since the interface knows no pages and cuts a search off at its limit.
Its prices are of the whole offer, whatever the number of GPUs in it. Facts about the interface
are from Vast.ai's public documentation and clients, read in November 2026.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

import httpx
from pydantic import Field, SecretStr, field_validator

from collectors.base import (
    Absent,
    Collector,
    CollectorSettings,
    EmptyAnswer,
    Note,
    Unreachable,
    Yielded,
    settings_from,
)
from collectors.vast_answers import Search, offers_of, search_of

SPACING_SECONDS = 6.1
"""Between two searches: ten a minute are allowed to an address, and a little air."""

SEARCH_PATH = "/api/v0/bundles/"

KEPT_FOR_SECONDS = 300.0
"""A search answered in a try that failed later is not made again within so many seconds."""


class VastSettings(CollectorSettings):
    """How Vast.ai's market is read."""

    enabled: bool = True
    """Whether Vast.ai is asked at all."""
    url: str = Field(default="https://console.vast.ai", pattern=r"^https?://[^/\s]+[^\s]*$")
    """Where its interface answers."""
    api_key: SecretStr | None = None
    """A key, which isn't needed."""
    models: tuple[str, ...] = (
        "B200",
        "H200",
        "H100 SXM",
        "H100 NVL",
        "H100 PCIE",
        "A100 SXM4",
        "A100 PCIE",
        "L40S",
        "RTX 4090",
    )
    """GPU models as Vast.ai spells them, with spaces; in the environment separated by commas."""
    every_seconds: float = Field(default=900.0, ge=60.0)
    """Seconds from one run to the next."""
    request_limit_seconds: float = Field(default=20.0, gt=0.0)
    """Seconds one search may take."""
    offer_limit: int = Field(default=1000, ge=1)
    """Most offers a search asks for."""

    @field_validator("models", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = tuple(name.strip() for name in value.split(",") if name.strip())
        if not value:
            raise ValueError("name at least one GPU model, for example H100 SXM")
        return value


@dataclass(frozen=True)
class Hands:
    """How the collector reaches out of itself; tests give their own."""

    transport: httpx.BaseTransport | None = None
    """How requests travel; None is the network."""
    seconds: Callable[[], float] = time.monotonic
    """A clock for spacing."""
    pause: Callable[[float], None] = time.sleep
    """How it waits for its turn."""


class VastCollector(Collector):
    """Vast.ai's offers for a list of GPU models."""

    name: ClassVar[str] = "vast"
    settings_class: ClassVar[type[CollectorSettings]] = VastSettings

    def __init__(self, settings: VastSettings, hands: Hands = Hands()) -> None:
        self._settings = settings
        self._hands = hands
        self._next_search_seconds = 0.0
        self._answered: dict[str, Search] = {}

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self | Absent:
        """As the environment sets it; absent where it is switched off."""
        settings = settings_from(environ, cls.name, VastSettings)
        if not settings.enabled:
            return Absent("switched off by PILOTHOUSE_VAST_ENABLED")
        return cls(settings)

    @property
    def every_seconds(self) -> float:
        """Seconds from one run to the next."""
        return self._settings.every_seconds

    @property
    def time_limit_seconds(self) -> float:
        """Twice the time that the spacing alone takes, and one slow answer."""
        searches = len(self._settings.models)
        return 2.0 * searches * SPACING_SECONDS + 60.0 + self._settings.request_limit_seconds

    def collect(self, now: datetime) -> Iterator[Yielded]:
        """Every offer twice: at its price on demand and, where it takes bids, at the lowest bid.

        A search that an earlier, failed try already made is not made again.
        """
        searches = list(self._searches(now))
        if not any(search.offers for search in searches):
            raise EmptyAnswer(
                f"Vast.ai has no offer for any of {', '.join(self._settings.models)}: "
                "check the spelling in PILOTHOUSE_VAST_MODELS"
            )
        for search in searches:
            yield from offers_of(search, self.name)
        yield from _remarks(searches)
        self._answered.clear()

    def _searches(self, now: datetime) -> Iterable[Search]:
        started_seconds = self._hands.seconds()
        oldest_at = now - timedelta(seconds=KEPT_FOR_SECONDS)
        with self._client() as client:
            for model in self._settings.models:
                known = self._answered.get(model)
                if known is None or known.answered_at < oldest_at:
                    response = self._asked(client, model)
                    elapsed = timedelta(seconds=self._hands.seconds() - started_seconds)
                    known = search_of(response, model, self._settings.offer_limit, now + elapsed)
                    self._answered[model] = known
                yield known

    def _client(self) -> httpx.Client:
        key = self._settings.api_key
        return httpx.Client(
            base_url=self._settings.url,
            transport=self._hands.transport,
            timeout=self._settings.request_limit_seconds,
            headers={"Authorization": f"Bearer {key.get_secret_value()}"} if key else {},
        )

    def _asked(self, client: httpx.Client, model: str) -> httpx.Response:
        self._wait_for_turn()
        try:
            return client.post(SEARCH_PATH, json=_body(model, self._settings.offer_limit))
        except httpx.RequestError as error:
            raise Unreachable(
                f"Vast.ai didn't answer ({type(error).__name__}: {error}): "
                f"check the network and PILOTHOUSE_VAST_URL, now {self._settings.url}"
            ) from error

    def _wait_for_turn(self) -> None:
        wait_seconds = self._next_search_seconds - self._hands.seconds()
        if wait_seconds > 0:
            self._hands.pause(wait_seconds)
        self._next_search_seconds = self._hands.seconds() + SPACING_SECONDS


def _body(model: str, offer_limit: int) -> dict[str, Any]:
    return {
        "gpu_name": {"eq": model},
        "rentable": {"eq": True},
        "type": "on-demand",
        "order": [["dph_total", "asc"]],
        "limit": offer_limit,
    }


def _remarks(searches: Iterable[Search]) -> Iterator[Note]:
    for search in searches:
        if not search.offers:
            yield Note(f"no offer for {search.model}, so its last prices stay")
        elif not search.is_complete:
            yield Note(f"the search for {search.model} was cut off at {len(search.offers)} offers")
