"""Quarantine a node: no new jobs on it, and those that can be moved are, with their checkpoints.

Proposed for nodes that are judged too ill to be given jobs, the worst first. What it is worth is
reckoned in `engine/gains.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.actions import Afterwards, Candidate
from engine.hands import Actuator
from engine.observe import PoolObservation
from engine.policies.rule import Proposal
from warehouse.limits import Limits
from warehouse.records import ActionType, NodeReading

MOST_CANDIDATES = 2
"""of a pool and tick"""
SHORTEST_SECONDS = 6 * 3600
"""Ill nodes fail within hours rather than minutes."""


class QuarantineNode:
    """Take a node out of use."""

    name: ActionType = "quarantine_node"
    can_undo = True

    def target(self, pool: str, parameters: Mapping[str, Any]) -> str:
        return f"node/{parameters['node_id']}"

    def horizon_seconds(self, limits: Limits) -> int:
        return max(SHORTEST_SECONDS, limits.horizon_seconds)

    def criterion(self, parameters: Mapping[str, Any]) -> str:
        return f"No job runs on {parameters['node_id']} while it is ill"

    def is_met(self, after: Afterwards) -> bool | None:
        node = node_of(after.seen, after.parameters)
        if node is None:
            return None
        is_ill = after.seen.facts.is_suspect(node.node_id)
        return not is_ill or not node.gpus_used

    def candidates(self, seen: PoolObservation, goal: Proposal) -> list[Candidate]:
        active = {node.node_id for node in seen.nodes if node.state == "active"}
        ill = [one.node_id for one in seen.facts.suspects if one.node_id in active]
        return [
            Candidate(self.name, f"node/{node_id}", seen.pool.pool, {"node_id": node_id})
            for node_id in ill[:MOST_CANDIDATES]
        ]

    def recheck(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> str | None:
        node = node_of(seen, parameters)
        if node is None or node.state != "active":
            return f"{parameters['node_id']} is {node.state if node else 'gone'} by now"
        if not seen.facts.is_suspect(node.node_id):
            return f"{node.node_id} is judged sound by now"
        return None

    def undo_recheck(
        self, seen: PoolObservation, parameters: Mapping[str, Any], result: Mapping[str, Any]
    ) -> str | None:
        node = node_of(seen, parameters)
        if node is None or node.state != "cordoned":
            return f"{parameters['node_id']} is {node.state if node else 'gone'} by now"
        return None

    def inverse(self, seen: PoolObservation, result: Mapping[str, Any]) -> Candidate | None:
        return None

    def added_cost_usd_per_hour(
        self, seen: PoolObservation, parameters: Mapping[str, Any]
    ) -> float:
        return 0.0

    def removed_gpus(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> int:
        """The free GPUs of the node: those in use go on being held, there or elsewhere."""
        node = node_of(seen, parameters)
        return max(0, node.gpu_count - node.gpus_used) if node else 0

    def command(self, pool: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return self.name, {"pool": pool, "node_id": str(parameters["node_id"])}

    def execute(
        self, hands: Actuator, command_id: str, pool: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        name, arguments = self.command(pool, parameters)
        return hands.perform(command_id, name, arguments)

    def undo(
        self, hands: Actuator, command_id: str, pool: str, result: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Open it to jobs again, as it is; those that were moved stay where they are."""
        arguments = {"pool": pool, "node_id": str(result["node_id"])}
        return hands.perform(command_id, "return_node", arguments)


def node_of(seen: PoolObservation, parameters: Mapping[str, Any]) -> NodeReading | None:
    """The node that is named, as it was last read."""
    named = parameters["node_id"]
    return next((node for node in seen.nodes if node.node_id == named), None)


ACTION = QuarantineNode()
