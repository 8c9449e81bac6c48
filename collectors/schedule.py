"""When each source is run: at its own pace, by APScheduler, none waiting for another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from collectors.base import Source
from collectors.runner import Runner

JITTER_RATIO = 0.1
"""Share of the interval that chance may add to it, so that sources don't ask at the same
instant."""

LONGEST_JITTER_SECONDS = 30.0

JOB_PREFIX = "collector:"


def new_scheduler() -> BackgroundScheduler:
    """A scheduler on UTC that isn't started yet."""
    return BackgroundScheduler(timezone=UTC)


def schedule(
    scheduler: BackgroundScheduler,
    runner: Runner,
    sources: Iterable[Source],
    is_ours: Callable[[Source], bool] = lambda source: True,
) -> None:
    """Put sources on a scheduler; each runs at once and then every `every_seconds`.

    A run that is late is run late, several missed ones as one. Each source has a worker of its
    own: one that hangs takes nobody's place. `is_ours` is asked before each run: of several
    processes one may run a source for all.
    """

    def run(source: Source) -> None:
        if is_ours(source):
            runner.run(source)

    for source in sources:
        job = f"{JOB_PREFIX}{source.name}"
        scheduler.add_executor(ThreadPoolExecutor(max_workers=1), alias=job)
        scheduler.add_job(
            run,
            _trigger(source.every_seconds),
            args=[source],
            id=job,
            name=job,
            executor=job,
            next_run_time=datetime.now(UTC),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )


def catch_up(scheduler: BackgroundScheduler) -> None:
    """Run every job now; for when the machine's clock has stepped backward.

    APScheduler goes by that clock, and would else run nothing until it is caught up with.
    """
    for job in scheduler.get_jobs():
        job.modify(next_run_time=datetime.now(UTC))


def stop(scheduler: BackgroundScheduler, runner: Runner) -> None:
    """End every run that is under way, then the scheduler; afterwards nothing is stored."""
    runner.stop()
    if scheduler.running:
        scheduler.shutdown(wait=True)


def _trigger(every_seconds: float) -> IntervalTrigger:
    jitter_seconds = min(every_seconds * JITTER_RATIO, LONGEST_JITTER_SECONDS)
    return IntervalTrigger(seconds=every_seconds, jitter=jitter_seconds, timezone=UTC)
