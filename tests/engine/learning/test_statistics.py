"""Statistics against hand figures, and against simulation where they promise a rate."""

from __future__ import annotations

import numpy as np
import pytest

from engine.learning import statistics
from engine.learning.statistics import (
    confidence_sequence,
    cusum,
    cusum_threshold,
    detection_steps,
    lower_bound,
    lower_sequence,
    mean_interval,
    pinball_loss,
    ratio_interval,
    won_ratio,
)


def test_equal_weeks_leave_no_doubt():
    found = mean_interval(np.full(6, 2.5), resamples=100)
    assert found == (2.5, 2.5, 2.5)


def test_a_ratio_is_of_sums_and_not_a_mean_of_ratios():
    found = ratio_interval(np.array([1.0, 30.0]), np.array([10.0, 100.0]), resamples=500)
    assert found.value == pytest.approx(31 / 110)
    # Drawn with their own denominators, two weeks can only give these.
    assert found.low == pytest.approx(0.1)
    assert found.high == pytest.approx(0.3)


def test_an_interval_repeats_with_its_seed():
    weeks = np.random.default_rng(1).normal(1, 3, 30)
    assert mean_interval(weeks, seed=4) == mean_interval(weeks, seed=4)
    assert mean_interval(weeks, seed=4) != mean_interval(weeks, seed=5)


def test_an_interval_covers_about_as_often_as_it_says():
    draws = np.random.default_rng(2).normal(1.0, 2.0, (400, 24))
    found = [mean_interval(weeks, resamples=300, level=0.9) for weeks in draws]
    assert 0.83 <= np.mean([each.low <= 1.0 <= each.high for each in found]) <= 0.93


def test_one_side_is_nearer_than_two():
    weeks = np.random.default_rng(3).normal(1, 3, 30)
    assert mean_interval(weeks).low < lower_bound(weeks) < weeks.mean()
    over = np.full(30, 2.0)
    assert lower_bound(weeks, over) == pytest.approx(lower_bound(weeks) / 2)


def test_nothing_to_compare_is_said():
    with pytest.raises(ValueError, match="one pair a week"):
        mean_interval(np.zeros(0))
    with pytest.raises(ValueError, match="nothing to divide by"):
        ratio_interval(np.ones(3), np.zeros(3))


def test_a_tie_is_not_won():
    assert won_ratio(np.array([1.0, 0.0, -1.0, 2.0])) == 0.5
    assert won_ratio(np.zeros(0)) == 0.0


# -- confidence sequences --------------------------------------------------------------


def skewed(random, paths, steps):
    """Mean 0: mostly a little won, rarely all lost, the hardest case for a lower bound."""
    return np.where(random.random((paths, steps)) < 0.1, -0.9, 0.1)


def even(random, paths, steps):
    return random.uniform(-0.5, 0.5, (paths, steps))


def drifting(random, paths, steps):
    """Its scale hangs on what came before, its mean never does: a martingale's differences."""
    values = even(random, paths, steps)
    for turn in range(1, steps):
        values[:, turn] *= np.where(values[:, turn - 1] > 0, 1.8, 0.2)
    return values


@pytest.mark.parametrize("kind", [skewed, even, drifting])
def test_whoever_peeks_every_day_and_stops_at_will_is_rarely_fooled(kind):
    paths = 2000
    values = kind(np.random.default_rng(7), paths, 50)
    # Mirrored paths beside them put the true mean, 0, right in the middle of the grid.
    both = np.concatenate([values, -values])
    bounds = lower_sequence(both, floor=float(both.min()), level=0.9, grid=20)[:paths]
    fooled = float((bounds >= -1e-9).any(axis=1).mean())
    assert 0 < fooled <= 0.1 + 3 * np.sqrt(0.09 / paths)
    # The usual bound, made for one look, is fooled far more often.
    days = np.arange(1, 51)
    peeked = values.cumsum(axis=1) / days > 1.2816 * values.std() / np.sqrt(days)
    assert float(peeked.any(axis=1).mean()) > 0.2


def test_a_gain_is_proven_within_weeks():
    values = np.random.default_rng(8).normal(0.03, 0.02, (50, 40)).clip(-0.06)
    bounds = lower_sequence(values, floor=-0.06, grid=60)
    assert 0.0 < np.median(bounds[:, 20]) < 0.03
    assert (np.diff(bounds, axis=1) >= 0).all()


def test_the_grid_errs_on_the_safe_side():
    values = np.random.default_rng(9).normal(0.3, 0.2, 50).clip(-1)
    coarse = lower_sequence(values, floor=-1, grid=20)
    fine = lower_sequence(values, floor=-1, grid=800)
    assert (coarse <= fine + 0.002).all()
    assert fine[-1] > coarse[0]


def test_a_value_below_the_floor_voids_the_bound_and_is_refused():
    with pytest.raises(ValueError, match="below the floor"):
        lower_sequence(np.array([0.1, -0.2]), floor=-0.1)


def test_two_sides_hold_the_mean_and_close_in():
    values = np.random.default_rng(10).uniform(0, 1, (300, 100))
    below, above = confidence_sequence(values, low=0, high=1, level=0.9, grid=40)
    held = ((below <= 0.5) & (above >= 0.5)).all(axis=1)
    assert held.mean() >= 0.9 - 3 * np.sqrt(0.09 / 300)
    assert np.median((above - below)[:, -1]) < 0.3


# -- losses ----------------------------------------------------------------------------


def test_pinball_loss_by_hand():
    actual, forecast = np.array([10.0, 10.0, np.nan]), np.array([8.0, 13.0, 1.0])
    # 0.9 × 2 for the one too low, 0.1 × 3 for the one too high.
    assert pinball_loss(actual, forecast, 0.9) == pytest.approx((1.8 + 0.3) / 2)
    assert np.isnan(pinball_loss(actual[2:], forecast[2:], 0.5))


def test_pinball_loss_is_least_at_the_quantile():
    actual = np.random.default_rng(11).normal(size=20_000)
    losses = [pinball_loss(actual, np.full(1, level), 0.9) for level in (0.8, 1.2816, 1.8)]
    assert min(losses) == losses[1]


# -- CUSUM -----------------------------------------------------------------------------


def test_cusum_by_hand():
    path = np.array([-1.0, -2.0, 3.0, 0.0, -1.0])
    assert cusum(path, allowance=0.5).tolist() == [0.5, 2.0, 0.0, 0.0, 0.5]
    assert cusum(path, allowance=0.5, side="high").tolist() == [0.0, 0.0, 2.5, 2.0, 0.5]
    assert cusum(path, allowance=0.5, side="both").tolist() == [0.5, 2.0, 2.5, 2.0, 0.5]


def test_the_threshold_gives_the_false_alarms_that_were_asked_for():
    # Other draws than those that the threshold was found on, each of a stable process.
    threshold = cusum_threshold(false_alarms_per_week=0.02)
    noise = np.random.default_rng(99).standard_normal((3000, 42 * 6))
    alarmed = (cusum(noise) > threshold).any(axis=1).mean()
    assert alarmed / 6 == pytest.approx(0.02, abs=0.004)


def test_rarer_alarms_need_a_higher_threshold_and_memory_a_higher_one_still():
    assert cusum_threshold(false_alarms_per_week=0.2) < cusum_threshold()
    assert cusum_threshold() < cusum_threshold(side="both")
    assert cusum_threshold() < cusum_threshold(autocorrelation=0.3)


def test_alarms_too_rare_to_be_found_are_refused():
    with pytest.raises(ValueError, match="larger allowance"):
        cusum_threshold(false_alarms_per_week=1e-9)


def test_a_large_fall_is_found_within_a_day_and_none_takes_for_ever():
    threshold = cusum_threshold()
    assert detection_steps(2.0, threshold=threshold) <= 6
    assert detection_steps(1.0, threshold=threshold) <= 14
    assert detection_steps(0.0, threshold=1e9) == np.inf
    assert statistics.WEEK_STEPS * 4 == 168
