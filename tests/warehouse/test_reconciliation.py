"""The books: every physical GPU-hour in one place, and where metering and readings differ."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.makers import (
    NOON,
    POOL,
    make_charge,
    make_gpu_sample,
    make_job_event,
    make_ledger,
    make_node,
    make_pool,
    make_price,
)
from warehouse import metering, reconciliation
from warehouse.clock import FleetClock
from warehouse.metering_hours import Meter
from warehouse.store import Store

HOUR = timedelta(hours=1)
PARTS = ("allocated", "idle", "cordoned", "down", "unread")


def minutes(step: int = 5) -> list[Any]:
    return [NOON + timedelta(minutes=m) for m in range(0, 70, step)]


def settle(store: Store) -> dict[str, Any]:
    store.append([make_pool(), make_price()])
    Meter(store, FleetClock(NOON + 2 * HOUR, 0.0)).run()
    (book,) = reconciliation.hours(store, since=NOON, until=NOON + HOUR).to_dicts()
    assert sum(book[f"{part}_gpu_hours"] for part in PARTS) == pytest.approx(
        book["physical_gpu_hours"], abs=1e-6
    )
    assert book["unaccounted_gpu_hours"] == pytest.approx(0.0, abs=1e-6)
    return book


def parts(book: dict[str, Any]) -> list[float]:
    return [round(book[f"{part}_gpu_hours"], 6) for part in PARTS]


def test_every_gpu_hour_is_in_one_place(store: Store) -> None:
    states = {"a": ("active", 8), "b": ("cordoned", 6), "c": ("down", 0), "d": ("off", 0)}
    store.append([
        make_node(node_id=name, state=state, gpus_used=used, measured_at=at)
        for name, (state, used) in states.items() for at in minutes()
    ])  # fmt: skip
    store.append(
        [
            make_job_event(event="started", gpu_count=6, node_ids=["a"]),
            make_job_event(event="started", job_id="job-2", gpu_count=6, node_ids=["b"]),
        ]
    )
    assert parts(settle(store)) == [12.0, 2.0, 2.0, 16.0, 0.0]


def test_a_leased_node_that_came_and_went_counts_while_it_was_there(store: Store) -> None:
    store.append([make_node(measured_at=at) for at in minutes()])
    store.append([make_node(node_id="leased", kind="leased", measured_at=at)
                  for at in minutes()[3:9]])  # fmt: skip
    assert settle(store)["physical_gpu_hours"] == pytest.approx(8.0 + 4.0)


def test_a_gap_in_the_readings_is_unread_and_widens_the_bound(store: Store) -> None:
    seen = [at for at in minutes() if not 10 < at.minute < 50 or at >= NOON + HOUR]
    store.append([make_node(gpu_count=1, measured_at=at) for at in minutes()])
    store.append([make_gpu_sample(job_id=None, tenant=None, measured_at=at) for at in seen])
    book = settle(store)
    assert book["unread_gpu_hours"] == pytest.approx(25 / 60)  # of 40 minutes 15 are vouched for
    assert book["bound_gpu_hours"] == pytest.approx(25 / 60)


def test_more_than_was_there_is_told_as_such_and_by_node_and_job(store: Store) -> None:
    store.append([make_node(gpu_count=1, measured_at=at) for at in minutes()])
    store.append([make_gpu_sample(measured_at=at) for at in minutes()])
    store.append([
        make_job_event(event="started", job_id=job, gpu_count=1, node_ids=["node-0"])
        for job in ("job-1", "ghost")
    ])  # fmt: skip
    store.append([make_job_event(event="finished", job_id="ghost", happened_at=NOON + HOUR)])
    book = settle(store)
    assert (book["metered_gpu_hours"], book["allocated_gpu_hours"]) == (2.0, 1.0)
    assert (book["over_metered_gpu_hours"], book["is_within_bound"]) == (1.0, False)
    found = reconciliation.where_it_differs(store, POOL, NOON)
    assert found.nodes.row(0, named=True)["difference_gpu_hours"] == pytest.approx(1.0)
    assert found.jobs["job_id"].to_list() == ["ghost"]
    assert "1.00 GPU-hours were metered beyond" in found.words
    assert "most of ghost (+1.00)" in found.words
    (alarm,) = metering.alarms(store)
    assert alarm.alarm_id == f"out_of_bounds/{POOL}/2026-11-02"
    (day,) = reconciliation.days(store, since=NOON - 12 * HOUR, until=NOON + 12 * HOUR).to_dicts()
    assert (day["hours"], day["hours_out_of_bound"]) == (1, 1)


def test_what_the_fleet_charged_itself_is_held_against_what_was_billed(store: Store) -> None:
    store.append([make_node(measured_at=at) for at in minutes()])
    store.append([make_job_event(event="started", node_ids=["node-0"])])
    store.append([make_charge(gpu_hours=3.5, charge_usd=8.75, period_starts_at=NOON),
                  make_ledger(period_starts_at=NOON)])  # fmt: skip
    book = settle(store)
    assert (book["charge_difference_usd"], book["ledger_gpu_hours"]) == (1.25, 40.0)
    (job,) = reconciliation.where_it_differs(store, POOL, NOON).jobs.to_dicts()
    assert (job["job_id"], job["charge_difference_gpu_hours"]) == ("job-1", 0.5)


def test_an_hour_that_is_not_metered_is_said_to_be_so(store: Store) -> None:
    found = reconciliation.where_it_differs(store, POOL, NOON)
    assert found.hour.is_empty()
    assert "not metered" in found.words
