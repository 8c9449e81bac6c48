"""A pool as it stands, seen from outside, and how it is laid into rows of state.

The planner's rollouts, an episode that starts in the midst of things, and the figures that a policy
reads of a fleet known by rows alone: all begin from the same few arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.simulator.features import SUSPECT_HEALTH_RATIO
from engine.simulator.layout import (
    CORDONED,
    DOWN,
    END,
    FAIL,
    PROVISIONING,
    QUEUED,
    READY,
    RUNNING,
    TICK_SECONDS,
    State,
)
from engine.simulator.settings import PoolSettings, knobs_of, micro_usd

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

LARGE_GPUS = 8
"""jobs from this size on are taken as one kind, smaller ones as another"""
FEWEST_ALIKE = 20


class ObservedPool(NamedTuple):
    """A pool as seen from outside at one instant; arrays of one group have one length."""

    settings: PoolSettings
    acceptance_scale: float
    """what the acceptance curve is multiplied by: 1 where refused offers are seen too"""
    hour_of_week: float
    """now, in hours since Monday 00:00 UTC, 0 to 168"""
    node_state: Integers
    """as in `layout.py`: OFF, PROVISIONING, ACTIVE, CORDONED, DOWN"""
    node_kind: Integers
    """OWNED or BURST"""
    node_ready_in_seconds: Integers
    """of provisioning and broken nodes"""
    node_billed_for_seconds: Integers
    """of leased nodes: how long the lease has run"""
    running_gpus: Integers
    running_age_seconds: Integers
    """since the first start: about the work done so far"""
    running_price_usd: Floats
    running_nodes: Sequence[Sequence[int]]
    """the nodes of each running job"""
    queued_gpus: Integers
    queued_wait_seconds: Integers
    queued_price_usd: Floats
    price_usd_per_gpu_hour: float
    market_usd_per_gpu_hour: float
    spot_share_ratio: float
    arrivals_per_hour: Floats
    """expected offers by hour of the week, shape (168,)"""
    past_gpus: Integers
    """sizes of past offers, also of those that were refused or left"""
    past_duration_seconds: Integers
    """a duration for each, by the same index: its own, or one of a job of its size"""
    node_health: Floats | None = None
    """1 is sound; None where nothing is known of it"""
    tape: Floats | None = None
    """(n, TAPE_COUNT): the quarters up to now, the last row ends now; None where none is known"""
    offers_forecast: Floats | None = None
    """(FORECAST_COUNT,) of `offers.py`; None: `arrivals_per_hour` says who comes"""
    # -- known only afterwards, for an episode of what really came
    node_fails_in_seconds: Integers | None = None
    """when each node failed; 0 where it did not"""
    running_left_seconds: Integers | None = None
    """work that was left of each running job"""
    queued_duration_seconds: Integers | None = None
    """of each queued job"""

    @property
    def known_jobs(self) -> int:
        """Jobs that run or wait."""
        return len(self.running_gpus) + len(self.queued_gpus)


def lay_out(s: State, observed: ObservedPool, left: Integers, durations: Integers) -> None:
    """Fills blank rows (R) with the pool; its jobs come first among the jobs, and time is 0.

    `left` (R, running) are the seconds that running jobs still work, `durations` (R, queued) those
    of the jobs that wait. What began before now has a negative instant.
    """
    running, known = len(observed.running_gpus), observed.known_jobs
    s.knobs[:, 0] = knobs_of(observed.settings, observed.acceptance_scale)
    s.knobs[:, 0]["node_count"] = len(observed.node_state)
    pool = s.pool[:, 0]
    # The health that was read is that of the tick just past; the next is drawn a quarter ahead.
    pool["next_tick_at"] = TICK_SECONDS
    pool["next_arrival"] = pool["job_count"] = known
    pool["price_micro_usd"] = micro_usd(observed.price_usd_per_gpu_hour)
    pool["spot_share"] = observed.spot_share_ratio
    _fill_nodes(s, observed)
    s.jobs["node"] = s.jobs["started_at"] = s.jobs["ended_at"] = -1
    s.jobs[:, :known]["key"] = np.arange(known) - known
    _fill_running(s, observed, left)
    waiting = s.jobs[:, running:known]
    waiting["status"] = QUEUED
    waiting["gpus"] = observed.queued_gpus
    waiting["queued_at"] = waiting["submitted_at"] = -observed.queued_wait_seconds
    # Who has waited longer than a customer's patience has run before and stays.
    patience = observed.settings.economics.patience_seconds
    waiting["starts"] = observed.queued_wait_seconds >= patience
    waiting["price_micro_usd"] = np.round(observed.queued_price_usd * 1e6)
    waiting["duration_seconds"] = durations
    s.queue[:, : known - running] = np.arange(running, known)
    pool["queue_length"] = known - running
    _fill_heap(s, observed)


def _fill_nodes(s: State, observed: ObservedPool) -> None:
    nodes = s.nodes[:, : len(observed.node_state)]
    nodes["state"] = observed.node_state
    nodes["kind"] = observed.node_kind
    nodes["gpus"] = nodes["free_gpus"] = observed.settings.node_gpus
    nodes["ready_at"] = np.maximum(observed.node_ready_in_seconds, 1)
    nodes["billed_from"] = -observed.node_billed_for_seconds
    nodes["health_score"] = 1.0
    if observed.node_health is not None:
        is_suspect = observed.node_health < SUSPECT_HEALTH_RATIO
        nodes["health_score"] = observed.node_health
        nodes["degraded"] = is_suspect  # a sound node never reads so low
        nodes["is_suspect"] = is_suspect & (observed.node_state == CORDONED)
    if observed.node_fails_in_seconds is not None:
        nodes["fails_at"] = observed.node_fails_in_seconds


def _fill_running(s: State, observed: ObservedPool, left: Integers) -> None:
    jobs = s.jobs[:, : len(observed.running_gpus)]
    age = observed.running_age_seconds
    jobs["status"] = RUNNING
    jobs["starts"] = 1
    jobs["gpus"] = observed.running_gpus
    jobs["price_micro_usd"] = np.round(observed.running_price_usd * 1e6)
    jobs["run_from"] = jobs["started_at"] = jobs["submitted_at"] = -age
    jobs["duration_seconds"] = age + left
    jobs["due_at"] = left
    # What was delivered before now is no part of the rows: `run_from` only dates checkpoints.
    pool = s.pool[:, 0]
    pool["used_gpus"] = int(observed.running_gpus.sum())
    pool["rate_micro_usd"] = (jobs["gpus"] * jobs["price_micro_usd"]).sum(axis=1)
    size = observed.settings.node_gpus
    held, free = np.zeros(s.gpus.shape[1:], np.int64), s.nodes[0]["free_gpus"].copy()
    for index, (gpus, places) in enumerate(
        zip(observed.running_gpus.tolist(), observed.running_nodes, strict=True)
    ):
        for at in places:
            taken = size if gpus > size else gpus
            first = size - int(free[at])
            held[at, first : first + taken] = index + 1
            free[at] -= taken
        jobs["node"][:, index] = min(places)
        jobs["nodes"][:, index] = len(places)
    s.gpus[:] = held
    s.nodes["free_gpus"] = free


def _fill_heap(s: State, observed: ObservedPool) -> None:
    running, states = len(observed.running_gpus), observed.node_state
    awaited = np.flatnonzero((states == PROVISIONING) | (states == DOWN))
    fails = observed.node_fails_in_seconds
    failing = np.flatnonzero(fails > 0) if fails is not None else awaited[:0]
    nodes = s.nodes[:, : len(states)]
    keys = np.concatenate(
        [
            s.jobs["due_at"][:, :running] * 8 + END,
            nodes["ready_at"][:, awaited] * 8 + READY,
            nodes["fails_at"][:, failing] * 8 + FAIL,
        ],
        axis=1,
    )
    names = np.concatenate([np.arange(running), awaited, failing]).astype(np.int64)
    order = np.argsort(keys, axis=1, kind="stable")  # an ascending array is a heap
    s.heap[:, : len(names), 0] = np.take_along_axis(keys, order, axis=1)
    s.heap[:, : len(names), 1] = names[order]
    s.pool[:, 0]["heap_length"] = len(names)


# -- what is not known -----------------------------------------------------------------


def drawn_left(observed: ObservedPool, count: int, random: np.random.Generator) -> Integers:
    """Seconds that running jobs still work, shape (count, running): as known, else drawn."""
    if observed.running_left_seconds is not None:
        return np.tile(observed.running_left_seconds, (count, 1))
    age = observed.running_age_seconds
    left = np.zeros((count, len(age)), np.int64)
    for is_large in (False, True):  # larger jobs run longer
        mine = (observed.running_gpus >= LARGE_GPUS) == is_large
        alike = durations_like(observed, (observed.past_gpus >= LARGE_GPUS) == is_large)
        left[:, mine] = remaining_seconds(age[mine], alike, count, random)
    return left


def drawn_durations(observed: ObservedPool, count: int, random: np.random.Generator) -> Integers:
    """Seconds that waiting jobs will work, shape (count, queued): as known, else drawn."""
    if observed.queued_duration_seconds is not None:
        return np.tile(observed.queued_duration_seconds, (count, 1))
    durations = np.zeros((count, len(observed.queued_gpus)), np.int64)
    if len(observed.past_gpus):
        for turn, gpus in enumerate(observed.queued_gpus):
            alike = durations_like(observed, gpus == observed.past_gpus)
            durations[:, turn] = random.choice(alike, count)
    return durations


def durations_like(observed: ObservedPool, alike: npt.NDArray[np.bool_]) -> Integers:
    """Past durations of the jobs that are alike; of all where those are too few to say."""
    # A handful says less about its kind than the whole past does.
    past = observed.past_duration_seconds
    return past[alike] if alike.sum() >= FEWEST_ALIKE else past


def remaining_seconds(
    age: Integers, past: Integers, count: int, random: np.random.Generator
) -> Integers:
    """Draws of the seconds left, shape (count, jobs): past durations above the age, less the age.

    Where a job is older than almost all of the past, the tail is taken as Pareto with index 1: as
    long again as it has run is its median.
    """
    past = np.sort(past)
    first = np.searchsorted(past, age, side="right")
    longer = len(past) - first
    draw = random.random((count, len(age)))
    at = np.minimum(first + (draw * longer).astype(np.int64), max(len(past) - 1, 0))
    from_past = past[at] - age if len(past) else np.zeros((count, len(age)), np.int64)
    doubled = (np.maximum(age, 60) * (1 / np.maximum(1 - draw, 0.05) - 1)).astype(np.int64)
    left: Integers = np.maximum(np.where(longer >= 3, from_past, doubled), 1)
    return left
