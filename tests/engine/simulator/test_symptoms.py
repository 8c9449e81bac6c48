"""What ailing nodes show: plausible, the same again, and without any effect on the fleet."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from engine.simulator.commands import Drain
from engine.simulator.fleet import SimulatedFleet
from engine.simulator.gpu_frames import gpu_samples
from engine.simulator.layout import LOG_NODE_FAILED
from engine.simulator.settings import FleetSettings, PoolSettings
from engine.simulator.source import SimulatedSource
from engine.simulator.symptoms import (
    COOLING,
    FIRMWARE,
    LINK,
    MEMORY,
    Symptoms,
    gpu_events,
    symptoms,
)
from warehouse.records import GpuEvent
from warehouse.store import Store

START = datetime(2026, 11, 2, tzinfo=UTC)
POOL = PoolSettings("h100", "H100 SXM", "us-east", 40, 0, 2.89, 2.89, load_ratio=1.2)
BY_AILMENT = {MEMORY: {48, 63, 64, 94}, LINK: {74}, FIRMWARE: {119, 120}, COOLING: set()}


@pytest.fixture(scope="module")
def fleet() -> SimulatedFleet:
    """Forty nodes at noon, the first half of which began to degrade at ten."""
    fleet = SimulatedFleet(FleetSettings(5, (POOL,), START))
    fleet.advance_to(START + timedelta(hours=12))
    fleet.pools["h100"].state.nodes[0]["degraded"] = np.arange(40) < 20
    return fleet


def shown(fleet: SimulatedFleet, since: int) -> pl.DataFrame:
    return gpu_events(fleet.pools["h100"], since, fleet.instant)


def by_ailment(found: Symptoms) -> dict[str, int]:
    names = [f"h100-node-{node:03d}" for node in found.node]
    return dict(zip(names, found.ailment.tolist(), strict=True))


def test_every_ailment_shows_its_own_errors_on_one_gpu_of_the_node(
    fleet: SimulatedFleet, store: Store
) -> None:
    found = symptoms(fleet.pools["h100"])
    ailments = by_ailment(found)
    assert set(found.ailment) == {MEMORY, LINK, FIRMWARE, COOLING}
    events = shown(fleet, fleet.now_seconds - 7200)
    store.append_frame(GpuEvent, events)
    jobs_own = {13, 31, 43, 45}
    for row in events.iter_rows(named=True):
        ailment = ailments.get(row["node_id"])
        assert row["code"] in (jobs_own if ailment is None else BY_AILMENT[ailment])
    ill = events.filter(~pl.col("code").is_in(jobs_own))
    assert ill["node_id"].n_unique() > 8
    assert ill.group_by("node_id").agg(pl.col("gpu_id").n_unique())["gpu_id"].max() == 1
    rates = ill.group_by("node_id").len()["len"] / 2
    assert 1 < rates.mean() < 6, "an hour"


def test_the_same_fleet_shows_the_same_however_often_it_is_read(fleet: SimulatedFleet) -> None:
    """As long as a node ails; what it shows hangs on the instant, not on who asks."""
    end = fleet.now_seconds
    whole = shown(fleet, end - 3600)
    before = fleet.checksums()
    assert shown(fleet, end - 3600).equals(whole)
    parts = []
    for since, until in pairwise((end - 3600, end - 2000, end - 700, end)):
        part = shown(fleet, since)
        parts.append(part.filter(pl.col("happened_at") <= fleet.instant(until)))
    assert pl.concat(parts).unique().sort(pl.all()).equals(whole.sort(pl.all()))
    assert fleet.checksums() == before


def test_readings_of_ailing_gpus_show_memory_errors_and_heat(fleet: SimulatedFleet) -> None:
    found = symptoms(fleet.pools["h100"])
    samples = gpu_samples(fleet.pools["h100"], fleet.now)
    names = {name for name, ailment in by_ailment(found).items() if ailment == MEMORY}
    erring = samples.filter(pl.col("ecc_uncorrected_count") > 0)
    assert set(erring["node_id"]) <= names
    assert erring["row_remap_is_pending"].all()
    assert (erring["ecc_corrected_count"] > erring["ecc_uncorrected_count"]).all()
    held = samples.filter(pl.col("throttle_reasons").str.contains("HwThermal"))
    hot = {name for name, ailment in by_ailment(found).items() if ailment == COOLING}
    assert set(held["node_id"]) <= hot
    assert held.height > 0
    assert held["temperature_celsius"].min() > 70
    idle = samples.filter(pl.col("utilisation_ratio") == 0)
    assert set(idle["throttle_reasons"]) <= {"GpuIdle"}


def test_a_sound_node_counts_no_memory_errors(fleet: SimulatedFleet) -> None:
    samples = gpu_samples(fleet.pools["h100"], fleet.now)
    ill = by_ailment(symptoms(fleet.pools["h100"]))
    sound = samples.filter(~pl.col("node_id").is_in(list(ill)))
    assert sound["ecc_uncorrected_count"].sum() == 0
    assert not sound["row_remap_is_pending"].any()
    assert sound["temperature_celsius"].max() < 85


def test_a_node_that_fails_reports_that_its_gpu_fell_off_the_bus(fleet: SimulatedFleet) -> None:
    pool = fleet.pools["h100"]
    line = np.array([[fleet.now_seconds - 30, LOG_NODE_FAILED, -1, 33]])
    events = gpu_events(pool, fleet.now_seconds, fleet.instant, line)
    assert events["kind"].to_list() == ["xid", "gpu_lost"]
    assert events["code"].to_list() == [79, None]
    assert set(events["node_id"]) == {"h100-node-033"}
    assert events["happened_at"][0] == fleet.now - timedelta(seconds=30)


def test_a_source_tells_every_error_once_and_skips_what_was_read() -> None:
    fleet = SimulatedFleet(FleetSettings(5, (POOL,), START))
    source = SimulatedSource(fleet)
    fleet.advance_to(START + timedelta(hours=6))
    source.read()
    fleet.pools["h100"].state.nodes[0]["degraded"] = 1
    fleet.advance_to(fleet.now + timedelta(minutes=20))
    first = source.read()[GpuEvent]
    assert first["happened_at"].min() > START + timedelta(hours=6)
    assert GpuEvent not in source.read()
    fleet.advance_to(fleet.now + timedelta(minutes=20))
    source.skip_to_now()
    assert GpuEvent not in source.read()


def test_a_node_out_of_use_goes_on_showing_what_it_has(fleet: SimulatedFleet) -> None:
    fleet.apply(Drain("h100", "h100-node-001"), "drain")
    assert 1 in symptoms(fleet.pools["h100"]).node
