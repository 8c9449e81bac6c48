"""What is asked of policies: who steers, who challenges, how they were made; and rolling one back.

What they would do and what that would earn is asked in `warehouse/shadow.py`.

    PolicyError
    └── NoSuchPolicy   no policy has this id
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

import polars as pl

from warehouse.decision_errors import ReasonNeeded
from warehouse.paging import Page, Position, page_of
from warehouse.records import AuditEvent, Champion, PolicyVersion, TrainingRun
from warehouse.store import Store

__all__ = [
    "RULE",
    "NoSuchPolicy",
    "PolicyError",
    "Steering",
    "alarms",
    "challenger",
    "champion_history",
    "drift_threshold",
    "policy",
    "policy_versions",
    "roll_back",
    "steering",
    "training_runs",
]

RULE = "rule"
"""The policy of day 0, and the one that is always there to return to."""
Door = Literal["browser", "api", "rule", "console"]

_NEWEST_OF_EACH = """
    SELECT * FROM policies
    QUALIFY row_number() OVER (PARTITION BY policy_id ORDER BY created_at DESC, rowid DESC) = 1
"""
"""A version is written anew as its gates are passed; its newest row holds."""

_CHALLENGER = f"""
    SELECT * FROM ({_NEWEST_OF_EACH})
    WHERE origin = 'challenger' AND policy_id NOT IN (SELECT policy_id FROM champions)
        AND created_at > coalesce(
            (SELECT max(since_at) FROM champions WHERE decision_id IS NOT NULL), '-infinity')
    ORDER BY created_at DESC LIMIT 1
"""


class PolicyError(Exception):
    """Something is wrong with what was asked of a policy; the sentence says what to do next."""


class NoSuchPolicy(PolicyError):
    """No policy has this id."""


@dataclass(frozen=True)
class Steering:
    """Who steers; the rule where nobody was ever made champion."""

    policy_id: str = RULE
    """The policy."""
    previous_policy_id: str | None = None
    """What rolling back returns to; None where the rule steers, to which one returns at last."""
    since_at: datetime | None = None
    """Since when; None where it has been so from the start."""
    set_by: str | None = None
    """Who said so: a person, or the rule that rolled another back."""
    reason: str | None = None
    """Why."""
    decision_id: str | None = None
    """The decision that promoted it, where one did."""


def steering(store: Store) -> Steering:
    """Who steers now, and what rolling back would return to."""
    return _steering(_champions(store))


def _champions(store: Store) -> list[Champion]:
    """Every change of champion, oldest first."""
    return store.rows(Champion, "SELECT * FROM champions ORDER BY since_at, rowid")


def _steering(rows: Sequence[Champion]) -> Steering:
    if not rows:
        return Steering()
    row = rows[-1]
    return Steering(
        row.policy_id, _return_to(rows), row.since_at, row.set_by, row.reason, row.decision_id
    )


def _return_to(rows: Sequence[Champion]) -> str | None:
    """Never the policy that steers, and never one that was itself rolled back."""
    current = rows[-1]
    if current.policy_id == RULE:
        return None
    before = current.previous_policy_id
    if before is None or before == current.policy_id or before in _withdrawn(rows):
        return RULE
    return before


def _withdrawn(rows: Sequence[Champion]) -> set[str]:
    """The policies that were rolled back and have not been promoted since."""
    found: set[str] = set()
    for earlier, later in pairwise(rows):
        is_back = later.decision_id is None and later.policy_id in (
            earlier.previous_policy_id,
            RULE,
        )
        if is_back:
            found.add(earlier.policy_id)
        found.discard(later.policy_id)
    return found


def roll_back(
    store: Store,
    *,
    by: str,
    reason: str | None,
    now: datetime,
    policy_id: str | None = None,
    via: Door = "console",
) -> Steering:
    """Let the policy before the champion steer again, or the rule where there is none.

    Give the `policy_id` that was seen to steer: where it does no longer, nothing is changed, so
    that a second click returns no further. Nor is anything where the rule steers. Returns who
    steers afterwards.

    Raises:
        ReasonNeeded: nobody said why.
    """
    if reason is None or not reason.strip():
        raise ReasonNeeded("rolling a policy back needs a reason: say why in a few words")
    with store.transaction():
        rows = _champions(store)
        found = _steering(rows)
        target = found.previous_policy_id
        if target is None or (policy_id is not None and policy_id != found.policy_id):
            return found
        made = Champion(
            policy_id=target,
            previous_policy_id=_before(rows, target),
            set_by=by,
            reason=reason.strip(),
            since_at=_after_the_last(rows, now),
        )
        event = AuditEvent(
            actor=by,
            act="policy.roll_back",
            target=found.policy_id,
            detail={"to": target, "reason": made.reason},
            via=via,
            happened_at=now,
        )
        store.append([made, event])
        return _steering([*rows, made])


def _before(rows: Sequence[Champion], policy_id: str) -> str | None:
    """Who steered before a policy when it was last promoted; None before the rule."""
    if policy_id == RULE:
        return None
    return next(
        (row.previous_policy_id for row in reversed(rows) if row.policy_id == policy_id), RULE
    )


def _after_the_last(rows: Sequence[Champion], now: datetime) -> datetime:
    """The newest row holds, so it is never older than the one it replaces."""
    return max(now, rows[-1].since_at + timedelta(microseconds=1)) if rows else now


def champion_history(store: Store, limit: int = 100) -> pl.DataFrame:
    """Every change of champion with the fields of `records.Champion`, the newest first."""
    return store.query(
        "SELECT * FROM champions ORDER BY since_at DESC, rowid DESC LIMIT $limit", limit=limit
    )


# -- versions --------------------------------------------------------------------------


def policy(store: Store, policy_id: str) -> PolicyVersion:
    """A version of a policy as it was last written.

    Raises:
        NoSuchPolicy: there is none of this id.
    """
    sql = f"SELECT * FROM ({_NEWEST_OF_EACH}) WHERE policy_id = $policy_id"
    for found in store.rows(PolicyVersion, sql, policy_id=policy_id):
        return found
    raise NoSuchPolicy(f"there is no policy {policy_id}: GET /api/v1/engine/policies lists them")


def challenger(store: Store) -> PolicyVersion | None:
    """The newest version trained here since the last promotion that never steered."""
    found = store.rows(PolicyVersion, _CHALLENGER)
    return found[0] if found else None


def policy_versions(store: Store, *, offset: Position = 0, limit: int = 50) -> Page:
    """One page of the versions, the newest first; fields of several values are JSON text."""
    order = "created_at DESC, policy_id"
    return page_of(store, _NEWEST_OF_EACH, order=order, offset=offset, limit=limit)


def training_runs(store: Store, limit: int = 20) -> list[TrainingRun]:
    """The newest runs of training, the newest first."""
    sql = "SELECT * FROM training_runs ORDER BY started_at DESC, run_id LIMIT $limit"
    return store.rows(TrainingRun, sql, limit=limit)


# -- alarms ----------------------------------------------------------------------------


def alarms(store: Store, limit: int = 50) -> pl.DataFrame:
    """The newest alarms with the fields of `records.PolicyAlarm`, the newest first."""
    return store.query(
        "SELECT * FROM policy_alarms ORDER BY raised_at DESC, policy_id, trigger LIMIT $limit",
        limit=limit,
    )


def drift_threshold(store: Store) -> float | None:
    """What the twin's drift may not pass, as its newest check tells; None before any."""
    found = store.query("SELECT threshold FROM twin_checks ORDER BY ends_at DESC LIMIT 1")
    return float(found.item()) if found.height and found.item() is not None else None
