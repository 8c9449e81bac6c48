"""A made-up past as a console would have it: what is kept is there, and it starts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.simulator import generate
from engine.simulator.session import FleetAsked
from tests.makers import NOON, make_gpu_sample
from warehouse import metering, reconciliation, rollups
from warehouse.store import Store

KEPT = {"gpu_samples": 0.25, "gpu_rollups_60": 0.25, "gpu_rollups_300": 90.0}


def test_the_nearer_a_day_the_finer_it_is_read() -> None:
    fine = generate.Kept(timedelta(days=3), timedelta(days=14)).fineness(NOON)
    ages = (1, 3, 5, 14, 16, 80)
    assert [fine(NOON - timedelta(days=age)) for age in ages] == [15, 15, 60, 60, 300, 300]


def test_a_past_is_rolled_up_as_a_console_does_it(store: Store) -> None:
    told: list[float] = []
    asked = FleetAsked(seed=7, history=timedelta(hours=3), live_from=NOON, speed=0.0, gpus=32)
    session = generate.generate(store, asked, KEPT, told.append)
    assert session.progress_ratio == 1.0
    assert told == sorted(told)
    rows = dict(
        store.query("SELECT period_seconds, count(*) FROM gpu_rollups GROUP BY 1").iter_rows()
    )
    gpus = store.query("SELECT count(DISTINCT gpu_id) FROM gpu_samples").item()
    assert rows[3600] >= 3 * 32
    assert rows[3600] * 50 < rows[60] <= gpus * 180
    assert store.query("SELECT count(*) FROM charges").item() > 0


def test_a_past_is_metered_while_its_readings_are_there(store: Store) -> None:
    asked = FleetAsked(seed=7, history=timedelta(hours=6), live_from=NOON, speed=0.0, gpus=32)
    generate.generate(store, asked, KEPT, lambda done: None)
    # The last hour is metered once what comes late had its time.
    assert metering.metered_until(store) == NOON - timedelta(hours=1)
    books = reconciliation.hours(store, since=NOON - timedelta(hours=6), until=NOON)
    assert books.height
    assert books["is_within_bound"].all()
    spot = metering.by(store, since=NOON - timedelta(hours=6), until=NOON, keys=("pricing",))
    assert set(spot["pricing"]) == {"spot", "standard"}


def test_spot_is_held_by_no_job_in_roll_ups_either(store: Store) -> None:
    readings = [
        make_gpu_sample(measured_at=NOON + n * timedelta(minutes=1), job_id=job, tenant=tenant)
        for n, (job, tenant) in enumerate([("job-1", "red"), (None, "spot"), (None, None)] * 40)
    ]
    store.append(readings)
    rollups.roll_up(store)
    held = store.query("SELECT held_ratio FROM gpu_rollups WHERE period_seconds = 3600")
    assert held["held_ratio"][0] == pytest.approx(1 / 3)
