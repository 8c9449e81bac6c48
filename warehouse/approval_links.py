"""Signed links to one decision, for pages of other tools that show it in a frame.

A row says what a link is good for; the signature that makes it one is the API's, and is kept
nowhere. A link of the right `sign_in` shows the decision and leads to the console. One of the
right `single_use` carries the verdict of one named user: its ticket is used up in the transaction
that writes that verdict, so that it is heard once at most.

Links age by the machine's clock (`now`), decisions by their own (`decided_at`).

    LinkError
    ├── NoSuchLink       no link of this decision has this id
    ├── LinkNotGranted   whoever it is to speak for may not decide, or not this way
    └── LinkIsOver       it has expired, was revoked, or has been used
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from warehouse.controls import four_eyes
from warehouse.decidable import decidable, meant, only_one, tried_again
from warehouse.errors import TicketGone
from warehouse.people import TICK, may_decide
from warehouse.records import Approval, ApprovalLink, AuditEvent, Ticket, Verdict
from warehouse.store import Store
from warehouse.verdicts import approve, reject

Right = Literal["sign_in", "single_use"]

VALIDITY_SECONDS_MIN = 60
VALIDITY_SECONDS_DEFAULT = 3600
VALIDITY_SECONDS_MAX = 7 * 24 * 3600
REASON_LENGTH_MAX = 1000
"""Characters of a reason given by a link."""

ID_BYTES = 12
USED = "this link was used before, and works once"

_NEWEST = """
    SELECT * FROM approval_links
    QUALIFY row_number() OVER (PARTITION BY link_id ORDER BY recorded_at DESC, rowid DESC) = 1
"""


class LinkError(Exception):
    """This can't be done with this link; the sentence says what to do next."""


class NoSuchLink(LinkError):
    """No link of this decision has this id."""


class LinkNotGranted(LinkError):
    """Whoever it is to speak for may not decide, or not this way."""


class LinkIsOver(LinkError):
    """It has expired, was revoked, or has been used."""


# -- questions -------------------------------------------------------------------------


def links(store: Store, decision_id: str) -> list[ApprovalLink]:
    """The links to a decision, those that are over included, the newest first."""
    mine = f"SELECT * FROM ({_NEWEST}) WHERE decision_id = $id ORDER BY recorded_at DESC, link_id"
    return store.rows(ApprovalLink, mine, id=decision_id)


def link(store: Store, decision_id: str, link_id: str) -> ApprovalLink:
    """One link to a decision as it stands.

    Raises:
        NoSuchLink: there is none of this id.
    """
    sql = f"SELECT * FROM ({_NEWEST}) WHERE link_id = $link_id AND decision_id = $decision_id"
    for found in store.rows(ApprovalLink, sql, link_id=link_id, decision_id=decision_id):
        return found
    raise NoSuchLink(f"decision {decision_id} has no link {link_id}: read the list again")


def why_over(store: Store, found: ApprovalLink, *, now: datetime) -> str | None:
    """Why a link opens nothing any more, in words; None where it does, if only to look."""
    if not found.is_active or not may_decide(store, found.made_by):
        return "this link was taken back: ask whoever gave it to you for another"
    if now >= found.expires_at:
        return "this link has expired: ask whoever gave it to you for another"
    return None


def is_used_up(store: Store, found: ApprovalLink) -> bool:
    """Whether a link that works once has done so."""
    sql = "SELECT count(*) FROM tickets WHERE decision_id = $id AND purpose = 'link'"
    return found.right == "single_use" and not store.query(sql, id=found.link_id).item()


# -- verbs -----------------------------------------------------------------------------


def make_link(
    store: Store,
    decision_id: str,
    *,
    right: Right,
    made_by: str,
    speaks_for: str | None,
    validity: timedelta,
    now: datetime,
    decided_at: datetime,
    action_hash: str | None = None,
) -> ApprovalLink:
    """Put a link on record; `action_hash` is that of an action that somebody has edited.

    Raises:
        LinkNotGranted: see the top of this module.
        NoSuchDecision, AlreadyDecided, Expired, ActionChanged: `warehouse/decision_errors.py`.
    """
    decision = decidable(store, decision_id, decided_at)
    wanted_hash = action_hash or decision.action_hash
    meant(store, decision, wanted_hash)
    made = ApprovalLink(
        link_id=secrets.token_hex(ID_BYTES),
        decision_id=decision_id,
        action_hash=wanted_hash,
        right=right,
        speaks_for=speaks_for if right == "single_use" else None,
        made_by=made_by,
        is_active=True,
        expires_at=now + validity,
        recorded_at=now,
    )
    _refuse_ungranted(store, made, decision.action)
    tickets = [Ticket(decision_id=made.link_id, purpose="link")] if right == "single_use" else []
    store.append([made, *tickets])
    return made


@tried_again
def revoke_link(store: Store, decision_id: str, link_id: str, *, now: datetime) -> ApprovalLink:
    """Make a link useless; of revoking it and using it at once, one happens.

    Raises:
        NoSuchLink, LinkIsOver: see the top of this module.
    """
    with only_one(decision_id, "was decided by this link"), store.transaction():
        old = link(store, decision_id, link_id)
        if not old.is_active:
            raise LinkIsOver(f"link {link_id} was revoked before")
        _take(store, old)
        at = max(now, old.recorded_at + TICK)
        revoked: ApprovalLink = replace(cast(Any, old), is_active=False, recorded_at=at)
        store.append([revoked])
    return revoked


@tried_again
def decide_by_link(
    store: Store,
    decision_id: str,
    link_id: str,
    verdict: Literal["approve", "reject"],
    *,
    reason: str | None,
    now: datetime,
    decided_at: datetime,
) -> Verdict | Approval:
    """Say what the user says whom the link speaks for, and use the link up with it.

    Where it isn't heard - decided before, expired, no reason given - the link is not used up.

    Raises:
        NoSuchLink, LinkNotGranted, LinkIsOver: see the top of this module.
        NoSuchDecision, AlreadyDecided, AlreadyApproved, Expired, ActionChanged, ReasonNeeded:
            see `warehouse/decision_errors.py`.
    """
    with only_one(decision_id, "was decided by somebody else"), store.transaction():
        found = link(store, decision_id, link_id)
        if (over := why_over(store, found, now=now)) is not None:
            raise LinkIsOver(over)
        decision = decidable(store, decision_id, decided_at)
        by = _refuse_ungranted(store, found, decision.action)
        if by is None:
            raise LinkNotGranted("this link only shows the decision: sign in to decide it")
        _take(store, found)
        said: Verdict | Approval
        if verdict == "approve":
            said = approve(
                *(store, decision_id),
                by=by,
                via="link",
                now=decided_at,
                action_hash=found.action_hash,
                reason=reason,
            )
        else:
            meant(store, decision, found.action_hash)
            said = reject(store, decision_id, by=by, via="link", reason=reason, now=decided_at)
        store.append([_used(found, by, decided_at)])
    return said


# -- how -------------------------------------------------------------------------------


def _refuse_ungranted(store: Store, asked: ApprovalLink, action: str) -> str | None:
    """Whom a link speaks for, where they may decide themselves, now; None where for nobody."""
    if asked.right == "sign_in":
        return None
    name = asked.speaks_for
    if name is None or not may_decide(store, name):
        raise LinkNotGranted(f"{name} may not decide: a link can do no more than its user may")
    if asked.made_by != name and four_eyes(store).get(action):
        raise LinkNotGranted(
            f"two people must agree here, and a link that {asked.made_by} made for {name} would "
            "let one be both: let them make it themselves, or use the right sign_in"
        )
    return name


def _take(store: Store, found: ApprovalLink) -> None:
    if found.right != "single_use":
        return
    try:
        store.take(Ticket(decision_id=found.link_id, purpose="link"))
    except TicketGone as error:
        raise LinkIsOver(USED) from error


def _used(found: ApprovalLink, by: str, at: datetime) -> AuditEvent:
    detail = {"link_id": found.link_id, "made_by": found.made_by}
    return AuditEvent(
        actor=by,
        act="link.use",
        target=found.decision_id,
        detail=detail,
        via="link",
        happened_at=at,
    )
