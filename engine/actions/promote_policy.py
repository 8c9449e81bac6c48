"""Promote policy: let a challenger that has passed its gates steer. It concerns every pool.

What it asks is asked of the warehouse (`engine/promoting.py`), not of the fleet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.actions import Afterwards, Candidate
from engine.hands import Actuator
from engine.observe import PoolObservation
from engine.policies.rule import Proposal
from warehouse.limits import Limits
from warehouse.records import ActionType

ALL_POOLS = "all"
"""What a promotion has in place of a pool."""
TARGET = "policy/champion"


class PromotePolicy:
    """Make a policy the champion."""

    name: ActionType = "promote_policy"
    can_undo = True

    def target(self, pool: str, parameters: Mapping[str, Any]) -> str:
        return TARGET

    def horizon_seconds(self, limits: Limits) -> int:
        return limits.horizon_seconds

    def criterion(self, parameters: Mapping[str, Any]) -> str:
        return "It earns more than the rule would have, over every pool"

    def is_met(self, after: Afterwards) -> bool | None:
        return after.earned()

    def candidates(self, seen: PoolObservation, goal: Proposal) -> list[Candidate]:
        """None: no pool's state asks for it; continual learning does, once the gates are passed."""
        return []

    def recheck(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> str | None:
        return None  # who steers by then, the hands look up in the transaction that changes it

    def undo_recheck(
        self, seen: PoolObservation, parameters: Mapping[str, Any], result: Mapping[str, Any]
    ) -> str | None:
        return None  # likewise

    def inverse(self, seen: PoolObservation, result: Mapping[str, Any]) -> Candidate | None:
        return None

    def added_cost_usd_per_hour(
        self, seen: PoolObservation, parameters: Mapping[str, Any]
    ) -> float:
        return 0.0

    def removed_gpus(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> int:
        return 0

    def command(self, pool: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return self.name, {"policy_id": str(parameters["policy_id"])}

    def execute(
        self, hands: Actuator, command_id: str, pool: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        name, arguments = self.command(pool, parameters)
        return hands.perform(command_id, name, arguments)

    def undo(
        self, hands: Actuator, command_id: str, pool: str, result: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Let the policy before it steer again."""
        return hands.perform(command_id, "roll_back", {"policy_id": result["policy_id"]})


ACTION = PromotePolicy()
