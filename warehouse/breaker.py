"""The breaker: it opens by itself, after failures in a row or too many quarantines in a window.

What goes wrong again and again is rarely the fleet's fault alone. While it is open nothing new is
begun, and only a person closes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from warehouse import control_rows
from warehouse.control_rows import Door, Found
from warehouse.limits import Limits
from warehouse.store import Store

NAME = "breaker"
QUARANTINE = "quarantine_node"

_NEWEST_ENDS = """
    SELECT phase FROM executions
    WHERE phase IN ('succeeded', 'failed') AND ($closed_at IS NULL OR happened_at > $closed_at)
    ORDER BY happened_at DESC, rowid DESC LIMIT 100
"""
_QUARANTINES = """
    SELECT count(DISTINCT e.decision_id) AS begun
    FROM executions e JOIN decisions d USING (decision_id)
    WHERE d.action = $action AND e.kind = 'do' AND e.phase = 'intended' AND e.happened_at > $since
        AND NOT EXISTS (
            SELECT 1 FROM executions r WHERE r.decision_id = e.decision_id
                AND r.kind = 'do' AND r.phase = 'refused'
        )
"""
"""One that was refused after its intent took nothing out of use."""


@dataclass(frozen=True)
class Breaker:
    """It opens by itself; only a person closes it."""

    is_open: bool
    failures: int
    """Failures in a row since the last success, or since it was closed."""
    opened_at: datetime | None = None
    reason: str | None = None
    """What opened it."""
    closed_at: datetime | None = None
    """When a person closed it last, while it is closed."""


def breaker(store: Store) -> Breaker:
    """Whether it is open, why, and how many failures in a row there were."""
    return breaker_of(store, control_rows.newest(store))


def breaker_of(store: Store, found: Found) -> Breaker:
    """The same, where the controls have been read."""
    row = found.get(NAME)
    is_open = bool(row and row["value"])
    closed_at = row["set_at"] if row and not is_open else None
    ends = store.query(_NEWEST_ENDS, closed_at=closed_at)["phase"].to_list()
    failures = next((i for i, phase in enumerate(ends) if phase != "failed"), len(ends))
    if row is None or not is_open:
        return Breaker(False, failures, closed_at=closed_at)
    return Breaker(True, failures, row["set_at"], row["reason"])


def quarantines_begun(
    store: Store, closed_at: datetime | None, limits: Limits, now: datetime
) -> int:
    """Nodes that were taken out of use within the breaker's window, since it was closed."""
    since = now - timedelta(seconds=limits.breaker_window_seconds)
    if closed_at is not None:
        since = max(since, closed_at)
    sql = _QUARANTINES
    return int(store.query(sql, action=QUARANTINE, since=since).item())


def open_breaker(
    store: Store, *, now: datetime, failures: int | None = None, reason: str | None = None
) -> None:
    """Begin nothing more until a person closes it; the engine says this, with its reason."""
    why = reason or f"{failures} actions failed in a row"
    control_rows.write(store, NAME, True, "engine", why, now, "rule")


def open_where_due(store: Store, limits: Limits, now: datetime) -> None:
    """Open it where failures in a row or quarantines in the window have reached their limit."""
    found = breaker(store)
    if found.is_open:
        return
    if found.failures >= limits.breaker_failures:
        open_breaker(store, failures=found.failures, now=now)
        return
    begun = quarantines_begun(store, found.closed_at, limits, now)
    if begun >= limits.breaker_quarantines:
        minutes = limits.breaker_window_seconds / 60
        open_breaker(store, reason=f"{begun} nodes quarantined within {minutes:g} min", now=now)


def close_breaker(
    store: Store, *, by: str, reason: str | None, now: datetime, via: Door = "console"
) -> None:
    """Let actions be begun again; failures and quarantines are counted anew."""
    control_rows.write(store, NAME, False, by, reason, now, via)
