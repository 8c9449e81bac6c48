"""RunPod's prices: by GraphQL, which wants no key, and by REST where there is one.

One query for all types. REST is preferred where a key is set: it tells prices on demand and
stock; what only GraphQL knows (spot, bids, commitments) is asked there all the same. Facts about
the interfaces are from public documentation and code, read in November 2026.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import ClassVar, Self

from pydantic import Field, SecretStr

from collectors import runpod_answers as answers
from collectors.base import (
    Absent,
    Collector,
    CollectorError,
    CollectorSettings,
    Note,
    Yielded,
    settings_from,
)
from collectors.market_prices import PROCESS_MEMORY, MarketMemory, PriceGate
from collectors.market_settings import DEFAULTS, URL_PATTERN, MarketSettings, market_settings
from collectors.market_web import NETWORK, Door, Hands, Visitor
from collectors.runpod_catalogue import catalogue_of, rest_offers
from warehouse.records import MarketAlarm, Offer

GRAPHQL_PATH = "/graphql"
CATALOGUE_PATH = "/v2/catalog/gpus?include=AVAILABILITY&product=POD"

QUERY = """{ gpuTypes { id displayName memoryInGb secureCloud communityCloud securePrice
communityPrice secureSpotPrice communitySpotPrice oneMonthPrice threeMonthPrice sixMonthPrice
maxGpuCount lowestPrice(input: {gpuCount: 1}) { minimumBidPrice uninterruptablePrice stockStatus
minVcpu minMemory } } }"""


class RunpodSettings(CollectorSettings):
    """How RunPod's prices are read."""

    enabled: bool = True
    """Whether RunPod is asked at all."""
    url: str = Field(default="https://api.runpod.io", pattern=URL_PATTERN)
    """Where its interfaces answer."""
    api_key: SecretStr | None = None
    """A key for REST v2, which is then preferred; GraphQL needs none."""
    every_seconds: float = Field(default=900.0, ge=60.0)
    """Seconds from one run to the next."""
    request_limit_seconds: float = Field(default=20.0, gt=0.0, le=120.0)
    """Seconds one answer may take."""


class RunpodCollector(Collector):
    """RunPod's list prices, by GPU model, cloud and commitment."""

    name: ClassVar[str] = answers.COLLECTOR
    settings_class: ClassVar[type[CollectorSettings]] = RunpodSettings

    def __init__(
        self,
        settings: RunpodSettings,
        hands: Hands = NETWORK,
        market: MarketSettings = DEFAULTS,
        memory: MarketMemory | None = None,
    ) -> None:
        self._settings = settings
        self._gate = PriceGate(self.name, market, memory or MarketMemory())
        door = _door(settings)
        self._graphql = Visitor(door, hands, market.user_agent)
        key = settings.api_key
        self._rest = Visitor(_rest_door(door, key), hands, market.user_agent) if key else None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self | Absent:
        """As the environment sets it; absent where it is switched off."""
        settings = settings_from(environ, cls.name, RunpodSettings)
        if not settings.enabled:
            return Absent("switched off by PILOTHOUSE_RUNPOD_ENABLED")
        return cls(settings, NETWORK, market_settings(environ), PROCESS_MEMORY)

    @property
    def every_seconds(self) -> float:
        """Seconds from one run to the next."""
        return self._settings.every_seconds

    @property
    def time_limit_seconds(self) -> float:
        """Two answers and as many tries as fit in half the interval."""
        return min(self.every_seconds, 60.0 + 4.0 * self._settings.request_limit_seconds)

    def collect(self, now: datetime) -> Iterator[Yielded]:
        """A row a price; alarms for those that can't be."""
        if self._rest is None:
            offers, alarms = self._by_graphql(now)
            yield from self._gate.passed(offers, now=now, alarms=alarms)
            return
        offers, alarms = self._by_rest(self._rest, now)
        note = None
        try:
            more, more_alarms = self._by_graphql(now)
            offers += [offer for offer in more if offer.price_kind != "on_demand"]
            alarms += more_alarms
        except CollectorError as error:
            note = Note(f"spot and committed prices weren't to be had: {error}")
        yield from self._gate.passed(offers, now=now, alarms=alarms)
        if note:
            yield note

    def _by_graphql(self, now: datetime) -> tuple[list[Offer], list[MarketAlarm]]:
        query = {"query": QUERY}
        visit = self._graphql.asked
        answer = visit("POST", GRAPHQL_PATH, now, json=query, refused=answers.refused)
        types = answers.gpu_types_of(answer)
        words = {t.displayName: t.lowestPrice.stockStatus for t in types if t.lowestPrice}
        return list(answers.graphql_offers(types, answer)), list(answers.stock_alarms(words, now))

    def _by_rest(self, rest: Visitor, now: datetime) -> tuple[list[Offer], list[MarketAlarm]]:
        answer = rest.asked("GET", CATALOGUE_PATH, now)
        gpus = catalogue_of(answer)
        words = {gpu.id: gpu.availability for gpu in gpus}
        return list(rest_offers(gpus, answer)), list(answers.stock_alarms(words, now))


def _door(settings: RunpodSettings) -> Door:
    return Door(
        source=answers.SOURCE,
        url=settings.url,
        url_setting="PILOTHOUSE_RUNPOD_URL",
        request_limit_seconds=settings.request_limit_seconds,
        rate_window_seconds=answers.RATE_WINDOW_SECONDS,
    )


def _rest_door(door: Door, key: SecretStr) -> Door:
    return Door(
        source=door.source,
        url=door.url,
        url_setting=door.url_setting,
        key_setting="PILOTHOUSE_RUNPOD_API_KEY",
        request_limit_seconds=door.request_limit_seconds,
        rate_window_seconds=door.rate_window_seconds,
        headers={"Authorization": f"Bearer {key.get_secret_value()}"},
    )
