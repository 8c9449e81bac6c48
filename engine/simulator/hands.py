"""The simulated fleet as hands of the engine: commands go in by their id, once, and are logged.

Every command that was carried out is a `fleet_commands` row, so that the same fleet can be built
again after a restart. A command that takes several stops nowhere halfway: asked again after a crash
it goes on with what is not on record yet.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from engine.hands import CommandFailed, CommandLost, CommandRefused, CommandStale
from engine.simulator.commands import (
    Cancel,
    Command,
    CommandResult,
    Cordon,
    Done,
    Drain,
    Migrate,
    Release,
    Repair,
    ScaleDown,
    ScaleUp,
    SetPrice,
    Uncordon,
    as_dict,
)
from engine.simulator.errors import CommandError
from engine.simulator.fleet import SimulatedFleet, nodes_of_job
from warehouse.clock import Clock
from warehouse.records import FleetCommand
from warehouse.store import Store

_BEGUN = """
    SELECT count(*) > 0 FROM fleet_commands
    WHERE starts_with(command_id, $id || ':') AND NOT starts_with(command_id, $undo)
        AND NOT EXISTS (SELECT 1 FROM fleet_commands WHERE command_id = $id)
"""
SEVERAL = ("rebalance", "cool_down")
"""Commands of the engine that are several of the simulator's: each has an id of its own under the
command's, `<command_id>:<verb>:<place>`, and `Done` under the command's own id ends them."""


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
            CommandStale: the job is no longer where it was.
            CommandLost: it could not be put on record, so the fleet was set back.
            CommandFailed: of a command that is several, none did what was wanted of it.
        """
        with self._world.lock:
            self._set_back()
            known = self.answer_to(command_id)
            if known is not None:
                return known
            if command == "migrate_job":
                self._hold_to_its_node(**arguments)
            asked = commands_of(command, arguments)
            if command in SEVERAL:
                return self._several(command_id, command, asked)
            return self._one(asked[0], command_id)

    def has_begun(self, command_id: str) -> bool:
        """Whether some of its commands are on record, and its end is not."""
        begun = {"id": command_id, "undo": f"{command_id}:undo"}
        return bool(self._store.query(_BEGUN, **begun).item())

    def answer_to(self, command_id: str) -> dict[str, Any] | None:
        """What a command answered, where it was carried out."""
        sql = "SELECT * FROM fleet_commands WHERE command_id = $command_id"
        for row in self._store.rows(FleetCommand, sql, command_id=command_id):
            return row.result | {"applied_at": row.applied_at.isoformat()}
        return None

    def _one(self, made: Command, command_id: str, **summary: Any) -> dict[str, Any]:
        known = self.answer_to(command_id)
        if known is not None:
            return known
        fleet = self._world.fleet
        fleet.advance_to(max(fleet.seconds(self._world.clock.now()), fleet.now_seconds))
        try:
            result = fleet.apply(made, command_id)
        except CommandError as error:
            raise CommandRefused(str(error)) from error
        return self._logged(fleet, made, result, summary)

    def _several(self, command_id: str, command: str, asked: Sequence[Command]) -> dict[str, Any]:
        """Each in turn; what the fleet refuses of them is passed over."""
        gone: list[str] = []
        kept: dict[str, str] = {}
        moved = 0
        for place, made in enumerate(asked):
            verb = type(made).__name__.lower()
            try:
                answer = self._one(made, f"{command_id}:{verb}:{place}")
            except CommandRefused as error:
                kept.setdefault(_node(made), str(error))
                continue
            moved += answer.get("moved_jobs", 0)
            if isinstance(made, Cancel | Release):
                gone.append(made.node_id)
        kept = {node: why for node, why in kept.items() if node not in gone}
        if not gone and command == "cool_down":
            raise CommandRefused("; ".join(kept.values()) or "no node was switched on")
        if not gone:
            raise CommandFailed(
                "no node could be emptied and released; those that are on are open again"
            )
        end = Done(asked[0].pool)
        return self._one(end, command_id, node_ids=gone, kept=kept, moved_jobs=moved)

    def _hold_to_its_node(self, pool: str, job_id: str, node_id: str) -> None:
        fleet = self._world.fleet
        fleet.advance_to(max(fleet.seconds(self._world.clock.now()), fleet.now_seconds))
        try:
            held = nodes_of_job(fleet.pools[pool], job_id) if pool in fleet.pools else []
        except CommandError as error:
            raise CommandRefused(str(error)) from error
        if node_id not in held:
            raise CommandStale(f"{job_id} no longer runs on {node_id}: propose anew")

    def _logged(
        self,
        fleet: SimulatedFleet,
        made: Command,
        result: CommandResult,
        summary: Mapping[str, Any],
    ) -> dict[str, Any]:
        arguments = as_dict(made)
        row = FleetCommand(
            command_id=result.command_id,
            command=arguments.pop("command"),
            arguments=arguments,
            result=_answer(result) | dict(summary),
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


def commands_of(command: str, arguments: Mapping[str, Any]) -> list[Command]:
    """The engine's word for a command as the simulator's, in order.

    Of several those that find nothing to do are passed over: a node that could be released is not
    opened again, one that was on its way is not released.

    Raises:
        KeyError: the simulator has no such command.
    """
    given, pool = arguments, arguments["pool"]
    match command:
        case "scale_up" | "pre_warm":
            return [ScaleUp(pool, given["nodes"])]
        case "scale_down":
            return [ScaleDown(pool, given["nodes"])]
        case "set_price":
            return [SetPrice(pool, given["price_usd_per_gpu_hour"])]
        case "migrate_job":
            return [Migrate(pool, given["job_id"])]
        case "rebalance":
            return _emptied(pool, given["node_ids"])
        case "cool_down":
            ours = given.get("node_ids", ())
            return [kind(pool, node) for node in ours for kind in (Cancel, Release)]
    return [_OF_NODES[command](pool, given["node_id"])]


_OF_NODES: dict[str, type[Cancel | Release | Drain | Uncordon | Repair]] = {
    "cancel_node": Cancel,
    "release_node": Release,
    "quarantine_node": Drain,
    "return_node": Uncordon,
    "repair_node": Repair,
}


def _emptied(pool: str, node_ids: Sequence[str]) -> list[Command]:
    """All closed first, so that no job moves from one of them to the next."""
    closed: list[Command] = [Cordon(pool, node) for node in node_ids]
    return closed + [kind(pool, node) for node in node_ids for kind in (Drain, Release, Uncordon)]


def _node(made: Command) -> str:
    return str(getattr(made, "node_id", made.pool))


def _answer(result: CommandResult) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "node_ids": list(result.node_ids),
        "applied_seconds": result.applied_seconds,
    }
    if result.moved_jobs:
        answer["moved_jobs"] = result.moved_jobs
    if result.previous_price_usd_per_gpu_hour is not None:
        answer["previous_price_usd_per_gpu_hour"] = result.previous_price_usd_per_gpu_hour
    return answer
