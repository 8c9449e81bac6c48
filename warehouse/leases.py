"""Who acts where several consoles share a catalogue: a lease that is taken, renewed and let go of.

The holder of the highest term has it, until it has run out. Taking and renewing use a ticket up and
put it back, so that of two that do so at once the later one meets a conflict; and where the ticket
was not there yet, whose row of a term was written first has the term.
"""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress
from datetime import datetime, timedelta

from warehouse.clock import Clock
from warehouse.errors import Conflict, TicketGone, WarehouseError
from warehouse.records import Lease, Ticket
from warehouse.store import Store

LEASE_SECONDS = 30.0
"""How long a lease lasts that nobody renews."""
RENEWED_AFTER_RATIO = 1 / 3
"""Share of its time after which a lease is renewed; two more attempts fit in."""

_NEWEST = """
    WITH of_term AS (
        SELECT *, rowid AS place FROM leases WHERE name = $name
        QUALIFY term = max(term) OVER ()
    )
    SELECT name, holder, term, renewed_at, expires_at FROM of_term
    WHERE holder = (SELECT arg_min(holder, place) FROM of_term)
    ORDER BY renewed_at DESC, place DESC LIMIT 1
"""


def lease(store: Store, name: str) -> Lease | None:
    """The newest row of a lease, which may have run out; None where nobody ever held it."""
    found = store.rows(Lease, _NEWEST, name=name)
    return found[0] if found else None


def holder_of(store: Store, name: str, *, now: datetime) -> str | None:
    """Who holds a lease; None where nobody does."""
    found = lease(store, name)
    return found.holder if found is not None and now < found.expires_at else None


def hold(store: Store, name: str, holder: str, *, seconds: float, now: datetime) -> bool:
    """Whether it is this holder's; takes it where it is free, renews it where that is due."""
    found = lease(store, name)
    is_ours = found is not None and found.holder == holder and now < found.expires_at
    if found is not None and now < found.expires_at and not is_ours:
        return False
    if is_ours and not _is_due(found, now, seconds):
        return True
    return _claim(store, name, holder, seconds, now)


def resign(store: Store, name: str, holder: str, *, now: datetime) -> None:
    """Let go of it, where it is this holder's."""
    with suppress(Conflict), store.transaction():  # somebody took it just now: so it is gone
        found = lease(store, name)
        if found is not None and found.holder == holder:
            _use_ticket(store, name)
            store.append([_row(name, holder, found.term, max(now, found.renewed_at), 0.0)])


def own_name() -> str:
    """A name for this process that no other has: its host's, and something drawn by lot."""
    return f"{socket.gethostname()}-{secrets.token_hex(3)}"


def is_held(
    store: Store, name: str, holder: str, clock: Clock, seconds: float = LEASE_SECONDS
) -> bool:
    """As `hold`, and no where the catalogue can't be asked: two that act are worse than none."""
    try:
        return hold(store, name, holder, seconds=seconds, now=clock.now())
    except WarehouseError:
        return False


def let_go(store: Store, name: str, holder: str, clock: Clock) -> None:
    """As `resign`; where that can't be written it runs out by itself."""
    with suppress(WarehouseError):
        resign(store, name, holder, now=clock.now())


def _is_due(found: Lease | None, now: datetime, seconds: float) -> bool:
    age_seconds = (now - found.renewed_at).total_seconds() if found else seconds
    return age_seconds >= seconds * RENEWED_AFTER_RATIO


def _claim(store: Store, name: str, holder: str, seconds: float, now: datetime) -> bool:
    try:
        with store.transaction():
            _use_ticket(store, name)
            found = lease(store, name)
            if found is not None and found.holder != holder and now < found.expires_at:
                return False  # taken since it was looked at
            store.append([_row(name, holder, _next_term(found, holder), now, seconds)])
    except Conflict:
        pass  # with whoever took it, or with another ticket's use: who has it is read
    return holder_of(store, name, now=now) == holder


def _next_term(found: Lease | None, holder: str) -> int:
    """Raised whenever the holder changes."""
    if found is None:
        return 1
    return found.term if found.holder == holder else found.term + 1


def _use_ticket(store: Store, name: str) -> None:
    ticket = Ticket(decision_id=f"lease/{name}", purpose="execution")
    with suppress(TicketGone):  # nobody ever took it
        store.take(ticket)
    store.append([ticket])


def _row(name: str, holder: str, term: int, at: datetime, seconds: float) -> Lease:
    return Lease(
        name=name,
        holder=holder,
        term=term,
        renewed_at=at,
        expires_at=at + timedelta(seconds=seconds),
    )
