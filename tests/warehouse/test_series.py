"""Measurements over time by name: of a GPU, a node, a pool, the fleet."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.makers import NOON, POOL, make_gpu_sample, make_pool_state
from warehouse import rollups
from warehouse.records import GpuRollup
from warehouse.series import (
    METRICS,
    BadSteps,
    NoSuchEntity,
    NoSuchMetric,
    default_since,
    metric,
    series,
)
from warehouse.store import Store

MINUTE = timedelta(minutes=1)
SPAN: dict[str, Any] = {"since": NOON, "until": NOON + timedelta(hours=1)}
FLEET: dict[str, Any] = {"kind": "fleet", "entity_id": None, **SPAN}


@pytest.fixture
def read(store: Store) -> Store:
    """Two GPUs of a node read each 30 s for 10 min, the second twice as busy."""
    store.append(
        make_gpu_sample(
            gpu_id=f"gpu-{slot}",
            slot=slot,
            utilisation_ratio=0.3 * (slot + 1),
            power_watts=100.0 * (slot + 1),
            memory_used_bytes=2**30 * (slot + 1),
            temperature_celsius=50.0 + slot,
            measured_at=NOON + timedelta(seconds=30 * number),
        )
        for slot in (0, 1)
        for number in range(21)
    )
    rollups.roll_up(store)
    return store


def values(store: Store, name: str, **asked: Any) -> list[float]:
    return series(store, name, **asked).points["value"].to_list()


def test_a_metric_of_one_gpu_of_its_node_and_of_the_fleet(read: Store) -> None:
    of_one = values(read, "utilisation_ratio", kind="gpu", entity_id="gpu-1", **SPAN)
    assert of_one == pytest.approx([0.6] * 10)
    assert values(read, "power_watts", **FLEET) == pytest.approx([300.0] * 10)
    assert values(read, "temperature_celsius", **FLEET) == [51.0] * 10
    of_node = values(read, "held_ratio", kind="node", entity_id="nobody", **SPAN)
    assert of_node == []


def test_dcgms_name_answers_in_dcgms_unit_and_opentelemetrys_in_the_base_unit(read: Store) -> None:
    asked = {"step_seconds": 300, **FLEET}
    percent = series(read, "DCGM_FI_DEV_GPU_UTIL", **asked)
    ratio = series(read, "hw.gpu.utilization", **asked)
    assert (percent.unit, ratio.unit) == ("%", "1")
    assert percent.points["value"].to_list() == pytest.approx([45.0, 45.0])
    assert ratio.points["value"].to_list() == pytest.approx([0.45, 0.45])
    mebibytes = series(read, "DCGM_FI_DEV_FB_USED", **asked)
    assert mebibytes.points["value"].to_list() == pytest.approx([3 * 1024.0] * 2)


def test_hours_that_have_hourly_roll_ups_alone_are_answered_by_them(read: Store) -> None:
    earlier = NOON - timedelta(hours=1)
    coarse = GpuRollup(
        gpu_id="gpu-0",
        node_id="node-0",
        pool=POOL,
        slot=0,
        period_seconds=3600,
        starts_at=earlier,
        sample_count=60,
        utilisation_mean_ratio=0.9,
        source="test",
    )
    read.append([coarse])
    asked = {**FLEET, "since": earlier, "step_seconds": 60}
    points = series(read, "utilisation_ratio", **asked).points
    assert points["at"][0] == earlier
    assert points["value"][0] == pytest.approx(0.9)
    assert points.height == 11


def test_a_metric_of_pools_adds_them_up(store: Store) -> None:
    store.append(
        make_pool_state(pool=pool, queued_jobs=jobs, measured_at=NOON + MINUTE)
        for pool, jobs in (("a", 2), ("b", 5))
    )
    assert values(store, "queued_jobs", **FLEET) == [7.0]
    assert values(store, "queued_jobs", kind="pool", entity_id="b", **SPAN) == [5.0]


def test_what_is_not_there_is_told_with_what_is(store: Store) -> None:
    with pytest.raises(NoSuchMetric, match="choose from utilisation_ratio"):
        series(store, "'; DROP TABLE pools; --", **FLEET)
    with pytest.raises(NoSuchEntity, match="is told of pool, fleet"):
        series(store, "gpus_on", kind="gpu", entity_id="gpu-0", **SPAN)
    with pytest.raises(NoSuchEntity, match="name the entity"):
        series(store, "gpus_on", kind="pool", entity_id=None, **SPAN)
    with pytest.raises(BadSteps, match="later than"):
        series(store, "gpus_on", kind="fleet", entity_id=None, since=NOON, until=NOON)
    with pytest.raises(BadSteps, match="multiple of 60"):
        series(store, "gpus_on", step_seconds=90, **FLEET)
    with pytest.raises(BadSteps, match="more than 5000 steps"):
        series(store, "gpus_on", step_seconds=60, **{**FLEET, "since": NOON - timedelta(days=9)})


def test_every_metric_answers_by_all_its_names_and_without_a_step(store: Store) -> None:
    for each in METRICS:
        kind = each.entities[-1]
        asked = {"kind": kind, "entity_id": None if kind == "fleet" else "x"}
        for name in filter(None, (each.name, each.dcgm, each.otel)):
            assert metric(name) is each
            found = series(store, name, since=NOON - timedelta(days=90), until=NOON, **asked)
            assert found.step_seconds == 86_400
            assert found.points.is_empty()
    assert default_since(NOON) == NOON - timedelta(hours=1)
