"""What may be said to a decision at all: whether it is there, still open, and as it was seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from warehouse.approvals import approvals
from warehouse.decision_errors import (
    ActionChanged,
    AlreadyDecided,
    Expired,
    NoSuchDecision,
    ReasonNeeded,
)
from warehouse.records import Decision
from warehouse.store import Conflict, Store, TicketGone

P = ParamSpec("P")
R = TypeVar("R")

MOST_TRIES = 6
"""Of a verb that meets a conflict each time."""


def decision_of(store: Store, decision_id: str) -> Decision:
    """The decision as it was proposed.

    Raises:
        NoSuchDecision: there is none of this id.
    """
    sql = "SELECT * FROM decisions WHERE decision_id = $decision_id"
    for decision in store.rows(Decision, sql, decision_id=decision_id):
        return decision
    raise NoSuchDecision(f"there is no decision {decision_id}: read the list again")


def never_waits(decision: Decision) -> bool:
    """Whether it is on record only: nobody decides it and it is never carried out."""
    return decision.action == "do_nothing" or decision.mode == "shadow"


def decidable(store: Store, decision_id: str, now: datetime) -> Decision:
    """The decision, where it may be decided; the ticket settles the rest.

    Raises:
        NoSuchDecision, AlreadyDecided, Expired: see `warehouse/decision_errors.py`.
    """
    decision = decision_of(store, decision_id)
    if never_waits(decision):
        raise AlreadyDecided(f"decision {decision_id} is on record only: nothing is to be decided")
    _refuse_decided(store, decision_id)
    if now >= decision.expires_at:
        raise Expired(
            f"decision {decision_id} expired at {decision.expires_at:%Y-%m-%d %H:%M} UTC: "
            "the engine proposes anew where it is still worth it"
        )
    return decision


def meant(store: Store, decision: Decision, action_hash: str | None) -> dict[str, Any]:
    """The parameters that a yes is to: those proposed, or those that another has edited.

    Raises:
        ActionChanged: neither is what was seen, or it was not said which.
    """
    if action_hash == decision.action_hash:
        return decision.parameters
    said = approvals(store, decision.decision_id)
    edited = {one.action_hash: one for one in said if one.action_hash != decision.action_hash}
    if action_hash in edited:
        return edited[action_hash].parameters
    if action_hash is not None:
        raise changed(decision.decision_id)
    for one in edited.values():
        raise ActionChanged(
            f"{one.approved_by} has edited decision {decision.decision_id}: read it again, and "
            "send the action_hash of what you say yes to"
        )
    return decision.parameters


def changed(decision_id: str) -> ActionChanged:
    """What is said to who saw something else."""
    return ActionChanged(
        f"what you saw of decision {decision_id} is not what would be done: read it again"
    )


def _refuse_decided(store: Store, decision_id: str) -> None:
    sql = "SELECT verdict, decided_by FROM verdicts WHERE decision_id = $decision_id"
    for verdict, by in store.query(sql, decision_id=decision_id).iter_rows():
        raise AlreadyDecided(f"decision {decision_id} was decided before: {verdict} by {by}")


def needed_reason(reason: str | None, what: str) -> str:
    """The reason that was given.

    Raises:
        ReasonNeeded: there is none.
    """
    if reason is None or not reason.strip():
        raise ReasonNeeded(f"{what} needs a reason: say why in a few words")
    return reason.strip()


@contextmanager
def only_one(decision_id: str, what: str) -> Iterator[None]:
    """Where the ticket is gone, or was taken at the same time, somebody was faster.

    Raises:
        AlreadyDecided: so it was.
    """
    try:
        yield
    except (TicketGone, Conflict) as error:
        raise AlreadyDecided(f"decision {decision_id} {what}: read it again") from error


def tried_again(verb: Callable[P, R]) -> Callable[P, R]:
    """A verb that uses up a ticket, done again where it met a conflict.

    A shared catalogue tells conflicts by the table and not by the row: who tears another ticket at
    the same time is in the way too. Where somebody was faster with this one, the next try says so.
    """

    @wraps(verb)
    def trying(*given: P.args, **named: P.kwargs) -> R:
        for _ in range(MOST_TRIES - 1):
            try:
                return verb(*given, **named)
            except AlreadyDecided as error:
                if not isinstance(error.__cause__, Conflict):
                    raise
        return verb(*given, **named)

    return trying
