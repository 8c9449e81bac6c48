"""The what-if model: many short rollouts of one pool under each of several orders.

It knows what a console can know: nodes, running jobs with their age, the queue, prices, and past
arrivals and durations. How long jobs still run and who comes next is drawn: durations from past
ones given the age, arrivals by bootstrap. All alternatives share the draws of a rollout (common
random numbers), so that the difference between two is far less noisy than either.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.simulator.kernel import advance_many
from engine.simulator.layout import (
    DOWN,
    END,
    FOREVER,
    OFFERED,
    PROVISIONING,
    QUEUED,
    READY,
    REPLY_WIDTH,
    RUNNING,
    TICK_SECONDS,
    State,
    blank_state,
)
from engine.simulator.market import market_ahead
from engine.simulator.metrics import profit
from engine.simulator.orders import CORDON, DRAIN, MIGRATE, SET_PRICE
from engine.simulator.settings import PoolSettings, knobs_of, micro_usd

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Order = tuple[int, int, int]
"""(kind, first, second) as in `orders.py`; a job is named by its place in `running_gpus`"""

HORIZON_SECONDS = 6 * 3600
THREADS = 2
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
    """work done so far"""
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


@dataclass(frozen=True)
class Plan:
    """What the rollouts say; K alternatives, N rollouts. The first alternative is the yardstick."""

    gain_usd: Floats
    """(K, N): profit over the horizon less that of alternative 0 in the same rollout"""
    metrics: Floats
    """(K, N, METRIC_COUNT)"""
    replies: Integers
    """(K, REPLY_WIDTH): what the last order of each alternative did, in the first rollout"""

    @property
    def mean_gain_usd(self) -> Floats:
        """(K,): the gain expected."""
        mean: Floats = self.gain_usd.mean(axis=1)
        return mean

    def interval_usd(self, ratio: float = 0.8) -> Floats:
        """(K, 2): the range that holds this share of the rollouts."""
        edges = [0.5 - ratio / 2, 0.5 + ratio / 2]
        result: Floats = np.quantile(self.gain_usd, edges, axis=1).T
        return result


def rollouts(
    observed: ObservedPool,
    alternatives: Sequence[Sequence[Order]],
    *,
    count: int = 32,
    horizon_seconds: int = HORIZON_SECONDS,
    seed: int = 0,
) -> Plan:
    """`count` paired rollouts under each alternative, a list of orders given at once now.

    The empty list does nothing and should stand first. Equal arguments give equal results.
    """
    base = _drawn_states(observed, count, horizon_seconds, np.random.default_rng(seed))
    rows = len(alternatives) * count
    states = State._make(np.tile(a, (len(alternatives),) + (1,) * (a.ndim - 1)) for a in base)
    most = max([len(a) for a in alternatives] + [1])
    orders = np.zeros((len(alternatives), most, 3), np.int64)
    for at, alternative in enumerate(alternatives):
        for turn, (kind, first, second) in enumerate(alternative):
            orders[at, turn] = kind, first, second
    replies = np.zeros((rows, most, REPLY_WIDTH), np.int64)
    until = np.full(rows, horizon_seconds, np.int64)
    _advance_in_threads(states, until, np.repeat(orders, count, axis=0), replies)
    metrics = states.metrics.reshape(len(alternatives), count, -1)
    profits = profit(metrics)
    last = replies.reshape(len(alternatives), count, most, REPLY_WIDTH)[:, 0]
    turns = [max(len(a) - 1, 0) for a in alternatives]
    return Plan(profits - profits[0], metrics, last[np.arange(len(turns)), turns])


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="rollouts")


def _advance_in_threads(
    states: State, until: Integers, orders: Integers, replies: Integers
) -> None:
    # The core lets go of the interpreter's lock, so threads share the rows without copies.
    edges = np.linspace(0, len(until), THREADS + 1).astype(int)
    waits = [
        _threads().submit(
            advance_many, State._make(a[i:j] for a in states), until[i:j], orders[i:j], replies[i:j]
        )
        for i, j in pairwise(edges)
        if j > i
    ]
    for wait in waits:
        wait.result()


def _drawn_states(
    observed: ObservedPool, count: int, horizon: int, random: np.random.Generator
) -> State:
    """`count` rows that agree on what is observed and differ in what is not."""
    settings = observed.settings
    nodes, size = len(observed.node_state), settings.node_gpus
    submitted, picks, arrived = _drawn_arrivals(observed, count, horizon, random)
    running, queued = len(observed.running_gpus), len(observed.queued_gpus)
    known = running + queued
    now = 0  # what began before has a negative instant
    s = blank_state(count, nodes, size, jobs=known + submitted.shape[1], ticks=1)
    s.knobs[:, 0] = knobs_of(settings, observed.acceptance_scale)
    pool = s.pool[:, 0]
    pool["now"] = now
    pool["next_tick_at"] = now
    pool["seed"] = random.integers(1 << 40, size=count)
    pool["next_arrival"] = known
    pool["job_count"] = known + arrived
    pool["price_micro_usd"] = micro_usd(observed.price_usd_per_gpu_hour)
    pool["spot_share"] = observed.spot_share_ratio
    _fill_nodes(s.nodes, observed, now)
    jobs = s.jobs
    jobs["node"] = jobs["started_at"] = jobs["ended_at"] = -1
    _fill_running(s, observed, now, random)
    waiting = jobs[:, running:known]
    waiting["status"] = QUEUED
    waiting["gpus"] = observed.queued_gpus
    waiting["queued_at"] = waiting["submitted_at"] = now - observed.queued_wait_seconds
    # Who has waited longer than a customer's patience has run before and stays.
    patience = settings.economics.patience_seconds
    waiting["starts"] = observed.queued_wait_seconds >= patience
    waiting["price_micro_usd"] = np.round(observed.queued_price_usd * 1e6)
    coming = jobs[:, known:]
    coming["status"] = OFFERED
    coming["submitted_at"] = now + submitted
    if len(observed.past_gpus):
        for turn, gpus in enumerate(observed.queued_gpus):
            alike = _durations_like(observed, gpus == observed.past_gpus)
            waiting["duration_seconds"][:, turn] = random.choice(alike, count)
        coming["gpus"] = observed.past_gpus[picks]
        coming["duration_seconds"] = observed.past_duration_seconds[picks]
    coming["acceptance"] = random.random(submitted.shape)
    s.queue[:, :queued] = np.arange(running, known)
    pool["queue_length"] = queued
    _fill_heap(s, observed, now)
    shocks = random.standard_normal((count, horizon // TICK_SECONDS + 1))
    return s._replace(market=market_ahead(settings, observed.market_usd_per_gpu_hour, shocks))


def _drawn_arrivals(
    observed: ObservedPool, count: int, horizon: int, random: np.random.Generator
) -> tuple[Integers, Integers, Integers]:
    """Submissions (count, most) in seconds from now, FOREVER where a row has fewer; the past job
    that each resembles; and how many each row has."""
    hours = -(-horizon // 3600)
    at = (int(observed.hour_of_week) + np.arange(hours + 1)) % 168
    rates = observed.arrivals_per_hour[at]
    # The hour that has begun counts with what is left of it.
    into = observed.hour_of_week % 1
    edges = np.maximum(np.arange(hours + 2) - into, 0.0) * 3600
    rates = rates * np.diff(edges) / 3600
    counts = random.poisson(rates, (count, hours + 1))
    if not len(observed.past_gpus):
        counts[:] = 0
    arrived = counts.sum(axis=1)
    most = int(arrived.max(initial=0))
    # Uniform within each hour: hours are laid side by side, cut to each row's count.
    submitted = np.full((count, most), FOREVER, np.int64)
    for row in range(count):
        hour = np.repeat(np.arange(hours + 1), counts[row])
        low, high = edges[hour], edges[hour + 1]
        moments = low + random.random(len(hour)) * (high - low)
        submitted[row, : len(hour)] = np.sort(moments.astype(np.int64))
    picks = random.integers(max(len(observed.past_gpus), 1), size=(count, most))
    return submitted, picks, arrived.astype(np.int64)


def _fill_nodes(nodes: npt.NDArray[Any], observed: ObservedPool, now: int) -> None:
    nodes["state"] = observed.node_state
    nodes["kind"] = observed.node_kind
    nodes["gpus"] = nodes["free_gpus"] = observed.settings.node_gpus
    nodes["ready_at"] = now + np.maximum(observed.node_ready_in_seconds, 1)
    nodes["billed_from"] = now - observed.node_billed_for_seconds
    nodes["health_score"] = 1.0


def _fill_running(s: State, observed: ObservedPool, now: int, random: np.random.Generator) -> None:
    count = s.jobs.shape[0]
    jobs = s.jobs[:, : len(observed.running_gpus)]
    age = observed.running_age_seconds
    left = np.zeros((count, len(age)), np.int64)
    for is_large in (False, True):  # larger jobs run longer
        mine = (observed.running_gpus >= LARGE_GPUS) == is_large
        alike = _durations_like(observed, (observed.past_gpus >= LARGE_GPUS) == is_large)
        left[:, mine] = remaining_seconds(age[mine], alike, count, random)
    jobs["status"] = RUNNING
    jobs["starts"] = 1
    jobs["gpus"] = observed.running_gpus
    jobs["price_micro_usd"] = np.round(observed.running_price_usd * 1e6)
    jobs["run_from"] = jobs["started_at"] = jobs["submitted_at"] = now - age
    jobs["duration_seconds"] = age + left
    jobs["due_at"] = now + left
    # What was delivered before now is no part of the rollout: `run_from` only dates checkpoints.
    pool = s.pool[:, 0]
    pool["used_gpus"] = int(observed.running_gpus.sum())
    pool["rate_micro_usd"] = (jobs["gpus"] * jobs["price_micro_usd"]).sum(axis=1)
    size = observed.settings.node_gpus
    for index, (gpus, held) in enumerate(
        zip(observed.running_gpus, observed.running_nodes, strict=True)
    ):
        whole = int(gpus) > size
        for at in held:
            free = np.flatnonzero(s.gpus[0, at] == 0)
            taken = free if whole else free[: int(gpus)]
            s.gpus[:, at, taken] = index + 1
            s.nodes[:, at]["free_gpus"] -= len(taken)
        jobs[:, index]["node"] = min(held)
        jobs[:, index]["nodes"] = len(held)


def _durations_like(observed: ObservedPool, alike: npt.NDArray[np.bool_]) -> Integers:
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


def _fill_heap(s: State, observed: ObservedPool, now: int) -> None:
    running = len(observed.running_gpus)
    states = observed.node_state
    waiting = np.flatnonzero((states == PROVISIONING) | (states == DOWN))
    entries = running + len(waiting)
    keys = np.empty((s.heap.shape[0], entries), np.int64)
    keys[:, :running] = s.jobs["due_at"][:, :running] * 8 + END
    keys[:, running:] = s.nodes["ready_at"][:, waiting] * 8 + READY
    names = np.concatenate([np.arange(running), waiting]).astype(np.int64)
    order = np.argsort(keys, axis=1)  # an ascending array is a heap
    s.heap[:, :entries, 0] = np.take_along_axis(keys, order, axis=1)
    s.heap[:, :entries, 1] = names[order]
    s.pool[:, 0]["heap_length"] = entries


def price_order(price_usd_per_gpu_hour: float) -> Order:
    """The order that sets the price."""
    return (SET_PRICE, micro_usd(price_usd_per_gpu_hour), 0)


def cordon_order(node: int, drain: bool = False) -> Order:
    """The order that closes a node to new jobs and, if wished, empties it."""
    return (DRAIN if drain else CORDON, node, 0)


def migrate_order(running: int) -> Order:
    """The order that moves the running job of this place."""
    return (MIGRATE, running, 0)
