"""Fewer nodes: only empty ones, cordoned and proven empty before the machine API takes them.

Which machine goes is for its machine API to say, so it is told: a Machine is marked, a NodeClaim
deleted. Where none can be told, a pool that holds jobs is not scaled down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from cluster.api import Api, Body
from cluster.errors import NotFound
from engine.kubernetes import machines
from engine.kubernetes.levers import Scale, read_lever, refuse_changed
from engine.kubernetes.machines import NODE_POOL
from engine.kubernetes.nodes import Cordon, ProveEmpty, Uncordon
from engine.kubernetes.objects import (
    gpu_pods_on,
    is_cordoned,
    is_do_not_disrupt,
    labels_of,
    meta,
    node_path,
    pool_nodes,
)
from engine.kubernetes.steps import Answer, Deed, Done, Found, Left, Ran, Refused, Step, Wait
from warehouse.records import ScaleTarget
from warehouse.words import counted

CAPACITY = "karpenter.sh/capacity-type"
Chosen = dict[str, Any]
"""`node_id`, `uid`, and `machine` (`kind`, `path`, `uid`) where its machine API is known."""


@dataclass
class Pick(Step):
    """Empty nodes of a pool, rented ones first."""

    name: ClassVar[str] = "pick"
    changes: ClassVar[bool] = False
    api: Api = field(repr=False, kw_only=True)
    path: str = field(kw_only=True)
    pool: str = field(kw_only=True)
    pool_labels: tuple[str, ...] = field(kw_only=True)
    nodes: int = field(kw_only=True)
    proposed: ScaleTarget | None = field(default=None, kw_only=True)
    may_go: Callable[[Body], bool] = field(default=lambda node: True, repr=False, kw_only=True)
    """Which nodes come into question at all."""
    at_most: bool = field(default=False, kw_only=True)
    """Whether fewer will do, so long as there is one."""

    def look(self) -> Found:
        refuse_changed(read_lever(self.api, self.path), self.proposed, self.path)
        return {}

    def take(self, found: Found) -> Done | Wait:
        nodes = pool_nodes(self.api, self.pool, self.pool_labels)
        empty = self._empty(nodes)
        if not empty or (len(empty) < self.nodes and not self.at_most):
            raise Refused(
                "not_empty",
                f"{counted(len(empty), 'empty node')} of {self.pool} can go, not {self.nodes}",
            )
        lever = read_lever(self.api, self.path)
        chosen = [self._chosen(node) for node in empty]
        if any(each["machine"] is None for each in chosen) and self._is_in_use(nodes):
            raise Refused(
                "machine_unknown",
                f"{self.path} can't be told which node is to go, and {self.pool} holds jobs: "
                "scale it where its machines are known",
            )
        return Done({"nodes": chosen, "lever": lever.kind})

    def _empty(self, nodes: list[Body]) -> list[Body]:
        free = [
            node
            for node in nodes
            if self.may_go(node) and not is_cordoned(node) and not is_do_not_disrupt(node)
        ]
        free.sort(key=lambda n: (labels_of(n).get(CAPACITY) != "spot", meta(n)["name"]))
        found: list[Body] = []
        for node in free:
            if len(found) == self.nodes:
                break
            if not gpu_pods_on(self.api, meta(node)["name"]):
                found.append(node)
        return found

    def _is_in_use(self, nodes: list[Body]) -> bool:
        return any(gpu_pods_on(self.api, meta(node)["name"]) for node in nodes)

    def _chosen(self, node: Body) -> Chosen:
        machine = machines.machine_of(self.api, node)
        known = (
            {"kind": machine.kind, "path": machine.path, "uid": machine.uid} if machine else None
        )
        pool = labels_of(node).get(NODE_POOL)
        return {
            "node_id": meta(node)["name"],
            "uid": meta(node)["uid"],
            "machine": known,
            "node_pool": pool,
        }


@dataclass
class MarkMachine(Step):
    """A Machine of Cluster API is the one to go when its set shrinks."""

    name: ClassVar[str] = "mark_machine"
    api: Api = field(repr=False, kw_only=True)
    path: str = field(kw_only=True)

    def take(self, found: Found) -> Done | Wait:
        machines.mark_for_deletion(self.api, self.path, "true")
        return Done()

    def take_back(self, found: Found, answer: Answer) -> Wait | Left | None:
        machines.mark_for_deletion(self.api, self.path, None)
        return None


@dataclass
class DeleteClaims(Step):
    """NodeClaims are deleted; of a static NodePool, which by then wants fewer nodes, only as many
    as are still too many: Karpenter may have chosen others by itself."""

    name: ClassVar[str] = "delete_claims"
    api: Api = field(repr=False, kw_only=True)
    nodes: list[Chosen] = field(default_factory=list, kw_only=True)
    node_pool: str | None = field(default=None, kw_only=True)
    wanted: int | None = field(default=None, kw_only=True)
    """Nodes that a static NodePool is to keep; None for a dynamic one."""
    gate: Callable[[], str | None] = field(default=lambda: None, repr=False, kw_only=True)

    def take(self, found: Found) -> Done | Wait:
        deleted: list[str] = []
        for node in self.nodes:
            if self.wanted is not None and self.node_pool is not None:
                live = machines.live_claims(self.api, self.node_pool)
                if live <= self.wanted:
                    break
            shut = self.gate()
            if shut:
                return Wait(shut)
            pods = gpu_pods_on(self.api, node["node_id"])
            if not pods:  # never a node with pods
                machines.delete(self.api, node["machine"]["path"], node["machine"]["uid"])
                deleted.append(node["node_id"])
        return Done({"deleted": deleted})

    def take_back(self, found: Found, answer: Answer) -> Wait | Left | None:
        return Left("a machine that is being deleted can't be held")


@dataclass
class WaitGone(Step):
    """The nodes are gone; those that are still there at the deadline are named."""

    name: ClassVar[str] = "wait_gone"
    changes: ClassVar[bool] = False
    api: Api = field(repr=False, kw_only=True)
    nodes: list[Chosen] = field(default_factory=list, kw_only=True)
    enough: Callable[[], bool] = field(default=lambda: False, repr=False, kw_only=True)
    """Whether the pool has shrunk as it was to, by whichever nodes."""

    def take(self, found: Found) -> Done | Wait:
        still = self._still()
        if still and not self.enough():
            return Wait(f"{', '.join(still)} still there")
        return Done({"still": still})

    def at_deadline(self, found: Found, why: str) -> Done:
        return Done({"still": self._still()})

    def _still(self) -> list[str]:
        return [node["node_id"] for node in self.nodes if self._is_there(node)]

    def _is_there(self, node: Chosen) -> bool:
        try:
            now = self.api.get(node_path(node["node_id"]))
        except NotFound:
            return False
        return bool(meta(now)["uid"] == node["uid"])


@dataclass
class ScaleDown(Deed):
    """Fewer nodes."""

    pick: Pick
    scale: Scale
    """By how many is filled in once they are proven empty."""
    tell: Step
    decision_id: str
    request_seconds: float
    gate: Callable[[], str | None]

    def steps(self, ran: Ran) -> list[Step]:
        picked = ran.answer("pick", self.pick.target)
        if picked is None:
            return [self.pick]
        steps: list[Step] = [self.pick]
        for node in picked["nodes"]:
            steps += closing(
                self.pick.api, node, self.decision_id, self.request_seconds, scope=True
            )
        proven = [n for n in picked["nodes"] if ran.answer("prove_empty", _target(n)) is not None]
        over = [n for n in picked["nodes"] if _target(n) in ran.failures]
        if len(proven) + len(over) < len(picked["nodes"]):
            return steps
        going = [node for node in proven if _target(node) not in ran.failures]
        if not going:
            return steps
        release = Release(
            going, self.scale, picked["lever"], self.decision_id, self.pick.seconds, self.gate
        )
        return [*steps, *release.steps(ran), self.tell]

    def answer(self, ran: Ran) -> Answer:
        picked = ran.answer("pick", self.pick.target) or {}
        return released(picked.get("nodes", []), ran, self.scale.target)


def closing(api: Api, node: Chosen, decision_id: str, seconds: float, *, scope: bool) -> list[Step]:
    """Cordon a node and prove that it is empty; in a scope of its own where others may go on."""
    target = _target(node)
    within = target if scope else ""
    known: dict[str, Any] = {"api": api, "node_id": node["node_id"], "decision_id": decision_id}
    return [
        Cordon(target, seconds, uid=node["uid"], scope=within, **known),
        ProveEmpty(target, seconds, scope=within, **known),
    ]


@dataclass
class Release:
    """Have the machine API take nodes that are cordoned and empty."""

    going: list[Chosen]
    scale: Scale
    lever: str
    decision_id: str
    seconds: float
    gate: Callable[[], str | None]

    def steps(self, ran: Ran) -> list[Step]:
        """A limit is lowered when its nodes are gone, a number of nodes before."""
        scale = replace(self.scale, by_nodes=-len(self.going))
        scaled = ran.answer("scale", scale.target)
        wanted = scaled["after"] if scaled and self.lever == "scale" else None
        deletes, gone = self._deletes(wanted), self._gone(wanted)
        if self.lever == "limits":
            return [*deletes, gone, scale, *self._opened(ran)]
        return [*self._marks(), scale, *deletes, gone, *self._opened(ran)]

    def _of_kind(self, kind: str) -> list[Chosen]:
        return [n for n in self.going if n["machine"] and n["machine"]["kind"] == kind]

    def _marks(self) -> list[Step]:
        api, asking = self.scale.api, self.scale.seconds
        return [
            MarkMachine(_target(n), asking, api=api, path=n["machine"]["path"])
            for n in self._of_kind("machine")
        ]

    def _deletes(self, wanted: int | None) -> list[Step]:
        claims = self._of_kind("node_claim")
        if not claims:
            return []
        scale, pool = self.scale, claims[0]["node_pool"]
        known: dict[str, Any] = {"nodes": claims, "node_pool": pool, "wanted": wanted}
        return [DeleteClaims(scale.target, scale.seconds, api=scale.api, gate=self.gate, **known)]

    def _gone(self, wanted: int | None) -> Step:
        claims, api = self._of_kind("node_claim"), self.scale.api
        pool = claims[0]["node_pool"] if claims else None

        def has_shrunk() -> bool:
            return wanted is not None and pool is not None and _count(api, pool) <= wanted

        target, seconds = self.scale.target, self.seconds
        return WaitGone(target, seconds, api=api, nodes=self.going, enough=has_shrunk)

    def _opened(self, ran: Ran) -> list[Step]:
        """Karpenter took others, or none in time: those that are left are open again."""
        still = (ran.answer("wait_gone", self.scale.target) or {}).get("still", [])
        known: dict[str, Any] = {"api": self.scale.api, "decision_id": self.decision_id}
        return [
            Uncordon(_target(n), self.scale.seconds, node_id=n["node_id"], must=False, **known)
            for n in self.going
            if n["node_id"] in still
        ]


def released(nodes: list[Chosen], ran: Ran, target: str) -> Answer:
    """Which nodes went.

    Raises:
        Refused: none did.
    """
    going = [n["node_id"] for n in nodes if _target(n) not in ran.failures]
    still = (ran.answer("wait_gone", target) or {}).get("still", [])
    kept = {n["node_id"]: ran.failures[_target(n)] for n in nodes if _target(n) in ran.failures}
    if not going:
        raise Refused("stale", "; ".join(kept.values()) or "no node was released")
    gone = [node_id for node_id in going if node_id not in still]
    lever = ran.answer("scale", target) or {}
    return {"node_ids": going, "gone": gone, "kept": kept, "lever": lever}


def _count(api: Api, node_pool: str) -> int:
    """Nodes of a NodePool that are there, those that are going included."""
    pages = api.pages("/api/v1/nodes", labelSelector=f"{NODE_POOL}={node_pool}")
    return sum(len(page["items"]) for page in pages)


def _target(node: Chosen) -> str:
    return f"node/{node['node_id']}"
