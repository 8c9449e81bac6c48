"""The metering against the simulated fleet's own charges and ledger, over several of its days."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl
import pytest

from engine.simulator.session import FleetAsked, FleetSession
from engine.simulator.settings import default_pools
from tests.makers import NOON
from warehouse import metering, reconciliation
from warehouse.metering_hours import Meter
from warehouse.store import Store

HISTORY = timedelta(days=2)
LIVE = timedelta(hours=6)
START, END = NOON - HISTORY, NOON + LIVE


@dataclass
class HandClock:
    at: datetime = NOON + LIVE + timedelta(minutes=5)

    def now(self) -> datetime:
        return self.at


Play = Callable[[datetime], None]


@pytest.fixture
def play(store: Store) -> Play:
    """A fleet with two days of past; it plays on as it is told."""
    asked = FleetAsked(seed=11, history=HISTORY, live_from=NOON, speed=0.0)
    session = FleetSession.open(store, asked, wall_now=NOON)
    assert session.catch_up(threading.Event())

    def on(until: datetime) -> None:
        for record_class, frame in session.played_to(until):
            store.append_frame(record_class, frame)

    return on


def test_the_metering_agrees_with_the_fleets_own_charges_ledger_and_readings(
    store: Store, play: Play
) -> None:
    meter = Meter(store, HandClock(NOON))
    assert meter.run().row_count == HISTORY / timedelta(hours=1) - 1
    for hours in range(0, 6, 3):  # a collection plays four hours at most
        play(NOON + timedelta(hours=hours + 3, minutes=5))
    meter.clock = HandClock()
    assert meter.run().detail == "7 hours metered"
    assert metering.metered_until(store) == END
    books = reconciliation.hours(store, since=START, until=END)
    assert books.height == len(default_pools()) * 54
    # No job was moved, so the pause of a move, which the fleet does not bill, plays no part.
    assert books["charge_difference_usd"].abs().max() < 1e-6
    jobs = metering.by(store, since=START, until=END, keys=("job_id", "pricing"))
    charged = store.query("SELECT job_id, sum(gpu_hours) AS hours FROM charges "
                          "WHERE period_starts_at < $until GROUP BY job_id", until=END)  # fmt: skip
    both = jobs.filter(pl.col("pricing") != "spot").join(charged, on="job_id", how="full")
    assert (both["allocated_gpu_hours"] - both["hours"]).abs().max() < 1e-6
    spot = jobs.filter(pricing="spot")["allocated_gpu_hours"].sum()
    of_jobs = books["metered_gpu_hours"].sum() - spot
    assert of_jobs == pytest.approx(books["ledger_gpu_hours"].sum(), abs=1e-6)
    # Every GPU-hour is in one place, and none is beyond what the readings' spacing explains.
    assert books["unaccounted_gpu_hours"].abs().max() < 1e-6
    assert books["over_metered_gpu_hours"].max() < 1e-6
    assert books["is_within_bound"].all()
    live = books.filter(pl.col("hour_starts_at") >= NOON)
    assert live["bound_gpu_hours"].sum() < 0.2 * live["physical_gpu_hours"].sum()


def test_metering_hour_by_hour_and_all_at_once_come_to_the_same(store: Store, play: Play) -> None:
    clock = HandClock(NOON)
    meter = Meter(store, clock)
    meter.run()
    for hour in range(1, 4):
        play(NOON + timedelta(hours=hour, minutes=3))
        clock.at = NOON + timedelta(hours=hour, minutes=3)
        assert meter.run().row_count == (2 if hour == 1 else 1)
    assert meter.again(since=START, until=NOON + timedelta(hours=3)) == 0
    assert Meter(store, clock).run().row_count == 0  # as after a kill
    assert metering.version_of(store, since=START, until=clock.at)["version"].max() == 1
