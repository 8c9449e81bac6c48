"""Metered hours for the tests of exports, and an exporter whose clock is turned by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.makers import NOON, POOL
from warehouse.export_making import Exporter
from warehouse.export_terms import ExportTerms
from warehouse.records import MeteredHour, MeteringRun
from warehouse.store import Store

HOUR = timedelta(hours=1)


@dataclass
class HandClock:
    at: datetime = NOON + timedelta(days=21)

    def now(self) -> datetime:
        return self.at


def make_metered_hour(**changes: Any) -> MeteredHour:
    made = MeteredHour(
        run_id="run",
        job_id="job-1",
        tenant="tenant-a",
        user_id="user-1",
        pool=POOL,
        gpu_model="H100 SXM",
        region="us-east",
        sharing="whole",
        pricing="standard",
        allocated_gpu_hours=8.0,
        used_gpu_hours=6.0,
        measured_ratio=1.0,
        energy_kilowatt_hours=4.5,
        list_price_usd_per_gpu_hour=2.5,
        price_usd_per_gpu_hour=2.25,
        list_cost_usd=20.0,
        charge_usd=18.0,
        cost_usd=9.0,
        hour_starts_at=NOON,
    )
    return replace(made, **changes)


def meter(
    store: Store,
    first: datetime,
    hours: int = 24,
    *,
    version: int = 1,
    reason: str = "first",
    rows: tuple[MeteredHour, ...] = (make_metered_hour(),),
) -> None:
    """Meter so many hours from one on, each with these rows."""
    made: list[Any] = []
    for at in (first + number * HOUR for number in range(hours)):
        run_id = f"{at:%Y%m%d%H}-{version}"
        made += [replace(row, run_id=run_id, hour_starts_at=at) for row in rows]
        made.append(
            MeteringRun(
                run_id=run_id,
                version=version,
                reason=reason,
                row_count=len(rows),
                hour_starts_at=at,
                metered_at=at + HOUR,
            )
        )
    store.append(made)


def exporter_to(store: Store, place: Path | str, clock: HandClock | None = None) -> Exporter:
    return Exporter(store, ExportTerms(str(place)), clock or HandClock())
