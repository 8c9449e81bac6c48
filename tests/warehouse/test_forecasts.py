"""Questions about forecasts: what is expected, what came of it, how good it was."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.makers import NOON, POOL, make_pool_state
from warehouse.forecasts import (
    forecast_scores,
    forecasts_against_actual,
    latest_forecasts,
    newest_issue,
)
from warehouse.records import Forecast
from warehouse.store import Store

HOUR = timedelta(hours=1)


def make_forecast(**changes: Any) -> Forecast:
    columns = {
        "pool": POOL,
        "series": "occupancy",
        "target_at": NOON + HOUR,
        "horizon_seconds": 3600,
        "q10": 190.0,
        "q50": 205.0,
        "q90": 220.0,
        "q95": 225.0,
        "model": "boosted",
        "issued_at": NOON,
    }
    return Forecast(**(columns | changes))


def against(store: Store, **changes: Any) -> Any:
    asked = {
        "pool": POOL,
        "series": "occupancy",
        "horizon_seconds": 3600,
        "since": NOON,
        "until": NOON + 4 * HOUR,
    }
    return forecasts_against_actual(store, **(asked | changes))


def test_only_the_newest_issue_is_the_latest(store: Store) -> None:
    assert newest_issue(store) is None
    assert latest_forecasts(store).is_empty()
    store.append([make_forecast(), make_forecast(issued_at=NOON - HOUR, q50=7.0)])
    store.append([make_forecast(pool="other"), make_forecast(series="arrivals")])
    assert newest_issue(store) == NOON
    assert latest_forecasts(store).height == 3
    assert latest_forecasts(store, POOL, "occupancy")["q50"].to_list() == [205.0]


def test_a_level_is_held_against_the_reading_at_its_target(store: Store) -> None:
    store.append([make_forecast()])
    store.append(
        make_pool_state(gpus_used=used, measured_at=NOON + after)
        for used, after in ((200, timedelta(0)), (215, HOUR - timedelta(minutes=5)), (99, 2 * HOUR))
    )
    told = against(store)
    assert told.select("actual", "persisted").rows() == [(215.0, 200.0)]


def test_arrivals_are_held_against_all_that_came_in_the_span(store: Store) -> None:
    store.append(
        [make_forecast(series="arrivals", horizon_seconds=7200, target_at=NOON + 2 * HOUR)]
    )
    for hour, offered in ((-2, 1000), (-1, 3), (0, 5), (1, 20), (2, 10), (3, 1000)):
        store.append([make_pool_state(offered_jobs=offered, measured_at=NOON + hour * HOUR)])
    told = against(store, series="arrivals", horizon_seconds=7200)
    assert told.select("actual", "persisted").rows() == [(15.0, 4.0)]


def test_what_no_reading_tells_is_null_and_not_scored(store: Store) -> None:
    store.append([make_forecast(), make_forecast(series="market_price", q10=1.0)])
    store.append([make_pool_state(measured_at=NOON)])
    assert against(store).select("actual", "persisted").rows() == [(None, 200.0)]
    store.append([make_pool_state(measured_at=NOON + HOUR, market_usd_per_gpu_hour=None)])
    scores = forecast_scores(store, since=NOON, until=NOON + HOUR)
    assert scores["series"].to_list() == ["occupancy"]


def test_scores_are_those_of_the_hand_figures(store: Store) -> None:
    used = [200, 210, 230, 215]
    store.append(
        make_pool_state(gpus_used=value, measured_at=NOON + hour * HOUR)
        for hour, value in enumerate(used)
    )
    store.append(
        make_forecast(issued_at=NOON + hour * HOUR, target_at=NOON + (hour + 1) * HOUR)
        for hour in range(4)
    )
    (score,) = forecast_scores(store, since=NOON, until=NOON + 4 * HOUR).rows(named=True)
    assert score["forecast_count"] == 3  # the last target has not come
    assert score["coverage_ratio"] == pytest.approx(2 / 3)
    assert score["below_q95_ratio"] == pytest.approx(2 / 3)
    assert score["skill_ratio"] == pytest.approx(1 - (5 + 25 + 10) / (10 + 20 + 15))
    assert forecast_scores(store, since=NOON, until=NOON + HOUR, pool="other").is_empty()
