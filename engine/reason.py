"""Reason: what is decided about one pool at one tick, in words and figures, or to do nothing.

Weighed are the proposal of the policy that steers and its neighbours. Each is valued by the
planning model, asked of the guards, and kept with the decision, taken or not. A pool's nodes and
its price are different things: each may be decided on in the same tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from engine import words
from engine.actions import Candidate, actions
from engine.champion import Roster
from engine.choosing import (
    CAPACITY,
    HEALING,
    Scene,
    Weighed,
    choices,
    is_preferred,
    is_toward,
    is_worth_it,
    refusals,
    weighed,
)
from engine.circumstances import Circumstances
from engine.gains import INTERVAL_RATIO, Gain, Planner
from engine.grounds import grounds
from engine.history import NO_PAST, PoolPast
from engine.observe import PoolObservation
from engine.policies import rule
from engine.shadow import Opinion, Opinions, opinions
from warehouse.actions import action_hash
from warehouse.records import Decision, Mode, Refusal, ShadowProposal

NOTHING = Gain(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
MOST_ALTERNATIVES = 12
TOLD_DRIVERS = 3
"""drivers named in a reason; all are kept with the evidence"""


@dataclass(frozen=True)
class Reasoned:
    """What came of reasoning about one pool."""

    decisions: list[Decision]
    """at most one for each target; one that does nothing where nothing is worth it"""
    refusals: list[Refusal]
    proposals: list[ShadowProposal]
    """what champion, challenger and rule would do"""


@dataclass(frozen=True)
class _Case:
    """All that one decision is written from."""

    scene: Scene
    said: Opinions
    found: Sequence[Weighed]
    chosen: Sequence[Weighed]
    """all that is proposed in this tick"""


def reasoned(
    seen: PoolObservation,
    past: PoolPast | None,
    around: Circumstances,
    planner: Planner,
    settings: rule.RuleSettings | None = None,
    roster: Roster | None = None,
) -> Reasoned:
    """The decisions on a pool, what the guards held back that was worth more, and the shadow."""
    said = opinions(roster or Roster(), seen, settings)
    scene = Scene(seen, past or NO_PAST, around, planner, said.steers)
    found = weighed(scene)
    chosen = choices(scene, found)
    case = _Case(scene, said, found, chosen)
    decided = [_decision(case, one) for one in chosen] or [_decision(case, None)]
    return Reasoned(decided, refusals(found, chosen, around), said.rows(seen))


def _decision(case: _Case, one: Weighed | None) -> Decision:
    seen, around = case.scene.seen, case.scene.around
    candidate = one.candidate if one else _nothing(seen)
    gain = one.gain if one else NOTHING
    action = actions()[candidate.action]
    limits, now = around.limits, around.now
    return Decision(
        decision_id=decision_id(seen, candidate.target if _is_further(case, one) else None),
        action=candidate.action,
        target=candidate.target,
        pool=candidate.pool,
        parameters=candidate.parameters,
        action_hash=action_hash(candidate.action, candidate.target, candidate.parameters),
        mode=_mode(candidate, around),
        policy=case.said.steers.policy_id,
        summary=words.what(candidate),
        reason=_reason(case, one),
        evidence=_evidence(case, gain) | grounds(seen, candidate).evidence,
        expected_gain_usd_per_hour=gain.mean_usd_per_hour,
        expected_gain_low_usd_per_hour=gain.low_usd_per_hour,
        expected_gain_high_usd_per_hour=gain.high_usd_per_hour,
        interval_ratio=INTERVAL_RATIO,
        disruption_cost_usd=gain.disruption_cost_usd,
        baseline=f"The rule would {case.said.rule.goal.sentence}.",
        alternatives=_alternatives(case, one),
        observation_id=seen.observation_id,
        snapshot_id=seen.snapshot_id,
        propensity_ratio=_propensity(case.said.steers, seen, candidate),
        horizon_seconds=action.horizon_seconds(limits),
        proposed_at=now,
        expires_at=now + timedelta(seconds=limits.decision_expiry_seconds),
    )


def decision_id(seen: PoolObservation, target: str | None = None) -> str:
    """The same for the same pool and instant: a tick that is repeated proposes nothing new.

    `target` is that of a further decision of the same tick.
    """
    further = "" if target is None else f"/{target}"
    return str(uuid5(NAMESPACE_URL, f"decision/{seen.observation_id}{further}"))


def _is_further(case: _Case, one: Weighed | None) -> bool:
    return one is not None and one is not case.chosen[0]


def _nothing(seen: PoolObservation) -> Candidate:
    return Candidate("do_nothing", f"pool/{seen.pool.pool}", seen.pool.pool, {})


def _mode(candidate: Candidate, around: Circumstances) -> Mode:
    return around.modes.get(candidate.action, "autonomous")


def _propensity(steers: Opinion, seen: PoolObservation, candidate: Candidate) -> float | None:
    """With what probability the policy chose it; None where the choice was not the policy's."""
    if not steers.is_learned:
        return 1.0
    goal, given = steers.goal, candidate.parameters
    if candidate.action in ("scale_up", "scale_down"):
        is_goal = CAPACITY[candidate.action] * given["nodes"] == goal.nodes
        return steers.propensities["nodes"] if is_goal else None
    if candidate.action in HEALING:
        return steers.propensities["heal"] if is_toward(candidate, goal, seen) else None
    if candidate.action == "adjust_price":
        is_goal = abs(given["price_usd_per_gpu_hour"] - goal.price_usd_per_gpu_hour) < 1e-3
        return steers.propensities["price"] if is_goal else None
    return None


# -- in words --------------------------------------------------------------------------


def _reason(case: _Case, one: Weighed | None) -> str:
    scene, said = case.scene, case.said
    parts = [words.situation(scene.seen)]
    if one is None:
        parts.append(_why_nothing(case))
    else:
        if _is_further(case, one):
            parts.append(f"On top of {words.short(case.chosen[0].candidate)}:")
        parts.append(words.promise(one.candidate, one.gain, scene.horizon_seconds(one.candidate)))
        parts += grounds(scene.seen, one.candidate).sentences
    if said.why_rule:
        parts.append(f"The rule steers here for now: {said.why_rule}")
    if said.steers.is_learned:
        parts.append(_moved_by(said))
    return " ".join(parts)


def _moved_by(said: Opinions) -> str:
    """What a learned policy would do and what moved it there."""
    steers = said.steers
    spoke = [one["words"] for one in steers.drivers if one["effect"] > 0][:TOLD_DRIVERS]
    if steers.goal.sentence == said.rule.goal.sentence:
        return f"{steers.policy_id} agrees with the rule."
    would = f"{steers.policy_id} would {steers.goal.sentence}"
    return f"{would}, moved by: {'; '.join(spoke)}." if spoke else f"{would}."


def _why_nothing(case: _Case) -> str:
    around, found = case.scene.around, case.found
    if not found:
        return "There is nothing that could be done."
    steers = case.said.steers
    own = [one for one in found if is_preferred(one, steers, around)]
    if steers.is_learned and not own:
        return "It is left as it is: the policy that steers wants no change that could be made."
    best = own[0] if own else found[0]
    text = f"The best on offer, {words.short(best.candidate)}, should earn {words.money(best.gain)}"
    least = around.limits.minimum_gain_usd_per_hour
    if best.guard and (own or is_worth_it(best.gain, around)):
        return f"{text}, but {best.why_not}."
    if own and around.modes.get(best.candidate.action) == "autonomous":
        return f"{text}: the planning model expects it to lose, so that it is left."
    if own:
        return f"{text}: too little to ask people about (at least ${least:g}/h is asked)."
    return f"{text}: too little to act on (at least ${least:g}/h beyond the error is asked)."


def _evidence(case: _Case, gain: Gain) -> dict[str, Any]:
    seen, said = case.scene.seen, case.said
    plain = said.rule.goal
    return {
        **{name: round(value, 4) for name, value in seen.features.items()},
        "gain_standard_error_usd_per_hour": round(gain.error_usd_per_hour, 2),
        "added_gpu_hours": round(gain.gpu_hours, 1),
        "added_late_jobs": round(gain.late_jobs, 2),
        "rule_nodes": plain.nodes,
        "rule_wanted_gpus": round(plain.wanted_gpus, 1),
        "rule_price_usd_per_gpu_hour": plain.price_usd_per_gpu_hour,
        **(_policy_evidence(said.steers) if said.steers.is_learned else {}),
    }


def _policy_evidence(steers: Opinion) -> dict[str, Any]:
    drivers = enumerate(steers.drivers, start=1)
    return {
        "policy_nodes": steers.goal.nodes,
        "policy_price_usd_per_gpu_hour": steers.goal.price_usd_per_gpu_hour,
        "policy_value_beyond_the_rule_usd": steers.value_usd,
        **{f"propensity_{name}_ratio": value for name, value in steers.propensities.items()},
        **{f"driver_{at}": f"{one['words']} ({one['effect']:+.2f})" for at, one in drivers},
    }


# -- what else was weighed -------------------------------------------------------------


def _alternatives(case: _Case, chosen: Weighed | None) -> list[dict[str, Any]]:
    taken = {id(one.candidate) for one in case.chosen}
    listed = [
        _alternative(one.candidate.action, one.candidate.parameters, one.gain)
        | {"guard": one.guard, "why_not": _why_not(one, chosen, case.scene.around)}
        for one in case.found
        if id(one.candidate) not in taken
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
    if not is_worth_it(one.gain, around):
        return "earns too little to be sure of"
    if chosen is None or one.candidate.target != chosen.candidate.target:
        return "is not what the policy that steers would do, or earns too little beside the choice"
    less = chosen.gain.mean_usd_per_hour - one.gain.mean_usd_per_hour
    if less < 0:
        return f"looks ${-less:.2f}/h better over this horizon; the policy prefers its own"
    return f"earns ${less:.2f}/h less than the choice"
