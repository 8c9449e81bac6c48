"""Rows of the money for tests: the books and alarms; metered hours are in `exporting`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests.exporting import make_metered_hour, meter
from tests.makers import NOON, POOL
from warehouse.records import FleetHour, MeteringAlarm
from warehouse.store import Store

HOUR = timedelta(hours=1)


def make_fleet_hour(**changes: Any) -> FleetHour:
    made = FleetHour(
        run_id="run",
        pool=POOL,
        gpu_model="H100 SXM",
        physical_gpu_hours=16.0,
        allocated_gpu_hours=8.0,
        observed_gpu_hours=8.0,
        idle_gpu_hours=5.0,
        cordoned_gpu_hours=1.0,
        down_gpu_hours=1.5,
        unread_gpu_hours=0.5,
        difference_gpu_hours=0.0,
        bound_gpu_hours=0.5,
        revenue_usd=18.0,
        cost_usd=12.0,
        hour_starts_at=NOON,
    )
    return replace(made, **changes)


def make_metering_alarm(**changes: Any) -> MeteringAlarm:
    made = MeteringAlarm(
        alarm_id=f"zero_price/{POOL}/job-1",
        kind="zero_price",
        pool=POOL,
        job_id="job-1",
        detail=f"job-1 of tenant-a runs in {POOL} at $0 a GPU-hour: see whether that was meant",
        happened_at=NOON,
    )
    return replace(made, **changes)


def keep_books(store: Store, first: datetime, hours: int, **changes: Any) -> None:
    """Meter hours with one job, and the books of one pool that belong to them."""
    meter(store, first, hours, rows=(make_metered_hour(),))
    every_hour = (first + number * HOUR for number in range(hours))
    store.append(
        [
            make_fleet_hour(run_id=f"{each:%Y%m%d%H}-1", hour_starts_at=each, **changes)
            for each in every_hour
        ]
    )
