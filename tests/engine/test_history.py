"""What the past says does not depend on how often it was read."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from engine.history import HOURS_OF_WEEK, past
from tests.makers import NOON, POOL, make_job_event, make_pool_state
from warehouse.store import Store


@pytest.mark.parametrize("minutes", [15, 60, 360])
def test_the_level_of_arrivals_is_the_same_at_every_pace_of_reading(
    store: Store, minutes: int
) -> None:
    step = timedelta(minutes=minutes)
    readings = int(timedelta(days=8) / step)
    store.append(
        make_pool_state(
            measured_at=NOON - i * step,
            offered_jobs=minutes // 5,
            accepted_jobs=minutes // 15,
        )
        for i in range(readings)
    )
    found = past(store, NOON)[POOL]
    assert found.arrivals_per_hour.shape == (HOURS_OF_WEEK,)
    assert np.allclose(found.arrivals_per_hour, 12.0, rtol=0.02)


def test_the_level_of_acceptance_is_fitted_to_what_customers_did(store: Store) -> None:
    store.append(
        make_pool_state(
            measured_at=NOON - i * timedelta(hours=1),
            offered_jobs=100,
            accepted_jobs=30,
            price_usd_per_gpu_hour=2.0,
            market_usd_per_gpu_hour=2.0,
        )
        for i in range(48)
    )
    curve = 1 / (1 + np.exp(5.0 * (1 - 1.08)))
    assert past(store, NOON)[POOL].acceptance_scale == pytest.approx(0.3 / curve)


def test_durations_and_sizes_are_those_of_finished_jobs(store: Store) -> None:
    started, hour = NOON - timedelta(hours=5), timedelta(hours=1)
    for i in range(3):
        store.append(
            [
                make_job_event(job_id=f"j{i}", event="started", happened_at=started),
                make_job_event(job_id=f"j{i}", event="finished", happened_at=started + hour),
            ]
        )
    store.append([make_job_event(job_id="still", event="started", happened_at=started)])
    store.append([make_pool_state(measured_at=NOON - i * hour) for i in range(2)])
    found = past(store, NOON)[POOL]
    assert found.duration_seconds.tolist() == [3600, 3600, 3600]
    assert found.gpus.tolist() == [4, 4, 4]


def test_of_two_readings_at_one_instant_the_first_counts_every_time(store: Store) -> None:
    hour = timedelta(hours=1)
    at = [NOON - i * hour for i in range(48)]
    store.append(make_pool_state(measured_at=one, offered_jobs=100, accepted_jobs=30) for one in at)
    store.append(make_pool_state(measured_at=one, offered_jobs=0, accepted_jobs=0) for one in at)
    found = {past(store, NOON)[POOL].acceptance_scale for _ in range(20)}
    alone = (47 * 100, 47 * 30)  # the very first of all has no reading before it
    assert len(found) == 1
    assert past(store, NOON)[POOL].arrivals_per_hour.mean() == pytest.approx(
        alone[0] / 47, rel=0.02
    )
