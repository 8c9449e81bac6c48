"""Jobs, readings and metered rows, in minutes and hours after noon, for the tests of metering."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.makers import NOON, make_gpu_sample, make_job_event
from warehouse import metering
from warehouse.records import JobEvent
from warehouse.store import Store

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@dataclass
class HandClock:
    at: datetime = NOON + 3 * HOUR

    def now(self) -> datetime:
        return self.at


def event(what: str, minutes: float, **changes: Any) -> JobEvent:
    nodes = ["node-0"] if what in ("started", "migrated", "checkpointed") else []
    at = NOON + minutes * MINUTE
    return make_job_event(**{"event": what, "node_ids": nodes, "happened_at": at, **changes})


def rows(store: Store) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Newest rows by job, pool and hour after noon."""
    found = metering.hours(store, since=NOON - HOUR, until=NOON + 48 * HOUR)
    return {
        (row["job_id"], row["pool"], int((row["hour_starts_at"] - NOON) / HOUR)): row
        for row in found.iter_rows(named=True)
    }


def hours_of(store: Store) -> dict[int, float]:
    return {key[2]: row["allocated_gpu_hours"] for key, row in rows(store).items()}


def read(minutes: range, **changes: Any) -> list[Any]:
    return [make_gpu_sample(measured_at=NOON + m * MINUTE, stored_at=NOON + m * MINUTE, **changes)
            for m in minutes]  # fmt: skip
