"""A small simulated fleet on a clock one turns by hand, with its rows in a warehouse."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.gains import Planner
from engine.loop import Engine
from engine.simulator.commands import LoggedCommand, from_dict
from engine.simulator.fleet import SimulatedFleet
from engine.simulator.hands import SimulatedHands
from engine.simulator.judge import TwinJudge
from engine.simulator.settings import FleetSettings, PoolSettings
from engine.simulator.source import SimulatedSource
from warehouse import controls
from warehouse.records import FleetCommand, GpuRollup, GpuSample
from warehouse.store import Store

MONDAY = datetime(2026, 10, 5, tzinfo=UTC)
NAME = "h100-us-east"
SMALL_POOL = PoolSettings(NAME, "H100 SXM", "us-east", 6, 4, 2.89, 2.89)


@dataclass
class HandClock:
    """A clock that stands until it is turned."""

    at: datetime

    def now(self) -> datetime:
        return self.at


@dataclass
class World:
    """The fleet, its clock and its lock."""

    fleet: SimulatedFleet
    clock: HandClock
    lock: threading.RLock = field(default_factory=threading.RLock)
    store: Store | None = None

    def rebuild(self) -> None:
        assert self.store
        rows = self.store.rows(FleetCommand, "SELECT * FROM fleet_commands ORDER BY applied_at")
        log = [
            LoggedCommand(
                row.command_id,
                self.fleet.seconds(row.applied_at),
                from_dict({"command": row.command, **row.arguments}),
            )
            for row in rows
        ]
        self.fleet = SimulatedFleet.replayed(self.fleet.settings, log, self.fleet.now)


class Played:
    """A fleet whose rows go into a store, and the engine on it."""

    def __init__(
        self,
        store: Store,
        pools: tuple[PoolSettings, ...] = (SMALL_POOL,),
        *,
        rollouts: int = 8,
    ) -> None:
        self.store = store
        fleet = SimulatedFleet(FleetSettings(7, pools, MONDAY))
        self.world = World(fleet, HandClock(MONDAY), store=store)
        self.source = SimulatedSource(self.world.fleet)
        self.hands = SimulatedHands(store, self.world)
        self.judge = TwinJudge(self.world)
        terms = {pool.name: pool.economics for pool in pools}
        self.engine = Engine(
            store,
            self.world.clock,
            self.hands,
            self.judge,
            Planner(terms, rollouts=rollouts),
            terms=terms,
        )

    @property
    def now(self) -> datetime:
        return self.world.clock.at

    def put(self, frames: Mapping[type, Any]) -> None:
        with self.store.transaction():
            for record_class, frame in frames.items():
                if record_class not in (GpuSample, GpuRollup):
                    self.store.append_frame(record_class, frame)

    def start(self, history: timedelta) -> None:
        """Play a history and take a first reading."""
        self.put(self.source.standing())
        for frames in self.source.history(MONDAY + history):
            self.put(frames)
        self.world.clock.at = self.world.fleet.now
        self.put(self.source.read())

    def forward(self, step: timedelta) -> None:
        """Turn the clock and read the fleet; the engine is not asked."""
        self.world.clock.at += step
        self.world.fleet.advance_to(self.now)
        if self.source.fleet is not self.world.fleet:  # it was built again
            self.source = SimulatedSource(self.world.fleet)
        self.put(self.source.read())
        self.judge.remember()

    def set_modes(self, mode: str) -> None:
        for action in controls.GOVERNED_ACTIONS:
            controls.set_mode(self.store, action, mode, by="test", reason=None, now=self.now)
