"""The routes of money: /api/v1/metering, /reconciliation and /unit-costs over a metered hour."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.api.conftest import Console, MakeConsole
from tests.makers import (
    NOON,
    POOL,
    make_gpu_sample,
    make_job_event,
    make_node,
    make_pool,
    make_price,
)
from warehouse.metering_hours import Meter

BASE = "/api/v1"
HOUR = timedelta(hours=1)


@pytest.fixture
def console(make_console: MakeConsole) -> Console:
    made = make_console()
    at = [NOON + timedelta(minutes=m) for m in range(0, 70, 5)]
    made.store.append([make_pool(), make_price()])
    made.store.append([make_node(measured_at=t, gpu_count=1) for t in at])
    made.store.append([make_gpu_sample(measured_at=t) for t in at])
    made.store.append([
        make_job_event(event="started", gpu_count=1, node_ids=["node-0"]),
        make_job_event(event="started", job_id="job-2", tenant="red", gpu_count=1,
                       node_ids=["node-0"], price_usd_per_gpu_hour=0.0),
        make_job_event(event="finished", job_id="job-2", tenant="red", gpu_count=1,
                       happened_at=NOON + HOUR / 2),
    ])  # fmt: skip
    made.clock.at = NOON + 2 * HOUR
    Meter(made.store, made.clock).run()
    return made


def test_metered_hours_are_listed_and_summed(console: Console) -> None:
    viewer = console.program("viewer")
    state = viewer.get(f"{BASE}/metering").json()
    assert state["metered_until"] == "2026-11-02T13:00:00Z"
    assert "zero_price" in {each["kind"] for each in state["alarms"]}
    hours = viewer.get(f"{BASE}/metering/hours").json()
    assert (hours["total"], hours["items"][0]["job_id"]) == (2, "job-1")
    (red,) = viewer.get(f"{BASE}/metering/hours", params={"tenant": "red"}).json()["items"]
    assert (red["allocated_gpu_hours"], red["charge_usd"]) == (0.5, 0.0)
    asked = {"by": ["pool", "day"]}
    (sums,) = viewer.get(f"{BASE}/metering/summary", params=asked).json()["items"]
    assert (sums["pool"], sums["day"], sums["tenant"]) == (POOL, "2026-11-02T00:00:00Z", None)
    assert (sums["allocated_gpu_hours"], sums["charge_usd"], sums["jobs"]) == (1.5, 2.5, 2)
    assert sums["efficiency_ratio"] == pytest.approx(0.5)
    (run,) = viewer.get(f"{BASE}/metering/runs").json()["items"]
    assert (run["version"], run["reason"], run["row_count"]) == (1, "first", 2)


def test_the_books_and_what_makes_a_difference_are_told(console: Console) -> None:
    viewer = console.program("viewer")
    (day,) = viewer.get(f"{BASE}/reconciliation/days").json()["items"]
    (hour,) = viewer.get(f"{BASE}/reconciliation/hours", params={"pool": POOL}).json()["items"]
    assert day["physical_gpu_hours"] == hour["physical_gpu_hours"] == 1.0
    assert (hour["difference_gpu_hours"], day["hours_out_of_bound"]) == (pytest.approx(0.5), 1)
    path = f"{BASE}/reconciliation/{POOL}/differences"
    found = viewer.get(path, params={"hour": NOON.isoformat()}).json()
    assert (found["nodes"][0]["node_id"], found["jobs"][0]["job_id"]) == ("node-0", "job-2")
    odd = viewer.get(path, params={"hour": (NOON + HOUR / 3).isoformat()})
    assert (odd.status_code, odd.json()["title"]) == (422, "No whole hour")
    none = viewer.get(path, params={"hour": (NOON + 5 * HOUR).isoformat()}).json()
    assert none["hour"] is None
    assert "not metered" in none["words"]


def test_a_span_of_years_is_refused(console: Console) -> None:
    asked = {"since": "2020-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}
    answer = console.program("viewer").get(f"{BASE}/metering/summary", params=asked)
    assert (answer.status_code, answer.json()["title"]) == (422, "Span too long")
    unknown = console.program("viewer").get(f"{BASE}/metering/summary", params={"by": "colour"})
    assert unknown.status_code == 422


def test_unit_costs_are_set_by_an_admin_alone(console: Console) -> None:
    path, sent = f"{BASE}/unit-costs/{POOL}", {"kind": "leased", "rent_usd_per_gpu_hour": 2.0}
    assert console.program("operator").put(path, json=sent).status_code == 403
    admin = console.program("admin", "ann")
    before = admin.get(f"{BASE}/unit-costs").json()
    assert {each["is_stand_in"] for each in before} == {True}
    assert admin.put(path, json=sent).json()["set_by"] == "ann"
    leased, owned = admin.get(f"{BASE}/unit-costs").json()
    assert (leased["fixed_usd"], leased["is_stand_in"]) == (2.0, False)
    assert (leased["cost"]["rent_usd_per_gpu_hour"], owned["cost"]) == (2.0, None)
    wrong = admin.put(path, json=sent | {"rent_usd_per_gpu_hour": 900.0})
    assert (wrong.status_code, wrong.json()["title"]) == (422, "Invalid unit cost")
    assert admin.get(f"{BASE}/unit-costs/history").json()["total"] == 1
