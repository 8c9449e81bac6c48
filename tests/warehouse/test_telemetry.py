"""What is asked of GPUs over time: from roll-ups, MIG instances apart."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.makers import NOON, POOL, make_gpu_sample
from warehouse import rollups, telemetry
from warehouse.records import GpuRollup
from warehouse.store import Store

SPAN: dict[str, Any] = {"since": NOON, "until": NOON + timedelta(hours=2)}


def hour(**changes: Any) -> GpuRollup:
    given: dict[str, Any] = {
        "gpu_id": "gpu-0",
        "node_id": "node-0",
        "pool": POOL,
        "slot": 0,
        "period_seconds": 3600,
        "starts_at": NOON,
        "sample_count": 240,
        "utilisation_mean_ratio": 0.5,
        "held_ratio": 1.0,
        "power_mean_watts": 400.0,
        "temperature_max_celsius": 60.0,
        "source": "test",
    }
    return GpuRollup(**given | changes)


def test_every_question_answers_on_an_empty_warehouse(store: Store) -> None:
    assert telemetry.fleet_load(store, step_seconds=300, **SPAN).is_empty()
    assert telemetry.gpu_history(store, "nobody", **SPAN).is_empty()
    assert telemetry.gpu_utilisation(store, **SPAN).is_empty()
    assert telemetry.node_history(store, "nobody", **SPAN).is_empty()


def test_the_fleets_load_has_its_percentile_and_leaves_instances_to_their_gpu(
    store: Store,
) -> None:
    busy = [hour(gpu_id=f"gpu-{n}", utilisation_mean_ratio=n / 20) for n in range(21)]
    slice_of_it = hour(gpu_id="mig", parent_gpu_id="gpu-0", utilisation_mean_ratio=1.0)
    store.append([*busy, slice_of_it])
    (row,) = telemetry.fleet_load(store, step_seconds=3600, **SPAN).to_dicts()
    assert (row["at"], row["gpus"]) == (NOON, 21)
    assert row["utilisation_mean_ratio"] == pytest.approx(0.5)
    assert row["utilisation_p95_ratio"] == pytest.approx(0.95)
    assert row["power_watts"] == pytest.approx(21 * 400.0)
    assert telemetry.fleet_load(store, step_seconds=3600, pool="another", **SPAN).is_empty()


def test_a_longer_step_weighs_each_period_by_its_readings_and_a_gap_stays_one(
    store: Store,
) -> None:
    store.append(
        [
            hour(sample_count=30, utilisation_mean_ratio=1.0),
            hour(starts_at=NOON + timedelta(hours=1), sample_count=90, utilisation_mean_ratio=0.0),
            hour(gpu_id="silent", utilisation_mean_ratio=None, power_mean_watts=None),
        ]
    )
    (row,) = telemetry.fleet_load(store, step_seconds=7200, **SPAN).to_dicts()
    assert (row["gpus"], row["utilisation_mean_ratio"]) == (2, pytest.approx(0.25))
    with pytest.raises(ValueError, match="no multiple of 60 s"):
        telemetry.fleet_load(store, step_seconds=90, **SPAN)


def test_a_gpu_is_shown_minute_by_minute(store: Store) -> None:
    for seconds, used in ((0, 0.2), (30, 0.4), (150, 0.9)):
        at = NOON + timedelta(seconds=seconds)
        store.append([make_gpu_sample(utilisation_ratio=used, measured_at=at)])
    store.append([make_gpu_sample(measured_at=NOON + timedelta(minutes=5))])
    rollups.roll_up(store)
    minutes = telemetry.gpu_history(store, "gpu-0", **SPAN)
    assert minutes["utilisation_mean_ratio"].to_list() == pytest.approx([0.3, 0.9])
    assert minutes["starts_at"].to_list() == [NOON, NOON + timedelta(minutes=2)]


def test_a_nodes_day_is_by_five_minutes_and_by_the_hour_where_there_is_nothing_finer(
    store: Store,
) -> None:
    later = NOON + timedelta(hours=1)
    fine = [hour(period_seconds=300, starts_at=later + timedelta(minutes=5 * n)) for n in (0, 1)]
    store.append([hour(), hour(starts_at=later), *fine, hour(gpu_id="mig", parent_gpu_id="x")])
    shown = telemetry.node_history(store, "node-0", period_seconds=300, **SPAN)
    assert shown["starts_at"].to_list() == [NOON, later, later + timedelta(minutes=5)]
    assert telemetry.node_history(store, "node-0", **SPAN).height == 2
    assert telemetry.gpu_utilisation(store, **SPAN)["gpu_id"].to_list() == ["gpu-0"]
