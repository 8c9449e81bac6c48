"""A live pool as it looks from outside: what the planner may know, and nothing more.

True durations are read of finished jobs alone; of running ones the age, of queued ones the wait.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.simulator.layout import (
    ACTIVE,
    CORDONED,
    DOWN,
    FINISHED,
    MIGRATING,
    PROVISIONING,
    QUEUED,
    RUNNING,
    TICK_SECONDS,
)
from engine.simulator.live import LivePool
from engine.simulator.planning import ObservedPool
from engine.simulator.readings import done_seconds

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MOST_PAST_JOBS = 5000
"""the newest offers that sizes are drawn from"""
FEWEST_PAST_JOBS = 100
"""with fewer settled jobs, whatever has finished must do"""
SETTLED_SECONDS = 2 * 86_400
"""most jobs that started this long ago have ended"""


def observed(pool: LivePool, epoch_hour_of_week: float) -> ObservedPool:
    """What is visible of `pool` now; the fleet's start lay `epoch_hour_of_week` hours after Monday
    00:00 UTC."""
    s, now = pool.state, pool.now
    jobs = s.jobs[0, : pool.seen_jobs]
    nodes = s.nodes[0]
    holds = np.isin(jobs["status"], (RUNNING, MIGRATING))
    running, queued = np.flatnonzero(holds), np.flatnonzero(jobs["status"] == QUEUED)
    past_gpus, past_seconds = _past(jobs, now)
    hour_of_week = (epoch_hour_of_week + now / 3600) % 168
    waits_for = np.isin(nodes["state"], (PROVISIONING, DOWN))
    is_on = np.isin(nodes["state"], (PROVISIONING, ACTIVE, CORDONED))
    record = s.pool[0, 0]
    return ObservedPool(
        settings=pool.settings,
        acceptance_scale=pool.workload.acceptance_scale(pool.settings),
        hour_of_week=hour_of_week,
        node_state=nodes["state"].copy(),
        node_kind=nodes["kind"].copy(),
        node_ready_in_seconds=np.where(waits_for, nodes["ready_at"] - now, 0),
        node_billed_for_seconds=np.where(is_on, now - nodes["billed_from"], 0),
        running_gpus=jobs["gpus"][running],
        running_age_seconds=done_seconds(jobs[running], now),
        running_price_usd=jobs["price_micro_usd"][running] / 1e6,
        running_nodes=[nodes_of(pool, int(index)) for index in running],
        queued_gpus=jobs["gpus"][queued],
        queued_wait_seconds=now - jobs["queued_at"][queued],
        queued_price_usd=jobs["price_micro_usd"][queued] / 1e6,
        price_usd_per_gpu_hour=float(record["price_micro_usd"]) / 1e6,
        market_usd_per_gpu_hour=float(s.market[0, now // TICK_SECONDS]),
        spot_share_ratio=float(record["spot_share"]),
        arrivals_per_hour=_arrivals_per_hour(jobs["submitted_at"], now, epoch_hour_of_week),
        past_gpus=past_gpus,
        past_duration_seconds=past_seconds,
    )


def _past(jobs: npt.NDArray[Any], now: int) -> tuple[Integers, Integers]:
    """Sizes of past offers, and a duration for each, arrays of one length.

    Finished jobs alone would mislead twice: the long ones still run, and large ones more often
    leave. So durations come from a cohort old enough to have ended, those still running counted
    with their age, and offers that never ran borrow one from the cohort's jobs of their size.
    """
    cohort = np.flatnonzero(
        (jobs["started_at"] >= 0) & (jobs["started_at"] < now - SETTLED_SECONDS)
    )
    if len(cohort) < FEWEST_PAST_JOBS:
        cohort = np.flatnonzero(jobs["status"] == FINISHED)
    if len(cohort) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    has_ended = jobs["status"][cohort] == FINISHED
    lasted = np.where(has_ended, jobs["duration_seconds"][cohort], done_seconds(jobs[cohort], now))
    gpus: Integers = jobs["gpus"][-MOST_PAST_JOBS:].copy()
    seconds = np.zeros(len(gpus), np.int64)
    for size in np.unique(gpus):
        of_size = lasted[jobs["gpus"][cohort] == size]
        wanted = np.flatnonzero(gpus == size)
        pick = of_size if len(of_size) else lasted
        seconds[wanted] = pick[np.arange(len(wanted)) % len(pick)]
    return gpus, seconds


def nodes_of(pool: LivePool, job: int) -> list[int]:
    """The nodes that job number `job` holds, ascending; empty where it holds none."""
    record = pool.state.jobs[0, job]
    if record["nodes"] == 1:
        return [int(record["node"])]
    if record["nodes"] == 0:
        return []
    return [int(at) for at in np.flatnonzero((pool.state.gpus[0] == job + 1).any(axis=1))]


def _arrivals_per_hour(submitted: Integers, now: int, epoch_hour: float) -> Floats:
    # Few weeks make a noisy mean an hour: neighbours are averaged in, and the level is drawn half
    # way towards that of the last day.
    hours = max(now // 3600, 1)
    counts = np.bincount(np.minimum(submitted // 3600, hours), minlength=hours + 1)[:hours]
    of_week = (int(epoch_hour) + np.arange(hours)) % 168
    seen = np.bincount(of_week, minlength=168)
    total = np.bincount(of_week, weights=counts, minlength=168)
    mean = np.where(seen > 0, total / np.maximum(seen, 1), counts.mean())
    smooth: Floats = (np.roll(mean, 1) + 2 * mean + np.roll(mean, -1)) / 4
    lately, expected = counts[-24:].sum(), smooth[of_week[-24:]].sum()
    if expected > 0:
        smooth = smooth * (0.5 + 0.5 * lately / expected)
    return smooth
