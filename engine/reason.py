"""Reason: one decision for each pool and tick, the best that the guards allow, or to do nothing.

What is weighed: the rule's own proposal and its neighbours. Each is valued by the planning model,
asked of the guards, and kept with the decision, taken or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from engine import words
from engine.actions import Candidate, actions
from engine.circumstances import Circumstances
from engine.gains import INTERVAL_RATIO, Gain, Planner
from engine.guards import Case, refusal
from engine.history import NO_PAST, PoolPast
from engine.observe import PoolObservation
from engine.policies import rule
from warehouse.actions import action_hash
from warehouse.records import Decision, Mode, Refusal

NOTHING = Gain(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
MOST_ALTERNATIVES = 12


@dataclass(frozen=True)
class Weighed:
    """A candidate with its gain, and the guard that holds it back, where one does."""

    candidate: Candidate
    gain: Gain
    guard: str | None = None
    why_not: str | None = None


@dataclass(frozen=True)
class Reasoned:
    """What came of reasoning about one pool."""

    decision: Decision
    refusals: list[Refusal]


def reasoned(
    seen: PoolObservation,
    past: PoolPast | None,
    around: Circumstances,
    planner: Planner,
    settings: rule.RuleSettings | None = None,
) -> Reasoned:
    """The decision on a pool, and what the guards held back that was worth more."""
    goal = rule.proposal(seen, settings)
    weighed = _weighed(seen, past or NO_PAST, around, planner, goal)
    chosen = _chosen(weighed, around)
    decision = _decision(seen, around, goal, chosen, weighed)
    return Reasoned(decision, _refusals(weighed, chosen, around))


def _weighed(
    seen: PoolObservation,
    past: PoolPast,
    around: Circumstances,
    planner: Planner,
    goal: rule.Proposal,
) -> list[Weighed]:
    """The candidates of every action that is not switched off, the best first."""
    candidates = [
        candidate
        for name, action in actions().items()
        if name != "do_nothing" and around.modes[name] != "off"
        for candidate in action.candidates(seen, goal)
    ]
    gains = planner.gains(seen, past, candidates, around.limits.horizon_seconds)
    weighed = [
        Weighed(candidate, gain, *(refusal(Case(candidate, seen), around) or (None, None)))
        for candidate, gain in zip(candidates, gains, strict=True)
    ]
    return sorted(weighed, key=lambda one: -one.gain.mean_usd_per_hour)


def _is_worth_it(gain: Gain, around: Circumstances) -> bool:
    # The best of many noisy figures flatters itself: a standard error is taken off.
    least = around.limits.minimum_gain_usd_per_hour
    return gain.mean_usd_per_hour - gain.error_usd_per_hour >= least


def _chosen(weighed: Sequence[Weighed], around: Circumstances) -> Weighed | None:
    """The best that no guard holds back and that is worth it; None is to do nothing."""
    for one in weighed:
        if one.guard is None and _is_worth_it(one.gain, around):
            return one
    return None


def _refusals(
    weighed: Sequence[Weighed], chosen: Weighed | None, around: Circumstances
) -> list[Refusal]:
    """The best of each action that a guard held back though it was worth more than the choice."""
    bar = chosen.gain.mean_usd_per_hour if chosen else 0.0
    held: dict[str, Weighed] = {}
    for one in weighed:
        if one.guard and one.gain.mean_usd_per_hour > bar and _is_worth_it(one.gain, around):
            held.setdefault(one.candidate.action, one)
    return [
        Refusal(
            action=one.candidate.action,
            target=one.candidate.target,
            parameters=one.candidate.parameters,
            guard=str(one.guard),
            detail=str(one.why_not),
            expected_gain_usd_per_hour=one.gain.mean_usd_per_hour,
            refused_at=around.now,
        )
        for one in held.values()
    ]


def _decision(
    seen: PoolObservation,
    around: Circumstances,
    goal: rule.Proposal,
    chosen: Weighed | None,
    weighed: Sequence[Weighed],
) -> Decision:
    candidate = chosen.candidate if chosen else _nothing(seen)
    gain = chosen.gain if chosen else NOTHING
    limits, now = around.limits, around.now
    return Decision(
        decision_id=decision_id(seen),
        action=candidate.action,
        target=candidate.target,
        pool=candidate.pool,
        parameters=candidate.parameters,
        action_hash=action_hash(candidate.action, candidate.target, candidate.parameters),
        mode=_mode(candidate, around),
        policy=rule.NAME,
        summary=words.what(candidate),
        reason=_reason(seen, around, chosen, weighed, goal),
        evidence=_evidence(seen, gain, goal),
        expected_gain_usd_per_hour=gain.mean_usd_per_hour,
        expected_gain_low_usd_per_hour=gain.low_usd_per_hour,
        expected_gain_high_usd_per_hour=gain.high_usd_per_hour,
        interval_ratio=INTERVAL_RATIO,
        disruption_cost_usd=gain.disruption_cost_usd,
        baseline=f"The rule would {goal.sentence}.",
        alternatives=_alternatives(chosen, weighed, around),
        observation_id=seen.observation_id,
        snapshot_id=seen.snapshot_id,
        propensity_ratio=1.0,
        horizon_seconds=limits.horizon_seconds,
        proposed_at=now,
        expires_at=now + timedelta(seconds=limits.decision_expiry_seconds),
    )


def decision_id(seen: PoolObservation) -> str:
    """The same for the same pool and instant: a tick that is repeated proposes nothing new."""
    return str(uuid5(NAMESPACE_URL, f"decision/{seen.observation_id}"))


def _nothing(seen: PoolObservation) -> Candidate:
    return Candidate("do_nothing", f"pool/{seen.pool.pool}", seen.pool.pool, {})


def _mode(candidate: Candidate, around: Circumstances) -> Mode:
    return around.modes.get(candidate.action, "autonomous")


def _reason(
    seen: PoolObservation,
    around: Circumstances,
    chosen: Weighed | None,
    weighed: Sequence[Weighed],
    goal: rule.Proposal,
) -> str:
    situation = words.situation(seen)
    if chosen is not None:
        promise = words.promise(chosen.candidate, chosen.gain, around.limits.horizon_seconds)
        return f"{situation} {promise}"
    return f"{situation} {_why_nothing(weighed, around)}"


def _why_nothing(weighed: Sequence[Weighed], around: Circumstances) -> str:
    if not weighed:
        return "There is nothing that could be done."
    best = weighed[0]
    text = f"The best on offer, {words.short(best.candidate)}, should earn {words.money(best.gain)}"
    if best.guard and _is_worth_it(best.gain, around):
        return f"{text}, but {best.why_not}."
    least = around.limits.minimum_gain_usd_per_hour
    return f"{text}: too little to act on (at least ${least:g}/h beyond the error is asked)."


def _evidence(seen: PoolObservation, gain: Gain, goal: rule.Proposal) -> dict[str, Any]:
    return {
        **{name: round(value, 4) for name, value in seen.features.items()},
        "gain_standard_error_usd_per_hour": round(gain.error_usd_per_hour, 2),
        "added_gpu_hours": round(gain.gpu_hours, 1),
        "added_late_jobs": round(gain.late_jobs, 2),
        "rule_nodes": goal.nodes,
        "rule_wanted_gpus": round(goal.wanted_gpus, 1),
        "rule_price_usd_per_gpu_hour": goal.price_usd_per_gpu_hour,
    }


def _alternatives(
    chosen: Weighed | None, weighed: Sequence[Weighed], around: Circumstances
) -> list[dict[str, Any]]:
    listed = [
        _alternative(one.candidate.action, one.candidate.parameters, one.gain)
        | {"guard": one.guard, "why_not": _why_not(one, chosen, around)}
        for one in weighed
        if one is not chosen
    ]
    if chosen is not None:
        gain = chosen.gain.mean_usd_per_hour
        forgone = {"guard": None, "why_not": f"would leave ${gain:.0f}/h unearned"}
        listed.insert(0, _alternative("do_nothing", {}, NOTHING) | forgone)
    return listed[:MOST_ALTERNATIVES]


def _alternative(action: str, parameters: dict[str, Any], gain: Gain) -> dict[str, Any]:
    return {
        "action": action,
        "parameters": parameters,
        "expected_gain_usd_per_hour": round(gain.mean_usd_per_hour, 2),
        "expected_gain_low_usd_per_hour": round(gain.low_usd_per_hour, 2),
        "expected_gain_high_usd_per_hour": round(gain.high_usd_per_hour, 2),
    }


def _why_not(one: Weighed, chosen: Weighed | None, around: Circumstances) -> str:
    if one.why_not:
        return one.why_not
    if not _is_worth_it(one.gain, around):
        return "earns too little to be sure of"
    assert chosen is not None
    less = chosen.gain.mean_usd_per_hour - one.gain.mean_usd_per_hour
    return f"earns ${less:.2f}/h less than the choice"
