"""Forecasts on a real trace: `python -m benchmarks.forecasts` prints the table as Markdown.

Philly, all virtual clusters as one pool without limit, so that occupancy is what FIFO would run
there. Fitted and chosen once on what had come by 2017-11-05, scored on hourly origins of the
validation fortnight 2017-11-06 to 11-19; only the conformal corrections roll along, as they do in
the console. Nothing later is read.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks._timing import machine, milliseconds, row
from engine.forecasts.candidates import Boosted, ModelName, hours_of, persistence, seasonal
from engine.forecasts.conformal import (
    FEWEST,
    MEDIAN,
    corrected,
    corrections,
    is_covered,
    pinball_loss,
)
from engine.forecasts.contest import (
    Seen,
    Winner,
    boosted,
    boosted_past,
    fitted,
    see,
    winner,
)
from engine.forecasts.targets import DAY, WEEK, shifted
from engine.simulator.offers import HORIZON_QUARTERS, offers_forecast_path
from engine.simulator.trace import read_trace

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[Any]

TRACE = Path(__file__).resolve().parents[2] / "shared" / "traces" / "philly_jobs.parquet"
BEGIN, SPLIT, END = datetime(2017, 10, 9), datetime(2017, 11, 6), datetime(2017, 11, 20)
"""28 days to learn from, as the console keeps, then the fortnight that is scored"""
QUARTER = timedelta(minutes=15)
SPLIT_QUARTER = (SPLIT - BEGIN) // QUARTER
HORIZONS = {"1 h": 4, "6 h": 24, "24 h": 96}
HEAD = (
    "| series | horizon | serves | MAE: persistence | day before | week before | closed form "
    "| served | skill against persistence (pinball) | against day before (MAE) "
    "| against week before (MAE) | coverage of 80 %, raw | conformal |"
)


def series_of(jobs: pl.DataFrame) -> dict[str, Floats]:
    """GPUs in use at the end of each quarter and offers an hour over it, from BEGIN to END."""
    ends = np.arange(1, (END - BEGIN) // QUARTER + 1) * QUARTER.seconds
    submitted = (jobs["submitted_at"] - BEGIN).dt.total_seconds().to_numpy()
    gpus = jobs["gpu_count"].to_numpy()
    finished = submitted + jobs["duration_seconds"].to_numpy()
    offers = _so_far(submitted, np.ones(len(gpus)), np.append(0, ends))
    return {
        "occupancy": _so_far(submitted, gpus, ends) - _so_far(finished, gpus, ends),
        "arrivals": np.diff(offers) * 4,
    }


def _so_far(instants: Counts, counts: Counts, until: Counts) -> Floats:
    order = np.argsort(instants, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(counts[order])])
    result: Floats = sums[np.searchsorted(instants[order], until, side="right")]
    return result


def learned(before: Seen) -> tuple[Winner, Boosted | None, Floats]:
    """Who serves, the trees, and what trees fitted earlier had said, by what had come at SPLIT."""
    past = boosted_past([before])[0]
    return winner(before, past), fitted([before]), past


def quantiles_of(
    model: ModelName, trees: Boosted | None, past: Floats, seen: Seen
) -> tuple[Floats, Floats]:
    """Of a model at every origin: raw, and as served, corrected by what had come before each."""
    if model == "seasonal":
        raw = seasonal(seen.targets, seen.rows)
    else:
        raw = persistence(seen.targets, seen.rows)
    if model != "boosted" or trees is None:
        return raw, raw
    # Before the split speak trees that had not seen it: the others' misses would be too small.
    raw = np.concatenate([past, boosted(trees, seen)[len(past) :]])
    targets, rows = seen.targets, seen.rows
    actual, scale = targets.actual[rows], targets.scale[rows]
    shifts = corrections(raw, actual, scale, hours_of(targets.horizon))
    return raw, corrected(raw, shifts, scale)


def line(name: str, words: str, quarters: int, series: Floats) -> str:
    """A row of the table."""
    is_flow = name == "arrivals"
    # Both ends are a Monday's midnight.
    won, trees, past = learned(see(series[:SPLIT_QUARTER], quarters, is_flow, 0.0))
    seen = see(series, quarters, is_flow, 0.0)
    raw, served = quantiles_of(won.model, trees, past, seen)
    floor = persistence(seen.targets, seen.rows)
    scored = (seen.rows >= SPLIT_QUARTER) & ~np.isnan(seen.targets.actual[seen.rows])
    assert scored.sum() > FEWEST
    actual = seen.targets.actual[seen.rows][scored]

    def error(expected: Floats) -> float:
        return float(np.abs(expected[seen.rows][scored] - actual).mean())

    ours = float(np.abs(served[scored, MEDIAN] - actual).mean())
    naive = [error(shifted(seen.targets.actual, lag)) for lag in (DAY, WEEK)]
    skill = (
        1 - pinball_loss(served[scored], actual).sum() / pinball_loss(floor[scored], actual).sum()
    )
    closed = "–"
    if is_flow and quarters in HORIZON_QUARTERS:
        path = offers_forecast_path(series / 4, 0.0)[:, HORIZON_QUARTERS.index(quarters)]
        closed = f"{error(path):.1f}"
    return (
        f"| {name} | {words} | {won.model} | {error(seen.targets.base):.1f} | {naive[0]:.1f} "
        f"| {naive[1]:.1f} | {closed} | {ours:.1f} | {skill:+.1%} | {1 - ours / naive[0]:+.1%} "
        f"| {1 - ours / naive[1]:+.1%} | {is_covered(raw[scored], actual).mean():.1%} "
        f"| {is_covered(served[scored], actual).mean():.1%} |"
    )


def main() -> None:
    """Prints the table, and what the closed form and a fit cost."""
    if not TRACE.is_file():
        print("forecasts: left out, the folder ../shared/traces is not beside the project")
        return
    jobs = read_trace(TRACE).filter(pl.col("submitted_at") < END)
    both = series_of(jobs)
    print(f"{machine()}\n\n{HEAD}\n|{'---|' * (HEAD.count('|') - 1)}")
    start = time.perf_counter()
    for name, series in both.items():
        for words, quarters in HORIZONS.items():
            print(line(name, words, quarters, series), flush=True)
    print(f"\nall of the table: {time.perf_counter() - start:.0f} s")
    counts = both["arrivals"][:900] / 4
    row("offers_forecast_path, 900 quarters", milliseconds(lambda: path_of(counts), 30), 5)


def path_of(counts: Floats) -> Floats:
    """The closed form along a series."""
    return offers_forecast_path(counts, 0.0)


if __name__ == "__main__":
    main()
