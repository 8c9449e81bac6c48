"""/api/v1/metrics: measurements over time, by name, entity, span and step.

Names are ours, DCGM's (`DCGM_FI_DEV_GPU_UTIL`, answered in DCGM's unit) or OpenTelemetry's
(`hw.gpu.utilization`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from api.office import Here
from api.shapes import Paged, Rows, Shape
from warehouse import series as questions
from warehouse.paging import Page

router = APIRouter(prefix="/api/v1/metrics", tags=["metrics"])

EntityKind = Literal["gpu", "node", "pool", "fleet"]


class MetricShape(Shape):
    """A measurement that can be asked for over time."""

    name: str
    """Its name here."""
    unit: str
    """Its unit, as UCUM writes it."""
    words: str
    """What it is."""
    entities: list[EntityKind]
    """Of what it is told."""
    across: Literal["avg", "sum", "max"]
    """How the figures of several GPUs or pools become one."""
    dcgm: str | None
    """DCGM's name of it."""
    dcgm_unit: str | None
    """The unit in which it is answered when it is asked for by that name."""
    otel: str | None
    """OpenTelemetry's name of it."""


class PointShape(Shape):
    """A step of a series."""

    at: datetime
    """Start of the step."""
    value: float
    """The figure, in the series' unit."""


class SeriesShape(Shape):
    """A metric of an entity over a span."""

    name: str
    """The name it was asked for by."""
    entity: str
    """What it is of."""
    unit: str
    """The unit of the values, as UCUM writes it."""
    step_seconds: int
    """Length of a step."""
    since: datetime
    """Start of the span."""
    until: datetime
    """Its end, exclusive."""
    points: list[PointShape]
    """In time order; a step without a reading has none."""


@router.get("", response_model=Rows[MetricShape])
def metrics(paged: Paged) -> dict[str, Any]:
    """Every metric, with its unit and its names elsewhere."""
    rows = [
        {
            "name": each.name,
            "unit": each.unit,
            "words": each.words,
            "entities": list(each.entities),
            "across": each.across,
            "dcgm": each.dcgm,
            "dcgm_unit": each.dcgm_unit or None,
            "otel": each.otel,
        }
        for each in questions.METRICS
    ]
    shown = rows[paged.offset : paged.offset + paged.limit]
    return {**paged.rows(Page.counted(len(rows))), "items": shown}


@router.get("/{name}", response_model=SeriesShape)
def series(
    here: Here,
    name: str,
    entity: Annotated[
        str,
        Query(
            description="`fleet`, `pool:NAME`, `node:NAME` or `gpu:UUID`.",
            pattern=r"^(fleet|(pool|node|gpu):.+)$",
            max_length=300,
        ),
    ] = "fleet",
    since: Annotated[
        AwareDatetime | None, Query(description="Start of the span; an hour before its end.")
    ] = None,
    until: Annotated[
        AwareDatetime | None, Query(description="Its end, exclusive; now without it.")
    ] = None,
    step_seconds: Annotated[
        int | None,
        Query(ge=60, le=86_400, multiple_of=60, description="Step; without it, as it fits."),
    ] = None,
) -> dict[str, Any]:
    """One metric of one entity, step by step."""
    until = until or here.clock.now()
    since = since or questions.default_since(until)
    kind, _, entity_id = entity.partition(":")
    found = questions.series(
        here.store,
        name,
        kind=cast(EntityKind, kind),
        entity_id=entity_id or None,
        since=since,
        until=until,
        step_seconds=step_seconds,
    )
    return {
        "name": name,
        "entity": entity,
        "unit": found.unit,
        "step_seconds": found.step_seconds,
        "since": since,
        "until": until,
        "points": found.points.to_dicts(),
    }
