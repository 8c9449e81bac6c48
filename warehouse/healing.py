"""What is asked of ailing nodes: their health now, their incidents, how long those lasted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import mean, median
from typing import Any

import polars as pl

from warehouse.records import NodeHealth, NodeIncident
from warehouse.store import Store

INCIDENT_WINDOW = timedelta(days=30)
"""How far back incidents are told, unless somebody asks for more."""
ENDINGS = ("returned", "passed", "gone")
"""Phases that end an incident."""
MOST_SIGNS = 3
"""Pieces of evidence in a headline."""

_NEWEST = """
    SELECT * FROM node_health WHERE ($node_id IS NULL OR node_id = $node_id)
    QUALIFY row_number() OVER (PARTITION BY node_id ORDER BY judged_at DESC, rowid DESC) = 1
    ORDER BY health_ratio, node_id
"""
_STEPS = """
    WITH shown AS (
        SELECT incident_id FROM node_incidents
        WHERE ($node_id IS NULL OR node_id = $node_id)
        GROUP BY incident_id
        HAVING max(happened_at) >= $since
            OR NOT bool_or(phase IN ('returned', 'passed', 'gone'))
    )
    SELECT n.* FROM node_incidents n JOIN shown USING (incident_id)
    ORDER BY n.happened_at, n.rowid
"""
_WAITS = """
    WITH done AS (
        SELECT decision_id, min(happened_at) AS begun_at FROM executions
        WHERE kind = 'do' AND phase = 'intended' GROUP BY decision_id
    )
    SELECT d.decision_id, d.parameters ->> 'node_id' AS node_id, d.action, d.summary,
        d.proposed_at, d.expires_at, v.verdict, v.decided_at, v.via, done.begun_at
    FROM decisions d LEFT JOIN verdicts v USING (decision_id) LEFT JOIN done USING (decision_id)
    WHERE d.action IN ('quarantine_node', 'repair_node') AND d.proposed_at >= $since
        AND d.mode = 'approve'
    ORDER BY d.proposed_at
"""
"""Decisions on nodes that a person was asked about."""
_WATCHING_SINCE = "SELECT min(observed_at) AS at FROM observations"


@dataclass(frozen=True, kw_only=True)
class Incident:
    """An illness of a node from its first evidence on; what has not come yet is None."""

    incident_id: str
    node_id: str
    pool: str | None
    phase: str
    """The newest"""
    detail: str
    """What was found, in words"""
    onset_at: datetime
    detected_at: datetime
    ended_at: datetime | None
    detect_seconds: float | None
    """From the first evidence to its detection; None where that evidence is older than this
    console's watch"""
    repair_seconds: float | None
    """From its detection to its return; None while it is not back, and where it never was away"""
    people_seconds: float
    """What of that, or of the time so far, went by waiting for a person"""
    unattended_seconds: float | None
    """The time to repair without that"""
    decisions: tuple[str, ...]
    """The decisions about it, in order"""
    steps: tuple[NodeIncident, ...]

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self.ended_at is None


@dataclass(frozen=True)
class Times:
    """Over incidents: how long they took; None where there is none to tell of."""

    count: int
    detect_median_seconds: float | None
    detect_mean_seconds: float | None
    repair_median_seconds: float | None
    repair_mean_seconds: float | None
    unattended_median_seconds: float | None
    unattended_mean_seconds: float | None


def health_now(store: Store) -> list[NodeHealth]:
    """The newest judgement of every node that was ever ill, the worst first."""
    return store.rows(NodeHealth, _NEWEST, node_id=None)


def node_health(store: Store, node_id: str) -> NodeHealth | None:
    """The newest judgement of a node; None where nothing was ever said against it."""
    found = store.rows(NodeHealth, _NEWEST, node_id=node_id)
    return found[0] if found else None


def is_suspect(store: Store, node_id: str) -> bool:
    """Whether a node is too ill to be given jobs, as last judged."""
    health = node_health(store, node_id)
    return health is not None and health.is_suspect


def suspects(store: Store) -> list[NodeHealth]:
    """The nodes that are too ill to be given jobs, the worst first."""
    return [each for each in health_now(store) if each.is_suspect]


def headline(health: NodeHealth) -> str:
    """What is wrong with a node, in one line for whoever carries the pager."""
    worst = sorted(health.evidence, key=lambda piece: -float(piece["weight_ratio"]))
    failures = [piece for piece in worst if piece["signal"] == "job_failures"]
    shown = [piece for piece in worst if piece["signal"] != "job_failures"]
    words = [str(piece["words"]) for piece in [*shown[:MOST_SIGNS], *failures]]
    return f"Node {health.node_id}: {'; '.join(words) or 'nothing speaks against it'}"


def incidents(
    store: Store, *, now: datetime, since: datetime | None = None, node_id: str | None = None
) -> list[Incident]:
    """The incidents that are open, then those that ended since, both newest first."""
    since = since or now - INCIDENT_WINDOW
    steps: dict[str, list[NodeIncident]] = {}
    for step in store.rows(NodeIncident, _STEPS, since=since, node_id=node_id):
        steps.setdefault(step.incident_id, []).append(step)
    if not steps:
        return []
    oldest = min(story[0].onset_at for story in steps.values())
    waits = store.query(_WAITS, since=oldest)
    watching_since = store.query(_WATCHING_SINCE).item()
    told = [_incident(story, waits, watching_since, now) for story in steps.values()]
    newest_first = sorted(told, key=lambda each: each.detected_at, reverse=True)
    return sorted(newest_first, key=lambda each: not each.is_open)


def times(incidents: Sequence[Incident]) -> Times:
    """Means and medians over incidents."""
    detect = [each.detect_seconds for each in incidents if each.detect_seconds is not None]
    repair = [each.repair_seconds for each in incidents if each.repair_seconds is not None]
    alone = [each.unattended_seconds for each in incidents if each.unattended_seconds is not None]
    return Times(
        count=len(incidents),
        detect_median_seconds=median(detect) if detect else None,
        detect_mean_seconds=mean(detect) if detect else None,
        repair_median_seconds=median(repair) if repair else None,
        repair_mean_seconds=mean(repair) if repair else None,
        unattended_median_seconds=median(alone) if alone else None,
        unattended_mean_seconds=mean(alone) if alone else None,
    )


def _incident(
    steps: Sequence[NodeIncident],
    waits: pl.DataFrame,
    watching_since: datetime | None,
    now: datetime,
) -> Incident:
    first, last = steps[0], steps[-1]
    ended_at = last.happened_at if last.phase in ENDINGS else None
    until = ended_at or now
    mine = [
        row
        for row in waits.filter(pl.col("node_id") == first.node_id).iter_rows(named=True)
        if first.happened_at <= row["proposed_at"] <= until
    ]
    waited = _waited_seconds(mine, first.happened_at, until, now)
    was_watched = watching_since is None or first.onset_at >= watching_since
    repair = (until - first.happened_at).total_seconds() if last.phase == "returned" else None
    return Incident(
        incident_id=first.incident_id,
        node_id=first.node_id,
        pool=first.pool,
        phase=last.phase,
        detail=first.detail,
        onset_at=first.onset_at,
        detected_at=first.happened_at,
        ended_at=ended_at,
        detect_seconds=(first.happened_at - first.onset_at).total_seconds()
        if was_watched
        else None,
        repair_seconds=repair,
        people_seconds=waited,
        unattended_seconds=None if repair is None else max(0.0, repair - waited),
        decisions=_decisions(mine, steps),
        steps=tuple(steps),
    )


def _decisions(asked: Sequence[dict[str, Any]], steps: Sequence[NodeIncident]) -> tuple[str, ...]:
    named = [row["decision_id"] for row in asked]
    return tuple(dict.fromkeys([*named, *(s.decision_id for s in steps if s.decision_id)]))


def _waited_seconds(
    asked: Sequence[dict[str, Any]], since: datetime, until: datetime, now: datetime
) -> float:
    """The time in which at least one decision waited: for a word, for a second one, or for its
    maintenance window. Times that overlap count once."""
    spans = sorted(span for row in asked for span in _spans(row, now))
    waited, reached = 0.0, since
    for start, end in spans:
        start, end = max(start, reached), min(end, until)
        if end > start:
            waited += (end - start).total_seconds()
            reached = end
    return waited


def _spans(row: dict[str, Any], now: datetime) -> list[tuple[datetime, datetime]]:
    if row["decided_at"] is None:  # nobody has spoken yet
        return [(row["proposed_at"], min(row["expires_at"], now))]
    if row["verdict"] != "lapse" and row["via"] == "rule":
        return []
    spans = [(row["proposed_at"], row["decided_at"])]
    if row["begun_at"] is not None:  # approved, it waited for its hour
        spans.append((row["decided_at"], row["begun_at"]))
    return spans


def as_dict(incident: Incident) -> dict[str, Any]:
    """An incident as JSON shows it."""
    names = [name for name in Incident.__dataclass_fields__ if name not in ("steps", "decisions")]
    shown: dict[str, Any] = {name: getattr(incident, name) for name in names}
    steps = [
        {
            "phase": step.phase,
            "at": step.happened_at,
            "detail": step.detail,
            "decision_id": step.decision_id,
        }
        for step in incident.steps
    ]
    return {**shown, "decisions": list(incident.decisions), "steps": steps}
