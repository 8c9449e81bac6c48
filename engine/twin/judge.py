"""What a decision was worth, from rows alone: the span as it came, played with it and without it.

Both plays take everything else that was really done, at its own instant, and meet the same
customers, drawn anew several times conditional on what they did. The spread over the draws is what
is not known: what customers would have paid, and what work goes on beyond what was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from engine.evaluate import Judgement, Question
from engine.simulator.metrics import profit
from engine.simulator.settings import Economics
from engine.twin.commands import Given, given_commands
from engine.twin.episodes import Span, read_span
from engine.twin.errors import NothingKnown
from engine.twin.play import play_commands
from engine.twin.spread import interval
from engine.twin.validity import is_valid
from warehouse.store import Store

Floats = npt.NDArray[np.float64]

REDRAWS = 16


@dataclass(frozen=True)
class RowsJudge:
    """Satisfies `engine.evaluate.Judge` for a fleet that is known by rows alone."""

    store: Store
    terms: Mapping[str, Economics] = field(default_factory=dict)
    """what is agreed in each pool"""
    redraws: int = REDRAWS
    asks_validity: bool = True
    """whether a twin that does not match reality, or was never compared with it, is refused"""

    def judgement(self, question: Question) -> Judgement | None:
        """The worth of the command; None where the twin may not judge or the rows do not reach."""
        if self.asks_validity and not is_valid(self.store, question.pool):
            return None
        try:
            span = read_span(
                self.store,
                question.pool,
                question.starts_at,
                question.ends_at,
                self.terms.get(question.pool),
            )
        except NothingKnown:
            return None
        given = given_commands(self.store, question.pool, span.starts_at, question.ends_at)
        gains = self._gains(question, span, given)
        hours = (question.ends_at - question.starts_at) / timedelta(hours=1)
        mean, low, high = (value / hours for value in interval(gains))
        detail = f"Played by the twin with it and without it, customers drawn {len(gains)} times."
        return Judgement(mean, low, high, "twin", detail)

    def _gains(self, question: Question, span: Span, given: list[Given]) -> Floats:
        without = [one for one in given if one.decision_id != question.decision_id]
        with_it = given
        if not question.was_done:
            ask = (question.command, question.arguments)
            told = Given(question.decision_id, question.starts_at, (ask,))
            with_it = [*without, told]
        ends_at = question.ends_at
        ours, theirs = (
            profit(play_commands(span, each, ends_at, self.redraws)) for each in (with_it, without)
        )
        gains: Floats = ours - theirs
        return gains
