"""A simulated fleet that belongs to a warehouse: made or resumed, its history, its live rows.

The fleet is never stored. Its settings are (`simulations`), and each command it took
(`fleet_commands`); with the seed these give the same fleet again, to the second. So a restart
replays it to the last instant whose rows are in the warehouse and goes on from there, and so
does a reading whose rows could not be stored.

    SessionError
    └── OtherFleet    the warehouse holds another simulated fleet than was asked for
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from engine.simulator.commands import LoggedCommand, from_dict
from engine.simulator.errors import SimulatorError
from engine.simulator.fleet import SimulatedFleet
from engine.simulator.metrics import METRIC_COUNT
from engine.simulator.pool_frames import pool_state_row
from engine.simulator.settings import DEMO_GPUS, FleetSettings, default_pools
from engine.simulator.source import Fineness, Frames, SimulatedSource, joined
from warehouse.clock import FleetClock
from warehouse.records import FleetCommand, GpuSample, PoolState, Simulation
from warehouse.store import Store, WarehouseError

SAMPLE_SECONDS = 300
"""All GPUs are read on this grid of the fleet's clock; in between only what changed is told."""
LIGHT_SECONDS = 60
"""Shortest time, on the fleet's clock, between two readings."""
COLLECT_SECONDS = 3.0
"""Real seconds between two looks at the fleet."""
MOST_READINGS = 48
"""Readings of all GPUs in one collection at most: a fleet that runs too fast for its machine falls
behind a little each time, and the console still answers and stops when it is told to."""

PROOF = ("gpus_on", "gpus_used", "running_jobs", "queued_jobs", "queued_gpus")
"""What must be alike, pool by pool, in the fleet that is played again and in the rows stored."""
_ON_THE_CLOCK = (
    ("pool_states", "measured_at"),
    ("fleet_commands", "applied_at"),
    ("controls", "set_at"),
    ("decisions", "proposed_at"),
    ("verdicts", "decided_at"),
    ("executions", "happened_at"),
    ("undo_requests", "requested_at"),
    ("withdrawals", "withdrawn_at"),
    ("outcomes", "measured_at"),
    ("node_health", "judged_at"),
    ("node_incidents", "happened_at"),
    ("audit_events", "happened_at"),
)

log = logging.getLogger(__name__)


class SessionError(Exception):
    """The simulated fleet can't be had; the sentence says what to do."""


class OtherFleet(SessionError):
    """The warehouse holds another simulated fleet than was asked for."""


@dataclass(frozen=True)
class FleetAsked:
    """The simulated fleet that the settings ask for."""

    seed: int
    """every draw follows from it"""
    history: timedelta
    """how much past it starts with"""
    trace: Path | None = None
    """the trace it works through; None for a generated workload"""
    live_from: datetime | None = None
    """the instant at which it goes live; the machine's present without it"""
    speed: float = 1.0
    """fleet seconds per real second"""
    gpus: int | None = None
    """about how many GPUs it owns; None for those it has, of a new one the demo fleet's. A trace's
    fleet is sized to its trace"""


class FleetSession:
    """The fleet, its clock, and the rows it yields; a collector like any other."""

    name = "simulator"
    every_seconds = COLLECT_SECONDS
    time_limit_seconds = 120.0

    def __init__(self, store: Store, simulation: Simulation, speed: float) -> None:
        self._store = store
        self._simulation = simulation
        self.lock = threading.RLock()
        """held by whoever reads or moves the fleet"""
        self.fleet = SimulatedFleet(_fleet_settings(simulation))
        self.progress_ratio = 0.0
        """how much of the history is in the warehouse, 0 to 1"""
        self.failure: str | None = None
        """why the fleet can't go on, in words"""
        self.clock = FleetClock(self._start_of_clock(), 0.0)
        self._speed = speed
        self._source: SimulatedSource | None = None
        self._read_at: datetime | None = None

    @classmethod
    def open(cls, store: Store, asked: FleetAsked, *, wall_now: datetime) -> FleetSession:
        """The fleet of this warehouse, or a new one as asked for.

        Raises:
            OtherFleet: the warehouse has one, and it is not the one asked for.
            TraceError: the trace can't be read.
        """
        found = store.rows(Simulation, "SELECT * FROM simulations ORDER BY recorded_at LIMIT 1")
        if found:
            _refuse_other(found[0], asked)
            return cls(store, found[0], asked.speed)
        simulation = _simulation(asked, wall_now)
        session = cls(store, simulation, asked.speed)
        store.append([simulation])
        return session

    @property
    def workload_words(self) -> str:
        """Whence the jobs come, in words."""
        return self._simulation.workload

    @property
    def live_from_at(self) -> datetime:
        """Where the past ends and the live clock begins."""
        return self._simulation.live_from_at

    # -- the past ------------------------------------------------------------------

    def catch_up(
        self,
        stopping: threading.Event,
        fine: Fineness | None = None,
        after_part: Callable[[datetime], None] = lambda _: None,
    ) -> bool:
        """Produce what is missing of the history, then start the clock.

        A part of a day is stored at a time, whole or not at all, so it may be stopped or killed
        anywhere. False if it was stopped, or failed; `failure` then says why. `fine` says how
        often the GPUs are read on the way; without it hours of them are summed up instead.
        `after_part` is called with the instant up to which all is stored.
        """
        try:
            with self.lock:
                self._resume()
            for frames in self._missing_history(fine):
                if stopping.is_set():
                    return False
                self._stored(frames)
                if self._read_at:
                    after_part(self._read_at)
        except (SessionError, SimulatorError, WarehouseError) as error:
            self.failure = str(error)
            log.exception("the fleet's history could not be produced")
            return False
        self.progress_ratio = 1.0
        self.clock.set_speed(self._speed)
        return True

    def rebuild(self) -> None:
        """Make the fleet anew out of what is stored, where it did something that is not."""
        with self.lock:
            self._resume()

    def _resume(self) -> None:
        """The fleet as of the last instant whose rows are stored, and the commands since."""
        self.fleet = SimulatedFleet(self.fleet.settings)
        self._source = SimulatedSource(self.fleet)
        self._read_at = self._stored_until()
        commands = self._commands()
        if self._read_at:
            self.fleet.obey(each for each in commands if self._is_read(each))
            self.fleet.advance_to(self._read_at)
            self._refuse_strange()
            self._source.skip_to_now()
        self.fleet.obey(commands)

    def _refuse_strange(self) -> None:
        """Another version of the simulator, or a changed trace, would not be the fleet that the
        stored rows are of."""
        stored = {
            row.pool: row
            for row in self._store.rows(
                PoolState,
                "SELECT * FROM pool_states WHERE measured_at = $at AND source = $source",
                at=self._read_at,
                source=SimulatedSource.name,
            )
        }
        for name, pool in self.fleet.pools.items():
            played = pool_state_row(pool, np.zeros(METRIC_COUNT), self.fleet.now)
            known = stored.get(name)
            if known is None or any(getattr(known, key) != played[key] for key in PROOF):
                raise OtherFleet(
                    "the simulated fleet of this warehouse can't be played again: it was made by "
                    "another version of Pilothouse, or its trace has changed; start this one in "
                    "another folder with --home"
                )

    def _is_read(self, command: LoggedCommand) -> bool:
        assert self._read_at
        return self.fleet.instant(command.applied_seconds) <= self._read_at

    def _commands(self) -> list[LoggedCommand]:
        rows = self._store.rows(
            FleetCommand, "SELECT * FROM fleet_commands ORDER BY applied_at, rowid"
        )
        return [
            LoggedCommand(
                row.command_id,
                self.fleet.seconds(row.applied_at),
                from_dict({"command": row.command, **row.arguments}),
            )
            for row in rows
        ]

    def _missing_history(self, fine: Fineness | None) -> Iterator[Frames]:
        assert self._source
        live_from = self._simulation.live_from_at
        if self._read_at is None:
            yield self._source.standing()
        if self._read_at and self._read_at >= live_from:
            return
        parts = self._source.history(live_from, fine)
        ahead = next(parts, None)
        while ahead is not None:
            part, ahead = ahead, next(parts, None)
            # The last part takes the first full reading along: there is no instant between
            # history and live at which a restart could find one without the other.
            yield part if ahead is not None else joined([part, self._source.read()])

    def _stored(self, frames: Frames) -> None:
        with self._store.transaction():
            for record_class, frame in frames.items():
                self._store.append_frame(record_class, frame)
        self._read_at = self._stored_until()
        self.progress_ratio = self._progress()

    def _progress(self) -> float:
        start, end = self._simulation.history_starts_at, self._simulation.live_from_at
        done = (self._read_at or start) - start
        return min(done / (end - start), 0.999)

    # -- the present ---------------------------------------------------------------

    def collect(self, now: datetime) -> Iterator[tuple[type, pl.DataFrame]]:
        """What has come to pass by the fleet's own clock; `now`, the asker's, is of no account."""
        yield from self.played_to(self.clock.now())

    def played_to(self, now: datetime) -> Iterator[tuple[type, pl.DataFrame]]:
        """Play the fleet to `now` and yield what has come: all GPUs on each point of the grid."""
        with self.lock:
            if self._stored_until() != self._read_at:
                log.warning("the last reading is not in the warehouse: reading it again")
                self._resume()
            yield from joined(list(self._readings(now))).items()

    def _readings(self, now: datetime) -> Iterator[Frames]:
        assert self._source
        assert self._read_at
        grid = timedelta(seconds=SAMPLE_SECONDS)
        point = _after(self._read_at, grid)
        # What is more than a collection can catch up with is left to the next.
        latest = min(now, self._read_at + MOST_READINGS * grid)
        while point <= latest:
            if point > self._read_at:  # else a command carried the fleet past it, and it was read
                yield self._reading(point)
            point += grid
        if latest == now and now - self._read_at >= timedelta(seconds=LIGHT_SECONDS):
            light = self._reading(now)
            light.pop(GpuSample, None)
            yield light

    def _reading(self, at: datetime) -> Frames:
        assert self._source
        # A command may have carried the fleet past a point of the grid; then it is read as it is.
        self.fleet.advance_to(max(self.fleet.seconds(at), self.fleet.now_seconds))
        self._read_at = self.fleet.now
        return self._source.read()

    def _stored_until(self) -> datetime | None:
        newest: datetime | None = self._store.query(
            "SELECT max(measured_at) AS at FROM pool_states WHERE source = $source",
            source=SimulatedSource.name,
        ).item()
        return newest

    def _start_of_clock(self) -> datetime:
        """Where the clock stood at least: no row of its time may lie in its future."""
        last = self._store.query(
            " UNION ALL ".join(
                f"SELECT max({at}) AS at FROM {table}" for table, at in _ON_THE_CLOCK
            )
        )
        latest: datetime = max([self._simulation.live_from_at, *last["at"].drop_nulls()])
        return latest


def _after(instant: datetime, grid: timedelta) -> datetime:
    """The first point of the grid, counted from the epoch, after an instant."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + ((instant - epoch) // grid + 1) * grid


# -- which fleet -----------------------------------------------------------------------


def _simulation(asked: FleetAsked, wall_now: datetime) -> Simulation:
    live_from = _hour_of(asked.live_from or wall_now)
    trace = str(asked.trace.resolve()) if asked.trace else None
    simulation = Simulation(
        settings={"seed": asked.seed, "trace": trace, "gpus": asked.gpus or DEMO_GPUS},
        workload="",
        history_starts_at=_hour_of(live_from - asked.history),
        live_from_at=live_from,
        recorded_at=wall_now,
    )
    pools = SimulatedFleet(_fleet_settings(simulation)).pools.values()
    words = next(iter(pools)).workload.words
    return replace(simulation, workload=f"{asked.trace.name}: {words}" if asked.trace else words)


def _hour_of(instant: datetime) -> datetime:
    known = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return known.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _fleet_settings(simulation: Simulation) -> FleetSettings:
    kept: dict[str, Any] = simulation.settings
    trace = Path(kept["trace"]) if kept["trace"] else None
    return FleetSettings(
        seed=kept["seed"],
        pools=() if trace else default_pools(_gpus(simulation)),
        started_at=simulation.history_starts_at,
        trace_path=trace,
    )


def _gpus(simulation: Simulation) -> int:
    """Warehouses of before the size could be set hold the demo fleet."""
    return int(simulation.settings.get("gpus", DEMO_GPUS))


def _refuse_other(found: Simulation, asked: FleetAsked) -> None:
    trace = str(asked.trace.resolve()) if asked.trace else None
    seed, gpus = found.settings["seed"], _gpus(found)
    is_other = (seed, found.settings["trace"]) != (asked.seed, trace)
    if is_other or asked.gpus not in (None, gpus):
        raise OtherFleet(
            f"this warehouse holds another simulated fleet (seed {seed}, {gpus} GPUs, "
            f"{found.workload}): start with that, or give this one another folder with --home"
        )
