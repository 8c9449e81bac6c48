"""Pre-warm: have nodes ready ahead of a demand that is forecast, where nothing is wanted yet.

Proposed where, within the time a node takes to start and an hour more, the demand that comes out
higher in one case of ten (q90) exceeds the GPUs that will be on, and who steers wants no change. It
is a scale-up for another reason, so that it has the same target and the same price.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from engine.actions import Afterwards, Candidate
from engine.actions.scale_up import (
    release_of_started,
    running_cost_usd_per_hour,
    startable_nodes,
    too_few_startable,
    why_all_stay,
)
from engine.hands import Actuator, CommandRefused
from engine.observe import PoolObservation
from engine.policies.rule import Proposal
from engine.simulator.settings import Economics
from warehouse.limits import Limits
from warehouse.records import ActionType, Forecast

MARGIN_SECONDS = 3600
"""A decision is taken each quarter of an hour and a person needs time to answer it."""


class PreWarm:
    """Switch nodes on for what is forecast."""

    name: ActionType = "pre_warm"
    can_undo = True

    def target(self, pool: str, parameters: Mapping[str, Any]) -> str:
        return f"pool/{pool}"

    def horizon_seconds(self, limits: Limits) -> int:
        return limits.horizon_seconds

    def criterion(self, parameters: Mapping[str, Any]) -> str:
        return "Nobody waits, and jobs hold at least one of its nodes"

    def is_met(self, after: Afterwards) -> bool | None:
        ours = set(after.result.get("node_ids", ()))
        if not ours:
            return None  # whoever carried it out did not say which nodes they were
        held = any(node.gpus_used for node in after.seen.nodes if node.node_id in ours)
        return held and after.seen.state.queued_jobs == 0

    def candidates(self, seen: PoolObservation, goal: Proposal) -> list[Candidate]:
        peak = peak_ahead(seen)
        if peak is None or goal.nodes != 0:
            return []
        size = max(seen.pool.gpus_per_node, 1)
        needed = math.ceil((peak.q90 - usable_gpus(seen)) / size)
        if needed < 1:
            return []
        pool, most = seen.pool.pool, startable_nodes(seen)
        counts = sorted({min(each, most) for each in (needed - 1, needed, needed + 1)} - {0})
        return [Candidate(self.name, f"pool/{pool}", pool, {"nodes": each}) for each in counts]

    def recheck(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> str | None:
        too_few = too_few_startable(seen, int(parameters["nodes"]))
        if too_few:
            return too_few
        peak = peak_ahead(seen)
        if peak is not None and peak.q90 <= usable_gpus(seen):
            return f"no more than {peak.q90:.0f} GPUs are forecast by now, and as many will be on"
        return None

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
        return "pre_warm", {"pool": pool, "nodes": int(parameters["nodes"])}

    def execute(
        self, hands: Actuator, command_id: str, pool: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        name, arguments = self.command(pool, parameters)
        return hands.perform(command_id, name, arguments)

    def undo(
        self, hands: Actuator, command_id: str, pool: str, result: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Release those of its nodes that are still empty."""
        node_ids = list(result.get("node_ids", ()))
        nodes = len(node_ids) or int(result.get("nodes", 0))
        if not nodes:
            raise CommandRefused("no node was switched on")
        arguments = {"pool": pool, "nodes": nodes, "node_ids": node_ids}
        return hands.perform(command_id, "cool_down", arguments)


def peak_ahead(seen: PoolObservation) -> Forecast | None:
    """The highest demand forecast within the time in which nodes can be had; None if unknown."""
    ends_at = seen.observed_at + timedelta(seconds=_start_seconds(seen) + MARGIN_SECONDS)
    near = (one for one in seen.facts.occupancy if one.target_at <= ends_at)
    return max(near, key=lambda one: one.q90, default=None)


def usable_gpus(seen: PoolObservation) -> int:
    """GPUs that will be on and open to jobs, as far as is known now."""
    coming = seen.state.nodes_provisioning * seen.pool.gpus_per_node
    return seen.state.gpus_on - seen.state.gpus_cordoned + coming


def _start_seconds(seen: PoolObservation) -> int:
    terms = seen.terms or Economics()
    own = seen.features["startable_owned_nodes"] > 0
    return terms.owned_boot_seconds if own else terms.burst_boot_high_seconds


ACTION = PreWarm()
