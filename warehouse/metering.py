"""What is asked of the metering: who had how many GPU-hours, at which price, at which cost to us.

An hour may have been metered more than once; every question here reads its newest version and no
other. How an hour is metered is in `metering_hours.py` and `docs/metering.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from warehouse.paging import Page, Position, page_of
from warehouse.records import MeteringAlarm
from warehouse.store import Store

HOUR = timedelta(hours=1)

KEYS = {
    "tenant": "tenant",
    "user_id": "user_id",
    "job_id": "job_id",
    "pool": "pool",
    "gpu_model": "gpu_model",
    "region": "region",
    "sharing": "sharing",
    "pricing": "pricing",
    "hour": "hour_starts_at",
    "day": "make_timestamptz(epoch_us(hour_starts_at) // 86400000000 * 86400000000)",
    "month": "date_trunc('month', hour_starts_at)",
}
"""By what metered hours may be summed, and how each is had from a row. Days are cut by arithmetic:
`date_trunc` of an instant asks the calendar, and takes a second for 100,000 rows."""

SUMS = (
    "allocated_gpu_hours",
    "used_gpu_hours",
    "measured_gpu_hours",
    "efficiency_ratio",
    "energy_kilowatt_hours",
    "list_cost_usd",
    "charge_usd",
    "cost_usd",
    "margin_usd",
    "uncosted_gpu_hours",
    "jobs",
)
"""What `by` answers with, after its keys; also what it may be sorted by."""

NEWEST_RUNS = """
    SELECT run_id, version, reason, row_count, hour_starts_at, metered_at FROM metering_runs
    WHERE hour_starts_at >= $since AND hour_starts_at < $until
    QUALIFY row_number() OVER (
        PARTITION BY hour_starts_at ORDER BY version DESC, metered_at DESC, run_id DESC
    ) = 1
"""
"""The metering that holds of each hour; of two of one version, which no lease lets happen, one."""

NEWEST_HOURS = f"""
    SELECT h.*, r.version FROM metered_hours h JOIN ({NEWEST_RUNS}) r USING (run_id)
    WHERE h.hour_starts_at >= $since AND h.hour_starts_at < $until
"""
"""Rows of `metered_hours` of the newest versions, with `version`."""

_SUMS = """
    sum(allocated_gpu_hours) AS allocated_gpu_hours,
    sum(used_gpu_hours) AS used_gpu_hours,
    sum(allocated_gpu_hours * measured_ratio) AS measured_gpu_hours,
    CASE WHEN sum(allocated_gpu_hours * measured_ratio) > 0 THEN
        sum(used_gpu_hours) / sum(allocated_gpu_hours * measured_ratio) END AS efficiency_ratio,
    sum(energy_kilowatt_hours) AS energy_kilowatt_hours,
    sum(list_cost_usd) AS list_cost_usd, sum(charge_usd) AS charge_usd,
    sum(cost_usd) AS cost_usd,
    sum(charge_usd - cost_usd) AS margin_usd,
    coalesce(sum(allocated_gpu_hours) FILTER (cost_usd IS NULL), 0) AS uncosted_gpu_hours,
    count(DISTINCT job_id) AS jobs
"""


def hours(store: Store, *, since: datetime, until: datetime) -> pl.DataFrame:
    """Rows of `metered_hours` whose hour starts in a span, of each hour's newest version alone.

    Columns are the record's and `version`; ordered by hour, tenant, job and pool.
    """
    return store.query(
        f"{NEWEST_HOURS} ORDER BY hour_starts_at, tenant, job_id, pool, pricing, "
        "sharing, price_usd_per_gpu_hour",
        since=since,
        until=until,
    )


def hours_page(
    store: Store,
    *,
    since: datetime,
    until: datetime,
    tenant: str | None = None,
    pool: str | None = None,
    job_id: str | None = None,
    offset: Position = 0,
    limit: int = 100,
) -> Page:
    """A page of `hours`, the newest hour first."""
    return page_of(
        store,
        f"""
        SELECT * FROM ({NEWEST_HOURS})
        WHERE ($tenant IS NULL OR tenant = $tenant) AND ($pool IS NULL OR pool = $pool)
            AND ($job_id IS NULL OR job_id = $job_id)
        """,
        order="hour_starts_at DESC, tenant, job_id, pool, pricing, sharing, price_usd_per_gpu_hour",
        offset=offset,
        limit=limit,
        since=since,
        until=until,
        tenant=tenant,
        pool=pool,
        job_id=job_id,
    )


def version_of(store: Store, *, since: datetime, until: datetime) -> pl.DataFrame:
    """The newest metering of each hour of a span, in time order, columns as in `metering_runs`.

    Whoever made something of an hour's rows keeps its `run_id` or `version`, and sees here that it
    was metered anew, and in `reason` why. An hour without a row is not metered yet.
    """
    return store.query(f"{NEWEST_RUNS} ORDER BY hour_starts_at", since=since, until=until)


def runs(
    store: Store, *, since: datetime, until: datetime, offset: Position = 0, limit: int = 100
) -> Page:
    """Every metering of the hours of a span, older versions too, the latest made first."""
    return page_of(
        store,
        "SELECT * FROM metering_runs WHERE hour_starts_at >= $since AND hour_starts_at < $until",
        order="metered_at DESC, hour_starts_at DESC, version DESC, run_id",
        offset=offset,
        limit=limit,
        since=since,
        until=until,
    )


def metered_until(store: Store) -> datetime | None:
    """Up to when hours are metered, exclusive; None where none is."""
    span = metered_span(store)
    return span[1] if span else None


def metered_span(store: Store) -> tuple[datetime, datetime] | None:
    """The first hour that is metered and up to when hours are, exclusive; None where none is."""
    sql = "SELECT min(hour_starts_at) AS first, max(hour_starts_at) AS last FROM metering_runs"
    first, last = store.query(sql).row(0)
    return (first, last + HOUR) if last else None


def by(
    store: Store,
    *,
    since: datetime,
    until: datetime,
    keys: Sequence[str] = ("tenant",),
    tenant: str | None = None,
    pool: str | None = None,
    job_id: str | None = None,
) -> pl.DataFrame:
    """Metered hours of a span summed by `keys` (of `KEYS`), in their order; then `SUMS`.

    `efficiency_ratio` is GPU-hours used over those of the allocated ones that were measured.
    `margin_usd` is what was billed less what it cost us, over rows whose cost is known;
    `uncosted_gpu_hours` are the others. Without keys it is one row.

    Raises:
        ValueError: a key is not one of `KEYS`.
    """
    for key in keys:
        if key not in KEYS:
            raise ValueError(f"metered hours have no {key}: use one of {', '.join(KEYS)}")
    shown = "".join(f"{KEYS[key]} AS {key}, " for key in keys)
    grouped = f"GROUP BY {', '.join(KEYS[key] for key in keys)} ORDER BY ALL" if keys else ""
    return store.query(
        f"""
        SELECT {shown}{_SUMS} FROM ({NEWEST_HOURS})
        WHERE ($tenant IS NULL OR tenant = $tenant) AND ($pool IS NULL OR pool = $pool)
            AND ($job_id IS NULL OR job_id = $job_id)
        {grouped}
        """,
        since=since,
        until=until,
        tenant=tenant,
        pool=pool,
        job_id=job_id,
    )


def alarms(store: Store, *, since: datetime | None = None, limit: int = 200) -> list[MeteringAlarm]:
    """What a person must look at, the newest first; each was told once."""
    return store.rows(
        MeteringAlarm,
        """
        SELECT * FROM metering_alarms WHERE $since IS NULL OR happened_at >= $since
        QUALIFY row_number() OVER (PARTITION BY alarm_id ORDER BY happened_at, rowid) = 1
        ORDER BY happened_at DESC, alarm_id LIMIT $limit
        """,
        since=since,
        limit=limit,
    )
