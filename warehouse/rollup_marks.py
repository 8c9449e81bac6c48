"""How far samples are rolled up, source by source: the one row of `rollup_marks`.

Whoever rolls up, or lets raw samples go, takes the row that is there and leaves its own in the same
transaction: of two at once one comes to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from warehouse.records import RollupMark
from warehouse.store import Store


@dataclass(frozen=True)
class SourceClock:
    """How far one source was read, and how far its samples are rolled up."""

    newest_at: datetime
    """Its newest reading that was taken in: what the time is by its own clock."""
    rolled_until_at: datetime
    """Periods that end by then are rolled up."""
    kept_from_at: datetime
    """From here on every raw sample is there; older periods stay as they were rolled up."""


@dataclass(frozen=True)
class Mark:
    """How far samples are rolled up; `snapshot_id` is 0 before the first time."""

    snapshot_id: int
    clocks: dict[str, SourceClock]


def mark(store: Store) -> Mark:
    """How far samples are rolled up."""
    rows = store.rows(RollupMark, "SELECT * FROM rollup_marks ORDER BY snapshot_id DESC LIMIT 1")
    if not rows:
        return Mark(0, {})
    clocks = {
        source: SourceClock(**{name: datetime.fromisoformat(at) for name, at in each.items()})
        for source, each in rows[0].sources.items()
    }
    return Mark(rows[0].snapshot_id, clocks)


def leave_mark(store: Store, left: Mark) -> None:
    """Take the mark that is there and leave this one, inside a transaction.

    Raises:
        Conflict: another transaction took it.
    """
    store.delete(RollupMark, "snapshot_id <= $snapshot_id", snapshot_id=left.snapshot_id)
    clocks = {
        source: {
            "newest_at": clock.newest_at.isoformat(),
            "rolled_until_at": clock.rolled_until_at.isoformat(),
            "kept_from_at": clock.kept_from_at.isoformat(),
        }
        for source, clock in left.clocks.items()
    }
    store.append([RollupMark(snapshot_id=left.snapshot_id, sources=clocks)])
