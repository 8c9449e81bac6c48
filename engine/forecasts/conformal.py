"""Quantiles that cover what they say: conformal correction on a rolling window, and scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Floats = npt.NDArray[np.float64]

LEVELS = (0.10, 0.50, 0.90, 0.95)
"""The quantiles of a forecast, in the order of its columns."""
LOW, MEDIAN, HIGH, HIGHER = range(4)
WINDOW = 336
"""origins, an hour apart, that a correction is drawn from: a fortnight"""
FEWEST = 24
"""origins without which nothing is said"""
FEWEST_MISSES = 72
"""origins without which nothing is corrected: neighbours err alike, and a day of them misleads"""


def rolling_quantiles(
    values: Floats,
    levels: tuple[float, ...],
    lag: int,
    newest: int | None = None,
    fewest: int = FEWEST,
) -> Floats:
    """At each row quantiles of the WINDOW values up to `lag` rows before it; shape (m, levels).

    Of k known ones the order statistic ceil(level (k + 1)), the largest where there is none so
    high; below a half its mirror image. NaN where fewer than `fewest` are known. With `newest` only
    that many last rows.
    """
    wanted = len(values) if newest is None else min(newest, len(values))
    padded = np.concatenate([np.full(WINDOW + lag - 1, np.nan), values])
    windows = sliding_window_view(padded, WINDOW)[: len(values)][len(values) - wanted :]
    ordered = np.sort(windows, axis=1)  # NaN come last
    known = WINDOW - np.isnan(ordered).sum(axis=1)
    places = np.stack([_rank(known, level) for level in levels], axis=1) - 1
    chosen: Floats = np.take_along_axis(ordered, places, axis=1)
    return np.where(known[:, None] >= fewest, chosen, np.nan)


def _rank(known: npt.NDArray[np.int64], level: float) -> npt.NDArray[np.int64]:
    if level < 0.5:
        mirrored = known + 1 - _rank(known, 1 - level)
        return np.asarray(np.maximum(mirrored, 1))
    rank = np.ceil(level * (known + 1) - 1e-9).astype(np.int64)
    return np.asarray(np.clip(rank, 1, np.maximum(known, 1)))


def corrections(
    quantiles: Floats, actual: Floats, scale: Floats, lag: int, newest: int | None = None
) -> Floats:
    """What to add to each quantile, in units of `scale`, shape (m, 4); 0 where too little is known.

    Conformalised quantile regression with each tail corrected by itself (Romano, Patterson and
    Candès, Conformalized Quantile Regression, NeurIPS 2019, theorem 2). `quantiles` (m, 4),
    `actual` and `scale` (m,) are of origins an hour apart; row i reads what had come by then: the
    rows up to i - `lag`. The median stays.
    """
    misses = (actual[:, None] - quantiles) / scale[:, None]
    shifts = [
        rolling_quantiles(misses[:, place], (level,), lag, newest, FEWEST_MISSES)[:, 0]
        for place, level in enumerate(LEVELS)
    ]
    shifts[MEDIAN] = np.zeros(len(shifts[LOW]))
    return np.nan_to_num(np.stack(shifts, axis=1))


def corrected(quantiles: Floats, shifts: Floats, scale: Floats) -> Floats:
    """The quantiles (m, 4) moved, in order, and none below 0."""
    moved = quantiles + shifts * scale[:, None]
    moved[:, LOW] = np.minimum(moved[:, LOW], moved[:, MEDIAN])
    rising = np.maximum.accumulate(moved[:, MEDIAN:], axis=1)
    ordered: Floats = np.maximum(np.column_stack([moved[:, LOW], rising]), 0.0)
    return ordered


def pinball_loss(quantiles: Floats, actual: Floats) -> Floats:
    """Mean over the quantiles of each row's loss, shape (m,) (Koenker and Bassett 1978)."""
    over = actual[:, None] - quantiles
    levels = np.array(LEVELS)
    loss: Floats = np.maximum(levels * over, (levels - 1) * over).mean(axis=1)
    return loss


def is_covered(quantiles: Floats, actual: Floats) -> npt.NDArray[np.bool_]:
    """Whether each actual (m,) lies from q10 to q90."""
    return np.asarray((actual >= quantiles[:, LOW]) & (actual <= quantiles[:, HIGH]))
