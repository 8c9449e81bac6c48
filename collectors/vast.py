"""Vast.ai's market: what hosts ask for data-centre GPUs, on demand and as the lowest spot bid.

One search a GPU model, since the interface knows no pages and cuts a search off at its limit.
Its prices are of the whole offer, whatever the number of GPUs in it. It is a marketplace: hosts
ask what they like, so the middle of a model's offers is what may not jump. Facts about the
interface are from Vast.ai's public documentation and clients, read in November 2026.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from pydantic import Field, SecretStr, field_validator

from collectors.base import (
    Absent,
    Collector,
    CollectorSettings,
    EmptyAnswer,
    Note,
    Yielded,
    settings_from,
)
from collectors.market_prices import PROCESS_MEMORY, MarketMemory, PriceGate
from collectors.market_settings import DEFAULTS, URL_PATTERN, MarketSettings, market_settings
from collectors.market_web import NETWORK, Door, Hands, Visitor
from collectors.vast_answers import (
    RATE_WINDOW_SECONDS,
    SOURCE,
    Search,
    empty_alarm,
    offers_of,
    refused,
    search_of,
)

SPACING_SECONDS = 6.1
"""Between two searches: ten a minute are allowed to an address, and a little air."""

SEARCH_PATH = "/api/v0/bundles/"

KEPT_FOR_SECONDS = 300.0
"""A search answered in a try that failed later is not made again within so many seconds."""


class VastSettings(CollectorSettings):
    """How Vast.ai's market is read."""

    enabled: bool = True
    """Whether Vast.ai is asked at all."""
    url: str = Field(default="https://console.vast.ai", pattern=URL_PATTERN)
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


class VastCollector(Collector):
    """Vast.ai's offers for a list of GPU models."""

    name: ClassVar[str] = "vast"
    settings_class: ClassVar[type[CollectorSettings]] = VastSettings

    def __init__(
        self,
        settings: VastSettings,
        hands: Hands = NETWORK,
        market: MarketSettings = DEFAULTS,
        memory: MarketMemory | None = None,
    ) -> None:
        self._settings = settings
        self._hands = hands
        self._gate = PriceGate(self.name, market, memory or MarketMemory())
        self._visitor = Visitor(_door(settings), hands, market.user_agent)
        self._answered: dict[str, Search] = {}

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self | Absent:
        """As the environment sets it; absent where it is switched off."""
        settings = settings_from(environ, cls.name, VastSettings)
        if not settings.enabled:
            return Absent("switched off by PILOTHOUSE_VAST_ENABLED")
        return cls(settings, NETWORK, market_settings(environ), PROCESS_MEMORY)

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
        yield from self._gate.passed(
            (offer for search in searches for offer in offers_of(search, self.name)),
            now=now,
            alarms=[empty_alarm(search, now) for search in searches if not search.offers],
            is_marketplace=True,
        )
        yield from _remarks(searches)
        self._answered.clear()

    def _searches(self, now: datetime) -> Iterable[Search]:
        started_seconds = self._hands.seconds()
        oldest_at = now - timedelta(seconds=KEPT_FOR_SECONDS)
        for model in self._settings.models:
            known = self._answered.get(model)
            if known is None or known.answered_at < oldest_at:
                elapsed = timedelta(seconds=self._hands.seconds() - started_seconds)
                known = self._searched(model, now + elapsed)
                self._answered[model] = known
            yield known

    def _searched(self, model: str, now: datetime) -> Search:
        limit = self._settings.offer_limit
        body = _body(model, limit)
        answer = self._visitor.asked("POST", SEARCH_PATH, now, json=body, refused=refused)
        return search_of(answer, model, limit)


def _door(settings: VastSettings) -> Door:
    key = settings.api_key
    return Door(
        source=SOURCE,
        url=settings.url,
        url_setting="PILOTHOUSE_VAST_URL",
        key_setting="PILOTHOUSE_VAST_API_KEY",
        spacing_seconds=SPACING_SECONDS,
        request_limit_seconds=settings.request_limit_seconds,
        rate_window_seconds=RATE_WINDOW_SECONDS,
        headers={"Authorization": f"Bearer {key.get_secret_value()}"} if key else {},
    )


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
