"""Reading what RunPod answers by GraphQL, and that as rows. Prices are per GPU."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from collectors.base import (
    CollectorError,
    EmptyAnswer,
    Malformed,
    RateLimited,
    Refused,
    Unreachable,
)
from collectors.market_web import Answer, json_or_none
from warehouse.gpu_names import BYTES_PER_GIBIBYTE, model_of
from warehouse.records import MarketAlarm, Offer

SOURCE = "RunPod"
COLLECTOR = "runpod"
RATE_WINDOW_SECONDS = 60.0

Tier = Literal["secure", "community"]
Stock = Literal["high", "medium", "low", "none"]
PriceKind = Literal["on_demand", "reserved", "spot", "spot_bid"]
Amount = Annotated[float, Field(ge=0.0, le=1e9, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**6)]

STOCKS: dict[str, Stock] = {"high": "high", "medium": "medium", "low": "low", "none": "none"}
REFUSING_CODES = {"UNAUTHENTICATED", "FORBIDDEN", "UNAUTHORIZED"}
QUERY_CODES = {"GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED", "BAD_USER_INPUT"}

M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    """A part of an answer: types as agreed, fields that are new left aside."""

    model_config = ConfigDict(extra="ignore", strict=True)


class LowestPrice(Strict):
    """What one GPU of a type goes for at the least, and how many are left."""

    minimumBidPrice: float | None = None
    stockStatus: str | None = None
    minVcpu: Amount | None = None
    minMemory: Amount | None = None


class GpuType(Strict):
    """One type by GraphQL; a price that is null isn't offered. USD per GPU-hour."""

    id: Annotated[str, Field(min_length=1)]
    displayName: Annotated[str, Field(min_length=1)]
    memoryInGb: Amount | None = None
    secureCloud: bool | None = None
    communityCloud: bool | None = None
    securePrice: float | None = None
    communityPrice: float | None = None
    secureSpotPrice: float | None = None
    communitySpotPrice: float | None = None
    oneMonthPrice: float | None = None
    threeMonthPrice: float | None = None
    sixMonthPrice: float | None = None
    maxGpuCount: Count | None = None
    lowestPrice: LowestPrice | None = None


# -- GraphQL ----------------------------------------------------------------------------


def gpu_types_of(answer: Answer) -> list[GpuType]:
    """The types in a GraphQL answer.

    Raises:
        CollectorError: it tells of errors, or isn't what was agreed. What comes beside errors
            isn't read: a field that failed looks like one that isn't offered.
    """
    payload = answer.json()
    if not isinstance(payload, dict):
        raise Malformed(SOURCE, "the body", "is no object")
    if payload.get("errors"):
        raise _graphql_error(payload["errors"])
    data = payload.get("data")
    found = data.get("gpuTypes") if isinstance(data, dict) else None
    return each(found, "data.gpuTypes", GpuType)


def refused(
    response: httpx.Response, content: bytes, answered_at: datetime
) -> CollectorError | None:
    """What a query's errors mean that came with a status of their own; None where there are none.

    A 429 and a broken gateway mean what they mean everywhere.
    """
    payload = json_or_none(content)
    if response.status_code == 429 or response.status_code >= 500 or not isinstance(payload, dict):
        return None
    return _graphql_error(payload["errors"]) if payload.get("errors") else None


def graphql_offers(types: list[GpuType], answer: Answer) -> Iterator[Offer]:
    """A row for each price of each type: by cloud, on spot, as a bid and by commitment."""
    for gpu in types:
        if gpu.secureCloud is not False:
            yield from _priced(gpu, answer, "on_demand", gpu.securePrice, "secure")
            yield from _priced(gpu, answer, "spot", gpu.secureSpotPrice, "secure")
        if gpu.communityCloud is not False:
            yield from _priced(gpu, answer, "on_demand", gpu.communityPrice, "community")
            yield from _priced(gpu, answer, "spot", gpu.communitySpotPrice, "community")
        if gpu.secureCloud is False and gpu.communityCloud is False:
            continue
        if gpu.lowestPrice is not None:
            yield from _priced(gpu, answer, "spot_bid", gpu.lowestPrice.minimumBidPrice)
        for months, usd in (
            (1, gpu.oneMonthPrice),
            (3, gpu.threeMonthPrice),
            (6, gpu.sixMonthPrice),
        ):
            yield from _priced(gpu, answer, "reserved", usd, months=months)


def _graphql_error(errors: Any) -> CollectorError:
    first = errors[0] if isinstance(errors, list) else errors
    message = str(first.get("message") if isinstance(first, dict) else first)[:200]
    code = _error_code(first)
    if "RATE" in code or "too many" in message.lower() or "rate limit" in message.lower():
        return RateLimited(f"{SOURCE} was asked too often ({message})", RATE_WINDOW_SECONDS)
    if code in REFUSING_CODES:
        return Refused(f"{SOURCE} refused the query ({message}): see PILOTHOUSE_RUNPOD_API_KEY")
    if code in QUERY_CODES or "Cannot query field" in message:
        return Malformed(SOURCE, "the query", f"isn't understood any more ({message})")
    return Unreachable(f"{SOURCE} is broken ({message}); it is asked again later by itself")


def _error_code(error: Any) -> str:
    extensions = error.get("extensions") if isinstance(error, dict) else None
    return str(extensions.get("code", "")) if isinstance(extensions, dict) else ""


def _priced(
    gpu: GpuType,
    answer: Answer,
    kind: PriceKind,
    usd: float | None,
    tier: Tier | None = None,
    months: int | None = None,
) -> Iterator[Offer]:
    if usd is None:
        return
    lowest = gpu.lowestPrice or LowestPrice()
    yield Offer(
        provider=COLLECTOR,
        offer_id=gpu.id,
        gpu_model=gpu.displayName,
        model=model_named(gpu.displayName, gpu.id, gpu.memoryInGb),
        gpu_count=1,
        price_usd_per_gpu_hour=usd,
        quoted_unit="gpu",
        price_kind=kind,
        tier=tier,
        commitment_months=months,
        stock=None if kind == "reserved" else STOCKS.get((lowest.stockStatus or "").lower()),
        is_list_price=kind != "spot_bid",
        max_gpu_count=gpu.maxGpuCount or None,
        gpu_memory_bytes=bytes_of(gpu.memoryInGb),
        vcpu_count=lowest.minVcpu or None,
        memory_bytes=bytes_of(lowest.minMemory),
        is_complete_search=True,
        source=COLLECTOR,
        payload_digest=answer.digest,
        measured_at=answer.answered_at,
        stored_at=answer.answered_at,  # the runner stamps it
    )


# -- both -------------------------------------------------------------------------------


def stock_alarms(words: dict[str, str | None], now: datetime) -> Iterator[MarketAlarm]:
    """An alarm for each word of stock, by type, that isn't one of those agreed."""
    for name, word in words.items():
        if word is not None and word.lower() not in STOCKS:
            yield MarketAlarm(
                provider=COLLECTOR,
                source=COLLECTOR,
                gpu_model=name,
                kind="layout",
                detail=f"{SOURCE} says of the stock of {name} {word[:40]!r}, which isn't known: "
                "it is kept as unknown; collectors/runpod_answers.py should learn the word",
                raised_at=now,
            )


def each(found: Any, field: str, model_class: type[M]) -> list[M]:
    """The items of a list in an answer, each with an id of its own.

    Raises:
        CollectorError: it is none, is empty, or holds what can't be read.
    """
    if not isinstance(found, list):
        raise Malformed(SOURCE, field, "is missing or no list")
    if not found:
        raise EmptyAnswer(f"{SOURCE} answered without one GPU type: see whether it has changed")
    items = [_read(item, f"{field}[{index}]", model_class) for index, item in enumerate(found)]
    seen: set[str] = set()
    for index, item in enumerate(items):
        name = str(getattr(item, "id", index))
        if name in seen:
            raise Malformed(SOURCE, f"{field}[{index}].id", f"{name!r} stands there twice")
        seen.add(name)
    return items


def _read(item: Any, where: str, model_class: type[M]) -> M:
    try:
        return model_class.model_validate(item)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise Malformed(SOURCE, ".".join([where, *map(str, first["loc"])]), first["msg"]) from error


def model_named(name: str, other_name: str, memory_gibibytes: float | None) -> str | None:
    """Ours, by either of the type's names; None where they mean two."""
    memory_bytes = bytes_of(memory_gibibytes)
    found = {model_of(text, memory_bytes=memory_bytes) for text in (name, other_name)} - {None}
    return found.pop() if len(found) == 1 else None


def bytes_of(gibibytes: float | None) -> int | None:
    """GiB as bytes; None where it is nothing."""
    return round(gibibytes * BYTES_PER_GIBIBYTE) if gibibytes else None
