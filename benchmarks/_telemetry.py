"""A fleet's readings as they look in truth: what the benchmarks of telemetry store and ask.

Integral percents, power to the milliwatt, whole degrees, memory in steps of a MiB, clocks in steps
of 15 MHz, an energy counter in millijoules, profiling ratios of six digits, and jobs that come by
day and night, hold whole groups of GPUs for minutes to a day and leave them idle between. Seeded:
the same seed gives the same readings. Vectorised: an hour of 1,000 GPUs at 15 s takes a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from warehouse.schema import INSTANT

Array = npt.NDArray[np.float64]

SECONDS = 15
"""Between two readings of a GPU."""
GPUS_PER_NODE = 8
MODELS = (("H100 SXM", 700.0, 81559, 1980.0, 2619.0), ("A100 SXM", 400.0, 81920, 1410.0, 1593.0))
"""Name, power limit in watts, memory in MiB, clock and memory clock in MHz."""
MEASUREMENTS = (
    "utilisation_ratio", "memory_copy_ratio", "engine_active_ratio", "tensor_active_ratio",
    "dram_active_ratio", "memory_used_bytes", "memory_total_bytes", "power_watts",
    "power_limit_watts", "energy_joules", "temperature_celsius", "memory_temperature_celsius",
    "sm_clock_hertz", "memory_clock_hertz", "ecc_corrected_count", "ecc_uncorrected_count",
    "rows_remapped_count", "process_count",
)  # fmt: skip
"""The numeric measurements of a reading: what is counted as a value."""
CONSTANT = (
    "memory_total_bytes", "power_limit_watts", "memory_clock_hertz", "ecc_uncorrected_count",
    "rows_remapped_count",
)  # fmt: skip
"""Those that hardly ever change: they cost nothing, so the figure is given without them too."""
_MEBIBYTE = 2**20
_MEGAHERTZ = 1_000_000


@dataclass
class Telemetry:
    """A fleet that is read every 15 s from `starts_at` on; `hours` goes on where it left off."""

    gpus: int
    starts_at: datetime
    seed: int = 7
    source: str = "benchmark"
    every_seconds: int = SECONDS
    _luck: np.random.Generator = field(init=False)
    _state: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self._luck = np.random.default_rng(self.seed)
        groups = np.repeat(np.arange(-(-self.gpus // 4)), 4)[: self.gpus]
        self._state = {
            "now": self.starts_at,
            "group": groups,
            "level": np.zeros(groups[-1] + 1),
            "job": np.zeros(groups[-1] + 1, np.int64),
            "jobs": 0,
            "until": np.zeros(groups[-1] + 1, np.int64),
            "memory": np.zeros(self.gpus),
            "warmth": np.full(self.gpus, 32.0),
            "energy": np.round(self._luck.uniform(1e10, 4e12, self.gpus)),
            "corrected": self._luck.poisson(0.3, self.gpus).astype(np.float64),
            "offset": self._luck.normal(0.0, 0.03, self.gpus),
        }

    def hours(self, hours: int) -> Iterator[pl.DataFrame]:
        """A frame of `gpu_samples` an hour, ready for `append_frame`; in order of time, then GPU:
        as rounds of a collector bring them."""
        for _ in range(hours):
            yield self._hour()

    def _hour(self) -> pl.DataFrame:
        steps, state = 3600 // self.every_seconds, self._state
        at = [state["now"] + timedelta(seconds=self.every_seconds * n) for n in range(steps)]
        level, job, memory = (np.empty((steps, self.gpus)) for _ in range(3))
        for n, instant in enumerate(at):
            self._turn_over(instant)
            level[n] = state["level"][state["group"]]
            job[n] = state["job"][state["group"]]
            memory[n] = state["memory"]
        state["now"] += timedelta(hours=1)
        return self._frame(at, level, job, memory)

    def _turn_over(self, at: datetime) -> None:
        """Let jobs end and others come: more by day than by night."""
        state, luck = self._state, self._luck
        second = int((at - self.starts_at).total_seconds())
        over = np.flatnonzero((state["until"] <= second) & (state["level"] > 0))
        state["level"][over], state["job"][over] = 0.0, 0
        by_day = 0.6 + 0.4 * np.sin((at.hour + at.minute / 60 - 8) / 24 * 2 * np.pi)
        free = np.flatnonzero(state["level"] == 0)
        chance = 0.9 * by_day * self.every_seconds / 1200
        come = free[luck.random(len(free)) < chance]
        state["level"][come] = luck.beta(5, 1.6, len(come))
        state["job"][come] = state["jobs"] + 1 + np.arange(len(come))
        state["jobs"] += len(come)
        state["until"][come] = second + luck.lognormal(9.0, 1.2, len(come)).astype(np.int64) + 60
        changed = np.isin(state["group"], np.concatenate([over, come]))
        holds = state["level"][state["group"]] > 0
        drawn = np.where(holds, np.round(luck.uniform(8_000, 78_000, self.gpus)), 4.0)
        state["memory"] = np.where(changed | (state["memory"] == 0), drawn, state["memory"])

    def _frame(self, at: list[datetime], level: Array, job: Array, memory: Array) -> pl.DataFrame:
        shape, luck, state = level.shape, self._luck, self._state
        model = (np.arange(self.gpus) // GPUS_PER_NODE) % len(MODELS)
        limit, total, clock, memory_clock = (
            np.array([each[n] for each in MODELS], np.float64)[model] for n in (1, 2, 3, 4)
        )
        busy = level > 0
        # A training step's rhythm: most readings near the level, some in a pause for data.
        paused = luck.random(shape) < 0.02
        used = np.clip(level + state["offset"] + luck.normal(0, 0.02, shape), 0.01, 1.0)
        used = np.where(busy, np.where(paused, used * 0.3, used), 0.0)
        power: Any = limit * (0.1 + 0.85 * used**0.8) + luck.normal(0, 4.0, shape) * busy
        power = np.round(np.minimum(power + luck.normal(0, 0.2, shape), limit * 1.01), 3)
        warmth = self._warmth(power / limit)
        joules = np.round(power * 1000 * self.every_seconds)  # in thousandths
        energy: Any = state["energy"] + np.cumsum(joules, axis=0)
        state["energy"] = energy[-1]
        corrected = state["corrected"] + np.cumsum(luck.random(shape) < 2e-6, axis=0)
        state["corrected"] = corrected[-1]
        capped = np.where(used > 0.9, luck.integers(0, 12, shape) * 15.0, 0.0)
        jitter = luck.random(shape)
        wavering = (busy & (jitter < 0.03)) * luck.integers(1, 64, shape) * 2.0
        columns = {
            "utilisation_ratio": np.round(used, 2),
            "memory_copy_ratio": np.round(used * (0.3 + 0.3 * level), 2),
            "engine_active_ratio": np.round(np.clip(used + jitter * 0.01 * busy, 0, 1), 6),
            "tensor_active_ratio": np.round(used * (0.35 + 0.02 * jitter), 6),
            "dram_active_ratio": np.round(used * (0.42 + 0.03 * luck.random(shape)), 6),
            "memory_used_bytes": (np.minimum(memory + wavering, total) * _MEBIBYTE),
            "memory_total_bytes": np.broadcast_to(total * _MEBIBYTE, shape),
            "power_watts": power,
            "power_limit_watts": np.broadcast_to(limit, shape),
            "energy_joules": np.round(energy) / 1000,
            "temperature_celsius": np.round(warmth),
            "memory_temperature_celsius": np.round(warmth * 1.1 + 3),
            "sm_clock_hertz": np.where(busy, clock - capped, 345.0) * _MEGAHERTZ,
            "memory_clock_hertz": np.broadcast_to(memory_clock * _MEGAHERTZ, shape),
            "ecc_corrected_count": corrected,
            "ecc_uncorrected_count": np.zeros(shape),
            "rows_remapped_count": np.zeros(shape),
            "process_count": busy.astype(np.float64),
        }
        return self._named(at, columns, job.astype(np.int64), model)

    def _warmth(self, load: Array) -> Array:
        """Degrees that follow the load with a lag of two minutes."""
        warmth, shown = self._state["warmth"], np.zeros(load.shape)
        share = self.every_seconds / 120
        for n, row in enumerate(load):
            warmth = warmth + share * (26 + 46 * row - warmth)
            shown[n] = warmth
        self._state["warmth"] = warmth
        return shown

    def _named(
        self, at: list[datetime], columns: dict[str, Array], job: Any, model: Any
    ) -> pl.DataFrame:
        steps = len(at)
        gpu = np.arange(self.gpus)
        fixed = pl.DataFrame(
            {
                "gpu_id": [gpu_id(n) for n in range(self.gpus)],
                "node_id": [f"node-{n // GPUS_PER_NODE:05}" for n in range(self.gpus)],
                "pool": [f"pool-{(n // GPUS_PER_NODE) % 4}" for n in range(self.gpus)],
                "slot": gpu % GPUS_PER_NODE,
                "gpu_model": [MODELS[n][0] for n in model],
            }
        )
        instants = pl.Series("measured_at", at, INSTANT)
        values = {
            name: pl.Series(name, part.ravel()).cast(pl.Int64)
            if name.endswith(("_bytes", "_hertz", "_count"))
            else pl.Series(name, part.ravel())
            for name, part in columns.items()
        }
        jobs = pl.Series("job", job.ravel())
        return pl.concat([fixed] * steps).with_columns(
            *values.values(),
            instants.gather(np.repeat(np.arange(steps), self.gpus)).alias("measured_at"),
            instants.gather(np.repeat(np.arange(steps), self.gpus)).alias("stored_at")
            + timedelta(seconds=2),
            pl.when(jobs > 0).then(pl.format("job-{}", jobs)).alias("job_id"),
            pl.when(jobs > 0).then(pl.format("tenant-{}", jobs % 23)).alias("tenant"),
            pl.lit(self.source).alias("source"),
            pl.lit("whole").alias("sharing"),
        )


def gpu_id(number: int) -> str:
    """A UUID as NVML gives them."""
    digits = f"{(number * 0x9E3779B97F4A7C15 + 0x1234) % 2**64:016x}{number * 2654435761:016x}"
    return f"GPU-{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:32]}"
