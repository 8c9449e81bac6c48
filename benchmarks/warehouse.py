"""The warehouse: appending one pass of 10,000 GPUs, and the Fleet page's questions.

    python benchmarks/warehouse.py

The rows are made up; 1,000 GPUs have 14 days of hourly roll-ups (336,000 rows) and 12 hours
of raw samples every 5 minutes (144,000 rows), as the console keeps them.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._timing import machine, milliseconds, row
from warehouse import decisions, fleet, telemetry
from warehouse.records import GpuRollup, GpuSample
from warehouse.store import Location, Store

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
GPUS = 1_000
DAYS = 14


def one_pass(gpus: int, at: datetime) -> list[GpuSample]:
    """A reading of every GPU, as a collector yields it."""
    return [
        GpuSample(
            gpu_id=f"GPU-{n:06}",
            node_id=f"node-{n // 8:05}",
            pool=f"pool-{n % 4}",
            slot=n % 8,
            gpu_model="H100 SXM",
            utilisation_ratio=(n % 100) / 100,
            memory_used_bytes=n * 2**20,
            memory_total_bytes=80 * 2**30,
            power_watts=300.0 + n % 400,
            power_limit_watts=700.0,
            energy_joules=1e9 + n,
            temperature_celsius=40.0 + n % 40,
            sm_clock_hertz=1_980_000_000,
            memory_clock_hertz=2_619_000_000,
            ecc_corrected_count=0,
            ecc_uncorrected_count=0,
            throttle_reasons="",
            process_count=1,
            job_id=f"job-{n // 4}",
            tenant="blue",
            source="benchmark",
            measured_at=at,
            stored_at=at,
        )
        for n in range(gpus)
    ]


def fill(store: Store) -> None:
    """14 days of roll-ups, a day an append, and 12 hours of samples."""
    luck = np.random.default_rng(1)
    gpu = np.arange(GPUS)
    for day in range(DAYS):
        starts = NOW - timedelta(days=DAYS - day)
        hours = pl.DataFrame({"starts_at": [starts + timedelta(hours=h) for h in range(24)]})
        gpus = pl.DataFrame({"slot": gpu % 8, "n": gpu})
        frame = hours.join(gpus, how="cross").select(
            pl.format("GPU-{}", "n").alias("gpu_id"),
            pl.format("node-{}", pl.col("n") // 8).alias("node_id"),
            pl.format("pool-{}", pl.col("n") // 256).alias("pool"),
            "slot",
            pl.lit(3600).alias("period_seconds"),
            pl.col("starts_at").cast(pl.Datetime("us", "UTC")),
            pl.lit(12).alias("sample_count"),
            pl.lit(luck.random(24 * GPUS)).alias("utilisation_mean_ratio"),
            pl.lit(luck.random(24 * GPUS)).alias("held_ratio"),
            pl.lit(luck.random(24 * GPUS) * 700).alias("power_mean_watts"),
            pl.lit(luck.random(24 * GPUS) * 90).alias("temperature_max_celsius"),
        )
        store.append_frame(GpuRollup, frame)
    for step in range(144):
        store.append(one_pass(GPUS, NOW - timedelta(minutes=5 * step)))


def main() -> None:
    """Print the table."""
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Location.embedded(Path(folder)))
        row(
            "decisions.counts_by_state: a new warehouse, nothing decided",
            milliseconds(lambda: decisions.counts_by_state(store, now=NOW), 30),
        )
        rows = one_pass(10_000, NOW)
        row("append a pass of 10,000 GPUs", milliseconds(lambda: store.append(rows), 15), 150)
        store.close()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Location.embedded(Path(folder)))
        fill(store)
        span = {"since": NOW - timedelta(days=DAYS), "until": NOW}
        row(
            "fleet.gpu_map: 1,000 GPUs now",
            milliseconds(lambda: fleet.gpu_map(store), 30),
            100,
        )
        row(
            "telemetry.gpu_utilisation: 1,000 GPUs over 14 days",
            milliseconds(lambda: telemetry.gpu_utilisation(store, **span), 30),
            100,
        )
        row(
            "telemetry.node_history: one node over 14 days",
            milliseconds(
                lambda: telemetry.node_history(store, "node-7", since=span["since"], until=NOW), 30
            ),
            100,
        )
        store.close()


if __name__ == "__main__":
    main()
