"""A run ends in time, is tried again where that may help, and is always on record."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from collectors.base import (
    Absent,
    Malformed,
    Note,
    NotHere,
    QuotaExhausted,
    RateLimited,
    Refused,
    Unreachable,
)
from collectors.runner import Pace, Runner
from tests.makers import make_gpu_sample
from warehouse.records import CollectorRun, GpuSample
from warehouse.store import Location, Store

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


@dataclass
class Time:
    """A clock, its seconds and the pauses, turned by hand: to pause is to move on."""

    seconds: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def wait(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        self.seconds += seconds
        return False


@dataclass
class FakeSource:
    """A source that does what its script says, a step a try; the last step over and over."""

    script: list[Callable[[datetime], list[Any]]]
    name: str = "fake"
    every_seconds: float = 60.0
    time_limit_seconds: float = 30.0
    asked_at: list[datetime] = field(default_factory=list)

    def collect(self, now: datetime) -> list[Any]:
        step = self.script[min(len(self.asked_at), len(self.script) - 1)]
        self.asked_at.append(now)
        return step(now)


def yields(*rows: Any) -> Callable[[datetime], list[Any]]:
    return lambda now: list(rows)


def raises(error: BaseException) -> Callable[[datetime], list[Any]]:
    def step(now: datetime) -> list[Any]:
        raise error

    return step


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def runner(store, time) -> Runner:
    return Runner(store, time, seconds=lambda: time.seconds, wait=time.wait, chance=lambda: 0.0)


def recorded(store: Store) -> list[CollectorRun]:
    return store.rows(CollectorRun, "SELECT * FROM collector_runs ORDER BY started_at")


def sample_count(store: Store) -> int:
    return store.query("SELECT count(*) AS n FROM gpu_samples").item()


# -- what is stored ---------------------------------------------------------------------


def test_rows_frames_and_the_run_are_stored_together(store, runner, time):
    samples = [make_gpu_sample(gpu_id=f"GPU-{i}") for i in range(3)]
    columns = {"gpu_id": "GPU-f", "node_id": "n", "slot": 0, "source": "f", "measured_at": NOON}
    frame = pl.DataFrame([columns])
    before = store.snapshot_id()
    run = runner.run(FakeSource([yields(*samples, (GpuSample, frame))]))
    assert (run.outcome, run.row_count, run.attempt_count) == ("succeeded", 4, 1)
    assert store.snapshot_id() == before + 1
    assert recorded(store) == [run]
    assert sample_count(store) == 4


def test_every_row_says_when_it_was_stored(store, runner, time):
    time.seconds = 5.0
    runner.run(FakeSource([yields(make_gpu_sample(measured_at=NOON, stored_at=NOON))]))
    stored = store.query("SELECT measured_at, stored_at FROM gpu_samples").row(0)
    assert stored == (NOON, NOON + timedelta(seconds=5))


def test_a_row_that_breaks_its_declaration_fails_the_run_and_nothing_is_stored(store, runner):
    rows = [make_gpu_sample(), make_gpu_sample(utilisation_ratio=1.5)]
    run = runner.run(FakeSource([yields(*rows)]))
    assert (run.outcome, run.row_count) == ("failed", 0)
    assert "gpu_samples.utilisation_ratio is 1.5, above 1.0" in run.detail
    assert sample_count(store) == 0
    assert recorded(store) == [run]


def test_a_malformed_answer_fails_the_run_with_the_field_named_and_is_not_asked_for_again(
    store, runner
):
    source = FakeSource([raises(Malformed("Vast.ai", "offers[3].dph_total", "is missing"))])
    run = runner.run(source)
    assert (run.outcome, run.attempt_count) == ("failed", 1)
    assert "offers[3].dph_total: is missing" in run.detail
    assert sample_count(store) == 0


def test_remarks_on_a_run_that_succeeded_are_kept_with_it(runner):
    run = runner.run(FakeSource([yields(make_gpu_sample(), Note("GPU 3 is lost"))]))
    assert (run.outcome, run.row_count, run.detail) == ("succeeded", 1, "GPU 3 is lost")


def test_what_breaks_without_a_word_of_its_own_is_recorded_and_not_raised(store, runner):
    run = runner.run(FakeSource([raises(ZeroDivisionError("division by zero"))]))
    assert run.outcome == "failed"
    assert run.detail == "the collector broke: ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    "item", [42, None, (GpuSample, "no frame"), (1, 2, 3), (int, pl.DataFrame())]
)
def test_what_is_no_row_at_all_is_recorded_and_not_raised(store, runner, item):
    run = runner.run(FakeSource([yields(item)]))
    assert run.outcome == "failed"
    assert recorded(store) == [run]


def test_a_warehouse_that_is_closed_does_not_break_the_runner(tmp_path, time):
    closed = Store(Location.embedded(tmp_path / "closed"))
    closed.close()
    run = Runner(closed, time).run(FakeSource([yields(make_gpu_sample())]))
    assert run.outcome == "failed"
    assert "the warehouse didn't take the rows" in run.detail


def test_a_restart_keeps_the_last_good_rows(tmp_path, time):
    home = Location.embedded(tmp_path / "kept")
    first = Store(home)
    Runner(first, time).run(FakeSource([yields(make_gpu_sample(gpu_id="GPU-good"))]))
    first.close()
    second = Store(home)
    Runner(second, time).run(FakeSource([raises(Refused("the key is wrong"))]))
    assert second.query("SELECT gpu_id FROM gpu_samples")["gpu_id"].to_list() == ["GPU-good"]
    assert {run.outcome for run in recorded(second)} == {"succeeded", "failed"}
    second.close()


def test_an_absent_collector_is_recorded_once_with_its_reason(store, runner):
    runner.record_absent("nvml", Absent("no NVIDIA driver is installed"))
    (run,) = recorded(store)
    assert (run.outcome, run.detail) == ("skipped", "no NVIDIA driver is installed")


def test_a_source_that_finds_nothing_here_is_skipped_and_not_failed(runner):
    run = runner.run(FakeSource([raises(NotHere("this cluster has no Kueue"))]))
    assert (run.outcome, run.detail) == ("skipped", "this cluster has no Kueue")


# -- trying again -----------------------------------------------------------------------


def test_a_source_that_comes_back_is_tried_until_it_answers(store, runner, time):
    down = raises(Unreachable("no route"))
    source = FakeSource([down, down, yields(make_gpu_sample())])
    run = runner.run(source)
    assert (run.outcome, run.attempt_count) == ("succeeded", 3)
    assert time.pauses == [1.0, 2.0]
    assert run.duration_seconds == 3.0
    assert source.asked_at == [NOON + timedelta(seconds=s) for s in (0, 1, 3)]


def test_pauses_double_up_to_their_limit_and_the_tries_end(store, time):
    pace = Pace(most_attempts=6, longest_pause_seconds=4.0)
    runner = Runner(
        store, time, pace=pace, seconds=lambda: time.seconds, wait=time.wait, chance=lambda: 0.0
    )
    run = runner.run(FakeSource([raises(Unreachable("no route"))]))
    assert time.pauses == [1.0, 2.0, 4.0, 4.0, 4.0]
    assert (run.outcome, run.attempt_count, run.detail) == ("failed", 6, "no route")


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 4.0), (0.5, 3.0), (1.0, 2.0)])
def test_chance_takes_off_up_to_half_of_a_pause(chance, pause):
    assert Pace().pause_seconds(3, chance) == pause


def test_no_try_is_begun_after_the_time_box(runner, time):
    source = FakeSource([raises(Unreachable("no route"))], time_limit_seconds=2.5)
    run = runner.run(source)
    assert time.pauses == [1.0]
    assert (run.outcome, run.attempt_count) == ("failed", 2)


def test_retry_after_is_obeyed_within_the_run(runner, time):
    source = FakeSource([raises(RateLimited("429", 7.0)), yields(make_gpu_sample())])
    assert runner.run(source).outcome == "succeeded"
    assert time.pauses == [7.0]


def test_retry_after_without_seconds_is_a_pause_like_any(runner, time):
    source = FakeSource([raises(RateLimited("429")), yields(make_gpu_sample())])
    assert runner.run(source).outcome == "succeeded"
    assert time.pauses == [1.0]


def test_retry_after_beyond_the_time_box_is_obeyed_by_the_runs_that_follow(runner, time):
    source = FakeSource([raises(RateLimited("429", 100.0)), yields(make_gpu_sample())])
    assert runner.run(source).outcome == "failed"
    time.seconds = 99.0
    held = runner.run(source)
    assert held.outcome == "skipped"
    assert held.detail == "not asked before 2026-11-02 12:01:40 UTC: 429"
    assert len(source.asked_at) == 1
    time.seconds = 100.0
    assert runner.run(source).outcome == "succeeded"


def test_a_spent_quota_is_not_asked_for_again_before_it_is_renewed(runner, time):
    midnight = NOON + timedelta(hours=12)
    spent = raises(QuotaExhausted("spent", midnight))
    source = FakeSource([spent, yields(make_gpu_sample())])
    assert (runner.run(source).attempt_count, time.pauses) == (1, [])
    time.seconds = 12 * 3600 - 1
    assert runner.run(source).outcome == "skipped"
    assert len(source.asked_at) == 1
    time.seconds = 12 * 3600
    assert runner.run(source).outcome == "succeeded"


def test_one_source_held_back_does_not_hold_another(runner, time):
    runner.run(FakeSource([raises(RateLimited("429", 100.0))], name="limited"))
    assert runner.run(FakeSource([yields(make_gpu_sample())], name="free")).outcome == "succeeded"


# -- hanging ----------------------------------------------------------------------------


class HungSource(FakeSource):
    """Hangs until it is let go, then yields a row that comes too late."""

    def __init__(self) -> None:
        self.let_go, self.has_begun = threading.Event(), threading.Event()
        self.has_ended = threading.Event()
        super().__init__([self.hang], name="hung", time_limit_seconds=0.05)

    def hang(self, now: datetime) -> list[Any]:
        self.has_begun.set()
        self.let_go.wait(30)
        self.has_ended.set()
        return [make_gpu_sample(gpu_id="GPU-late")]


def test_a_hung_source_is_abandoned_recorded_and_its_late_rows_are_not_stored(store, time):
    source, runner = HungSource(), Runner(store, time)
    run = runner.run(source)
    assert (run.outcome, run.row_count) == ("timed_out", 0)
    assert run.detail == "no answer within 0.05 s: left to itself"
    source.let_go.set()
    assert source.has_ended.wait(5)
    assert sample_count(store) == 0
    assert recorded(store) == [run]


def test_a_source_that_hangs_still_is_not_asked_a_second_time(store, time):
    source, runner = HungSource(), Runner(store, time)
    runner.run(source)
    again = runner.run(source)
    assert again.outcome == "timed_out"
    assert "an earlier run hangs still" in again.detail
    assert len(source.asked_at) == 1
    source.let_go.set()


def test_a_source_that_hung_is_asked_again_once_it_is_free(store, time):
    source, runner = HungSource(), Runner(store, time)
    runner.run(source)
    (thread,) = (t for t in threading.enumerate() if t.name == "collect-hung")
    source.let_go.set()
    thread.join(5)
    source.script.append(yields(make_gpu_sample()))
    source.time_limit_seconds = 30.0
    assert runner.run(source).outcome == "succeeded"


def test_to_stop_lets_a_run_that_waits_for_a_hung_source_go(store, time):
    source, runner = HungSource(), Runner(store, time)
    source.time_limit_seconds = 60.0
    runs: list[CollectorRun] = []
    waiting = threading.Thread(target=lambda: runs.append(runner.run(source)))
    waiting.start()
    assert source.has_begun.wait(5)
    runner.stop()
    waiting.join(5)
    assert [(run.outcome, run.detail) for run in runs] == [
        ("skipped", "the console stopped before the answer came")
    ]
    source.let_go.set()


def test_a_thread_left_behind_does_not_keep_the_interpreter():
    program = (
        "import threading; from collectors.timebox import TimeBox; "
        "print(repr(TimeBox(threading.Event().wait, 'hung').answer(0.01).error))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], timeout=30, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "TimedOut()\n"
