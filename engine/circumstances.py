"""What the guards look at besides the pool: limits, modes, switches, and what was done lately."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from warehouse import controls
from warehouse.records import Mode
from warehouse.store import Store

HOUR = timedelta(hours=1)

_DEEDS = """
    SELECT d.decision_id, d.action, d.target, d.pool, e.parameters, e.result,
        min(e.happened_at) AS acted_at
    FROM executions e JOIN decisions d USING (decision_id)
    WHERE e.kind = 'do' AND e.phase = 'intended' AND e.happened_at > $since
    GROUP BY ALL
"""
_OPEN = """
    SELECT target, decision_id FROM decision_states
    WHERE state IN ('approved', 'carrying_out', 'undoing')
        OR (state = 'waiting' AND expires_at > $now)
"""


@dataclass(frozen=True)
class Deed:
    """Something that was carried out, or begun, lately."""

    decision_id: str
    target: str
    pool: str
    added_cost_usd_per_hour: float
    removed_gpus: int
    acted_at: datetime


@dataclass(frozen=True)
class Circumstances:
    """All that the guards look at besides the pool: read once, then pure."""

    limits: controls.Limits
    modes: dict[str, Mode]
    kill_switch: controls.KillSwitch
    breaker: controls.Breaker
    deeds: tuple[Deed, ...]
    """Of the last hour or the cool-down, whichever is longer."""
    open_decisions: dict[str, str]
    """The open decision of each target that has one."""
    now: datetime

    @property
    def hour(self) -> list[Deed]:
        """The deeds of the last hour."""
        return [deed for deed in self.deeds if deed.acted_at > self.now - HOUR]


def circumstances(store: Store, now: datetime, but_for: str | None = None) -> Circumstances:
    """What the guards look at, as it is now, but for the decision that is asked about."""
    standing = controls.standing(store)
    limits = standing.limits
    since = now - max(HOUR, timedelta(seconds=limits.cooldown_seconds))
    return Circumstances(
        limits=limits,
        modes=standing.modes,
        kill_switch=standing.kill_switch,
        breaker=standing.breaker,
        deeds=tuple(
            _deed(row)
            for row in store.query(_DEEDS, since=since).to_dicts()
            if row["decision_id"] != but_for
        ),
        open_decisions=dict(store.query(_OPEN, now=now).iter_rows()),
        now=now,
    )


def _deed(row: dict[str, Any]) -> Deed:
    """What it adds and removes was reckoned when it was begun, and kept with the intent."""
    reckoned = json.loads(row["result"])
    return Deed(
        decision_id=row["decision_id"],
        target=row["target"],
        pool=row["pool"],
        added_cost_usd_per_hour=float(reckoned.get("added_cost_usd_per_hour", 0.0)),
        removed_gpus=int(reckoned.get("removed_gpus", 0)),
        acted_at=row["acted_at"],
    )
