"""A small fleet that falls ill as a test says: rows in a warehouse, and rounds over them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from engine.healing.judging import judge
from engine.healing.weights import WEIGHTS
from tests.makers import NOON, POOL, make_decision, make_node
from warehouse import healing
from warehouse.records import (
    ClusterNode,
    Execution,
    GpuEvent,
    NodeHealth,
    NodeIncident,
    Verdict,
)
from warehouse.store import Store


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def make_gpu_event(**changes: Any) -> GpuEvent:
    given: dict[str, Any] = {
        "node_id": "node-0",
        "pool": POOL,
        "kind": "xid",
        "code": 79 if changes.get("kind", "xid") == "xid" else None,
        "detail": "GPU 3",
        "source": "test",
        "happened_at": NOON,
    }
    return GpuEvent(**given | changes)


def make_cluster_node(**changes: Any) -> ClusterNode:
    given: dict[str, Any] = {
        "node_id": "node-0",
        "uid": "uid-0",
        "pool": POOL,
        "gpu_count": 8,
        "is_ready": True,
        "is_unschedulable": False,
        "conditions": [],
        "taints": [],
        "is_do_not_disrupt": False,
        "resource_version": "1",
        "is_gone": False,
        "created_at": NOON - timedelta(days=9),
        "source": "kubernetes",
        "measured_at": NOON,
    }
    return ClusterNode(**given | changes)


def condition(kind: str, since: datetime, reason: str = "KubeletStopped") -> dict[str, Any]:
    return {"type": kind, "status": "True", "reason": reason, "since": since.isoformat()}


@dataclass
class Ailing:
    """Two nodes, `node-0` and `node-1`, read once a minute; the clock is turned by the test."""

    store: Store
    at: datetime = NOON

    def read(self, *names: str, **changes: Any) -> None:
        self.store.append(
            [make_node(node_id=name, measured_at=self.at, **changes) for name in names]
        )

    def turn(self, **later: float) -> None:
        self.at += timedelta(**later)
        self.read("node-0", "node-1")

    def judge(self) -> list[NodeHealth | NodeIncident]:
        return judge(self.store, self.at, WEIGHTS)

    def health(self, node_id: str = "node-0") -> NodeHealth:
        found = healing.node_health(self.store, node_id)
        assert found is not None
        return found

    def signals(self, node_id: str = "node-0") -> dict[str, float]:
        return {each["signal"]: each["weight_ratio"] for each in self.health(node_id).evidence}

    def phases(self) -> list[str]:
        rows = self.store.rows(NodeIncident, "SELECT * FROM node_incidents ORDER BY rowid")
        return [row.phase for row in rows]

    def decide(self, name: str, action: str, **changes: Any) -> None:
        """A decision on `node-0`, proposed now."""
        self.store.append(
            [
                make_decision(
                    decision_id=name,
                    action=action,
                    target="node/node-0",
                    parameters={"node_id": "node-0"},
                    mode="approve",
                    proposed_at=self.at,
                    expires_at=self.at + timedelta(hours=1),
                    **changes,
                )
            ]
        )

    def approve(self, name: str, via: Any = "browser") -> None:
        self.store.append(
            [
                Verdict(
                    decision_id=name,
                    verdict="approve",
                    parameters={"node_id": "node-0"},
                    action_hash="-",
                    decided_by="mara",
                    via=via,
                    decided_at=self.at,
                )
            ]
        )

    def does(self, name: str, phase: Any) -> None:
        self.store.append(
            [
                Execution(
                    decision_id=name,
                    kind="do",
                    phase=phase,
                    parameters={},
                    result={},
                    happened_at=self.at,
                )
            ]
        )
