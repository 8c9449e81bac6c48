"""What of a metering a person must look at: told once, under an id that is the fault's own."""

from __future__ import annotations

import polars as pl

from warehouse.metering_books import UNKNOWN_TENANT, Books
from warehouse.records import MeteringAlarm
from warehouse.store import Store


def unknown(store: Store, made: Books, hours: pl.Series) -> list[MeteringAlarm]:
    """Alarms of some of the hours of the books that were not told before."""
    found: dict[str, MeteringAlarm] = {}
    for alarm in _all(made, hours):
        found.setdefault(alarm.alarm_id, alarm)
    if not found:
        return []
    told = store.query(
        "SELECT DISTINCT alarm_id FROM metering_alarms "
        "WHERE list_contains($ids::VARCHAR[], alarm_id)",
        ids=list(found),
    )["alarm_id"]
    return [alarm for alarm_id, alarm in found.items() if alarm_id not in set(told)]


def _all(made: Books, hours: pl.Series) -> list[MeteringAlarm]:
    of_hours = pl.col("hour_starts_at").is_in(hours.implode())
    rows = made.hours.filter(of_hours).sort("hour_starts_at")
    fleet = made.fleet.filter(of_hours).sort("hour_starts_at")
    return [*_zero_prices(rows), *_unpriced(rows), *_uncosted(rows), *_strangers(rows),
            *_beyond(fleet)]  # fmt: skip


def _zero_prices(rows: pl.DataFrame) -> list[MeteringAlarm]:
    agreed = rows.filter(pl.col("price_usd_per_gpu_hour") == 0).unique("job_id", keep="first")
    listed = rows.filter(pl.col("list_price_usd_per_gpu_hour") == 0).unique("pool", keep="first")
    return [
        MeteringAlarm(
            alarm_id=f"zero_price/{row['pool']}/{row['job_id']}",
            kind="zero_price",
            pool=row["pool"],
            job_id=row["job_id"],
            detail=f"{row['job_id']} of {row['tenant']} runs in {row['pool']} at $0 a GPU-hour: "
            "see whether that was meant",
            happened_at=row["hour_starts_at"],
        )
        for row in agreed.iter_rows(named=True)
    ] + [
        MeteringAlarm(
            alarm_id=f"zero_price/{row['pool']}",
            kind="zero_price",
            pool=row["pool"],
            detail=f"the list price of {row['pool']} is $0: set one that is meant",
            happened_at=row["hour_starts_at"],
        )
        for row in listed.iter_rows(named=True)
    ]


def _unpriced(rows: pl.DataFrame) -> list[MeteringAlarm]:
    without = rows.filter(
        pl.col("price_usd_per_gpu_hour").is_null() & (pl.col("pricing") != "spot")
    )
    return [
        _of_pool(row, "no_price", "has no price and its jobs none of their own: their hours are "
                 "metered and not billed; give the pool a list price")
        for row in without.unique("pool", keep="first").iter_rows(named=True)
    ]  # fmt: skip


def _uncosted(rows: pl.DataFrame) -> list[MeteringAlarm]:
    without = rows.filter(pl.col("cost_usd").is_null()).unique("pool", keep="first")
    return [
        _of_pool(row, "no_cost", "has no unit cost, so that its margin is not known: set one by "
                 "/api/v1/unit-costs")
        for row in without.iter_rows(named=True)
    ]  # fmt: skip


def _strangers(rows: pl.DataFrame) -> list[MeteringAlarm]:
    unknown_ones = rows.filter(pl.col("tenant") == UNKNOWN_TENANT).unique("pool", keep="first")
    return [
        _of_pool(row, "unknown_tenant", f"has GPUs held by {row['job_id']}, of which no tenant is "
                 "known: name the tenant in its labels")
        for row in unknown_ones.iter_rows(named=True)
    ]  # fmt: skip


def _beyond(fleet: pl.DataFrame) -> list[MeteringAlarm]:
    far = pl.col("difference_gpu_hours").abs() > pl.col("bound_gpu_hours")
    over = (pl.col("physical_gpu_hours") > 0) & (
        pl.col("metered_gpu_hours") > pl.col("physical_gpu_hours") + 1e-6
    )
    days = fleet.filter(far | over).with_columns(day=pl.col("hour_starts_at").dt.date())
    return [
        MeteringAlarm(
            alarm_id=f"out_of_bounds/{row['pool']}/{row['day']}",
            kind="out_of_bounds",
            pool=row["pool"],
            detail=f"{row['pool']} in the hour of {row['hour_starts_at']:%Y-%m-%d %H:%M}: metered "
            f"{row['metered_gpu_hours']:.2f} of {row['physical_gpu_hours']:.2f} GPU-hours, "
            f"{row['difference_gpu_hours']:+.2f} against the readings, which may differ by "
            f"{row['bound_gpu_hours']:.2f}: the reconciliation names nodes and jobs",
            happened_at=row["hour_starts_at"],
        )
        for row in days.unique(["pool", "day"], keep="first").iter_rows(named=True)
    ]


def _of_pool(row: dict[str, object], kind: str, words: str) -> MeteringAlarm:
    pool = str(row["pool"])
    return MeteringAlarm(
        alarm_id=f"{kind}/{pool}",
        kind=kind,  # type: ignore[arg-type]
        pool=pool,
        detail=f"{pool} {words}",
        happened_at=row["hour_starts_at"],  # type: ignore[arg-type]
    )
