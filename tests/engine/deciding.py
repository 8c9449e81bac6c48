"""Decisions for tests of the loop: made by hand, decided, carried on, and hands that record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from engine.evaluate import Judgement, Question
from engine.observe import observed
from tests.engine.world import NAME, Played
from tests.makers import make_decision
from warehouse import decisions
from warehouse.records import Decision

MINUTE = timedelta(minutes=1)


@dataclass
class RecordingHands:
    """Hands that do what they are told to: answer, or raise."""

    error: Exception | None = None
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)

    def perform(
        self, command_id: str, command: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        self.asked.append((command_id, command, dict(arguments)))
        if self.error is not None:
            raise self.error
        return {"node_ids": ["lease-0"], "previous_price_usd_per_gpu_hour": 2.89}

    def has_begun(self, command_id: str) -> bool:
        """Never: it is done whole or not at all."""
        return False

    def answer_to(self, command_id: str) -> dict[str, Any] | None:
        return self.answers.get(command_id)


@dataclass(frozen=True)
class FixedJudge:
    """A judge who always says the same."""

    gain_usd_per_hour: float
    spread_usd_per_hour: float = 0.0
    """to either side"""

    def judgement(self, question: Question) -> Judgement:
        gain, spread = self.gain_usd_per_hour, self.spread_usd_per_hour
        return Judgement(gain, gain - spread, gain + spread, "twin", "As told.")


def proposed(played: Played, **changes: Any) -> Decision:
    """A decision of the small pool, made by hand; the engine proposes nothing of its own."""
    played.set_modes("approve")
    values = {
        "pool": NAME,
        "target": f"price/{NAME}",
        "action": "adjust_price",
        "parameters": {"price_usd_per_gpu_hour": round(price(played) * 1.05, 4)},
        "proposed_at": played.now,
        "expires_at": played.now + timedelta(minutes=30),
        "horizon_seconds": 3600,
    }
    decision = make_decision(**(values | changes))
    decisions.propose(played.store, decision)
    return decision


def price(played: Played) -> float:
    state = played.world.fleet.pools[NAME].state
    return float(state.pool[0, 0]["price_micro_usd"]) / 1e6


def approve(played: Played, decision_id: str = "decision-1") -> None:
    decisions.approve(played.store, decision_id, by="ada", via="browser", now=played.now)


def state(played: Played, decision_id: str = "decision-1") -> str:
    return decisions.decision(played.store, decision_id, now=played.now).state


def follow_up(played: Played, **changes: Any) -> None:
    """A tick that reasons about nothing: what was decided is carried on."""
    engine = replace(played.engine, **changes) if changes else played.engine
    engine._follow_up(played.now, lambda: observed(played.store, played.now))
