"""Who came when, and who is still there: tenants by the week of their first submission.

Weeks begin on Monday (UTC). The newest week still runs: what is told of it can only rise. A tenant
that came before the oldest event that is kept counts as come with that event.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from warehouse.spend import spend
from warehouse.store import Store


def cohorts(store: Store, *, now: datetime) -> pl.DataFrame:
    """A row a cohort and week since: `cohort_at`, `week`, `tenants`, `active_tenants`,
    `retained_ratio`, `gpu_hours`, `gpu_hours_ratio`, `is_running`.

    `week` counts from 0, the week of the first submission; `retained_ratio` is the share of the
    cohort that submitted something in that week; `gpu_hours_ratio` is GPU-hours held in it against
    the cohort's week 1, its first whole one, and NULL where none were held then. Weeks in which
    nobody did anything are rows too, of 0.
    """
    active = store.query(
        """
        SELECT tenant, date_trunc('week', happened_at) AS week_at FROM job_events
        WHERE event = 'submitted' AND happened_at < $now GROUP BY ALL
        """,
        now=now,
    )
    if active.is_empty():
        return pl.DataFrame(schema=_SCHEMA)
    first = active.group_by("tenant").agg(cohort_at=pl.col("week_at").min())
    held = spend(store, since=_oldest(first), until=now, step="week").rename({"at": "week_at"})
    return _weeks(first, active, held, now)


_SCHEMA: dict[str, Any] = {
    "cohort_at": pl.Datetime("us", "UTC"),
    "week": pl.Int64,
    "tenants": pl.UInt32,
    "active_tenants": pl.UInt32,
    "retained_ratio": pl.Float64,
    "gpu_hours": pl.Float64,
    "gpu_hours_ratio": pl.Float64,
    "is_running": pl.Boolean,
}


def _oldest(first: pl.DataFrame) -> datetime:
    oldest = first["cohort_at"].min()
    assert isinstance(oldest, datetime)
    return oldest


def _weeks(
    first: pl.DataFrame, active: pl.DataFrame, held: pl.DataFrame, now: datetime
) -> pl.DataFrame:
    """Every cohort times every week from its own up to now, and what is known of each."""
    sizes = first.group_by("cohort_at").agg(tenants=pl.len())
    weeks = pl.select(
        week_at=pl.datetime_range(_oldest(first), now, "1w", time_unit="us", time_zone="UTC")
    )
    seen = _by_cohort(first, active).agg(active_tenants=pl.len())
    hours = _by_cohort(first, held).agg(gpu_hours=pl.col("gpu_hours").sum())
    keys = ["cohort_at", "week_at"]
    grid = sizes.join(weeks, how="cross").filter(pl.col("week_at") >= pl.col("cohort_at"))
    joined = grid.join(seen, on=keys, how="left").join(hours, on=keys, how="left")
    return _with_ratios(joined, now).select(*_SCHEMA).sort("cohort_at", "week")


def _by_cohort(first: pl.DataFrame, rows: pl.DataFrame) -> pl.dataframe.group_by.GroupBy:
    return rows.join(first, on="tenant").group_by("cohort_at", "week_at")


def _with_ratios(joined: pl.DataFrame, now: datetime) -> pl.DataFrame:
    week = (pl.col("week_at") - pl.col("cohort_at")).dt.total_days() // 7
    filled = joined.with_columns(
        pl.col("active_tenants", "gpu_hours").fill_null(0),
        week=week,
        is_running=pl.col("week_at").dt.offset_by("1w") > now,
    )
    base = pl.col("gpu_hours").filter(pl.col("week") == 1).first().over("cohort_at")
    return filled.with_columns(
        retained_ratio=pl.col("active_tenants") / pl.col("tenants"),
        gpu_hours_ratio=pl.when(base > 0).then(pl.col("gpu_hours") / base),
    )
