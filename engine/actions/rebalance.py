"""Rebalance: move the jobs of sparsely used nodes to others, then release those nodes.

Proposed where who steers wants to release nodes by moving jobs, and then for as many as the empty
ones do not yield: those are `scale_down`'s. Leases come first, then the least used nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.actions import Afterwards, Candidate
from engine.actions.scale_up import startable_nodes
from engine.hands import Actuator, CommandRefused
from engine.moving import emptied_in_order, why_not_emptied
from engine.observe import PoolObservation
from engine.policies import MIGRATE
from engine.policies.rule import Proposal
from warehouse.limits import Limits
from warehouse.records import ActionType
from warehouse.words import counted

STEPS_NODES = (1, 2, 4)


class Rebalance:
    """Empty nodes by migration and release them."""

    name: ActionType = "rebalance"
    can_undo = True

    def target(self, pool: str, parameters: Mapping[str, Any]) -> str:
        return f"pool/{pool}"

    def horizon_seconds(self, limits: Limits) -> int:
        return limits.horizon_seconds

    def criterion(self, parameters: Mapping[str, Any]) -> str:
        return "Its nodes are released, and nobody waits for them"

    def is_met(self, after: Afterwards) -> bool | None:
        wanted = set(named_nodes(after.parameters))
        on = {n.node_id for n in after.seen.nodes if n.state in ("active", "cordoned")}
        return not wanted & on and after.seen.state.queued_jobs == 0

    def candidates(self, seen: PoolObservation, goal: Proposal) -> list[Candidate]:
        if goal.consolidation != MIGRATE or goal.nodes >= 0 or seen.state.queued_jobs:
            return []
        wanted = wanted_nodes(seen, goal)
        order = emptied_in_order(seen, min(wanted, STEPS_NODES[-1]))
        pool = seen.pool.pool
        return [
            Candidate(self.name, f"pool/{pool}", pool, {"node_ids": ",".join(order[:count])})
            for count in STEPS_NODES
            if count <= len(order)
        ]

    def recheck(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> str | None:
        if seen.state.queued_jobs:
            waiting = counted(seen.state.queued_jobs, "job")
            return f"{waiting} waiting: nothing is released meanwhile"
        return why_not_emptied(seen, named_nodes(parameters))

    def undo_recheck(
        self, seen: PoolObservation, parameters: Mapping[str, Any], result: Mapping[str, Any]
    ) -> str | None:
        return None if startable_nodes(seen) else "every node of the pool is on already"

    def inverse(self, seen: PoolObservation, result: Mapping[str, Any]) -> Candidate | None:
        """As many nodes are switched on again; the jobs stay where they are."""
        nodes = min(_released(result), startable_nodes(seen))
        pool = seen.pool.pool
        return Candidate("scale_up", f"pool/{pool}", pool, {"nodes": nodes}) if nodes else None

    def added_cost_usd_per_hour(
        self, seen: PoolObservation, parameters: Mapping[str, Any]
    ) -> float:
        return 0.0

    def removed_gpus(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> int:
        return len(named_nodes(parameters)) * seen.pool.gpus_per_node

    def command(self, pool: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return self.name, {"pool": pool, "node_ids": list(named_nodes(parameters))}

    def execute(
        self, hands: Actuator, command_id: str, pool: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        name, arguments = self.command(pool, parameters)
        return hands.perform(command_id, name, arguments)

    def undo(
        self, hands: Actuator, command_id: str, pool: str, result: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Switch as many nodes on again; the jobs that were moved stay where they are."""
        nodes = _released(result)
        if not nodes:
            raise CommandRefused("no node was released")
        return hands.perform(command_id, "scale_up", {"pool": pool, "nodes": nodes})


def named_nodes(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The nodes that are named, in the order of emptying."""
    names = str(parameters["node_ids"]).split(",")
    return tuple(name.strip() for name in names if name.strip())


def _released(result: Mapping[str, Any]) -> int:
    found = result.get("node_ids", ())
    return len(named_nodes(result)) if isinstance(found, str) else len(found)


def wanted_nodes(seen: PoolObservation, goal: Proposal) -> int:
    """How many nodes beyond those that are empty would be released.

    Leases are emptied before an own node is stopped, so that only empty leases count against them.
    """
    leased = [node for node in seen.nodes if node.kind == "leased" and node.state == "active"]
    if any(node.gpus_used for node in leased):
        empty = sum(not node.gpus_used for node in leased)
    else:
        empty = int(seen.features["empty_nodes"])
    return max(0, -goal.nodes - empty)


ACTION = Rebalance()
