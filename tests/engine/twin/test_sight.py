"""A fleet seen through rows gives the very numbers that training reads off its state."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from engine.observe import PoolObservation, observed
from engine.simulator import commands
from engine.simulator.errors import CommandError
from engine.simulator.features import (
    FEATURE_COUNT,
    FEATURE_NAMES,
    TAPE_COUNT,
    TAPE_TICKS,
    Feature,
    Tape,
)
from engine.simulator.fleet import SimulatedFleet, node_id
from engine.simulator.offers import offers_forecast
from engine.simulator.settings import Economics, FleetSettings, PoolSettings
from engine.simulator.sight import note_many, see_many
from engine.simulator.source import SimulatedSource, joined
from tests.engine.actions_contract import make_seen
from tests.engine.world import MONDAY
from tests.makers import NOON, POOL, make_job_event, make_node, make_pool, make_pool_state
from warehouse.records import GpuSample, JobEvent, NodeReading, Pool, PoolState
from warehouse.store import Store

QUARTER = timedelta(minutes=15)
FRAIL = Economics(
    failures_per_1000_node_days=150.0, degradations_per_1000_node_days=300.0,
    minimum_bill_seconds=1800, sla_usd_per_gpu_hour=1.7, owned_boot_seconds=1000,
    burst_boot_low_seconds=800, burst_boot_high_seconds=2001, burst_usd_per_gpu_hour=1.31,
)  # fmt: skip
POOLS = (
    PoolSettings("busy", "H100 SXM", "us-east", 6, 4, 2.89, 2.89, load_ratio=1.6, economics=FRAIL),
    PoolSettings("calm", "L40S", "us-west", 9, 3, 0.95, 0.95, load_ratio=0.6, node_gpus=4),
)


LAST_BIT = 1e-15
INEXACT = ("usd_per_gpu_hour", "health_ratio")
"""Small inserts are kept in the warehouse's catalogue as text, which may cost a number that is no
fraction of a power of two its last bit; counts, seconds and forecasts are equal to the bit."""


@dataclass
class Beside:
    """A fleet, its rows in a store, and the tapes that training would have kept."""

    store: Store
    seed: int
    fleet: SimulatedFleet = field(init=False)

    def __post_init__(self) -> None:
        self.fleet = SimulatedFleet(FleetSettings(self.seed, POOLS, MONDAY))
        self.source = SimulatedSource(self.fleet)
        self.random = np.random.default_rng(self.seed)
        self.unwritten = [self.source.standing(), self.source.read()]
        self.tapes = {name: np.zeros((TAPE_TICKS, TAPE_COUNT)) for name in self.fleet.pools}
        self.counted = {name: np.zeros((1, 4)) for name in self.fleet.pools}
        self.tick = 0
        self._note()

    def forward(self, ticks: int) -> None:
        """So many quarters, commands at the start of each; then the rows go into the store."""
        for _ in range(ticks):
            for name in self.fleet.pools:
                self._command(name)
            self.tick += 1
            self.fleet.advance_to(self.tick * 900)
            self.unwritten.append(self.source.read())
            self._note()
        for record_class, frame in joined(self.unwritten).items():
            if record_class in (Pool, PoolState, NodeReading, JobEvent):
                self.store.append_frame(record_class, frame)
            assert record_class is not GpuSample or frame.height
        self.unwritten = []

    def _note(self) -> None:
        for name, pool in self.fleet.pools.items():
            last = np.array([self.tick])
            note_many(pool.state, self.counted[name], self.tapes[name][None], last)

    def _command(self, name: str) -> None:
        pool, random = self.fleet.pools[name], self.random
        node = node_id(pool, int(random.integers(pool.state.nodes.shape[1])))
        running = np.flatnonzero(pool.state.jobs[0, : pool.seen_jobs]["status"] == 3)
        job = "none"
        if len(running):
            key = pool.state.jobs[0, int(random.choice(running))]["key"]
            job = pool.workload.job_id(int(key))
        one: Any = random.choice(
            np.array(
                [
                    commands.ScaleUp(name, int(random.integers(1, 4))),
                    commands.ScaleDown(name, int(random.integers(1, 3)), drain=True),
                    commands.SetPrice(name, round(2.0 + random.random(), 6)),
                    commands.Migrate(name, job),
                    commands.Drain(name, node),
                    commands.Uncordon(name, node),
                    commands.Repair(name, node),
                    None,
                ],
                dtype=object,
            )
        )
        if one is not None:
            with suppress(CommandError):
                self.fleet.apply(one, f"{name}-{self.tick}")

    def figures(self, name: str) -> np.ndarray[Any, Any]:
        """What training reads of the pool's own state now."""
        pool, tape = self.fleet.pools[name], self.tapes[name][: self.tick + 1]
        hour = self.tick / 4
        told = offers_forecast(tape[:, Tape.OFFERED_JOBS], hour)
        out = np.zeros((1, FEATURE_COUNT))
        see_many(pool.state, tape[None], np.array([self.tick]), told[None], np.array([hour]), out)
        return out[0]


@pytest.mark.parametrize("seed", [3, 11])
def test_rows_give_the_very_numbers_that_training_gives(store: Store, seed: int) -> None:
    beside = Beside(store, seed)
    terms = {pool.name: pool.economics for pool in POOLS}
    met = np.zeros(FEATURE_COUNT, np.bool_)
    for ticks in (1, 5, 13, 17, 20, 9, 25, 4, 1, 14, 12):
        beside.forward(ticks)
        seen = observed(store, beside.fleet.now, terms)
        for name in beside.fleet.pools:
            want = beside.figures(name)
            wrong = [
                (word, a, b)
                for word, a, b in zip(FEATURE_NAMES, seen[name].raw, want, strict=True)
                if abs(a - b) > (abs(b) * LAST_BIT if word.endswith(INEXACT) else 0.0)
            ]
            assert wrong == [], (name, beside.tick)
            met |= want != 0
            tape = beside.tapes[name][: beside.tick + 1]
            known = seen[name].tape
            assert known is not None
            day = min(len(tape), 97)  # GPUs of jobs are kept for a day, which is all that is read
            assert known.lines[-day:] == pytest.approx(tape[-day:], rel=LAST_BIT, abs=0)
            assert (known.offered_jobs == tape[:, Tape.OFFERED_JOBS]).all()
    unmet = {FEATURE_NAMES[at] for at in np.flatnonzero(~met)}
    assert len(unmet) <= 2, unmet  # the others have been other than 0


def test_what_no_row_tells_is_neutral() -> None:
    """A real fleet: no health, no offers, no market, no jobs by name, no terms."""
    pool = make_pool(owned_nodes=4, leased_nodes_limit=2)
    state = make_pool_state(
        gpus_on=24, gpus_used=13, owned_nodes_on=3, nodes_off=0, nodes_down=1, nodes_empty=1,
        queued_jobs=3, queued_gpus=10, oldest_wait_seconds=700.0, market_usd_per_gpu_hour=None,
    )  # fmt: skip
    seen = replace(make_seen(), pool=pool, state=state, nodes=())
    found = dict(zip(FEATURE_NAMES, seen.raw.tolist(), strict=True))
    assert (found["owned_active_nodes"], found["down_nodes"], found["owned_empty_nodes"]) == (
        3,
        1,
        1,
    )
    assert (found["used_gpus"], found["free_gpus"], found["burst_off_nodes"]) == (13, 11, 2)
    assert found["running_under_2_hours_gpus"] == 13  # strangers began an hour ago
    assert found["locked_usd_per_gpu_hour"] == found["price_usd_per_gpu_hour"] == 2.5
    assert found["market_usd_per_gpu_hour"] == found["market_day_usd_per_gpu_hour"] == 2.5
    assert (found["queued_jobs"], found["queued_gpus"]) == (3, 10)
    assert (found["oldest_wait_seconds"], found["largest_queued_gpus"]) == (700, 4)
    assert (found["suspect_nodes"], found["worst_health_ratio"]) == (0, 1)
    assert found["sla_usd_per_gpu_hour"] == pytest.approx(2.5)
    assert found["minimum_bill_seconds"] == Economics().minimum_bill_seconds
    flows = [value for name, value in found.items() if "jobs_per_hour" in name]
    assert flows == [0.0] * len(flows)
    assert found["used_hour_ago_gpus"] == found["used_day_gpus"] == 13


def test_nodes_that_readings_name_are_completed_by_those_that_are_counted() -> None:
    pool = make_pool(owned_nodes=4, leased_nodes_limit=3)
    state = make_pool_state(
        gpus_on=32, gpus_used=20, owned_nodes_on=3, leased_nodes_on=1, nodes_provisioning=2,
        nodes_off=1, nodes_empty=0,
    )  # fmt: skip
    known = make_node(node_id="a", gpus_used=8, health_ratio=0.5)
    seen = replace(make_seen(), pool=pool, state=state, nodes=(known,))
    raw = seen.raw
    assert raw[Feature.OWNED_ACTIVE_NODES] == 3
    assert raw[Feature.BURST_ACTIVE_NODES] == 1
    assert raw[Feature.BURST_PROVISIONING_NODES] == 2
    assert raw[Feature.OWNED_OFF_NODES] == 1
    assert raw[Feature.USED_GPUS] == 20
    assert raw[Feature.SUSPECT_NODES] == 1


def test_a_lease_that_was_read_no_more_is_gone(store: Store) -> None:
    store.append([make_pool(), make_pool_state(measured_at=NOON)])
    for node, kind, ago in (("stays", "leased", 0), ("gone", "leased", 15), ("ours", "owned", 15)):
        at = NOON - timedelta(minutes=ago)
        store.append([make_node(node_id=node, kind=kind, measured_at=at)])
    seen = observed(store, NOON)[POOL]
    assert {node.node_id for node in seen.nodes} == {"stays", "ours"}


def test_a_gap_in_the_readings_is_bridged_evenly_or_not_at_all(store: Store) -> None:
    store.append([make_pool()])
    for quarters_ago, offered in ((20, 5), (19, 4), (16, 12), (3, 130), (2, 7), (0, 8)):
        at = NOON - quarters_ago * QUARTER
        store.append([make_pool_state(measured_at=at, offered_jobs=offered, gpus_used=offered)])
    store.append([make_job_event(event="submitted", gpu_count=3, happened_at=NOON - QUARTER)])
    tape = observed(store, NOON)[POOL].tape
    assert tape is not None
    # An hour's gap is shared out; in three hours nobody knows when they came.
    assert tape.offered_jobs[:5].tolist() == [0, 4, 4, 4, 4]
    assert np.isnan(tape.offered_jobs[5:18]).all()
    assert tape.offered_jobs[18:].tolist() == [7, 4, 4]
    known = [0, 4, 4, 4, 4, 7, 4, 4]
    assert tape.lines[10, Tape.OFFERED_JOBS] == pytest.approx(np.mean([5, *known[1:]]))
    assert tape.lines[5:17, Tape.USED_GPUS].tolist() == [12] * 12
    assert tape.lines[:, Tape.SUBMITTED_GPUS].sum() == 3
    assert tape.lines[-2, Tape.SUBMITTED_GPUS] == 3  # at its very end


def test_what_an_observation_keeps_names_every_figure() -> None:
    seen: PoolObservation = make_seen()
    kept = seen.row.features
    assert set(FEATURE_NAMES) | set(seen.features) == set(kept)
    assert kept["free_gpus"] == seen.features["free_gpus"]
    assert kept["hour_of_week"] == 12.0
