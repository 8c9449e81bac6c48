"""Asking that what was carried out be taken back; the engine does it at its next tick."""

from __future__ import annotations

from datetime import datetime

from warehouse.control_rows import Door
from warehouse.decidable import decision_of, needed_reason, only_one, tried_again
from warehouse.decision_errors import AlreadyDecided, NotUndoable
from warehouse.records import AuditEvent, Ticket, UndoRequest
from warehouse.store import Store


@tried_again
def ask_undo(
    store: Store,
    decision_id: str,
    *,
    by: str,
    reason: str | None,
    now: datetime,
    via: Door = "console",
) -> None:
    """Ask that what was carried out be taken back; the engine does it at its next tick.

    Raises:
        NoSuchDecision, AlreadyDecided, NotUndoable, ReasonNeeded: see
            `warehouse/decision_errors.py`.
    """
    decision_of(store, decision_id)
    why = needed_reason(reason, "an undo")
    request = UndoRequest(decision_id=decision_id, requested_by=by, reason=why, requested_at=now)
    event = AuditEvent(
        actor=by,
        act="decision.undo",
        target=decision_id,
        detail={"reason": why},
        via=via,
        happened_at=now,
    )
    with only_one(decision_id, "has been asked to be undone"), store.transaction():
        _refuse_not_undoable(store, decision_id)
        store.take(Ticket(decision_id=decision_id, purpose="undo"))
        store.append([request, event])


def _refuse_not_undoable(store: Store, decision_id: str) -> None:
    sql = "SELECT state, can_undo FROM decision_states WHERE decision_id = $decision_id"
    state, can_undo = store.query(sql, decision_id=decision_id).row(0)
    if state in ("undoing", "undone", "undo_failed"):
        raise AlreadyDecided(f"decision {decision_id} has been asked to be undone")
    if not can_undo:
        raise NotUndoable(
            f"decision {decision_id} is {state.replace('_', ' ')}: only what was carried out "
            "and can be taken back can be undone"
        )
