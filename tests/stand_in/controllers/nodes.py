"""The node controllers: taints that follow a node's state, silent nodes, pods left behind."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.stand_in.controllers.parts import condition, drop, end_pod, set_condition
from tests.stand_in.objects import Body, Objects
from tests.stand_in.shapes import NOT_READY, UNREACHABLE, UNSCHEDULABLE

ORPHAN_SECONDS = 40.0
"""How long a pod outlives its node."""
TTL = "node.alpha.kubernetes.io/ttl"


class Nodes:
    """Node lifecycle, the eviction of pods from bad nodes, and the collection of orphaned pods."""

    def __init__(self, objects: Objects, dead: set[str]) -> None:
        self._objects = objects
        self._dead = dead
        self._bad_since: dict[str, datetime] = {}
        self._orphaned: dict[str, datetime] = {}

    def tick(self) -> None:
        """One pass over all nodes and the pods on bad ones."""
        for node in self._objects.all("Node"):
            self._objects.edit("Node", node["metadata"]["name"], "", self._sync)
        self._evict()
        self._collect()

    def _sync(self, node: Body) -> None:
        name, at = node["metadata"]["name"], self._objects.stamp()
        notes = node["metadata"].get("annotations") or {}
        node["metadata"]["annotations"] = {**notes, TTL: notes.get(TTL, "0")}
        if name in self._dead and condition(node, "Ready"):
            said = ("NodeStatusUnknown", "Kubelet stopped posting node status.", at)
            beat = (condition(node, "Ready") or {}).get("lastHeartbeatTime")
            set_condition(node, "Ready", "Unknown", *said, lastHeartbeatTime=beat)
        state = (condition(node, "Ready") or {}).get("status", "")
        _taint(node, UNSCHEDULABLE, ["NoSchedule"] * bool(node["spec"].get("unschedulable")), at)
        effects = {"False": ["NoSchedule", "NoExecute"], "": ["NoSchedule"]}  # "": never spoke
        _taint(node, NOT_READY, effects.get(state, []), at)
        _taint(node, UNREACHABLE, ["NoSchedule", "NoExecute"] if state == "Unknown" else [], at)
        if state == "True":
            self._bad_since.pop(name, None)
        else:
            self._bad_since.setdefault(name, self._objects.now)

    def _evict(self) -> None:
        """Pods leave a bad node once their toleration runs out."""
        for pod in self._objects.all("Pod"):
            since = self._bad_since.get(pod["spec"].get("nodeName", ""))
            if since is None or "deletionTimestamp" in pod["metadata"]:
                continue
            if (self._objects.now - since).total_seconds() >= _patience(pod):
                end_pod(self._objects, pod)

    def _collect(self) -> None:
        """Pods whose node is gone go too, after a while."""
        nodes = {node["metadata"]["name"] for node in self._objects.all("Node")}
        for pod in self._objects.all("Pod"):
            node, uid = pod["spec"].get("nodeName"), pod["metadata"]["uid"]
            if not node or node in nodes:
                continue
            since = self._orphaned.setdefault(uid, self._objects.now)
            if (self._objects.now - since).total_seconds() >= ORPHAN_SECONDS:
                drop(self._objects, pod)


def _patience(pod: Body) -> float:
    seconds = [
        float(one["tolerationSeconds"])
        for one in pod["spec"].get("tolerations") or ()
        if one.get("key") in (NOT_READY, UNREACHABLE) and "tolerationSeconds" in one
    ]
    return min(seconds, default=300.0)


def _taint(node: Body, key: str, effects: list[str], at: str) -> None:
    """Have just these effects of a taint."""
    there: list[dict[str, Any]] = node["spec"].get("taints") or []
    kept = [one for one in there if one["key"] != key or one["effect"] in effects]
    known = {(one["key"], one["effect"]) for one in kept}
    added = [
        {"key": key, "effect": effect, "timeAdded": at}
        for effect in effects
        if (key, effect) not in known
    ]
    if kept + added:
        node["spec"]["taints"] = kept + added
    else:
        node["spec"].pop("taints", None)
