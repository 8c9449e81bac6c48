"""What is asked of decisions: their state, what was said, done and gained.

The verbs (`propose`, `approve`, …) are those of `warehouse/verdicts.py`,
`warehouse/undo_requests.py` and `warehouse/withdrawals.py`, their errors those of
`warehouse/decision_errors.py`.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import polars as pl

from warehouse.decidable import never_waits
from warehouse.decision_errors import (
    ActionChanged,
    AlreadyApproved,
    AlreadyDecided,
    DecisionError,
    Expired,
    NoSuchDecision,
    NotUndoable,
    NotWithdrawable,
    NotYetExpired,
    ReasonNeeded,
    SecondPersonNeeded,
    TargetBusy,
)
from warehouse.paging import Page, Position, page_of
from warehouse.schema import columns_of
from warehouse.scoreboard import Scoreboard, scoreboard
from warehouse.store import Store
from warehouse.undo_requests import ask_undo
from warehouse.verdicts import (
    Via,
    approve,
    lapse,
    override,
    propose,
    reject,
)
from warehouse.withdrawals import withdraw

__all__ = [
    "STATES",
    "ActionChanged",
    "AlreadyApproved",
    "AlreadyDecided",
    "DecisionError",
    "DecisionState",
    "Expired",
    "NoSuchDecision",
    "NotUndoable",
    "NotWithdrawable",
    "NotYetExpired",
    "ReasonNeeded",
    "Scoreboard",
    "SecondPersonNeeded",
    "TargetBusy",
    "Via",
    "approve",
    "ask_undo",
    "counts_by_state",
    "decision",
    "decisions",
    "lapse",
    "never_waits",
    "override",
    "propose",
    "reject",
    "scoreboard",
    "timeline",
    "waiting_count",
    "withdraw",
]

STATES: tuple[str, ...] = (
    "noted",
    "shadow",
    "waiting",
    "rejected",
    "lapsed",
    "approved",
    "withdrawn",
    "carrying_out",
    "carried_out",
    "refused",
    "failed",
    "measured",
    "undoing",
    "undone",
    "undo_failed",
)
"""Every state a decision can be in, in the order in which they can follow one another."""

_STATED = """
    SELECT * REPLACE (
        CASE WHEN state = 'waiting' AND expires_at <= $now THEN 'lapsed' ELSE state END AS state
    ) FROM decision_states
"""
"""With the expiry of what still waits reckoned at `now`."""

_WAITING = """
    SELECT count(*) FROM decisions d
    WHERE action <> 'do_nothing' AND mode <> 'shadow'
        AND (expires_at IS NULL OR expires_at > $now)
        AND NOT EXISTS (SELECT 1 FROM verdicts v WHERE v.decision_id = d.decision_id)
"""

_LISTED = f"""
    SELECT * FROM ({_STATED})
    WHERE (len($states::VARCHAR[]) = 0 OR list_contains($states::VARCHAR[], state))
        AND ($pool IS NULL OR pool = $pool)
        AND ($action IS NULL OR action = $action)
        AND ($search IS NULL
            OR contains(lower(concat_ws(' ', decision_id, summary, reason, target, deciders)),
                        lower($search)))
"""

_TIMELINE = """
    SELECT proposed_at AS "at", 0 AS step, 'proposed' AS what, policy AS "by", summary AS detail
    FROM decisions WHERE decision_id = $id
    UNION ALL
    SELECT decided_at, 1, CASE verdict WHEN 'approve' THEN 'approved' WHEN 'override'
            THEN 'overridden' WHEN 'reject' THEN 'rejected' ELSE 'lapsed' END,
        decided_by, coalesce(reason || ' ', '') || parameters
    FROM verdicts WHERE decision_id = $id
    UNION ALL
    SELECT approved_at, 0.5, 'said yes', approved_by, coalesce(reason || ' ', '') || parameters
    FROM approvals WHERE decision_id = $id
    UNION ALL
    SELECT withdrawn_at, 2, 'withdrawn', withdrawn_by, reason
    FROM withdrawals WHERE decision_id = $id
    UNION ALL
    SELECT happened_at, CASE kind WHEN 'do' THEN 2.5 ELSE 5.5 END,
        CASE kind WHEN 'do' THEN '' ELSE 'undo ' END || 'step ' || phase, 'engine',
        step || ' ' || target || coalesce(': ' || detail, '')
    FROM execution_steps WHERE decision_id = $id AND phase NOT IN ('intended', 'waiting')
    UNION ALL
    SELECT requested_at, 4, 'undo asked', requested_by, reason
    FROM undo_requests WHERE decision_id = $id
    UNION ALL
    SELECT happened_at, CASE kind WHEN 'do' THEN 2 ELSE 5 END,
        CASE kind WHEN 'do' THEN '' ELSE 'undo ' END || phase, 'engine',
        coalesce(detail, parameters)
    FROM executions WHERE decision_id = $id
    UNION ALL
    SELECT refused_at, 2, 'held back', guard, detail FROM refusals WHERE decision_id = $id
    UNION ALL
    SELECT measured_at, 3, 'measured', method, detail FROM outcomes WHERE decision_id = $id
"""


@dataclass(frozen=True, kw_only=True)
class DecisionState:
    """A decision, what was said to it, what was done and what came of it.

    The first fields are those of `records.Decision`, with their units.
    """

    decision_id: str
    action: str
    target: str
    pool: str
    parameters: dict[str, Any]
    action_hash: str
    mode: str
    policy: str
    summary: str
    reason: str
    evidence: dict[str, Any]
    expected_gain_usd_per_hour: float
    expected_gain_low_usd_per_hour: float
    expected_gain_high_usd_per_hour: float
    interval_ratio: float
    disruption_cost_usd: float
    baseline: str
    alternatives: list[dict[str, Any]]
    observation_id: str | None
    snapshot_id: int
    propensity_ratio: float | None
    horizon_seconds: int
    proposed_at: datetime
    expires_at: datetime
    state: str
    """One of `STATES`."""
    verdict: str | None
    """`approve`, `override`, `reject`, `lapse`, or None while it waits."""
    verdict_parameters: dict[str, Any] | None
    """What was approved."""
    verdict_action_hash: str | None
    """Its hash."""
    decided_by: str | None
    deciders: str | None
    """Who decided, in words: `alice and bob` where two said yes to it, else as `decided_by`."""
    decided_via: str | None
    verdict_reason: str | None
    decided_at: datetime | None
    execution_phase: str | None
    """`intended`, `succeeded`, `failed`, `refused`, or None while nothing was done."""
    execution_detail: str | None
    """Why it failed or was refused."""
    execution_result: dict[str, Any] | None
    """What the actuator answered."""
    execution_intended_at: datetime | None
    execution_ended_at: datetime | None
    undo_requested_by: str | None
    undo_reason: str | None
    undo_requested_at: datetime | None
    withdrawn_by: str | None
    """Who took the approval back before it was carried out; None where nobody did."""
    withdrawal_reason: str | None
    """Why."""
    withdrawn_at: datetime | None
    """When."""
    undo_phase: str | None
    undo_detail: str | None
    undo_ended_at: datetime | None
    realised_gain_usd_per_hour: float | None
    realised_gain_low_usd_per_hour: float | None
    realised_gain_high_usd_per_hour: float | None
    outcome_method: str | None
    did_harm: bool | None
    outcome_judgement: Literal["helped", "harmed", "inconclusive", "unmeasured"] | None
    """`helped`, `harmed`, `inconclusive`, `unmeasured`; None before it is over, and in old rows."""
    outcome_criterion: str | None
    """When it counts as a success, in words."""
    outcome_criterion_is_met: bool | None
    """Whether it does; None where it can't be told."""
    outcome_detail: str | None
    measured_at: datetime | None
    can_undo: bool
    """Whether `ask_undo` would be heard now."""


def decision(store: Store, decision_id: str, *, now: datetime) -> DecisionState:
    """One decision as it stands at `now`.

    Raises:
        NoSuchDecision: there is none of this id.
    """
    found = store.query(f"{_STATED} WHERE decision_id = $id", now=now, id=decision_id)
    for row in found.iter_rows(named=True):
        return DecisionState(**{name: _read(name, value) for name, value in row.items()})
    raise NoSuchDecision(f"there is no decision {decision_id}: read the list again")


def decisions(
    store: Store,
    *,
    now: datetime,
    states: Collection[str] | None = None,
    pool: str | None = None,
    action: str | None = None,
    search: str | None = None,
    newest_first: bool = True,
    offset: Position = 0,
    limit: int = 50,
) -> Page:
    """One page of the decisions as they stand at `now`, with the fields of `DecisionState`.

    Fields that hold several values (`parameters`, `evidence`, `alternatives`, …) are JSON text.
    `search` looks in the id, the words, the target and who decided.
    """
    direction = "DESC" if newest_first else "ASC"
    return page_of(
        store,
        _LISTED,
        order=f"proposed_at {direction}, decision_id",
        offset=offset,
        limit=limit,
        now=now,
        states=list(states or ()),
        pool=pool,
        action=action,
        search=search or None,
    )


def timeline(store: Store, decision_id: str) -> pl.DataFrame:
    """Every row that concerns a decision, in time order: `at`, `what`, `by`, `detail`."""
    return store.query(
        f"""
        SELECT "at", what, "by", detail FROM ({_TIMELINE})
        ORDER BY "at", step, what <> 'intended'
        """,
        id=decision_id,
    )


def waiting_count(store: Store, *, now: datetime) -> int:
    """How many decisions wait for a person.

    Every page asks every few seconds, so it asks two tables instead of the seven of the view.
    """
    return int(store.query(_WAITING, now=now).item())


def counts_by_state(store: Store, *, now: datetime) -> dict[str, int]:
    """How many decisions are in each of `STATES`."""
    sql = f"SELECT state, count(*) AS decisions FROM ({_STATED}) GROUP BY state"
    counts = dict.fromkeys(STATES, 0)
    counts.update(store.query(sql, now=now).iter_rows())
    return counts


_JSON_FIELDS = frozenset(column.name for column in columns_of(DecisionState) if column.is_json)


def _read(name: str, value: Any) -> Any:
    return json.loads(value) if name in _JSON_FIELDS and value is not None else value
