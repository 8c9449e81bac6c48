"""The twin fed from rows: under what was really done it is the fleet itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from engine.policies.registry import baseline
from engine.simulator.live import LivePool
from engine.simulator.metrics import Metric, profit
from engine.simulator.settings import Economics
from engine.twin.commands import given_commands
from engine.twin.episodes import Span, read_span, realised_episode
from engine.twin.errors import NothingKnown
from engine.twin.play import play_commands, play_policy
from engine.twin.realised import _worked
from tests.engine.twin.deeds import do, result_of, undo
from tests.engine.world import MONDAY, NAME, SMALL_POOL, Played
from warehouse.store import Location, Store

QUARTER, HOUR = timedelta(minutes=15), timedelta(hours=1)
FRAIL = replace(
    SMALL_POOL,
    economics=replace(SMALL_POOL.economics, failures_per_1000_node_days=1500.0),
)
COUNTED = (
    Metric.OFFERED_JOBS, Metric.ACCEPTED_JOBS, Metric.STARTED_JOBS, Metric.FINISHED_JOBS,
    Metric.LATE_JOBS, Metric.LEFT_JOBS, Metric.INTERRUPTED_JOBS, Metric.FAILED_NODES,
    Metric.STARTED_NODES, Metric.STOPPED_NODES, Metric.ACCEPTED_GPUS, Metric.USED_GPU_SECONDS,
)  # fmt: skip


@dataclass
class Past:
    """A small fleet that was steered by hand for five hours, and what it earned meanwhile."""

    played: Played
    starts_at: datetime
    ends_at: datetime
    metrics: np.ndarray

    def span(self, **changes: object) -> Span:
        values = {"starts_at": self.starts_at, "ends_at": self.ends_at} | changes
        return read_span(self.played.store, NAME, terms=SMALL_POOL.economics, **values)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    store = Store(Location.embedded(tmp_path_factory.mktemp("past")))
    played = Played(store)
    played.start(timedelta(hours=33))
    starts_at, before = played.now, played.world.fleet.metrics()[NAME]
    for tick in range(20):
        if tick == 1:
            do(played, "more", "scale_up", nodes=2)
        if tick == 3:
            do(played, "cheap", "adjust_price", price_usd_per_gpu_hour=2.4)
        if tick == 9:
            undo(played, "cheap", "adjust_price", result_of(played, "cheap"))
        if tick == 2:
            undo(played, "more", "scale_up", result_of(played, "more"))
            do(played, "again", "scale_up", nodes=1)
        played.forward(QUARTER)
    metrics = played.world.fleet.metrics()[NAME] - before
    yield Past(played, starts_at, played.now, metrics)
    store.close()


def given(past: Past) -> list:
    return given_commands(past.played.store, NAME, past.starts_at, past.ends_at)


def test_under_the_commands_really_given_the_twin_is_the_fleet(past: Past) -> None:
    assert [len(one.asks) for one in given(past)] == [1, 2, 1, 1, 1]
    twin = play_commands(past.span(), given(past), past.ends_at, redraws=3)
    assert past.metrics[Metric.STARTED_NODES] == 3
    for metric in COUNTED:  # how long a lease takes to boot is luck
        assert twin[:, metric] == pytest.approx(past.metrics[metric], rel=0.03, abs=1), metric.name
    assert profit(twin) == pytest.approx(profit(past.metrics), rel=0.03)


def test_nodes_fail_in_the_twin_when_they_did(store: Store) -> None:
    played = Played(store, (FRAIL,))
    played.start(timedelta(hours=30))
    again, failed = LivePool(*played_pool(played)), 0
    for hours in (16, 20, 24):
        starts_at, ends_at = (MONDAY + turn * HOUR for turn in (hours, hours + 4))
        again.advance_to(hours * 3600)
        before = again.state.metrics[0].copy()
        again.advance_to((hours + 4) * 3600)
        really = again.state.metrics[0] - before
        span = read_span(store, NAME, starts_at, ends_at, FRAIL.economics)
        twin = play_commands(span, [], ends_at, redraws=2)
        failed += int(really[Metric.FAILED_NODES])
        for metric in (Metric.FAILED_NODES, Metric.INTERRUPTED_JOBS):
            assert (twin[:, metric] == really[metric]).all(), (metric.name, hours)
        # When the last checkpoint of a job that was restarted before was, no row tells.
        assert twin[:, Metric.REFUND_USD] == pytest.approx(really[Metric.REFUND_USD], rel=0.2)
        assert profit(twin) == pytest.approx(profit(really), rel=0.03)
    assert failed > 1


def played_pool(played: Played) -> tuple:
    pool = played.world.fleet.pools[NAME]
    return pool.settings, pool.seed, pool.workload


def test_every_draw_accepts_exactly_who_accepted(past: Past) -> None:
    span = past.span()
    draws = [span.episode(seed).arrivals for seed in range(3)]
    assert len({len(one.key) for one in draws}) == 1
    came = [one.acceptance[one.key < 1 << 40] for one in draws]
    assert not np.array_equal(came[0], came[1])
    twin = play_commands(span, given(past), past.ends_at, redraws=3)
    assert (twin[:, Metric.ACCEPTED_JOBS] == past.metrics[Metric.ACCEPTED_JOBS]).all()
    assert (twin[:, Metric.OFFERED_JOBS] == past.metrics[Metric.OFFERED_JOBS]).all()


def test_dearer_than_it_was_fewer_accept_and_cheaper_more(past: Past) -> None:
    span = past.span()
    cheap, dear = (
        play_policy(span, baseline("static+follow").with_knobs(np.array([*SAME, ratio])), 4)
        for ratio in (0.7, 1.3)
    )
    really = past.metrics[Metric.ACCEPTED_JOBS]
    assert dear[:, Metric.ACCEPTED_JOBS].max() < really < cheap[:, Metric.ACCEPTED_JOBS].min()


SAME = baseline("static+follow").knobs[:-1]


def test_the_same_draw_twice_is_the_same_episode(past: Past) -> None:
    asked = (past.played.store, NAME, past.starts_at, past.ends_at, SMALL_POOL.economics)
    one, again, other = (realised_episode(*asked, redraw_seed=seed) for seed in (1, 1, 2))
    assert one.arrivals.acceptance.tolist() == again.arrivals.acceptance.tolist()
    assert one.arrivals.acceptance.tolist() != other.arrivals.acceptance.tolist()
    assert one.ticks == 20
    assert one.start is not None
    assert one.tape is not None


def test_what_was_not_read_is_not_played(past: Past) -> None:
    with pytest.raises(NothingKnown, match="was not read"):
        past.span(starts_at=MONDAY - 2 * HOUR)
    with pytest.raises(NothingKnown, match="of the span"):
        past.span(ends_at=past.ends_at + 3 * HOUR)


def test_work_is_what_a_job_ran_without_pauses_and_without_what_was_lost() -> None:
    terms = Economics(checkpoint_seconds=3600, migration_seconds=300)
    at = [MONDAY + turn * timedelta(minutes=10) for turn in (0, 0, 6, 18, 24, 30)]
    kinds = ["submitted", "started", "migrated", "preempted", "started", "finished"]
    # An hour, then 2 h less 5 min of which the last 55 min are lost, then an hour.
    assert _worked(kinds, at, at[-1], terms) == 3600 + 3600 + 3600
    assert _worked(kinds, at, at[1] + HOUR / 2, terms) == 1800
    assert _worked(kinds[:5], at[:5], at[4] + HOUR / 4, terms) == 7200 + 900
