"""What takes a policy out of service: each trigger, by hand and by simulation."""

from __future__ import annotations

from typing import get_args, get_type_hints

import numpy as np
import pytest

from engine.learning import undoing
from engine.learning.statistics import cusum_threshold
from engine.learning.undoing import (
    BurnWindow,
    Usual,
    cusum_alarm,
    failing_actions_alarm,
    four_hour_means,
    late_burn_alarm,
    price_alarm,
    twin_drift,
    twin_drift_alarm,
    usual,
)
from warehouse.records import PolicyAlarm

CALM = Usual(mean=0.0, deviation=10.0)


def test_its_triggers_are_those_that_the_warehouse_knows():
    known = get_args(get_type_hints(PolicyAlarm)["trigger"])
    # Weights that can't be loaded raise an alarm of their own: there is no figure to ask about.
    assert (*get_args(undoing.Trigger), "weights") == known


def test_blocks_are_counted_from_the_newest_and_need_half_of_their_quarters():
    values = np.concatenate([[99.0, 99.0], np.full(16, 2.0), np.arange(16.0)])
    assert four_hour_means(values).tolist() == [2.0, 7.5]
    values[-8:] = np.nan
    assert four_hour_means(values)[-1] == pytest.approx(np.arange(8).mean())
    values[-9:] = np.nan
    assert np.isnan(four_hour_means(values)[-1])
    assert four_hour_means(values[:15]).shape == (0,)


def test_usual_is_the_mean_and_spread_of_what_is_known():
    found = usual(np.array([1.0, 3.0, np.nan]))
    assert found.mean == 2.0
    assert found.deviation == pytest.approx(2**0.5)
    with pytest.raises(ValueError, match="wait for more"):
        usual(np.array([1.0, np.nan]))


# -- CUSUM -----------------------------------------------------------------------------


def test_a_shortfall_adds_up_to_an_alarm():
    # One deviation short each time, of which half is allowed: past 2.2 after the fifth.
    found = cusum_alarm(np.full(6, -10.0), CALM, threshold=2.2)
    assert found is not None
    assert found.trigger == "cusum"
    assert (found.value, found.threshold) == (pytest.approx(2.5), 2.2)
    assert "over 20 hours it earned $10.00 an interval less" in found.detail
    assert cusum_alarm(np.full(4, -10.0), CALM, threshold=2.2) is None


def test_earning_more_than_expected_alarms_nobody():
    assert cusum_alarm(np.full(100, 50.0), CALM) is None


def test_unknown_blocks_are_left_out():
    with_gaps = np.array([-30.0, np.nan, -30.0, np.nan, -30.0])
    assert cusum_alarm(with_gaps, CALM, threshold=7.0) is not None
    assert cusum_alarm(np.full(9, np.nan), CALM) is None


def test_an_alarm_is_not_forgotten_by_a_good_day_after_it():
    assert cusum_alarm(np.array([*np.full(8, -20.0), *np.full(50, 20.0)]), CALM) is not None


def test_a_sound_policy_is_left_alone_and_a_bad_one_found_within_a_day():
    noise = np.random.default_rng(3).normal(0, 10, (300, 42))
    false = [cusum_alarm(week, CALM) is not None for week in noise]
    assert np.mean(false) <= 0.05
    bad = [cusum_alarm(week[:6] - 20, CALM) is not None for week in noise]
    assert np.mean(bad) > 0.8


# -- hard triggers ---------------------------------------------------------------------

WINDOW = (BurnWindow(long_quarters=8, short_quarters=2, burn=5.0),)


def burn(late, started=None):
    late = np.array(late, np.float64)
    jobs = np.full(len(late), 10.0) if started is None else np.array(started, np.float64)
    return late_burn_alarm(late, jobs, budget_ratio=0.05, windows=WINDOW)


def test_late_jobs_that_burn_the_budget_in_both_windows_alarm():
    found = burn([0, 0, 4, 4, 4, 4, 4, 4])
    assert found is not None
    assert found.trigger == "late_burn"
    # 24 of 80 late is 30 %, six times the 5 % that are allowed.
    assert found.value == pytest.approx(6.0)
    assert "30% of 80 jobs started late in 2 h, 40% in the last 30 min; 5.0%" in found.detail


def test_what_is_over_and_what_has_just_begun_alarm_nobody():
    assert burn([4, 4, 4, 4, 4, 4, 0, 0]) is None
    assert burn([0, 0, 0, 0, 0, 0, 4, 4]) is None


def test_a_handful_of_jobs_says_little():
    assert burn([1, 1, 1, 1, 1, 1, 1, 1], [2] * 8) is None
    assert burn([4, 4, 4, 4]) is None  # shorter than the window


def test_a_budget_so_large_that_the_burn_could_not_be_reached_still_alarms():
    late, started = np.full(24, 10.0), np.full(24, 10.0)
    found = late_burn_alarm(late, started, budget_ratio=0.3)
    assert found is not None
    assert found.threshold == pytest.approx(3.0)
    with pytest.raises(ValueError, match="no share of jobs"):
        late_burn_alarm(late, started, budget_ratio=0.0)


def test_a_price_outside_its_bounds_alarms():
    market = np.array([2.0, 2.0, np.nan])
    assert price_alarm(np.array([1.4, 2.6, 99.0]), market) is None
    high, low = price_alarm(np.array([2.7]), market[:1]), price_alarm(np.array([1.3]), market[:1])
    assert high is not None
    assert low is not None
    assert (high.value, high.threshold) == (pytest.approx(1.35), 1.30)
    assert (low.value, low.threshold) == (pytest.approx(0.65), 0.70)
    assert "$2.70 is 1.35 times the market's $2.00" in high.detail


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_price_alarms(price):
    found = price_alarm(np.array([price]), np.array([2.0]))
    assert found is not None
    assert found.trigger == "price_bounds"


def test_actions_that_fail_alarm_while_they_are_recent():
    recent = np.array([True] * 6 + [False] * 4)
    found = failing_actions_alarm(recent)
    assert found is not None
    assert (found.trigger, found.value, found.threshold) == ("failing_actions", 4.0, 3.0)
    assert failing_actions_alarm(recent[:-1]) is None
    assert failing_actions_alarm(np.append(recent, True)) is not None
    assert failing_actions_alarm(np.append(recent, [True] * 8)) is None
    assert failing_actions_alarm(np.zeros(0, np.bool_)) is None


def test_a_twin_that_drifts_to_either_side_alarms_until_it_matches_again():
    before = Usual(mean=0.01, deviation=0.02)
    limit = cusum_threshold(side="both")
    for sign in (-1.0, 1.0):
        off = np.full(8, 0.01 + sign * 0.06)
        found = twin_drift_alarm(off, before)
        assert found is not None
        assert found.trigger == "twin_drift"
        assert found.value == pytest.approx(8 * 2.5)
        assert found.threshold == limit
        assert f"last {0.01 + sign * 0.06:+.1%} off, usual is +1.0% ± 2.0%" in found.detail
        healed = np.append(off, np.full(40, 0.01))
        assert twin_drift(healed, before)[-1] == 0.0
        assert twin_drift_alarm(healed, before) is None
    assert twin_drift_alarm(np.zeros(0), before) is None
