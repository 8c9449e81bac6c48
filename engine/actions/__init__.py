"""The action types, discovered by folder: a module here that has an `ACTION` is one.

candidates(seen, goal)   what it could do now
recheck(seen, ...)       whether it still makes sense, minutes later
execute(hands, ...)      the deed, safe to repeat under one command id
undo(hands, ...)         taking it back, likewise
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from engine.hands import Actuator
from engine.observe import PoolObservation
from engine.policies.rule import Proposal
from warehouse.records import ActionType


@dataclass(frozen=True)
class Candidate:
    """Something that could be done."""

    action: ActionType
    target: str
    pool: str
    parameters: dict[str, Any]


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

    def target(self, pool: str) -> str:
        """The thing acted on; one thing has one decision under way."""
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
        """Take it back, given what doing it answered."""
        ...


@cache
def actions() -> dict[str, Action]:
    """Every action type by name."""
    found = (
        importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    )
    return {module.ACTION.name: module.ACTION for module in found if hasattr(module, "ACTION")}
