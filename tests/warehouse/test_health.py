"""What the health page asks: how collectors fare, and how old the measurements are."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from tests.makers import NOON, make_gpu_sample, make_pool_state
from warehouse.health import collector_health, collector_runs, freshness, readiness
from warehouse.records import CollectorRun
from warehouse.store import Store


def make_run(seconds_ago: float = 0.0, **changes: Any) -> CollectorRun:
    run = CollectorRun(
        collector="vast",
        outcome="succeeded",
        row_count=10,
        attempt_count=1,
        detail=None,
        started_at=NOON - timedelta(seconds=seconds_ago),
        duration_seconds=1.0,
    )
    return replace(run, **changes)


def health_of(store: Store, collector: str = "vast", **options: Any) -> dict[str, Any]:
    health = collector_health(store, now=NOON, **options)
    return health.row(by_predicate=pl.col("collector") == collector, named=True)


def test_a_collector_is_told_by_its_last_run_and_its_last_success(store):
    store.append(
        [
            make_run(120, row_count=7),
            make_run(60, outcome="failed", row_count=0, attempt_count=4, detail="no route"),
        ]
    )
    row = health_of(store)
    assert (row["outcome"], row["detail"]) == ("failed", "no route")
    assert (row["row_count"], row["attempt_count"]) == (0, 4)
    assert row["last_run_at"] == NOON - timedelta(seconds=60)
    assert row["last_success_at"] == NOON - timedelta(seconds=120)
    assert row["age_seconds"] == 120.0


def test_runs_and_failures_are_counted_over_a_day(store):
    store.append(
        [
            make_run(25 * 3600, outcome="failed"),
            make_run(180, outcome="failed"),
            make_run(120, outcome="timed_out"),
            make_run(60, outcome="skipped"),
            make_run(0),
        ]
    )
    row = health_of(store)
    assert (row["runs_in_24h"], row["failures_in_24h"]) == (4, 2)


def test_the_slow_runs_show_in_the_95th_percentile(store):
    store.append([make_run(i, duration_seconds=float(i)) for i in range(101)])
    assert health_of(store)["duration_p95_seconds"] == 95.0


@pytest.mark.parametrize(("age_seconds", "is_stale"), [(29, False), (31, True)])
def test_a_collector_is_stale_after_three_of_its_usual_gaps(store, age_seconds, is_stale):
    successes = [make_run(age_seconds + i * 10) for i in range(20)]
    store.append(successes)
    row = health_of(store)
    assert (row["usual_gap_seconds"], row["is_stale"]) == (10.0, is_stale)


def test_a_known_interval_is_taken_before_the_usual_gap(store):
    store.append([make_run(31 + i * 10) for i in range(20)])
    assert health_of(store)["is_stale"] is True
    assert health_of(store, every_seconds={"vast": 60.0})["is_stale"] is False


def test_a_collector_that_runs_and_fails_goes_stale(store):
    store.append([make_run(100)])
    store.append([make_run(i * 10, outcome="failed") for i in range(10)])
    assert health_of(store)["is_stale"] is True


def test_a_collector_that_never_succeeded_is_stale_and_an_absent_one_is_not(store):
    store.append(
        [make_run(outcome="failed"), make_run(collector="nvml", outcome="skipped", detail="no GPU")]
    )
    assert health_of(store)["is_stale"] is True
    assert health_of(store, "nvml")["is_stale"] is None


def test_after_one_run_nobody_knows_when_the_next_is_due(store):
    store.append([make_run(1000)])
    assert health_of(store)["is_stale"] is None


def test_each_collector_has_its_own_row_by_name(store):
    store.append([make_run(collector=name) for name in ("vast", "fleet", "nvml")])
    assert list(collector_health(store, now=NOON)["collector"]) == ["fleet", "nvml", "vast"]


def test_before_any_run_there_is_no_health(store):
    assert collector_health(store, now=NOON).is_empty()
    assert collector_health(store, now=NOON, every_seconds={"vast": 1.0}).is_empty()


def test_runs_come_a_page_at_a_time_the_newest_first(store):
    store.append([make_run(i, collector="vast" if i % 2 else "nvml") for i in range(10)])
    page = collector_runs(store, offset=2, limit=3)
    assert page.total == 10
    assert page.rows["started_at"].to_list() == [NOON - timedelta(seconds=i) for i in (2, 3, 4)]


def test_runs_of_one_collector_can_be_asked_for(store):
    store.append([make_run(i, collector="vast" if i % 2 else "nvml") for i in range(10)])
    page = collector_runs(store, collector="vast", limit=2)
    assert (page.total, list(page.rows["collector"])) == (5, ["vast", "vast"])


def newest(store: Store) -> dict[str, datetime | None]:
    return dict(freshness(store).iter_rows())


def test_freshness_is_the_newest_measurement_of_each_table(store):
    assert newest(store) == {"gpu_samples": None, "offers": None, "pool_states": None}
    store.append([make_gpu_sample(measured_at=NOON - timedelta(minutes=m)) for m in (3, 1, 2)])
    store.append([make_pool_state(measured_at=NOON)])
    assert newest(store) == {
        "gpu_samples": NOON - timedelta(minutes=1),
        "offers": None,
        "pool_states": NOON,
    }


def test_a_console_that_has_heard_nothing_yet_is_not_ready(store):
    answer = readiness(store, now=NOON)
    assert (answer.is_ready, answer.newest_at) == (False, None)
    assert answer.detail == "no collector has run yet: wait for the first"


def test_a_console_with_measurements_is_ready_and_names_what_is_stale(store):
    store.append([make_gpu_sample(measured_at=NOON)])
    store.append([make_run(100 + i) for i in range(5)])
    answer = readiness(store, now=NOON)
    assert (answer.is_ready, answer.newest_at) == (True, NOON)
    assert (answer.stale_collectors, answer.detail) == (("vast",), "ready; stale: vast")


def test_a_console_whose_only_collector_is_absent_is_ready_to_say_so(store):
    store.append([make_run(collector="nvml", outcome="skipped", detail="no driver")])
    assert readiness(store, now=NOON).is_ready
