"""A pool's past quarters of an hour from its rows: the tape that figures and forecasts read.

Quarters are counted back from the pool's newest reading, whose instant is the end of the last one;
a reading at the start of a quarter belongs to the one before. A reading counts what came since the
reading before it: after a gap that is spread over the quarters between, and where the gap is longer
than LONGEST_GAP_QUARTERS nobody knows when it came. Unknown flows stand as the mean of the known
ones, unknown levels as the last that was read, an unknown market as our own price.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.simulator.features import QUARTERS_A_DAY, TAPE_COUNT, TAPE_TICKS, Tape
from warehouse.store import Store

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

QUARTER = timedelta(minutes=15)
LONGEST_GAP_QUARTERS = 8
STALE = timedelta(minutes=30)
"""The newest reading is looked for so far back."""

_READINGS = """
    SELECT pool, (epoch_us(ends_at) - epoch_us(measured_at)) // 900000000 AS ago,
        sum(offered_jobs)::DOUBLE AS offered, sum(accepted_jobs)::DOUBLE AS accepted,
        arg_max(gpus_used, rank)::DOUBLE AS used,
        arg_max(queued_gpus, rank)::DOUBLE AS queued,
        arg_max(coalesce(market_usd_per_gpu_hour, price_usd_per_gpu_hour), rank) AS market
    FROM (
        SELECT *, (measured_at, rowid) AS rank,
            max(measured_at) OVER (PARTITION BY pool) AS ends_at
        FROM pool_states WHERE measured_at > $since AND measured_at <= $now
            AND ($pool IS NULL OR pool = $pool)
    )
    GROUP BY pool, ago ORDER BY pool, ago
"""
_JOBS = """
    SELECT pool, event, happened_at, gpu_count FROM job_events
    WHERE happened_at > $since AND happened_at <= $now AND event IN ('submitted', 'finished')
        AND ($pool IS NULL OR pool = $pool)
"""


class PoolTape(NamedTuple):
    """A pool's past; the last line of the tape ends at the newest reading."""

    lines: Floats
    """(n, TAPE_COUNT), oldest first; n is at most TAPE_TICKS + 1"""
    offered_jobs: Floats
    """(n,): the offers of each quarter, NaN where unknown"""


class Flow(NamedTuple):
    """Jobs that came or ended, in the order of no particular time."""

    ago_seconds: Floats
    """before the newest reading"""
    gpus: Floats


def job_flows(store: Store, now: datetime, pool: str | None = None) -> pl.DataFrame:
    """Submissions and endings of the last day and a bit: pool, event, happened_at, gpu_count."""
    since = now - timedelta(days=1) - STALE
    return store.query(_JOBS, since=since, now=now, pool=pool)


def tapes(
    store: Store,
    now: datetime,
    ends: Mapping[str, datetime],
    flows: pl.DataFrame,
    pool: str | None = None,
) -> dict[str, PoolTape]:
    """The tape of every pool, given the instants of their newest readings and `job_flows`."""
    since = now - STALE - TAPE_TICKS * QUARTER
    readings = store.query(_READINGS, since=since, now=now, pool=pool)
    return {
        name: _tape(
            readings.filter(pl.col("pool") == name), flows.filter(pl.col("pool") == name), end
        )
        for name, end in ends.items()
    }


def _tape(readings: pl.DataFrame, flows: pl.DataFrame, end: datetime) -> PoolTape:
    ago = readings["ago"].to_numpy().astype(np.int64)
    within = ago <= TAPE_TICKS
    readings, ago = readings.filter(pl.Series(within)), ago[within]
    count = int(ago[-1]) + 1
    place = count - 1 - ago
    lines = np.zeros((count, TAPE_COUNT))
    is_read = np.zeros(count, np.bool_)
    is_read[place] = True
    for column, name in (
        (Tape.USED_GPUS, "used"),
        (Tape.QUEUED_GPUS, "queued"),
        (Tape.MARKET_USD_PER_GPU_HOUR, "market"),
    ):
        lines[place, column] = readings[name].to_numpy()
        lines[:, column] = _carried(lines[:, column], is_read)
    offered = _spread(readings["offered"].to_numpy(), place, is_read)
    accepted = _spread(readings["accepted"].to_numpy(), place, is_read)
    lines[:, Tape.OFFERED_JOBS] = _filled(offered)
    lines[:, Tape.SUBMITTED_JOBS] = _filled(accepted)
    for column, event in ((Tape.SUBMITTED_GPUS, "submitted"), (Tape.FINISHED_GPUS, "finished")):
        quarters = _gpus_by_quarter(flows.filter(pl.col("event") == event), end)
        kept = min(count, len(quarters))
        lines[count - kept :, column] = quarters[len(quarters) - kept :]
    lines[0, : Tape.USED_GPUS] = 0.0  # before the first reading nothing was counted
    offered[0] = 0.0
    return PoolTape(lines, offered)


def _gpus_by_quarter(flows: pl.DataFrame, end: datetime) -> Floats:
    """GPUs of the jobs of the last day by quarter, oldest first, shape (QUARTERS_A_DAY + 1,)."""
    quarters = np.zeros(QUARTERS_A_DAY + 1)
    if flows.height:
        micros = (end - flows["happened_at"]).dt.total_microseconds().to_numpy()
        ago = micros // int(QUARTER.total_seconds() * 1e6)
        inside = (micros >= 0) & (ago <= QUARTERS_A_DAY)
        gpus = flows["gpu_count"].to_numpy().astype(np.float64)
        np.add.at(quarters, QUARTERS_A_DAY - ago[inside], gpus[inside])
    return quarters


def _carried(levels: Floats, is_read: Flags) -> Floats:
    """The last level that was read, at every quarter."""
    last = np.maximum.accumulate(np.where(is_read, np.arange(len(levels)), 0))
    carried: Floats = levels[last]
    return carried


def _spread(counts: Floats, place: npt.NDArray[np.int64], is_read: Flags) -> Floats:
    """Counts at the quarters in which they were read, spread over those that were not."""
    spread = np.zeros(len(is_read))
    spread[place] = counts
    gap = 0
    for at in np.flatnonzero(~is_read | np.append(False, ~is_read[:-1])):
        if not is_read[at]:
            gap += 1
        elif gap:
            share = spread[at] / (gap + 1) if gap < LONGEST_GAP_QUARTERS else np.nan
            spread[at - gap : at + 1] = share
            gap = 0
    return spread


def _filled(flows: Floats) -> Floats:
    known = ~np.isnan(flows)
    mean = flows[known].mean() if known.any() else 0.0
    filled: Floats = np.where(known, flows, mean)
    return filled
