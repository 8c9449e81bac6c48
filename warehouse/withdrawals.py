"""Taking an approval back while it waits: for a window, or for the kill switch to be let go."""

from __future__ import annotations

from datetime import datetime

from warehouse.control_rows import Door
from warehouse.decidable import decision_of, needed_reason, only_one, tried_again
from warehouse.decision_errors import NotWithdrawable
from warehouse.records import AuditEvent, Ticket, Withdrawal
from warehouse.store import Store


@tried_again
def withdraw(
    store: Store,
    decision_id: str,
    *,
    by: str,
    reason: str | None,
    now: datetime,
    via: Door = "console",
) -> Withdrawal:
    """Take an approval back; the decision ends, and its target is free for another.

    It uses up the ticket that carrying it out takes: of the two, one happens.

    Raises:
        NoSuchDecision, NotWithdrawable, AlreadyDecided, ReasonNeeded: see
            `warehouse/decision_errors.py`.
    """
    decision_of(store, decision_id)
    why = needed_reason(reason, "a withdrawal")
    row = Withdrawal(decision_id=decision_id, withdrawn_by=by, reason=why, withdrawn_at=now)
    event = AuditEvent(
        actor=by,
        act="decision.withdraw",
        target=decision_id,
        detail={"reason": why},
        via=via,
        happened_at=now,
    )
    with only_one(decision_id, "has begun to be carried out"), store.transaction():
        _refuse_not_withdrawable(store, decision_id)
        store.take(Ticket(decision_id=decision_id, purpose="execution"))
        store.append([row, event])
    return row


_NEXT = {
    "waiting": "reject it instead",
    "carrying_out": "ask for it to be undone once it is carried out",
    "carried_out": "ask for it to be undone",
    "measured": "ask for it to be undone",
}


def _refuse_not_withdrawable(store: Store, decision_id: str) -> None:
    sql = "SELECT state FROM decision_states WHERE decision_id = $decision_id"
    (state,) = store.query(sql, decision_id=decision_id).row(0)
    if state != "approved":
        raise NotWithdrawable(
            f"decision {decision_id} is {state.replace('_', ' ')}, and only what is approved and "
            f"not begun can be withdrawn: {_NEXT.get(state, 'there is nothing to take back')}"
        )
