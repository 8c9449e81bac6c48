"""The providers' pricing pages: where an interface is silent, and to check it where it isn't.

Layouts change, so a page is the last resort. While a provider's interface answers, its page
brings no prices: it is compared, and a difference beyond the bound is an alarm. `robots.txt` is
obeyed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

from pydantic import Field, field_validator

from collectors.base import (
    Absent,
    Collector,
    CollectorError,
    CollectorSettings,
    EmptyAnswer,
    Malformed,
    Note,
    NotHere,
    RateLimited,
    Refused,
    Unreachable,
    Yielded,
    settings_from,
)
from collectors.market_prices import PROCESS_MEMORY, MarketMemory, PriceGate
from collectors.market_settings import DEFAULTS, URL_PATTERN, MarketSettings, market_settings
from collectors.market_web import NETWORK, Door, Hands, Visitor
from collectors.pricing_browser import Page, PageReader, chromium, why_no_browser
from collectors.pricing_layouts import PagePrice, lambda_prices, runpod_prices, vast_prices
from warehouse.gpu_names import model_of
from warehouse.records import MarketAlarm, Offer

COLLECTOR = "pricing_pages"
AGENT = "Pilothouse"
"""Our name as `robots.txt` may have it."""
ROBOTS_KEPT_FOR = timedelta(hours=24)
RATE_WINDOW_SECONDS = 3600.0


@dataclass(frozen=True)
class Layout:
    """How one provider's page is read."""

    provider: str
    source: str
    read: Callable[[str], list[PagePrice]]
    ready: str
    """CSS selector of what is there once the prices are"""


LAYOUTS = {
    layout.provider: layout
    for layout in (
        Layout(
            "runpod",
            "RunPod",
            runpod_prices,
            '[data-secure-cloud-price],[data-secure],script[type="application/ld+json"]',
        ),
        Layout("lambda", "Lambda", lambda_prices, "[role=tabpanel] [data-label]"),
        Layout("vast", "Vast.ai", vast_prices, "td:nth-child(5)"),
    )
}


class PricingPagesSettings(CollectorSettings):
    """How pricing pages are read."""

    enabled: bool = True
    """Whether pages are read at all."""
    pages: tuple[str, ...] = tuple(LAYOUTS)
    """Whose pages, separated by commas."""
    runpod_url: str = Field(default="https://www.runpod.io/pricing", pattern=URL_PATTERN)
    """RunPod's page."""
    lambda_url: str = Field(default="https://lambda.ai/pricing", pattern=URL_PATTERN)
    """Lambda's page."""
    vast_url: str = Field(default="https://vast.ai/pricing", pattern=URL_PATTERN)
    """Vast.ai's page."""
    browser: str = ""
    """The browser's program; without it Chromium is looked for."""
    every_seconds: float = Field(default=21600.0, ge=3600.0)
    """Seconds from one run to the next."""
    fallback_after_seconds: float = Field(default=7200.0, ge=600.0)
    """A page's prices are stored only where the interface hasn't answered for so long."""
    request_limit_seconds: float = Field(default=30.0, gt=0.0, le=120.0)
    """Seconds one page may take."""

    @field_validator("pages", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = tuple(name.strip() for name in value.split(",") if name.strip())
        if not value or set(value) - LAYOUTS.keys():
            raise ValueError(f"name some of {', '.join(LAYOUTS)}")
        return value


OpenBrowser = Callable[[], AbstractContextManager[PageReader]]


class PricingPagesCollector(Collector):
    """Prices as pages show them."""

    name: ClassVar[str] = COLLECTOR
    settings_class: ClassVar[type[CollectorSettings]] = PricingPagesSettings

    def __init__(
        self,
        settings: PricingPagesSettings,
        hands: Hands = NETWORK,
        market: MarketSettings = DEFAULTS,
        memory: MarketMemory | None = None,
        open_browser: OpenBrowser | None = None,
    ) -> None:
        self._settings = settings
        self._hands = hands
        self._market = market
        self._memory = memory or MarketMemory()
        self._gate = PriceGate(self.name, market, self._memory)
        limit_seconds = settings.request_limit_seconds
        self._open_browser = open_browser or partial(
            chromium, settings.browser, market.user_agent, limit_seconds
        )
        self._robots: dict[str, tuple[datetime, RobotFileParser]] = {}

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self | Absent:
        """As the environment sets it; absent where it is switched off or there is no browser."""
        settings = settings_from(environ, cls.name, PricingPagesSettings)
        if not settings.enabled:
            return Absent("switched off by PILOTHOUSE_PRICING_PAGES_ENABLED")
        if why := why_no_browser(settings.browser):
            return Absent(why)
        return cls(settings, NETWORK, market_settings(environ), PROCESS_MEMORY)

    @property
    def every_seconds(self) -> float:
        """Seconds from one run to the next."""
        return self._settings.every_seconds

    @property
    def time_limit_seconds(self) -> float:
        """Every page and every `robots.txt`, each slow."""
        answers = 3.0 * len(self._settings.pages)
        return min(self.every_seconds, 60.0 + answers * self._settings.request_limit_seconds)

    def collect(self, now: datetime) -> Iterator[Yielded]:
        """Prices of those whose interface is silent, alarms where page and interface differ."""
        rows: list[Yielded] = []
        errors: list[CollectorError] = []
        with self._open_browser() as browser:
            for provider in self._settings.pages:
                try:
                    rows += self._of_page(LAYOUTS[provider], browser, now)
                except CollectorError as error:
                    errors.append(error)
                    rows += self._told(LAYOUTS[provider], error, now)
        if len(errors) == len(self._settings.pages):
            raise errors[0]
        yield from rows

    def _of_page(self, layout: Layout, browser: PageReader, now: datetime) -> list[Yielded]:
        url = str(getattr(self._settings, f"{layout.provider}_url"))
        self._ask_robots(layout, url, now)
        html = _html(layout, url, browser.read(url, layout.ready))
        offers = [_offer(layout, price, html, now) for price in layout.read(html)]
        passed = self._gate.passed(offers, now=now, is_interface=False)
        if not self._is_answering(layout.provider, now):
            return passed
        alarms = [row for row in passed if isinstance(row, MarketAlarm)]
        good = [row for row in passed if isinstance(row, Offer)]
        with self._memory.lock:
            differing = self._gate.fresh(self._differing(layout, good, now), now)
        note = Note(f"{layout.source}'s page was held against its interface: {len(good)} prices")
        return [*alarms, *differing, note]

    def _is_answering(self, provider: str, now: datetime) -> bool:
        answered_at = self._memory.answered_at.get(provider)
        limit = timedelta(seconds=self._settings.fallback_after_seconds)
        return answered_at is not None and now - answered_at < limit

    def _differing(self, layout: Layout, good: list[Offer], now: datetime) -> Iterator[MarketAlarm]:
        bound = self._market.cross_check_bound_ratio
        for offer in good:
            usd = offer.price_usd_per_gpu_hour
            known = [o.price_usd_per_gpu_hour for o in self._like(offer)]
            nearest = min(known, key=lambda k: max(k / usd, usd / k), default=None)
            if nearest is not None and max(nearest / usd, usd / nearest) > bound:
                yield _cross_check_alarm(layout, offer, nearest, bound, now)

    def _like(self, offer: Offer) -> Iterator[Offer]:
        """What the interface says of the same: the number of GPUs too, where instances differ."""
        for known in self._memory.quoted.get(offer.provider, ()):
            is_like = (known.model, known.price_kind) == (offer.model, offer.price_kind)
            is_in_tier = offer.tier is None or known.tier == offer.tier
            is_of_size = offer.provider != "lambda" or known.gpu_count == offer.gpu_count
            if is_like and is_in_tier and is_of_size:
                yield known

    def _told(self, layout: Layout, error: CollectorError, now: datetime) -> Iterator[Yielded]:
        yield Note(f"{layout.source}: {error}")
        if isinstance(error, (Malformed, EmptyAnswer)):
            alarm = MarketAlarm(
                provider=layout.provider,
                source=self.name,
                kind="layout",
                detail=str(error),
                raised_at=now,
            )
            with self._memory.lock:
                yield from self._gate.fresh([alarm], now)

    def _ask_robots(self, layout: Layout, url: str, now: datetime) -> None:
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}"
        known = self._robots.get(site)
        if known is None or now - known[0] >= ROBOTS_KEPT_FOR:
            known = self._robots[site] = (now, self._robots_of(layout, site, now))
        if not known[1].can_fetch(AGENT, url):
            raise NotHere(f"the robots.txt of {site} doesn't allow {url}: it isn't read")

    def _robots_of(self, layout: Layout, site: str, now: datetime) -> RobotFileParser:
        """What a site allows; all where it says nothing, nothing where it can't be asked."""
        setting = f"PILOTHOUSE_PRICING_PAGES_{layout.provider.upper()}_URL"
        door = Door(f"the site of {layout.source}", site, setting)
        robots = RobotFileParser()
        try:
            answer = Visitor(door, self._hands, self._market.user_agent).asked(
                "GET", "/robots.txt", now
            )
            robots.parse(answer.content.decode("utf-8", errors="replace").splitlines())
        except Refused as error:
            allows_all = "(404" in str(error) or "(410" in str(error)
            robots.parse([] if allows_all else ["User-agent: *", "Disallow: /"])
        return robots


def _html(layout: Layout, url: str, page: Page) -> str:
    if page.status == 429:
        raise RateLimited(f"{url} was asked too often (429)", RATE_WINDOW_SECONDS)
    if page.status >= 500 or page.status == 0:
        raise Unreachable(f"{url} is broken ({page.status})")
    if page.status != 200:
        setting = f"PILOTHOUSE_PRICING_PAGES_{layout.provider.upper()}_URL"
        raise Refused(f"{url} refused us ({page.status}): check {setting}")
    return page.html


def _offer(layout: Layout, price: PagePrice, html: str, now: datetime) -> Offer:
    return Offer(
        provider=layout.provider,
        offer_id=f"page:{price.gpu_count}x {price.name}",
        gpu_model=price.name,
        model=model_of(price.name, memory_bytes=price.memory_bytes),
        gpu_count=price.gpu_count,
        price_usd_per_gpu_hour=price.usd_per_gpu_hour,
        quoted_unit="gpu",
        price_kind="on_demand",
        tier=price.tier,
        gpu_memory_bytes=price.memory_bytes,
        is_list_price=True,
        is_complete_search=True,
        source=COLLECTOR,
        payload_digest=hashlib.sha256(html.encode()).hexdigest(),
        measured_at=now,
        stored_at=now,  # the runner stamps it
    )


def _cross_check_alarm(
    layout: Layout, offer: Offer, known_usd: float, bound: float, now: datetime
) -> MarketAlarm:
    usd = offer.price_usd_per_gpu_hour
    tier = f", {offer.tier}" if offer.tier else ""
    return MarketAlarm(
        provider=layout.provider,
        source=COLLECTOR,
        gpu_model=offer.gpu_model,
        kind="cross_check",
        value=usd,
        expected=known_usd,
        detail=(
            f"{offer.gpu_model}{tier}: {layout.source}'s page says {usd:g} USD/GPU-h, its "
            f"interface {known_usd:g}, more than {bound:g} times apart. The interface's price "
            "stands; look at the page"
        ),
        raised_at=now,
    )
