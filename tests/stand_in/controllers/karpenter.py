"""Karpenter: node claims and nodes for its pools, static and dynamic, and the end of both."""

from __future__ import annotations

import secrets
from typing import Any

from tests.stand_in.controllers import draining
from tests.stand_in.controllers.parts import GPU, drop, gpus_of, is_true, owner_of, set_condition
from tests.stand_in.controllers.scheduling import is_waiting, suits
from tests.stand_in.nodes_of_pools import COUNT, new_node
from tests.stand_in.objects import Body, Objects

POOL = "karpenter.sh/nodepool"
TERMINATION = "karpenter.sh/termination"


def tick(objects: Objects) -> None:
    """One pass over all pools, claims and nodes of theirs."""
    for claim in objects.all("NodeClaim"):
        _sync_claim(objects, claim)
    _follow_nodes(objects)
    claims = [one for one in objects.all("NodeClaim") if not _dying(one)]
    for pool in objects.all("NodePool"):
        name = pool["metadata"]["name"]
        mine = [one for one in claims if one["metadata"]["labels"].get(POOL) == name]
        if pool["spec"].get("replicas") is not None:
            _fill_static(objects, pool, mine)
        else:
            _fill_dynamic(objects, pool, mine)
        _report(objects, pool)


def _dying(body: Body) -> bool:
    return "deletionTimestamp" in body["metadata"]


def labels_of(pool: Body) -> dict[str, str]:
    """Labels of a pool's nodes: its template's, and the first value of each requirement."""
    template = pool["spec"]["template"]
    labels = dict((template.get("metadata") or {}).get("labels") or {})
    for one in template["spec"].get("requirements") or ():
        if one["operator"] == "In" and one.get("values"):
            labels.setdefault(one["key"], one["values"][0])
    return {**labels, POOL: pool["metadata"]["name"]}


def _fill_static(objects: Objects, pool: Body, claims: list[Body]) -> None:
    wanted = pool["spec"]["replicas"]
    for _ in range(wanted - len(claims)):
        _claim(objects, pool)
    busy = sorted(claims, key=lambda claim: _load(objects, claim))
    for claim in busy[: max(len(claims) - wanted, 0)]:
        _end_claim(objects, claim)


def _load(objects: Objects, claim: Body) -> tuple[int, str]:
    node = claim.get("status", {}).get("nodeName", "")
    pods = [pod for pod in objects.all("Pod") if pod["spec"].get("nodeName") == node]
    return (len(pods), claim["metadata"]["name"])


def _fill_dynamic(objects: Objects, pool: Body, claims: list[Body]) -> None:
    """A node for what waits in vain, within the limits; an empty one goes by itself."""
    labels = labels_of(pool)
    waiting = [
        pod
        for pod in objects.all("Pod")
        if is_waiting(pod) and suits(pod["spec"], labels, "") and _waits_in_vain(pod)
    ]
    size = int(labels.get(COUNT, 8))
    coming = sum(size for claim in claims if not is_true(claim, "Registered"))
    missing = sum(gpus_of(pod) for pod in waiting) - coming
    limit = (pool["spec"].get("limits") or {}).get(GPU)
    most_nodes = (pool["spec"].get("limits") or {}).get("nodes")
    while missing > 0 and gpus_of(waiting[0]) <= size:
        count = len(claims)
        if limit is not None and (count + 1) * size > int(limit):
            return
        if most_nodes is not None and count + 1 > int(most_nodes):
            return
        claims.append(_claim(objects, pool))
        missing -= size


def _waits_in_vain(pod: Body) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(one.get("reason") == "Unschedulable" for one in conditions)


def _claim(objects: Objects, pool: Body) -> Body:
    template = pool["spec"]["template"]["spec"]
    name = f"{pool['metadata']['name']}-{secrets.token_hex(3)[:5]}"
    body = {
        "kind": "NodeClaim",
        "metadata": {
            "name": name,
            "labels": labels_of(pool),
            "finalizers": [TERMINATION],
            "ownerReferences": [{**owner_of(pool), "controller": False}],
        },
        "spec": {
            key: template[key]
            for key in ("nodeClassRef", "requirements", "expireAfter", "terminationGracePeriod")
            if key in template
        },
    }
    return objects.keep(objects.registry.named("NodeClaim"), body)


def _sync_claim(objects: Objects, claim: Body) -> None:
    """From a claim to its node, and from its deletion to the node's end."""
    name = claim["metadata"]["name"]
    node = claim.get("status", {}).get("nodeName")
    if _dying(claim):
        if node and objects.one("Node", node):
            draining.bar(objects, node)
            patience = claim["spec"].get("terminationGracePeriod")
            if not draining.drained(objects, node, respects_wish=not patience):
                return
            draining.end(objects, node)
        drop(objects, claim)
    elif not node:
        _launch(objects, claim)
    elif objects.one("Node", node) is None:
        _end_claim(objects, claim)  # its instance is gone
    elif not is_true(claim, "Initialized"):
        objects.edit("NodeClaim", name, "", lambda body: _say(body, "Initialized", objects))


def _launch(objects: Objects, claim: Body) -> None:
    name = claim["metadata"]["name"]
    node_name, provider = f"node-{name}", f"kwok://{name}"
    labels = dict(claim["metadata"]["labels"])
    new_node(objects, node_name, labels, {}, [TERMINATION], provider)

    def change(body: Body) -> None:
        body.setdefault("status", {}).update(
            nodeName=node_name,
            providerID=provider,
            capacity={GPU: labels.get(COUNT, "8")},
            allocatable={GPU: labels.get(COUNT, "8")},
        )
        for kind in ("Launched", "Registered"):
            _say(body, kind, objects)

    objects.edit("NodeClaim", name, "", change)


def _say(body: Body, kind: str, objects: Objects) -> None:
    set_condition(body, kind, "True", kind, "", objects.stamp())
    if kind == "Initialized":
        set_condition(body, "Ready", "True", "Ready", "", objects.stamp())


def _end_claim(objects: Objects, claim: Body) -> None:
    def change(body: Body) -> None:
        body["metadata"].setdefault("deletionTimestamp", objects.stamp())

    objects.edit("NodeClaim", claim["metadata"]["name"], "", change)


def _follow_nodes(objects: Objects) -> None:
    """A node that is deleted takes its claim with it."""
    by_node = {one.get("status", {}).get("nodeName"): one for one in objects.all("NodeClaim")}
    for node in objects.all("Node"):
        claim = by_node.get(node["metadata"]["name"])
        if claim and _dying(node) and not _dying(claim):
            _end_claim(objects, claim)


def _report(objects: Objects, pool: Body) -> None:
    name = pool["metadata"]["name"]
    mine = [
        claim
        for claim in objects.all("NodeClaim")
        if claim["metadata"]["labels"].get(POOL) == name and claim.get("status", {}).get("nodeName")
    ]
    gpus = sum(int(claim["status"]["capacity"][GPU]) for claim in mine)
    state: dict[str, Any] = {"nodes": len(mine), "resources": {GPU: str(gpus)}}
    state["resources"]["nodes"] = str(len(mine))

    def change(body: Body) -> None:
        body["status"] = {**body.get("status", {}), **state}
        set_condition(body, "Ready", "True", "Ready", "", objects.stamp())

    objects.edit("NodePool", name, "", change)


__all__ = ["labels_of", "tick"]
