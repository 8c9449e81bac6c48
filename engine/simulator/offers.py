"""The fast forecast of offers, in closed form: one definition for training and for the console.

Counts are looked at through sqrt(jobs an hour + 3/8), which makes their noise about even whatever
the level (Anscombe, The transformation of Poisson, binomial and negative-binomial data, Biometrika
1948) and tames bursts. There, the median expected is a fixed mix of the last hour, the last three,
the last day, the whole window, and what the same clock brought on the seven days before, days of
the same kind (weekend or not) counting more. The mix was fitted by least absolute deviations, once
for calm and once for bursty demand.

Only the last TAPE_TICKS quarters are ever read, sums are of whole counts, and the rest is done
element by element in one order, so that a row of a path and a single forecast are equal to the bit.
An unknown quarter is NaN and is left out; it does not count as one without offers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.simulator.features import FORECAST_COUNT, TAPE_TICKS

Floats = npt.NDArray[np.float64]

HORIZON_QUARTERS = (2, 4, 8, 24)
"""30 min, 1 h, 2 h, 6 h"""
_ANSCOMBE = 0.375
_DAY, _HOUR = 96, 4
_LAG_DAYS = 7
_PAD_QUARTERS = 6
"""on either side of a span of the days before: their noise is larger than a day's bend"""
_OTHER_KIND = 0.25
"""weight of a weekend day for a weekday's forecast, and the other way round"""
_PRIOR_DAYS = 0.25
"""weight of the day's level beside the days before: all there is while history is short"""
_WEEKEND_FROM_HOUR = 120.0
_GRAIN = 2.0**-20
"""roots are rounded to this where they are summed, so that running sums are exact"""
_CALM_BEND = 1.05
"""mean bend of the hourly roots where demand has a rhythm and Poisson noise alone"""
_BURSTY_MIX = (
    (0.59, -0.01, -0.69, 0.14, 0.0, 0.04, -0.14),
    (0.59, 0.01, -0.57, 0.07, 0.06, 0.03, -0.08),
    (0.42, 0.09, -0.50, -0.05, 0.17, 0.04, 0.04),
    (0.20, 0.15, -0.05, 0.36, 0.52, 0.23, -0.69),
)
_CALM_MIX = (
    (0.29, 0.09, -0.66, -0.28, 0.69, -0.07, -0.09),
    (0.23, 0.13, -0.31, -0.40, 0.84, -0.18, 0.08),
    (0.17, 0.21, -0.07, -0.35, 0.93, -0.27, 0.05),
    (0.10, 0.20, 0.20, -0.38, 1.13, -0.29, 0.04),
)
"""A row a horizon: weights of last hour, three hours, day, window, the days before at the target's
clock, at the last three hours' and at the last twenty hours'; what is left goes to the mean root of
the last day's hours. Demand in between takes from both. Fitted on Philly (whole, thinned, and its
five largest virtual clusters) and on generated demand, 28 days from 2017-09-25."""
_HALF_WIDTH = 0.78
"""10 % to 90 % band's half over the mean bend, in roots; fitted likewise"""


def offers_forecast(offered_jobs: Floats, hour_of_week: float) -> Floats:
    """What is expected of a pool's offers, shape (FORECAST_COUNT,), in jobs an hour.

    Medians of the mean over the next 30 min, 1 h, 2 h and 6 h, and the 90 % less the 10 % quantile
    of the next hour's. `offered_jobs` (n,) are the counts of the quarters up to now, oldest first,
    NaN where unknown; `hour_of_week` is now, in hours since Monday 00:00 UTC. Zeros where nothing
    is known.
    """
    if not len(offered_jobs):
        return np.zeros(FORECAST_COUNT)
    past = _Past(np.asarray(offered_jobs[-TAPE_TICKS:], np.float64), 1)
    newest: Floats = _forecasts(past, np.array([hour_of_week]))[0]
    return newest


def offers_forecast_path(series: Floats, hour_of_week_start: float) -> Floats:
    """`offers_forecast` at the end of every quarter of a series, shape (n, FORECAST_COUNT).

    Row t reads the quarters up to t alone. `hour_of_week_start` is the instant at which the first
    quarter begins.
    """
    past = _Past(np.asarray(series, np.float64), len(series))
    return _forecasts(past, hour_of_week_start + np.arange(1, past.count + 1) / _HOUR)


def _forecasts(past: _Past, now: Floats) -> Floats:
    result = np.empty((past.count, FORECAST_COUNT))
    bend = past.mean_bend()
    calm = _CALM_BEND / np.maximum(bend, _CALM_BEND)
    for place, (span, sight) in enumerate(past.sights(now)):
        root = _mixed(_BURSTY_MIX[place], sight) * (1.0 - calm)
        root += _mixed(_CALM_MIX[place], sight) * calm
        root = np.maximum(root, np.sqrt(_ANSCOMBE))
        result[:, place] = root * root - _ANSCOMBE
        if span == _HOUR:
            result[:, -1] = _spread(root, bend * _HALF_WIDTH)
    result[~past.is_known_yet()] = 0.0
    return result


def _mixed(mix: tuple[float, ...], sight: tuple[Floats, ...]) -> Floats:
    root = (1.0 - sum(mix)) * sight[-1]
    for weight, seen in zip(mix, sight, strict=False):
        root += weight * seen
    return root


def _spread(root: Floats, half: Floats) -> Floats:
    low, high = np.maximum(root - half, np.sqrt(_ANSCOMBE)), root + half
    spread: Floats = high * high - low * low
    return spread


class _Past:
    """Windowed sums of a series, at the ends of its last `count` quarters, each of shape (count,).

    Unknown quarters are put before the first, so that every window lies inside.
    """

    def __init__(self, series: Floats, count: int) -> None:
        self.count = count
        self._first = TAPE_TICKS + 1 + len(series) - count
        known = ~np.isnan(series)
        before = np.zeros(TAPE_TICKS + 1)
        self._jobs = np.concatenate([before, np.cumsum(np.where(known, series, 0.0))])
        self._quarters = np.concatenate([before, np.cumsum(known, dtype=np.float64)])
        self._hour_roots = self._roots_of_hours()

    def is_known_yet(self) -> npt.NDArray[np.bool_]:
        """Whether any quarter of the window is known."""
        return self._sum(self._quarters, TAPE_TICKS, 0) > 0

    def sights(self, now: Floats) -> list[tuple[int, tuple[Floats, ...]]]:
        """For each horizon its quarters, and what `_MIX` mixes, the mean root of the day last."""
        window = self._root(TAPE_TICKS, 0, 0.0)
        day_roots = self._mean(self._hour_roots, 24, window)
        recent = [self._root(quarters, 0, day_roots) for quarters in (_HOUR, 3 * _HOUR, _DAY)]
        then = [self._days_before(span, 0, now, day_roots) for span in (3 * _HOUR, 20 * _HOUR)]
        sights = []
        for span in HORIZON_QUARTERS:
            coming = self._days_before(span, span, now, day_roots)
            sights.append((span, (*recent, window, coming, *then, day_roots)))
        return sights

    def mean_bend(self) -> Floats:
        """Mean of |r(h) - 2 r(h-1) + r(h-2)| over the last week's roots: noise without rhythm."""
        roots = self._hour_roots
        bends = np.full(len(roots), np.nan)
        middle = roots[_HOUR:-_HOUR]
        bends[2 * _HOUR :] = np.abs(roots[2 * _HOUR :] - 2.0 * middle + roots[: -2 * _HOUR])
        return self._mean(bends, _LAG_DAYS * 24, np.full(self.count, _CALM_BEND))

    def _roots_of_hours(self) -> Floats:
        # Of the hour that ends at each place of the running sums; NaN where nothing is known.
        roots = np.full(len(self._jobs), np.nan)
        known = self._quarters[_HOUR:] - self._quarters[:-_HOUR]
        jobs = self._jobs[_HOUR:] - self._jobs[:-_HOUR]
        rate = jobs * _HOUR / np.maximum(known, 1.0)
        roots[_HOUR:] = np.where(known > 0, np.sqrt(rate + _ANSCOMBE), np.nan)
        return roots

    def _mean(self, values: Floats, hours: int, otherwise: Floats) -> Floats:
        # Of the values now, an hour ago, and so on.
        known = ~np.isnan(values)
        grains = np.where(known, np.round(values / _GRAIN), 0.0)
        total = self._hourly_sum(grains, hours) * _GRAIN
        count = self._hourly_sum(known.astype(np.float64), hours)
        return np.where(count > 0, total / np.maximum(count, 1.0), otherwise)

    def _hourly_sum(self, values: Floats, hours: int) -> Floats:
        rows = -(-len(values) // _HOUR)
        grid = np.zeros(rows * _HOUR)
        grid[: len(values)] = values
        sums = np.cumsum(grid.reshape(rows, _HOUR), axis=0).ravel()
        newest = sums[self._first :][: self.count]
        before: Floats = sums[self._first - hours * _HOUR :][: self.count]
        return newest - before

    def _days_before(self, span: int, ahead: int, now: Floats, otherwise: Floats) -> Floats:
        # The span that ends `ahead` quarters from now, as it was on each of the days before.
        kind = _is_weekend(now + (ahead - span / 2) / _HOUR)
        total, weights = _PRIOR_DAYS * otherwise, np.full(self.count, _PRIOR_DAYS)
        pad = min(_PAD_QUARTERS, _DAY - max(ahead, span))
        for day in range(1, _LAG_DAYS + 1):
            root = self._root(span + 2 * pad, day * _DAY - ahead - pad, np.nan)
            then = _is_weekend(now + (ahead - span / 2) / _HOUR - 24 * day)
            weight = np.where(kind == then, 1.0, _OTHER_KIND) * ~np.isnan(root)
            total = total + np.where(weight > 0, root * weight, 0.0)
            weights = weights + weight
        mean: Floats = total / weights
        return mean

    def _root(self, quarters: int, ago: int, otherwise: Floats | float) -> Floats:
        # Of the mean rate in the `quarters` that ended `ago` quarters before each instant.
        known = self._sum(self._quarters, quarters, ago)
        rate = self._sum(self._jobs, quarters, ago) * _HOUR / np.maximum(known, 1.0)
        return np.where(known > 0, np.sqrt(rate + _ANSCOMBE), otherwise)

    def _sum(self, sums: Floats, quarters: int, ago: int) -> Floats:
        end = self._first - ago
        newest = sums[end:][: self.count]
        before: Floats = sums[end - quarters :][: self.count]
        return newest - before


def _is_weekend(hour_of_week: Floats) -> npt.NDArray[np.bool_]:
    return np.asarray(hour_of_week % 168 >= _WEEKEND_FROM_HOUR)
