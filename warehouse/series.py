"""Measurements over time by name: of a GPU, a node, a pool or the fleet, in steps.

Names are ours, DCGM's and OpenTelemetry's; who asks by DCGM's gets DCGM's unit, all others the
base unit. GPUs are answered from roll-ups, pools from their readings. Where roll-ups of the length
that a step wants are missing for an hour - a made-up past has hourly ones alone - the hour's stand
in, one point an hour.

Sources: DCGM's field identifiers (docs.nvidia.com/datacenter/dcgm); OpenTelemetry's semantic
conventions for hardware (opentelemetry.io/docs/specs/semconv/hardware).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

import polars as pl

from warehouse.store import Store
from warehouse.telemetry import COARSE_SECONDS, gpu_mean, period_for

EntityKind = Literal["gpu", "node", "pool", "fleet"]
ENTITY_KINDS: tuple[EntityKind, ...] = get_args(EntityKind)
STEPS_MAX = 5_000
"""Most steps of one answer."""
STEPS_WANTED = 300
STEPS_SECONDS = (60, 300, 900, 3600, 10_800, 21_600, 86_400)
"""What is chosen from where no step is given."""
MEBIBYTE = 2**20


class SeriesError(Exception):
    """There is no such series; the sentence says which there are."""


class NoSuchMetric(SeriesError):
    """No metric has this name."""


class NoSuchEntity(SeriesError):
    """A metric is not told of such an entity."""


class BadSteps(SeriesError):
    """The span holds no steps, too many, or they are of no length that is kept."""


@dataclass(frozen=True)
class Metric:
    """A measurement that can be asked for over time."""

    name: str
    """Ours."""
    unit: str
    """Its base unit, as UCUM writes it."""
    words: str
    entities: tuple[EntityKind, ...]
    column: str
    """Of `gpu_rollups` or `pool_states`."""
    across: Literal["avg", "sum", "max"]
    """How the figures of several GPUs or pools become one."""
    dcgm: str | None = None
    dcgm_unit: str = ""
    dcgm_scale: float = 1.0
    """Ours times this is DCGM's number."""
    otel: str | None = None


_OF_GPUS: tuple[EntityKind, ...] = ENTITY_KINDS
_OF_POOLS: tuple[EntityKind, ...] = ("pool", "fleet")

METRICS: tuple[Metric, ...] = (
    Metric(
        "utilisation_ratio", "1", "Share of time in which a kernel ran: mean of the GPUs.",
        _OF_GPUS, "utilisation_mean_ratio", "avg",
        "DCGM_FI_DEV_GPU_UTIL", "%", 100.0, "hw.gpu.utilization",
    ),
    Metric(
        "held_ratio", "1", "Share of time in which a job held the GPU, busy or not.",
        _OF_GPUS, "held_ratio", "avg",
    ),
    Metric(
        "memory_used_bytes", "By", "Device memory in use, of all GPUs together.",
        _OF_GPUS, "memory_used_mean_bytes", "sum",
        "DCGM_FI_DEV_FB_USED", "MiBy", 1 / MEBIBYTE, "hw.gpu.memory.usage",
    ),
    Metric(
        "power_watts", "W", "Power drawn, of all GPUs together.",
        _OF_GPUS, "power_mean_watts", "sum", "DCGM_FI_DEV_POWER_USAGE", "W", 1.0, "hw.power",
    ),
    Metric(
        "temperature_celsius", "Cel", "Core temperature, the highest of all GPUs.",
        _OF_GPUS, "temperature_max_celsius", "max",
        "DCGM_FI_DEV_GPU_TEMP", "Cel", 1.0, "hw.temperature",
    ),
    Metric("gpus_on", "{GPU}", "GPUs that are switched on.", _OF_POOLS, "gpus_on", "sum"),
    Metric("gpus_used", "{GPU}", "GPUs that jobs hold.", _OF_POOLS, "gpus_used", "sum"),
    Metric("queued_gpus", "{GPU}", "GPUs that jobs wait for.", _OF_POOLS, "queued_gpus", "sum"),
    Metric("queued_jobs", "{job}", "Jobs that wait.", _OF_POOLS, "queued_jobs", "sum"),
    Metric("running_jobs", "{job}", "Jobs that run.", _OF_POOLS, "running_jobs", "sum"),
    Metric(
        "price_usd_per_gpu_hour", "{USD}/{GPU}/h", "Our price in force.",
        ("pool",), "price_usd_per_gpu_hour", "avg",
    ),
    Metric(
        "market_usd_per_gpu_hour", "{USD}/{GPU}/h", "The market's price.",
        ("pool",), "market_usd_per_gpu_hour", "avg",
    ),
)  # fmt: skip
"""Every metric, those of GPUs first."""

_BY_NAME = {
    name: each for each in METRICS for name in (each.name, each.dcgm, each.otel) if name is not None
}


@dataclass(frozen=True)
class Series:
    """A metric of an entity over a span."""

    metric: Metric
    unit: str
    """Of the values: DCGM's where it was asked for by DCGM's name."""
    step_seconds: int
    points: pl.DataFrame
    """`at`, the start of a step, and `value`, in time order; one without a reading has none."""


def metric(name: str) -> Metric:
    """A metric by our name, DCGM's or OpenTelemetry's.

    Raises:
        NoSuchMetric: none has this name.
    """
    if name not in _BY_NAME:
        known = ", ".join(each.name for each in METRICS)
        raise NoSuchMetric(f"there is no metric {name}: choose from {known}")
    return _BY_NAME[name]


def series(
    store: Store,
    name: str,
    *,
    kind: EntityKind,
    entity_id: str | None,
    since: datetime,
    until: datetime,
    step_seconds: int | None = None,
) -> Series:
    """A metric of an entity, step by step.

    Args:
        name: ours, DCGM's or OpenTelemetry's.
        entity_id: the GPU's UUID, or the node's or pool's name; None for the fleet.
        step_seconds: a multiple of 60; without it one that gives some hundred points.

    Raises:
        NoSuchMetric, NoSuchEntity, BadSteps
    """
    found = metric(name)
    if kind not in found.entities:
        raise NoSuchEntity(f"{found.name} is told of {', '.join(found.entities)}, not of a {kind}")
    if (kind == "fleet") != (entity_id is None):
        raise NoSuchEntity("name the entity as `gpu:UUID`, `node:NAME`, `pool:NAME` or `fleet`")
    step = _step(since, until, step_seconds)
    ask = _of_gpus if found.entities == _OF_GPUS else _of_pools
    points = ask(store, found, kind, entity_id, since, until, step)
    is_dcgm = name == found.dcgm
    scale, unit = (found.dcgm_scale, found.dcgm_unit) if is_dcgm else (1.0, found.unit)
    return Series(found, unit, step, points.with_columns(pl.col("value") * scale))


def _step(since: datetime, until: datetime, asked_seconds: int | None) -> int:
    span_seconds = (until - since).total_seconds()
    if span_seconds <= 0:
        raise BadSteps("the span is empty: `until` must be later than `since`")
    fitting = (each for each in STEPS_SECONDS if span_seconds / each <= STEPS_WANTED)
    step = asked_seconds or next(fitting, STEPS_SECONDS[-1])
    if step % 60:
        raise BadSteps(f"a step of {step} s is no multiple of 60 s")
    if span_seconds / step > STEPS_MAX:
        raise BadSteps(
            f"that is more than {STEPS_MAX} steps: ask for longer ones, or a shorter span"
        )
    return step


_ENTITY_COLUMN = {"gpu": "gpu_id", "node": "node_id", "pool": "pool"}


def _of_gpus(
    store: Store,
    found: Metric,
    kind: EntityKind,
    entity_id: str | None,
    since: datetime,
    until: datetime,
    step: int,
) -> pl.DataFrame:
    period = period_for(step)
    is_it = (
        f"{_ENTITY_COLUMN[kind]} = $entity_id" if entity_id is not None else "$entity_id IS NULL"
    )
    # A MIG instance is asked for by its own id alone: its GPU stands for it everywhere else.
    whole = "" if kind == "gpu" else "AND parent_gpu_id IS NULL"
    figure = f"max({found.column})" if found.across == "max" else gpu_mean(found.column, period, 0)
    points = store.query(
        f"""
        WITH gpu AS (
            SELECT period_seconds, time_bucket(to_seconds($step), starts_at) AS "at", gpu_id,
                {figure} AS value
            FROM gpu_rollups
            WHERE period_seconds IN ($period, $coarse) AND starts_at >= $since
                AND starts_at < $until AND {is_it} {whole}
            GROUP BY ALL
        )
        SELECT period_seconds, "at", {found.across}(value)::DOUBLE AS value FROM gpu
        GROUP BY ALL HAVING value IS NOT NULL ORDER BY "at"
        """,
        step=step,
        period=period,
        coarse=COARSE_SECONDS,
        since=since,
        until=until,
        entity_id=entity_id,
    )
    return _finest(points, period)


def _finest(points: pl.DataFrame, period: int) -> pl.DataFrame:
    """Points of this period, and of hours that have none the hour's."""
    is_fine = pl.col("period_seconds") == period
    hours = points.filter(is_fine)["at"].dt.truncate("1h").unique()
    instead = ~pl.col("at").dt.truncate("1h").is_in(hours.implode())
    return points.filter(is_fine | instead).select("at", "value")


def _of_pools(
    store: Store,
    found: Metric,
    kind: EntityKind,
    entity_id: str | None,
    since: datetime,
    until: datetime,
    step: int,
) -> pl.DataFrame:
    return store.query(
        f"""
        WITH each_pool AS (
            SELECT time_bucket(to_seconds($step), measured_at) AS "at", pool,
                avg({found.column}) AS value
            FROM pool_states
            WHERE measured_at >= $since AND measured_at < $until
                AND ($entity_id IS NULL OR pool = $entity_id)
            GROUP BY ALL
        )
        SELECT "at", {found.across}(value)::DOUBLE AS value FROM each_pool
        GROUP BY ALL HAVING value IS NOT NULL ORDER BY "at"
        """,
        step=step,
        since=since,
        until=until,
        entity_id=entity_id,
    )


def default_since(until: datetime) -> datetime:
    """The last hour, where no span is asked for."""
    return until - timedelta(hours=1)
