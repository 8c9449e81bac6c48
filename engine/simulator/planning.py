"""The what-if model: many short rollouts of one pool under each of several orders.

It knows what a console can know: nodes, running jobs with their age, the queue, prices, and past
arrivals and durations. How long jobs still run and who comes next is drawn: durations from past
ones given the age, arrivals around the forecast, whose error lasts. All alternatives share the
draws of a rollout (common random numbers), so that the difference between two is far less noisy
than either. What is given now is given once; from the next quarter of an hour on the same policy
steers every alternative, so that a gain is that of doing it now rather than leaving it to later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.policies import Policy
from engine.simulator.continuing import advance_under
from engine.simulator.kernel import advance_many
from engine.simulator.layout import (
    FOREVER,
    OFFERED,
    REPLY_WIDTH,
    TICK_SECONDS,
    State,
    blank_state,
)
from engine.simulator.market import market_ahead
from engine.simulator.metrics import profit
from engine.simulator.orders import CORDON, DRAIN, MIGRATE, SET_PRICE
from engine.simulator.settings import micro_usd
from engine.simulator.standing import (
    ObservedPool,
    drawn_durations,
    drawn_left,
    lay_out,
    remaining_seconds,
)
from engine.simulator.threads import in_threads

__all__ = [
    "ObservedPool",
    "Order",
    "Plan",
    "cordon_order",
    "migrate_order",
    "price_order",
    "remaining_seconds",
    "rollouts",
]

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Order = tuple[int, int, int]
"""(kind, first, second) as in `orders.py`; a job is named by its place in `running_gpus`"""

HORIZON_SECONDS = 6 * 3600
DEVIATIONS_10_TO_90 = 2.563
"""of a normal distribution, between its 10 % and its 90 % quantile"""
FEWEST_EXPECTED = 0.05


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
        """(K, 2): the range that holds one draw more with this probability."""
        edges = [0.5 - ratio / 2, 0.5 + ratio / 2]
        # Weibull's plotting positions, k / (n + 1): of n draws others would cover too little.
        result: Floats = np.quantile(self.gain_usd, edges, axis=1, method="weibull").T
        return result


class Outlook(NamedTuple):
    """Who is expected to come, and who comes; N rollouts."""

    submitted: Integers
    """(N, most): seconds from now, FOREVER where a row has fewer"""
    counts: Integers
    """(N,)"""
    forecasts: Floats
    """(N, ticks + 1, FORECAST_COUNT): what a policy is told at each quarter"""


def rollouts(
    observed: ObservedPool,
    alternatives: Sequence[Sequence[Order]],
    *,
    count: int = 32,
    horizon_seconds: int = HORIZON_SECONDS,
    seed: int = 0,
    then: Policy | None = None,
) -> Plan:
    """`count` paired rollouts under each alternative, a list of orders given at once now.

    `then` steers every alternative from the next quarter of an hour on; with None nobody does. The
    empty list does nothing and should stand first. Equal arguments give equal results.
    """
    random = np.random.default_rng(seed)
    outlook = _outlook(observed, count, horizon_seconds, random)
    base = _drawn_states(observed, outlook, horizon_seconds, random)
    many = len(alternatives)
    states = State._make(np.tile(a, (many,) + (1,) * (a.ndim - 1)) for a in base)
    orders = _orders(alternatives)
    replies = np.zeros((many * count, orders.shape[1], REPLY_WIDTH), np.int64)
    asked = np.repeat(orders, count, axis=0)
    first = horizon_seconds if then is None else min(TICK_SECONDS, horizon_seconds)

    def play(a: int, b: int) -> None:
        rows = State._make(array[a:b] for array in states)
        advance_many(rows, np.full(b - a, first, np.int64), asked[a:b], replies[a:b])
        if then is not None:
            forecasts = outlook.forecasts[np.arange(a, b) % count]
            advance_under(rows, then, observed, forecasts, horizon_seconds)

    in_threads(play, many * count)
    metrics = states.metrics.reshape(many, count, -1)
    profits = profit(metrics)
    last = replies.reshape(many, count, -1, REPLY_WIDTH)[:, 0]
    turns = [max(len(a) - 1, 0) for a in alternatives]
    return Plan(profits - profits[0], metrics, last[np.arange(many), turns])


def _orders(alternatives: Sequence[Sequence[Order]]) -> Integers:
    most = max([len(a) for a in alternatives] + [1])
    orders = np.zeros((len(alternatives), most, 3), np.int64)
    for at, alternative in enumerate(alternatives):
        for turn, (kind, first, second) in enumerate(alternative):
            orders[at, turn] = kind, first, second
    return orders


# -- draws -----------------------------------------------------------------------------


def _drawn_states(
    observed: ObservedPool, outlook: Outlook, horizon: int, random: np.random.Generator
) -> State:
    """Rows that agree on what is observed and differ in what is not."""
    count, most = outlook.submitted.shape
    known, settings = observed.known_jobs, observed.settings
    s = blank_state(count, len(observed.node_state), settings.node_gpus, jobs=known + most)
    lay_out(
        s, observed, drawn_left(observed, count, random), drawn_durations(observed, count, random)
    )
    s.pool[:, 0]["seed"] = random.integers(1 << 40, size=count)
    s.pool[:, 0]["job_count"] = known + outlook.counts
    coming = s.jobs[:, known:]
    coming["status"] = OFFERED
    coming["submitted_at"] = outlook.submitted
    coming["key"] = np.arange(most)
    if len(observed.past_gpus):
        picks = random.integers(len(observed.past_gpus), size=(count, most))
        coming["gpus"] = observed.past_gpus[picks]
        coming["duration_seconds"] = observed.past_duration_seconds[picks]
    coming["acceptance"] = random.random((count, most))
    shocks = random.standard_normal((count, horizon // TICK_SECONDS + 1))
    return s._replace(market=market_ahead(settings, observed.market_usd_per_gpu_hour, shocks))


def _outlook(
    observed: ObservedPool, count: int, horizon: int, random: np.random.Generator
) -> Outlook:
    ticks = -(-horizon // TICK_SECONDS)
    expected = quarter_offers(observed, ticks + 24)
    if not len(observed.past_gpus):
        expected[:] = 0.0
    shape = _level_shape(observed)
    levels = random.gamma(shape, 1 / shape, count) if shape else np.ones(count)
    counts = random.poisson(levels[:, None] * expected[:ticks])
    arrived = counts.sum(axis=1)
    submitted = np.full((count, int(arrived.max(initial=0))), FOREVER, np.int64)
    for row in range(count):
        quarter = np.repeat(np.arange(ticks), counts[row])
        moments = (quarter + random.random(len(quarter))) * TICK_SECONDS
        submitted[row, : len(quarter)] = np.sort(moments.astype(np.int64))
    return Outlook(
        submitted, arrived.astype(np.int64), _forecasts(observed, expected, counts, shape)
    )


def quarter_offers(observed: ObservedPool, ticks: int) -> Floats:
    """Offers expected in each of the coming quarters of an hour, shape (ticks,)."""
    told = observed.offers_forecast
    if told is None:
        hours = observed.hour_of_week + (np.arange(ticks) + 0.5) / 4
        by_hour: Floats = observed.arrivals_per_hour[(hours % 168).astype(np.int64)] / 4
        return by_hour
    # The forecast gives mean rates from now to each horizon: rate times horizon is a count.
    ends = np.array([0, 2, 4, 8, 24])
    counts = np.concatenate([[0.0], told[:4] * ends[1:] / 4])
    steps = np.maximum(np.diff(counts), 0.0) / np.diff(ends)
    place = np.searchsorted(ends, np.arange(ticks), side="right") - 1
    offers: Floats = steps[np.minimum(place, len(steps) - 1)]
    return offers


def _level_shape(observed: ObservedPool) -> float:
    """Shape of the gamma-distributed level of demand, of mean 1, that is drawn once a rollout.

    The forecast's spread at an hour is Poisson noise and its own error; the error stays for the
    whole rollout. 0 where it has none.
    """
    told = observed.offers_forecast
    if told is None:
        return 0.0
    mean = float(told[1])
    variance = (float(told[4]) / DEVIATIONS_10_TO_90) ** 2 - mean
    if mean < FEWEST_EXPECTED or variance <= 0:
        return 0.0
    return mean * mean / variance


def _forecasts(observed: ObservedPool, expected: Floats, counts: Integers, shape: float) -> Floats:
    """What a policy is told in each rollout: the level as learned from who came so far.

    Gamma and Poisson are conjugate: the mean of the level is (shape + came) / (shape + expected).
    """
    rows, ticks = counts.shape
    before = np.concatenate([[0.0], np.cumsum(expected)])
    came = np.zeros((rows, ticks + 1))
    came[:, 1:] = np.cumsum(counts, axis=1)
    level = np.ones_like(came)
    if shape:
        level = (shape + came) / (shape + before[: ticks + 1])
    at = np.arange(ticks + 1)
    result = np.zeros((rows, ticks + 1, 5))
    for place, quarters in enumerate((2, 4, 8, 24)):
        ends = np.minimum(at + quarters, len(expected))
        rate = (before[ends] - before[at]) * 4 / np.maximum(ends - at, 1)
        result[:, :, place] = level * rate
    if observed.offers_forecast is not None:
        result[:, :, 4] = observed.offers_forecast[4] * np.sqrt(level)
    return result


def price_order(price_usd_per_gpu_hour: float) -> Order:
    """The order that sets the price."""
    return (SET_PRICE, micro_usd(price_usd_per_gpu_hour), 0)


def cordon_order(node: int, drain: bool = False) -> Order:
    """The order that closes a node to new jobs and, if wished, empties it."""
    return (DRAIN if drain else CORDON, node, 0)


def migrate_order(running: int) -> Order:
    """The order that moves the running job of this place."""
    return (MIGRATE, running, 0)
