"""Real traces as workload: reading the file, and playing it round and round.

The fleet's history begins where the trace becomes dense, and when the trace ends it starts over
from there. Logs of real clusters begin and decay thinly; neither end is played.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.simulator import hashing
from engine.simulator.errors import TraceError
from engine.simulator.hashing import uniforms
from engine.simulator.settings import PoolSettings
from engine.simulator.workload import Arrivals

Integers = npt.NDArray[np.int64]

_LAP = 1 << 32
_DAY = 86_400
DENSE_SHARE = 0.2
"""a day is dense where the week around it has this share of the busiest week's jobs"""
LOAD_RATIO = 0.85
"""mean demand over capacity, by which a trace's pool is sized"""


def read_trace(path: Path) -> pl.DataFrame:
    """The trace, sorted by submission: job_id, vc, submitted_at, duration_seconds, gpu_count.

    Parquet; columns beyond these are left out. A duration of 0 is kept, rows may come unsorted.
    Raises TraceError, one line naming file, column and row (counted from 0).
    """
    try:
        frame = pl.read_parquet(path)
    except FileNotFoundError:
        raise TraceError(f"{path}: there is no such file") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        first_line = str(error).partition("\n")[0]
        raise TraceError(f"{path}: not a Parquet file that can be read ({first_line})") from None
    for name, is_right, wanted in _COLUMNS:
        if name not in frame.columns:
            raise TraceError(f"{path}: column {name} is missing")
        if not is_right(frame.schema[name]):
            found = frame.schema[name]
            raise TraceError(f"{path}: column {name} is {found}, and should be {wanted}")
        _refuse(path, name, frame[name].is_null(), "is empty (null)")
    if frame.is_empty():
        raise TraceError(f"{path}: it has no rows")
    _refuse(path, "gpu_count", frame["gpu_count"] < 1, "is not positive", frame["gpu_count"])
    seconds = frame["duration_seconds"]
    _refuse(path, "duration_seconds", seconds < 0, "is negative", seconds)
    _refuse(path, "job_id", ~frame["job_id"].is_first_distinct(), "is there twice", frame["job_id"])
    return frame.select(
        pl.col("job_id", "vc").cast(pl.String),
        pl.col("submitted_at").dt.replace_time_zone(None).cast(pl.Datetime("us")),
        pl.col("duration_seconds", "gpu_count").cast(pl.Int64),
    ).sort("submitted_at", maintain_order=True)


_COLUMNS = (
    ("job_id", lambda kind: kind in (pl.String, pl.Categorical), "a string"),
    ("vc", lambda kind: kind in (pl.String, pl.Categorical), "a string"),
    ("submitted_at", lambda kind: kind == pl.Datetime, "a timestamp"),
    ("duration_seconds", lambda kind: kind.is_integer(), "an integer"),
    ("gpu_count", lambda kind: kind.is_integer(), "an integer"),
)


def _refuse(
    path: Path, column: str, wrong: pl.Series, words: str, values: pl.Series | None = None
) -> None:
    if wrong.any():
        row = int(wrong.arg_true()[0])
        value = "" if values is None else f" ({values[row]})"
        raise TraceError(f"{path}: column {column}, row {row}: {words}{value}")


def dense_span(submitted: Integers) -> tuple[int, int]:
    """First and last second (exclusive) of the longest dense run of whole days.

    `submitted` are sorted seconds. A trace of under a week is dense throughout.
    """
    first = int(submitted[0])
    days = (submitted - first) // _DAY
    counts = np.bincount(days)
    if len(counts) < 7:
        return first, int(submitted[-1]) + 1
    weeks = np.convolve(counts, np.ones(7), "same")
    dense = np.concatenate([[False], weeks >= DENSE_SHARE * weeks.max(), [False]])
    edges = np.flatnonzero(dense[1:] != dense[:-1])
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return first + int(starts[longest]) * _DAY, first + int(ends[longest]) * _DAY


class TraceWorkload:
    """A trace's dense span, lap after lap, its virtual clusters as tenants."""

    def __init__(self, trace: pl.DataFrame, seed: int) -> None:
        """`trace` as `read_trace` returns it."""
        submitted = trace["submitted_at"].dt.epoch("s").to_numpy()
        start, end = dense_span(submitted)
        inside = (submitted >= start) & (submitted < end)
        self._submitted: Integers = submitted[inside] - start
        self._jobs = trace.filter(pl.Series(inside))
        self._gpus: Integers = self._jobs["gpu_count"].to_numpy()
        self._durations: Integers = self._jobs["duration_seconds"].to_numpy()
        self._row_of: dict[str, int] = {}
        self._ids = self._jobs["job_id"].to_list()
        self._seed = seed
        self.lap_seconds = end - start
        self.tenants: tuple[str, ...] = tuple(sorted(self._jobs["vc"].unique()))
        place = {vc: at for at, vc in enumerate(self.tenants)}
        self._tenant = np.array([place[vc] for vc in self._jobs["vc"]], np.int64)
        first, last = self._jobs["submitted_at"][0], self._jobs["submitted_at"][-1]
        self.words = (
            f"jobs of a trace, {first:%Y-%m-%d} to {last:%Y-%m-%d}, shifted in time; "
            f"it starts over every {self.lap_seconds / _DAY:.0f} days"
        )

    def arrivals(self, start: int, end: int) -> Arrivals:
        """The jobs submitted in [start, end), whichever lap they fall in."""
        laps = range(start // self.lap_seconds, -(-end // self.lap_seconds))
        parts = [self._lap(lap, start, end) for lap in laps]
        return Arrivals(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _lap(self, lap: int, start: int, end: int) -> Arrivals:
        shift = lap * self.lap_seconds
        low, high = np.searchsorted(self._submitted, [start - shift, end - shift])
        rows = np.arange(low, high, dtype=np.int64)
        return Arrivals(
            key=lap * _LAP + rows,
            submitted_at=self._submitted[rows] + shift,
            duration_seconds=self._durations[rows],
            gpus=self._gpus[rows],
            tenant=self._tenant[rows],
            acceptance=uniforms(self._seed, lap, rows, hashing.SALT_ACCEPTANCE)
            if len(rows)
            else np.zeros(0),
        )

    def job_id(self, key: int) -> str:
        """The trace's own id; from the second lap on with the lap's number behind an @."""
        lap, row = divmod(key, _LAP)
        return f"{self._ids[row]}@{lap + 1}" if lap else str(self._ids[row])

    def key_of(self, job_id: str) -> int:
        """The inverse of `job_id`; -1 where it is none of ours."""
        if not self._row_of:
            self._row_of = {name: row for row, name in enumerate(self._ids)}
        if job_id in self._row_of:
            return self._row_of[job_id]
        name, _, lap = job_id.rpartition("@")
        if name in self._row_of and lap.isdecimal():
            return (int(lap) - 1) * _LAP + self._row_of[name]
        return -1

    def acceptance_scale(self, pool: PoolSettings) -> float:
        """1 / D(1): the trace's jobs are those that took the price, so at market all do."""
        return 1 / pool.economics.acceptance_ratio(1.0)

    @property
    def mean_gpus(self) -> float:
        """GPUs in use on average were every job started at once, over the dense span."""
        seconds = np.minimum(self._durations, self.lap_seconds - self._submitted)
        return float((seconds * self._gpus).sum() / self.lap_seconds)

    @property
    def largest_job_gpus(self) -> int:
        """The most GPUs that one job asks."""
        return int(self._gpus.max())


def trace_pool(workload: TraceWorkload, node_gpus: int = 8) -> PoolSettings:
    """One pool that the trace keeps 85 % busy, and never smaller than its largest job."""
    wanted = max(workload.mean_gpus / LOAD_RATIO, workload.largest_job_gpus)
    nodes = max(1, round(wanted / node_gpus + 0.5))
    return PoolSettings(
        "trace", "H100 SXM", "us-east", nodes, max(2, nodes // 4), 2.89, 2.89, node_gpus=node_gpus
    )
