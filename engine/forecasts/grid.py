"""From a pool's readings to its series on a grid of quarters of an hour, unknown ones as NaN."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from warehouse.store import Store

Floats = npt.NDArray[np.float64]
SeriesName = Literal["occupancy", "arrivals", "market_price"]

QUARTER = timedelta(minutes=15)
HISTORY = timedelta(days=28)
LONGEST_COUNT = timedelta(hours=2)
"""a reading counts offers since the one before; over a longer gap nobody knows when they came"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_QUARTERS = """
    SELECT pool,
        time_bucket(INTERVAL 15 MINUTE, measured_at - INTERVAL 1 MICROSECOND)
            + INTERVAL 15 MINUTE AS ends_at,
        arg_max(gpus_used, rank)::DOUBLE AS occupancy,
        arg_max(market_usd_per_gpu_hour, rank) AS market_price,
        sum(offered_jobs) FILTER (seconds > 0)::DOUBLE AS offered,
        sum(seconds)::DOUBLE AS seconds
    FROM (
        SELECT *, (measured_at, rowid) AS rank, epoch(measured_at)
            - epoch(lag(measured_at) OVER in_turn) AS seconds
        FROM pool_states WHERE measured_at > $since AND measured_at <= $until
        WINDOW in_turn AS (PARTITION BY pool ORDER BY measured_at, rowid)
    )
    GROUP BY pool, ends_at ORDER BY pool, ends_at
"""
"""A quarter holds the readings after its start up to its end; a level is that of the last one."""


@dataclass(frozen=True)
class PoolSeries:
    """A pool's past, all series on one grid."""

    pool: str
    """Its name."""
    ends_at: datetime
    """The end of the last quarter: now, on the grid."""
    series: dict[SeriesName, Floats]
    """Each (n,), oldest first: GPUs in use and USD per GPU-hour at the end of the quarter, offers
    an hour over it; NaN where unknown."""


def grid_of(now: datetime) -> datetime:
    """The end of the last whole quarter."""
    return now - (now - _EPOCH) % QUARTER


def pool_series(store: Store, now: datetime) -> list[PoolSeries]:
    """The past 28 days of every pool that was read in them, by name; one query."""
    until = grid_of(now)
    quarters = store.query(_QUARTERS, since=until - HISTORY, until=until)
    return [
        _on_grid(str(pool), rows, until)
        for (pool,), rows in quarters.group_by("pool", maintain_order=True)
    ]


def _on_grid(pool: str, rows: pl.DataFrame, until: datetime) -> PoolSeries:
    first = rows["ends_at"][0]
    count = (until - first) // QUARTER + 1
    place = ((rows["ends_at"] - first).dt.total_seconds() // QUARTER.seconds).to_numpy()

    def spread(column: str) -> Floats:
        series = np.full(count, np.nan)
        series[place] = rows[column].cast(pl.Float64).to_numpy()
        return series

    return PoolSeries(
        pool,
        until,
        {
            "occupancy": spread("occupancy"),
            "arrivals": _rates(spread("offered"), spread("seconds")),
            "market_price": spread("market_price"),
        },
    )


def _rates(offered: Floats, seconds: Floats) -> Floats:
    # What was counted over several quarters, after a gap, is spread evenly over them.
    rates = offered * 3600 / seconds
    rates[seconds > LONGEST_COUNT.total_seconds()] = np.nan
    for end in np.flatnonzero(seconds > QUARTER.total_seconds()):
        start = max(0, end + 1 - round(seconds[end] / QUARTER.total_seconds()))
        rates[start : end + 1] = rates[end]
    return rates
