"""The forecast of offers: one definition, whether a whole path is asked or the newest quarter."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from engine.simulator.features import FORECAST_COUNT, TAPE_TICKS
from engine.simulator.offers import HORIZON_QUARTERS, offers_forecast, offers_forecast_path
from engine.simulator.trace import read_trace

HOUR_MEDIAN, SPREAD = 1, 4


def rhythm(days: int, seed: int = 3, mean: float = 8.0) -> np.ndarray:
    """Poisson counts a quarter that rise and sink with the day."""
    hours = np.arange(days * 96) / 4
    rates = mean * np.exp(0.6 * np.sin(2 * np.pi * hours / 24))
    return np.random.default_rng(seed).poisson(rates).astype(np.float64)


@pytest.mark.parametrize("unknown_share", [0.0, 0.1])
def test_each_row_of_a_path_is_the_single_forecast_to_the_bit(unknown_share: float) -> None:
    series = rhythm(10)
    series[np.random.default_rng(5).random(len(series)) < unknown_share] = np.nan
    path = offers_forecast_path(series, 30.25)
    for t in [*range(9), 95, 96, 500, 766, 767, 768, 769, 900, len(series) - 1]:
        window = series[max(0, t + 1 - TAPE_TICKS) : t + 1]
        single = offers_forecast(window, (30.25 + (t + 1) / 4) % 168)
        np.testing.assert_array_equal(path[t], single, err_msg=f"row {t}")


def test_the_future_and_what_is_older_than_the_tape_change_nothing() -> None:
    series = rhythm(10)
    changed = series.copy()
    changed[: 900 + 1 - TAPE_TICKS] += 50
    changed[901:] += 50
    before, after = offers_forecast_path(series, 0.0), offers_forecast_path(changed, 0.0)
    np.testing.assert_array_equal(before[900], after[900])
    assert (before[899] != after[899]).any()
    assert (before[901] != after[901]).any()


def test_steady_offers_are_expected_to_stay_with_no_spread() -> None:
    steady = offers_forecast_path(np.full(TAPE_TICKS, 5.0), 0.0)
    np.testing.assert_allclose(steady[0], [20, 20, 20, 20, steady[0, SPREAD]], rtol=1e-6)
    np.testing.assert_allclose(steady[-1], [20, 20, 20, 20, 0], atol=1e-4)


def test_the_daily_rise_is_foreseen() -> None:
    series = rhythm(9, mean=60.0)
    at_dawn = offers_forecast(series[: 8 * 96 + 4], 1.0 + 24)
    expected = 240 * np.exp(0.6 * np.sin(2 * np.pi * (1 + np.array([0.25, 0.5, 1, 3])) / 24))
    np.testing.assert_allclose(at_dawn[:SPREAD], expected, rtol=0.15)
    assert (np.diff(at_dawn[:SPREAD]) > 0).all()


def test_without_anything_known_nothing_is_expected() -> None:
    assert (offers_forecast(np.zeros(0), 0.0) == np.zeros(FORECAST_COUNT)).all()
    assert (offers_forecast(np.full(5, np.nan), 0.0) == np.zeros(FORECAST_COUNT)).all()
    assert offers_forecast_path(np.zeros(0), 0.0).shape == (0, FORECAST_COUNT)


def test_an_unknown_quarter_is_not_one_without_offers() -> None:
    known = np.full(200, 6.0)
    unknown, empty = known.copy(), known.copy()
    unknown[-6:], empty[-6:] = np.nan, 0.0
    assert offers_forecast(unknown, 50.0)[HOUR_MEDIAN] == pytest.approx(24.0, rel=0.01)
    assert offers_forecast(empty, 50.0)[HOUR_MEDIAN] < 18.0


def test_nine_days_take_well_under_five_milliseconds() -> None:
    series = rhythm(10)[:900]
    taken = []
    for _ in range(9):
        start = time.perf_counter()
        offers_forecast_path(series, 0.0)
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.005


def test_on_a_real_trace_it_beats_persistence_and_the_seasonal_naive(shared: Path) -> None:
    """Philly, the last fortnight of training, which the mix was not fitted on."""
    start, end = datetime(2017, 10, 1), datetime(2017, 11, 6)
    submitted = read_trace(shared / "traces" / "philly_jobs.parquet")["submitted_at"]
    inside = submitted.filter((submitted >= start) & (submitted < end))
    quarters = (inside - start).dt.total_seconds().to_numpy() // 900
    series = np.bincount(quarters, minlength=(end - start) // timedelta(minutes=15))
    forecast = offers_forecast_path(series.astype(np.float64), 6 * 24.0)
    hours = np.convolve(series, np.ones(4))[: len(series)]
    rows = np.arange(len(series) - 14 * 96, len(series) - HORIZON_QUARTERS[-1])
    actual = hours[rows + 4]

    def error(expected: np.ndarray) -> float:
        return float(np.abs(expected - actual).mean())

    ours = error(forecast[rows, HOUR_MEDIAN])
    assert ours < 0.9 * error(hours[rows])
    assert ours < 0.8 * min(error(hours[rows + 4 - 96]), error(hours[rows + 4 - 672]))
