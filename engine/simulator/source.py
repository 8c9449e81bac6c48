"""The simulated fleet as a source of rows, like any collector: it returns rows and writes nothing.

`read` returns what has come to pass since the reading before; `history` plays the past and returns
it in parts of a day. Both answer frames by record class, ready for the store's `append_frame`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.simulator.fleet import SimulatedFleet
from engine.simulator.gpu_frames import HourOfGpus, gpu_samples, node_states
from engine.simulator.job_frames import charges, checkpoints, job_events
from engine.simulator.live import LivePool
from engine.simulator.metrics import METRIC_COUNT
from engine.simulator.pool_frames import (
    Row,
    frame_of,
    ledger_row,
    pool_row,
    pool_state_row,
    price_row,
)
from engine.simulator.symptoms import gpu_events
from warehouse.records import (
    Charge,
    GpuEvent,
    GpuRollup,
    GpuSample,
    JobEvent,
    ListPrice,
    NodeReading,
    Pool,
    PoolLedger,
    PoolState,
)

Frames = dict[type, pl.DataFrame]
Fineness = Callable[[datetime], int]
"""Seconds between two readings of the GPUs at an instant of the past; divides `STEP_SECONDS`."""
HOUR_SECONDS = 3600
STEP_SECONDS = 900
SAMPLE_SECONDS = 1800
_DAY_SECONDS = 86_400


@dataclass
class _Marks:
    """Where the readings of one pool stand."""

    log_blocks: int = 0
    states: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(METRIC_COUNT))
    ledger: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(METRIC_COUNT))
    meters: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    metered_to: int = 0
    read_to: int = 0
    shown_to: int = 0
    """up to when what ailing nodes show was told"""
    told_blocks: int = 0
    """blocks of the log in which failed nodes were looked for"""


class SimulatedSource:
    """Reads a fleet; keeps only how far it has read. One reader a fleet."""

    name = "simulator"

    def __init__(self, fleet: SimulatedFleet) -> None:
        """Starts at the fleet's beginning. After a restart `skip_to_now` leaves out what an earlier
        reader has stored."""
        self.fleet = fleet
        self._marks = {name: _Marks() for name in fleet.pools}

    def standing(self) -> Frames:
        """The rows that hold from the start: `pools` and the first prices."""
        start = self.fleet.settings.started_at
        pools = self.fleet.pools.values()
        return {
            Pool: frame_of([pool_row(pool.settings, start) for pool in pools]),
            ListPrice: frame_of([price_row(pool, "initial", start) for pool in pools]),
        }

    def skip_to_now(self) -> None:
        """Marks everything up to the fleet's present as read."""
        for pool in self.fleet.pools.values():
            mark = self._marks[pool.settings.name]
            mark.log_blocks = len(pool.log)
            mark.states = mark.ledger = pool.state.metrics[0].copy()
            mark.meters = pool.metered_gpu_seconds()
            mark.metered_to = mark.read_to = mark.shown_to = pool.now
            mark.told_blocks = len(pool.log)

    def read(self) -> Frames:
        """The fleet's present state and all that has come since the reading before."""
        at = self.fleet.now
        parts: list[Frames] = []
        states: list[Row] = []
        ledgers: list[Row] = []
        for pool in self.fleet.pools.values():
            mark = self._marks[pool.settings.name]
            parts.append({JobEvent: checkpoints(pool, mark.read_to, self.fleet.instant)})
            parts.append(self._events(pool))
            parts.append(self._symptoms(pool))
            if pool.now > mark.metered_to:
                parts.append({Charge: self._meter(pool, mark, ledgers)})
            parts.append({GpuSample: gpu_samples(pool, at)})
            parts.append(self._nodes(pool))
            states.append(self._pool_state(pool, mark))
        return joined([*parts, {PoolState: frame_of(states)}, {PoolLedger: frame_of(ledgers)}])

    def history(self, until: datetime, fine: Fineness | None = None) -> Iterator[Frames]:
        """Plays the fleet to `until` and yields a day's rows at a time, less where GPUs are read
        finely.

        Pools every 15 min; nodes, GPU roll-ups, charges and ledgers hourly; every event of a job
        but its checkpoints. What is left of an hour at `until` waits for the first `read`. With
        `fine` the GPUs' own readings come in place of the roll-ups, which are then made of them.
        """
        end, part_seconds = self.fleet.seconds(until), _DAY_SECONDS
        hours = {name: HourOfGpus(pool) for name, pool in self.fleet.pools.items()}
        parts: list[Frames] = []
        states: list[Row] = []
        ledgers: list[Row] = []
        for now in range(self.fleet.now_seconds + STEP_SECONDS, end + 1, STEP_SECONDS):
            if fine:
                every_seconds = fine(self.fleet.instant(now - STEP_SECONDS))
                part_seconds = _part_seconds(every_seconds)
                parts += self._fine_readings(now - STEP_SECONDS, every_seconds)
            self.fleet.advance_to(now)
            for name, pool in self.fleet.pools.items():
                mark = self._marks[name]
                if now % SAMPLE_SECONDS == 0 and not fine:
                    hours[name].add()
                states.append(self._pool_state(pool, mark))
                parts.append(self._symptoms(pool))
                if now % HOUR_SECONDS == 0:
                    parts.append(self._nodes(pool))
                    starts_at = self.fleet.instant(now - HOUR_SECONDS)
                    if not fine:
                        parts.append({GpuRollup: hours[name].rows(starts_at)})
                    parts.append({Charge: self._meter(pool, mark, ledgers)})
            if now % part_seconds == 0 or now + STEP_SECONDS > end:
                parts += [self._events(pool) for pool in self.fleet.pools.values()]
                yield joined(
                    [*parts, {PoolState: frame_of(states)}, {PoolLedger: frame_of(ledgers)}]
                )
                parts, states, ledgers = [], [], []
        self.fleet.advance_to(end)

    def _fine_readings(self, since_seconds: int, every_seconds: int) -> list[Frames]:
        """Every GPU each `every_seconds` over one step, its start included."""
        readings: list[Frames] = []
        for now in range(since_seconds, since_seconds + STEP_SECONDS, every_seconds):
            self.fleet.advance_to(now)
            at = self.fleet.now
            readings += [{GpuSample: gpu_samples(pool, at)} for pool in self.fleet.pools.values()]
        return readings

    def _nodes(self, pool: LivePool) -> Frames:
        start = self.fleet.settings.started_at
        return {NodeReading: node_states(pool, start, self.fleet.now)}

    def _pool_state(self, pool: LivePool, mark: _Marks) -> Row:
        row = pool_state_row(pool, mark.states, self.fleet.now)
        mark.states = pool.state.metrics[0].copy()
        return row

    def _events(self, pool: LivePool) -> Frames:
        mark = self._marks[pool.settings.name]
        new, mark.log_blocks = pool.log[mark.log_blocks :], len(pool.log)
        mark.read_to = pool.now
        return {JobEvent: job_events(pool, np.concatenate(new), self.fleet.instant)} if new else {}

    def _symptoms(self, pool: LivePool) -> Frames:
        mark = self._marks[pool.settings.name]
        new, mark.told_blocks = pool.log[mark.told_blocks :], len(pool.log)
        lines = np.concatenate(new) if new else None
        since, mark.shown_to = mark.shown_to, pool.now
        return {GpuEvent: gpu_events(pool, since, self.fleet.instant, lines)}

    def _meter(self, pool: LivePool, mark: _Marks, ledgers: list[Row]) -> pl.DataFrame:
        period = self.fleet.instant(mark.metered_to), self.fleet.instant(pool.now)
        frame = charges(pool, mark.meters, *period)
        ledgers.append(ledger_row(pool, mark.ledger, *period))
        mark.meters, mark.metered_to = pool.metered_gpu_seconds(), pool.now
        mark.ledger = pool.state.metrics[0].copy()
        return frame


def _part_seconds(every_seconds: int) -> int:
    """What is stored in one go: about 240 readings of every GPU, in hours that divide the day."""
    most_hours = max(240 * every_seconds // HOUR_SECONDS, 1)
    return HOUR_SECONDS * max(each for each in (1, 2, 3, 4, 6, 8, 12, 24) if each <= most_hours)


def joined(parts: list[Frames]) -> Frames:
    """Several readings as one: the rows of each record class in one frame, in their order."""
    by_class: dict[type, list[pl.DataFrame]] = {}
    for part in parts:
        for record_class, frame in part.items():
            if frame.height:
                by_class.setdefault(record_class, []).append(frame)
    return {record_class: pl.concat(frames) for record_class, frames in by_class.items()}
