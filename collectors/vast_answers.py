"""Reading what Vast.ai answers: its errors, its offers, and these as rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from collectors.base import (
    CollectorError,
    Malformed,
    QuotaExhausted,
    Refused,
)
from collectors.market_web import Answer, json_or_none, midnight_after
from warehouse.gpu_names import model_of
from warehouse.records import MarketAlarm, Offer

SOURCE = "Vast.ai"
COLLECTOR = "vast"
QUOTA_ERROR = "search_quota_exceeded"
DATA_CENTRE = 1
"""Of `hosting_type`; 0 is anybody's host."""
RATE_WINDOW_SECONDS = 60.0
"""A refusal for asking too often names no time as a rule; the allowance is by the minute."""

BYTES_PER_MEBIBYTE = 2**20
"""`gpu_ram` and `cpu_ram` say MB and mean MiB: an RTX 4090 has 24,564, as its driver says."""
BYTES_PER_GIGABYTE = 10**9
BITS_PER_MEGABIT = 10**6

PriceKind = Literal["on_demand", "spot_bid"]
Amount = Annotated[float, Field(ge=0.0, le=1e9, allow_inf_nan=False)]


class VastOffer(BaseModel):
    """One offer as answered. `dph_*` and `min_bid` are USD an hour for all its GPUs together."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: int
    gpu_name: str
    num_gpus: Annotated[int, Field(ge=1, le=10**6)]
    dph_total: float
    """a price of nothing, or less, is none: the gate finds it"""
    min_bid: float | None = None
    gpu_ram: Amount | None = None
    cpu_ram: Amount | None = None
    cpu_cores: Amount | None = None
    cpu_cores_effective: Amount | None = None
    disk_space: Amount | None = None
    storage_cost: Amount | None = None
    inet_up_cost: Amount | None = None
    inet_down_cost: Amount | None = None
    inet_up: Amount | None = None
    inet_down: Amount | None = None
    reliability2: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    dlperf: Amount | None = None
    geolocation: str | None = None
    verification: str | None = None
    hosting_type: Any = None


@dataclass(frozen=True)
class Search:
    """The answer to the search for one model."""

    model: str
    offers: tuple[VastOffer, ...]
    is_complete: bool
    payload_digest: str
    answered_at: datetime


def search_of(answer: Answer, model: str, offer_limit: int) -> Search:
    """The offers in an answer.

    Raises:
        CollectorError: there are none in it, and why.
    """
    payload = answer.json()
    code = _error_code(payload)
    if code == QUOTA_ERROR:
        raise _quota_spent(answer.next_midnight_at)
    if code is not None:
        raise Refused(f"{SOURCE} refused the search: {code}")
    offers = _offers(payload, model)
    return Search(
        model=model,
        offers=offers,
        is_complete=len(offers) < offer_limit,
        payload_digest=answer.digest,
        answered_at=answer.answered_at,
    )


def refused(
    response: httpx.Response, content: bytes, answered_at: datetime
) -> CollectorError | None:
    """What a refusal of Vast.ai's means where that isn't what it means elsewhere."""
    if _error_code(json_or_none(content)) == QUOTA_ERROR:
        return _quota_spent(midnight_after(response, answered_at))
    if response.status_code == httpx.codes.NOT_FOUND:
        return Refused(
            f"{SOURCE} answered 404, which it does to a bad key, too: "
            "check PILOTHOUSE_VAST_API_KEY and PILOTHOUSE_VAST_URL"
        )
    return None


def empty_alarm(search: Search, now: datetime) -> MarketAlarm:
    """A search without an offer, which says nothing of prices."""
    return MarketAlarm(
        provider=COLLECTOR,
        source=COLLECTOR,
        gpu_model=search.model,
        kind="empty",
        detail=f"{SOURCE} has no offer for {search.model}: its last prices stay; if it stays so, "
        "check the spelling in PILOTHOUSE_VAST_MODELS",
        raised_at=now,
    )


def offers_of(search: Search, provider: str) -> Iterator[Offer]:
    """The rows of a search: one an offer and kind of price."""
    for offer in search.offers:
        yield _row(search, provider, offer, "on_demand", offer.dph_total)
        if offer.min_bid is not None:
            yield _row(search, provider, offer, "spot_bid", offer.min_bid)


# -- answers ----------------------------------------------------------------------------


def _error_code(payload: Any) -> str | None:
    error = payload.get("error") if isinstance(payload, dict) else None
    if isinstance(error, dict):
        error = error.get("code") or error.get("error") or error.get("message")
    return str(error) if error else None


def _quota_spent(until: datetime) -> QuotaExhausted:
    return QuotaExhausted(
        f"{SOURCE}'s searches of today are spent: set PILOTHOUSE_VAST_EVERY_SECONDS higher "
        "or PILOTHOUSE_VAST_MODELS shorter",
        until=until,
    )


def _offers(payload: Any, model: str) -> tuple[VastOffer, ...]:
    """The offers; the documentation shows an object, of them or of one, in fact it is a list."""
    if not isinstance(payload, dict) or not isinstance(payload.get("offers"), (list, dict)):
        raise Malformed(SOURCE, "offers", "is missing, or neither a list nor an object")
    offers = payload["offers"]
    if isinstance(offers, dict):
        offers = [offers] if "gpu_name" in offers else list(offers.values())
    return tuple(_offer(item, index, model) for index, item in enumerate(offers))


def _offer(item: Any, index: int, model: str) -> VastOffer:
    where = f"offers[{index}]"
    try:
        offer = VastOffer.model_validate(item)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join([where, *map(str, first["loc"])])
        raise Malformed(SOURCE, field, first["msg"]) from error
    if offer.gpu_name != model:
        raise Malformed(SOURCE, f"{where}.gpu_name", f"is {offer.gpu_name!r}, not {model!r}")
    return offer


# -- rows -------------------------------------------------------------------------------


def _row(
    search: Search,
    provider: str,
    offer: VastOffer,
    price_kind: PriceKind,
    whole_usd_per_hour: float,
) -> Offer:
    memory_bytes = _scaled(offer.gpu_ram, BYTES_PER_MEBIBYTE)
    return Offer(
        provider=provider,
        offer_id=str(offer.id),
        gpu_model=offer.gpu_name,
        gpu_count=offer.num_gpus,
        price_usd_per_gpu_hour=whole_usd_per_hour / offer.num_gpus,
        instance_price_usd_per_hour=whole_usd_per_hour,
        quoted_unit="instance",
        price_kind=price_kind,
        region=offer.geolocation,
        gpu_memory_bytes=memory_bytes,
        vcpu_count=offer.cpu_cores_effective,
        memory_bytes=_memory_bytes(offer),
        disk_bytes=_scaled(offer.disk_space, BYTES_PER_GIGABYTE),
        storage_usd_per_gigabyte_month=offer.storage_cost,
        ingress_usd_per_gigabyte=offer.inet_down_cost,
        egress_usd_per_gigabyte=offer.inet_up_cost,
        download_bits_per_second=_scaled(offer.inet_down, BITS_PER_MEGABIT),
        upload_bits_per_second=_scaled(offer.inet_up, BITS_PER_MEGABIT),
        reliability_ratio=offer.reliability2,
        is_verified=None if offer.verification is None else offer.verification == "verified",
        is_complete_search=search.is_complete,
        model=model_of(offer.gpu_name, memory_bytes=memory_bytes or None),
        tier=_tier(offer),
        stock="some",  # only what can be rented is searched for
        is_list_price=False,
        max_gpu_count=offer.num_gpus,
        performance_score=offer.dlperf,
        source=provider,
        payload_digest=search.payload_digest,
        measured_at=search.answered_at,
        stored_at=search.answered_at,  # the runner stamps it
    )


def _tier(offer: VastOffer) -> Literal["secure", "community"] | None:
    """A verified data centre's, or anybody's; None where Vast.ai doesn't say which."""
    if offer.hosting_type == DATA_CENTRE and offer.verification == "verified":
        return "secure"
    if offer.hosting_type == 0 or offer.verification in ("unverified", "deverified"):
        return "community"
    return None


def _memory_bytes(offer: VastOffer) -> int | None:
    """The offer's share of the host's memory: `cpu_ram` is of the whole machine."""
    if offer.cpu_ram is None or not offer.cpu_cores or offer.cpu_cores_effective is None:
        return None
    share = min(offer.cpu_cores_effective / offer.cpu_cores, 1.0)
    return _scaled(offer.cpu_ram * share, BYTES_PER_MEBIBYTE)


def _scaled(value: float | None, unit: int) -> int | None:
    return None if value is None else round(value * unit)
