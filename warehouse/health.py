"""What is asked of the house itself: how its collectors fare, how old what they brought is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from warehouse.paging import Page, Position, page_of
from warehouse.store import Store

HEALTH_WINDOW = timedelta(days=1)
"""Over which runs and failures are counted."""

STALE_AFTER_GAPS = 3.0
"""A collector is stale when its last success is older than so many of its usual gaps."""

MEASURED_TABLES = ("gpu_samples", "pool_states", "offers")
"""The tables whose newest measurement tells how fresh the console is."""

_HEALTH = """
    WITH runs AS (
        SELECT *, epoch(started_at) - epoch(
            lag(started_at) OVER (PARTITION BY collector ORDER BY started_at)) AS gap_seconds
        FROM collector_runs WHERE started_at > $since AND started_at <= $now
    ),
    recent AS (
        SELECT collector, count(*) AS runs_in_24h,
            count(*) FILTER (outcome IN ('failed', 'timed_out')) AS failures_in_24h,
            quantile_cont(duration_seconds, 0.95) FILTER (outcome != 'skipped')
                AS duration_p95_seconds,
            median(gap_seconds) AS usual_gap_seconds
        FROM runs GROUP BY collector
    ),
    latest AS (
        SELECT * FROM collector_runs WHERE started_at <= $now
        QUALIFY row_number() OVER (PARTITION BY collector ORDER BY started_at DESC) = 1
    ),
    successes AS (
        SELECT collector, max(started_at) AS last_success_at FROM collector_runs
        WHERE outcome = 'succeeded' AND started_at <= $now GROUP BY collector
    )
    SELECT l.collector, l.outcome, l.detail, l.row_count, l.attempt_count, l.duration_seconds,
        l.started_at AS last_run_at, s.last_success_at,
        epoch($now) - epoch(s.last_success_at) AS age_seconds,
        coalesce(r.runs_in_24h, 0) AS runs_in_24h,
        coalesce(r.failures_in_24h, 0) AS failures_in_24h,
        r.duration_p95_seconds, r.usual_gap_seconds
    FROM latest l LEFT JOIN successes s USING (collector) LEFT JOIN recent r USING (collector)
    ORDER BY l.collector
"""


@dataclass(frozen=True)
class Readiness:
    """Whether the console can be used, for whoever routes requests to it."""

    is_ready: bool
    """Its warehouse answers and holds something that was measured, or a collector's word."""
    detail: str
    """In words: what is missing, or which collectors are stale."""
    newest_at: datetime | None
    """The newest measurement of all tables."""
    stale_collectors: tuple[str, ...]
    """Collectors whose last success is too old; that alone doesn't make it unready."""


def collector_health(
    store: Store, *, now: datetime, every_seconds: dict[str, float] | None = None
) -> pl.DataFrame:
    """A row a collector, by name: its last run, its last success and how it fared in 24 h.

    `age_seconds` is that of the last success. `is_stale` says that it is older than three
    intervals: those of `every_seconds` by collector, else the median gap between its runs.
    It is null where neither is known, and for a collector that never had anything to read.
    """
    health = store.query(_HEALTH, now=now, since=now - HEALTH_WINDOW)
    given = every_seconds or {}
    interval_seconds = pl.col("collector").replace_strict(
        given, default=None, return_dtype=pl.Float64
    )
    return health.with_columns(
        pl.coalesce(interval_seconds, "usual_gap_seconds").alias("usual_gap_seconds")
    ).with_columns(_is_stale())


def collector_runs(
    store: Store, *, collector: str | None = None, offset: Position = 0, limit: int = 50
) -> Page:
    """Runs of one collector or of all, the newest first."""
    return page_of(
        store,
        "SELECT * FROM collector_runs WHERE $collector IS NULL OR collector = $collector",
        order="started_at DESC, collector, outcome, attempt_count, duration_seconds",
        offset=offset,
        limit=limit,
        collector=collector,
    )


def freshness(store: Store) -> pl.DataFrame:
    """The newest `measured_at` of each measured table, in `table_name` and `newest_at`.

    `newest_at` is null where the table is empty.
    """
    return store.query(
        " UNION ALL ".join(
            f"SELECT '{table}' AS table_name, max(measured_at) AS newest_at FROM {table}"
            for table in MEASURED_TABLES
        )
        + " ORDER BY table_name"
    )


def readiness(store: Store, *, now: datetime) -> Readiness:
    """Whether there is something to show; a stale collector is named and doesn't close the door.

    Raises whatever the store does when it can't answer: then the console isn't ready either.
    """
    health = collector_health(store, now=now)
    stale = tuple(health.filter(pl.col("is_stale"))["collector"])
    newest_at = freshness(store)["newest_at"].max()
    is_ready = newest_at is not None or not health.is_empty()
    assert newest_at is None or isinstance(newest_at, datetime)
    return Readiness(is_ready, _in_words(is_ready, stale), newest_at, stale)


def _is_stale() -> pl.Expr:
    limit_seconds = STALE_AFTER_GAPS * pl.col("usual_gap_seconds")
    never_here = pl.col("last_success_at").is_null() & (pl.col("outcome") == "skipped")
    return (
        pl.when(never_here)
        .then(None)
        .when(pl.col("last_success_at").is_null())
        .then(True)
        .otherwise(pl.col("age_seconds") > limit_seconds)
        .alias("is_stale")
    )


def _in_words(is_ready: bool, stale: tuple[str, ...]) -> str:
    if not is_ready:
        return "no collector has run yet: wait for the first"
    if stale:
        return f"ready; stale: {', '.join(stale)}"
    return "ready"
