"""What happened to jobs, and what they were delivered, as rows."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.simulator.columns import INSTANT, constant
from engine.simulator.fleet import node_id
from engine.simulator.gpu_frames import SOURCE
from engine.simulator.layout import (
    LOG_FINISHED,
    LOG_INTERRUPTED,
    LOG_LEFT,
    LOG_MIGRATED,
    LOG_PLACED,
    LOG_RESTARTED,
    LOG_STARTED,
    LOG_SUBMITTED,
    RUNNING,
)
from engine.simulator.live import LivePool
from engine.simulator.observe import nodes_of

Integers = npt.NDArray[np.int64]
Instant = Callable[[int], datetime]

_EVENTS = {
    LOG_SUBMITTED: "submitted",
    LOG_STARTED: "started",
    LOG_RESTARTED: "started",
    LOG_MIGRATED: "migrated",
    LOG_INTERRUPTED: "preempted",
    LOG_FINISHED: "finished",
    LOG_LEFT: "left",
}
_HOLDS_NODES = (LOG_STARTED, LOG_RESTARTED, LOG_MIGRATED)
_SCHEMA: dict[str, Any] = {
    "job_id": pl.String,
    "tenant": pl.String,
    "event": pl.String,
    "gpu_count": pl.Int64,
    "node_ids": pl.String,
    "price_usd_per_gpu_hour": pl.Float64,
    "detail": pl.String,
    "happened_at": INSTANT,
}


def job_events(pool: LivePool, lines: Integers, instant: Instant) -> pl.DataFrame:
    """Rows of `job_events` from lines of the pool's log, shape (n, 4).

    A refused offer is no job and has no row; a gang's nodes are all named.
    """
    gang: dict[int, list[str]] = {}
    rows: list[tuple[object, ...]] = []
    for at, kind, index, node in lines.tolist():
        if kind == LOG_PLACED:
            gang.setdefault(index, []).append(node_id(pool, node))
        elif kind in _EVENTS:
            held: list[str] = []
            if kind in _HOLDS_NODES:
                held = gang.pop(index, []) or [node_id(pool, node)]
            rows.append(
                _row(pool, index, _EVENTS[kind], held, _detail(pool, kind, node), instant(at))
            )
    return _frame(pool, rows)


def checkpoints(pool: LivePool, since: int, instant: Instant) -> pl.DataFrame:
    """Rows of `job_events` for the latest checkpoint of each running job after `since`."""
    every = pool.settings.economics.checkpoint_seconds
    jobs = pool.state.jobs[0, : pool.seen_jobs]
    rows = []
    for index in np.flatnonzero(jobs["status"] == RUNNING):
        start = int(jobs["run_from"][index])
        last = start + (pool.now - start) // every * every
        if last > max(since, start):
            held = [node_id(pool, at) for at in nodes_of(pool, int(index))]
            rows.append(_row(pool, int(index), "checkpointed", held, None, instant(last)))
    return _frame(pool, rows)


def _detail(pool: LivePool, kind: int, node: int) -> str | None:
    if kind == LOG_INTERRUPTED:
        return f"{node_id(pool, node)} failed: back to the queue from the last checkpoint"
    if kind == LOG_RESTARTED:
        return "restarted from the last checkpoint"
    if kind == LOG_LEFT:
        return "gave up waiting"
    return None


def _row(
    pool: LivePool, index: int, event: str, held: list[str], detail: str | None, at: datetime
) -> tuple[object, ...]:
    job = pool.state.jobs[0, index]
    name, tenant = pool.workload.job_id(int(job["key"])), pool.workload.tenants[job["tenant"]]
    price = float(job["price_micro_usd"]) / 1e6
    return name, tenant, event, int(job["gpus"]), json.dumps(held), price, detail, at


def _frame(pool: LivePool, rows: list[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row").with_columns(
        pool=pl.lit(pool.settings.name), source=pl.lit(SOURCE)
    )


def charges(
    pool: LivePool, before: Integers, starts_at: datetime, ends_at: datetime
) -> pl.DataFrame:
    """Rows of `charges`: what each job was delivered since its meter stood at `before`.

    `before` is an earlier `metered_gpu_seconds()`; jobs that it does not know yet stood at 0.
    """
    now = pool.metered_gpu_seconds()
    delivered = now.copy()
    delivered[: len(before)] -= before
    at = np.flatnonzero(delivered > 0)
    jobs = pool.state.jobs[0]
    hours = delivered[at] / 3600
    prices = jobs["price_micro_usd"][at] / 1e6
    names, tenants = pool.workload.job_id, pool.workload.tenants
    return pl.DataFrame(
        {
            "job_id": pl.Series([names(int(key)) for key in jobs["key"][at]], dtype=pl.String),
            "tenant": pl.Series([tenants[t] for t in jobs["tenant"][at]], dtype=pl.String),
            "gpu_hours": hours,
            "price_usd_per_gpu_hour": prices,
            "charge_usd": hours * prices,
            "pool": constant(pool.settings.name, len(at), pl.String),
            "source": constant(SOURCE, len(at), pl.String),
            "period_starts_at": constant(starts_at, len(at), INSTANT),
            "period_ends_at": constant(ends_at, len(at), INSTANT),
        }
    )
