"""Steps of more nodes: wait until they are there, or the placeholders of a pre-warmed pool are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from cluster.api import Api, Body
from cluster.errors import NotFound
from engine.kubernetes.levers import Scale, read_lever
from engine.kubernetes.objects import allocatable_gpus, is_ready, meta, pool_nodes
from engine.kubernetes.steps import Answer, Deed, Done, Found, Ran, Refused, Step, Wait

AWAITED = "/awaited-"
"""Stands between the pool and a number in the name of a node that had not come by the deadline."""


@dataclass
class WaitNodes(Step):
    """So many new nodes of a pool are Ready with their GPUs. What has not come by the deadline is
    still awaited: nothing is taken back."""

    name: ClassVar[str] = "wait_nodes"
    changes: ClassVar[bool] = False
    api: Api = field(repr=False, kw_only=True)
    pool: str = field(kw_only=True)
    pool_labels: tuple[str, ...] = field(kw_only=True)
    nodes: int = field(kw_only=True)
    before: frozenset[str] = field(default=frozenset(), repr=False, kw_only=True)
    """uids of the nodes that were there."""

    def take(self, found: Found) -> Done | Wait:
        come = self._come()
        if len(come) < self.nodes:
            return Wait(f"{len(come)} of {self.nodes} nodes are ready")
        return Done(self._answer(come))

    def at_deadline(self, found: Found, why: str) -> Done:
        return Done(self._answer(self._come()))

    def _come(self) -> list[str]:
        nodes = pool_nodes(self.api, self.pool, self.pool_labels)
        return sorted(meta(node)["name"] for node in nodes if self._is_new(node))

    def _is_new(self, node: Body) -> bool:
        return (
            meta(node)["uid"] not in self.before and is_ready(node) and allocatable_gpus(node) > 0
        )

    def _answer(self, come: list[str]) -> dict[str, Any]:
        missing = range(1, max(self.nodes - len(come), 0) + 1)
        awaited = [f"{self.pool}{AWAITED}{number}" for number in missing]
        return {"node_ids": [*come, *awaited], "ready_nodes": len(come), "awaited": len(awaited)}


@dataclass
class WaitPlaceholders(Step):
    """So many placeholder pods run, so that nodes are there for them."""

    name: ClassVar[str] = "wait_placeholders"
    changes: ClassVar[bool] = False
    api: Api = field(repr=False, kw_only=True)
    path: str = field(kw_only=True)
    wanted: int = field(kw_only=True)

    def take(self, found: Found) -> Done | Wait:
        ready = self._ready()
        if ready < self.wanted:
            return Wait(f"{ready} of {self.wanted} placeholders run")
        return Done({"ready_placeholders": ready})

    def at_deadline(self, found: Found, why: str) -> Done:
        return Done({"ready_placeholders": self._ready()})

    def _ready(self) -> int:
        try:
            status = self.api.get(self.path).get("status") or {}
        except NotFound as error:
            raise Refused("target_gone", f"{self.path} is gone") from error
        return int(status.get("readyReplicas") or 0)


@dataclass
class ScaleUp(Deed):
    """More nodes."""

    scale: Scale
    wait: WaitNodes
    tell: Step

    def steps(self, ran: Ran) -> list[Step]:
        found = ran.found("scale", self.scale.target) or {}
        wait = replace(self.wait, before=frozenset(found.get("node_uids", ())))
        return [self.scale, wait, self.tell]

    def answer(self, ran: Ran) -> Answer:
        scaled = ran.answer("scale", self.scale.target) or {}
        come = ran.answer("wait_nodes", self.wait.target) or {}
        return {"pool": self.wait.pool, **come, "lever": scaled}


@dataclass
class Warm(Deed):
    """More or fewer placeholders, which nodes come for."""

    scale: Scale
    tell: Step
    seconds: float

    def steps(self, ran: Ran) -> list[Step]:
        scaled = ran.answer("scale", self.scale.target)
        if scaled is None or self.scale.by_nodes < 0:
            return [self.scale, self.tell]
        wait = WaitPlaceholders(
            self.scale.target,
            self.seconds,
            api=self.scale.api,
            path=self.scale.path,
            wanted=scaled["after"],
        )
        return [self.scale, wait, self.tell]

    def answer(self, ran: Ran) -> Answer:
        scaled = ran.answer("scale", self.scale.target) or {}
        ready = ran.answer("wait_placeholders", self.scale.target) or {}
        changed = abs(scaled.get("after", 0) - scaled.get("before", 0))
        return {
            "nodes": changed,
            "node_ids": [],
            "placeholder": self.scale.path,
            "lever": scaled,
            **ready,
        }


@dataclass
class Cancel(Step):
    """A node that has not come is no longer asked for."""

    name: ClassVar[str] = "still_awaited"
    changes: ClassVar[bool] = False
    api: Api = field(repr=False, kw_only=True)
    path: str = field(kw_only=True)
    pool: str = field(kw_only=True)
    pool_labels: tuple[str, ...] = field(kw_only=True)
    node_id: str = field(kw_only=True)

    def look(self) -> Found:
        if AWAITED not in self.node_id:
            raise Refused("has_come", f"node {self.node_id} is there: release it instead")
        now = read_lever(self.api, self.path)
        there = len(pool_nodes(self.api, self.pool, self.pool_labels))
        if now.kind == "scale" and there >= (now.wanted or 0):
            raise Refused("has_come", f"no node of {self.pool} is awaited any more")
        return {}

    def take(self, found: Found) -> Done | Wait:
        return Done()


@dataclass
class CancelNode(Deed):
    """One awaited node fewer."""

    cancel: Cancel
    scale: Scale

    def steps(self, ran: Ran) -> list[Step]:
        return [self.cancel, self.scale]

    def answer(self, ran: Ran) -> Answer:
        return {"node_ids": [self.cancel.node_id]}
