"""Metering by hand-made examples and against a slow reference: who had what, when, for how much."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.makers import (
    NOON,
    POOL,
    make_gpu_sample,
    make_gpu_share,
    make_ledger,
    make_node,
    make_pool,
    make_price,
)
from tests.warehouse.metered import HOUR, MINUTE, HandClock, event, hours_of, read, rows
from warehouse import metering, reconciliation
from warehouse.metering_hours import Meter
from warehouse.records import GpuRollup
from warehouse.store import Store


@pytest.fixture
def meter(store: Store) -> Meter:
    store.append([make_pool(), make_price()])
    return Meter(store, HandClock())


# -- by the events of jobs ---------------------------------------------------------------


def test_a_job_over_an_hours_border_is_metered_to_the_microsecond_in_both(
    store: Store, meter: Meter
) -> None:
    ends_at = NOON + 75 * MINUTE + timedelta(microseconds=1)
    store.append([event("submitted", 20), event("started", 30),
                  event("finished", 0, happened_at=ends_at)])  # fmt: skip
    meter.run()
    assert hours_of(store) == {0: 2.0, 1: pytest.approx(1.0 + 4 / 3.6e9, abs=1e-12)}
    first = rows(store)["job-1", POOL, 0]
    assert (first["charge_usd"], first["list_cost_usd"]) == (5.0, 5.0)
    assert (first["used_gpu_hours"], first["measured_ratio"]) == (None, 0.0)


def test_four_quarters_of_a_gpu_for_an_hour_make_one_gpu_hour(store: Store, meter: Meter) -> None:
    store.append([
        event(what, at, job_id=f"job-{n}", gpu_count=1, share_ratio=0.25)
        for n in range(4) for what, at in (("started", 0), ("finished", 60))
    ])  # fmt: skip
    meter.run()
    (tenant,) = metering.by(store, since=NOON, until=NOON + HOUR).to_dicts()
    assert (tenant["allocated_gpu_hours"], tenant["jobs"], tenant["charge_usd"]) == (1.0, 4, 2.5)
    assert rows(store)["job-0", POOL, 0]["sharing"] == "time_sliced"


def test_a_price_locked_for_the_job_holds_and_the_list_price_beside_it_changes(
    store: Store, meter: Meter
) -> None:
    store.append([make_price(price_usd_per_gpu_hour=3.5, in_force_from_at=NOON + 30 * MINUTE),
                  event("submitted", 0), event("started", 0), event("finished", 60)])  # fmt: skip
    meter.run()
    row = rows(store)["job-1", POOL, 0]
    assert (row["price_usd_per_gpu_hour"], row["charge_usd"]) == (2.5, 10.0)
    assert (row["list_price_usd_per_gpu_hour"], row["list_cost_usd"]) == (3.0, 12.0)


def test_without_a_locked_price_the_list_at_submission_holds(store: Store, meter: Meter) -> None:
    store.append([
        make_price(price_usd_per_gpu_hour=3.5, in_force_from_at=NOON + 10 * MINUTE),
        event("submitted", 5, price_usd_per_gpu_hour=None),
        event("started", 30, price_usd_per_gpu_hour=None),
        event("submitted", 12, job_id="job-2", price_usd_per_gpu_hour=None),
        event("started", 30, job_id="job-2", price_usd_per_gpu_hour=None),
    ])  # fmt: skip
    meter.run()
    found = rows(store)
    assert found["job-1", POOL, 0]["price_usd_per_gpu_hour"] == 2.5
    assert found["job-2", POOL, 0]["price_usd_per_gpu_hour"] == 3.5


def test_a_job_that_moves_to_another_pool_keeps_its_price_and_is_metered_in_both(
    store: Store, meter: Meter
) -> None:
    store.append([make_price(pool="b", price_usd_per_gpu_hour=9.0), event("started", 0),
                  event("migrated", 15, pool="b", node_ids=["node-b"]),
                  event("finished", 60, pool="b")])  # fmt: skip
    meter.run()
    found = rows(store)
    assert found["job-1", POOL, 0]["allocated_gpu_hours"] == 1.0
    there = found["job-1", "b", 0]
    assert (there["allocated_gpu_hours"], there["charge_usd"]) == (3.0, 7.5)
    assert there["list_cost_usd"] == 27.0


def test_a_preempted_job_has_nothing_until_it_starts_again(store: Store, meter: Meter) -> None:
    store.append([event("started", 0), event("preempted", 15), event("started", 45)])
    meter.run()
    assert hours_of(store) == {0: 2.0, 1: 4.0}  # it runs still


def test_preempted_and_started_at_one_instant_runs_on(store: Store, meter: Meter) -> None:
    store.append([event("started", 0), event("started", 30), event("preempted", 30),
                  event("finished", 60)])  # fmt: skip
    meter.run()
    assert hours_of(store) == {0: 4.0}


def test_events_told_twice_and_checkpoints_change_nothing(store: Store, meter: Meter) -> None:
    once = [event("submitted", 0), event("started", 15), event("checkpointed", 30),
            event("finished", 45), event("checkpointed", 50)]  # fmt: skip
    store.append([*once, *once])
    meter.run()
    assert hours_of(store) == {0: 2.0}


def test_a_checkpoint_alone_shows_that_a_job_runs(store: Store, meter: Meter) -> None:
    store.append([event("submitted", 0), event("checkpointed", 30), event("checkpointed", 45),
                  event("finished", 60)])  # fmt: skip
    meter.run()
    assert hours_of(store) == {0: 2.0}


def test_a_job_that_gave_up_or_only_waits_has_nothing(store: Store, meter: Meter) -> None:
    store.append([event("submitted", 0), event("left", 30), event("submitted", 5, job_id="job-2")])
    meter.run()
    assert hours_of(store) == {}
    assert metering.metered_until(store) == NOON + 2 * HOUR  # yet the hours are metered


# -- by the readings ---------------------------------------------------------------------


def test_used_hours_are_the_utilisation_of_the_held_ones_and_the_ratio_says_what_was_measured(
    store: Store, meter: Meter
) -> None:
    store.append([event("started", 0, gpu_count=1), event("finished", 60)])
    store.append(read(range(0, 30, 5), utilisation_ratio=0.8))
    store.append(read(range(30, 60, 5), utilisation_ratio=None))
    store.append([make_gpu_sample(measured_at=NOON + 62 * MINUTE, job_id=None, tenant=None)])
    meter.run()
    row = rows(store)["job-1", POOL, 0]
    assert row["used_gpu_hours"] == pytest.approx(0.4)
    assert row["measured_ratio"] == pytest.approx(0.5)
    assert row["energy_kilowatt_hours"] == pytest.approx(0.4)
    (summed,) = metering.by(store, since=NOON, until=NOON + HOUR, keys=("gpu_model",)).to_dicts()
    assert (summed["gpu_model"], summed["efficiency_ratio"]) == ("H100 SXM", pytest.approx(0.8))


def test_an_energy_counter_is_believed_before_the_power(store: Store, meter: Meter) -> None:
    store.append([event("started", 0, gpu_count=1), event("finished", 60)])
    store.append([
        make_gpu_sample(measured_at=NOON + m * MINUTE, power_watts=400.0,
                        energy_joules=1e6 + m * 60 * 300.0) for m in range(0, 66, 5)
    ])  # fmt: skip
    meter.run()
    assert rows(store)["job-1", POOL, 0]["energy_kilowatt_hours"] == pytest.approx(0.3)


def test_a_holder_whom_no_event_knows_is_metered_by_the_readings(
    store: Store, meter: Meter
) -> None:
    store.append(read(range(0, 30, 5), job_id="stranger", tenant="red"))
    store.append(read(range(30, 70, 5), job_id=None, tenant=None))
    store.append([make_node(measured_at=NOON + m * MINUTE, gpu_count=1) for m in range(0, 70, 5)])
    meter.run()
    row = rows(store)["stranger", POOL, 0]
    assert (row["tenant"], row["allocated_gpu_hours"]) == ("red", pytest.approx(0.5))
    assert row["charge_usd"] == pytest.approx(1.25)  # at the list's price


def test_a_gpu_is_never_metered_twice_where_readings_name_its_holder_otherwise(
    store: Store, meter: Meter
) -> None:
    store.append([event("started", 0, gpu_count=1), event("finished", 60)])
    store.append(read(range(0, 70, 5), job_id="job-1-pod-0"))
    meter.run()
    assert hours_of(store) == {0: 1.0}


def test_an_end_that_was_never_told_is_taken_from_the_readings(store: Store, meter: Meter) -> None:
    store.append([event("started", 0, gpu_count=1), event("started", 20, job_id="job-2",
                  gpu_count=1, node_ids=["node-0"])])  # fmt: skip
    store.append(read(range(0, 20, 5), gpu_id="gpu-0"))
    store.append(read(range(20, 130, 5), gpu_id="gpu-0", job_id="job-2"))
    store.append([make_node(measured_at=NOON + m * MINUTE, gpu_count=1) for m in range(0, 130, 5)])
    meter.run()
    found = rows(store)
    assert found["job-1", POOL, 0]["allocated_gpu_hours"] == pytest.approx(1 / 3)
    assert ("job-1", POOL, 1) not in found
    assert found["job-2", POOL, 1]["allocated_gpu_hours"] == 1.0
    books_of = reconciliation.hours(store, since=NOON, until=NOON + 2 * HOUR)
    assert books_of["is_within_bound"].to_list() == [True, True]


def test_clocks_that_differ_by_seconds_meter_no_gpu_twice(store: Store, meter: Meter) -> None:
    store.append([event("started", 0.2, gpu_count=1), event("finished", 60.3)])
    store.append(read(range(0, 62), gpu_id="gpu-0"))  # the readings' clock is ahead
    store.append(read(range(62, 64), gpu_id="gpu-0", job_id=None, tenant=None))
    store.append([make_node(measured_at=NOON + m * MINUTE, gpu_count=1) for m in range(64)])
    meter.run()
    row = rows(store)["job-1", POOL, 0]
    assert row["allocated_gpu_hours"] == pytest.approx(59.8 / 60)
    (book,) = reconciliation.hours(store, since=NOON, until=NOON + HOUR).to_dicts()
    assert book["is_within_bound"]
    assert abs(book["difference_gpu_hours"]) < 1 / 60


def test_holders_of_shares_get_their_shares_of_the_gpus_hours(store: Store, meter: Meter) -> None:
    plain = {"sharing": "time_sliced", "job_id": None, "tenant": None, "utilisation_ratio": 0.5}
    store.append(read(range(0, 70, 5), **plain))
    store.append([
        make_gpu_share(job_id=f"job-{n}", pod=f"pod-{n}", measured_at=NOON + m * MINUTE)
        for m in range(0, 70, 5) for n in range(4)
    ])  # fmt: skip
    store.append([make_node(measured_at=NOON + m * MINUTE, gpu_count=1) for m in range(0, 70, 5)])
    meter.run()
    found = [row for key, row in rows(store).items() if key[2] == 0]
    assert [row["allocated_gpu_hours"] for row in found] == [pytest.approx(0.25)] * 4
    assert sum(row["used_gpu_hours"] for row in found) == pytest.approx(0.5)  # type: ignore[misc]
    assert {row["sharing"] for row in found} == {"time_sliced"}


def test_a_mig_instance_counts_by_its_slices_beside_its_parent(store: Store, meter: Meter) -> None:
    times, cut = range(0, 70, 5), {"gpu_id": "mig-0", "parent_gpu_id": "gpu-0", "job_id": "cut"}
    store.append(read(times, job_id=None, tenant=None, sharing="mig", utilisation_ratio=None))
    store.append(read(times, mig_profile="3g.40gb", sharing="mig", power_watts=None, **cut))
    store.append([make_node(measured_at=NOON + m * MINUTE, gpu_count=1) for m in range(0, 70, 5)])
    meter.run()
    row = rows(store)["cut", POOL, 0]
    assert (row["allocated_gpu_hours"], row["sharing"]) == (pytest.approx(3 / 7), "mig")
    assert row["used_gpu_hours"] == pytest.approx(3 / 14)
    (book,) = reconciliation.hours(store, since=NOON, until=NOON + HOUR).to_dicts()
    assert book["physical_gpu_hours"] == 1.0
    assert book["idle_gpu_hours"] == pytest.approx(4 / 7)


def test_where_raw_readings_are_gone_the_roll_ups_say_how_hard_a_node_worked(
    store: Store, meter: Meter
) -> None:
    store.append([event("started", 0, gpu_count=1), event("finished", 60)])
    store.append([
        GpuRollup(gpu_id=f"gpu-{n}", node_id="node-0", pool=POOL, slot=n, period_seconds=3600,
                  starts_at=NOON, sample_count=12, held_ratio=float(n == 0),
                  utilisation_mean_ratio=0.6 * (n == 0), power_mean_watts=500.0, source="test")
        for n in range(2)
    ])  # fmt: skip
    meter.run()
    row = rows(store)["job-1", POOL, 0]
    assert (row["used_gpu_hours"], row["measured_ratio"]) == (pytest.approx(0.6), 1.0)
    assert row["energy_kilowatt_hours"] == pytest.approx(0.5)


def test_spot_is_billed_as_the_fleets_ledger_has_it(store: Store, meter: Meter) -> None:
    store.append(read(range(0, 70, 5), job_id=None, tenant="spot"))
    store.append([make_ledger(period_starts_at=NOON, period_ends_at=NOON + HOUR)])
    meter.run()
    row = rows(store)["unnamed/spot", POOL, 0]
    assert (row["pricing"], row["charge_usd"]) == ("spot", pytest.approx(5.0))
