"""Adjust price: the price that new jobs lock in; running jobs keep theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.actions import Afterwards, Candidate
from engine.hands import Actuator
from engine.observe import PoolObservation
from engine.policies.rule import Proposal
from warehouse.limits import Limits
from warehouse.records import ActionType

STEPS_RATIO = (-0.10, -0.05, 0.05, 0.10)
"""Neighbours of the price in force, as shares of it."""
SMALLEST_STEP_RATIO = 0.005
"""A smaller change is none."""


class AdjustPrice:
    """Set the price of a pool."""

    name: ActionType = "adjust_price"
    can_undo = True

    def target(self, pool: str, parameters: Mapping[str, Any]) -> str:
        return f"price/{pool}"

    def horizon_seconds(self, limits: Limits) -> int:
        return limits.horizon_seconds

    def criterion(self, parameters: Mapping[str, Any]) -> str:
        return "The pool earns more than it would have at the price before"

    def is_met(self, after: Afterwards) -> bool | None:
        return after.earned()

    def candidates(self, seen: PoolObservation, goal: Proposal) -> list[Candidate]:
        now = seen.features["price_usd_per_gpu_hour"]
        prices = {round(now * (1 + step), 4) for step in STEPS_RATIO}
        prices |= {_toward(now, goal.price_usd_per_gpu_hour)}
        return [
            Candidate(
                self.name,
                f"price/{seen.pool.pool}",
                seen.pool.pool,
                {"price_usd_per_gpu_hour": price},
            )
            for price in sorted(prices)
            if abs(price - now) >= SMALLEST_STEP_RATIO * now
        ]

    def recheck(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> str | None:
        now, wanted = seen.features["price_usd_per_gpu_hour"], parameters["price_usd_per_gpu_hour"]
        if wanted == now:
            return f"the price is ${now:.2f} per GPU-hour already"
        return None

    def undo_recheck(
        self, seen: PoolObservation, parameters: Mapping[str, Any], result: Mapping[str, Any]
    ) -> str | None:
        now, then = seen.features["price_usd_per_gpu_hour"], parameters["price_usd_per_gpu_hour"]
        if abs(now - then) > SMALLEST_STEP_RATIO * then:
            return f"the price is ${now:.2f} by now, no longer the ${then:.2f} it set"
        return None

    def inverse(self, seen: PoolObservation, result: Mapping[str, Any]) -> Candidate | None:
        before = {"price_usd_per_gpu_hour": result["previous_price_usd_per_gpu_hour"]}
        return Candidate(self.name, f"price/{seen.pool.pool}", seen.pool.pool, before)

    def added_cost_usd_per_hour(
        self, seen: PoolObservation, parameters: Mapping[str, Any]
    ) -> float:
        return 0.0

    def removed_gpus(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> int:
        return 0

    def command(self, pool: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        price = float(parameters["price_usd_per_gpu_hour"])
        return "set_price", {"pool": pool, "price_usd_per_gpu_hour": price}

    def execute(
        self, hands: Actuator, command_id: str, pool: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        name, arguments = self.command(pool, parameters)
        return hands.perform(command_id, name, arguments)

    def undo(
        self, hands: Actuator, command_id: str, pool: str, result: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Set the price that was in force before."""
        before = result["previous_price_usd_per_gpu_hour"]
        arguments = {"pool": pool, "price_usd_per_gpu_hour": before}
        return hands.perform(command_id, "set_price", arguments)


def _toward(now: float, goal: float) -> float:
    """The goal, or as far toward it as one step goes."""
    furthest = STEPS_RATIO[-1] * now
    return round(now + min(max(goal - now, -furthest), furthest), 4)


ACTION = AdjustPrice()
