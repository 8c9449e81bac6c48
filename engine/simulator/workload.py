"""Where jobs come from: the protocol, and the generated workload.

Calibration of the generated one, each figure from a published trace:
- Sizes: most jobs ask one GPU, powers of two follow, gangs are few but hold much of the GPU time
  (Jeon et al., ATC'19, Philly: 1.75 GPUs a job on average; Hu et al., SC'21, Helios: 3.72, over
  half of the jobs on one GPU). The table below has a mean of about 3.4.
- Durations: heavy-tailed, median minutes and mean hours (Philly's median 13 min and mean 28,329 s;
  Helios' median 206 s and mean 6,652 s); larger jobs run longer (Jeon et al., fig. 2). Log-normal,
  cut at 2 days: who rents by the hour does not debug 200-second jobs, so the median is higher.
- Rhythm: submissions rise from morning to evening and sink at night, weekends are lighter (Hu et
  al., fig. 2).
"""

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from engine.simulator import hashing
from engine.simulator.hashing import normals, uniforms
from engine.simulator.settings import PoolSettings

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MOST_JOBS_AN_HOUR = 4096
LONGEST_SECONDS = 2 * 86_400
SHORTEST_SECONDS = 60

SIZES_GPUS = np.array([1, 2, 4, 8, 16, 32])
SIZE_SHARES = np.array([0.52, 0.13, 0.14, 0.17, 0.033, 0.007])
MEDIAN_SECONDS = np.array([1500.0, 1800.0, 2400.0, 3600.0, 5400.0, 7200.0])
LOG_DEVIATION = 1.45
LEVEL_DEVIATION = 0.10
"""how far a day's demand strays from the calendar's, log scale"""

TENANTS = (
    "aurora-labs", "bluefin-ai", "cobalt-bio", "deltaforge", "everglow", "fathom-robotics",
    "granite-research", "helix-genomics", "ironwood", "juniper-vision", "kestrel", "lumen-speech",
)  # fmt: skip


class Arrivals(NamedTuple):
    """Jobs in order of submission, one array a column, all of one length."""

    key: Integers
    """a stable name, ascending"""
    submitted_at: Integers
    """seconds since the fleet's start"""
    duration_seconds: Integers
    gpus: Integers
    tenant: Integers
    """place in the workload's `tenants`"""
    acceptance: Floats
    """uniform in [0, 1): accepts where below the acceptance curve"""


class Workload(Protocol):
    """A source of jobs that gives the same answer to whoever asks for a window."""

    @property
    def tenants(self) -> tuple[str, ...]:
        """Who submits, by number."""

    @property
    def words(self) -> str:
        """Whence the jobs come, for people."""

    def arrivals(self, start: int, end: int) -> Arrivals:
        """The jobs submitted in [start, end), in seconds since the fleet's start."""

    def job_id(self, key: int) -> str:
        """The job's name for people."""

    def key_of(self, job_id: str) -> int:
        """The inverse of `job_id`; -1 where it is none of ours."""

    def acceptance_scale(self, pool: PoolSettings) -> float:
        """What the acceptance curve is multiplied by."""


@dataclass(frozen=True)
class GeneratedWorkload:
    """Poisson arrivals with a daily and a weekly rhythm, sized to a pool."""

    pool: PoolSettings
    seed: int
    epoch_weekday_seconds: int
    """seconds from Monday 00:00 UTC to the fleet's start"""
    tenants: tuple[str, ...] = TENANTS

    @property
    def words(self) -> str:
        """Whence the jobs come."""
        return "generated jobs, calibrated to published traces"

    @cached_property
    def mean_per_hour(self) -> float:
        """Offered jobs an hour that, at market price, keep the pool at its load."""
        quantiles = (np.arange(2000) + 0.5) / 2000
        shocks = LOG_DEVIATION * _normal_quantiles(quantiles)
        hours = [
            np.clip(m * np.exp(shocks), SHORTEST_SECONDS, LONGEST_SECONDS).mean() / 3600
            for m in MEDIAN_SECONDS
        ]
        shares = SIZE_SHARES * self._fits
        work = float((shares * SIZES_GPUS * np.array(hours)).sum() / shares.sum())
        capacity = self.pool.owned_nodes * self.pool.node_gpus * self.pool.load_ratio
        return capacity / (work * self.pool.economics.acceptance_ratio(1.0))

    @property
    def _fits(self) -> npt.NDArray[np.bool_]:
        # Nobody orders a gang that takes more than a third of a pool.
        most = max(self.pool.node_gpus, self.pool.owned_nodes * self.pool.node_gpus // 3)
        return np.asarray(most >= SIZES_GPUS)

    def per_hour(self, hours: Integers) -> Floats:
        """Expected offers in each hour since the fleet's start, shape as `hours`."""
        local = (hours + 0.5 + self.epoch_weekday_seconds / 3600 + self.pool.utc_offset_hours) % 168
        # Lowest at 04:00, highest at 16:00, and flatter at the top than at the bottom.
        phase = 2 * np.pi * (local % 24 - 10) / 24
        daily = np.exp(0.55 * np.sin(phase)) / 1.077
        weekend = np.where(local >= 120, 0.78, 1.088)
        day, within = np.divmod(hours, 24)
        share = within / 24
        level = (1 - share) * normals(self.seed, day, 0, hashing.SALT_LEVEL)
        level += share * normals(self.seed, day + 1, 0, hashing.SALT_LEVEL)
        rate: Floats = self.mean_per_hour * daily * weekend * np.exp(LEVEL_DEVIATION * level)
        return rate

    def arrivals(self, start: int, end: int) -> Arrivals:
        """The jobs submitted in [start, end): drawn hour by hour, so that any window agrees."""
        hours = np.arange(start // 3600, -(-end // 3600), dtype=np.int64)
        counts = _poisson(self.per_hour(hours), uniforms(self.seed, hours, 0, hashing.SALT_COUNT))
        hour = np.repeat(hours, counts)
        first = np.cumsum(counts) - counts
        turn = np.arange(len(hour)) - np.repeat(first, counts)
        draw = uniforms(self.seed, hour, turn, hashing.SALT_OFFSET)
        submitted = hour * 3600 + (draw * 3600).astype(np.int64)
        submitted = submitted[np.lexsort((submitted, hour))]
        shares = SIZE_SHARES * self._fits
        edges = np.cumsum(shares / shares.sum())[:-1]
        size = np.searchsorted(edges, uniforms(self.seed, hour, turn, hashing.SALT_SIZE), "right")
        shocks = normals(self.seed, hour, turn, hashing.SALT_DURATION)
        seconds = np.clip(
            MEDIAN_SECONDS[size] * np.exp(LOG_DEVIATION * shocks), SHORTEST_SECONDS, LONGEST_SECONDS
        )
        # A few large customers and a tail of small ones: Zipf's shares.
        weights = 1 / np.arange(1, len(self.tenants) + 1)
        shelf = np.cumsum(weights / weights.sum())[:-1]
        tenant = np.searchsorted(
            shelf, uniforms(self.seed, hour, turn, hashing.SALT_TENANT), "right"
        )
        columns = Arrivals(
            key=hour * MOST_JOBS_AN_HOUR + turn,
            submitted_at=submitted,
            duration_seconds=seconds.astype(np.int64),
            gpus=SIZES_GPUS[size].astype(np.int64),
            tenant=tenant.astype(np.int64),
            acceptance=uniforms(self.seed, hour, turn, hashing.SALT_ACCEPTANCE),
        )
        inside = (submitted >= start) & (submitted < end)
        return Arrivals._make(column[inside] for column in columns)

    def job_id(self, key: int) -> str:
        """`<pool>-<hour>-<place in the hour>`."""
        return f"{self.pool.name}-{key // MOST_JOBS_AN_HOUR}-{key % MOST_JOBS_AN_HOUR}"

    def key_of(self, job_id: str) -> int:
        """The inverse of `job_id`; -1 where it is none of ours."""
        parts = job_id.removeprefix(f"{self.pool.name}-").split("-")
        if not job_id.startswith(self.pool.name) or len(parts) != 2:
            return -1
        if not all(part.isdecimal() for part in parts):
            return -1
        return int(parts[0]) * MOST_JOBS_AN_HOUR + int(parts[1])

    def acceptance_scale(self, pool: PoolSettings) -> float:
        """1: offers are drawn before acceptance."""
        return 1.0


def _normal_quantiles(p: Floats) -> Floats:
    inverse = NormalDist().inv_cdf
    return np.array([inverse(float(q)) for q in p])


def _poisson(rates: Floats, draws: Floats) -> Integers:
    """Counts by inversion of the distribution function: one draw each, shape of `rates`."""
    most = min(int(rates.max(initial=0.0) + 12 * np.sqrt(rates.max(initial=1.0)) + 20), 4000)
    counts = np.arange(most + 1)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
    logs = counts * np.log(rates)[:, None] - rates[:, None] - log_factorials
    below = np.cumsum(np.exp(logs), axis=1) <= draws[:, None]
    counted: Integers = np.minimum(below.sum(axis=1), MOST_JOBS_AN_HOUR - 1).astype(np.int64)
    return counted
