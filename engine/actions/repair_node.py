"""Repair a node: replace or restart one that is out of use and holds no job, then return it.

Proposed for nodes that a decision of ours took out of use, and for those that somebody else
cordoned and that are judged ill. It can't be taken back: a repaired node is returned by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.actions import Afterwards, Candidate
from engine.actions.quarantine_node import node_of
from engine.hands import Actuator, CommandRefused
from engine.observe import PoolObservation
from engine.policies.rule import Proposal
from warehouse.limits import Limits
from warehouse.records import ActionType

MOST_CANDIDATES = 2
"""of a pool and tick"""
SHORTEST_SECONDS = 6 * 3600
"""A planned repair takes about an hour, a part that is swapped half a working day."""


class RepairNode:
    """Have a node made sound."""

    name: ActionType = "repair_node"
    can_undo = False

    def target(self, pool: str, parameters: Mapping[str, Any]) -> str:
        return f"node/{parameters['node_id']}"

    def horizon_seconds(self, limits: Limits) -> int:
        return max(SHORTEST_SECONDS, limits.horizon_seconds)

    def criterion(self, parameters: Mapping[str, Any]) -> str:
        return f"{parameters['node_id']} is in use again and sound, or was replaced"

    def is_met(self, after: Afterwards) -> bool | None:
        node = node_of(after.seen, after.parameters)
        if node is None or node.state in ("off", "provisioning"):
            return True  # another stands, or will be started, in its place
        is_ill = after.seen.facts.is_suspect(node.node_id)
        return node.state == "active" and not is_ill

    def candidates(self, seen: PoolObservation, goal: Proposal) -> list[Candidate]:
        ready = [n.node_id for n in seen.nodes if n.state == "cordoned" and not n.gpus_used]
        ill = [node_id for node_id in ready if _is_ours_or_ill(seen, node_id)]
        return [
            Candidate(self.name, f"node/{node_id}", seen.pool.pool, {"node_id": node_id})
            for node_id in ill[:MOST_CANDIDATES]
        ]

    def recheck(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> str | None:
        node = node_of(seen, parameters)
        if node is None or node.state != "cordoned":
            return f"{parameters['node_id']} is {node.state if node else 'gone'} by now"
        if node.gpus_used:
            return f"jobs still hold {node.gpus_used} GPUs of {node.node_id}"
        return None

    def undo_recheck(
        self, seen: PoolObservation, parameters: Mapping[str, Any], result: Mapping[str, Any]
    ) -> str | None:
        return "a repair is not taken back"

    def inverse(self, seen: PoolObservation, result: Mapping[str, Any]) -> Candidate | None:
        return None

    def added_cost_usd_per_hour(
        self, seen: PoolObservation, parameters: Mapping[str, Any]
    ) -> float:
        return 0.0

    def removed_gpus(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> int:
        return 0

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
        raise CommandRefused("a repair is not taken back")


def _is_ours_or_ill(seen: PoolObservation, node_id: str) -> bool:
    return node_id in seen.facts.quarantined or seen.facts.is_suspect(node_id)


ACTION = RepairNode()
