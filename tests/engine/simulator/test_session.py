from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from engine.simulator.commands import ScaleUp
from engine.simulator.session import FleetAsked, FleetSession, OtherFleet
from tests.makers import NOON
from warehouse.controls import set_kill_switch
from warehouse.fleet import gpu_map, pools
from warehouse.money import charged_usd, earnings_total
from warehouse.records import FleetCommand
from warehouse.store import Location, Store

ASKED = FleetAsked(seed=7, history=timedelta(hours=25), live_from=NOON, speed=0.0)
POOL = "h100-us-east"


class StopAfter(threading.Event):
    """An event that is set once it was asked about `looks` times: a stop half way."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def is_set(self) -> bool:
        self._looks -= 1
        return self._looks < 0


def started(store: Store) -> FleetSession:
    session = FleetSession.open(store, ASKED, wall_now=NOON)
    assert session.catch_up(threading.Event()), session.failure
    return session


def collected(session: FleetSession, store: Store, minutes: float) -> None:
    with store.transaction():
        for record_class, frame in session.played_to(NOON + timedelta(minutes=minutes)):
            store.append_frame(record_class, frame)


def commanded(session: FleetSession, store: Store, command_id: str) -> None:
    session.fleet.apply(ScaleUp(POOL, 2), command_id)
    store.append(
        [
            FleetCommand(
                command_id=command_id,
                command="ScaleUp",
                arguments={"pool": POOL, "nodes": 2},
                result={},
                applied_at=session.fleet.now,
            )
        ]
    )


def totals(store: Store) -> dict[str, int]:
    tables = ("job_events", "charges", "pool_ledgers", "pool_states", "gpu_rollups", "pools")
    return {table: store.query(f"SELECT count(*) AS n FROM {table}").item() for table in tables}


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Store]:
    opened = Store(Location.embedded(tmp_path / "second"))
    yield opened
    opened.close()


def test_history_is_there_at_the_start_and_its_money_adds_up(store: Store) -> None:
    session = started(store)
    assert session.progress_ratio == 1.0
    assert session.clock.now() == NOON
    assert [pool.pool for pool in pools(store)] == sorted(session.fleet.pools)
    span = {"since": NOON - timedelta(days=3), "until": NOON}
    charged, earned = charged_usd(store, **span), earnings_total(store, **span)
    assert charged["charge_usd"].to_list() == pytest.approx(earned["revenue_usd"].to_list())
    assert earned["revenue_usd"].min() > 0
    assert gpu_map(store).height == 512


def test_a_history_that_was_stopped_goes_on_where_it_stood(store: Store, second: Store) -> None:
    started(second)
    broken = FleetSession.open(store, ASKED, wall_now=NOON)
    assert not broken.catch_up(StopAfter(2))
    assert 0 < broken.progress_ratio < 1
    resumed = started(store)
    assert resumed.progress_ratio == 1.0
    assert totals(store) == totals(second)


def test_a_restart_finds_the_same_fleet_its_commands_included(store: Store) -> None:
    first = started(store)
    collected(first, store, 12)
    commanded(first, store, "one")
    collected(first, store, 31)
    commanded(first, store, "two")
    set_kill_switch(store, True, by="me", reason="why", now=NOON + timedelta(minutes=50))
    again = started(store)
    assert again.clock.now() == NOON + timedelta(minutes=50), "no row lies in its future"
    assert again.fleet.checksums() == first.fleet.checksums()
    for session in (first, again):
        session.fleet.advance_to(NOON + timedelta(hours=5))
    assert again.fleet.checksums() == first.fleet.checksums()


def test_a_reading_that_was_not_stored_is_read_again(store: Store, second: Store) -> None:
    lost, smooth = started(store), started(second)
    list(lost.played_to(NOON + timedelta(minutes=20)))  # its rows go nowhere
    for session, its_store in ((lost, store), (smooth, second)):
        collected(session, its_store, 40)
    assert totals(store) == totals(second)
    span = {"since": NOON - timedelta(days=3), "until": NOON + timedelta(days=1)}
    resumed, unbroken = charged_usd(store, **span), charged_usd(second, **span)
    assert resumed["charge_usd"].to_list() == pytest.approx(unbroken["charge_usd"].to_list())


def test_all_gpus_are_read_on_the_grid_and_changes_in_between(store: Store) -> None:
    session = started(store)
    before = store.query("SELECT count(DISTINCT measured_at) AS n FROM gpu_samples").item()
    collected(session, store, 2)
    assert store.query("SELECT max(measured_at) AS at FROM pool_states").item() == NOON + timedelta(
        minutes=2
    )
    collected(session, store, 11)
    readings = store.query("SELECT DISTINCT measured_at AS at FROM gpu_samples ORDER BY 1")
    assert readings.height == before + 2
    assert readings["at"].to_list()[-2:] == [NOON + timedelta(minutes=m) for m in (5, 10)]


def test_a_fleet_that_does_not_play_to_the_stored_rows_is_refused(store: Store) -> None:
    collected(started(store), store, 10)
    store._cursor().execute("UPDATE pool_states SET gpus_used = gpus_used + 1")
    session = FleetSession.open(store, ASKED, wall_now=NOON)
    assert not session.catch_up(threading.Event())
    assert session.failure is not None
    assert "another version of Pilothouse" in session.failure


def test_a_fleet_that_did_what_is_not_stored_is_built_again(store: Store) -> None:
    session = started(store)
    before = session.fleet.checksums()
    session.fleet.apply(ScaleUp(POOL, 2), "never stored")
    assert session.fleet.checksums() != before
    session.rebuild()
    assert session.fleet.checksums() == before


def test_another_fleet_than_the_warehouse_holds_is_refused(store: Store) -> None:
    FleetSession.open(store, ASKED, wall_now=NOON)
    with pytest.raises(OtherFleet, match=r"another simulated fleet \(seed 7"):
        FleetSession.open(store, replace(ASKED, seed=8), wall_now=NOON)


def test_a_fleet_of_another_size_keeps_it_and_is_not_taken_for_another(store: Store) -> None:
    asked = replace(ASKED, gpus=1000, history=timedelta(hours=2))
    FleetSession.open(store, asked, wall_now=NOON)
    again = FleetSession.open(store, replace(asked, gpus=None), wall_now=NOON)
    assert sum(p.settings.owned_nodes * 8 for p in again.fleet.pools.values()) == 1000
    with pytest.raises(OtherFleet, match="1000 GPUs"):
        FleetSession.open(store, replace(asked, gpus=512), wall_now=NOON)


def test_a_past_that_is_read_finely_is_the_same_past(empty_home: Path, tmp_path: Path) -> None:
    """Readings in place of the hours' sums; all else alike."""
    asked = replace(ASKED, history=timedelta(hours=3))
    told = {}
    for name, fine in (("coarse", None), ("fine", lambda at: 300 if at.hour == 9 else 900)):
        store = Store(Location.embedded(shutil.copytree(empty_home, tmp_path / name)))
        session = FleetSession.open(store, asked, wall_now=NOON)
        assert session.catch_up(threading.Event(), fine), session.failure
        told[name] = [
            store.query(f"SELECT * FROM {table} ORDER BY ALL")
            for table in ("job_events", "charges", "pool_states", "pool_ledgers", "node_states")
        ]
        by_hour = dict(
            store.query(
                "SELECT hour(measured_at), count(DISTINCT measured_at) FROM gpu_samples GROUP BY 1"
            ).iter_rows()
        )
        rollups = store.query("SELECT count(*) FROM gpu_rollups").item()
        store.close()
        assert (rollups > 0) == (fine is None)
        assert by_hour == ({12: 1} if fine is None else {9: 12, 10: 4, 11: 4, 12: 1})
    for coarse, fine in zip(told["coarse"], told["fine"], strict=True):
        # Money is summed up in other steps, so that its last digits may differ.
        assert_frame_equal(coarse, fine, check_exact=False, rel_tol=1e-12)
