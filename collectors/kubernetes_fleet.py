"""The cluster in the fleet's own words: its pools, what state its nodes are in, how full it is.

Prices and costs are not in Kubernetes; they are the pools file's, and the price is the newest of
the price list where the console hands that over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import mode
from typing import NamedTuple, TypeVar

from cluster.settings import PoolTerms
from collectors.kubernetes_jobs import Standing
from collectors.kubernetes_machines import ClaimSeen, NodeSeen
from collectors.kubernetes_objects import PRODUCT, REGION, Wants, gpus_of
from collectors.kubernetes_reading import PodSeen
from collectors.kubernetes_rows import SOURCE
from warehouse.records import NodeKind, NodeReading, NodeState, Pool, PoolState

STARTING = timedelta(minutes=15)
"""A node that is not ready for so long after it was made is still on its way; then it is down."""
T = TypeVar("T")

NO_POOL = "unplaced"
"""Pool of a job while the cluster has none."""
NO_TERMS = PoolTerms.model_validate({})
ON = ("active", "cordoned")

Counts = Counter[tuple[str, str]]
"""How many jobs of a pool were submitted, started, …: by pool and event."""
PriceOf = Callable[[str], float | None]
"""A pool's price in USD per GPU-hour, None where it has none."""


class NodeStanding(NamedTuple):
    """A node as it stands."""

    node: NodeSeen
    kind: NodeKind
    state: NodeState
    sevenths_used: int

    @property
    def gpus_used(self) -> int:
        """GPUs that jobs hold, a part of one counted whole."""
        return min(gpus_of(self.sevenths_used), self.node.gpu_count)


@dataclass(frozen=True)
class Machines:
    """The nodes, and those on their way."""

    nodes: Mapping[str, NodeSeen]
    claims: Sequence[ClaimSeen]
    pods: Iterable[PodSeen]
    terms: Mapping[str, PoolTerms]


def stand(machines: Machines, placeholders: frozenset[str], now: datetime) -> list[NodeStanding]:
    """Every node with its state; pods that only keep a place warm hold nothing."""
    used: Counter[str] = Counter()
    for pod in machines.pods:
        if pod.holds_gpus and pod.job_id not in placeholders:
            used[pod.node_id or ""] += pod.sevenths
    unready = {claim.node_id for claim in machines.claims if claim.node_id and not claim.is_ready}
    leased = _leased(machines)
    return [
        NodeStanding(
            node,
            "leased" if node.key in leased else "owned",
            _state(node, node.key in unready, now),
            used[node.key],
        )
        for node in machines.nodes.values()
    ]


def node_reading(standing: NodeStanding, now: datetime) -> NodeReading:
    """A node as the fleet knows it."""
    node = standing.node
    return NodeReading(
        node_id=node.key,
        pool=node.pool,
        kind=standing.kind,
        state=standing.state,
        gpu_count=node.gpu_count,
        gpus_used=standing.gpus_used,
        lease_started_at=node.created_at if standing.kind == "leased" else None,
        source=SOURCE,
        measured_at=now,
    )


def gone_reading(node: NodeSeen, kind: NodeKind, now: datetime) -> NodeReading:
    """The last word on a node that was deleted: without it, it would seem to be on."""
    return node_reading(NodeStanding(node, kind, "off", 0), now)


def _state(node: NodeSeen, claim_is_unready: bool, now: datetime) -> NodeState:
    is_young = now - node.created_at < STARTING
    if node.is_starting or (is_young and (claim_is_unready or not node.is_ready)):
        return "provisioning"
    if not node.is_ready:
        return "down"
    return "cordoned" if node.is_unschedulable else "active"


def _leased(machines: Machines) -> set[str]:
    """Spot nodes, and those beyond the owned nodes that the pools file names, the youngest."""
    leased = {key for key, node in machines.nodes.items() if node.capacity_type == "spot"}
    for pool, terms in machines.terms.items():
        if terms.owned_nodes is None:
            continue
        ours = [n for n in machines.nodes.values() if n.pool == pool and n.key not in leased]
        ours.sort(key=lambda node: (node.created_at, node.key))
        leased |= {node.key for node in ours[terms.owned_nodes :]}
    return leased


# -- pools ----------------------------------------------------------------------------


def pools_of(
    standings: Sequence[NodeStanding],
    terms: Mapping[str, PoolTerms],
    known: Mapping[str, Pool],
    now: datetime,
) -> tuple[dict[str, Pool], list[str]]:
    """Every pool by name, and the names of those of which neither a node nor a person tells what
    they are. A pool without a node is as it was `known`."""
    groups: dict[str, list[NodeStanding]] = {name: [] for name in (*terms, *known)}
    for standing in standings:
        groups.setdefault(standing.node.pool, []).append(standing)
    pools = {
        name: _pool(name, group, terms.get(name, NO_TERMS), known.get(name), now)
        for name, group in groups.items()
    }
    found = {name: pool for name, pool in pools.items() if pool is not None}
    return found, sorted(pools.keys() - found.keys())


def _pool(
    name: str,
    group: Sequence[NodeStanding],
    terms: PoolTerms,
    known: Pool | None,
    now: datetime,
) -> Pool | None:
    nodes = [standing.node for standing in group]
    model = terms.gpu_model or _commonest(node.gpu_model for node in nodes)
    gpus = terms.gpus_per_node or _commonest(node.gpu_count or None for node in nodes)
    if known is not None:
        model, gpus = model or known.gpu_model, gpus or known.gpus_per_node
    if not gpus or not (model or nodes):
        return None
    owned = sum(standing.kind == "owned" for standing in group)
    memory = _commonest(node.gpu_memory_bytes for node in nodes)
    return Pool(
        pool=name,
        gpu_model=model or "unknown",
        region=_commonest(node.region for node in nodes) or (known.region if known else "unknown"),
        gpus_per_node=gpus,
        owned_nodes=owned if terms.owned_nodes is None else terms.owned_nodes,
        leased_nodes_limit=terms.leased_nodes_limit,
        gpu_memory_bytes=memory or (known.gpu_memory_bytes if known else None),
        owned_idle_usd_per_gpu_hour=terms.owned_idle_usd_per_gpu_hour,
        owned_busy_usd_per_gpu_hour=terms.owned_busy_usd_per_gpu_hour,
        leased_usd_per_gpu_hour=terms.leased_usd_per_gpu_hour,
        source=SOURCE,
        recorded_at=now,
    )


def _commonest(values: Iterable[T | None]) -> T | None:
    told = [value for value in values if value is not None]
    return mode(told) if told else None


def pool_state(
    pool: Pool,
    group: Sequence[NodeStanding],
    jobs: Sequence[Standing],
    on_their_way: int,
    counts: Counts,
    price_usd_per_gpu_hour: float,
    now: datetime,
) -> PoolState:
    """How full a pool is, and what came and went since the pass before.

    Every job that is submitted counts as offered and accepted: a cluster turns nobody away by a
    price. None is late, for nothing was promised.
    """
    on = [each for each in group if each.state in ON]
    is_in = Counter(each.state for each in group)
    owned_on = sum(each.kind == "owned" for each in on)
    owned_there = sum(each.kind == "owned" for each in group)
    waiting = [job for job in jobs if job.is_queued]
    waits = [(now - job.queued_at).total_seconds() for job in waiting]
    return PoolState(
        pool=pool.pool,
        gpus_on=sum(each.node.gpu_count for each in on),
        gpus_used=sum(each.gpus_used for each in on),
        gpus_cordoned=sum(
            each.node.gpu_count - each.gpus_used for each in on if each.state == "cordoned"
        ),
        owned_nodes_on=owned_on,
        leased_nodes_on=len(on) - owned_on,
        nodes_provisioning=is_in["provisioning"] + on_their_way,
        nodes_off=max(pool.owned_nodes - owned_there, 0),
        nodes_down=is_in["down"],
        nodes_empty=sum(each.state == "active" and not each.sevenths_used for each in on),
        running_jobs=sum(job.state == "running" for job in jobs),
        queued_jobs=len(waiting),
        queued_gpus=sum(job.gpu_count for job in waiting),
        oldest_wait_seconds=max([*waits, 0.0]),
        price_usd_per_gpu_hour=price_usd_per_gpu_hour,
        offered_jobs=counts[pool.pool, "submitted"],
        accepted_jobs=counts[pool.pool, "submitted"],
        started_jobs=counts[pool.pool, "started"],
        finished_jobs=counts[pool.pool, "finished"],
        failed_jobs=counts[pool.pool, "failed"],
        late_jobs=0,
        left_jobs=counts[pool.pool, "left"],
        source=SOURCE,
        measured_at=now,
    )


class Places:
    """Which pool a job is in, by the nodes it holds or asks for."""

    def __init__(self, nodes: Mapping[str, NodeSeen], names: Iterable[str]) -> None:
        self._nodes = nodes
        self._names = set(names) | {node.pool for node in nodes.values()}
        self._by_label: dict[tuple[str, str], set[str]] = {}
        sizes: Counter[str] = Counter()
        for node in nodes.values():
            sizes[node.pool] += node.gpu_count
            for label, value in ((PRODUCT, node.gpu_model), (REGION, node.region)):
                if value:
                    self._by_label.setdefault((label, value), set()).add(node.pool)
        self._order = sorted(self._names, key=lambda name: (-sizes[name], name))

    def pool_of(self, node_ids: Iterable[str], wants: Wants, last: str | None) -> str:
        """The pool of the nodes it holds; else the one it was in; else the largest of those that
        have the labels it asks for."""
        held = next((self._nodes[key].pool for key in node_ids if key in self._nodes), None)
        if held or last:
            return held or last or NO_POOL
        fitting = self._names
        for label, values in wants:
            if label in (PRODUCT, REGION):
                having = [self._by_label.get((label, value), set()) for value in values]
                fitting = fitting & set().union(*having)
            else:
                fitting = fitting & set(values) or set(values[:1])
        return next((name for name in self._order if name in fitting), None) or self._else(fitting)

    def _else(self, fitting: set[str]) -> str:
        return min(fitting, default=None) or (self._order[0] if self._order else NO_POOL)
