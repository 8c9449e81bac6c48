"""Which model serves: all are played over the past without a look ahead, and the best is chosen.

The last part of the history is forecast origin by origin, each by models fitted on what had come
before its fold began; the corrections roll along. Whichever had the lower pinball loss over the
last fortnight serves, and persistence where none is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from engine.forecasts.candidates import (
    TREES_SHARE,
    Boosted,
    ModelName,
    hours_of,
    persistence,
    seasonal,
)
from engine.forecasts.conformal import (
    FEWEST,
    corrected,
    corrections,
    is_covered,
    pinball_loss,
)
from engine.forecasts.targets import Targets, features_of, targets_of

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

FORTNIGHT_HOURS = 14 * 24
FEWEST_BOOSTED_HOURS = 6 * 24
"""history without which nothing is fitted: half of it is played, half is learned from"""
FOLDS = 2
"""how often the trees are fitted anew in the part that is played"""


@dataclass(frozen=True)
class Seen:
    """A series of one pool at one horizon, as all models see it."""

    targets: Targets
    features: Floats
    """(n, F)"""
    rows: Integers
    """origins an hour apart, the last one is now"""
    is_flow: bool


@dataclass(frozen=True)
class Winner:
    """Who serves a pool, series and horizon, and how it did over the last fortnight."""

    model: ModelName
    shifts: Floats
    """(4,): the correction in force, in units of the scale"""
    coverage_ratio: float | None
    skill_ratio: float | None


def see(series: Floats, horizon: int, is_flow: bool, hour_of_week: float) -> Seen:
    """A series (n,) of quarters at a horizon; `hour_of_week` is that of its end."""
    targets = targets_of(series, horizon, is_flow, hour_of_week)
    hours = hour_of_week - np.arange(len(series))[::-1] / 4
    rows = np.arange((len(series) - 1) % 4, len(series), 4)
    return Seen(targets, features_of(series, targets, hours), rows, is_flow)


def fitted(pools: list[Seen], until_hours_ago: int = 0) -> Boosted | None:
    """The trees, from all origins whose targets had come so many hours ago; None for too few."""
    shown, wanted = [], []
    for seen in pools:
        known = _known_changes(seen)
        come = seen.rows + seen.targets.horizon <= len(seen.targets.base) - 1 - 4 * until_hours_ago
        rows = seen.rows[come & ~np.isnan(known)]
        shown.append(seen.features[rows])
        wanted.append(known[come & ~np.isnan(known)])
    changes = np.concatenate(wanted) if wanted else np.zeros(0)
    if len(changes) < 3 * FEWEST or not changes.any():
        return None
    return Boosted(np.concatenate(shown), changes)


def boosted_past(pools: list[Seen]) -> list[Floats]:
    """Raw quantiles of the trees over the part that is played, NaN before: (m, 4) a pool."""
    past = [np.full((len(seen.rows), 4), np.nan) for seen in pools]
    hours = max((len(seen.rows) for seen in pools), default=0)
    if hours < FEWEST_BOOSTED_HOURS:
        return past
    edges = np.linspace(min(FORTNIGHT_HOURS, hours // 2), 0, FOLDS + 1).astype(int)
    for begin, end in pairwise(edges.tolist()):
        # The first origin played is `begin` hours before the one after now.
        trees = fitted(pools, begin - 1)
        for seen, raw in zip(pools, past, strict=True):
            place = np.arange(max(0, len(raw) - begin), max(0, len(raw) - end))
            if trees is not None and len(place):
                raw[place] = boosted(trees, seen)[place]
    return past


def boosted(trees: Boosted, seen: Seen, newest: int | None = None) -> Floats:
    """The trees' raw quantiles at all origins or the `newest`, held by the simpler model; (m, 4).

    That is persistence for a level, and what the days before say for a flow.
    """
    rows = seen.rows if newest is None else seen.rows[-newest:]
    changes = trees.changes(seen.features[rows])
    alone = seen.targets.base[rows, None] + changes * seen.targets.scale[rows, None]
    simpler = seasonal if seen.is_flow else persistence
    held: Floats = TREES_SHARE * alone + (1 - TREES_SHARE) * simpler(
        seen.targets, seen.rows, newest
    )
    return held


def winner(seen: Seen, trees_past: Floats) -> Winner:
    """The best over the last fortnight, by mean pinball loss where all candidates spoke."""
    targets, rows = seen.targets, seen.rows
    actual, scale, lag = targets.actual[rows], targets.scale[rows], hours_of(targets.horizon)
    raw: dict[ModelName, Floats] = {
        "persistence": persistence(targets, rows),
        "seasonal": seasonal(targets, rows),
        "boosted": trees_past,
    }
    spoken = {name: q for name, q in raw.items() if _scored(q, actual).sum() >= FEWEST}
    # The others' spread is that of their own past misses: it needs no correction.
    shifts = {
        name: corrections(q, actual, scale, lag) if name == "boosted" else np.zeros_like(q)
        for name, q in spoken.items()
    }
    served = {name: corrected(q, shifts[name], scale) for name, q in spoken.items()}
    common = np.ones(len(rows), bool)
    for quantiles in served.values():
        common &= _scored(quantiles, actual)
    if not spoken or common.sum() < FEWEST:
        return Winner("persistence", np.zeros(4), None, None)
    losses = {n: float(pinball_loss(q[common], actual[common]).mean()) for n, q in served.items()}
    best = min(losses, key=lambda name: losses[name])
    floor = losses.get("persistence", 0.0)
    return Winner(
        best,
        shifts[best][-1],
        float(is_covered(served[best][common], actual[common]).mean()),
        1 - losses[best] / floor if floor > 0 else None,
    )


def _scored(quantiles: Floats, actual: Floats) -> npt.NDArray[np.bool_]:
    scored = ~np.isnan(quantiles).any(axis=1) & ~np.isnan(actual)
    scored[:-FORTNIGHT_HOURS] = False
    return np.asarray(scored)


def _known_changes(seen: Seen) -> Floats:
    targets, rows = seen.targets, seen.rows
    changes: Floats = ((targets.actual - targets.base) / targets.scale)[rows]
    # A series that never moves teaches nothing.
    return changes if np.nan_to_num(changes).any() else np.full(len(rows), np.nan)
