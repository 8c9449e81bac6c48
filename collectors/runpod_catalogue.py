"""Reading what RunPod answers by REST, and that as rows. Prices are per GPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from collectors.market_web import Answer
from collectors.runpod_answers import (
    COLLECTOR,
    STOCKS,
    Amount,
    Count,
    Strict,
    Tier,
    bytes_of,
    each,
    model_named,
)
from warehouse.records import Offer


class CloudPrices(Strict):
    """USD per GPU-hour by cloud; what serverless costs is another product."""

    secure: float | None = None
    community: float | None = None


class CloudCounts(Strict):
    """Most GPUs in one pod, by cloud."""

    secure: Count | None = None
    community: Count | None = None


class CatalogueGpu(Strict):
    """One type by REST. The catalogue prices clouds that a type isn't on, so the flags decide."""

    id: Annotated[str, Field(min_length=1)]
    name: str | None = None
    displayName: str | None = None
    memory: Amount | None = None
    availability: str | None = None
    secure: bool | None = None
    community: bool | None = None
    price: CloudPrices
    maxCount: CloudCounts | Count | None = None


def catalogue_of(answer: Answer) -> list[CatalogueGpu]:
    """The types in the catalogue's answer: a list, bare or under `gpus` or `data`."""
    return each(_listed(answer.json(), ("gpus", "data", "items")), "gpus", CatalogueGpu)


def rest_offers(gpus: list[CatalogueGpu], answer: Answer) -> Iterator[Offer]:
    """A row a type and cloud that it is on, on demand."""
    for gpu in gpus:
        if gpu.secure is not False:
            yield from _listed_at(gpu, answer, "secure", gpu.price.secure)
        if gpu.community is not False:
            yield from _listed_at(gpu, answer, "community", gpu.price.community)


def _listed_at(gpu: CatalogueGpu, answer: Answer, tier: Tier, usd: float | None) -> Iterator[Offer]:
    if usd is None:
        return
    name = gpu.displayName or gpu.name or gpu.id
    most = gpu.maxCount
    if isinstance(most, CloudCounts):
        most = most.secure if tier == "secure" else most.community
    yield Offer(
        provider=COLLECTOR,
        offer_id=gpu.id,
        gpu_model=name,
        model=model_named(name, gpu.id, gpu.memory),
        gpu_count=1,
        price_usd_per_gpu_hour=usd,
        quoted_unit="gpu",
        price_kind="on_demand",
        tier=tier,
        stock=STOCKS.get((gpu.availability or "").lower()),
        is_list_price=True,
        max_gpu_count=most or None,
        gpu_memory_bytes=bytes_of(gpu.memory),
        is_complete_search=True,
        source=COLLECTOR,
        payload_digest=answer.digest,
        measured_at=answer.answered_at,
        stored_at=answer.answered_at,  # the runner stamps it
    )


def _listed(payload: Any, names: tuple[str, ...]) -> Any:
    if not isinstance(payload, dict):
        return payload
    return next((payload[name] for name in names if name in payload), None)
