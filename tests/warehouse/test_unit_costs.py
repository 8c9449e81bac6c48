"""What GPUs cost us: bounds, what holds when, and what jobs and idle GPUs cost by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.makers import (
    NOON,
    POOL,
    make_gpu_sample,
    make_job_event,
    make_node,
    make_pool,
    make_price,
)
from warehouse import audit, metering, reconciliation, unit_costs
from warehouse.clock import FleetClock
from warehouse.metering_hours import Meter
from warehouse.records import UnitCost
from warehouse.store import Store
from warehouse.unit_costs import InvalidUnitCost, in_force, set_unit_cost

HOUR = timedelta(hours=1)
OWNED = UnitCost(
    pool=POOL,
    kind="owned",
    purchase_usd_per_gpu=30_000.0,
    residual_usd_per_gpu=3_720.0,
    depreciation_years=5.0,
    hosting_usd_per_gpu_hour=0.10,
    power_usd_per_kilowatt_hour=0.20,
    power_overhead_ratio=1.5,
    idle_watts_per_gpu=200.0,
    busy_watts_per_gpu=1000.0,
    set_by="ann",
    in_force_from_at=NOON,
)
RENTED = UnitCost(
    pool=POOL, kind="leased", rent_usd_per_gpu_hour=2.0, set_by="ann", in_force_from_at=NOON
)
FIXED_USD = (30_000 - 3_720) / (5 * 8760) + 0.10
KILOWATT_HOUR_USD = 0.20 * 1.5


def put(store: Store, cost: UnitCost, **changes: Any) -> None:
    set_unit_cost(store, replace(cost, **changes), now=NOON, via="api")


def metered(store: Store) -> dict[str, Any]:
    Meter(store, FleetClock(NOON + 2 * HOUR, 0.0)).run()
    (book,) = reconciliation.hours(store, since=NOON, until=NOON + HOUR).to_dicts()
    return book


def fleet(store: Store, **node: Any) -> None:
    """A node of two GPUs, one held from noon on, both read each five minutes."""
    at = [NOON + timedelta(minutes=m) for m in range(0, 70, 5)]
    store.append([make_pool(), make_price(), make_job_event(event="started", gpu_count=1,
                  node_ids=["node-0"])])  # fmt: skip
    store.append([make_node(measured_at=t, gpu_count=2, **node) for t in at])
    store.append([make_gpu_sample(measured_at=t, power_watts=800.0) for t in at])
    store.append([make_gpu_sample(gpu_id="gpu-1", slot=1, measured_at=t, power_watts=100.0,
                  utilisation_ratio=0.0, job_id=None, tenant=None) for t in at])  # fmt: skip


def test_the_newest_cost_in_force_holds_and_who_set_it_is_on_record(store: Store) -> None:
    store.append([make_pool()])
    put(store, RENTED)
    put(store, RENTED, rent_usd_per_gpu_hour=2.5, in_force_from_at=NOON + HOUR)
    early, late = (in_force(store, POOL, "leased", NOON + n * HOUR) for n in (0, 1))
    assert early is not None
    assert late is not None
    assert (early.rent_usd_per_gpu_hour, late.rent_usd_per_gpu_hour) == (2.0, 2.5)
    assert in_force(store, POOL, "owned", NOON + HOUR) is None
    assert [each.rent_usd_per_gpu_hour for each in unit_costs.history(store)] == [2.5, 2.0]
    events = audit.audit(store, act="unit_cost.set").rows
    assert (events["actor"][0], events["target"][0]) == ("ann", f"{POOL}/leased")


@pytest.mark.parametrize(
    ("cost", "changes", "words"),
    [
        (RENTED, {"rent_usd_per_gpu_hour": None}, "need rent_usd_per_gpu_hour"),
        (RENTED, {"rent_usd_per_gpu_hour": 250.0}, "between 0 and 100"),
        (RENTED, {"hosting_usd_per_gpu_hour": 0.1}, "none of leased nodes"),
        (RENTED, {"pool": "elsewhere"}, "no pool elsewhere"),
        (RENTED, {"in_force_from_at": NOON - timedelta(days=3)}, "at most 2 days ago"),
        (OWNED, {"power_overhead_ratio": 0.8}, "between 1 and 3"),
        (OWNED, {"depreciation_years": None}, "go together"),
        (OWNED, {"residual_usd_per_gpu": 40_000.0}, "can't be more"),
        (OWNED, {"busy_watts_per_gpu": None}, "give idle_watts_per_gpu"),
    ],
)
def test_a_cost_that_can_not_be_meant_is_refused(
    store: Store, cost: UnitCost, changes: dict[str, Any], words: str
) -> None:
    store.append([make_pool()])
    with pytest.raises(InvalidUnitCost, match=words):
        put(store, cost, **changes)
    assert unit_costs.history(store) == []


def test_owned_gpus_cost_their_depreciation_hosting_and_measured_energy(store: Store) -> None:
    fleet(store)
    put(store, OWNED)
    book = metered(store)
    job = FIXED_USD + 0.8 * KILOWATT_HOUR_USD
    assert book["cost_usd"] - book["idle_cost_usd"] == pytest.approx(job)
    assert book["idle_cost_usd"] == pytest.approx(FIXED_USD + 0.1 * KILOWATT_HOUR_USD)
    (tenant,) = metering.by(store, since=NOON, until=NOON + HOUR).to_dicts()
    assert tenant["margin_usd"] == pytest.approx(2.5 - job)


def test_where_power_is_not_measured_the_set_watts_hold(store: Store) -> None:
    store.append([make_pool(), make_price(), make_job_event(event="started", gpu_count=1,
                  node_ids=["node-0"])])  # fmt: skip
    store.append([make_node(measured_at=NOON + n * HOUR / 4, gpu_count=2) for n in range(6)])
    put(store, OWNED)
    book = metered(store)
    assert book["cost_usd"] == pytest.approx(2 * FIXED_USD + (1.0 + 0.2) * KILOWATT_HOUR_USD)


def test_leased_gpus_cost_their_rent_busy_or_not(store: Store) -> None:
    fleet(store, kind="leased")
    put(store, RENTED)
    book = metered(store)
    assert (book["cost_usd"], book["idle_cost_usd"]) == (pytest.approx(4.0), pytest.approx(2.0))


def test_without_a_unit_cost_the_pools_own_rates_stand_in(store: Store) -> None:
    fleet(store)
    book = metered(store)
    assert book["cost_usd"] == pytest.approx(2 * 0.15 + 0.10)
    assert not metering.alarms(store)


def test_a_cost_that_is_set_for_the_past_meters_the_hours_since_anew(store: Store) -> None:
    fleet(store)
    meter = Meter(store, FleetClock(NOON + 2 * HOUR, 0.0))
    meter.run()
    put(store, OWNED)
    assert meter.run().row_count == 1
    (run,) = metering.version_of(store, since=NOON, until=NOON + HOUR).to_dicts()
    assert run["version"] == 2
    assert run["reason"].startswith("1 unit costs came late: +0.0000 GPU-hours")
