"""Four eyes: where two people must say yes, what has been said so far.

Each yes is to the hash of the exact action, so that two who mean different things have not agreed.
Whoever edits an action says the first yes to it, and another person the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from warehouse.records import Approval
from warehouse.store import Store

NEEDED = 2
"""People who must say yes to the same."""

_OF_ONE = "SELECT * FROM approvals WHERE decision_id = $id ORDER BY approved_at, rowid"
_STANDING = """
    SELECT a.* FROM approvals a
    WHERE NOT EXISTS (SELECT 1 FROM verdicts v WHERE v.decision_id = a.decision_id)
    ORDER BY a.approved_at, a.rowid
"""


@dataclass(frozen=True)
class SaidSoFar:
    """One action that somebody said yes to, the proposed one or an edited one."""

    action_hash: str
    parameters: dict[str, Any]
    approved_by: tuple[str, ...]
    is_edited: bool
    """Whether it is not what was proposed."""
    reason: str | None
    """Why it was edited."""
    since_at: datetime
    """When the first yes was said."""

    @property
    def words(self) -> str:
        """How far it is: `1 of 2: alice, with nodes = 3`."""
        edited = f", with {_pairs(self.parameters)}" if self.is_edited else ""
        return f"{len(self.approved_by)} of {NEEDED}: {' and '.join(self.approved_by)}{edited}"


def approvals(store: Store, decision_id: str) -> list[Approval]:
    """Every yes to a decision on which two people must agree, the first first."""
    return store.rows(Approval, _OF_ONE, id=decision_id)


def standing_approvals(store: Store) -> dict[str, list[Approval]]:
    """By decision the yeses to what is not decided yet."""
    found: dict[str, list[Approval]] = {}
    for each in store.rows(Approval, _STANDING):
        found.setdefault(each.decision_id, []).append(each)
    return found


def said_so_far(action_hash: str, said: Iterable[Approval]) -> list[SaidSoFar]:
    """The yeses to a decision, of the proposed action's hash, by what they are to."""
    by_hash: dict[str, list[Approval]] = {}
    for each in said:
        by_hash.setdefault(each.action_hash, []).append(each)
    return [_so_far(group, action_hash) for group in by_hash.values()]


def _so_far(group: list[Approval], proposed_hash: str) -> SaidSoFar:
    first = group[0]
    return SaidSoFar(
        action_hash=first.action_hash,
        parameters=first.parameters,
        approved_by=tuple(dict.fromkeys(each.approved_by for each in group)),
        is_edited=first.action_hash != proposed_hash,
        reason=next((each.reason for each in group if each.reason), None),
        since_at=first.approved_at,
    )


def are_enough(said: Iterable[Approval], action_hash: str | None) -> bool:
    """Whether as many different people as must said yes to exactly this."""
    return len({each.approved_by for each in said if each.action_hash == action_hash}) >= NEEDED


def _pairs(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in parameters.items())
