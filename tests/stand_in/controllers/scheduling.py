"""The scheduler: pending pods onto nodes that will have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.stand_in.controllers.parts import (
    capacity_of,
    condition,
    gpus_of,
    is_active,
    is_true,
    set_condition,
)
from tests.stand_in.objects import Body, Objects
from tests.stand_in.selectors import expression_holds
from tests.stand_in.subresources import bound

BARRING = ("NoSchedule", "NoExecute")


def tick(objects: Objects) -> None:
    """One pass over all pods that have no node."""
    waiting = [pod for pod in objects.all("Pod") if is_waiting(pod)]
    if not waiting:
        return
    free = free_gpus(objects)
    nodes = {node["metadata"]["name"]: node for node in objects.all("Node")}
    for pod in waiting:
        fit = [n for n in nodes if free[n] >= gpus_of(pod) and will_have(nodes[n], pod)]
        if fit:
            chosen = max(fit, key=lambda name: (free[name], name))
            free[chosen] -= gpus_of(pod)
            bound(objects, pod, chosen)
        elif condition(pod, "PodScheduled") is None:
            _say_unschedulable(objects, pod, len(nodes))


def is_waiting(pod: Body) -> bool:
    """Whether a pod is to be given a node."""
    return (
        not pod["spec"].get("nodeName")
        and is_active(pod)
        and not pod["spec"].get("schedulingGates")
    )


def free_gpus(objects: Objects) -> dict[str, int]:
    """GPUs that are free on each node; those of terminating pods are not."""
    free = {node["metadata"]["name"]: capacity_of(node) for node in objects.all("Node")}
    for pod in objects.all("Pod"):
        node = pod["spec"].get("nodeName")
        if node in free and pod["status"]["phase"] not in ("Succeeded", "Failed"):
            free[node] -= gpus_of(pod)
    return free


def will_have(node: Body, pod: Body) -> bool:
    """Whether a node takes a pod, GPUs aside."""
    spec = pod["spec"]
    if node["spec"].get("unschedulable") or not is_true(node, "Ready"):
        return False
    if "deletionTimestamp" in node["metadata"] or not tolerates(spec, node):
        return False
    return suits(spec, labels_of(node), node["metadata"]["name"])


def labels_of(node: Body) -> dict[str, str]:
    """A node's labels; its hostname is its name where it says none."""
    meta = node["metadata"]
    return {"kubernetes.io/hostname": meta["name"], **(meta.get("labels") or {})}


def tolerates(spec: Mapping[str, Any], node: Body) -> bool:
    """Whether each taint that bars pods is tolerated."""
    taints = [one for one in node["spec"].get("taints") or () if one["effect"] in BARRING]
    return all(any(_covers(t, one) for t in spec.get("tolerations") or ()) for one in taints)


def _covers(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    mine = (toleration.get("key"), toleration.get("value") or "")
    return mine == (taint["key"], taint.get("value") or "")


def suits(spec: Mapping[str, Any], labels: Mapping[str, str], name: str) -> bool:
    """Whether labels are those that a pod asks for."""
    wanted = spec.get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(_term_holds(term, labels, name) for term in required.get("nodeSelectorTerms") or ())


def _term_holds(term: Mapping[str, Any], labels: Mapping[str, str], name: str) -> bool:
    expressions: Iterable[Any] = term.get("matchExpressions") or ()
    fields: Iterable[Any] = term.get("matchFields") or ()
    return all(expression_holds(one, labels) for one in expressions) and all(
        expression_holds(one, {"metadata.name": name}) for one in fields
    )


def _say_unschedulable(objects: Objects, pod: Body, nodes: int) -> None:
    meta = pod["metadata"]
    message = f"0/{nodes} nodes are available."

    def change(body: Body) -> None:
        at = objects.stamp()
        said = ("PodScheduled", "False", "Unschedulable", message, at)
        set_condition(body, *said, lastProbeTime=None)

    objects.edit("Pod", meta["name"], meta["namespace"], change)
