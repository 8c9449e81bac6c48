"""The live fleet: its money, its hands, its luck and its past."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from engine.simulator.commands import (
    Cancel,
    Command,
    Cordon,
    Drain,
    Migrate,
    Release,
    Repair,
    ScaleDown,
    ScaleUp,
    SetPrice,
    SetSpotShare,
    Uncordon,
    as_dict,
    from_dict,
)
from engine.simulator.counterfactual import counterfactual
from engine.simulator.errors import ClockError, NothingToDo, UnknownTarget, WrongState
from engine.simulator.fleet import SimulatedFleet
from engine.simulator.layout import ACTIVE, DOWN, OFF, PROVISIONING, RUNNING
from engine.simulator.live import LivePool
from engine.simulator.metrics import Metric, profit
from engine.simulator.observe import nodes_of
from engine.simulator.settings import Economics, FleetSettings, PoolSettings

START = datetime(2026, 11, 2, tzinfo=UTC)
POOL = "h100"


def make_fleet(seed: int = 7, days: float = 2.0, economics: Economics | None = None, **changes):
    pool = {"owned_nodes": 8, "burst_nodes": 4, "load_ratio": 1.2, **changes}
    settings = PoolSettings(
        POOL, "H100 SXM", "us-east", list_price_usd_per_gpu_hour=2.89,
        market_usd_per_gpu_hour=2.89, economics=economics or Economics(), **pool,
    )  # fmt: skip
    fleet = SimulatedFleet(FleetSettings(seed, (settings,), START))
    fleet.advance_to(START + timedelta(days=days))
    return fleet


def pool_of(fleet: SimulatedFleet) -> LivePool:
    return fleet.pools[POOL]


def a_running_job(pool: LivePool) -> int:
    return int(np.flatnonzero(pool.state.jobs[0]["status"] == RUNNING)[0])


def test_what_the_meters_say_is_the_revenue() -> None:
    fleet = make_fleet(economics=Economics(failures_per_1000_node_days=300.0))
    pool = pool_of(fleet)
    metrics, jobs = pool.state.metrics[0], pool.state.jobs[0, : pool.seen_jobs]
    prices = jobs["price_micro_usd"] / 3.6e9
    assert metrics[Metric.INTERRUPTED_JOBS] > 0
    assert (pool.metered_gpu_seconds() * prices).sum() == pytest.approx(metrics[Metric.REVENUE_USD])
    refunds = (jobs["refunded_gpu_seconds"] * prices).sum()
    assert refunds == pytest.approx(metrics[Metric.REFUND_USD])
    assert pool.metered_gpu_seconds().sum() == metrics[Metric.USED_GPU_SECONDS]
    finished = jobs["ended_at"] > 0
    delivered = (jobs["metered_gpu_seconds"] - jobs["refunded_gpu_seconds"])[finished]
    due = (jobs["duration_seconds"] * jobs["gpus"])[finished]
    assert set(np.unique(delivered - due)) <= {0} | set(-due[delivered == 0])


def test_no_gpu_is_held_twice_and_none_is_forgotten() -> None:
    pool = pool_of(make_fleet(economics=Economics(failures_per_1000_node_days=300.0)))
    held, jobs, nodes = pool.state.gpus[0], pool.state.jobs[0], pool.state.nodes[0]
    assert ((held == 0).sum(axis=1) == nodes["free_gpus"]).all()
    for index in np.unique(held[held > 0]) - 1:
        job = jobs[index]
        assert job["status"] == RUNNING
        assert (held == index + 1).sum() == job["gpus"]
        assert len(nodes_of(pool, int(index))) == max(1, job["gpus"] // 8)


def test_the_steps_in_which_a_fleet_is_read_do_not_change_it() -> None:
    small, large = make_fleet(days=0), make_fleet(days=1.5)
    while small.now < large.now:
        small.advance_to(min(large.now, small.now + timedelta(seconds=611)))
    assert small.checksums() == large.checksums()
    assert small.metrics()[POOL] == pytest.approx(large.metrics()[POOL])


def test_seed_and_command_log_rebuild_the_fleet() -> None:
    fleet = make_fleet()
    fleet.apply(ScaleUp(POOL, 2), "one")
    fleet.advance_to(fleet.now + timedelta(minutes=7))
    fleet.apply(SetPrice(POOL, 3.2), "two")
    fleet.apply(Drain(POOL, "h100-node-003"), "three")
    fleet.advance_to(fleet.now + timedelta(hours=5))
    again = SimulatedFleet.replayed(fleet.settings, fleet.log, fleet.now)
    assert again.checksums() == fleet.checksums()
    assert make_fleet(seed=8).checksums() != make_fleet().checksums()


def test_a_command_is_carried_out_once() -> None:
    fleet = make_fleet()
    first = fleet.apply(ScaleUp(POOL, 2), "same")
    assert fleet.apply(ScaleUp(POOL, 2), "same") == first
    assert len(first.node_ids) == 2
    assert (pool_of(fleet).state.nodes[0]["state"] == PROVISIONING).sum() == 2
    assert len(fleet.log) == 1


def test_leases_come_after_our_own_and_go_first() -> None:
    fleet = make_fleet(load_ratio=0.05, days=0.2)
    stopped = fleet.apply(ScaleDown(POOL, 2), "down")
    assert all("-node-" in name for name in stopped.node_ids)
    started = fleet.apply(ScaleUp(POOL, 3), "up")
    assert set(started.node_ids[:2]) == set(stopped.node_ids)
    assert started.node_ids[2] == "h100-lease-008"
    fleet.advance_to(fleet.now + timedelta(minutes=30))
    assert "h100-lease-008" not in fleet.apply(ScaleDown(POOL, 1), "young").node_ids
    fleet.advance_to(fleet.now + timedelta(minutes=31))
    assert fleet.apply(ScaleDown(POOL, 1), "old").node_ids == ("h100-lease-008",)


def test_an_undone_lease_still_owes_its_minimum_bill() -> None:
    fleet = make_fleet()
    before = fleet.metrics()[POOL]
    (name,) = fleet.apply(ScaleUp(POOL, 1), "up").node_ids
    fleet.advance_to(fleet.now + timedelta(minutes=5))
    fleet.apply(Cancel(POOL, name), "undo")
    cost = (fleet.metrics()[POOL] - before)[Metric.BURST_COST_USD]
    assert cost == pytest.approx(8 * 1.90)
    assert pool_of(fleet).state.nodes[0]["state"][8] == OFF


def test_a_price_holds_for_jobs_submitted_from_then_on() -> None:
    fleet = make_fleet()
    known = pool_of(fleet).seen_jobs
    result = fleet.apply(SetPrice(POOL, 4.0), "dear")
    assert result.previous_price_usd_per_gpu_hour == pytest.approx(2.89)
    fleet.advance_to(fleet.now + timedelta(hours=6))
    jobs = pool_of(fleet).state.jobs[0]
    assert (jobs["price_micro_usd"][:known] == 2_890_000).all()
    assert (jobs["price_micro_usd"][known : pool_of(fleet).seen_jobs] == 4_000_000).all()


def test_a_migrated_job_pauses_and_is_not_billed_meanwhile() -> None:
    fleet = make_fleet(load_ratio=0.4)
    pool = pool_of(fleet)
    index = a_running_job(pool)
    job_id = pool.workload.job_id(int(pool.state.jobs[0]["key"][index]))
    (old,), metered = nodes_of(pool, index), pool.metered_gpu_seconds()[index]
    fleet.apply(Migrate(POOL, job_id), "move")
    fleet.advance_to(fleet.now + timedelta(minutes=5))
    assert pool.metered_gpu_seconds()[index] == metered
    assert nodes_of(pool, index) != [old]
    assert pool.state.jobs[0]["status"][index] == RUNNING


def test_a_drained_node_is_repaired_and_comes_back() -> None:
    fleet = make_fleet(load_ratio=0.3)
    pool = pool_of(fleet)
    at = nodes_of(pool, a_running_job(pool))[0]
    name = f"h100-node-{at:03d}"
    assert fleet.apply(Drain(POOL, name), "drain").moved_jobs > 0
    fleet.apply(Repair(POOL, name), "repair")
    assert pool.state.nodes[0]["state"][at] == DOWN
    fleet.advance_to(fleet.now + timedelta(hours=1))
    fleet.apply(Cordon(POOL, name), "close")
    fleet.apply(Uncordon(POOL, name), "open")
    assert pool.state.nodes[0]["state"][at] == ACTIVE


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (ScaleUp("elsewhere", 1), UnknownTarget),
        (ScaleUp(POOL, 0), NothingToDo),
        (Cordon(POOL, "h100-node-999"), UnknownTarget),
        (Cordon(POOL, "h100-lease-003"), UnknownTarget),
        (Migrate(POOL, "h100-0-4000"), UnknownTarget),
        (Uncordon(POOL, "h100-node-001"), WrongState),
        (Repair(POOL, "h100-node-001"), WrongState),
        (Cancel(POOL, "h100-node-001"), WrongState),
        (Release(POOL, "h100-lease-008"), WrongState),
        (SetPrice(POOL, -1.0), WrongState),
        (SetSpotShare(POOL, 1.5), WrongState),
    ],
)
def test_a_refused_command_changes_nothing_and_stays_refused(
    command: Command, error: type[Exception]
) -> None:
    fleet = make_fleet(days=0.3)
    before = fleet.checksums()
    for _ in range(2):
        with pytest.raises(error, match=":"):
            fleet.apply(command, "bad")
    assert fleet.checksums() == before
    assert fleet.log == []
    assert from_dict(as_dict(command)) == command


def test_time_runs_forward_only() -> None:
    fleet = make_fleet(days=0.1)
    with pytest.raises(ClockError):
        fleet.advance_to(START)


def test_the_twin_meets_every_other_command_and_the_same_luck() -> None:
    fleet = make_fleet()
    before = fleet.clone()
    fleet.apply(SetPrice(POOL, 3.0), "kept")
    fleet.apply(ScaleUp(POOL, 2), "judged")
    fleet.advance_to(fleet.now + timedelta(hours=6))
    effect = counterfactual(before, fleet, "judged")
    without = before.clone()
    without.apply(SetPrice(POOL, 3.0), "kept")
    without.advance_to(fleet.now)
    gain = profit(fleet.metrics()[POOL]) - profit(without.metrics()[POOL])
    assert effect.profit_usd == pytest.approx(float(gain))
    assert effect.metrics_of_pool[POOL][Metric.OFFERED_JOBS] == 0
    assert counterfactual(before, fleet, "never given").profit_usd == 0.0


def test_a_clone_goes_its_own_way() -> None:
    fleet = make_fleet()
    held = fleet.checksums()
    twin = fleet.clone()
    twin.advance_to(twin.now + timedelta(hours=3))
    assert fleet.checksums() == held
    fleet.advance_to(twin.now)
    assert fleet.checksums() == twin.checksums()
