"""Scale up: switch nodes on, our own first, then leased."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from engine.actions import Afterwards, Candidate
from engine.hands import Actuator, CommandRefused
from engine.observe import PoolObservation
from engine.policies.rule import Proposal
from warehouse.limits import Limits
from warehouse.records import ActionType, NodeReading
from warehouse.words import counted

STEPS_NODES = (1, 2, 4, 8)
ENVELOPE_NODES = 3
"""Candidates lie within so many nodes of what the rule would do."""


class ScaleUp:
    """Switch nodes on."""

    name: ActionType = "scale_up"
    can_undo = True

    def target(self, pool: str, parameters: Mapping[str, Any]) -> str:
        return f"pool/{pool}"

    def horizon_seconds(self, limits: Limits) -> int:
        return limits.horizon_seconds

    def criterion(self, parameters: Mapping[str, Any]) -> str:
        return "Nobody waits, or fewer GPUs are waited for than when it was proposed"

    def is_met(self, after: Afterwards) -> bool | None:
        return after.fewer_wait()

    def candidates(self, seen: PoolObservation, goal: Proposal) -> list[Candidate]:
        near = {n for n in STEPS_NODES if abs(n - goal.nodes) <= ENVELOPE_NODES}
        wanted = near | ({goal.nodes} if goal.nodes > 0 else set())
        return [
            Candidate(self.name, f"pool/{seen.pool.pool}", seen.pool.pool, {"nodes": nodes})
            for nodes in sorted(wanted)
            if nodes <= startable_nodes(seen)
        ]

    def recheck(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> str | None:
        return too_few_startable(seen, int(parameters["nodes"]))

    def undo_recheck(
        self, seen: PoolObservation, parameters: Mapping[str, Any], result: Mapping[str, Any]
    ) -> str | None:
        return why_all_stay(seen, result)

    def inverse(self, seen: PoolObservation, result: Mapping[str, Any]) -> Candidate | None:
        return release_of_started(seen, result)

    def added_cost_usd_per_hour(
        self, seen: PoolObservation, parameters: Mapping[str, Any]
    ) -> float:
        return running_cost_usd_per_hour(seen, int(parameters["nodes"]))

    def removed_gpus(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> int:
        return 0

    def command(self, pool: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return "scale_up", {"pool": pool, "nodes": int(parameters["nodes"])}

    def execute(
        self, hands: Actuator, command_id: str, pool: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        name, arguments = self.command(pool, parameters)
        return hands.perform(command_id, name, arguments)

    def undo(
        self, hands: Actuator, command_id: str, pool: str, result: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Let go of those nodes that are still booting or empty; jobs are never thrown off."""
        undone: list[str] = []
        kept: dict[str, str] = {}
        when: dict[str, Any] = {}
        for node_id in result["node_ids"]:
            try:
                answer = _let_go(hands, command_id, pool, node_id)
            except CommandRefused as error:
                kept[node_id] = str(error)
            else:
                undone.append(node_id)
                when = {name: answer[name] for name in ("applied_at",) if name in answer}
        if not undone:
            raise CommandRefused("; ".join(kept.values()) or "no node was switched on")
        return {"node_ids": undone, "kept": kept} | when


def why_all_stay(seen: PoolObservation, result: Mapping[str, Any]) -> str | None:
    """Why none of the nodes that were started can go; which of them can, the fleet says one by
    one."""
    here = [node for node in _started(seen, result) if node.state not in ("off", "down")]
    return "its nodes are in use" if here and all(node.gpus_used for node in here) else None


def release_of_started(seen: PoolObservation, result: Mapping[str, Any]) -> Candidate | None:
    """The release of the started nodes that are on and empty; those that boot add nothing yet."""
    on = [node for node in _started(seen, result) if node.state in ("active", "cordoned")]
    going = sum(not node.gpus_used for node in on)
    pool = seen.pool.pool
    return Candidate("scale_down", f"pool/{pool}", pool, {"nodes": going}) if going else None


def _started(seen: PoolObservation, result: Mapping[str, Any]) -> list[NodeReading]:
    return [node for node in seen.nodes if node.node_id in result.get("node_ids", ())]


def too_few_startable(seen: PoolObservation, nodes: int) -> str | None:
    """Why so many nodes can't be switched on any more; None where they can."""
    startable = startable_nodes(seen)
    if startable >= nodes:
        return None
    return f"only {counted(startable, 'node')} can still be switched on, not {nodes}"


def startable_nodes(seen: PoolObservation) -> int:
    """Nodes that can still be switched on, our own and leased."""
    f = seen.features
    return int(f["startable_owned_nodes"] + f["startable_leased_nodes"])


def running_cost_usd_per_hour(seen: PoolObservation, nodes: int) -> float:
    """What so many more nodes cost while they are on, our own first."""
    pool = seen.pool
    owned = min(nodes, int(seen.features["startable_owned_nodes"]))
    rate = owned * pool.owned_idle_usd_per_gpu_hour
    rate += (nodes - owned) * pool.leased_usd_per_gpu_hour
    return float(rate * pool.gpus_per_node)


def _let_go(hands: Actuator, command_id: str, pool: str, node_id: str) -> dict[str, Any]:
    """Cancel it while it boots, else release it; what the hands answered.

    Raises:
        CommandRefused: it holds jobs, or is gone.
    """
    arguments = {"pool": pool, "node_id": node_id}
    with suppress(CommandRefused):
        return hands.perform(f"{command_id}:cancel_node:{node_id}", "cancel_node", arguments)
    return hands.perform(f"{command_id}:release_node:{node_id}", "release_node", arguments)


ACTION = ScaleUp()
