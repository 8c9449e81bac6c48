"""What tenants do, asked of `job_events`: how much, how large, how long they wait, what goes wrong.

A job belongs to the span in which it was submitted. Its GPU-hours asked are its GPUs times the time
from its submission to its end, or to now: what it would have held, had nobody waited. Delivered are
its GPUs times the time it ran. A job that gave up asked only for as long as it waited. Money and
GPU-hours of a span as they were billed are in `warehouse/spend.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from warehouse.paging import Page
from warehouse.spend import spend_total
from warehouse.store import Store

WEEK = timedelta(days=7)
TOP = (1, 3, 10)
"""Of how many tenants the share of revenue is told."""

JOBS = """
    SELECT *,
        epoch(coalesce(started_at, ended_at, $until)) - epoch(submitted_at) AS wait_seconds,
        gpu_count * (epoch(coalesce(ended_at, $until)) - epoch(submitted_at)) / 3600
            AS asked_gpu_hours,
        gpu_count * greatest(0, CASE
            WHEN starts = 0 THEN 0
            WHEN starts = stops THEN balance_seconds
            WHEN starts = stops + 1
                THEN balance_seconds + epoch(coalesce(ended_at, $until)) - epoch($since)
            ELSE epoch(coalesce(ended_at, $until)) - epoch(started_at) END) / 3600
            AS delivered_gpu_hours
    FROM (
        SELECT any_value(tenant) AS tenant, any_value(pool) AS pool,
            max(gpu_count * coalesce(share_ratio, 1.0)) AS gpu_count,
            any_value(price_usd_per_gpu_hour) AS price_usd_per_gpu_hour,
            coalesce(any_value(pricing), 'standard') AS pricing,
            min(happened_at) FILTER (event = 'submitted') AS submitted_at,
            min(happened_at) FILTER (event = 'started') AS started_at,
            max(happened_at) FILTER (event IN ('finished', 'failed', 'left')) AS ended_at,
            count(*) FILTER (event = 'started') AS starts,
            count(*) FILTER (event = 'preempted') AS stops,
            sum(CASE event WHEN 'started' THEN epoch($since) - epoch(happened_at)
                WHEN 'preempted' THEN epoch(happened_at) - epoch($since) ELSE 0 END)
                AS balance_seconds,
            bool_or(event = 'failed') AS has_failed, bool_or(event = 'left') AS has_left
        FROM job_events
        WHERE happened_at >= $since AND happened_at < $until AND event <> 'checkpointed'
            AND ($tenant IS NULL OR tenant = $tenant)
        GROUP BY job_id
    ) WHERE submitted_at IS NOT NULL
"""
"""The jobs submitted in a span as their events tell them. Seconds run are the stops less the
starts: one sum a job, where intervals would take a window over every event. Where the two don't
pair (a collector that missed one), from the first start to the end."""

_FIGURES = """
    count(*) AS jobs, count(started_at) AS started_jobs,
    median(gpu_count) AS gpu_count_median, quantile_cont(gpu_count, 0.95) AS gpu_count_p95,
    median(wait_seconds) AS wait_median_seconds,
    quantile_cont(wait_seconds, 0.95) AS wait_p95_seconds,
    sum(asked_gpu_hours) AS asked_gpu_hours, sum(delivered_gpu_hours) AS delivered_gpu_hours,
    count(*) FILTER (has_failed) AS failed_jobs, count(*) FILTER (has_left) AS left_jobs,
    count(*) FILTER (stops > 0) AS preempted_jobs, count(*) FILTER (starts > 1) AS retried_jobs,
    count(DISTINCT submitted_at::DATE) AS active_days
"""

SORTABLE = (
    "tenant", "jobs", "asked_gpu_hours", "delivered_gpu_hours", "gpu_count_median",
    "gpu_count_p95", "wait_median_seconds", "wait_p95_seconds", "failed_ratio", "left_ratio",
    "preempted_ratio", "retried_ratio", "active_days", "growth_ratio", "charge_usd",
    "revenue_share_ratio", "first_seen_at", "last_seen_at",
)  # fmt: skip
"""Columns that a list of tenants may be sorted by."""


@dataclass(frozen=True)
class Concentration:
    """How far revenue hangs on few."""

    tenants: int
    """Tenants that were charged anything."""
    charge_usd: float
    top_ratios: dict[int, float]
    """Of the 1, 3 and 10 largest, their share."""
    herfindahl: float
    """Sum of the squared shares: 1 is one tenant alone, 1/n are n equal ones."""


def tenant_figures(store: Store, *, since: datetime, now: datetime) -> pl.DataFrame:
    """A row a tenant ever seen: what it did since an instant, what it paid, how it grows.

    Ratios are of the jobs it submitted in the span; `growth_ratio` is the last seven days against
    the seven before. Figures of a tenant that submitted nothing are NULL, its counts 0.
    """
    done = store.query(
        f"SELECT tenant, {_FIGURES} FROM ({JOBS}) GROUP BY tenant",
        since=since,
        until=now,
        tenant=None,
    )
    paid = spend_total(store, since=since, until=now).rename({"gpu_hours": "billed_gpu_hours"})
    counts = pl.col("jobs", "started_jobs", "failed_jobs", "left_jobs", "preempted_jobs",
                    "retried_jobs", "active_days", "charge_usd", "billed_gpu_hours")  # fmt: skip
    joined = _seen(store, now).join(done, on="tenant", how="left")
    return _with_ratios(
        joined.join(paid, on="tenant", how="left").with_columns(counts.fill_null(0))
    )


def _seen(store: Store, now: datetime) -> pl.DataFrame:
    return store.query(
        """
        SELECT tenant, min(happened_at) AS first_seen_at, max(happened_at) AS last_seen_at,
            count(*) FILTER (happened_at >= $week) AS week_jobs,
            count(*) FILTER (happened_at >= $before AND happened_at < $week) AS week_before_jobs
        FROM job_events WHERE event = 'submitted' AND happened_at < $now
        GROUP BY tenant ORDER BY tenant
        """,
        week=now - WEEK,
        before=now - 2 * WEEK,
        now=now,
    )


def _with_ratios(frame: pl.DataFrame) -> pl.DataFrame:
    def share(column: str) -> pl.Expr:
        return pl.when(pl.col("jobs") > 0).then(pl.col(column) / pl.col("jobs"))

    charged = pl.col("charge_usd").sum()
    before = pl.col("week_before_jobs")
    return frame.with_columns(
        failed_ratio=share("failed_jobs"),
        left_ratio=share("left_jobs"),
        preempted_ratio=share("preempted_jobs"),
        retried_ratio=share("retried_jobs"),
        growth_ratio=pl.when(before > 0).then(pl.col("week_jobs") / before - 1),
        revenue_share_ratio=pl.when(charged > 0).then(pl.col("charge_usd") / charged),
    )


def tenant_page(
    figures: pl.DataFrame,
    *,
    search: str | None = None,
    sort: str = "charge_usd",
    descending: bool = True,
    offset: int = 0,
    limit: int = 100,
) -> Page:
    """One page of `tenant_figures`, those whose name contains `search`.

    Raises:
        ValueError: `sort` is none of its columns.
    """
    if sort not in figures.columns:
        raise ValueError(f"tenants can't be sorted by {sort}: use one of {', '.join(SORTABLE)}")
    wanted = pl.col("tenant").str.to_lowercase().str.contains((search or "").lower(), literal=True)
    found = figures.filter(wanted).sort(
        [sort, "tenant"], descending=[descending, False], nulls_last=True
    )
    return Page(found.slice(offset, limit), found.height)


def concentration(figures: pl.DataFrame) -> Concentration:
    """How far the span's revenue hangs on few, from `tenant_figures`."""
    charged = figures["charge_usd"].filter(figures["charge_usd"] > 0).sort(descending=True)
    total = float(charged.sum())
    shares = charged / total if total else charged
    tops = {top: float(shares.head(top).sum()) for top in TOP}
    return Concentration(len(charged), total, tops, float((shares**2).sum()))


def activity_by_day(
    store: Store, *, since: datetime, now: datetime, tenant: str | None = None
) -> pl.DataFrame:
    """What was submitted each day (of UTC), its waits and what became of it; days without jobs
    have no row."""
    return store.query(
        f"""
        SELECT date_trunc('day', submitted_at) AS day_at, {_FIGURES}
        FROM ({JOBS}) GROUP BY 1 ORDER BY 1
        """,
        since=since,
        until=now,
        tenant=tenant,
    )


def sizes(
    store: Store, *, since: datetime, now: datetime, tenant: str | None = None
) -> pl.DataFrame:
    """How many jobs asked for how many GPUs, and how long each size waited."""
    return store.query(
        f"""
        SELECT gpu_count, count(*) AS jobs, median(wait_seconds) AS wait_median_seconds,
            sum(delivered_gpu_hours) AS delivered_gpu_hours
        FROM ({JOBS}) GROUP BY gpu_count ORDER BY gpu_count
        """,
        since=since,
        until=now,
        tenant=tenant,
    )


def troubles(
    store: Store, *, since: datetime, now: datetime, tenant: str | None = None
) -> pl.DataFrame:
    """Why jobs failed, were interrupted or gave up, by cause, the commonest first.

    A cause is what was told, without the names in it: every word that holds a digit becomes `…`.
    Events count, in the span in which they happened, so that one job may be in several rows.
    """
    return store.query(
        """
        SELECT event,
            coalesce(regexp_replace(detail, '\\S*\\d\\S*', '…', 'g'), 'not told') AS cause,
            count(*) AS events, count(DISTINCT job_id) AS jobs, max(happened_at) AS last_at
        FROM job_events
        WHERE event IN ('failed', 'preempted', 'left')
            AND happened_at >= $since AND happened_at < $until
            AND ($tenant IS NULL OR tenant = $tenant)
        GROUP BY ALL ORDER BY jobs DESC, event, cause
        """,
        since=since,
        until=now,
        tenant=tenant,
    )
