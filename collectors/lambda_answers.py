"""Reading what Lambda answers: its errors, its instance types, and these as rows.

Prices are whole cents an hour for a whole instance; by GPU they are known only where the number
of GPUs is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

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
from collectors.web_time import retry_after_seconds
from warehouse.gpu_names import BYTES_PER_GIBIBYTE, model_of
from warehouse.records import MarketAlarm, Offer

SOURCE = "Lambda"
PROVIDER = "lambda"
COLLECTOR = "lambda_cloud"
CENTS_PER_USD = 100
RATE_WINDOW_SECONDS = 5.0
"""After a refusal for asking too often: one request a second is allowed."""

Amount = Annotated[float, Field(ge=0.0, le=1e9, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**6)]
Name = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class Specs(_Strict):
    """What is in an instance; older answers don't say how many GPUs."""

    vcpus: Count | None = None
    memory_gib: Amount | None = None
    storage_gib: Amount | None = None
    gpus: Count | None = None


class InstanceType(_Strict):
    """One type of instance; the price is of all of it."""

    name: Name
    description: str | None = None
    gpu_description: str | None = None
    price_cents_per_hour: Annotated[int, Field(le=10**9)]
    specs: Specs


class Region(_Strict):
    """Where one is to be had now."""

    name: Name
    description: str | None = None


class Listed(_Strict):
    """An instance type and the regions that have it; none of them means sold out."""

    instance_type: InstanceType
    regions_with_capacity_available: list[Region]


@dataclass(frozen=True)
class Reading:
    """What an answer holds."""

    offers: list[Offer]
    alarms: list[MarketAlarm]


def reading_of(answer: Answer, now: datetime) -> Reading:
    """The offers in an answer and what about it a person should see.

    Raises:
        CollectorError: it isn't what was agreed, or holds nothing.
    """
    offers: list[Offer] = []
    alarms: list[MarketAlarm] = []
    for key, listed in _types(answer.json()).items():
        count = _gpu_count(key, listed.instance_type)
        if isinstance(count, str):
            alarms.append(_alarm(key, listed.instance_type, count, now))
        elif count > 0:  # others are instances without a GPU
            offers += _rows(key, listed, count, answer)
    return Reading(offers, alarms)


def refused(
    response: httpx.Response, content: bytes, answered_at: datetime
) -> CollectorError | None:
    """What a refusal with a code of Lambda's means; None where there is no code."""
    error = (json_or_none(content) or {}) if content else {}
    error = error.get("error") if isinstance(error, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        return None
    code = error["code"]
    said = ": ".join(str(error[n])[:200] for n in ("message", "suggestion") if error.get(n))
    if "rate" in code or "too-many" in code or response.status_code == 429:
        after_seconds = retry_after_seconds(response, answered_at)
        return RateLimited(
            f"{SOURCE} was asked too often ({code}); it is asked again later by itself",
            RATE_WINDOW_SECONDS if after_seconds is None else after_seconds,
        )
    if code.startswith("internal") or response.status_code >= 500:
        return Unreachable(f"{SOURCE} is broken ({code}: {said})")
    if "api-key" in code or "account" in code or response.status_code in (401, 403):
        return Refused(
            f"{SOURCE} refused the key ({code}: {said}): check PILOTHOUSE_LAMBDA_CLOUD_API_KEY"
        )
    return Refused(f"{SOURCE} refused the request ({code}: {said})")


# -- how --------------------------------------------------------------------------------


def _types(payload: Any) -> dict[str, Listed]:
    if isinstance(payload, dict) and isinstance(payload.get("error"), dict):
        error = payload["error"]
        raise Refused(f"{SOURCE} refused the request ({error.get('code')}: {error.get('message')})")
    data = payload.get("data") if isinstance(payload, dict) else None
    if not isinstance(data, dict):
        raise Malformed(SOURCE, "data", "is missing, or no object keyed by instance type")
    if not data:
        raise EmptyAnswer(
            f"{SOURCE} answered without one instance type: see whether it has changed"
        )
    return {key: _listed(key, item) for key, item in data.items()}


def _listed(key: str, item: Any) -> Listed:
    try:
        listed = Listed.model_validate(item)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(["data", key, *map(str, first["loc"])])
        raise Malformed(SOURCE, where, first["msg"]) from error
    if listed.instance_type.name != key:
        raise Malformed(
            SOURCE, f"data.{key}.instance_type.name", f"is {listed.instance_type.name!r}"
        )
    return listed


def _gpu_count(key: str, kind: InstanceType) -> int | str:
    """How many GPUs, by the specifications or the name; a sentence where that isn't certain."""
    named = re.fullmatch(r"gpu_(\d{1,2})x_.+", key)
    by_name = int(named[1]) if named else (0 if key.startswith("cpu_") else None)
    told = kind.specs.gpus
    if told is None and by_name is None:
        return "neither its specifications nor its name tell how many GPUs it has"
    if told is not None and by_name is not None and told != by_name:
        return f"its specifications say {told} GPUs and its name {by_name}"
    return by_name if told is None else told  # type: ignore[return-value]


def _alarm(key: str, kind: InstanceType, why: str, now: datetime) -> MarketAlarm:
    return MarketAlarm(
        provider=PROVIDER,
        source=COLLECTOR,
        gpu_model=kind.gpu_description or key,
        kind="layout",
        value=kind.price_cents_per_hour / CENTS_PER_USD,
        detail=f"{key} wasn't taken: {why}, so there is no price by GPU; "
        "collectors/lambda_answers.py should learn it",
        raised_at=now,
    )


def _rows(key: str, listed: Listed, gpu_count: int, answer: Answer) -> Iterator[Offer]:
    """A row a region that has it, or one that says it is sold out."""
    regions: list[Region | None] = [*listed.regions_with_capacity_available]
    for region in regions or [None]:
        yield _row(key, listed.instance_type, gpu_count, region, answer)


def _row(
    key: str, kind: InstanceType, gpu_count: int, region: Region | None, answer: Answer
) -> Offer:
    whole_usd = kind.price_cents_per_hour / CENTS_PER_USD
    specs, name = kind.specs, _gpu_name(key, kind)
    stock: Literal["some", "none"] = "some" if region else "none"
    return Offer(
        provider=PROVIDER,
        offer_id=key,
        gpu_model=name,
        model=_model(key, kind),
        gpu_count=gpu_count,
        price_usd_per_gpu_hour=whole_usd / gpu_count,
        instance_price_usd_per_hour=whole_usd,
        quoted_unit="instance",
        price_kind="on_demand",
        region=region.name if region else None,
        vcpu_count=specs.vcpus or None,
        memory_bytes=_bytes(specs.memory_gib),
        disk_bytes=_bytes(specs.storage_gib),
        stock=stock,
        is_list_price=True,
        max_gpu_count=gpu_count,
        is_complete_search=True,
        source=COLLECTOR,
        payload_digest=answer.digest,
        measured_at=answer.answered_at,
        stored_at=answer.answered_at,  # the runner stamps it
    )


def _gpu_name(key: str, kind: InstanceType) -> str:
    return kind.gpu_description or _from_key(key)


def _model(key: str, kind: InstanceType) -> str | None:
    """Ours, by description or type; None where they mean two.

    A description may say less than the type's name, `A100 (40 GB)` beside `gpu_8x_a100_40gb_sxm4`.
    """
    texts = [re.sub(r"^\d+x ", "", t) for t in (kind.gpu_description, kind.description) if t]
    found = {model_of(text) for text in [*texts, _from_key(key)]} - {None}
    return found.pop() if len(found) == 1 else None


def _from_key(key: str) -> str:
    return re.sub(r"^gpu_\d+x_", "", key).replace("_", " ")


def _bytes(gibibytes: float | None) -> int | None:
    return round(gibibytes * BYTES_PER_GIBIBYTE) if gibibytes else None
