"""The job: reads the pools' past, forecasts every series and horizon, writes the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args

import numpy as np
import numpy.typing as npt

from engine.forecasts.candidates import (
    Boosted,
    ModelName,
    persistence,
    seasonal,
    short_history,
)
from engine.forecasts.conformal import HIGH, HIGHER, LOW, MEDIAN, corrected
from engine.forecasts.contest import (
    Seen,
    Winner,
    boosted,
    boosted_past,
    fitted,
    see,
    winner,
)
from engine.forecasts.grid import QUARTER, PoolSeries, SeriesName, grid_of, pool_series
from warehouse.forecasts import newest_issue
from warehouse.records import Forecast
from warehouse.store import Store

Floats = npt.NDArray[np.float64]

HORIZONS = tuple(timedelta(minutes=m) for m in (30, 60, 120, 360, 1440))
REFIT_EVERY = timedelta(hours=6)
"""of the fleet's time"""
_SERIES: tuple[SeriesName, ...] = get_args(SeriesName)
_NOBODY = Winner("persistence", np.zeros(4), None, None)


@dataclass(frozen=True)
class _Fit:
    """What a refit learned of one series at one horizon."""

    trees: Boosted | None
    """None unless they serve some pool"""
    winners: dict[str, Winner]
    """by pool"""


class Forecaster:
    """Keeps what was fitted in memory, so that only every REFIT_EVERY is dear."""

    def __init__(self) -> None:
        self._fits: dict[tuple[SeriesName, int], _Fit] = {}
        self._fitted_at: datetime | None = None

    def forecast_all(self, store: Store, now: datetime) -> int:
        """Write the forecasts of every pool, series and horizon; how many rows.

        Forecasts are issued at the end of the last whole quarter of an hour, once. A series of
        which too little is known, or nothing for two hours, is left out: no row, never a zero.
        """
        issued_at = grid_of(now)
        newest = newest_issue(store)
        if newest is not None and newest >= issued_at:
            return 0
        pools = pool_series(store, now)
        is_dear = self._is_due(issued_at)
        rows: list[Forecast] = []
        for name in _SERIES:
            for horizon in HORIZONS:
                rows += self._issue(name, horizon, pools, is_dear)
        if is_dear and pools:
            self._fitted_at = issued_at
        return store.append(rows)

    def _is_due(self, issued_at: datetime) -> bool:
        fitted_at = self._fitted_at
        return fitted_at is None or not fitted_at <= issued_at < fitted_at + REFIT_EVERY

    def _issue(
        self, name: SeriesName, horizon: timedelta, pools: list[PoolSeries], is_dear: bool
    ) -> Iterator[Forecast]:
        quarters = horizon // QUARTER
        seen = {
            pool.pool: see(
                pool.series[name], quarters, name == "arrivals", hour_of_week(pool.ends_at)
            )
            for pool in pools
            if len(pool.series[name]) > quarters and not np.isnan(pool.series[name]).all()
        }
        if is_dear:
            self._fits[name, quarters] = _fit(seen)
        fit = self._fits[name, quarters]
        for pool in pools:
            told = _forecast(pool, name, horizon, seen.get(pool.pool), fit)
            if told is not None:
                yield told


def hour_of_week(instant: datetime) -> float:
    """Hours since Monday 00:00 UTC."""
    return instant.weekday() * 24 + instant.hour + instant.minute / 60


def _fit(seen: dict[str, Seen]) -> _Fit:
    # Comes with scikit-learn, and is loaded as late.
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

    pools = list(seen.values())
    with threadpool_limits(limits=1):  # the console's other threads want the cores too
        past = boosted_past(pools)
        won = [winner(one, played) for one, played in zip(pools, past, strict=True)]
        serves = any(one.model == "boosted" for one in won)
        return _Fit(fitted(pools) if serves else None, dict(zip(seen, won, strict=True)))


def _forecast(
    pool: PoolSeries, name: SeriesName, horizon: timedelta, seen: Seen | None, fit: _Fit
) -> Forecast | None:
    served = _served(seen, fit.winners.get(pool.pool, _NOBODY), fit.trees) if seen else None
    if served is None:
        quantiles = short_history(pool.series[name], horizon // QUARTER, name == "arrivals")
        served = None if quantiles is None else (_NOBODY, quantiles)
    if served is None:
        return None
    won, quantiles = served
    return Forecast(
        pool=pool.pool,
        series=name,
        target_at=pool.ends_at + horizon,
        horizon_seconds=int(horizon.total_seconds()),
        q10=float(quantiles[LOW]),
        q50=float(quantiles[MEDIAN]),
        q90=float(quantiles[HIGH]),
        q95=float(quantiles[HIGHER]),
        model=won.model,
        coverage_ratio=won.coverage_ratio,
        skill_ratio=won.skill_ratio,
        issued_at=pool.ends_at,
    )


def _served(seen: Seen, won: Winner, trees: Boosted | None) -> tuple[Winner, Floats] | None:
    # Who won may be unable to speak now; then persistence does, and is not credited with the score.
    for one in (won, _NOBODY):
        raw = _raw(one.model, seen, trees)
        if not np.isnan(raw).any():
            scale = seen.targets.scale[seen.rows[-1:]]
            return one, corrected(raw, one.shifts[None, :], scale)[0]
    return None


def _raw(model: ModelName, seen: Seen, trees: Boosted | None) -> Floats:
    if model == "boosted":
        if trees is None:
            return np.full((1, 4), np.nan)
        return boosted(trees, seen, newest=1)
    if model == "seasonal":
        return seasonal(seen.targets, seen.rows, newest=1)
    return persistence(seen.targets, seen.rows, newest=1)
