"""What is said to a decision: proposed, approved, overridden, rejected, lapsed, to be undone.

Every verb uses up the decision's ticket in the transaction that writes its row, so that of two
who act at once exactly one is heard.

    DecisionError
    ├── NoSuchDecision    no decision has this id
    ├── TargetBusy        another decision on this target is still open
    ├── AlreadyDecided    somebody was faster, or there is nothing to decide: read it again
    ├── Expired           it can't be decided any more: wait for the next one
    ├── NotYetExpired     people may still decide it
    ├── ActionChanged     what was seen is not what would be done: read it again
    ├── NotUndoable       it was not carried out, or can't be taken back
    └── ReasonNeeded      say why
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal

from warehouse.actions import action_hash as hash_of
from warehouse.actions import editable_parameters
from warehouse.records import AuditEvent, Decision, Ticket, UndoRequest, Verdict
from warehouse.store import Conflict, Store, TicketGone

Via = Literal["browser", "api", "rule"]
VerdictKind = Literal["approve", "override", "reject", "lapse"]
Purpose = Literal["verdict", "execution", "undo"]

BY_EXPIRY = "expiry"
"""Who decides where nobody did in time."""

_OPEN_ON_TARGET = """
    SELECT decision_id, state FROM decision_states
    WHERE target = $target AND (state IN ('approved', 'carrying_out', 'undoing')
        OR (state = 'waiting' AND expires_at > $now))
    LIMIT 1
"""


class DecisionError(Exception):
    """A decision can't be made this way; the sentence says what to do next."""


class NoSuchDecision(DecisionError):
    """No decision has this id."""


class TargetBusy(DecisionError):
    """Another decision on this target is still open."""


class AlreadyDecided(DecisionError):
    """Somebody was faster, or there is nothing to decide."""


class Expired(DecisionError):
    """It can't be decided any more."""


class NotYetExpired(DecisionError):
    """People may still decide it."""


class ActionChanged(DecisionError):
    """What was seen is not what would be done."""


class NotUndoable(DecisionError):
    """It was not carried out, or can't be taken back."""


class ReasonNeeded(DecisionError):
    """Say why."""


def propose(store: Store, decision: Decision) -> None:
    """Put a decision on record; unless it is a shadow or does nothing, it may then be decided.

    Raises:
        TargetBusy: another decision on the target is open.
    """
    with store.transaction():
        if not never_waits(decision):
            _refuse_busy(store, decision)
            store.append(_tickets(decision.decision_id))
        store.append([decision])


def never_waits(decision: Decision) -> bool:
    """Whether it is on record only: nobody decides it and it is never carried out."""
    return decision.action == "do_nothing" or decision.mode == "shadow"


def approve(
    store: Store,
    decision_id: str,
    *,
    by: str,
    via: Via,
    now: datetime,
    action_hash: str | None = None,
    reason: str | None = None,
) -> Verdict:
    """Say yes to a decision as it stands; `action_hash` binds the yes to what was seen.

    Raises:
        NoSuchDecision, AlreadyDecided, Expired, ActionChanged: see the top of this module.
    """
    decision = _decidable(store, decision_id, now, action_hash)
    return _written(store, _verdict(decision, "approve", by, via, reason or None, now))


def override(
    store: Store,
    decision_id: str,
    parameters: Mapping[str, Any],
    *,
    by: str,
    via: Via,
    reason: str | None,
    now: datetime,
    action_hash: str | None = None,
) -> Verdict:
    """Say yes with other parameters; `action_hash` is that of the decision as it was seen.

    Raises:
        InvalidParameters: the parameters are not this action's, or it has none to edit.
        NoSuchDecision, AlreadyDecided, Expired, ActionChanged, ReasonNeeded: see above.
    """
    decision = _decidable(store, decision_id, now, action_hash)
    why = _said(reason, "an override")
    checked = editable_parameters(decision.action, decision.parameters, parameters)
    return _written(store, _verdict(decision, "override", by, via, why, now, checked))


def reject(
    store: Store, decision_id: str, *, by: str, via: Via, reason: str | None, now: datetime
) -> Verdict:
    """Say no.

    Raises:
        NoSuchDecision, AlreadyDecided, Expired, ReasonNeeded: see the top of this module.
    """
    decision = _decidable(store, decision_id, now, None)
    why = _said(reason, "a rejection")
    return _written(store, _verdict(decision, "reject", by, via, why, now))


def lapse(store: Store, decision_id: str, *, now: datetime) -> Verdict:
    """Note that nobody decided in time.

    Raises:
        NoSuchDecision, AlreadyDecided, NotYetExpired: see the top of this module.
    """
    decision = _found(store, decision_id)
    if now < decision.expires_at:
        raise NotYetExpired(f"decision {decision_id} is open until {decision.expires_at:%H:%M}")
    return _written(store, _verdict(decision, "lapse", BY_EXPIRY, "rule", None, now))


def ask_undo(
    store: Store,
    decision_id: str,
    *,
    by: str,
    reason: str | None,
    now: datetime,
    via: Via | Literal["console"] = "console",
) -> None:
    """Ask that what was carried out be taken back; the engine does it at its next tick.

    Raises:
        NoSuchDecision, AlreadyDecided, NotUndoable, ReasonNeeded: see the top of this module.
    """
    _found(store, decision_id)
    why = _said(reason, "an undo")
    request = UndoRequest(decision_id=decision_id, requested_by=by, reason=why, requested_at=now)
    event = AuditEvent(
        actor=by,
        act="decision.undo",
        target=decision_id,
        detail={"reason": why},
        via=via,
        happened_at=now,
    )
    with _only_one(decision_id, "has been asked to be undone"), store.transaction():
        _refuse_not_undoable(store, decision_id)
        store.take(Ticket(decision_id=decision_id, purpose="undo"))
        store.append([request, event])


# -- how -------------------------------------------------------------------------------


def _tickets(decision_id: str) -> list[Ticket]:
    purposes: tuple[Purpose, ...] = ("verdict", "execution", "undo")
    return [Ticket(decision_id=decision_id, purpose=purpose) for purpose in purposes]


def _refuse_busy(store: Store, decision: Decision) -> None:
    found = store.query(_OPEN_ON_TARGET, target=decision.target, now=decision.proposed_at)
    for other, state in found.iter_rows():
        raise TargetBusy(
            f"decision {other} on {decision.target} is {state.replace('_', ' ')}: "
            "decide it first, or wait until it has lapsed"
        )


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


def _found(store: Store, decision_id: str) -> Decision:
    sql = "SELECT * FROM decisions WHERE decision_id = $decision_id"
    for decision in store.rows(Decision, sql, decision_id=decision_id):
        return decision
    raise NoSuchDecision(f"there is no decision {decision_id}: read the list again")


def _decidable(store: Store, decision_id: str, now: datetime, action_hash: str | None) -> Decision:
    """The decision, where it may be decided as it was seen; the ticket settles the rest."""
    decision = _found(store, decision_id)
    if never_waits(decision):
        raise AlreadyDecided(f"decision {decision_id} is on record only: nothing is to be decided")
    _refuse_decided(store, decision_id)
    if now >= decision.expires_at:
        raise Expired(
            f"decision {decision_id} expired at {decision.expires_at:%Y-%m-%d %H:%M} UTC: "
            "the engine proposes anew where it is still worth it"
        )
    if action_hash is not None and action_hash != decision.action_hash:
        raise ActionChanged(
            f"what you saw of decision {decision_id} is not what would be done: read it again"
        )
    return decision


def _refuse_decided(store: Store, decision_id: str) -> None:
    sql = "SELECT verdict, decided_by FROM verdicts WHERE decision_id = $decision_id"
    for verdict, by in store.query(sql, decision_id=decision_id).iter_rows():
        raise AlreadyDecided(f"decision {decision_id} was decided before: {verdict} by {by}")


def _said(reason: str | None, what: str) -> str:
    if reason is None or not reason.strip():
        raise ReasonNeeded(f"{what} needs a reason: say why in a few words")
    return reason.strip()


def _verdict(
    decision: Decision,
    verdict: VerdictKind,
    by: str,
    via: Via,
    reason: str | None,
    now: datetime,
    parameters: dict[str, Any] | None = None,
) -> Verdict:
    """What is said to a decision, bound to exactly what would be done."""
    wanted = decision.parameters if parameters is None else parameters
    return Verdict(
        decision_id=decision.decision_id,
        verdict=verdict,
        parameters=wanted,
        action_hash=hash_of(decision.action, decision.target, wanted),
        decided_by=by,
        via=via,
        reason=reason,
        decided_at=now,
    )


def _written(store: Store, verdict: Verdict) -> Verdict:
    event = AuditEvent(
        actor=verdict.decided_by,
        act=f"decision.{verdict.verdict}",
        target=verdict.decision_id,
        detail={"parameters": verdict.parameters, "reason": verdict.reason},
        via=verdict.via,
        happened_at=verdict.decided_at,
    )
    with _only_one(verdict.decision_id, "was decided by somebody else"), store.transaction():
        store.take(Ticket(decision_id=verdict.decision_id, purpose="verdict"))
        store.append([verdict, event])
    return verdict


@contextmanager
def _only_one(decision_id: str, what: str) -> Iterator[None]:
    try:
        yield
    except (TicketGone, Conflict) as error:
        raise AlreadyDecided(f"decision {decision_id} {what}: read it again") from error
