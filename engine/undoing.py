"""Undoing: take back what was carried out, where that makes sense and stays inside the limits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from engine import guards
from engine.actions import Candidate, actions
from engine.circumstances import Circumstances, circumstances
from engine.deeds import newest_other_deed_at, perform, refuse, step
from engine.hands import Actuator
from engine.observe import PoolObservation
from warehouse.decisions import DecisionState
from warehouse.store import Store


def take_back(
    store: Store,
    hands: Actuator,
    asked: DecisionState,
    pools: Mapping[str, PoolObservation],
    now: datetime,
) -> None:
    """Take it back; while the kill switch, the breaker or a freeze holds, it goes on waiting.

    So it does until the pool was read after its newest deed: an older reading says nothing of it.
    """
    if hands.has_begun(f"{asked.decision_id}:undo"):  # half taken back: it is brought to its end
        _perform(store, hands, asked, now)
        return
    seen, done_at = pools.get(asked.pool), newest_other_deed_at(store, asked, "undo")
    if seen is None or done_at is None or seen.state.measured_at <= done_at:
        return
    around = circumstances(store, now, but_for=asked.decision_id)
    if guards.undo_hold(_case(asked, seen), around):
        return
    if asked.undo_phase is None:
        refused = why_not(asked, seen, around)
        if refused:
            refuse(store, asked, "undo", *refused, now)
            return
        store.append([step(asked, "undo", "intended", now)])
    _perform(store, hands, asked, now)


def _perform(store: Store, hands: Actuator, asked: DecisionState, now: datetime) -> None:
    action = actions()[asked.action]
    result = (asked.verdict_parameters or {}) | (asked.execution_result or {})
    command_id = f"{asked.decision_id}:undo"
    perform(store, asked, "undo", lambda: action.undo(hands, command_id, asked.pool, result), now)


def why_not(
    asked: DecisionState, seen: PoolObservation, around: Circumstances
) -> tuple[str, str] | None:
    """The re-check or the guard that says no to taking it back, and its sentence."""
    action, result = actions()[asked.action], asked.execution_result or {}
    changed = action.undo_recheck(seen, asked.verdict_parameters or {}, result)
    if changed:
        return "still_makes_sense", changed
    inverse = action.inverse(seen, result)
    if inverse is None:
        return None
    return guards.undo_refusal(guards.Case(inverse, seen, asked.decision_id), around)


def _case(asked: DecisionState, seen: PoolObservation) -> guards.Case:
    action = actions()[asked.action]
    parameters = asked.verdict_parameters or {}
    return guards.Case(
        Candidate(action.name, asked.target, asked.pool, parameters), seen, asked.decision_id
    )
