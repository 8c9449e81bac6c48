"""What a cluster reports of itself: its Events, and the XIDs among them and among conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from collectors.kubernetes_machines import NodeSeen
from collectors.kubernetes_reading import EventSeen
from collectors.kubernetes_rows import SOURCE, event_row
from collectors.kubernetes_sight import Sight
from collectors.kubernetes_xids import of_condition, of_event
from warehouse.records import ClusterNode, GpuEvent

ONE_FAULT = timedelta(seconds=60)
"""An Event and a condition of one XID on one node within so long are one report."""


class Reports:
    """Tells each Event and each XID once."""

    def __init__(self) -> None:
        self._event_times: dict[str, int] = {}
        self._conditions: dict[str, list[Mapping[str, Any]]] = {}
        self._xids: dict[tuple[str, int | None], datetime] = {}

    def remember(self, event_times: Mapping[str, int], nodes: list[ClusterNode]) -> None:
        """Take up where an earlier console left off: how often it had seen each Event, and the
        nodes as it told them."""
        self._event_times = dict(event_times)
        self._conditions = {node.node_id: list(node.conditions) for node in nodes}

    def events(self, sight: Sight) -> Iterator[Any]:
        """Rows of `cluster_events` and `gpu_events` for the Events that came."""
        nodes = sight.of("nodes")
        for key, change in sight.changed("events").items():
            event: EventSeen = change.after
            if change.is_gone or not _is_ours(event, sight):
                continue
            if self._event_times.pop(key, 0) >= event.times:
                continue
            yield event_row(event)
            node = nodes.get(event.object_name)
            if found := of_event(event, node.pool if node else None, SOURCE):
                yield from self._once(found)

    def conditions(
        self, node: NodeSeen, told: NodeSeen | None, now: datetime
    ) -> Iterator[GpuEvent]:
        """Rows of `gpu_events` for the conditions that a node had not when it was `told`."""
        known = list(told.conditions) if told else self._conditions.pop(node.key, [])
        for condition in node.conditions:
            found = None if condition in known else of_condition(node, condition, now, SOURCE)
            if found is not None:
                yield from self._once(found)

    def _once(self, found: GpuEvent) -> Iterator[GpuEvent]:
        fault = (found.node_id, found.code)
        last_at = self._xids.get(fault)
        if last_at is None or abs(found.happened_at - last_at) > ONE_FAULT:
            self._xids[fault] = found.happened_at
            yield found


def _is_ours(event: EventSeen, sight: Sight) -> bool:
    """Whether it is about a node, pod or Job with GPUs that is there, or was at the last pass."""
    kind = {"Node": "nodes", "Pod": "pods", "Job": "jobs"}[event.kind]
    place = f"{event.namespace}/" if event.kind != "Node" and event.namespace else ""
    key = f"{place}{event.object_name}"
    return key in sight.of(kind) or key in sight.changed(kind)
