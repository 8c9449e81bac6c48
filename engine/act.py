"""Act: carry out what was approved, once, and take back what is to be undone.

The intent is written before the deed, and the decision's id is the command's id; so after a crash
the hands say whether the deed was done, and if it was not, it is asked again and then done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from engine import guards, promoting
from engine.actions import Candidate, actions
from engine.circumstances import Circumstances, circumstances
from engine.deeds import newest_other_deed_at, perform, refuse, step, succeeded
from engine.hands import Actuator
from engine.observe import PoolObservation
from engine.undoing import take_back
from warehouse import controls
from warehouse.actions import action_hash
from warehouse.approvals import approvals, are_enough
from warehouse.breaker import open_where_due
from warehouse.decisions import DecisionState, decision
from warehouse.records import Ticket
from warehouse.store import Store
from warehouse.windows import fresh_until

Seen = Mapping[str, PoolObservation]


@dataclass(frozen=True)
class Go:
    """Nothing says no."""

    case: guards.Case


@dataclass(frozen=True)
class Wait:
    """Not now: the decision stays as it is and is asked about again."""


@dataclass(frozen=True)
class No:
    """A guard or a re-check says no, for good."""

    guard: str
    sentence: str


def carry_on(store: Store, hands: Actuator, decision_id: str, seen: Seen, now: datetime) -> None:
    """Take a decision as far as it can go now: do it, finish it after a crash, or undo it.

    `seen` is each pool as it was last read.

    Raises:
        CommandLost, WarehouseError: it is still under way; carry on with it later.
    """
    asked = decision(store, decision_id, now=now)
    # Somebody may have spoken since the tick began: what they asked for comes after they spoke.
    spoken = (asked.decided_at, asked.undo_requested_at)
    now = max([now, *(at for at in spoken if at is not None)])
    if asked.action == "promote_policy":
        promoting.carry_on(store, asked, now)
    elif asked.state == "undoing":
        take_back(store, hands, asked, seen, now)
    elif asked.state == "carrying_out":
        _resume(store, hands, asked, seen, now)
    elif asked.state == "approved":
        _begin(store, hands, asked, seen, now)


def _begin(store: Store, hands: Actuator, asked: DecisionState, pools: Seen, now: datetime) -> None:
    answer = _asked_again(store, asked, pools.get(asked.pool), now)
    ticket = Ticket(decision_id=asked.decision_id, purpose="execution")
    match answer:
        case No(guard, sentence):
            with store.transaction():
                store.take(ticket)
                refuse(store, asked, "do", guard, sentence, now)
        case Go(case):
            reckoned = {
                "added_cost_usd_per_hour": case.added_cost_usd_per_hour,
                "removed_gpus": case.removed_gpus,
            }
            with store.transaction():
                store.take(ticket)
                store.append([step(asked, "do", "intended", now, result=reckoned)])
                open_where_due(store, controls.limits(store), now)
            _do(store, hands, asked, now)


def _resume(
    store: Store, hands: Actuator, asked: DecisionState, pools: Seen, now: datetime
) -> None:
    """After a crash between the intent and its end: was it done? If not, is it still right?"""
    done = hands.answer_to(asked.decision_id)
    if done is not None:
        succeeded(store, asked, "do", done, now)
        return
    if hands.has_begun(asked.decision_id):  # half done: going on or going back is for the hands
        _do(store, hands, asked, now)
        return
    match _asked_again(store, asked, pools.get(asked.pool), now):
        case No(guard, sentence):
            refuse(store, asked, "do", guard, sentence, now)
        case Go():
            _do(store, hands, asked, now)


def _do(store: Store, hands: Actuator, asked: DecisionState, now: datetime) -> None:
    action, parameters = actions()[asked.action], asked.verdict_parameters or {}
    perform(
        store,
        asked,
        "do",
        lambda: action.execute(hands, asked.decision_id, asked.pool, parameters),
        now,
    )


# -- is it still right? ----------------------------------------------------------------


def _asked_again(
    store: Store, asked: DecisionState, seen: PoolObservation | None, now: datetime
) -> Go | Wait | No:
    """Whether it may be done now, must wait, or is refused.

    What holds everything, a maintenance window that is closed, and a reading from before the
    pool's newest deed make it wait; it waits no longer than its approval is fresh.
    """
    around = circumstances(store, now, but_for=asked.decision_id)
    changed = _not_as_approved(asked, around) or _not_by_enough(store, asked, around)
    if changed:
        return changed
    if seen is None:
        return No("pool_is_seen", f"{asked.pool} has not been read lately")
    case = _case(asked, seen)
    switched = guards.mode_refusal(case, around)
    if switched:
        return No(*switched)
    acted_at = newest_other_deed_at(store, asked, "do")
    if guards.hold(case, around) or (acted_at and seen.state.measured_at <= acted_at):
        return Wait()
    return _judged(case, around)


def _not_as_approved(asked: DecisionState, around: Circumstances) -> No | None:
    parameters = asked.verdict_parameters or {}
    if asked.verdict_action_hash != action_hash(asked.action, asked.target, parameters):
        return No("action_is_as_approved", "what was approved is not what would be done")
    decided_at, limits = asked.decided_at or around.now, around.limits
    fresh = fresh_until(
        limits.maintenance, asked.action, decided_at, limits.decision_expiry_seconds
    )
    if around.now > fresh:
        minutes = (around.now - decided_at).total_seconds() / 60
        return No("approval_is_fresh", f"it was approved {minutes:.0f} min ago: too long")
    return None


def _not_by_enough(store: Store, asked: DecisionState, around: Circumstances) -> No | None:
    """Asked again, since four eyes may have been asked for after one had said yes."""
    if not around.four_eyes.get(asked.action):
        return None
    if are_enough(approvals(store, asked.decision_id), asked.verdict_action_hash):
        return None
    return No("two_people_approved", f"two people must say yes to {asked.action} by now")


def _judged(case: guards.Case, around: Circumstances) -> Go | No:
    refused = guards.refusal(case, around)
    if refused:
        return No(*refused)
    candidate = case.candidate
    changed = actions()[candidate.action].recheck(case.seen, candidate.parameters)
    return No("still_makes_sense", changed) if changed else Go(case)


def _case(asked: DecisionState, seen: PoolObservation) -> guards.Case:
    name, parameters = actions()[asked.action].name, asked.verdict_parameters or {}
    candidate = Candidate(name, asked.target, asked.pool, parameters)
    return guards.Case(candidate, seen, asked.decision_id, asked.decided_via)
