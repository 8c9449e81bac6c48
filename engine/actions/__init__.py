"""The action types, discovered by folder: a module here that has an `ACTION` is one.

candidates(seen, goal)   what it could do now
recheck(seen, ...)       whether it still makes sense, minutes later
execute(hands, ...)      the deed, safe to repeat under one command id
undo(hands, ...)         taking it back, likewise
criterion, is_met(...)   when it counts as a success, once its horizon is over
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol

from engine.hands import Actuator
from engine.observe import PoolObservation
from engine.policies.rule import Proposal
from warehouse.limits import Limits
from warehouse.records import ActionType

Verdict = Literal["helped", "harmed", "inconclusive", "unmeasured"]
"""What the interval of a realised gain says."""


@dataclass(frozen=True)
class Candidate:
    """Something that could be done."""

    action: ActionType
    target: str
    pool: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Afterwards:
    """What a deed's success is judged by, once its horizon is over."""

    before: Mapping[str, Any]
    """The evidence of its decision: the pool's figures when it was proposed"""
    seen: PoolObservation
    """The pool now"""
    parameters: Mapping[str, Any]
    result: Mapping[str, Any]
    """What the hands answered"""
    verdict: Verdict
    """What the counterfactual says of it"""

    def fewer_wait(self) -> bool:
        """Whether nobody waits, or fewer GPUs are waited for than before."""
        now = self.seen.state.queued_gpus
        return now == 0 or now < float(self.before.get("queued_gpus", 0.0))

    def earned(self) -> bool | None:
        """Whether it gained; None where that can't be told."""
        return {"helped": True, "harmed": False}.get(self.verdict)


class Action(Protocol):
    """A kind of action."""

    @property
    def name(self) -> ActionType:
        """Its name in `warehouse/actions.py`."""
        ...

    @property
    def can_undo(self) -> bool:
        """Whether it can be taken back at all."""
        ...

    def target(self, pool: str, parameters: Mapping[str, Any]) -> str:
        """The thing acted on; one thing has one decision under way."""
        ...

    def horizon_seconds(self, limits: Limits) -> int:
        """After how long it is measured and its success is judged."""
        ...

    def criterion(self, parameters: Mapping[str, Any]) -> str:
        """When it counts as a success, in words; empty where nothing is done."""
        ...

    def is_met(self, after: Afterwards) -> bool | None:
        """Whether it is a success by that criterion; None where it can't be told."""
        ...

    def candidates(self, seen: PoolObservation, goal: Proposal) -> list[Candidate]:
        """What it could do now, near what the rule would do; empty where nothing."""
        ...

    def recheck(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> str | None:
        """Why it makes no sense any more, in words; None where it does."""
        ...

    def undo_recheck(
        self, seen: PoolObservation, parameters: Mapping[str, Any], result: Mapping[str, Any]
    ) -> str | None:
        """Why it can't be taken back as things are, given what doing it answered; else None."""
        ...

    def inverse(self, seen: PoolObservation, result: Mapping[str, Any]) -> Candidate | None:
        """What taking it back would do as things are, for the guards; None where nothing."""
        ...

    def added_cost_usd_per_hour(
        self, seen: PoolObservation, parameters: Mapping[str, Any]
    ) -> float:
        """Most running cost that it adds."""
        ...

    def removed_gpus(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> int:
        """GPUs that it takes away from the pool."""
        ...

    def command(self, pool: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """What is asked of the hands: the command's name and arguments."""
        ...

    def execute(
        self, hands: Actuator, command_id: str, pool: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Do it; what the hands answered, with what undoing needs."""
        ...

    def undo(
        self, hands: Actuator, command_id: str, pool: str, result: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Take it back, given its parameters and what doing it answered, as one mapping."""
        ...


@cache
def actions() -> dict[str, Action]:
    """Every action type by name."""
    found = (
        importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    )
    return {module.ACTION.name: module.ACTION for module in found if hasattr(module, "ACTION")}
