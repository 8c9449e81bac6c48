"""Evaluate: what came of a decision against what would have happened without it.

A judge that can tell says so in dollars, with an interval: it helped (all of it above 0), it did
harm (all of it below 0, and the mean at least the limit), or neither can be said, which is its own
answer. Where there is no judge the outcome is `unmeasured`, with no figure. What did harm is asked
to be undone, or put to a person where it can't be. Beside the money stands whether the action's own
criterion is met.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from engine import promoting
from engine.actions import Afterwards, Verdict, actions
from engine.actions.promote_policy import ALL_POOLS
from engine.circumstances import circumstances
from engine.observe import observed
from engine.undoing import why_not
from warehouse import controls
from warehouse.decisions import DecisionState, ask_undo, decision
from warehouse.records import Outcome
from warehouse.store import Store

BY_EVALUATION = "evaluation"


@dataclass(frozen=True)
class Question:
    """What a judge is asked: what the command was worth, or would have been, in a span."""

    decision_id: str
    pool: str
    command: str
    arguments: dict[str, Any]
    was_done: bool
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class Judgement:
    """What a command was worth, in USD per hour of the span."""

    gain_usd_per_hour: float
    low_usd_per_hour: float
    high_usd_per_hour: float
    method: str
    detail: str


class Judge(Protocol):
    """Whoever can tell what would have happened otherwise."""

    def judgement(self, question: Question) -> Judgement | None:
        """The worth of the command; None where it can't be told."""
        ...


class NoJudge:
    """Of a real fleet without a twin: nothing is measured, and that is said."""

    def judgement(self, question: Question) -> Judgement | None:
        """None."""
        return None


def evaluate(store: Store, judge: Judge, decision_id: str, now: datetime) -> None:
    """Put a decision's outcome on record, and have it undone if it did harm."""
    asked = decision(store, decision_id, now=now)
    judged = _judged(store, judge, asked)
    was_done = asked.execution_phase == "succeeded"
    verdict = verdict_of(judged, controls.limits(store).harm_usd_per_hour)
    did_harm = was_done and verdict == "harmed"
    is_met = _is_met(store, asked, verdict, now) if was_done else None
    detail = _detail(asked, judged, was_done, verdict)
    wants_undo = False
    if did_harm:
        sentence, wants_undo = _what_now(store, asked, now)
        detail = f"{detail} {sentence}"
    with store.transaction():
        measured = _outcome(asked, judged, did_harm, detail, now)
        store.append([replace(measured, judgement=verdict, criterion_is_met=is_met)])
        if wants_undo:
            why = f"it did harm: {detail}"
            ask_undo(store, decision_id, by=BY_EVALUATION, reason=why, now=now, via="rule")


def _judged(store: Store, judge: Judge, asked: DecisionState) -> Judgement | None:
    question = _question(asked)
    if asked.action != "promote_policy":
        return judge.judgement(question)
    found = promoting.realised(store, asked, question.starts_at, question.ends_at)
    words = "By the twin against the rule, in every pool."
    return Judgement(*found, "twin", words) if found else None


def verdict_of(judged: Judgement | None, harm_usd_per_hour: float) -> Verdict:
    """What a judgement comes to: a loss within the limit, or within its interval, is none."""
    if judged is None:
        return "unmeasured"
    if judged.low_usd_per_hour > 0:
        return "helped"
    if judged.high_usd_per_hour < 0 and judged.gain_usd_per_hour <= -harm_usd_per_hour:
        return "harmed"
    return "inconclusive"


def _is_met(store: Store, asked: DecisionState, verdict: Verdict, now: datetime) -> bool | None:
    """Whether the action's criterion is met; None where its pool has not been read lately."""
    seen = observed(store, now, only=asked.pool).get(asked.pool)
    if seen is None:
        return _is_met_unseen(asked, verdict)
    after = Afterwards(
        before=asked.evidence,
        seen=seen,
        parameters=asked.verdict_parameters or asked.parameters,
        result=asked.execution_result or {},
        verdict=verdict,
    )
    return actions()[asked.action].is_met(after)


def _is_met_unseen(asked: DecisionState, verdict: Verdict) -> bool | None:
    # A promotion concerns every pool: money alone tells.
    return {"helped": True, "harmed": False}.get(verdict) if asked.pool == ALL_POOLS else None


def _question(asked: DecisionState) -> Question:
    was_done = asked.execution_phase == "succeeded"
    parameters = (asked.verdict_parameters if was_done else None) or asked.parameters
    command, arguments = actions()[asked.action].command(asked.pool, parameters)
    starts_at = asked.execution_ended_at if was_done else asked.proposed_at
    assert starts_at is not None
    ends_at = starts_at + timedelta(seconds=asked.horizon_seconds)
    return Question(asked.decision_id, asked.pool, command, arguments, was_done, starts_at, ends_at)


def _what_now(store: Store, asked: DecisionState, now: datetime) -> tuple[str, bool]:
    """What is to come of a harmful decision, and whether undoing is asked for."""
    if asked.state in ("undone", "undoing", "undo_failed"):
        return "It has been asked to be undone already.", False
    if not asked.can_undo:
        return "It can't be undone: a person should look.", False
    if asked.action == "promote_policy":
        return "It is to be undone.", True
    seen = observed(store, now).get(asked.pool)
    if seen is None:  # undoing waits for a reading anyhow, and asks then what is asked below
        return f"It is to be undone once {asked.pool} has been read again.", True
    refused = why_not(asked, seen, circumstances(store, now, but_for=asked.decision_id))
    if refused:
        return f"It is not undone by itself: {refused[1]}. A person should look.", False
    return "It is to be undone.", True


def _detail(
    asked: DecisionState, judged: Judgement | None, was_done: bool, verdict: Verdict
) -> str:
    hours = asked.horizon_seconds / 3600
    promised = f"promised {_usd(asked.expected_gain_usd_per_hour)}/h over {hours:g} h"
    if judged is None:
        verb = "It" if was_done else "It was not carried out; it"
        return f"{verb} {promised}. Nobody can tell what would have happened otherwise."
    verb = "It" if was_done else "It was not carried out; it would have"
    text = f"{verb} {_came(judged.gain_usd_per_hour)}; it {promised}. {judged.detail}"
    return f"{text} {_doubt(judged)}" if verdict == "inconclusive" else text


def _doubt(judged: Judgement) -> str:
    """Why an inconclusive result says neither that it helped nor that it did harm."""
    low, high = judged.low_usd_per_hour, judged.high_usd_per_hour
    if low <= 0 <= high and low < high:
        return f"Between {_usd(low)}/h and {_usd(high)}/h it can't be told from doing nothing."
    return "That is too little to be called harm."


def _came(gain_usd_per_hour: float) -> str:
    """What came of it: `gained $3.20/h`, `lost $14.28/h`."""
    cents = round(gain_usd_per_hour, 2)
    return f"{'lost' if cents < 0 else 'gained'} ${abs(cents):.2f}/h"


def _usd(amount: float) -> str:
    return f"{'-' if amount < 0 else ''}${abs(amount):.2f}"


def _criterion(asked: DecisionState) -> str | None:
    parameters = asked.verdict_parameters or asked.parameters
    return actions()[asked.action].criterion(parameters) or None


def _outcome(
    asked: DecisionState, judged: Judgement | None, did_harm: bool, detail: str, now: datetime
) -> Outcome:
    return Outcome(
        decision_id=asked.decision_id,
        realised_gain_usd_per_hour=judged.gain_usd_per_hour if judged else None,
        realised_gain_low_usd_per_hour=judged.low_usd_per_hour if judged else None,
        realised_gain_high_usd_per_hour=judged.high_usd_per_hour if judged else None,
        criterion=_criterion(asked),
        method=judged.method if judged else "unmeasured",
        did_harm=did_harm,
        detail=detail,
        measured_at=now,
    )
