"""What is asked of the work: which jobs wait, run and ended, and what they cost."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

import polars as pl

from warehouse.paging import Page, Position, page_of
from warehouse.store import Store

JOB_STATES = ("queued", "running", "finished", "failed", "left")
"""The states a job can be in, in the order they are listed."""

_JOBS = """
    SELECT job_id, any_value(tenant) AS tenant, any_value(pool) AS pool,
        CASE arg_max(event, epoch_us(happened_at) * 10 + CASE event
                WHEN 'submitted' THEN 0 WHEN 'preempted' THEN 1 WHEN 'started' THEN 2
                WHEN 'checkpointed' THEN 3 WHEN 'migrated' THEN 4 ELSE 5 END)
            WHEN 'submitted' THEN 'queued' WHEN 'preempted' THEN 'queued'
            WHEN 'finished' THEN 'finished' WHEN 'failed' THEN 'failed'
            WHEN 'left' THEN 'left' ELSE 'running' END AS state,
        max(gpu_count) AS gpu_count,
        arg_max(node_ids, happened_at) FILTER (node_ids <> '[]') AS node_ids,
        min(happened_at) AS submitted_at,
        min(happened_at) FILTER (event = 'started') AS started_at,
        max(happened_at) FILTER (event IN ('finished', 'failed', 'left')) AS ended_at,
        max(price_usd_per_gpu_hour) AS price_usd_per_gpu_hour
    FROM job_events %s GROUP BY job_id
"""
"""Every job as its events tell it; two events of one instant are taken in their natural order."""

_SEEN = f"""
    SELECT *,
        epoch(coalesce(started_at, ended_at, $now)) - epoch(submitted_at) AS wait_seconds,
        epoch(coalesce(ended_at, $now)) - epoch(started_at) AS run_seconds
    FROM ({_JOBS})
"""
_FILTERS = {
    "pool": "pool = $pool",
    "tenant": "tenant = $tenant",
    "states": "list_contains($states::VARCHAR[], state)",
    "search": "contains(lower(concat_ws(chr(10), job_id, tenant)), lower($search))",
}
_OF_PAGE = _SEEN % "WHERE list_contains($ids::VARCHAR[], job_id) AND happened_at >= $since"

SORTABLE = (
    "submitted_at",
    "started_at",
    "ended_at",
    "gpu_count",
    "wait_seconds",
    "run_seconds",
    "tenant",
    "pool",
    "state",
    "job_id",
    "price_usd_per_gpu_hour",
)
"""Columns that a list of jobs may be sorted by."""


def jobs(
    store: Store,
    *,
    now: datetime,
    states: Collection[str] | None = None,
    pool: str | None = None,
    tenant: str | None = None,
    search: str | None = None,
    sort: str = "submitted_at",
    descending: bool = True,
    offset: Position = 0,
    limit: int = 100,
) -> Page:
    """One page of the jobs, each with its state, waits, price and what it was charged so far.

    Raises:
        ValueError: `sort` is not one of `SORTABLE`.
    """
    if sort not in SORTABLE:
        raise ValueError(f"jobs can't be sorted by {sort}: use one of {', '.join(SORTABLE)}")
    given = {"pool": pool, "tenant": tenant, "states": list(states or ()), "search": search}
    asked = {name: value for name, value in given.items() if value}
    # Which jobs are on the page takes a few of their columns, and DuckDB works out no others; all
    # that is told of them is then asked of these jobs alone. At once it takes three times as long.
    where = " AND ".join(_FILTERS[name] for name in asked) or "true"
    order = f"place {'DESC' if descending else 'ASC'} NULLS LAST, job_id"
    listed = f"SELECT job_id, submitted_at, {sort} AS place FROM ({_SEEN % ''}) WHERE {where}"
    page = page_of(store, listed, order=order, offset=offset, limit=limit, now=now, **asked)
    return replace(page, rows=_told(store, page.rows, now))


def _told(store: Store, listed: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """All that is known of jobs, in the order in which they are listed."""
    rows = store.query(
        _OF_PAGE, ids=listed["job_id"].to_list(), since=listed["submitted_at"].min(), now=now
    )
    ordered = listed.select("job_id").join(rows, on="job_id", how="left", maintain_order="left")
    return ordered.join(_charged(store, rows), on="job_id", how="left", maintain_order="left")


def _charged(store: Store, rows: pl.DataFrame) -> pl.DataFrame:
    if rows.is_empty():
        return pl.DataFrame(schema={"job_id": pl.String, "charged_usd": pl.Float64})
    return store.query(
        """
        SELECT job_id, sum(charge_usd) AS charged_usd FROM charges
        WHERE list_contains($ids::VARCHAR[], job_id) AND period_starts_at >= $since
        GROUP BY job_id
        """,
        ids=rows["job_id"].to_list(),
        since=rows["submitted_at"].dt.truncate("1h").min(),
    )


def job(store: Store, job_id: str, *, now: datetime) -> pl.DataFrame:
    """One job, as `jobs` lists it; no row if there is none of that id."""
    rows = store.query(_SEEN % "WHERE job_id = $job_id", job_id=job_id, now=now)
    return rows.join(_charged(store, rows), on="job_id", how="left")


def job_events(store: Store, job_id: str) -> pl.DataFrame:
    """All that happened to a job, in time order."""
    return store.query(
        "SELECT * FROM job_events WHERE job_id = $job_id ORDER BY happened_at", job_id=job_id
    )


def counts_by_state(store: Store) -> dict[str, int]:
    """How many jobs are in each state; states without jobs count 0."""
    frame = store.query(f"SELECT state, count(*) AS n FROM ({_JOBS % ''}) GROUP BY state")
    return dict.fromkeys(JOB_STATES, 0) | dict(frame.iter_rows())


def tenants(store: Store) -> list[str]:
    """Everyone who ever submitted a job, by name."""
    return store.query("SELECT DISTINCT tenant FROM job_events ORDER BY 1")["tenant"].to_list()
