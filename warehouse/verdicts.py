"""What is said to a decision: proposed, approved, overridden, rejected, lapsed.

Every verb uses up the decision's ticket in the transaction that writes its row, so that of two
who act at once exactly one is heard.

Where two people must agree the first yes is kept as an approval and the ticket is put back: the
decision goes on waiting for another person's yes to exactly the same.
The errors are those of `warehouse/decision_errors.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from warehouse.actions import action_hash as hash_of
from warehouse.actions import editable_parameters
from warehouse.approvals import NEEDED, approvals
from warehouse.controls import four_eyes
from warehouse.decidable import (
    changed,
    decidable,
    decision_of,
    meant,
    needed_reason,
    never_waits,
    only_one,
    tried_again,
)
from warehouse.decision_errors import (
    AlreadyApproved,
    NotYetExpired,
    SecondPersonNeeded,
    TargetBusy,
)
from warehouse.records import Approval, AuditEvent, Decision, Ticket, Verdict
from warehouse.store import Store

Via = Literal["browser", "api", "rule", "link", "slack"]
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


def approve(
    store: Store,
    decision_id: str,
    *,
    by: str,
    via: Via,
    now: datetime,
    action_hash: str | None = None,
    reason: str | None = None,
) -> Verdict | Approval:
    """Say yes to a decision as it stands; `action_hash` binds the yes to what was seen.

    Where two people must agree it is also how one says yes to what another has edited, by its
    hash; the answer is an Approval while one more person is needed.

    Raises:
        NoSuchDecision, AlreadyDecided, AlreadyApproved, SecondPersonNeeded, Expired,
        ActionChanged: see `warehouse/decision_errors.py`.
    """
    decision = decidable(store, decision_id, now)
    parameters = meant(store, decision, action_hash)
    kind: VerdictKind = "approve" if parameters == decision.parameters else "override"
    said = _verdict(decision, kind, by, via, reason or None, now, parameters)
    return _said_yes(store, decision.action, said)


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
) -> Verdict | Approval:
    """Say yes with other parameters; `action_hash` is that of the decision as it was seen.

    What was proposed stays with the decision, what is to be done instead with the verdict.

    Raises:
        InvalidParameters: the parameters are not this action's, or it has none to edit.
        NoSuchDecision, AlreadyDecided, AlreadyApproved, SecondPersonNeeded, Expired,
        ActionChanged, ReasonNeeded: see `warehouse/decision_errors.py`.
    """
    decision = decidable(store, decision_id, now)
    if action_hash not in (None, decision.action_hash):
        raise changed(decision_id)
    why = needed_reason(reason, "an override")
    checked = editable_parameters(decision.action, decision.parameters, parameters)
    said = _verdict(decision, "override", by, via, why, now, checked)
    return _said_yes(store, decision.action, said)


def reject(
    store: Store, decision_id: str, *, by: str, via: Via, reason: str | None, now: datetime
) -> Verdict:
    """Say no.

    Raises:
        NoSuchDecision, AlreadyDecided, Expired, ReasonNeeded: see `warehouse/decision_errors.py`.
    """
    decision = decidable(store, decision_id, now)
    why = needed_reason(reason, "a rejection")
    return _written(store, _verdict(decision, "reject", by, via, why, now))


def lapse(store: Store, decision_id: str, *, now: datetime) -> Verdict:
    """Note that nobody decided in time.

    Raises:
        NoSuchDecision, AlreadyDecided, NotYetExpired: see `warehouse/decision_errors.py`.
    """
    decision = decision_of(store, decision_id)
    if now < decision.expires_at:
        raise NotYetExpired(f"decision {decision_id} is open until {decision.expires_at:%H:%M}")
    return _written(store, _verdict(decision, "lapse", BY_EXPIRY, "rule", None, now))


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


@tried_again
def _said_yes(store: Store, action: str, said: Verdict) -> Verdict | Approval:
    """Decide it, or keep the first yes where two people must agree."""
    with only_one(said.decision_id, "was decided by somebody else"), store.transaction():
        ticket = Ticket(decision_id=said.decision_id, purpose="verdict")
        store.take(ticket)  # also by the first of two, so that two first ones are not both heard
        if not four_eyes(store)[action]:
            store.append([said, _noted(said, f"decision.{said.verdict}")])
            return said
        before = _first_yes(store, said)
        yes = _approval(said)
        if before is None:
            store.append([yes, ticket, _noted(said, "decision.first_yes")])
            return yes
        why = said.reason or before.reason
        both = replace(said, reason=why, first_yes_by=before.approved_by)
        store.append([yes, both, _noted(both, f"decision.{both.verdict}", before)])
        return both


def _first_yes(store: Store, said: Verdict) -> Approval | None:
    """What another person said to exactly this before; None where nobody did."""
    if said.via == "rule":
        raise SecondPersonNeeded(
            f"{NEEDED} people must say yes to decision {said.decision_id}: autonomy is none"
        )
    same = [
        one for one in approvals(store, said.decision_id) if one.action_hash == said.action_hash
    ]
    if any(one.approved_by == said.decided_by for one in same):
        raise AlreadyApproved(
            f"{said.decided_by} has said yes to decision {said.decision_id}: "
            "it waits for another person's yes to the same"
        )
    return same[0] if same else None


def _approval(said: Verdict) -> Approval:
    return Approval(
        decision_id=said.decision_id,
        parameters=said.parameters,
        action_hash=said.action_hash,
        approved_by=said.decided_by,
        via=said.via,
        reason=said.reason,
        approved_at=said.decided_at,
    )


def _noted(said: Verdict, act: str, before: Approval | None = None) -> AuditEvent:
    detail: dict[str, Any] = {"parameters": said.parameters, "reason": said.reason}
    if before is not None:
        detail["first_yes_by"] = before.approved_by
    return AuditEvent(
        actor=said.decided_by,
        act=act,
        target=said.decision_id,
        detail=detail,
        via=said.via,
        happened_at=said.decided_at,
    )


@tried_again
def _written(store: Store, verdict: Verdict) -> Verdict:
    with only_one(verdict.decision_id, "was decided by somebody else"), store.transaction():
        store.take(Ticket(decision_id=verdict.decision_id, purpose="verdict"))
        store.append([verdict, _noted(verdict, f"decision.{verdict.verdict}")])
    return verdict
