"""A warehouse with marks in what is withheld, and an analyst who asks it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.makers import NOON, make_charge, make_gpu_sample, make_job_event, make_pool_state
from tests.warehouse.analyst_attacks import HASH, TOKEN
from warehouse.analyst import Analyst
from warehouse.analyst_question import Limits
from warehouse.analyst_source import Source
from warehouse.clock import FleetClock, WallClock
from warehouse.people import Person
from warehouse.records import ApiToken, User
from warehouse.store import Store

MARA, PIET = Person("mara", "viewer", "browser"), Person("piet", "operator", "api")
MINUTE = timedelta(minutes=1)


def fill(store: Store) -> None:
    """Rows of open tables in files and in the catalogue, and marked ones in withheld tables."""
    store.append(
        make_gpu_sample(gpu_id=f"gpu-{i % 8}", slot=i % 8, measured_at=NOON - i * MINUTE)
        for i in range(64)
    )
    store.append([make_pool_state(measured_at=NOON - i * MINUTE) for i in range(3)])
    store.append([make_job_event(job_id=f"job-{i}", happened_at=NOON) for i in range(20)])
    store.append([make_charge(job_id=f"job-{i}") for i in range(4)])
    store.append(
        User(user_name=f"user-{i:02d}", role="viewer", password_hash=f"{HASH}-{i}", is_active=True,
             session_epoch=0, recorded_at=NOON)
        for i in range(40)
    )  # fmt: skip
    store.append(
        [ApiToken(token_id="t", secret_hash=TOKEN, user_name="user-1", role="viewer", label="",
                  is_active=True, recorded_at=NOON)]
    )  # fmt: skip


def make_analyst(store: Store, home: Path, folder: Path | None = None, **limits: Any) -> Analyst:
    """One whose clock stands at noon, on the warehouse of this home."""
    clock = FleetClock(NOON, speed=0.0)
    given = Limits(**{"seconds": 20.0, "memory_megabytes": 256} | limits)
    source = Source(f"{home}/parquet/")
    return Analyst(store, source, folder or home / "questions", clock, WallClock(), given)
