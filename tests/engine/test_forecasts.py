"""Forecasts: no look ahead, quantiles that cover, persistence as the floor, gaps as gaps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine.forecasts import conformal
from engine.forecasts.candidates import persistence, seasonal, short_history
from engine.forecasts.contest import Seen, boosted_past, see, winner
from engine.forecasts.grid import grid_of, pool_series
from engine.forecasts.job import HORIZONS, REFIT_EVERY, Forecaster, hour_of_week
from engine.forecasts.targets import targets_of
from tests.makers import NOON, make_pool_state
from warehouse.forecasts import latest_forecasts
from warehouse.records import PoolState
from warehouse.store import Store

ROOT = Path(__file__).resolve().parents[2]
QUARTER = timedelta(minutes=15)


def rhythm(days: int, seed: int = 3) -> np.ndarray:
    """GPUs in use that follow the day, with noise that persists a little."""
    hours = np.arange(days * 96) / 4
    noise = np.random.default_rng(seed).normal(size=days * 96)
    noise = np.convolve(noise, 0.9 ** np.arange(40))[: days * 96]
    return 100 + 40 * np.sin(2 * np.pi * hours / 24) + 2 * noise


def readings(
    values: np.ndarray, every: timedelta = QUARTER, pool: str = "a", **changes: object
) -> Iterator[PoolState]:
    for ago, value in enumerate(values[::-1]):
        yield make_pool_state(
            pool=pool, gpus_used=int(value), measured_at=NOON - ago * every, **changes
        )


# -- arrays ------------------------------------------------------------------------------


@pytest.mark.parametrize(("is_flow", "horizon"), [(False, 96), (True, 2)])
def test_what_comes_later_changes_no_forecast_made_before(is_flow: bool, horizon: int) -> None:
    series = rhythm(12)
    cut = len(series) - 1 - 4 * 70  # an origin of the second fold
    changed = series.copy()
    changed[cut + 1 :] = 500 + 100 * np.random.default_rng(1).random(len(series) - cut - 1)
    told = [forecasts_of(see(s, horizon, is_flow, 12.0)) for s in (series, changed)]
    rows = see(series, horizon, is_flow, 12.0).rows
    for model, before in told[0].items():
        np.testing.assert_array_equal(before[rows <= cut], told[1][model][rows <= cut], model)
        assert not np.array_equal(before[rows > cut], told[1][model][rows > cut]), model
        assert not np.isnan(before[rows == cut]).any(), model


def forecasts_of(seen: Seen) -> dict[str, np.ndarray]:
    raw = {
        "persistence": persistence(seen.targets, seen.rows),
        "seasonal": seasonal(seen.targets, seen.rows),
        "boosted": boosted_past([seen])[0],
    }
    targets, rows = seen.targets, seen.rows
    lag = -(-targets.horizon // 4)
    return {
        name: conformal.corrected(
            quantiles,
            conformal.corrections(quantiles, targets.actual[rows], targets.scale[rows], lag),
            targets.scale[rows],
        )
        for name, quantiles in raw.items()
    }


def test_a_flow_is_forecast_as_its_mean_and_a_level_at_the_instant() -> None:
    series = np.arange(20.0)
    level, flow = targets_of(series, 4, False, 0.0), targets_of(series, 4, True, 0.0)
    assert (level.base[10], level.actual[10]) == (10, 14)
    assert (flow.base[10], flow.actual[10]) == (8.5, 12.5)
    assert np.isnan(level.actual[-4:]).all()


def test_the_correction_makes_narrow_quantiles_cover_what_they_say() -> None:
    actual = np.random.default_rng(2).normal(100, 10, 1500)
    narrow = np.tile([98.0, 100.0, 102.0, 103.0], (1500, 1))
    scale = np.full(1500, 5.0)
    shifts = conformal.corrections(narrow, actual, scale, lag=1)
    wide = conformal.corrected(narrow, shifts, scale)
    late = slice(400, None)
    assert conformal.is_covered(narrow, actual)[late].mean() < 0.25
    assert conformal.is_covered(wide, actual)[late].mean() == pytest.approx(0.80, abs=0.03)
    assert (actual <= wide[:, conformal.HIGHER])[late].mean() == pytest.approx(0.95, abs=0.02)
    assert (shifts[: conformal.FEWEST_MISSES] == 0).all()


def test_the_rolling_quantiles_are_those_of_what_was_known() -> None:
    values = np.random.default_rng(4).random(500)
    values[::7] = np.nan
    rolled = conformal.rolling_quantiles(values, (0.1, 0.9), lag=3)
    for row in (100, 499):
        known = values[max(0, row - 3 - conformal.WINDOW + 1) : row - 3 + 1]
        known = np.sort(known[~np.isnan(known)])
        rank = int(np.ceil(0.9 * (len(known) + 1)))
        assert list(rolled[row]) == [known[-rank], known[rank - 1]]


def test_the_pinball_loss_is_that_of_the_hand_figures() -> None:
    quantiles = np.array([[8.0, 10.0, 12.0, 13.0]])
    # over 8 by 3, over 10 by 1, under 12 by 1, under 13 by 2
    expected = (0.1 * 3 + 0.5 * 1 + 0.1 * 1 + 0.05 * 2) / 4
    assert conformal.pinball_loss(quantiles, np.array([11.0]))[0] == pytest.approx(expected)


def test_where_the_day_repeats_the_trees_or_the_days_before_serve() -> None:
    seen = see(rhythm(14), 24, False, 12.0)
    won = winner(seen, boosted_past([seen])[0])
    assert won.model != "persistence"
    assert won.skill_ratio is not None
    assert won.skill_ratio > 0.3
    assert won.coverage_ratio == pytest.approx(0.8, abs=0.12)


def test_nothing_beats_persistence_on_a_random_walk() -> None:
    walk = 1000 + np.cumsum(np.random.default_rng(8).normal(size=14 * 96))
    seen = see(walk, 4, False, 12.0)
    won = winner(seen, boosted_past([seen])[0])
    assert won.model == "persistence"
    assert won.skill_ratio == 0


# -- rows --------------------------------------------------------------------------------


def test_readings_become_quarters_and_gaps_stay_unknown(store: Store) -> None:
    five = timedelta(minutes=5)
    early = [NOON - timedelta(hours=4) + five * k for k in range(4)]
    late = [NOON - timedelta(minutes=15) + five * k for k in range(4)]
    store.append(
        make_pool_state(offered_jobs=k + 1, gpus_used=10 * k, measured_at=at)
        for k, at in enumerate(early + late)
    )
    (pool,) = pool_series(store, NOON)
    occupancy, arrivals = pool.series["occupancy"], pool.series["arrivals"]
    assert len(occupancy) == 17
    assert list(occupancy[[0, 1, -2, -1]]) == [0, 30, 40, 70]
    assert np.isnan(occupancy[2:-2]).all()
    # The first reading counts since nobody knows when; the one after the gap over three hours.
    assert arrivals[1] == (2 + 3 + 4) * 4
    assert arrivals[-1] == (6 + 7 + 8) * 4
    assert np.isnan(arrivals[[0, *range(2, 16)]]).all()


def test_what_was_counted_over_a_short_gap_is_spread_over_it(store: Store) -> None:
    for minutes, offered in ((0, 5), (15, 5), (75, 12)):
        store.append(
            [
                make_pool_state(
                    offered_jobs=offered, measured_at=NOON - timedelta(minutes=75 - minutes)
                )
            ]
        )
    (pool,) = pool_series(store, NOON)
    np.testing.assert_array_equal(pool.series["arrivals"], [np.nan, 20, 12, 12, 12, 12])
    np.testing.assert_array_equal(np.isnan(pool.series["occupancy"][2:5]), True)


def test_a_fortnight_gives_every_pool_series_and_horizon(store: Store) -> None:
    store.append(readings(rhythm(8)))
    store.append(readings(rhythm(8, seed=9), pool="b"))
    forecaster = Forecaster()
    assert forecaster.forecast_all(store, NOON + timedelta(minutes=7)) == 2 * 3 * 5
    told = latest_forecasts(store)
    assert set(told["issued_at"]) == {NOON}
    assert told.filter(pl.col("q10") > pl.col("q50")).is_empty()
    assert told.filter((pl.col("q50") > pl.col("q90")) | (pl.col("q90") > pl.col("q95"))).is_empty()
    level = told.filter(pl.col("series") == "occupancy")
    assert (level["target_at"] - level["issued_at"]).unique().sort().to_list() == list(HORIZONS)
    assert "boosted" in set(level["model"])
    assert (level["skill_ratio"] >= 0).all()
    # Once a quarter; cheap ones in between are made with what was fitted.
    assert forecaster.forecast_all(store, NOON + timedelta(minutes=14)) == 0


def test_what_was_fitted_serves_for_six_hours_of_the_fleets_time() -> None:
    forecaster = Forecaster()
    forecaster._fitted_at = NOON
    assert not forecaster._is_due(NOON + REFIT_EVERY - QUARTER)
    assert forecaster._is_due(NOON + REFIT_EVERY)
    assert forecaster._is_due(NOON - QUARTER), "the clock of another fleet"


def test_an_empty_warehouse_gives_no_forecast(store: Store) -> None:
    assert Forecaster().forecast_all(store, NOON) == 0


def test_a_few_hours_give_persistence_that_widens_with_the_horizon(store: Store) -> None:
    store.append(readings(rhythm(1)[:20]))
    Forecaster().forecast_all(store, NOON)
    told = latest_forecasts(store, "a", "occupancy")
    assert set(told["model"]) == {"persistence"}
    assert told["skill_ratio"].null_count() == told["coverage_ratio"].null_count() == 5
    assert (told["q50"] == int(rhythm(1)[19])).all()
    widths = (told["q90"] - told["q10"]).to_list()
    assert widths[-1] > 2 * widths[0] > 0


def test_two_readings_are_too_few_to_say_anything() -> None:
    assert short_history(np.array([5.0, 6.0]), 4, is_flow=False) is None


def test_a_market_that_is_not_known_is_not_forecast(store: Store) -> None:
    store.append(readings(rhythm(1)[:20], market_usd_per_gpu_hour=None))
    assert Forecaster().forecast_all(store, NOON) == 10
    assert latest_forecasts(store, "a", "market_price").is_empty()


def test_a_series_that_never_moves_is_forecast_to_stay(store: Store) -> None:
    store.append(readings(np.full(7 * 96, 64)))
    Forecaster().forecast_all(store, NOON)
    told = latest_forecasts(store, "a", "occupancy")
    assert set(told["model"]) == {"persistence"}
    assert told.select("q10", "q50", "q90", "q95").to_numpy() == pytest.approx(64)
    assert told["skill_ratio"].null_count() == 5


def test_a_pool_not_read_for_hours_is_not_forecast_from_old_readings(store: Store) -> None:
    store.append(readings(rhythm(3)))
    # After an hour levels still stand, and of the last hour's offers nothing is known.
    assert Forecaster().forecast_all(store, NOON + timedelta(hours=1)) == 13
    Forecaster().forecast_all(store, NOON + timedelta(hours=4))
    late = latest_forecasts(store)
    assert set(late["series"]) == {"arrivals"}
    assert late["horizon_seconds"].min() == 86_400, "the last day is known for the most part"


def test_a_gap_of_a_day_is_left_out_and_forecasts_go_on(store: Store) -> None:
    states = list(readings(rhythm(7)))
    store.append(s for s in states if not 20 < (NOON - s.measured_at) / timedelta(hours=1) < 44)
    Forecaster().forecast_all(store, NOON)
    told = latest_forecasts(store, "a")
    assert told.height == 15
    assert told.select("q10", "q50", "q90", "q95").to_numpy().min() >= 0
    assert not np.isnan(told["q95"].to_numpy()).any()


def test_the_grid_and_the_week_count_from_monday_midnight(now: datetime) -> None:
    assert grid_of(now + timedelta(minutes=14, seconds=59)) == now
    assert hour_of_week(datetime.fromisoformat("2026-11-02T00:15:00+00:00")) == 0.25


def test_the_trees_library_is_loaded_only_when_something_is_fitted() -> None:
    program = "import sys, engine.forecasts.job; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0
