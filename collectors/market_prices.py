"""What may enter as a price: the gate that every offer of the market goes through.

A price of nothing, one out of all bounds, one that jumped, or one of a GPU whose name isn't
known becomes an alarm instead. What was good last is kept in memory, over the runs of this
process and across its collectors; that is also what pricing pages are checked against.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from threading import Lock
from typing import Literal

from collectors.base import EmptyAnswer
from collectors.market_settings import MarketSettings
from warehouse.gpu_names import models_like
from warehouse.records import MarketAlarm, Offer

AlarmKind = Literal[
    "zero_price", "jump", "empty", "unknown_model", "cross_check", "layout", "stale"
]

SAME_ALARM_AFTER = timedelta(hours=24)
"""An alarm that stays as it is is raised again only then."""

_FIGURES = re.compile(r"[\d.]+")

OfferKey = tuple[object, ...]
GroupKey = tuple[str, str, str, str | None, float | None]


@dataclass
class MarketMemory:
    """The last good prices, and what was said of the bad ones. Shared between threads."""

    lock: Lock = field(default_factory=Lock)
    offers: dict[OfferKey, float] = field(default_factory=dict)
    """USD per GPU-hour of an offer"""
    groups: dict[GroupKey, float] = field(default_factory=dict)
    """USD per GPU-hour in the middle of a provider's offers of a model and kind"""
    quoted: dict[str, tuple[Offer, ...]] = field(default_factory=dict)
    """What each provider's interface offered last"""
    answered_at: dict[str, datetime] = field(default_factory=dict)
    """When each provider's interface answered last"""
    raised_at: dict[tuple[object, ...], datetime] = field(default_factory=dict)

    def seed(self, offers: Iterable[Offer]) -> None:
        """What was good last before this process began; what it knows itself counts more."""
        with self.lock:
            if not self.offers and not self.groups:
                good = list(offers)
                self.remember_offers(good)
                self.remember_answers(good)

    def remember_offers(self, good: Iterable[Offer]) -> None:
        """The price of each offer; the lock is held by the caller."""
        self.offers |= {_offer_key(offer): offer.price_usd_per_gpu_hour for offer in good}

    def remember_answers(self, good: Sequence[Offer]) -> None:
        """What interfaces say, also for whoever is checked against them; the lock is held."""
        for key, offers in _grouped(good).items():
            self.groups[key] = _middle_usd(offers)
        by_provider: dict[str, list[Offer]] = defaultdict(list)
        for offer in good:
            by_provider[offer.provider].append(offer)
        for provider, offers in by_provider.items():
            self.quoted[provider] = tuple(offers)
            self.answered_at[provider] = max(offer.measured_at for offer in offers)


PROCESS_MEMORY = MarketMemory()
"""That of the console's collectors; tests give their own."""


@dataclass(frozen=True)
class PriceGate:
    """Lets good prices of one source through and turns the others into alarms."""

    source: str
    """the collector's name"""
    settings: MarketSettings
    memory: MarketMemory

    def passed(
        self,
        offers: Iterable[Offer],
        *,
        now: datetime,
        alarms: Sequence[MarketAlarm] = (),
        is_marketplace: bool = False,
        is_interface: bool = True,
    ) -> list[Offer | MarketAlarm]:
        """The good offers, remembered, and the alarms: those given and those of bad prices.

        In a marketplace hosts ask what they like, so there it is the middle of a model's offers
        that may not jump, and not each of them.

        Raises:
            EmptyAnswer: nothing that was offered may enter.
        """
        asked = list(offers)
        with self.memory.lock:
            refused = {id(o): why for o in asked if (why := self._why_not(o, is_marketplace))}
            good = [offer for offer in asked if id(offer) not in refused]
            if is_marketplace:
                refused |= self._jumped_groups(good)
                good = [offer for offer in asked if id(offer) not in refused]
            raised = [*alarms, *self._alarms(asked, refused, now)]
            if not good:
                raise EmptyAnswer(_nothing_good(self.source, len(asked), raised))
            if not is_marketplace:  # whose offers come and go by the thousand
                self.memory.remember_offers(good)
            if is_interface:
                self.memory.remember_answers(good)
            return [*good, *self.fresh(raised, now)]

    def fresh(self, alarms: Iterable[MarketAlarm], now: datetime) -> list[MarketAlarm]:
        """Those that weren't raised the same way within a day; the lock is held by the caller."""
        found = []
        for alarm in alarms:
            sameness = _FIGURES.sub("#", alarm.detail)
            key = (alarm.source, alarm.provider, alarm.kind, alarm.gpu_model, sameness)
            before_at = self.memory.raised_at.get(key)
            if before_at is None or now - before_at >= SAME_ALARM_AFTER or now < before_at:
                self.memory.raised_at[key] = now
                found.append(alarm)
        return found

    # -- why not -------------------------------------------------------------------

    def _why_not(self, offer: Offer, is_marketplace: bool) -> _Why | None:
        usd, given = offer.price_usd_per_gpu_hour, self.settings
        if not math.isfinite(usd) or usd <= 0.0:
            return _Why("zero_price", f"a price of {usd:g} is none", None)
        if offer.model is None:
            return _Why("unknown_model", _unknown_words(offer), None)
        if not given.least_usd_per_gpu_hour <= usd <= given.most_usd_per_gpu_hour:
            return _Why("jump", _bounds_words(given), None)
        return None if is_marketplace else self._jump(usd, self._last_usd(offer))

    def _last_usd(self, offer: Offer) -> float | None:
        """Of this very offer; of its like where it is new, except on spot, where regions differ."""
        known = self.memory.offers.get(_offer_key(offer))
        if known is not None or offer.price_kind == "spot":
            return known
        return self.memory.groups.get(_group_key(offer))

    def _jump(self, usd: float, last_usd: float | None) -> _Why | None:
        bound = self.settings.jump_bound_ratio
        if last_usd is None or last_usd / bound <= usd <= last_usd * bound:
            return None
        return _Why(
            "jump",
            f"it is beyond {bound:g} times the last good price; if it is right, set "
            "PILOTHOUSE_MARKET_JUMP_BOUND_RATIO higher for a run",
            last_usd,
        )

    def _jumped_groups(self, good: Sequence[Offer]) -> dict[int, _Why]:
        by_group = _grouped(good)
        return {
            id(offer): why
            for key, offers in by_group.items()
            if (why := self._jump(_middle_usd(offers), self.memory.groups.get(key)))
            for offer in offers
        }

    # -- what is raised ------------------------------------------------------------

    def _alarms(
        self, asked: Sequence[Offer], refused: dict[int, _Why], now: datetime
    ) -> list[MarketAlarm]:
        """One a GPU and kind of fault, however many offers have it."""
        alike: dict[tuple[object, ...], list[Offer]] = defaultdict(list)
        for offer in asked:
            if why := refused.get(id(offer)):
                part = (offer.price_kind, offer.tier) if why.kind != "unknown_model" else ()
                alike[offer.provider, offer.gpu_model, why.kind, *part].append(offer)
        return [_alarm(self.source, group, refused[id(group[0])], now) for group in alike.values()]


@dataclass(frozen=True)
class _Why:
    kind: AlarmKind
    detail: str
    expected_usd: float | None


def _alarm(source: str, group: Sequence[Offer], why: _Why, now: datetime) -> MarketAlarm:
    first, usd = group[0], group[0].price_usd_per_gpu_hour
    others = f" and {len(group) - 1} more" if len(group) > 1 else ""
    what = " ".join(w for w in (first.tier, first.price_kind) if w)
    return MarketAlarm(
        provider=first.provider,
        source=source,
        gpu_model=first.gpu_model,
        kind=why.kind,
        value=usd if math.isfinite(usd) else None,
        expected=why.expected_usd,
        detail=(
            f"{first.gpu_model}, {what}, offer {first.offer_id}{others} at {usd:g} USD/GPU-h "
            f"wasn't taken: {why.detail}"
        ),
        raised_at=now,
    )


def _nothing_good(source: str, count: int, alarms: Sequence[MarketAlarm]) -> str:
    if not count and not alarms:
        return f"{source} found no price in the answer: see whether the source has changed"
    first = f"; the first: {alarms[0].detail}" if alarms else ""
    return f"{source} found no price that may enter among {count}{first}"


def _unknown_words(offer: Offer) -> str:
    like = models_like(offer.gpu_model, memory_bytes=offer.gpu_memory_bytes)
    meant = f"it may be {' or '.join(like)}; " if like else ""
    return f"its name isn't known; {meant}a person should add it to warehouse/gpu_names.py"


def _bounds_words(given: MarketSettings) -> str:
    return (
        f"it is not between {given.least_usd_per_gpu_hour:g} and "
        f"{given.most_usd_per_gpu_hour:g} USD/GPU-h, which looks like another unit; if it is "
        "right, set PILOTHOUSE_MARKET_LEAST_ or _MOST_USD_PER_GPU_HOUR"
    )


def _offer_key(offer: Offer) -> OfferKey:
    return (offer.source, offer.offer_id, offer.region, *_group_key(offer))


def _group_key(offer: Offer) -> GroupKey:
    return (
        offer.provider,
        offer.model or offer.gpu_model,
        offer.price_kind,
        offer.tier,
        offer.commitment_months,
    )


def _grouped(offers: Iterable[Offer]) -> dict[GroupKey, list[Offer]]:
    by_group: dict[GroupKey, list[Offer]] = defaultdict(list)
    for offer in offers:
        by_group[_group_key(offer)].append(offer)
    return by_group


def _middle_usd(offers: Sequence[Offer]) -> float:
    return median(offer.price_usd_per_gpu_hour for offer in offers)
