"""What the past weeks' rows say about the coming hours: who comes, for how long, at what price."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from warehouse.store import Store

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

WINDOW = timedelta(days=14)
MOST_JOBS = 3000
"""Newest finished jobs of a pool that sizes and durations are drawn from."""
LEVEL_WINDOW = timedelta(days=1)
HOURS_OF_WEEK = 168
ACCEPTANCE_SLOPE = 5.0
ACCEPTANCE_MIDPOINT = 1.08
"""Customers accept with 1 / (1 + exp(slope (x - midpoint))), x being our price over the market's:
an assumption (elasticity -2 at x = 1) whose level, not whose shape, is fitted to our offers."""

_FINISHED = """
    WITH ended AS (
        SELECT job_id, pool, gpu_count, happened_at AS ended_at FROM job_events
        WHERE event = 'finished' AND happened_at > $since AND happened_at <= $now
            AND ($pool IS NULL OR pool = $pool)
        QUALIFY row_number() OVER (PARTITION BY pool ORDER BY happened_at DESC, job_id) <= $most
    )
    SELECT ended.pool, any_value(gpu_count) AS gpus,
        epoch(any_value(ended_at) - min(started.happened_at)) AS seconds
    FROM ended JOIN (
        SELECT job_id, happened_at FROM job_events
        WHERE event = 'started' AND happened_at > $since AND happened_at <= $now
    ) started USING (job_id)
    GROUP BY ended.pool, job_id HAVING seconds > 0
    ORDER BY ended.pool, any_value(ended_at), job_id
"""
_OFFERS = """
    SELECT pool, date_trunc('hour', measured_at) AS hour, sum(seconds) / 3600 AS hours,
        sum(offered_jobs)::DOUBLE AS offered, sum(accepted_jobs)::DOUBLE AS accepted,
        avg(price_usd_per_gpu_hour / market_usd_per_gpu_hour) AS price_ratio
    FROM (
        SELECT *, epoch(measured_at)
            - epoch(lag(measured_at) OVER in_turn) AS seconds
        FROM pool_states WHERE measured_at > $since AND measured_at <= $now
            AND ($pool IS NULL OR pool = $pool)
        WINDOW in_turn AS (PARTITION BY pool ORDER BY measured_at, rowid)
    ) WHERE seconds > 0
    GROUP BY pool, hour ORDER BY hour
"""
"""A reading counts what came since the one before, however long ago that was; of two at one instant
the first counts."""


@dataclass(frozen=True)
class PoolPast:
    """The past of a pool, as the planning model reads it."""

    gpus: Integers
    """Sizes of past jobs."""
    duration_seconds: Integers
    """Their durations, by the same index."""
    arrivals_per_hour: Floats
    """Offers expected by hour of the week (Monday 00:00 UTC first), shape (168,)."""
    acceptance_scale: float
    """Accepted offers over what the assumed curve would have accepted."""


NO_PAST = PoolPast(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(HOURS_OF_WEEK), 1.0)
"""Of a pool without history: nobody is expected."""


def past(store: Store, now: datetime, only: str | None = None) -> dict[str, PoolPast]:
    """The past fortnight of every pool, or of one."""
    since = now - WINDOW
    finished = store.query(_FINISHED, since=since, now=now, most=MOST_JOBS, pool=only)
    offers = store.query(_OFFERS, since=since, now=now, pool=only)
    return {
        str(pool): _pool_past(
            finished.filter(pl.col("pool") == pool), offers.filter(pl.col("pool") == pool), now
        )
        for pool in offers["pool"].unique().sort()
    }


def _pool_past(finished: pl.DataFrame, offers: pl.DataFrame, now: datetime) -> PoolPast:
    return PoolPast(
        gpus=finished["gpus"].to_numpy().astype(np.int64),
        duration_seconds=finished["seconds"].to_numpy().astype(np.int64),
        arrivals_per_hour=_arrivals_per_hour(offers, now),
        acceptance_scale=_acceptance_scale(offers),
    )


def _arrivals_per_hour(offers: pl.DataFrame, now: datetime) -> Floats:
    # A fortnight makes a noisy mean an hour, so neighbours are averaged in, and the level is
    # drawn half way towards that of the last day.
    if offers.is_empty():
        return np.zeros(HOURS_OF_WEEK)
    hours = (offers["hour"].dt.weekday().to_numpy().astype(np.int64) - 1) * 24
    hours = hours + offers["hour"].dt.hour().to_numpy()
    counts, spans = offers["offered"].to_numpy(), offers["hours"].to_numpy()
    span = np.bincount(hours, weights=spans, minlength=HOURS_OF_WEEK)
    total = np.bincount(hours, weights=counts, minlength=HOURS_OF_WEEK)
    mean = np.where(span > 0, total / np.maximum(span, 1e-9), counts.sum() / spans.sum())
    smooth: Floats = (np.roll(mean, 1) + 2 * mean + np.roll(mean, -1)) / 4
    late = (offers["hour"] > now - LEVEL_WINDOW).to_numpy()
    expected = float((smooth[hours] * spans)[late].sum())
    return smooth * (0.5 + 0.5 * counts[late].sum() / expected) if expected > 0 else smooth


def _acceptance_scale(offers: pl.DataFrame) -> float:
    known = offers.drop_nulls("price_ratio")
    ratio = known["price_ratio"].to_numpy()
    curve = 1.0 / (1.0 + np.exp(ACCEPTANCE_SLOPE * (ratio - ACCEPTANCE_MIDPOINT)))
    expected = float((known["offered"].to_numpy() * curve).sum())
    if expected < 20:  # too few offers to say
        return 1.0
    return float(np.clip(float(known["accepted"].sum()) / expected, 0.25, 2.5))
