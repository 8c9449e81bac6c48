"""Sources run side by side on APScheduler, each at its own pace."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apscheduler.events import EVENT_JOB_EXECUTED

from collectors.base import Unreachable
from collectors.runner import Pace, Runner
from collectors.schedule import JOB_PREFIX, catch_up, new_scheduler, schedule, stop
from tests.makers import make_gpu_sample
from warehouse.clock import WallClock


class Source:
    """Counts how often it is asked, and lets a test wait for the n-th time."""

    def __init__(self, name: str, every_seconds: float = 0.05) -> None:
        self.name, self.every_seconds, self.time_limit_seconds = name, every_seconds, 5.0
        self.asked = threading.Semaphore(0)

    def collect(self, now: datetime) -> list[Any]:
        self.asked.release()
        return self.answer()

    def answer(self) -> list[Any]:
        return [make_gpu_sample()]

    def was_asked(self, times: int) -> bool:
        return all(self.asked.acquire(timeout=10) for _ in range(times))


class FailingSource(Source):
    def answer(self) -> list[Any]:
        raise Unreachable("no route")


class HungSource(Source):
    let_go = threading.Event()

    def answer(self) -> list[Any]:
        self.let_go.wait(30)
        return []


@pytest.fixture
def runner(store) -> Runner:
    return Runner(store, WallClock(), pace=Pace(most_attempts=1))


def test_a_hung_and_a_failing_source_do_not_stop_a_healthy_one(store, runner):
    hung, failing, healthy = HungSource("hung"), FailingSource("failing"), Source("healthy")
    scheduler = new_scheduler()
    schedule(scheduler, runner, [hung, failing, healthy])
    scheduler.start()
    assert hung.was_asked(1)
    assert healthy.was_asked(3)
    assert failing.was_asked(3)
    stop(scheduler, runner)
    HungSource.let_go.set()
    outcomes = store.query(
        "SELECT collector, outcome, count(*) AS n FROM collector_runs GROUP BY ALL"
    )
    found = {(name, outcome): n for name, outcome, n in outcomes.iter_rows()}
    assert found["healthy", "succeeded"] >= 3
    assert found["failing", "failed"] >= 3
    assert found["hung", "skipped"] == 1
    assert {name for name, _ in found} == {"hung", "failing", "healthy"}


def test_after_the_stop_no_thread_is_left_and_every_run_begun_is_on_record(store, runner):
    source = Source("healthy")
    scheduler = new_scheduler()
    schedule(scheduler, runner, [source])
    scheduler.start()
    assert source.was_asked(2)
    stop(scheduler, runner)
    assert not scheduler.running
    assert not [t for t in threading.enumerate() if t.name.startswith(("APSch", "ThreadPoolEx"))]
    asked = 2
    while source.asked.acquire(blocking=False):
        asked += 1
    assert store.query("SELECT count(*) AS n FROM collector_runs").item() == asked


def test_a_scheduler_that_never_started_can_be_stopped(runner):
    stop(new_scheduler(), runner)


def test_missed_runs_are_made_up_for_by_one_and_never_two_at_once(runner):
    scheduler = new_scheduler()
    schedule(scheduler, runner, [Source("healthy", every_seconds=10.0)])
    scheduler.start(paused=True)
    (job,) = scheduler.get_jobs()
    assert (job.coalesce, job.max_instances, job.misfire_grace_time) == (True, 1, None)
    assert job.trigger.interval == timedelta(seconds=10)
    assert job.trigger.jitter == 1.0
    stop(scheduler, runner)


def test_after_a_clock_stepped_back_every_source_is_run_at_once(runner):
    source, has_run = Source("healthy", every_seconds=3600.0), threading.Event()
    scheduler = new_scheduler()
    scheduler.add_listener(lambda event: has_run.set(), EVENT_JOB_EXECUTED)
    schedule(scheduler, runner, [source])
    scheduler.start()
    assert has_run.wait(10)
    assert source.was_asked(1)
    ticked = threading.Event()
    later = datetime(2099, 1, 1, tzinfo=UTC)
    scheduler.add_job(ticked.set, "interval", hours=1, next_run_time=later)
    scheduler.modify_job(f"{JOB_PREFIX}healthy", next_run_time=later)
    catch_up(scheduler)
    assert source.was_asked(1)
    assert ticked.wait(10), "every job runs, not the collectors alone"
    stop(scheduler, runner)
