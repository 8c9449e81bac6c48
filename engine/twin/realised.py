"""What the rows say of everyone who came to a pool in a span, and how long each worked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.simulator.settings import Economics
from warehouse.store import Store

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

JOB_WINDOW = timedelta(days=30)
"""A job without any event for so long is taken to be gone."""
AFTERWARDS = timedelta(days=3)
"""How long after the span it is looked whether a job has ended."""

_EVENTS = """
    SELECT job_id, event, gpu_count, price_usd_per_gpu_hour AS price, node_ids, happened_at
    FROM job_events
    WHERE pool = $pool AND happened_at > $since AND happened_at <= $until
        AND event <> 'checkpointed'
    ORDER BY happened_at, rowid
"""
_READINGS = """
    SELECT measured_at, price_usd_per_gpu_hour AS price, market_usd_per_gpu_hour AS market,
        offered_jobs AS offered, accepted_jobs AS accepted, gpus_used
    FROM pool_states
    WHERE pool = $pool AND measured_at > $since AND measured_at <= $until
    ORDER BY measured_at
"""
_PRICES = """
    SELECT in_force_from_at AS at, price_usd_per_gpu_hour AS price FROM price_list
    WHERE pool = $pool AND in_force_from_at <= $until
    ORDER BY in_force_from_at
"""


@dataclass(frozen=True)
class Job:
    """A job that took our price."""

    job_id: str
    gpus: int
    price_usd_per_gpu_hour: float | None
    submitted_at: datetime | None
    """None where it came before the rows begin"""
    worked_seconds: float
    """up to its last event, or to the newest rows where it runs; work that was lost left out"""
    worked_before_seconds: float
    """of those, before the span"""
    has_ended: bool
    """whether it has done all its work; else it runs or waits still, or left before it ran"""
    preempted_at: tuple[datetime, ...]
    """when nodes of it failed"""
    nodes_then: tuple[tuple[str, ...], ...]
    """the nodes that it held then"""


def jobs_of(
    store: Store, pool: str, starts_at: datetime, ends_at: datetime, terms: Economics, now: datetime
) -> list[Job]:
    """Everyone who was there at the start or came in the span, in order of submission."""
    until = min(now, ends_at + AFTERWARDS)
    events = store.query(_EVENTS, pool=pool, since=starts_at - JOB_WINDOW, until=until)
    ended = ("finished", "left", "failed")
    gone = events.filter(
        pl.col("event").is_in(ended) & (pl.col("happened_at") <= starts_at)
    ).select("job_id")
    late = events.group_by("job_id").agg(first=pl.col("happened_at").min())
    late = late.filter(pl.col("first") > ends_at).select("job_id")
    kept = events.join(gone, on="job_id", how="anti").join(late, on="job_id", how="anti")
    jobs = [
        _job(str(job_id), rows, starts_at, until, terms)
        for (job_id,), rows in kept.group_by("job_id", maintain_order=True)
    ]
    beginning = starts_at - JOB_WINDOW
    return sorted(jobs, key=lambda job: (job.submitted_at or beginning, job.job_id))


def _job(
    job_id: str, rows: pl.DataFrame, starts_at: datetime, until: datetime, terms: Economics
) -> Job:
    kinds, instants = rows["event"].to_list(), rows["happened_at"].to_list()
    submitted = [at for kind, at in zip(kinds, instants, strict=True) if kind == "submitted"]
    nodes = rows["node_ids"].to_list()
    stops = [at for at, kind in enumerate(kinds) if kind == "preempted"]
    prices = rows["price"].drop_nulls()
    return Job(
        job_id=job_id,
        gpus=int(rows["gpu_count"][-1]),
        price_usd_per_gpu_hour=float(prices[0]) if len(prices) else None,
        submitted_at=submitted[0] if submitted else None,
        worked_seconds=_worked(kinds, instants, until, terms),
        worked_before_seconds=_worked(kinds, instants, starts_at, terms),
        has_ended="finished" in kinds or "failed" in kinds,
        preempted_at=tuple(instants[at] for at in stops),
        nodes_then=tuple(_names(nodes[at - 1]) if at else () for at in stops),
    )


def _names(node_ids: str | None) -> tuple[str, ...]:
    return tuple(json.loads(node_ids or "[]"))


def _worked(
    kinds: Sequence[str], instants: Sequence[datetime], until: datetime, terms: Economics
) -> float:
    """Seconds of work done and kept by an instant: pauses and lost work left out."""
    kept, begun, lead = 0.0, None, 0.0
    for kind, at in zip(kinds, instants, strict=True):
        if at > until:
            break
        ran = (at - begun).total_seconds() - lead if begun else 0.0
        if kind == "started":
            begun, lead = at, 0.0
        elif kind == "migrated":
            kept, begun, lead = kept + max(ran, 0.0), at, terms.migration_seconds
        elif kind == "preempted":
            whole = max(ran, 0.0)
            kept, begun = kept + whole - whole % terms.checkpoint_seconds, None
        elif kind in ("finished", "left", "failed"):
            return kept + max(ran, 0.0)
    running = (until - begun).total_seconds() - lead if begun else 0.0
    return kept + max(running, 0.0)


@dataclass(frozen=True)
class Readings:
    """What the pool's readings say of a span, and the prices that were set."""

    rows: pl.DataFrame
    """measured_at, price, market, offered, accepted, gpus_used"""
    prices: pl.DataFrame
    """at, price"""

    def market_path(self, starts_at: datetime, quarters: int) -> Floats:
        """The market's price at each quarter, shape (quarters + 1,); ours where nobody read it."""
        known = self.rows.with_columns(pl.coalesce("market", "price").alias("market"))
        grid = pl.DataFrame(
            {"at": [starts_at + turn * timedelta(minutes=15) for turn in range(quarters + 1)]},
            schema={"at": pl.Datetime("us", "UTC")},
        )
        read = known.select("measured_at", "market")
        path = grid.join_asof(read, left_on="at", right_on="measured_at")["market"]
        filled: Floats = path.fill_null(strategy="backward").to_numpy().astype(np.float64)
        return filled

    def price_at(self, instants: Sequence[datetime]) -> Floats:
        """Our price in force at each instant: as last listed or read, whichever is the newer."""
        asked = pl.DataFrame({"asked": instants}, schema={"asked": pl.Datetime("us", "UTC")})
        read = self.rows.select(at="measured_at", price="price")
        # What is listed at the instant of a reading came after it.
        known = pl.concat([read, self.prices.select("at", "price")]).sort("at", maintain_order=True)
        found = asked.join_asof(known, left_on="asked", right_on="at")["price"]
        prices: Floats = found.fill_null(read["price"][0]).to_numpy().astype(np.float64)
        return prices


def readings_of(store: Store, pool: str, starts_at: datetime, ends_at: datetime) -> Readings:
    """The pool's readings from just before the span to its end."""
    since = starts_at - timedelta(minutes=30)
    rows = store.query(_READINGS, pool=pool, since=since, until=ends_at)
    return Readings(rows, store.query(_PRICES, pool=pool, until=ends_at))
