"""Episodes from the weeks of a trace: any file in the layout that `trace.py` reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.simulator.episode_sources import (
    DAY_SECONDS,
    LONGEST_SECONDS,
    MOST_NODES,
    WARM_TICKS,
    WEEK_TICKS,
    arrivals_of,
    episode_of,
)
from engine.simulator.episodes import Episode
from engine.simulator.layout import TICK_SECONDS
from engine.simulator.settings import PoolSettings
from engine.simulator.trace import read_trace

Integers = npt.NDArray[np.int64]

BURST_SHARE = 0.25
"""leasable nodes over all nodes of a trace's pool"""
TRACE_LOAD_RATIO = 1.20
"""GPUs that the accepted jobs would use on average at market price, over the owned ones"""


@dataclass(frozen=True)
class TraceFile:
    """A trace made ready: its jobs in time, cut and thinned to a pool of at most 120 nodes."""

    name: str
    submitted_at: Integers
    """seconds since `started_at`, ascending"""
    duration_seconds: Integers
    gpus: Integers
    started_at: datetime
    settings: PoolSettings
    words: str
    """what was done to it, for people"""


def trace_file(path: Path, longest_seconds: int = LONGEST_SECONDS) -> TraceFile:
    """Reads a trace and sizes a pool to it.

    Its jobs are taken as those that accepted the market's price, so that offers are more by
    1 / D(1): every job is there once, and some are there again, moved by up to an hour, as those
    who would have come at a lower price. Raises TraceError where the file is none.
    """
    frame = read_trace(path)
    submitted = frame["submitted_at"].dt.epoch("s").to_numpy()
    started_at = _midnight(datetime.fromtimestamp(int(submitted[0]), UTC))
    seconds = np.clip(frame["duration_seconds"].to_numpy(), 1, longest_seconds)
    gpus = frame["gpu_count"].to_numpy()
    begins, ends = int(submitted[0]), int(submitted[-1])
    # The busiest four weeks size the pool: logs begin and decay thinly.
    demand = _mean_gpus(submitted, seconds * gpus, begins, ends)
    owned_most = round(MOST_NODES * (1 - BURST_SHARE)) * 8
    keep = min(1.0, owned_most * TRACE_LOAD_RATIO / demand)
    kept = np.random.default_rng(20171120).random(len(gpus)) < keep
    owned = max(2, round(demand * keep / TRACE_LOAD_RATIO / 8))
    burst = max(2, round(owned * BURST_SHARE / (1 - BURST_SHARE)))
    largest = max(8, owned * 8 // 3)
    fits = kept & (gpus <= largest)
    settings = PoolSettings(path.stem, "H100 SXM", "us-east", owned, burst, 2.89, 2.89)
    words = (
        f"{path.stem}: {fits.sum():,} of {len(gpus):,} jobs (kept {keep:.0%} by lot; "
        f"{int((kept & ~fits).sum())} larger than {largest} GPUs left out; durations cut at "
        f"{longest_seconds / 3600:.0f} h) on {owned} owned and {burst} leasable nodes of 8 GPUs"
    )
    origin = int(started_at.timestamp())
    return TraceFile(
        path.stem, (submitted - origin)[fits], seconds[fits], gpus[fits], started_at, settings,
        words,
    )  # fmt: skip


def _midnight(instant: datetime) -> datetime:
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)


def _mean_gpus(submitted: Integers, gpu_seconds: Integers, begins: int, ends: int) -> float:
    days = np.bincount((submitted - begins) // DAY_SECONDS, weights=gpu_seconds.astype(np.float64))
    width = min(28, len(days))
    window = np.convolve(days, np.ones(width), "valid") / width
    return float(max(window.max(), 1.0)) / DAY_SECONDS


def trace_episodes(
    trace: TraceFile | Path,
    weeks: Sequence[datetime],
    seeds: Sequence[int],
    settings: PoolSettings | None = None,
) -> list[Episode]:
    """One episode a week and seed; `weeks` are their first instants, measured for seven days.

    The two days before each are played by the rule to warm the pool up.
    """
    file = trace_file(trace) if isinstance(trace, Path) else trace
    return [
        _trace_episode(file, week, seed, settings or file.settings)
        for week in weeks
        for seed in seeds
    ]


def _trace_episode(file: TraceFile, week: datetime, seed: int, settings: PoolSettings) -> Episode:
    start = week - timedelta(seconds=WARM_TICKS * TICK_SECONDS)
    ticks = WARM_TICKS + WEEK_TICKS
    made = _span_episode(replace(file, settings=settings), start, seed, ticks, WARM_TICKS)
    return replace(made, name=f"{file.name} {week:%Y-%m-%d} seed {seed}")


def _span_episode(
    file: TraceFile, start: datetime, seed: int, ticks: int, warm_ticks: int
) -> Episode:
    settings, low = file.settings, int((start - file.started_at).total_seconds())
    random = np.random.default_rng([seed, abs(low)])
    inside = (file.submitted_at >= low) & (file.submitted_at < low + ticks * TICK_SECONDS)
    submitted = file.submitted_at[inside] - low
    seconds, gpus = file.duration_seconds[inside], file.gpus[inside]
    again = random.random(len(gpus)) < 1 / settings.economics.acceptance_ratio(1.0) - 1
    moved = submitted[again] + random.integers(-3600, 3600, int(again.sum()))
    submitted = np.concatenate([submitted, np.clip(moved, 0, None)])
    seconds, gpus = np.concatenate([seconds, seconds[again]]), np.concatenate([gpus, gpus[again]])
    order = np.argsort(submitted, kind="stable")
    arrivals = arrivals_of(
        submitted[order], seconds[order], gpus[order], random, ticks * TICK_SECONDS
    )
    hour_of_week = start.weekday() * 24 + start.hour + start.minute / 60
    name = f"{file.name} {start:%Y-%m-%d %H:%M} seed {seed}"
    return episode_of(name, settings, arrivals, hour_of_week, ticks, random, warm_ticks)


def practice_weeks(
    path: Path, first: datetime, last: datetime, count: int, ticks: int, warm_ticks: int, seed: int
) -> list[Episode]:
    """Spans of a trace for practice, all before the end of `last`'s day.

    Each is a draw of its jobs, on a pool of a size and load of its own, on the usual terms, so that
    a few weeks of one cluster become many different pools.
    """
    made, file = [], trace_file(path)
    span = (last + timedelta(days=1) - first) - timedelta(seconds=ticks * TICK_SECONDS)
    for turn in range(count):
        random = np.random.default_rng([seed, turn])
        share = float(np.exp(random.uniform(np.log(0.2), 0.0)))
        start = first + timedelta(hours=float(random.integers(int(span.total_seconds() // 3600))))
        settings = _resized(file.settings, share, float(random.uniform(0.8, 1.25)))
        drawn = _lot(file, settings, random.random(len(file.gpus)) < share)
        made.append(_span_episode(drawn, start, int(random.integers(1 << 30)), ticks, warm_ticks))
    return made


def _resized(settings: PoolSettings, share: float, slack: float) -> PoolSettings:
    owned = max(4, round(settings.owned_nodes * share * slack))
    burst = max(2, round(owned * BURST_SHARE / (1 - BURST_SHARE)))
    return replace(settings, owned_nodes=owned, burst_nodes=burst)


def _lot(file: TraceFile, settings: PoolSettings, kept: npt.NDArray[np.bool_]) -> TraceFile:
    """The jobs drawn, but for gangs that would take more than a third of the pool."""
    owned_gpus = settings.owned_nodes * settings.node_gpus
    kept = kept & (file.gpus <= max(settings.node_gpus, owned_gpus // 3))
    return replace(
        file,
        settings=settings,
        submitted_at=file.submitted_at[kept],
        duration_seconds=file.duration_seconds[kept],
        gpus=file.gpus[kept],
    )


def weeks_between(first: datetime, last: datetime) -> list[datetime]:
    """The first instants of the whole weeks from `first` to `last`, the last day included."""
    count = int((last + timedelta(days=1) - first) / timedelta(days=7))
    return [first + timedelta(days=7 * turn) for turn in range(count)]
