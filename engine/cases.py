"""A case: what the guards are asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from engine.actions import Candidate, actions
from engine.observe import PoolObservation


class Asked(Protocol):
    """What may be asked about without looking at a pool."""

    @property
    def candidate(self) -> Candidate: ...

    @property
    def decision_id(self) -> str | None: ...

    @property
    def decided_via(self) -> str | None: ...


@dataclass(frozen=True)
class Case:
    """A candidate, its pool, and the decision it already is, where it is one."""

    candidate: Candidate
    seen: PoolObservation
    decision_id: str | None = None
    decided_via: str | None = None
    """By which door it was approved; None while it is only proposed."""

    @property
    def price(self) -> float | None:
        """The price it would set, in USD per GPU-hour."""
        return self.candidate.parameters.get("price_usd_per_gpu_hour")

    @property
    def removed_gpus(self) -> int:
        """GPUs it takes away."""
        return actions()[self.candidate.action].removed_gpus(self.seen, self.candidate.parameters)

    @property
    def added_cost_usd_per_hour(self) -> float:
        """Running cost it adds."""
        return actions()[self.candidate.action].added_cost_usd_per_hour(
            self.seen, self.candidate.parameters
        )
