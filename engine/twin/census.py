"""Every node of a pool by its readings, completed by what the pool's own reading counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from warehouse.records import NodeKind, NodeReading, NodeState

if TYPE_CHECKING:
    from engine.observe import PoolObservation


def census(seen: PoolObservation) -> list[NodeReading]:
    """Nodes that were read, owned first, then what is only counted; the rest is off."""
    read = sorted(seen.nodes, key=lambda node: (node.kind != "owned", node.node_id))
    read = [node for node in read if node.kind == "owned" or node.state != "off"]
    nodes = [*read, *_counted(seen, read)]
    nodes += _of_state(seen, "owned", "off", seen.pool.owned_nodes - _number(nodes, "owned"))
    nodes += _of_state(
        seen, "leased", "off", seen.pool.leased_nodes_limit - _number(nodes, "leased")
    )
    return sorted(nodes, key=lambda node: node.kind != "owned")


def _counted(seen: PoolObservation, read: list[NodeReading]) -> list[NodeReading]:
    """Nodes that the pool's reading counts beyond those that were read."""
    state, pool = seen.state, seen.pool
    on = [node for node in read if node.state in ("active", "cordoned")]
    added = _of_state(seen, "owned", "active", state.owned_nodes_on - _number(on, "owned"))
    added += _of_state(seen, "leased", "active", state.leased_nodes_on - _number(on, "leased"))
    added = _in_use(seen, read, added)
    down = sum(node.state == "down" for node in read)
    added += _of_state(seen, "owned", "down", state.nodes_down - down)
    booting = state.nodes_provisioning - sum(node.state == "provisioning" for node in read)
    here = [node for node in [*read, *added] if node.state != "off"]
    room = pool.owned_nodes - state.nodes_off - _number(here, "owned")
    owned = max(0, min(booting, room))
    added += _of_state(seen, "owned", "provisioning", owned)
    return added + _of_state(seen, "leased", "provisioning", booting - owned)


def _in_use(
    seen: PoolObservation, read: list[NodeReading], added: list[NodeReading]
) -> list[NodeReading]:
    """The GPUs in use that no reading names, spread over the nodes that are only counted."""
    if not added:
        return added
    size = seen.pool.gpus_per_node
    used = seen.state.gpus_used - sum(node.gpus_used for node in read)
    known_empty = sum(node.state == "active" and node.gpus_used == 0 for node in read)
    empty = min(max(0, seen.state.nodes_empty - known_empty), len(added))
    busy = max(len(added) - empty, -(-used // max(size, 1)) if used > 0 else 0)
    busy = min(busy, len(added))
    spread = [used // busy + (at < used % busy) if busy and used > 0 else 0 for at in range(busy)]
    spread += [0] * (len(added) - busy)
    return [
        replace(node, gpus_used=min(gpus, size)) for node, gpus in zip(added, spread, strict=True)
    ]


def _number(nodes: list[NodeReading], kind: NodeKind) -> int:
    return sum(node.kind == kind for node in nodes)


def _of_state(
    seen: PoolObservation, kind: NodeKind, state: NodeState, count: int
) -> list[NodeReading]:
    return [
        NodeReading(
            node_id=f"{kind}-{state}-{at}",
            pool=seen.pool.pool,
            kind=kind,
            state=state,
            gpu_count=seen.pool.gpus_per_node,
            gpus_used=0,
            source="engine",
            measured_at=seen.state.measured_at,
        )
        for at in range(max(0, count))
    ]
