"""Who did what: the record of every act, and what is asked of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from warehouse.paging import Page, Position, page_of
from warehouse.records import AuditEvent
from warehouse.store import Store

AuditVia = Literal["browser", "api", "rule", "console", "link", "slack"]

_EVENTS = """
    SELECT * FROM audit_events
    WHERE ($actor IS NULL OR actor = $actor)
        AND ($act IS NULL OR act = $act OR starts_with(act, $act || '.'))
        AND ($search IS NULL OR contains(lower(actor || ' ' || act || ' ' || target || ' '
            || detail), lower($search)))
"""


def record(
    store: Store,
    actor: str,
    act: str,
    target: str,
    *,
    via: AuditVia,
    at: datetime,
    detail: dict[str, Any] | None = None,
    address: str | None = None,
) -> None:
    """Put an act on record; `act` is `noun.verb`. Never give it a secret."""
    event = AuditEvent(
        actor=actor,
        act=act,
        target=target,
        detail=detail or {},
        via=via,
        address=address,
        happened_at=at,
    )
    store.append([event])


def audit(
    store: Store,
    *,
    actor: str | None = None,
    act: str | None = None,
    search: str | None = None,
    offset: Position = 0,
    limit: int = 50,
) -> Page:
    """One page of the record, the newest first.

    `act` is an act or its noun alone: `session` finds `session.start` and `session.end`.
    """
    return page_of(
        store,
        _EVENTS,
        order="happened_at DESC, act, actor, target, detail",
        offset=offset,
        limit=limit,
        actor=actor,
        act=act,
        search=search or None,
    )
