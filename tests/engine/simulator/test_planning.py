"""The what-if model: paired, repeatable, and blind to what a console can't know."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from engine.policies.registry import baseline
from engine.simulator import compiled
from engine.simulator.fleet import SimulatedFleet
from engine.simulator.kernel import advance_many
from engine.simulator.layout import FINISHED, REPLY_WIDTH, State
from engine.simulator.metrics import Metric
from engine.simulator.observe import observed
from engine.simulator.orders import SCALE_DOWN, SCALE_UP
from engine.simulator.planning import (
    ObservedPool,
    cordon_order,
    migrate_order,
    price_order,
    quarter_offers,
    remaining_seconds,
    rollouts,
)
from engine.simulator.settings import FleetSettings, default_pools

POOL = default_pools()[0]


@pytest.fixture(scope="module")
def fleet() -> SimulatedFleet:
    start = datetime(2026, 11, 2, tzinfo=UTC)
    fleet = SimulatedFleet(FleetSettings(7, (POOL,), start))
    fleet.advance_to(start + timedelta(days=9, hours=20))
    return fleet


@pytest.fixture
def seen(fleet: SimulatedFleet) -> ObservedPool:
    return observed(fleet.pools[POOL.name], 0.0)


def test_doing_nothing_gains_nothing_and_draws_are_shared(seen: ObservedPool) -> None:
    plan = rollouts(seen, [[], [], [price_order(4.5)]], count=16, seed=1)
    assert (plan.gain_usd[:2] == 0).all()
    offers = plan.metrics[:, :, Metric.OFFERED_JOBS]
    assert (offers == offers[0]).all()
    assert offers[0].std() > 0
    accepted = plan.metrics[:, :, Metric.ACCEPTED_JOBS]
    assert (accepted[2] < accepted[0]).all()


def test_equal_questions_have_equal_answers(seen: ObservedPool) -> None:
    alternatives = [[], [(SCALE_UP, 2, 0)], [(SCALE_DOWN, 1, 0)], [cordon_order(1, drain=True)]]
    one, other = (rollouts(seen, alternatives, count=8, seed=4) for _ in range(2))
    assert (one.gain_usd == other.gain_usd).all()
    assert one.replies[1, 1] == 2
    assert one.interval_usd().shape == (4, 2)
    assert one.mean_gain_usd.shape == (4,)


def test_true_durations_and_the_true_future_are_not_read(fleet: SimulatedFleet) -> None:
    blind = fleet.clone()
    jobs = blind.pools[POOL.name].state.jobs[0]
    ended = jobs["status"] == FINISHED
    jobs["duration_seconds"][~ended] = 123_456
    jobs["due_at"][~ended] += 999
    jobs["gpus"][blind.pools[POOL.name].seen_jobs :] = 8
    plans = [
        rollouts(observed(f.pools[POOL.name], 0.0), [[], [(SCALE_UP, 2, 0)]], count=4)
        for f in (fleet, blind)
    ]
    assert (plans[0].metrics == plans[1].metrics).all()


def test_a_rollout_begins_with_what_is_observed(fleet: SimulatedFleet, seen: ObservedPool) -> None:
    pool = fleet.pools[POOL.name]
    at_once = rollouts(seen, [[], [migrate_order(0)]], count=2, horizon_seconds=1)
    used = at_once.metrics[0, :, Metric.USED_GPU_SECONDS]
    record = pool.state.pool[0, 0]
    assert used == pytest.approx(int(record["used_gpus"]), abs=8)
    on = at_once.metrics[0, :, Metric.AVAILABLE_GPU_SECONDS]
    assert (on == record["open_gpus"]).all()


def test_the_rule_goes_on_in_every_alternative_from_the_next_quarter_on(
    seen: ObservedPool,
) -> None:
    told = seen._replace(offers_forecast=np.array([20.0, 20, 20, 20, 15]))
    alternatives = [[], [price_order(4.5)], [(SCALE_UP, 3, 0)]]
    asked = {"count": 16, "horizon_seconds": 4 * 3600, "seed": 3}
    alone = rollouts(told, alternatives, **asked)
    ruled = rollouts(told, alternatives, **asked, then=baseline("rule"))
    assert (ruled.gain_usd[0] == 0).all()
    # A price that is set right again soon matters less than one that stays.
    assert 0 < 3 * abs(ruled.mean_gain_usd[1]) < abs(alone.mean_gain_usd[1])
    offers = ruled.metrics[:, :, Metric.OFFERED_JOBS]
    assert (offers == offers[0]).all()
    again = rollouts(told, alternatives, **asked, then=baseline("rule"))
    assert (again.metrics == ruled.metrics).all()
    # Within the first quarter nobody but the order has acted.
    first = [
        rollouts(told, alternatives, count=4, horizon_seconds=900, seed=3, then=then)
        for then in (None, baseline("rule"))
    ]
    assert (first[0].metrics == first[1].metrics).all()


def test_who_comes_is_drawn_around_the_forecast_whose_error_lasts(seen: ObservedPool) -> None:
    told = np.array([40.0, 30.0, 25.0, 25.0, 60.0])
    offers = quarter_offers(seen._replace(offers_forecast=told), 30)
    assert offers[:2] == pytest.approx(10.0)
    assert offers[2:4] == pytest.approx(5.0)
    assert offers.sum() == pytest.approx(24 * 25 / 4 + 6 * offers[-1])
    came = [
        rollouts(seen._replace(offers_forecast=one), [[]], count=400, horizon_seconds=3600)
        .metrics[0, :, Metric.OFFERED_JOBS]
        for one in (told, np.array([40.0, 30, 25, 25, 0]))
    ]  # fmt: skip
    assert [one.mean() for one in came] == pytest.approx([30.0, 30.0], rel=0.1)
    assert came[0].std() == pytest.approx(60.0 / 2.563, rel=0.15)
    assert came[1].std() == pytest.approx(np.sqrt(30.0), rel=0.15)


def test_an_interval_holds_one_draw_more(seen: ObservedPool) -> None:
    plan = rollouts(seen, [[], [(SCALE_UP, 2, 0)]], count=9, horizon_seconds=900)
    ordered = np.sort(plan.gain_usd[1])
    assert plan.interval_usd(0.8)[1].tolist() == [ordered[0], ordered[-1]]


def test_an_empty_pool_without_a_past_can_be_planned(seen: ObservedPool) -> None:
    none = np.zeros(0, np.int64)
    bare = seen._replace(
        running_gpus=none, running_age_seconds=none, running_price_usd=np.zeros(0),
        running_nodes=[], queued_gpus=none, queued_wait_seconds=none,
        queued_price_usd=np.zeros(0), past_gpus=none, past_duration_seconds=none,
    )  # fmt: skip
    plan = rollouts(bare, [[], [(SCALE_DOWN, 3, 0)]], count=4)
    assert (plan.gain_usd[1] > 0).all()


def test_what_remains_is_drawn_from_those_that_ran_as_long() -> None:
    past = np.array([60] * 90 + [7200] * 10)
    left = remaining_seconds(np.array([600, 1]), past, 400, np.random.default_rng(0))
    assert (left[:, 0] == 6600).all()
    assert np.median(left[:, 1]) == 59
    beyond = remaining_seconds(np.array([9000]), past, 4000, np.random.default_rng(0))
    assert np.median(beyond) == pytest.approx(9000, rel=0.1)


def test_many_rows_advance_as_each_would_alone(fleet: SimulatedFleet) -> None:
    alone = fleet.clone()
    alone.advance_to(alone.now + timedelta(hours=2))
    state = fleet.pools[POOL.name].state
    three = State._make(np.repeat(array, 3, axis=0) for array in state)
    until = np.full(3, alone.now_seconds)
    advance_many(
        three, until, np.zeros((3, 0, 3), np.int64), np.zeros((3, 0, REPLY_WIDTH), np.int64)
    )
    expected = alone.pools[POOL.name].state
    for row in range(3):
        assert (three.nodes[row] == expected.nodes[0]).all()
        assert three.metrics[row] == pytest.approx(expected.metrics[0])


def test_machine_code_is_kept_under_a_digest_of_the_sources() -> None:
    assert advance_many._cache._cache_file._source_stamp == compiled._DIGEST
