"""The hyperscalers' prices, from public catalogues that are renewed hourly and want no key.

A catalogue is fetched only where its version has changed; its terms aren't stated, so it is
read and not passed on. Facts about it are from public code, read in November 2026.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator

from collectors.base import (
    Absent,
    Collector,
    CollectorError,
    CollectorSettings,
    Note,
    Yielded,
    settings_from,
)
from collectors.hyperscaler_catalogues import COLLECTOR, Catalogue, at, catalogue_of, version_of
from collectors.market_prices import PROCESS_MEMORY, MarketMemory, PriceGate
from collectors.market_settings import DEFAULTS, URL_PATTERN, MarketSettings, market_settings
from collectors.market_web import NETWORK, Door, Hands, Visitor
from warehouse.gpu_names import family_of

RESTATED_AFTER = timedelta(hours=11, minutes=30)
"""Rows of a catalogue that doesn't change are stored again so seldom, as still in force."""

MOST_PACKED_BYTES = 64 * 2**20


class HyperscalersSettings(CollectorSettings):
    """How the hyperscalers' catalogues are read."""

    enabled: bool = True
    """Whether the catalogues are read at all."""
    url: str = Field(
        default="https://dstack-gpu-pricing.s3.eu-west-1.amazonaws.com", pattern=URL_PATTERN
    )
    """Where the catalogues lie."""
    providers: tuple[str, ...] = ("aws", "azure", "gcp", "oci", "nebius")
    """Whose catalogues, as their folders are named; in the environment separated by commas."""
    models: tuple[str, ...] = (
        "A100",
        "H100",
        "H200",
        "B200",
        "B300",
        "GB200",
        "L40S",
        "L4",
        "MI300X",
    )
    """Families of GPUs that are kept, separated by commas; `all` keeps every one."""
    every_seconds: float = Field(default=21600.0, ge=10800.0)
    """Seconds from one run to the next; the catalogues are renewed hourly."""
    request_limit_seconds: float = Field(default=60.0, gt=0.0, le=300.0)
    """Seconds one answer may take."""

    @field_validator("providers", "models", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = tuple(name.strip() for name in value.split(",") if name.strip())
        if not value:
            raise ValueError("name at least one")
        return value

    @field_validator("providers")
    @classmethod
    def _are_folders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(name.isascii() and name.isalnum() and name.islower() for name in value):
            raise ValueError("a provider is named in small letters and digits, for example aws")
        return value


@dataclass(frozen=True)
class _Held:
    """A provider's catalogue as it was read last, and when its rows were stored last."""

    catalogue: Catalogue
    stated_at: datetime


class HyperscalersCollector(Collector):
    """Prices of instances with GPUs, on demand and on spot, by provider and region."""

    name: ClassVar[str] = COLLECTOR
    settings_class: ClassVar[type[CollectorSettings]] = HyperscalersSettings

    def __init__(
        self,
        settings: HyperscalersSettings,
        hands: Hands = NETWORK,
        market: MarketSettings = DEFAULTS,
        memory: MarketMemory | None = None,
    ) -> None:
        self._settings = settings
        self._gate = PriceGate(self.name, market, memory or MarketMemory())
        self._visitor = Visitor(_door(settings), hands, market.user_agent)
        self._held: dict[str, _Held] = {}

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self | Absent:
        """As the environment sets it; absent where it is switched off."""
        settings = settings_from(environ, cls.name, HyperscalersSettings)
        if not settings.enabled:
            return Absent("switched off by PILOTHOUSE_HYPERSCALERS_ENABLED")
        return cls(settings, NETWORK, market_settings(environ), PROCESS_MEMORY)

    @property
    def every_seconds(self) -> float:
        """Seconds from one run to the next."""
        return self._settings.every_seconds

    @property
    def time_limit_seconds(self) -> float:
        """Two slow answers a provider."""
        answers = 2.0 * len(self._settings.providers)
        return min(self.every_seconds, 60.0 + answers * self._settings.request_limit_seconds)

    def collect(self, now: datetime) -> Iterator[Yielded]:
        """A row an instance, region and kind of price, of each catalogue that has changed.

        A catalogue that can't be read is named and stops none of the others.
        """
        notes: list[Note] = []
        errors: list[CollectorError] = []
        read: list[Catalogue] = []
        for provider in self._settings.providers:
            try:
                catalogue = self._changed(provider, now)
            except CollectorError as error:
                errors.append(error)
                notes.append(Note(f"{provider}: {error}"))
                continue
            if catalogue:
                read.append(catalogue)
            else:
                notes.append(Note(f"the catalogue of {provider} hasn't changed"))
        if len(errors) == len(self._settings.providers):
            raise errors[0]
        if read:
            offers = [offer for catalogue in read for offer in catalogue.offers]
            yield from self._gate.passed(offers, now=now)
        yield from notes
        self._held |= {catalogue.provider: _Held(catalogue, now) for catalogue in read}

    def _changed(self, provider: str, now: datetime) -> Catalogue | None:
        """The catalogue to be stored; None where what was stored last is still in force."""
        answer = self._visitor.asked("GET", f"/v3/{provider}/version", now)
        version = version_of(answer, provider)
        held = self._held.get(provider)
        if held and held.catalogue.version == version:
            if now - held.stated_at < RESTATED_AFTER:
                return None
            return replace(held.catalogue, offers=at(held.catalogue.offers, answer.answered_at))
        path = f"/v3/{provider}/{version}/catalog.zip"
        packed = self._visitor.asked("GET", path, answer.answered_at)
        return catalogue_of(packed, provider, version, self._families())

    def _families(self) -> frozenset[str] | None:
        names = self._settings.models
        if any(name.lower() == "all" for name in names):
            return None
        return frozenset(family_of(name) or name.lower() for name in names)


def _door(settings: HyperscalersSettings) -> Door:
    return Door(
        source="the store of the hyperscalers' catalogues",
        url=settings.url,
        url_setting="PILOTHOUSE_HYPERSCALERS_URL",
        spacing_seconds=1.0,
        request_limit_seconds=settings.request_limit_seconds,
        most_bytes=MOST_PACKED_BYTES,
    )
