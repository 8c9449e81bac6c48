"""Emptying a node before it goes, as Karpenter and Cluster API do it: by evictions."""

from __future__ import annotations

import json

from tests.stand_in.asked import Asked, Place
from tests.stand_in.controllers.parts import drop, is_active
from tests.stand_in.objects import Body, Objects
from tests.stand_in.refusals import Refusal
from tests.stand_in.subresources import evict

DISRUPTED = {"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}
DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"


def drained(objects: Objects, node: str, respects_wish: bool) -> bool:
    """Ask every pod of a node to go; whether none is left. A pod that wishes not to be disrupted
    is waited for, where that is respected."""
    pods = [pod for pod in objects.all("Pod") if pod["spec"].get("nodeName") == node]
    left = [pod for pod in pods if pod["status"]["phase"] not in ("Succeeded", "Failed")]
    for pod in left:
        notes = pod["metadata"].get("annotations") or {}
        waits = respects_wish and notes.get(DO_NOT_DISRUPT) == "true"
        if is_active(pod) and not waits:
            _evict(objects, pod)
    return not left


def _evict(objects: Objects, pod: Body) -> None:
    meta = pod["metadata"]
    kind = objects.registry.named("Pod")
    body = json.dumps({"kind": "Eviction"}).encode()
    try:
        place = Place(kind, meta["namespace"], meta["name"], "eviction")
        evict(objects, place, Asked("POST", "", {}, body))
    except Refusal:
        return  # its budget does not allow it yet: it is asked again at the next pass


def bar(objects: Objects, node: str) -> None:
    """No new pods on a node that is to go."""

    def change(body: Body) -> None:
        taints = body["spec"].get("taints") or []
        if DISRUPTED["key"] not in {taint["key"] for taint in taints}:
            body["spec"]["taints"] = [*taints, dict(DISRUPTED)]

    objects.edit("Node", node, "", change)


def end(objects: Objects, node: str) -> None:
    """The node is gone."""
    found = objects.one("Node", node)
    if found:
        drop(objects, found)
