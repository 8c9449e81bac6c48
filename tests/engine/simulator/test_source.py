"""The fleet as rows: what the warehouse takes, and that the rows agree with one another."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from engine.simulator.commands import SetPrice
from engine.simulator.fleet import SimulatedFleet
from engine.simulator.settings import FleetSettings, PoolSettings
from engine.simulator.source import Frames, SimulatedSource
from warehouse.records import (
    Charge,
    GpuEvent,
    GpuRollup,
    GpuSample,
    JobEvent,
    ListPrice,
    NodeReading,
    Pool,
    PoolLedger,
    PoolState,
)
from warehouse.store import Store

START = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def parts() -> list[Frames]:
    pool = PoolSettings("h100", "H100 SXM", "us-east", 6, 2, 2.89, 2.89, load_ratio=1.2)
    fleet = SimulatedFleet(FleetSettings(5, (pool,), START))
    source = SimulatedSource(fleet)
    parts = [source.standing(), *source.history(START + timedelta(days=2, hours=5, minutes=10))]
    fleet.apply(SetPrice("h100", 3.1), "dearer")
    for _ in range(3):
        fleet.advance_to(fleet.now + timedelta(minutes=1))
        parts.append(source.read())
    return parts


def joined(parts: list[Frames], record: type) -> pl.DataFrame:
    return pl.concat([part[record] for part in parts if record in part])


def test_every_row_is_one_that_the_warehouse_takes(store: Store, parts: list[Frames]) -> None:
    for part in parts:
        for record, frame in part.items():
            assert store.append_frame(record, frame) == frame.height
    kinds = {record for part in parts for record in part}
    assert kinds == {
        Charge, GpuEvent, GpuRollup, GpuSample, JobEvent, ListPrice, NodeReading, Pool, PoolLedger,
        PoolState,
    }  # fmt: skip


def test_charges_add_up_to_the_ledger_period_by_period(parts: list[Frames]) -> None:
    charged = joined(parts, Charge).group_by("period_starts_at").agg(pl.sum("charge_usd"))
    ledger = joined(parts, PoolLedger)
    both = ledger.join(charged, on="period_starts_at", how="left").fill_null(0.0)
    assert both["charge_usd"].to_list() == pytest.approx(both["revenue_usd"].to_list())
    periods = ledger.sort("period_starts_at")
    assert periods["period_starts_at"][1:].to_list() == periods["period_ends_at"][:-1].to_list()


def test_every_job_is_told_in_order_and_gangs_name_all_their_nodes(parts: list[Frames]) -> None:
    events = joined(parts, JobEvent)
    assert events.unique().height == events.height
    first = events.group_by("job_id", maintain_order=True).first()
    assert set(first["event"]) == {"submitted"}
    starts = events.filter(pl.col("event") == "started")
    for gpus, nodes in zip(starts["gpu_count"], starts["node_ids"], strict=True):
        assert len(json.loads(nodes)) == max(1, gpus // 8)
    assert (starts["gpu_count"] > 8).any()
    counted = joined(parts, PoolState)["started_jobs"].sum()
    assert counted == starts.filter(pl.col("detail").is_null()).height


def test_samples_show_the_jobs_that_hold_the_gpus(parts: list[Frames]) -> None:
    last = parts[-1]
    samples, state = last[GpuSample], last[PoolState]
    assert samples.height == state["gpus_on"][0]
    assert samples["job_id"].is_not_null().sum() == state["gpus_used"][0]
    assert last[NodeReading]["gpus_used"].sum() == state["gpus_used"][0]
    idle = samples.filter(pl.col("process_count") == 0)
    assert (idle["utilisation_ratio"] == 0).all()
    assert state["price_usd_per_gpu_hour"][0] == pytest.approx(3.1)


def test_a_reader_that_skips_tells_nothing_twice(parts: list[Frames]) -> None:
    pool = PoolSettings("h100", "H100 SXM", "us-east", 6, 2, 2.89, 2.89)
    fleet = SimulatedFleet(FleetSettings(5, (pool,), START))
    fleet.advance_to(START + timedelta(hours=30))
    source = SimulatedSource(fleet)
    source.skip_to_now()
    assert JobEvent not in source.read()
    fleet.advance_to(fleet.now + timedelta(minutes=1))
    assert source.read()[PoolLedger]["period_starts_at"][0] == START + timedelta(hours=30)
