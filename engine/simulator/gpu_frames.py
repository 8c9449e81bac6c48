"""Readings of GPUs and nodes, made from who holds what.

The core knows which job holds a GPU, not how hard it works it; that is drawn by hash of job and
minute: training jobs keep their GPUs busy at a level of their own, spot customers less evenly.
Production clusters show the same wide spread between jobs (Jeon et al., ATC'19, fig. 5: median
utilisation of held GPUs 52 %).
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.simulator.columns import INSTANT, constant, instants
from engine.simulator.fleet import node_name
from engine.simulator.hashing import SALT_GPU, uniforms
from engine.simulator.layout import (
    ACTIVE,
    CORDONED,
    DOWN,
    MIGRATING,
    NODE_STATES,
    OWNED,
    PROVISIONING,
)
from engine.simulator.live import LivePool
from engine.simulator.settings import PoolSettings
from engine.simulator.symptoms import COOLING, HEAT_CELSIUS, MEMORY, Symptoms, symptoms

SOURCE = "simulator"
WOBBLE_SECONDS = 60
_MEBIBYTE = 1024**2
_IDLE_BYTES = 600 * _MEBIBYTE
_IDLE_POWER_RATIO = 0.12
_CAPPED_FROM_RATIO = 0.95
"""Busier than this a GPU runs into its power cap, as sound ones do."""
_CORRECTED_EACH = 7
"""Corrected memory errors that go with an uncorrected one."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GpuReading:
    """All GPUs of one pool at one instant, arrays of shape (N, G) but `is_on`, which is (N,)."""

    is_on: npt.NDArray[np.bool_]
    """whether the node answers: active or cordoned"""
    job: npt.NDArray[np.int64]
    """1 + the index of the job that holds it, 0 for none"""
    is_spot: npt.NDArray[np.bool_]
    utilisation_ratio: Floats
    memory_used_bytes: npt.NDArray[np.int64]
    power_watts: Floats
    temperature_celsius: Floats
    sick: Symptoms
    """what the ailing nodes among them show"""


def read_gpus(pool: LivePool) -> GpuReading:
    """What the pool's GPUs show now."""
    s, settings = pool.state, pool.settings
    nodes, held = s.nodes[0], s.gpus[0]
    is_active = nodes["state"] == ACTIVE
    is_spot = _spot(held, is_active, float(s.pool[0, 0]["spot_gpus"]))
    place = np.arange(held.size).reshape(held.shape)
    # A job's own level, and a wobble a minute on each of its GPUs.
    key = np.where(held > 0, s.jobs[0]["key"][np.maximum(held - 1, 0)], place + (1 << 50))
    level = uniforms(pool.seed, key, 0, SALT_GPU)
    wobble = uniforms(pool.seed, pool.now // WOBBLE_SECONDS, place, SALT_GPU + 100)
    busy = (held > 0) & (s.jobs[0]["status"][np.maximum(held - 1, 0)] != MIGRATING)
    utilisation = np.where(busy, 0.42 + 0.48 * level + 0.16 * (wobble - 0.5), 0.0)
    utilisation = np.where(is_spot, 0.25 + 0.60 * wobble, utilisation)
    used = np.where((held > 0) | is_spot, (0.25 + 0.70 * level) * settings.gpu_memory_bytes, 0)
    watts = settings.gpu_power_watts * (_IDLE_POWER_RATIO + 0.82 * utilisation)
    # Degraded nodes run hot: a hint, like the health score, no proof.
    heat = 28 + 6 * uniforms(pool.seed, 0, place, SALT_GPU + 200) + 44 * utilisation
    heat = heat + np.where(nodes["degraded"] == 1, 7.0, 0.0)[:, None]
    sick = symptoms(pool)
    uncooled = sick.ailment == COOLING
    heat[sick.node[uncooled], sick.slot[uncooled]] += HEAT_CELSIUS
    return GpuReading(
        is_on=is_active | (nodes["state"] == CORDONED),
        job=held,
        is_spot=is_spot,
        # As finely as a driver tells them: whole percents, MiB, milliwatts and degrees.
        utilisation_ratio=np.round(np.clip(utilisation, 0.0, 1.0), 2),
        memory_used_bytes=(used // _MEBIBYTE * _MEBIBYTE).astype(np.int64) + _IDLE_BYTES,
        power_watts=np.round(watts, 3),
        temperature_celsius=np.round(heat),
        sick=sick,
    )


def _spot(
    held: npt.NDArray[np.int64], is_active: npt.NDArray[np.bool_], spot_gpus: float
) -> npt.NDArray[np.bool_]:
    # Spot fills the emptiest nodes last in order: those a job is least likely to want next.
    is_idle = (held == 0) & is_active[:, None]
    flat = is_idle[::-1].ravel()
    chosen = flat & (np.cumsum(flat) <= int(spot_gpus))
    result: npt.NDArray[np.bool_] = chosen.reshape(held.shape)[::-1]
    return result


def gpu_names(pool: LivePool) -> tuple[pl.Series, pl.Series]:
    """Names of all nodes (N,) and of all GPUs (N * G,), in order."""
    return _names(pool.settings)


@cache
def _names(settings: PoolSettings) -> tuple[pl.Series, pl.Series]:
    count = settings.owned_nodes + settings.burst_nodes
    nodes = [node_name(settings, at) for at in range(count)]
    gpus = [f"{node}-gpu-{slot}" for node in nodes for slot in range(settings.node_gpus)]
    return pl.Series(nodes), pl.Series(gpus)


def gpu_samples(pool: LivePool, measured_at: datetime) -> pl.DataFrame:
    """Rows of `gpu_samples` for every GPU of a node that answers."""
    reading = read_gpus(pool)
    nodes, gpus = gpu_names(pool)
    size = pool.settings.node_gpus
    rows = np.flatnonzero(np.repeat(reading.is_on, size))
    held = reading.job.ravel()[rows]
    names, tenants = _holders(pool, held, reading.is_spot.ravel()[rows])
    return pl.DataFrame(
        {
            "gpu_id": gpus[rows],
            "node_id": nodes[rows // size],
            "slot": rows % size,
            "utilisation_ratio": reading.utilisation_ratio.ravel()[rows],
            "memory_used_bytes": reading.memory_used_bytes.ravel()[rows],
            "power_watts": reading.power_watts.ravel()[rows],
            "temperature_celsius": reading.temperature_celsius.ravel()[rows],
            **_conditions(reading, rows),
            "process_count": ((held > 0) | reading.is_spot.ravel()[rows]).astype(np.int64),
            "job_id": pl.Series(names, dtype=pl.String),
            "tenant": pl.Series(tenants, dtype=pl.String),
            "pool": constant(pool.settings.name, len(rows), pl.String),
            "gpu_model": constant(pool.settings.gpu_model, len(rows), pl.String),
            "memory_total_bytes": constant(pool.settings.gpu_memory_bytes, len(rows), pl.Int64),
            "power_limit_watts": constant(pool.settings.gpu_power_watts, len(rows), pl.Float64),
            "source": constant(SOURCE, len(rows), pl.String),
            "measured_at": constant(measured_at, len(rows), INSTANT),
            "stored_at": constant(measured_at, len(rows), INSTANT),
        }
    )


def _conditions(reading: GpuReading, rows: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Memory errors, row remaps and why clocks are held down, of the GPUs `rows`."""
    sick, shape = reading.sick, reading.job.shape
    counts, pending, failed = (np.zeros(shape, kind) for kind in (np.int64, np.bool_, np.bool_))
    ill = sick.ailment == MEMORY
    at = sick.node[ill], sick.slot[ill]
    counts[at], pending[at], failed[at] = (
        sick.uncorrected[ill], sick.is_pending[ill], sick.has_failed[ill]
    )  # fmt: skip
    uncooled = np.zeros(shape, np.bool_)
    hot = sick.ailment == COOLING
    uncooled[sick.node[hot], sick.slot[hot]] = True
    used = reading.utilisation_ratio
    words = np.select(
        [used == 0, uncooled & (used > 0.3), used > _CAPPED_FROM_RATIO],
        ["GpuIdle", "HwSlowdown,HwThermalSlowdown", "SwPowerCap"],
        default="",
    )
    return {
        "ecc_corrected_count": (_CORRECTED_EACH * counts).ravel()[rows],
        "ecc_uncorrected_count": counts.ravel()[rows],
        "rows_remapped_count": pending.astype(np.int64).ravel()[rows],
        "row_remap_is_pending": pending.ravel()[rows],
        "row_remap_has_failed": failed.ravel()[rows],
        "throttle_reasons": pl.Series(words.ravel()[rows], dtype=pl.String),
    }


def _holders(
    pool: LivePool, held: npt.NDArray[np.int64], is_spot: npt.NDArray[np.bool_]
) -> tuple[list[str | None], list[str | None]]:
    jobs, workload = pool.state.jobs[0], pool.workload
    ids: dict[int, tuple[str | None, str | None]] = {0: (None, None)}
    for index in np.unique(held[held > 0]):
        job = jobs[index - 1]
        ids[int(index)] = workload.job_id(int(job["key"])), workload.tenants[job["tenant"]]
    names = [ids[int(index)][0] for index in held]
    tenants = [
        "spot" if spot else ids[int(index)][1] for index, spot in zip(held, is_spot, strict=True)
    ]
    return names, tenants


def node_states(pool: LivePool, started_at: datetime, measured_at: datetime) -> pl.DataFrame:
    """Rows of `node_states`; the fleet's clock counts from `started_at`.

    Leased nodes that are off are not there, so they have no row.
    """
    nodes = pool.state.nodes[0]
    names, _ = gpu_names(pool)
    shown = np.flatnonzero((nodes["kind"] == OWNED) | (nodes["state"] != 0))
    is_awaited = np.isin(nodes["state"], (PROVISIONING, DOWN))
    answers = np.isin(nodes["state"], (ACTIVE, CORDONED))
    is_leased = nodes["kind"] != OWNED
    health = np.where(answers, nodes["health_score"], np.nan)[shown]
    return pl.DataFrame(
        {
            "node_id": names[shown],
            "kind": ["owned" if nodes["kind"][at] == OWNED else "leased" for at in shown],
            "state": [NODE_STATES[nodes["state"][at]] for at in shown],
            "gpu_count": nodes["gpus"][shown],
            "gpus_used": (nodes["gpus"] - nodes["free_gpus"])[shown],
            "health_ratio": pl.Series(health, nan_to_null=True),
            "ready_at": instants(started_at, nodes["ready_at"][shown], is_awaited[shown]),
            "lease_started_at": instants(started_at, nodes["billed_from"][shown], is_leased[shown]),
            "pool": constant(pool.settings.name, len(shown), pl.String),
            "source": constant(SOURCE, len(shown), pl.String),
            "measured_at": constant(measured_at, len(shown), INSTANT),
        }
    )


@dataclass
class HourOfGpus:
    """Sums the readings of one hour and makes the rows of `gpu_rollups` of them."""

    pool: LivePool
    count: Any = 0
    sums: Any = 0
    highest: Any = 0

    def add(self) -> None:
        """Takes the pool's present reading in."""
        r = read_gpus(self.pool)
        on = np.broadcast_to(r.is_on[:, None], r.job.shape)
        held = (r.job > 0).astype(np.float64)  # by jobs alone, as roll-ups of samples have it
        shown = np.stack([r.utilisation_ratio, held, r.memory_used_bytes, r.power_watts])
        self.count = self.count + on
        self.sums = self.sums + shown * on
        peaks = np.stack([r.utilisation_ratio, r.temperature_celsius]) * on
        self.highest = np.maximum(self.highest, peaks)

    def rows(self, starts_at: datetime) -> pl.DataFrame:
        """The hour's rows, one a GPU that answered at least once; starts the next hour."""
        nodes, gpus = gpu_names(self.pool)
        size = self.pool.settings.node_gpus
        at = np.flatnonzero(self.count.ravel() > 0)
        count = self.count.ravel()[at]
        utilisation, held, memory, power = (part.ravel()[at] / count for part in self.sums)
        frame = pl.DataFrame(
            {
                "gpu_id": gpus[at],
                "node_id": nodes[at // size],
                "slot": at % size,
                "sample_count": count.astype(np.int64),
                "utilisation_mean_ratio": utilisation,
                "utilisation_max_ratio": self.highest[0].ravel()[at],
                "held_ratio": held,
                "memory_used_mean_bytes": memory,
                "power_mean_watts": power,
                "temperature_max_celsius": self.highest[1].ravel()[at],
                "pool": constant(self.pool.settings.name, len(at), pl.String),
                "period_seconds": constant(3600, len(at), pl.Int64),
                "starts_at": constant(starts_at, len(at), INSTANT),
                "source": constant(SOURCE, len(at), pl.String),
            }
        )
        self.count, self.sums, self.highest = 0, 0, 0
        return frame
