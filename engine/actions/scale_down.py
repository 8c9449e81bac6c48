"""Scale down: release empty nodes, leased first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.actions import Afterwards, Candidate
from engine.actions.scale_up import startable_nodes
from engine.hands import Actuator
from engine.observe import PoolObservation
from engine.policies.rule import Proposal
from warehouse.limits import Limits
from warehouse.records import ActionType
from warehouse.words import counted

STEPS_NODES = (1, 2, 4, 8)
ENVELOPE_NODES = 3
"""Candidates lie within so many nodes of what the rule would do."""


class ScaleDown:
    """Release empty nodes."""

    name: ActionType = "scale_down"
    can_undo = True

    def target(self, pool: str, parameters: Mapping[str, Any]) -> str:
        return f"pool/{pool}"

    def horizon_seconds(self, limits: Limits) -> int:
        return limits.horizon_seconds

    def criterion(self, parameters: Mapping[str, Any]) -> str:
        return "Nobody waits for the nodes that it released"

    def is_met(self, after: Afterwards) -> bool | None:
        return after.seen.state.queued_jobs == 0

    def candidates(self, seen: PoolObservation, goal: Proposal) -> list[Candidate]:
        near = {n for n in STEPS_NODES if abs(-n - goal.nodes) <= ENVELOPE_NODES}
        wanted = near | ({-goal.nodes} if goal.nodes < 0 else set())
        return [
            Candidate(self.name, f"pool/{seen.pool.pool}", seen.pool.pool, {"nodes": nodes})
            for nodes in sorted(wanted)
            if nodes <= seen.features["empty_nodes"]
        ]

    def recheck(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> str | None:
        empty = int(seen.features["empty_nodes"])
        if empty < parameters["nodes"]:
            return f"only {counted(empty, 'empty node')} left, not {parameters['nodes']}"
        if seen.state.queued_jobs:
            return (
                f"{counted(seen.state.queued_jobs, 'job')} waiting: nothing is released meanwhile"
            )
        return None

    def undo_recheck(
        self, seen: PoolObservation, parameters: Mapping[str, Any], result: Mapping[str, Any]
    ) -> str | None:
        return None if startable_nodes(seen) else "every node of the pool is on already"

    def inverse(self, seen: PoolObservation, result: Mapping[str, Any]) -> Candidate | None:
        nodes = min(len(result["node_ids"]), startable_nodes(seen))
        pool = seen.pool.pool
        return Candidate("scale_up", f"pool/{pool}", pool, {"nodes": nodes}) if nodes else None

    def added_cost_usd_per_hour(
        self, seen: PoolObservation, parameters: Mapping[str, Any]
    ) -> float:
        return 0.0

    def removed_gpus(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> int:
        return int(parameters["nodes"]) * seen.pool.gpus_per_node

    def command(self, pool: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return "scale_down", {"pool": pool, "nodes": int(parameters["nodes"])}

    def execute(
        self, hands: Actuator, command_id: str, pool: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        name, arguments = self.command(pool, parameters)
        return hands.perform(command_id, name, arguments)

    def undo(
        self, hands: Actuator, command_id: str, pool: str, result: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Switch as many nodes on again; they boot as any others do."""
        arguments = {"pool": pool, "nodes": len(result["node_ids"])}
        return hands.perform(command_id, "scale_up", arguments)


ACTION = ScaleDown()
