"""What is derived from the rows, once, in SQL: the views of the warehouse.

They are made anew whenever a warehouse is opened, so that they follow the code.
"""

from __future__ import annotations

DECISION_STATES = """
WITH deeds AS (
    SELECT decision_id, kind,
        arg_max_null(phase, (happened_at, phase <> 'intended')) AS phase,
        arg_max_null(detail, (happened_at, phase <> 'intended')) AS detail,
        arg_max_null(result, (happened_at, phase <> 'intended')) AS result,
        min(happened_at) FILTER (phase = 'intended') AS intended_at,
        max(happened_at) FILTER (phase <> 'intended') AS ended_at
    FROM executions GROUP BY decision_id, kind
), joined AS (
    SELECT d.*,
        v.verdict, v.parameters AS verdict_parameters, v.action_hash AS verdict_action_hash,
        v.decided_by, coalesce(v.first_yes_by || ' and ', '') || v.decided_by AS deciders,
        v.via AS decided_via, v.reason AS verdict_reason, v.decided_at,
        deed.phase AS execution_phase, deed.detail AS execution_detail,
        deed.result AS execution_result,
        deed.intended_at AS execution_intended_at, deed.ended_at AS execution_ended_at,
        u.requested_by AS undo_requested_by, u.reason AS undo_reason,
        u.requested_at AS undo_requested_at,
        w.withdrawn_by, w.reason AS withdrawal_reason, w.withdrawn_at,
        undo.phase AS undo_phase, undo.detail AS undo_detail, undo.ended_at AS undo_ended_at,
        o.realised_gain_usd_per_hour, o.realised_gain_low_usd_per_hour,
        o.realised_gain_high_usd_per_hour, o.method AS outcome_method, o.did_harm,
        o.judgement AS outcome_judgement, o.criterion AS outcome_criterion,
        o.criterion_is_met AS outcome_criterion_is_met,
        o.detail AS outcome_detail, o.measured_at
    FROM decisions d
    LEFT JOIN verdicts v USING (decision_id)
    LEFT JOIN deeds deed ON deed.decision_id = d.decision_id AND deed.kind = 'do'
    LEFT JOIN deeds undo ON undo.decision_id = d.decision_id AND undo.kind = 'undo'
    LEFT JOIN undo_requests u ON u.decision_id = d.decision_id
    LEFT JOIN withdrawals w ON w.decision_id = d.decision_id
    LEFT JOIN outcomes o ON o.decision_id = d.decision_id
), stated AS (
    SELECT *, CASE
        WHEN action = 'do_nothing' THEN 'noted'
        WHEN mode = 'shadow' THEN 'shadow'
        WHEN verdict IS NULL THEN 'waiting'
        WHEN verdict = 'reject' THEN 'rejected'
        WHEN verdict = 'lapse' THEN 'lapsed'
        WHEN withdrawn_at IS NOT NULL THEN 'withdrawn'
        WHEN undo_phase = 'succeeded' THEN 'undone'
        WHEN undo_phase IN ('failed', 'refused') THEN 'undo_failed'
        WHEN undo_requested_at IS NOT NULL THEN 'undoing'
        WHEN execution_phase IS NULL THEN 'approved'
        WHEN execution_phase = 'intended' THEN 'carrying_out'
        WHEN execution_phase IN ('refused', 'failed') THEN execution_phase
        WHEN measured_at IS NOT NULL THEN 'measured'
        ELSE 'carried_out'
    END AS state
    FROM joined
)
SELECT *,
    state IN ('carried_out', 'measured')
        AND coalesce(execution_result::JSON ->> 'is_undoable', 'false') = 'true' AS can_undo
FROM stated
"""
"""Every decision with what was said to it, what was done and what came of it."""

VIEWS: dict[str, str] = {"decision_states": DECISION_STATES}
"""Every view by its name."""
