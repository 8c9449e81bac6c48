"""What the console may not do in the cluster, as it was found when it started."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from warehouse.store import Store

_ANY = "SELECT count(*) FROM cluster_rights WHERE NOT is_allowed"
"""Asked first, as it is asked at every tick and mostly there is none."""
_MISSING = """
    WITH newest AS (
        SELECT * FROM cluster_rights
        QUALIFY row_number() OVER (
            PARTITION BY action, "right" ORDER BY checked_at DESC, rowid DESC) = 1
    ), allowed AS (
        SELECT action, "right", max(checked_at) AS last_at FROM cluster_rights
        WHERE is_allowed GROUP BY ALL
    )
    SELECT n.action, n."right", n.detail, min(r.checked_at) AS since_at
    FROM newest n JOIN cluster_rights r USING (action, "right")
    LEFT JOIN allowed a USING (action, "right")
    WHERE NOT n.is_allowed AND (a.last_at IS NULL OR r.checked_at > a.last_at)
        AND n.checked_at = (
            SELECT max(c.checked_at) FROM cluster_rights c WHERE c.action = n.action)
    GROUP BY ALL ORDER BY n.action, n."right"
"""
"""Of each action's newest check; a right that is asked about no more is not needed any more."""


@dataclass(frozen=True)
class MissingRight:
    """A right that an action needs and the console has not."""

    action: str
    """The action type, or what else of the console needs it: `observe`, `events`, `lease`."""
    right: str
    """In words: `create pods/eviction`."""
    detail: str | None
    """The server's reason, where it gave one."""
    since_at: datetime
    """Since when it is known to be missing."""


def missing_rights(store: Store) -> list[MissingRight]:
    """Every right that is missing, by action; none where no cluster was ever asked."""
    if not store.query(_ANY).item():
        return []
    found = store.query(_MISSING)
    return [MissingRight(**row) for row in found.iter_rows(named=True)]
