"""What is forecast of a series at a horizon, and what is known when the forecast is made.

A level (occupancy, market price) is forecast at the target's instant, and its own value is what
persists. A flow (arrivals) is forecast as its mean over the span from now to the target, and what
persists is its mean over a span as long that ends now. Rows are quarters; a row of anything but
`actual` reads nothing after its own quarter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.simulator.offers import HORIZON_QUARTERS, offers_forecast_path

Floats = npt.NDArray[np.float64]

DAY, WEEK = 96, 672
"""in quarters"""
FEWEST_DAYS = 2
"""of the days before, without which they say nothing"""
FEWEST_SETTLED = 24
STALE = 8
"""for so many quarters an unknown level is taken to be the last known one"""
_LAGS = (1, 2, 4, 8, 16, 32, 96, 672)
_MEANS = (4, 12, 24, 96, 672)


@dataclass(frozen=True)
class Targets:
    """A series seen from each of its quarters, at one horizon."""

    horizon: int
    """quarters ahead"""
    actual: Floats
    """(n,): what came; NaN where it is not known, or not yet"""
    base: Floats
    """(n,): what persistence says"""
    scale: Floats
    """(n,): mean absolute change of the last week over this horizon; 1 where there was none, NaN
    while too few are known"""
    expected: Floats
    """(n,): what the days before say. A level moves as it moved then; a flow is forecast by the
    closed form of `engine/simulator/offers.py`, and repeats those days beyond its horizons"""
    yesterdays: Floats
    """(n, 7): what came at the target's clock on the seven days before it, as far as known"""
    changes: Floats
    """(n, 7): by how much that differed from what persistence had said"""


def targets_of(series: Floats, horizon: int, is_flow: bool, hour_of_week: float) -> Targets:
    """The targets of a series (n,) that may have NaN, `horizon` quarters ahead.

    `hour_of_week` is that of the series' end, in hours since Monday 00:00 UTC.
    """
    base = trailing_mean(series, horizon) if is_flow else filled(series, STALE)
    seen = base if is_flow else series
    actual = np.full(len(series), np.nan)
    actual[:-horizon] = seen[horizon:]
    change = actual - base
    settled = shifted(np.abs(change), horizon)
    scale = trailing_mean(settled, WEEK)
    scale = np.where(scale == 0, 1.0, scale)
    scale[: horizon + FEWEST_SETTLED] = np.nan  # a scale of a few changes would be any figure
    days = [DAY * day for day in range(1, 8)]
    yesterdays = np.stack([shifted(actual, lag) for lag in days], axis=1)
    changes = np.stack([shifted(change, lag) for lag in days], axis=1)
    enough = (~np.isnan(yesterdays)).sum(axis=1) >= FEWEST_DAYS
    expected = row_means(yesterdays) if is_flow else base + row_means(changes)
    expected = np.where(enough, expected, np.nan)
    if is_flow and horizon in HORIZON_QUARTERS:
        path = offers_forecast_path(series / 4, hour_of_week - len(series) / 4)
        closed = path[:, HORIZON_QUARTERS.index(horizon)]
        expected = np.where(np.isnan(base), np.nan, closed)
    return Targets(horizon, actual, base, scale, expected, yesterdays, changes)


def features_of(series: Floats, targets: Targets, hour_of_week: Floats) -> Floats:
    """What the trees read, shape (n, F): normalised increments, and the target's clock.

    `hour_of_week` (n,) is that of each quarter's end, hours since Monday 00:00 UTC.
    """
    means = [trailing_mean(series, span) for span in _MEANS]
    lags = [shifted(series, lag) for lag in _LAGS]
    days = [targets.yesterdays[:, 0], targets.yesterdays[:, -1], row_means(targets.yesterdays)]
    levels = np.stack([series, *means, *lags, *days, targets.expected], axis=1)
    increments = (levels - targets.base[:, None]) / targets.scale[:, None]
    changes = np.stack([targets.changes[:, 0], targets.changes[:, -1]], axis=1)
    changes = changes / targets.scale[:, None]
    share = targets.base / np.maximum(np.abs(means[-1]), 1e-9)
    clock = (hour_of_week + targets.horizon / 4) * 2 * np.pi
    cycles = [wave(clock / period) for period in (24, 168) for wave in (np.sin, np.cos)]
    return np.column_stack([increments, changes, row_means(targets.changes), share, *cycles])


def trailing_mean(series: Floats, span: int) -> Floats:
    """Mean of the known among the last `span` quarters, NaN where none is; shape as `series`.

    Where under half of them are known since the series began, it is not known either.
    """
    known = ~np.isnan(series)
    total, count = _trailing_sum(np.where(known, series, 0.0), span), _trailing_sum(known, span)
    passed = np.minimum(np.arange(1, len(series) + 1), span)
    return np.where(2 * count >= passed, total / np.maximum(count, 1), np.nan)


def shifted(series: Floats, quarters: int) -> Floats:
    """The series as it was so many quarters before, NaN before its start."""
    result = np.full(len(series), np.nan)
    if quarters < len(series):
        result[quarters:] = series[: len(series) - quarters]
    return result


def filled(series: Floats, longest: int) -> Floats:
    """Each gap filled with the value before it, for at most `longest` quarters."""
    places = np.arange(len(series))
    last = np.maximum.accumulate(np.where(np.isnan(series), -1, places))
    is_known = (last >= 0) & (places - last <= longest)
    return np.where(is_known, series[np.maximum(last, 0)], np.nan)


def row_means(values: Floats) -> Floats:
    """Mean of the known in each row (n, k), NaN where none is."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _trailing_sum(values: npt.NDArray[np.generic], span: int) -> Floats:
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    ends = np.arange(1, len(values) + 1)
    result: Floats = sums[ends] - sums[np.maximum(ends - span, 0)]
    return result
