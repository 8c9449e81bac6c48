"""The models that compete: persistence, the days before, and boosted trees."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from engine.forecasts.conformal import LEVELS, MEDIAN, corrected, rolling_quantiles
from engine.forecasts.targets import Targets, targets_of

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
ModelName = Literal["persistence", "seasonal", "boosted"]

FEWEST_CHANGES = 8
"""known changes without which nothing is forecast at all"""
MOST_ROWS = 3000
"""a fit reads no more, so that many pools cost what ten do"""
_TREES = {"max_iter": 40, "max_leaf_nodes": 8, "learning_rate": 0.1, "min_samples_leaf": 20}
TREES_SHARE = 0.7
"""of the trees in a boosted forecast; the rest is the simpler model's: their quantiles are averaged
(Lichtendahl, Grushka-Cockayne and Winkler, Management Science 2013). On the training weeks of
Philly occupancy gains 2 to 4 points of raw skill by it"""
_FAR = 50.0
"""normalised figures beyond are cut"""


def persistence(targets: Targets, rows: Integers, newest: int | None = None) -> Floats:
    """It stays as it is, and strays as it did: raw quantiles at the origins `rows`, (m, 4).

    `rows` are an hour apart. NaN where too few changes are known; see `short_history`. With
    `newest` only that many last origins.
    """
    return _around(targets.base, targets, rows, newest)


def seasonal(targets: Targets, rows: Integers, newest: int | None = None) -> Floats:
    """As the days before say, straying as that did: raw quantiles at the origins `rows`, (m, 4)."""
    return _around(targets.expected, targets, rows, newest)


def _around(centre: Floats, targets: Targets, rows: Integers, newest: int | None) -> Floats:
    # Spread as past misses were, each known before the origin.
    lag = hours_of(targets.horizon)
    misses = ((targets.actual - centre) / targets.scale)[rows]
    origins = rows if newest is None else rows[-newest:]
    scale = targets.scale[origins]
    strays = rolling_quantiles(misses, LEVELS, lag, newest)
    if centre is targets.base:
        strays[:, MEDIAN] *= 0.0  # it says that nothing changes; unknown stays unknown
    return centre[origins, None] + scale[:, None] * strays


def short_history(series: Floats, horizon: int, is_flow: bool) -> Floats | None:
    """Persistence where the horizon was seldom or never lived through yet: (4,), or None.

    Changes over the longest horizon that was are widened by the root of time, as a random walk's.
    """
    base = targets_of(series, horizon, is_flow, 0.0).base[-1]
    for shorter in (horizon, *(h for h in (24, 8, 4, 2, 1) if h < horizon)):
        lived = targets_of(series, shorter, is_flow, 0.0)
        changes = lived.actual - lived.base
        changes = changes[~np.isnan(changes)]
        if len(changes) >= FEWEST_CHANGES and not np.isnan(base):
            quantiles = base + np.sqrt(horizon / shorter) * np.quantile(changes, LEVELS)
            quantiles[MEDIAN] = base
            ordered: Floats = corrected(quantiles[None, :], np.zeros((1, 4)), np.ones(1))[0]
            return ordered
    return None


class Boosted:
    """Gradient-boosted trees for the quantiles of normalised changes, one a quantile.

    One fit serves all pools that it was shown: normalised changes are alike enough to be learned
    from together (Montero-Manso and Hyndman, Principles and algorithms for forecasting groups of
    time series, IJF 2021), and a fleet of many pools costs no more than one of few.
    """

    def __init__(self, features: Floats, changes: Floats) -> None:
        """`features` (m, F) may have NaN; `changes` (m,) are in units of the scale."""
        # Loaded here: the console starts without it.
        from sklearn.ensemble import (  # type: ignore[import-untyped, unused-ignore]
            HistGradientBoostingRegressor,
        )

        step = -(-len(changes) // MOST_ROWS)
        # A lag that no origin knows yet is left out: scikit-learn can't bin it.
        self._known = ~np.isnan(features[::step]).all(axis=0)
        shown, wanted = self._cut(features[::step]), changes[::step]
        self._models: list[Any] = [
            HistGradientBoostingRegressor(
                loss="quantile", quantile=level, early_stopping=False, random_state=0, **_TREES
            ).fit(shown, wanted)
            for level in LEVELS
        ]

    def changes(self, features: Floats) -> Floats:
        """Quantiles of the change in units of the scale, (m, 4), for `features` (m, F)."""
        cut = self._cut(features)
        return np.stack([model.predict(cut) for model in self._models], axis=1)

    def _cut(self, features: Floats) -> Floats:
        return np.asarray(np.clip(features[:, self._known], -_FAR, _FAR))


def hours_of(quarters: int) -> int:
    """Whole hours after which a horizon of so many quarters has surely come."""
    return -(-quarters // 4)
