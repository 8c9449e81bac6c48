"""Do nothing: a decision like any other, with its reasons, that is never carried out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.actions import Afterwards, Candidate
from engine.hands import Actuator, CommandRefused
from engine.observe import PoolObservation
from engine.policies.rule import Proposal
from warehouse.limits import Limits
from warehouse.records import ActionType


class DoNothing:
    """Leave a pool as it is."""

    name: ActionType = "do_nothing"
    can_undo = False

    def target(self, pool: str, parameters: Mapping[str, Any]) -> str:
        return f"pool/{pool}"

    def horizon_seconds(self, limits: Limits) -> int:
        return limits.horizon_seconds

    def criterion(self, parameters: Mapping[str, Any]) -> str:
        return ""

    def is_met(self, after: Afterwards) -> bool | None:
        return None

    def candidates(self, seen: PoolObservation, goal: Proposal) -> list[Candidate]:
        return [Candidate(self.name, f"pool/{seen.pool.pool}", seen.pool.pool, {})]

    def recheck(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> str | None:
        return None

    def undo_recheck(
        self, seen: PoolObservation, parameters: Mapping[str, Any], result: Mapping[str, Any]
    ) -> str | None:
        return "nothing was done"

    def inverse(self, seen: PoolObservation, result: Mapping[str, Any]) -> Candidate | None:
        return None

    def added_cost_usd_per_hour(
        self, seen: PoolObservation, parameters: Mapping[str, Any]
    ) -> float:
        return 0.0

    def removed_gpus(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> int:
        return 0

    def command(self, pool: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        raise CommandRefused("doing nothing asks nothing of anybody")

    def execute(
        self, hands: Actuator, command_id: str, pool: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {}

    def undo(
        self, hands: Actuator, command_id: str, pool: str, result: Mapping[str, Any]
    ) -> dict[str, Any]:
        raise CommandRefused("nothing was done, so nothing can be undone")


ACTION = DoNothing()
