"""Requests that may be sent again: whose key it is, and what was answered to it.

A key is claimed by a row before the request is carried out, and of several that claim it at once,
here or in another console on the same warehouse, the first row has it. The answer is a row too, so
that a restart forgets nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from warehouse.records import RequestAnswer, RequestKey
from warehouse.store import Store

KEPT = timedelta(hours=24)
"""How long a key stands for its request; sent later it is a new one."""
ANSWER_RELEASES = 500
"""From this status on an answer lets go of its key: nobody knows what of it was done, and the one
who asks again wants it tried."""


@dataclass(frozen=True)
class Claim:
    """How a request stands to its key."""

    claim_id: str
    is_ours: bool
    """Whether it is to be carried out now."""
    fingerprint: str
    """Of the request that has the key."""
    claimed_at: datetime
    answer: RequestAnswer | None
    """What was answered; None while that is under way, or where a crash came between."""


_CLAIMS = """
    SELECT keys.* FROM request_keys keys
    WHERE key_hash = $key_hash AND claimed_at > $since AND NOT EXISTS (
        FROM request_answers WHERE claim_id = keys.claim_id AND status >= $released)
    ORDER BY keys.rowid LIMIT 1
"""
_ANSWER = "SELECT * FROM request_answers WHERE claim_id = $claim_id ORDER BY rowid LIMIT 1"


def claim(store: Store, key_hash: str, fingerprint: str, *, now: datetime) -> Claim:
    """Claim a key for a request; whose it is already keeps it.

    Args:
        now: by the machine's clock.
    """
    found = _holder(store, key_hash, now)
    if found is None:
        ours = RequestKey(
            key_hash=key_hash,
            claim_id=secrets.token_hex(8),
            fingerprint=fingerprint,
            claimed_at=now,
        )
        store.append([ours])
        found = _holder(store, key_hash, now) or ours
        if found.claim_id == ours.claim_id:
            return Claim(ours.claim_id, True, fingerprint, now, None)
        # Ours must not stand behind the one that was faster, and block the key once that lets go.
        settle(store, ours.claim_id, ANSWER_RELEASES, {}, None, now=now)
    answers = store.rows(RequestAnswer, _ANSWER, claim_id=found.claim_id)
    answer = answers[0] if answers else None
    return Claim(found.claim_id, False, found.fingerprint, found.claimed_at, answer)


def settle(
    store: Store,
    claim_id: str,
    status: int,
    headers: dict[str, str],
    body: str | None,
    *,
    now: datetime,
) -> None:
    """Keep what was answered; 500 and above lets go of the key."""
    answer = RequestAnswer(
        claim_id=claim_id, status=status, headers=headers, body=body, answered_at=now
    )
    store.append([answer])


def _holder(store: Store, key_hash: str, now: datetime) -> RequestKey | None:
    found = store.rows(
        RequestKey, _CLAIMS, key_hash=key_hash, since=now - KEPT, released=ANSWER_RELEASES
    )
    return found[0] if found else None
