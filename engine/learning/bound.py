"""The clairvoyant bound: what no policy could earn more than, known only in hindsight.

`upper_bound` is the Lagrangian dual of the hindsight problem (after Brown, Smith and Sun,
"Information relaxations and duality in stochastic dynamic programs", Operations Research 58(4),
2010): all arrivals, sizes, durations and market prices are known in advance, whether a customer
accepts is known only in expectation, 1 / (1 + exp(slope (x - midpoint))) at price ratio x. The
constraint "GPUs held by jobs + GPUs sold as spot <= GPUs on", taken as an average over each quarter
of an hour, gets a multiplier: a rent in USD per GPU-hour. Given the rents the problem falls apart:

- a job that took price ratio x is worth the most that a start in [a, a + patience] leaves:
  revenue and busy power inside the measured span, less the penalty for its wait, less the rent
  over its run; or its leaving unserved. All is piecewise linear in the start, so that the best
  start is one of finitely many corners, each of which is looked at: this part is exact;
- a quarter's price is one for all who come in it, and is the best of PRICE_RATIOS for them
  together (`is_price_shared`; otherwise each job has a price of its own, and may be refused);
- a node is worth max(0, rent - its cost), and idle GPUs as spot max(0, spot price - busy - rent).

By weak duality the sum bounds the expected profit of every policy, at any non-negative rents: a
policy's price for a job can't depend on that job's own draw, so its profit is at most the sum of
the parts. Only the tightness depends on the rents, found by Adam (Kingma and Ba, ICLR 2015) on a
subgradient. What is left out only raises the bound:

- Booting: a node that is ready at once can be on in all the ways that one that boots can, for less.
- The minimum bill: a lease without one costs no more under any plan.
- Whole nodes and whole switchings: half a node may be on here, and for part of a quarter; every
  real plan is one of these plans.
- Placement: jobs use GPUs of the pool, wherever they are; a fragmented pool serves fewer. (A gang
  does hold whole nodes, which is a fact about it and not about where it lies.)
- The warm-up: who came before the span may have been priced and started in any way that was open
  then, with no capacity and no cost before the span to hinder it. Whatever the pool holds when the
  span begins came about by one such choice, and what it brings and costs inside is counted.
- The end: rent ends with the span, so a run that reaches beyond it pays for its inside part only.
- Failures: a fleet that never fails refunds nothing, loses no work and keeps no job waiting again.
- Migration: a pause holds GPUs (and here pays rent for them) without revenue.

One corner is not covered by that argument: a run that a failure broke goes on later, with rent at
that later hour, perhaps a cheaper one; and what a failure or a pause put off before the span may
go on inside it.
Failures are few (at the default rates 13 a day in 1,000 nodes), no policy orders them, and each
costs work, a refund and perhaps a penalty. The bound is of one pool by itself: it says nothing of
jobs that are moved between pools.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.policies import PRICE_RATIOS
from engine.simulator.episodes import Episode
from engine.simulator.layout import TICK_SECONDS
from engine.simulator.settings import Economics

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

ITERATIONS = 120
STEP_RATIO = 0.08
"""first step of a rent, over the mean market price; it falls to nothing with the iterations"""
_HOUR = 3600.0
_TICK_HOURS = TICK_SECONDS / _HOUR
_MOMENTUM, _SCALE_MEMORY = 0.9, 0.98  # Adam's beta 1 and beta 2


@dataclass(frozen=True)
class Bound:
    """What no policy can pass on average over customers' draws; a single lucky draw may."""

    usd: float
    """contribution profit over the measured span: the lowest of the history"""
    history_usd: Floats
    """the bound at each iteration's rents, shape (iterations + 1,); every one is valid"""
    rents_usd_per_gpu_hour: Floats
    """the multipliers at the lowest, one a quarter of the measured span, shape (quarters,)"""

    @property
    def last_fall_ratio(self) -> float:
        """By how much the last fifth of the iterations still lowered it, over the bound."""
        tail = max(len(self.history_usd) // 5, 1)
        before = float(self.history_usd[:-tail].min(initial=self.history_usd[0]))
        return (before - self.usd) / max(abs(self.usd), 1e-9)


class _Instants(NamedTuple):
    """Instants as places in the cumulated rents: constant before and after the span."""

    quarter: Integers
    share: Floats

    def rent_until(self, cumulated: Floats, rents: Floats) -> Floats:
        """Rent of one GPU from the span's start to each instant, USD."""
        return cumulated[self.quarter] + self.share * rents[self.quarter]


class _Starts(NamedTuple):
    """Jobs (J) and the starts open to them (K): the corners of a piecewise linear function."""

    rows: Integers
    """(J,): which jobs of the problem"""
    begin: _Instants
    """(J, K)"""
    end: _Instants
    hours: Floats
    """(J, K), or (J, 1) where all are alike: the run's hours inside the span"""
    penalty_usd: Floats
    """(J, K)"""


@dataclass(frozen=True)
class _Problem:
    """The hindsight problem, ready for any rents. J jobs in order of submission, X price ratios."""

    held_gpus: Floats
    """(J,): the GPUs that nobody else can have meanwhile"""
    acceptance: Floats
    """(J, X)"""
    margin_usd_per_hour: Floats
    """(J, X): price less busy power, all GPUs of the job"""
    leaving_usd: Floats
    """(J,): what a job that is never started brings: its penalty, negative"""
    group_starts: Integers
    """first job of each group that shares a price"""
    starts: tuple[_Starts, ...]
    capacities: tuple[tuple[float, float], ...]
    """(GPUs, USD per GPU-hour) of owned and of leased nodes"""
    spot_gpus: float
    spot_usd_per_gpu_hour: Floats
    """(quarters,): spot price less busy power"""


def upper_bound(
    episode: Episode,
    *,
    iterations: int = ITERATIONS,
    is_price_shared: bool = True,
) -> Bound:
    """The bound on expected contribution profit in the quarters [warm_ticks, ticks].

    Prices are those of PRICE_RATIOS over the market at each quarter's start, as policies propose
    them. With `is_price_shared` False each job has a price of its own and may be refused: a looser
    bound, by up to half a percent.

    Raises:
        ValueError: the episode starts with a pool that already has jobs, whose durations it does
            not know, or it has nothing to measure.
    """
    if (
        episode.start is not None
        and episode.start.running_gpus.size + episode.start.queued_gpus.size
    ):
        raise ValueError(f"{episode.name}: start it empty; running jobs have no known duration")
    if episode.ticks <= episode.warm_ticks:
        raise ValueError(f"{episode.name}: no quarter is left to measure after the warm-up")
    problem = _problem(episode, is_price_shared)
    scale = float(episode.market_usd_per_gpu_hour.mean())
    rents = np.full(episode.ticks - episode.warm_ticks, 0.3 * scale)
    return _lowest(problem, rents, iterations, STEP_RATIO * scale)


def dual_value(problem: _Problem, rents: Floats) -> tuple[float, Floats]:
    """The bound at these rents in USD, and a subgradient in GPU-hours, both by weak duality.

    `rents` has shape (quarters,), USD per GPU-hour, none negative.
    """
    jobs_usd, held = _jobs_share(problem, rents)
    usd, slack = jobs_usd, -held
    for gpus, cost in problem.capacities:
        usd += gpus * float(np.maximum(rents - cost, 0.0).sum()) * _TICK_HOURS
        slack += gpus * (rents > cost)
    worth = problem.spot_usd_per_gpu_hour - rents
    usd += problem.spot_gpus * float(np.maximum(worth, 0.0).sum()) * _TICK_HOURS
    slack -= problem.spot_gpus * (worth > 0)
    return usd, slack * _TICK_HOURS


def _lowest(problem: _Problem, rents: Floats, iterations: int, first_step: float) -> Bound:
    usd, slope = dual_value(problem, rents)
    history, best = [usd], rents
    drift, scale = np.zeros_like(rents), np.zeros_like(rents)
    for turn in range(iterations):
        drift = _MOMENTUM * drift + (1 - _MOMENTUM) * slope
        scale = _SCALE_MEMORY * scale + (1 - _SCALE_MEMORY) * slope**2
        mean = drift / (1 - _MOMENTUM ** (turn + 1))
        deviation = np.sqrt(scale / (1 - _SCALE_MEMORY ** (turn + 1))) + 1e-9
        step = first_step * (1 - turn / iterations) ** 2
        rents = np.maximum(rents - step * mean / deviation, 0.0)
        usd, slope = dual_value(problem, rents)
        if usd < min(history):
            best = rents
        history.append(usd)
    return Bound(min(history), np.array(history), best)


# -- the jobs at given rents -----------------------------------------------------------


def _jobs_share(problem: _Problem, rents: Floats) -> tuple[float, Floats]:
    """What all jobs are worth in USD, and the GPUs that they hold on average in each quarter."""
    held = np.zeros(len(rents))
    if not len(problem.held_gpus):
        return 0.0, held
    open_rents = np.append(rents, 0.0) * _TICK_HOURS
    cumulated = np.concatenate([[0.0], np.cumsum(open_rents[:-1])])
    worth = np.repeat(problem.leaving_usd[:, None], problem.acceptance.shape[1], axis=1)
    picks = np.full(worth.shape, -1, np.int64)
    for starts in problem.starts:
        _choose_starts(problem, starts, cumulated, open_rents, worth, picks)
    level, usd = _choose_prices(problem, worth)
    jobs = np.arange(len(level))
    weights = problem.held_gpus * problem.acceptance[jobs, level]
    for starts in problem.starts:
        pick = picks[starts.rows, level[starts.rows]]
        _hold(held, starts, pick, weights[starts.rows])
    return usd, held


def _choose_starts(
    problem: _Problem,
    starts: _Starts,
    cumulated: Floats,
    rents: Floats,
    worth: Floats,
    picks: Integers,
) -> None:
    """Writes into `worth` and `picks` (J, X) where starting beats leaving."""
    rent = starts.end.rent_until(cumulated, rents) - starts.begin.rent_until(cumulated, rents)
    rows = starts.rows
    cost = problem.held_gpus[rows, None] * rent + starts.penalty_usd
    each = np.arange(len(rows))
    cheapest = cost.argmin(axis=1)
    for level in range(worth.shape[1]):
        margin = problem.margin_usd_per_hour[rows, level]
        if starts.hours.shape[1] == 1:  # the same hours whenever it starts: the cheapest start
            best, value = cheapest, margin * starts.hours[:, 0] - cost[each, cheapest]
        else:
            values = margin[:, None] * starts.hours - cost
            best = values.argmax(axis=1)
            value = values[each, best]
        better = value > worth[rows, level]
        worth[rows[better], level] = value[better]
        picks[rows[better], level] = best[better]


def _choose_prices(problem: _Problem, worth: Floats) -> tuple[Integers, float]:
    """The place in PRICE_RATIOS for each job, and the expected worth of all jobs in USD."""
    expected = problem.acceptance * worth
    by_group = np.add.reduceat(expected, problem.group_starts, axis=0)
    level = by_group.argmax(axis=1)
    sizes = np.diff(np.append(problem.group_starts, len(worth)))
    return np.repeat(level, sizes), float(by_group.max(axis=1).sum())


def _hold(held: Floats, starts: _Starts, pick: Integers, weights: Floats) -> None:
    """Adds to `held` (quarters,) the weights of the runs that start at `pick`, -1 for none."""
    at = np.flatnonzero(pick >= 0)
    for instants, sign in ((starts.end, 1.0), (starts.begin, -1.0)):
        quarter, share = instants.quarter[at, pick[at]], instants.share[at, pick[at]]
        room = len(held) + 1
        whole = np.bincount(quarter, weights[at], room)
        part = np.bincount(quarter, weights[at] * share, room)
        # A run that ends in quarter q has filled all quarters before it, and its share of q.
        later = np.cumsum(whole[::-1])[::-1] - whole
        held += sign * (later + part)[:-1]


# -- setting it up ---------------------------------------------------------------------


def _problem(episode: Episode, is_price_shared: bool) -> _Problem:
    pool, terms = episode.settings, episode.settings.economics
    span = (episode.warm_ticks * TICK_SECONDS, episode.ticks * TICK_SECONDS)
    came = episode.arrivals
    last = came.submitted_at + terms.patience_seconds + came.duration_seconds
    inside = (came.submitted_at < span[1]) & (last > span[0])
    came = type(came)._make(column[inside] for column in came)
    whole = -(-came.gpus // pool.node_gpus) * pool.node_gpus
    held = np.where(came.gpus > pool.node_gpus, whole, came.gpus)
    # A decision at an instant comes before those who arrive after it, not with it.
    priced = np.maximum(-(-came.submitted_at // TICK_SECONDS) - 1, 0)
    market = episode.market_usd_per_gpu_hour
    price = PRICE_RATIOS * market[priced, None]
    accepts = _acceptance(terms, price / market[came.submitted_at // TICK_SECONDS, None])
    fits = held <= (pool.owned_nodes + pool.burst_nodes) * pool.node_gpus
    late = _penalty_hours(came.submitted_at[:, None], terms.patience_seconds, terms, span)[:, 0]
    groups = priced if is_price_shared else np.arange(len(priced))
    leaving = -terms.sla_usd_per_gpu_hour * came.gpus * late * is_price_shared
    quarters = market[episode.warm_ticks : episode.ticks]
    return _Problem(
        held_gpus=held.astype(np.float64),
        acceptance=accepts,
        margin_usd_per_hour=(price - terms.busy_usd_per_gpu_hour) * came.gpus[:, None],
        leaving_usd=leaving,
        group_starts=np.flatnonzero(np.diff(groups, prepend=-1)),
        starts=_starts(came.submitted_at, came.duration_seconds, came.gpus, fits, terms, span),
        capacities=(
            (float(pool.owned_nodes * pool.node_gpus), terms.owned_usd_per_gpu_hour),
            (float(pool.burst_nodes * pool.node_gpus), terms.burst_usd_per_gpu_hour),
        ),
        spot_gpus=terms.spot_depth_ratio * pool.owned_nodes * pool.node_gpus,
        spot_usd_per_gpu_hour=terms.spot_ratio * quarters - terms.busy_usd_per_gpu_hour,
    )


def _acceptance(terms: Economics, ratio: Floats) -> Floats:
    curve: Floats = 1.0 / (
        1.0 + np.exp(terms.acceptance_slope * (ratio - terms.acceptance_midpoint))
    )
    return curve


def _starts(
    submitted: Integers,
    duration: Integers,
    gpus: Integers,
    fits: npt.NDArray[np.bool_],
    terms: Economics,
    span: tuple[int, int],
) -> tuple[_Starts, ...]:
    """The corners of each job's worth over its start; jobs cut by the span's edges apart."""
    first, last = submitted[:, None], submitted[:, None] + terms.patience_seconds
    edges = TICK_SECONDS * np.arange(1, terms.patience_seconds // TICK_SECONDS + 2)
    done = first + duration[:, None]
    corners = [
        first,
        last,
        first + terms.sla_seconds,
        first // TICK_SECONDS * TICK_SECONDS + edges,
        done // TICK_SECONDS * TICK_SECONDS + edges - duration[:, None],
    ]
    begin = np.clip(np.concatenate(corners, axis=1), first, last)
    end = begin + duration[:, None]
    hours = (np.clip(end, *span) - np.clip(begin, *span)) / _HOUR
    late = _penalty_hours(first, begin - first, terms, span)
    penalty = terms.sla_usd_per_gpu_hour * gpus[:, None] * late
    alike = np.ptp(hours, axis=1) == 0
    parts = []
    for mine, columns in ((alike, slice(0, 1)), (~alike, slice(None))):
        rows = np.flatnonzero(mine & fits)
        places = (_instants(begin[rows], span), _instants(end[rows], span))
        parts.append(_Starts(rows, *places, hours[rows, columns], penalty[rows]))
    return tuple(parts)


def _penalty_hours(
    submitted: Integers, waited: Integers | int, terms: Economics, span: tuple[int, int]
) -> Floats:
    """Hours past the promise, inside the span, of a job that waits so many seconds."""
    until = np.clip(submitted + waited, *span)
    since = np.clip(submitted + terms.sla_seconds, *span)
    hours: Floats = np.maximum(until - since, 0) / _HOUR
    return hours


def _instants(at: Integers, span: tuple[int, int]) -> _Instants:
    quarter, rest = np.divmod(np.clip(at, *span) - span[0], TICK_SECONDS)
    return _Instants(quarter, rest / TICK_SECONDS)
