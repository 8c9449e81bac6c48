"""Reading what Vast.ai answers: its errors, its offers, and these as rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from collectors.base import (
    CollectorError,
    Malformed,
    QuotaExhausted,
    RateLimited,
    Refused,
    Unreachable,
)
from collectors.web_time import age_seconds, given_at, retry_after_seconds
from warehouse.records import Offer

SOURCE = "Vast.ai"
QUOTA_ERROR = "search_quota_exceeded"
RATE_WINDOW_SECONDS = 60.0
"""A refusal for asking too often names no time as a rule; the allowance is by the minute."""

BYTES_PER_MEBIBYTE = 2**20
"""`gpu_ram` and `cpu_ram` say MB and mean MiB: an RTX 4090 has 24,564, as its driver says."""
BYTES_PER_GIGABYTE = 10**9
BITS_PER_MEGABIT = 10**6

PriceKind = Literal["on_demand", "spot_bid"]
Amount = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class VastOffer(BaseModel):
    """One offer as answered. `dph_*` and `min_bid` are USD an hour for all its GPUs together."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: int
    gpu_name: str
    num_gpus: Annotated[int, Field(ge=1)]
    dph_total: Amount
    min_bid: Amount | None = None
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
    geolocation: str | None = None
    verification: str | None = None


@dataclass(frozen=True)
class Search:
    """The answer to the search for one model."""

    model: str
    offers: tuple[VastOffer, ...]
    is_complete: bool
    payload_digest: str
    answered_at: datetime


def search_of(
    response: httpx.Response, model: str, offer_limit: int, answered_at: datetime
) -> Search:
    """The offers in an answer that came at `answered_at` (UTC).

    A cache on the way makes it older by its `Age`.

    Raises:
        CollectorError: there are none in it, and why.
    """
    payload = _payload(response, answered_at)
    offers = _offers(payload, model)
    return Search(
        model=model,
        offers=offers,
        is_complete=len(offers) < offer_limit,
        payload_digest=hashlib.sha256(response.content).hexdigest(),
        answered_at=answered_at - timedelta(seconds=age_seconds(response)),
    )


def offers_of(search: Search, provider: str) -> Iterator[Offer]:
    """The rows of a search: one an offer and kind of price."""
    for offer in search.offers:
        yield _row(search, provider, offer, "on_demand", offer.dph_total)
        if offer.min_bid is not None:
            yield _row(search, provider, offer, "spot_bid", offer.min_bid)


# -- answers ----------------------------------------------------------------------------


def _payload(response: httpx.Response, answered_at: datetime) -> Any:
    try:
        payload = response.json()
    except ValueError:  # a body in plain text, or in no encoding at all
        payload = None
    if _error_code(payload) == QUOTA_ERROR:
        raise QuotaExhausted(
            f"{SOURCE}'s searches of today are spent: set PILOTHOUSE_VAST_EVERY_SECONDS higher "
            "or PILOTHOUSE_VAST_MODELS shorter",
            until=_renewed_at(response, answered_at),
        )
    if not response.is_success:
        raise _refusal(response, answered_at)
    if payload is None:
        raise Malformed(SOURCE, "the body", "is not JSON")
    if _error_code(payload) is not None:
        raise Refused(f"{SOURCE} refused the search: {_error_code(payload)}")
    return payload


def _error_code(payload: Any) -> str | None:
    error = payload.get("error") if isinstance(payload, dict) else None
    if isinstance(error, dict):
        error = error.get("code") or error.get("error") or error.get("message")
    return str(error) if error else None


def _refusal(response: httpx.Response, answered_at: datetime) -> CollectorError:
    status = response.status_code
    if status == httpx.codes.TOO_MANY_REQUESTS:
        after_seconds = retry_after_seconds(response, answered_at)
        return RateLimited(
            f"{SOURCE} was asked too often (429); it is asked again later by itself",
            RATE_WINDOW_SECONDS if after_seconds is None else after_seconds,
        )
    if status >= 500:
        return Unreachable(f"{SOURCE} is broken ({status}); it is asked again later by itself")
    if status == httpx.codes.NOT_FOUND:
        return Refused(
            f"{SOURCE} answered 404, which it does to a bad key, too: "
            "check PILOTHOUSE_VAST_API_KEY and PILOTHOUSE_VAST_URL"
        )
    return Refused(f"{SOURCE} refused the search ({status}): check the PILOTHOUSE_VAST_ settings")


def _renewed_at(response: httpx.Response, answered_at: datetime) -> datetime:
    """The next midnight UTC by the source's clock, told by ours."""
    there = given_at(response, answered_at)
    midnight = there.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return answered_at + (midnight - there)


def _offers(payload: Any, model: str) -> tuple[VastOffer, ...]:
    """The offers; the documentation shows an object of them, in fact it is a list."""
    if not isinstance(payload, dict) or not isinstance(payload.get("offers"), (list, dict)):
        raise Malformed(SOURCE, "offers", "is missing, or neither a list nor an object")
    offers = payload["offers"]
    found = offers.values() if isinstance(offers, dict) else offers
    return tuple(_offer(item, index, model) for index, item in enumerate(found))


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
        gpu_memory_bytes=_scaled(offer.gpu_ram, BYTES_PER_MEBIBYTE),
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
        payload_digest=search.payload_digest,
        measured_at=search.answered_at,
        stored_at=search.answered_at,  # the runner stamps it
    )


def _memory_bytes(offer: VastOffer) -> int | None:
    """The offer's share of the host's memory: `cpu_ram` is of the whole machine."""
    if offer.cpu_ram is None or not offer.cpu_cores or offer.cpu_cores_effective is None:
        return None
    share = min(offer.cpu_cores_effective / offer.cpu_cores, 1.0)
    return _scaled(offer.cpu_ram * share, BYTES_PER_MEBIBYTE)


def _scaled(value: float | None, unit: int) -> int | None:
    return None if value is None else round(value * unit)
