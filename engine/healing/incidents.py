"""Incidents: the story of each node that fell ill, a row a step, made from health and deeds.

A step is told when it is seen, at the instant at which it came to pass. An incident is open until
its node is back and sound, was sound again without our doing, or is no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import NAMESPACE_URL, uuid5

from engine.healing.roster import Node
from warehouse.healing import headline
from warehouse.records import NodeHealth, NodeIncident
from warehouse.store import Store

Phase = Literal["detected", "quarantined", "repairing", "returned", "passed", "gone"]

_OPEN = """
    SELECT * FROM node_incidents
    QUALIFY row_number() OVER (
        PARTITION BY incident_id ORDER BY happened_at DESC, rowid DESC
    ) = 1 AND phase NOT IN ('returned', 'passed', 'gone')
"""
_DEEDS = """
    SELECT d.parameters ->> 'node_id' AS node_id, d.action, d.decision_id, e.phase,
        e.happened_at AS "at"
    FROM executions e JOIN decisions d USING (decision_id)
    WHERE e.kind = 'do' AND d.action IN ('quarantine_node', 'repair_node')
        AND e.happened_at >= $since AND e.happened_at <= $now
    ORDER BY e.happened_at, e.phase <> 'intended'
"""


@dataclass(frozen=True)
class Deed:
    """A step of carrying out a quarantine or a repair."""

    node_id: str
    action: str
    decision_id: str
    phase: str
    at: datetime


def open_incidents(store: Store) -> dict[str, NodeIncident]:
    """The newest step of each incident that is not over, by node."""
    return {row.node_id: row for row in store.rows(NodeIncident, _OPEN)}


def deeds(store: Store, since: datetime, now: datetime) -> list[Deed]:
    """What was done to nodes since an instant, in order."""
    rows = store.query(_DEEDS, since=since, now=now)
    return [Deed(**row) for row in rows.iter_rows(named=True)]


def began(health: NodeHealth, now: datetime) -> NodeIncident:
    """The first step of a new incident: the node was found to be ill."""
    return NodeIncident(
        incident_id=str(uuid5(NAMESPACE_URL, f"incident/{health.node_id}/{now.isoformat()}")),
        node_id=health.node_id,
        pool=health.pool,
        phase="detected",
        detail=headline(health),
        onset_at=health.onset_at or now,
        happened_at=now,
    )


def next_steps(
    last: NodeIncident,
    node: Node | None,
    health: NodeHealth | None,
    done: Sequence[Deed],
    now: datetime,
) -> Iterator[NodeIncident]:
    """The steps that an open incident has taken since its `last`, in order.

    `done` is what was done to its node; `health` its newest judgement.
    """
    mine = [each for each in done if each.node_id == last.node_id and each.at >= last.happened_at]
    for deed in mine:
        step = _after_deed(last, deed, mine)
        if step is not None:
            last = step
            yield step
    if _is_down(node) and last.phase in ("detected", "quarantined"):
        detail = "It is down, and whoever runs its pool brings it back"
        last = _step(last, "repairing", None, detail, now)
        yield last
    ending = _ending(last, node, health, mine, now)
    if ending is not None:
        yield ending


def _is_down(node: Node | None) -> bool:
    """Outside Kubernetes, where a node that is not ready may come back as ill as it went."""
    return node is not None and node.state == "down" and node.is_ready is None


def _after_deed(last: NodeIncident, deed: Deed, all_of_them: Sequence[Deed]) -> NodeIncident | None:
    if deed.action == "quarantine_node":
        if deed.phase == "succeeded" and last.phase == "detected":
            detail = "Out of use: cordoned, and its jobs are moved off"
            return _step(last, "quarantined", deed.decision_id, detail, deed.at)
        return None
    refused = any(
        each.decision_id == deed.decision_id and each.phase == "refused" for each in all_of_them
    )
    if deed.phase == "intended" and not refused and last.phase in ("detected", "quarantined"):
        return _step(last, "repairing", deed.decision_id, "Its repair began", deed.at)
    if deed.phase == "failed" and last.phase == "repairing":
        return _step(last, "quarantined", deed.decision_id, "Its repair failed", deed.at)
    return None


def _ending(
    last: NodeIncident,
    node: Node | None,
    health: NodeHealth | None,
    done: Sequence[Deed],
    now: datetime,
) -> NodeIncident | None:
    repairs = [each for each in done if each.action == "repair_node" and each.phase == "succeeded"]
    if node is None or node.is_gone:
        if repairs:  # its name went with it
            detail = "Another machine took its place"
            return _step(last, "returned", repairs[-1].decision_id, detail, now)
        return _step(last, "gone", None, "It is no more: deleted, switched off or handed back", now)
    if not node.is_in_use or (health is not None and health.is_suspect):
        return None
    if last.phase == "detected":
        return _step(last, "passed", None, "It is sound again without our doing", now)
    return _step(last, "returned", None, "Back in use, and sound", now)


def _step(
    last: NodeIncident, phase: Phase, decision_id: str | None, detail: str, at: datetime
) -> NodeIncident:
    return replace(last, phase=phase, decision_id=decision_id, detail=detail, happened_at=at)
