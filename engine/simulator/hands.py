"""The simulated fleet as hands of the engine: commands go in by their id, once, and are logged.

Every command that was carried out is a `fleet_commands` row, so that the same fleet can be built
again after a restart.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Protocol

from engine.hands import CommandLost, CommandRefused
from engine.simulator.commands import (
    Cancel,
    Command,
    CommandResult,
    Release,
    ScaleDown,
    ScaleUp,
    SetPrice,
    as_dict,
)
from engine.simulator.errors import CommandError
from engine.simulator.fleet import SimulatedFleet
from warehouse.clock import Clock
from warehouse.records import FleetCommand
from warehouse.store import Store

_COMMANDS: dict[str, type] = {
    "scale_up": ScaleUp,
    "scale_down": ScaleDown,
    "set_price": SetPrice,
    "cancel_node": Cancel,
    "release_node": Release,
}


class World(Protocol):
    """Where the fleet is: whoever reads or moves it holds the lock."""

    fleet: SimulatedFleet
    lock: threading.RLock

    @property
    def clock(self) -> Clock:
        """The fleet's clock."""
        ...

    def rebuild(self) -> None:
        """Make the fleet anew from the commands in the warehouse, and no others."""
        ...


class SimulatedHands:
    """Carries commands out on the simulated fleet, at its clock's present instant."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world
        self._is_ahead = False
        """the fleet took a command that the warehouse does not know"""

    def perform(
        self, command_id: str, command: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Carry a command out, once.

        Raises:
            CommandRefused: the fleet said no and nothing changed.
            CommandLost: it could not be put on record, so the fleet was set back.
        """
        with self._world.lock:
            self._set_back()
            known = self.answer_to(command_id)
            if known is not None:
                return known
            made = command_of(command, arguments)
            fleet = self._world.fleet
            fleet.advance_to(max(fleet.seconds(self._world.clock.now()), fleet.now_seconds))
            try:
                result = fleet.apply(made, command_id)
            except CommandError as error:
                raise CommandRefused(str(error)) from error
            return self._logged(fleet, made, result)

    def has_begun(self, command_id: str) -> bool:
        """Never: the simulated fleet takes a command whole."""
        return False

    def answer_to(self, command_id: str) -> dict[str, Any] | None:
        """What a command answered, where it was carried out."""
        sql = "SELECT * FROM fleet_commands WHERE command_id = $command_id"
        for row in self._store.rows(FleetCommand, sql, command_id=command_id):
            return row.result | {"applied_at": row.applied_at.isoformat()}
        return None

    def _logged(
        self, fleet: SimulatedFleet, made: Command, result: CommandResult
    ) -> dict[str, Any]:
        arguments = as_dict(made)
        row = FleetCommand(
            command_id=result.command_id,
            command=arguments.pop("command"),
            arguments=arguments,
            result=_answer(result),
            applied_at=fleet.instant(result.applied_seconds),
        )
        self._recorded(row)
        return row.result | {"applied_at": row.applied_at.isoformat()}

    def _recorded(self, row: FleetCommand) -> None:
        """A command that is not on record must not have happened."""
        self._is_ahead = True
        try:
            self._store.append([row])
        except Exception as error:  # whatever the store met, the fleet has acted already
            self._set_back()
            raise CommandLost(
                f"{row.command} could not be put on record, so it was not done: {error}"
            ) from error
        self._is_ahead = False

    def _set_back(self) -> None:
        if not self._is_ahead:
            return
        try:
            self._world.rebuild()
        except Exception as error:  # nothing is carried out until it can be
            raise CommandLost(f"the fleet could not be set back to its record: {error}") from error
        self._is_ahead = False


def command_of(command: str, arguments: Mapping[str, Any]) -> Command:
    """The engine's word for a command as the simulator's."""
    made: Command = _COMMANDS[command](**arguments)
    return made


def _answer(result: CommandResult) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "node_ids": list(result.node_ids),
        "applied_seconds": result.applied_seconds,
    }
    if result.previous_price_usd_per_gpu_hour is not None:
        answer["previous_price_usd_per_gpu_hour"] = result.previous_price_usd_per_gpu_hour
    return answer
