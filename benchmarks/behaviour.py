"""What tenants do: the questions of the Tenants page over 30 and 90 days.

    python benchmarks/behaviour.py

The rows are made up: 200 tenants submit 1,000 jobs a day between them to 1,000 GPUs, with 6 events
a job (one in ten interrupted, one in twenty gives up), metered by the hour.
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
from warehouse import behaviour, churn, cohorts, usage
from warehouse.records import JobEvent, ListPrice, MeteredHour, MeteringRun, UsageEvent
from warehouse.schema import INSTANT
from warehouse.store import Location, Store

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
TENANTS = 200
JOBS_A_DAY = 1_000
HOURS_METERED = 200
"""Jobs that run at a time: rows of `metered_hours` an hour."""
AIM = 100


def jobs_of(day: int, luck: np.random.Generator) -> pl.DataFrame:
    """A day's jobs: tenants by Zipf's law, sizes of 1 to 64 GPUs."""
    weights = 1 / np.arange(1, TENANTS + 1)
    tenant = luck.choice(TENANTS, JOBS_A_DAY, p=weights / weights.sum())
    at = NOW - timedelta(days=day)
    return pl.DataFrame(
        {
            "job_id": [f"job-{day}-{n}" for n in range(JOBS_A_DAY)],
            "tenant": [f"tenant-{t}" for t in tenant],
            "pool": [f"pool-{n}" for n in luck.integers(0, 4, JOBS_A_DAY)],
            "gpu_count": 2 ** luck.integers(0, 7, JOBS_A_DAY),
            "luck": luck.random(JOBS_A_DAY),
            "second": luck.integers(0, 86_000, JOBS_A_DAY),
            "wait": luck.exponential(1200, JOBS_A_DAY).astype(int),
            "run": luck.exponential(10_000, JOBS_A_DAY).astype(int) + 60,
        }
    ).with_columns(at=pl.lit(at).cast(INSTANT) + pl.duration(seconds=pl.col("second")))


def events_of(jobs: pl.DataFrame) -> pl.DataFrame:
    """The events of a day's jobs, as a collector brings them."""
    stays = jobs.filter(pl.col("luck") > 0.05)
    upset = stays.filter(pl.col("luck") > 0.9)
    parts = [(jobs, "submitted", 0.0, 0.0), (stays, "started", 1.0, 0.0)]
    parts += [(jobs.filter(pl.col("luck") <= 0.05), "left", 1.0, 0.0)]
    parts += [(stays, "checkpointed", 1.0, share) for share in (0.2, 0.4, 0.6)]
    parts += [(upset, "preempted", 1.0, 0.7), (upset, "started", 1.0, 0.8)]
    parts += [(stays, "finished", 1.0, 1.0)]
    return pl.concat(
        frame.select(
            "job_id",
            "tenant",
            "pool",
            "gpu_count",
            event=pl.lit(event),
            node_ids=pl.lit("[]"),
            price_usd_per_gpu_hour=pl.lit(2.5),
            detail=pl.lit("node-7 failed" if event == "preempted" else None, dtype=pl.String),
            source=pl.lit("benchmark"),
            happened_at=pl.col("at")
            + pl.duration(seconds=(pl.col("wait") * waits + pl.col("run") * runs).cast(pl.Int64)),
        )
        for frame, event, waits, runs in parts
    ).filter(pl.col("happened_at") < NOW)


def fill(store: Store, days: int) -> None:
    """The days, one append each, as the day's end leaves them; then merged as the console does."""
    luck = np.random.default_rng(1)
    prices = [f"pool-{n}" for n in range(4)]
    store.append([_price(pool) for pool in prices])
    for day in range(days, 0, -1):
        jobs = jobs_of(day, luck)
        store.append_frame(JobEvent, events_of(jobs))
        hours = [
            (NOW - timedelta(days=day)).replace(hour=0) + timedelta(hours=h) for h in range(24)
        ]
        store.append([_run(at) for at in hours])
        store.append_frame(MeteredHour, pl.concat(_metered(jobs, at, luck) for at in hours))
        store.append_frame(UsageEvent, _used(hours[0]))


def _price(pool: str) -> ListPrice:
    at = NOW - timedelta(days=1)
    return ListPrice(pool=pool, price_usd_per_gpu_hour=2.7, set_by="benchmark", in_force_from_at=at)


def _run(at: datetime) -> MeteringRun:
    return MeteringRun(run_id=f"run-{at:%m%d%H}", version=1, reason="first",
                       row_count=HOURS_METERED, hour_starts_at=at, metered_at=at)  # fmt: skip


def _metered(jobs: pl.DataFrame, at: datetime, luck: np.random.Generator) -> pl.DataFrame:
    held = jobs.sample(HOURS_METERED, seed=int(luck.integers(2**31)))
    return held.select(
        "job_id",
        "tenant",
        "pool",
        run_id=pl.lit(f"run-{at:%m%d%H}"),
        sharing=pl.lit("whole"),
        pricing=pl.lit("standard"),
        allocated_gpu_hours=pl.col("gpu_count").cast(pl.Float64),
        list_cost_usd=pl.col("gpu_count") * 2.5,
        charge_usd=pl.col("gpu_count") * 2.5,
        hour_starts_at=pl.lit(at).cast(INSTANT),
    )


def _used(day: datetime) -> pl.DataFrame:
    """Each tenant's program calls two routes a minute of an hour."""
    minutes = [day + timedelta(minutes=m) for m in range(60)]
    return pl.DataFrame({"happened_at": pl.Series(minutes, dtype=INSTANT)}).join(
        pl.DataFrame({"tenant": [f"tenant-{n}" for n in range(TENANTS)]}).join(
            pl.DataFrame({"subject": ["/api/v1/jobs", "/api/v1/jobs/{job_id}"]}), how="cross"
        ), how="cross",
    ).with_columns(kind=pl.lit("api_call"), count=pl.lit(30, dtype=pl.Int64))  # fmt: skip


def ask(store: Store, days: int) -> None:
    """Print how long each question takes."""
    since = NOW - timedelta(days=days)
    one = "tenant-0"
    questions = {
        "behaviour.tenant_figures: every tenant": lambda: behaviour.tenant_figures(
            store, since=since, now=NOW
        ),
        "churn.judged: every tenant by every rule": lambda: churn.judged(store, now=NOW),
        "cohorts.cohorts": lambda: cohorts.cohorts(store, now=NOW),
        "behaviour.activity_by_day: the largest tenant": lambda: behaviour.activity_by_day(
            store, since=since, now=NOW, tenant=one
        ),
        "behaviour.sizes: the largest tenant": lambda: behaviour.sizes(
            store, since=since, now=NOW, tenant=one
        ),
        "behaviour.troubles: the largest tenant": lambda: behaviour.troubles(
            store, since=since, now=NOW, tenant=one
        ),
        "usage.usage_by_tenant": lambda: usage.usage_by_tenant(store, since=since, until=NOW),
    }
    for what, question in questions.items():
        row(f"{days} days, {what}", milliseconds(question, 15), AIM)


class _Still:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW


def main() -> None:
    """Print the table."""
    print(machine())
    for days in (30, 90):
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Location.embedded(Path(folder)))
            fill(store, days)
            ask(store, days)
            store.close()
    tally = usage.Tally(_Still())

    def count() -> None:
        for n in range(1_000):
            tally.add("api_call", "/api/v1/jobs", tenant="blue", user_id=f"user-{n % 50}")

    row("1,000 acts counted", milliseconds(count, 30))


if __name__ == "__main__":
    main()
