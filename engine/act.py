"""Act: carry out what was approved, once, and take back what is to be undone.

The intent is written before the deed, and the decision's id is the command's id; so after a crash
the hands say whether the deed was done, and if it was not, it is asked again and then done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from engine import guards
from engine.actions import Action, Candidate, actions
from engine.hands import Actuator, CommandRefused
from engine.observe import PoolObservation
from warehouse import controls
from warehouse.actions import action_hash
from warehouse.decisions import DecisionState, decision
from warehouse.records import Execution, ListPrice, Refusal, Ticket
from warehouse.store import Store

Kind = Literal["do", "undo"]
Phase = Literal["intended", "succeeded", "failed", "refused"]

Seen = Mapping[str, PoolObservation]


def carry_on(store: Store, hands: Actuator, decision_id: str, seen: Seen, now: datetime) -> None:
    """Take a decision as far as it can go now: do it, finish it after a crash, or undo it.

    `seen` is each pool as it was last read.
    """
    asked = decision(store, decision_id, now=now)
    if asked.state == "undoing":
        _undo(store, hands, asked, seen, now)
    elif asked.state == "carrying_out":
        _resume(store, hands, asked, seen, now)
    elif asked.state == "approved":
        _begin(store, hands, asked, seen, now)


# -- doing -----------------------------------------------------------------------------


def _begin(store: Store, hands: Actuator, asked: DecisionState, pools: Seen, now: datetime) -> None:
    case, refused = _asked_again(store, asked, pools.get(asked.pool), now)
    ticket = Ticket(decision_id=asked.decision_id, purpose="execution")
    if refused is not None:
        with store.transaction():
            store.take(ticket)
            _refuse(store, asked, *refused, now)
        return
    assert case is not None
    reckoned = {
        "added_cost_usd_per_hour": case.added_cost_usd_per_hour,
        "removed_gpus": case.removed_gpus,
    }
    with store.transaction():
        store.take(ticket)
        store.append([_step(asked, "do", "intended", now, result=reckoned)])
    _do(store, hands, asked, now)


def _resume(
    store: Store, hands: Actuator, asked: DecisionState, pools: Seen, now: datetime
) -> None:
    """After a crash between the intent and its end: was it done? If not, is it still right?"""
    answer = hands.answer_to(asked.decision_id)
    if answer is not None:
        _succeeded(store, asked, "do", answer, now)
        return
    _, refused = _asked_again(store, asked, pools.get(asked.pool), now)
    if refused is not None:
        _refuse(store, asked, *refused, now)
        return
    _do(store, hands, asked, now)


def _asked_again(
    store: Store, asked: DecisionState, seen: PoolObservation | None, now: datetime
) -> tuple[guards.Case | None, tuple[str, str] | None]:
    """The case, and the guard or re-check that now says no to it."""
    around = guards.circumstances(store, now, but_for=asked.decision_id)
    if seen is None:
        return None, ("pool_is_seen", f"{asked.pool} has not been read lately")
    action, parameters = actions()[asked.action], asked.verdict_parameters or {}
    if asked.verdict_action_hash != action_hash(asked.action, asked.target, parameters):
        return None, ("action_is_as_approved", "what was approved is not what would be done")
    waited = now - (asked.decided_at or now)
    if waited > timedelta(seconds=around.limits.decision_expiry_seconds):
        minutes = waited.total_seconds() / 60
        return None, ("approval_is_fresh", f"it was approved {minutes:.0f} min ago: too long")
    case = guards.Case(
        Candidate(action.name, asked.target, asked.pool, parameters), seen, asked.decision_id
    )
    refused = guards.refusal(case, around)
    if refused is None:
        changed = action.recheck(seen, parameters)
        refused = ("still_makes_sense", changed) if changed else None
    return case, refused


def _do(store: Store, hands: Actuator, asked: DecisionState, now: datetime) -> None:
    action, parameters = actions()[asked.action], asked.verdict_parameters or {}
    _perform(
        store,
        asked,
        "do",
        lambda: action.execute(hands, asked.decision_id, asked.pool, parameters),
        now,
    )


# -- undoing ---------------------------------------------------------------------------

_HOLDS_UNDOING = (
    guards.kill_switch_is_off,
    guards.breaker_is_closed,
    guards.time_is_not_frozen,
)


def _undo(store: Store, hands: Actuator, asked: DecisionState, pools: Seen, now: datetime) -> None:
    """Take it back; while the kill switch, the breaker or a freeze holds, it goes on waiting.

    So it does until the pool was read after the deed: an older reading says nothing about it.
    """
    seen, done_at = pools.get(asked.pool), asked.execution_ended_at
    if seen is None or done_at is None or seen.state.measured_at <= done_at:
        return
    parameters = asked.verdict_parameters or {}
    action = actions()[asked.action]
    case = guards.Case(
        Candidate(action.name, asked.target, asked.pool, parameters), seen, asked.decision_id
    )
    around = guards.circumstances(store, now, but_for=asked.decision_id)
    if any(guard(case, around) for guard in _HOLDS_UNDOING):
        return
    if asked.undo_phase is None:
        changed = action.undo_recheck(seen, parameters, asked.execution_result or {})
        if changed:
            store.append([_step(asked, "undo", "refused", now, detail=changed)])
            return
        store.append([_step(asked, "undo", "intended", now)])
    _perform(store, asked, "undo", _taking_back(action, hands, asked), now)


def _taking_back(
    action: Action, hands: Actuator, asked: DecisionState
) -> Callable[[], dict[str, Any]]:
    result = asked.execution_result or {}
    return lambda: action.undo(hands, f"{asked.decision_id}:undo", asked.pool, result)


# -- both ------------------------------------------------------------------------------


def _perform(
    store: Store,
    asked: DecisionState,
    kind: Kind,
    deed: Callable[[], dict[str, Any]],
    now: datetime,
) -> None:
    try:
        answer = deed()
    except CommandRefused as error:
        store.append([_step(asked, kind, "refused", now, detail=str(error))])
    except Exception as error:  # whatever the hands meet, the decision ends and is on record
        _failed(store, asked, kind, error, now)
    else:
        _succeeded(store, asked, kind, answer, now)


def _succeeded(
    store: Store, asked: DecisionState, kind: Kind, answer: dict[str, Any], now: datetime
) -> None:
    result = answer | {"is_undoable": kind == "do" and actions()[asked.action].can_undo}
    rows: list[Any] = [_step(asked, kind, "succeeded", now, result=result)]
    if asked.action == "adjust_price":
        rows.append(_price(asked, kind, now))
    store.append(rows)


def _price(asked: DecisionState, kind: Kind, now: datetime) -> ListPrice:
    result = asked.execution_result or {}
    price = (
        (asked.verdict_parameters or {})["price_usd_per_gpu_hour"]
        if kind == "do"
        else result["previous_price_usd_per_gpu_hour"]
    )
    by = asked.decided_by if kind == "do" else asked.undo_requested_by
    return ListPrice(
        pool=asked.pool,
        price_usd_per_gpu_hour=price,
        set_by=f"policy:{asked.policy}" if asked.decided_via == "rule" else str(by),
        decision_id=asked.decision_id,
        in_force_from_at=now,
    )


def _failed(
    store: Store, asked: DecisionState, kind: Kind, error: Exception, now: datetime
) -> None:
    detail = f"{type(error).__name__}: {error}"
    with store.transaction():
        store.append([_step(asked, kind, "failed", now, detail=detail)])
        breaker = controls.breaker(store)
        if not breaker.is_open and breaker.failures >= controls.limits(store).breaker_failures:
            controls.open_breaker(store, failures=breaker.failures, now=now)


def _refuse(store: Store, asked: DecisionState, guard: str, sentence: str, now: datetime) -> None:
    refusal = Refusal(
        action=actions()[asked.action].name,
        target=asked.target,
        parameters=asked.verdict_parameters or {},
        guard=guard,
        detail=sentence,
        expected_gain_usd_per_hour=asked.expected_gain_usd_per_hour,
        decision_id=asked.decision_id,
        refused_at=now,
    )
    store.append([_step(asked, "do", "refused", now, detail=sentence), refusal])


def _step(
    asked: DecisionState,
    kind: Kind,
    phase: Phase,
    now: datetime,
    *,
    result: dict[str, Any] | None = None,
    detail: str | None = None,
) -> Execution:
    return Execution(
        decision_id=asked.decision_id,
        kind=kind,
        phase=phase,
        parameters=asked.verdict_parameters or {},
        result=result or {},
        detail=detail,
        happened_at=now,
    )
