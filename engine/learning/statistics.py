"""What can be said of paired figures: intervals, sequences that may be peeked at, losses, alarms.

All is plain numpy, and all that is drawn is drawn from a seed, so that a table can be made again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Side = Literal["low", "high", "both"]

RESAMPLES = 10_000
WEEK_STEPS = 42
"""four-hour means in a week"""
FALSE_ALARMS_PER_WEEK = 0.02
ALLOWANCE = 0.5
"""CUSUM's slack in standard deviations: half the shift that it is to find soonest"""
_STAKES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of what may be lost that are bet at each step: a mixture of dogged gamblers."""
_GRID = 200


class Interval(NamedTuple):
    """A figure and the range that holds it at the level asked for."""

    value: float
    low: float
    high: float


# -- bootstrap over weeks --------------------------------------------------------------


def mean_interval(
    values: Floats, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """The mean of `values` (n,) with its percentile bootstrap interval.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13.

    Raises:
        ValueError: there is no value.
    """
    return ratio_interval(values, np.ones(len(values)), level=level, resamples=resamples, seed=seed)


def ratio_interval(
    numerators: Floats,
    denominators: Floats,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Sum over sum, with its paired percentile bootstrap interval; both (n,), one a pool-week.

    A week is drawn with both its figures: that is what keeps the comparison paired.

    Raises:
        ValueError: there is no week, or the denominators' sum is 0.
    """
    drawn = _ratios(numerators, denominators, resamples, seed)
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(float(numerators.sum() / denominators.sum()), float(low), float(high))


def lower_bound(
    numerators: Floats,
    denominators: Floats | None = None,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> float:
    """One-sided bootstrap lower bound of the mean, or of the ratio of sums.

    Raises:
        ValueError: there is no week, or the denominators' sum is 0.
    """
    below = np.ones(len(numerators)) if denominators is None else denominators
    return float(np.quantile(_ratios(numerators, below, resamples, seed), 1 - level))


def won_ratio(gains: Floats) -> float:
    """Share of weeks (n,) with a gain above 0; a tie is not won, and no weeks are none won."""
    return float(np.mean(gains > 0)) if len(gains) else 0.0


def _ratios(numerators: Floats, denominators: Floats, resamples: int, seed: int) -> Floats:
    count = len(numerators)
    if count == 0 or count != len(denominators):
        raise ValueError(f"{count} figures over {len(denominators)}: give one pair a week, or more")
    if denominators.sum() == 0:
        raise ValueError("nothing to divide by: give the profits that the gains are a share of")
    drawn = np.random.default_rng(seed).integers(0, count, (resamples, count))
    ratios: Floats = numerators[drawn].sum(axis=1) / denominators[drawn].sum(axis=1)
    return ratios


# -- confidence sequences --------------------------------------------------------------


def lower_sequence(
    values: Floats, *, floor: float, level: float = 0.95, grid: int = _GRID
) -> Floats:
    """A lower bound on the mean after each value, valid at all times at once: peeking is free.

    `values` (..., n) in order of time, none below `floor`; the result has their shape. However
    often one looks and whenever one stops, the chance that it was ever above the mean is at most
    1 - level, provided that each value's mean, given those before, is the same (or that the bound
    is read as one on the largest of them). No upper limit and no variance is assumed.

    A gambler who bets on values above m, staking a share c of what m - floor allows, holds the
    product of 1 + c (x - m) / (m - floor). If m is the mean, that is a non-negative martingale, and
    so is the average over c; by Ville's inequality it ever passes 1 / (1 - level) with chance
    1 - level at most. m is out where it does. Source: Waudby-Smith and Ramdas, Estimating means of
    bounded random variables by betting, JRSS B 86(1), 2024, sections 4.1 and 4.4. Wealth falls
    with m, so that what is out is an interval; the grid is read on the safe side.

    Raises:
        ValueError: a value lies below the floor, which makes the bound void.
    """
    if values.size and float(values.min()) < floor:
        raise ValueError(f"a value of {values.min():.4g} lies below the floor of {floor:.4g}")
    candidates = floor + (float(values.max(initial=floor)) - floor) * _places(grid)
    bound = np.full(values.shape, floor)
    if not values.size or candidates[-1] <= floor:
        return bound
    odds = (values - floor)[..., None, :] / (candidates - floor)[:, None]
    wealth = np.full(odds.shape, -np.inf)
    for stake in _STAKES:
        wealth = np.logaddexp(wealth, np.cumsum(np.log1p(stake * (odds - 1.0)), axis=-1))
    is_out = wealth - np.log(len(_STAKES)) >= -np.log1p(-level)
    # Once out, always out; and out are all from the floor up to the largest.
    excluded = np.where(is_out, candidates[:, None], floor).max(axis=-2)
    running: Floats = np.maximum.accumulate(excluded, axis=-1)
    return running


def confidence_sequence(
    values: Floats, *, low: float, high: float, level: float = 0.95, grid: int = _GRID
) -> tuple[Floats, Floats]:
    """Lower and upper bounds on the mean after each value, valid at all times at once.

    `values` (..., n) lie in [low, high]. Each side is `lower_sequence` at half the risk.

    Raises:
        ValueError: a value lies outside.
    """
    one_sided = 0.5 + level / 2
    below = lower_sequence(values, floor=low, level=one_sided, grid=grid)
    above = -lower_sequence(-values, floor=-high, level=one_sided, grid=grid)
    return below, above


def _places(grid: int) -> Floats:
    return np.arange(1, grid + 1) / grid


# -- losses ----------------------------------------------------------------------------


def pinball_loss(actual: Floats, forecast: Floats, quantile: float | Floats) -> float:
    """Mean pinball loss of quantile forecasts; arrays that broadcast, NaN pairs left out.

    Source: Koenker and Bassett, Regression Quantiles, Econometrica 46(1), 1978. NaN where nothing
    is left.
    """
    short = np.asarray(actual - forecast, np.float64)
    loss = np.maximum(quantile * short, (quantile - 1) * short)
    known = loss[~np.isnan(loss)]
    return float(known.mean()) if known.size else float("nan")


# -- CUSUM -----------------------------------------------------------------------------


def cusum(deviations: Floats, *, allowance: float = ALLOWANCE, side: Side = "low") -> Floats:
    """Page's cumulative sum after each of the standardised `deviations` (..., n); as their shape.

    S = max(0, S + z - allowance) for a rise, the same of -z for a fall ("low"), the larger of the
    two for "both". Source: Page, Continuous inspection schemes, Biometrika 41, 1954.
    """
    path = np.empty(deviations.shape)
    rise = fall = np.zeros(deviations.shape[:-1])
    for turn in range(deviations.shape[-1]):
        rise = np.maximum(rise + deviations[..., turn] - allowance, 0.0)
        fall = np.maximum(fall - deviations[..., turn] - allowance, 0.0)
        path[..., turn] = {"low": fall, "high": rise, "both": np.maximum(rise, fall)}[side]
    return path


@lru_cache(maxsize=32)
def cusum_threshold(
    *,
    false_alarms_per_week: float = FALSE_ALARMS_PER_WEEK,
    week_steps: int = WEEK_STEPS,
    allowance: float = ALLOWANCE,
    side: Side = "low",
    autocorrelation: float = 0.0,
    seed: int = 0,
) -> float:
    """The threshold at which a sound policy raises so many false alarms a week, by simulation.

    Standard normal deviations with the given correlation from one to the next; after an alarm the
    sum starts anew, as it does after a rollback. 20,000 weeks are played for all thresholds at
    once: at 0.02 a week that is 400 alarms, and the rate is known to about 5 %.

    Raises:
        ValueError: alarms are wanted so rarely that no threshold of the grid is high enough.
    """
    weeks, paths = 20, 1000
    highest = (3.0 + 4.0 / allowance) * (1 + autocorrelation) / (1 - autocorrelation)
    thresholds = np.linspace(0.5, highest, 33)
    noise = _noise(paths, weeks * week_steps, autocorrelation, seed)
    signs = (1.0, -1.0) if side == "both" else (1.0,)  # a fall is as likely as a rise
    sums = np.zeros((len(signs), paths, len(thresholds)))
    alarms = np.zeros(len(thresholds))
    for turn in range(noise.shape[1]):
        for one, sign in zip(sums, signs, strict=True):
            one += (sign * noise[:, turn] - allowance)[:, None]
        np.maximum(sums, 0.0, out=sums)
        raised = (sums > thresholds).any(axis=0)
        alarms += np.count_nonzero(raised, axis=0)
        sums *= ~raised
    # The rate falls exponentially: between grid points its logarithm is a straight line.
    rates = np.log(np.maximum(alarms, 0.5) / (paths * weeks))
    if rates[-1] > np.log(false_alarms_per_week):
        raise ValueError(
            f"{false_alarms_per_week:g} false alarms a week are too few to be found with an "
            f"allowance of {allowance:g}: ask for more, or give a larger allowance"
        )
    return float(np.interp(-np.log(false_alarms_per_week), -rates, thresholds))


def detection_steps(
    shift: float,
    *,
    threshold: float,
    allowance: float = ALLOWANCE,
    autocorrelation: float = 0.0,
    seed: int = 0,
    most_steps: int = 10 * WEEK_STEPS,
) -> float:
    """Median steps until CUSUM finds a fall of the mean by `shift` standard deviations.

    Counted from a sum of 0, its least favourable state; infinity where half the simulated paths
    have raised nothing within `most_steps`.
    """
    noise = _noise(2000, most_steps, autocorrelation, seed) - shift
    passed = cusum(noise, allowance=allowance) > threshold
    steps = np.where(passed.any(axis=1), passed.argmax(axis=1) + 1.0, np.inf)
    return float(np.sort(steps)[len(steps) // 2])


def _noise(paths: int, steps: int, autocorrelation: float, seed: int) -> Floats:
    """Gaussian series (paths, steps) of mean 0 and deviation 1, correlated from step to step."""
    fresh = np.random.default_rng(seed).standard_normal((paths, steps))
    if autocorrelation:
        fresh[:, 1:] *= np.sqrt(1 - autocorrelation**2)
        for turn in range(1, steps):
            fresh[:, turn] += autocorrelation * fresh[:, turn - 1]
    return fresh
