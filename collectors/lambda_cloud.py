"""Lambda's instance types: the price of each, and the regions that have it now.

It answers only to a key. Facts about the interface are from its public documentation, read in
November 2026.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import ClassVar, Self

from pydantic import Field, SecretStr

from collectors import lambda_answers as answers
from collectors.base import Absent, Collector, CollectorSettings, Yielded, settings_from
from collectors.market_prices import PROCESS_MEMORY, MarketMemory, PriceGate
from collectors.market_settings import DEFAULTS, URL_PATTERN, MarketSettings, market_settings
from collectors.market_web import NETWORK, Door, Hands, Visitor

PATH = "/api/v1/instance-types"
SPACING_SECONDS = 1.0
"""Between two requests: one a second is allowed."""


class LambdaSettings(CollectorSettings):
    """How Lambda's prices are read."""

    enabled: bool = True
    """Whether Lambda is asked at all; it is only where there is a key."""
    url: str = Field(default="https://cloud.lambda.ai", pattern=URL_PATTERN)
    """Where its interface answers."""
    api_key: SecretStr | None = None
    """A key; without one Lambda doesn't answer."""
    every_seconds: float = Field(default=900.0, ge=60.0)
    """Seconds from one run to the next."""
    request_limit_seconds: float = Field(default=20.0, gt=0.0, le=120.0)
    """Seconds one answer may take."""


class LambdaCollector(Collector):
    """Lambda's prices on demand, by instance type and region."""

    name: ClassVar[str] = answers.COLLECTOR
    settings_class: ClassVar[type[CollectorSettings]] = LambdaSettings

    def __init__(
        self,
        settings: LambdaSettings,
        hands: Hands = NETWORK,
        market: MarketSettings = DEFAULTS,
        memory: MarketMemory | None = None,
    ) -> None:
        self._settings = settings
        self._gate = PriceGate(self.name, market, memory or MarketMemory())
        self._visitor = Visitor(_door(settings), hands, market.user_agent)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self | Absent:
        """As the environment sets it; absent where it is switched off or has no key."""
        settings = settings_from(environ, cls.name, LambdaSettings)
        if not settings.enabled:
            return Absent("switched off by PILOTHOUSE_LAMBDA_CLOUD_ENABLED")
        if settings.api_key is None:
            return Absent(
                "Lambda answers only to a key: set PILOTHOUSE_LAMBDA_CLOUD_API_KEY; its pricing "
                "page is read by pricing_pages meanwhile, where there is a browser"
            )
        return cls(settings, NETWORK, market_settings(environ), PROCESS_MEMORY)

    @property
    def every_seconds(self) -> float:
        """Seconds from one run to the next."""
        return self._settings.every_seconds

    @property
    def time_limit_seconds(self) -> float:
        """One slow answer and a few tries."""
        return min(self.every_seconds, 60.0 + 2.0 * self._settings.request_limit_seconds)

    def collect(self, now: datetime) -> Iterator[Yielded]:
        """A row an instance type and region; alarms for what can't be a price."""
        answer = self._visitor.asked("GET", PATH, now, refused=answers.refused)
        reading = answers.reading_of(answer, now)
        yield from self._gate.passed(reading.offers, now=now, alarms=reading.alarms)


def _door(settings: LambdaSettings) -> Door:
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    return Door(
        source=answers.SOURCE,
        url=settings.url,
        url_setting="PILOTHOUSE_LAMBDA_CLOUD_URL",
        key_setting="PILOTHOUSE_LAMBDA_CLOUD_API_KEY",
        spacing_seconds=SPACING_SECONDS,
        request_limit_seconds=settings.request_limit_seconds,
        rate_window_seconds=answers.RATE_WINDOW_SECONDS,
        headers={"Authorization": f"Bearer {key}"},
    )
