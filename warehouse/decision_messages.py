"""Which decisions a chat was told of, so that it is told once, also after a restart.

The intent is on record before a message goes out. Of a console that is killed in between nobody
knows whether it went: it isn't sent again, since two messages would ask for one decision twice.
"""

from __future__ import annotations

from datetime import datetime

from warehouse.records import Decision, DecisionMessage
from warehouse.store import Store

TRIES_MOST = 5
"""Of posting a message, and of telling what became of its decision."""

_UNTOLD = """
    SELECT d.* FROM decisions d
    LEFT JOIN (
        SELECT decision_id, count(*) FILTER (phase = 'intended') AS begun,
            count(*) FILTER (phase = 'failed') AS failed
        FROM decision_messages GROUP BY decision_id
    ) m ON m.decision_id = d.decision_id
    WHERE d.action <> 'do_nothing' AND d.mode <> 'shadow' AND d.expires_at > $now
        AND NOT EXISTS (SELECT 1 FROM verdicts v WHERE v.decision_id = d.decision_id)
        AND coalesce(m.begun, 0) = coalesce(m.failed, 0) AND coalesce(m.failed, 0) < $tries
    ORDER BY d.proposed_at, d.decision_id
    LIMIT $most
"""

_POSTED = "SELECT * FROM decision_messages WHERE phase = 'posted'"

_UNSETTLED = f"""
    SELECT p.* FROM ({_POSTED}) p
    JOIN decisions d ON d.decision_id = p.decision_id
    LEFT JOIN (
        SELECT decision_id, count(*) FILTER (phase = 'settled') AS settled,
            count(*) FILTER (phase = 'not_settled') AS failed
        FROM decision_messages GROUP BY decision_id
    ) m ON m.decision_id = p.decision_id
    WHERE (d.expires_at <= $now
            OR EXISTS (SELECT 1 FROM verdicts v WHERE v.decision_id = p.decision_id))
        AND coalesce(m.settled, 0) = 0 AND coalesce(m.failed, 0) < $tries
    ORDER BY p.recorded_at, p.decision_id
    LIMIT $most
"""


def untold(store: Store, *, now: datetime, most: int = 20) -> list[Decision]:
    """Decisions that wait and that no message asks for, the oldest first."""
    return store.rows(Decision, _UNTOLD, now=now, tries=TRIES_MOST, most=most)


def unsettled(store: Store, *, now: datetime, most: int = 20) -> list[DecisionMessage]:
    """Messages whose decision no longer waits, and that don't say so yet."""
    return store.rows(DecisionMessage, _UNSETTLED, now=now, tries=TRIES_MOST, most=most)


def posted(store: Store, decision_id: str) -> DecisionMessage | None:
    """The message that asks for a decision, or None where none does."""
    found = store.rows(DecisionMessage, f"{_POSTED} AND decision_id = $id LIMIT 1", id=decision_id)
    return found[0] if found else None
