"""The machine APIs under a node: Karpenter's NodeClaims and Cluster API's Machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cluster.api import Api, Body
from cluster.errors import NotFound
from engine.kubernetes.marks import CLUSTER_NAMESPACE, DELETE_MACHINE, MACHINE
from engine.kubernetes.objects import annotations_of, controller_of, labels_of, meta

KARPENTER = "/apis/karpenter.sh/v1"
NODE_CLAIMS = f"{KARPENTER}/nodeclaims"
NODE_POOL = "karpenter.sh/nodepool"
MACHINE_VERSIONS = ("v1beta2", "v1beta1")


@dataclass(frozen=True)
class Machine:
    """What stands for a node in its machine API."""

    kind: Literal["node_claim", "machine"]
    path: str
    uid: str
    is_replaced: bool
    """Whether another comes of itself once it is deleted."""


def machine_of(api: Api, node: Body) -> Machine | None:
    """The machine of a node; None where no machine API that is served here has it."""
    return _node_claim_of(api, node) or _machine_of(api, node)


def _node_claim_of(api: Api, node: Body) -> Machine | None:
    owners = meta(node).get("ownerReferences") or []
    named = next((o["name"] for o in owners if o.get("kind") == "NodeClaim"), None)
    if named is None and NODE_POOL not in labels_of(node):
        return None
    try:
        claim = api.get(f"{NODE_CLAIMS}/{named}") if named else _claim_named_by(api, node)
    except NotFound:
        return None
    if claim is None:
        return None
    path = f"{NODE_CLAIMS}/{meta(claim)['name']}"
    pool = labels_of(claim).get(NODE_POOL) or labels_of(node).get(NODE_POOL)
    return Machine("node_claim", path, meta(claim)["uid"], _is_static(api, pool))


def _claim_named_by(api: Api, node: Body) -> Body | None:
    claims: list[Body] = [claim for page in api.pages(NODE_CLAIMS) for claim in page["items"]]
    name = meta(node)["name"]
    return next((c for c in claims if (c.get("status") or {}).get("nodeName") == name), None)


def _is_static(api: Api, pool: str | None) -> bool:
    """Whether a NodePool keeps a number of nodes rather than following pending pods."""
    if pool is None:
        return False
    try:
        found = api.get(f"{KARPENTER}/nodepools/{pool}")
    except NotFound:
        return False
    return "replicas" in (found.get("spec") or {})


def _machine_of(api: Api, node: Body) -> Machine | None:
    name, namespace = annotations_of(node).get(MACHINE), annotations_of(node).get(CLUSTER_NAMESPACE)
    if not name or not namespace:
        return None
    for version in MACHINE_VERSIONS:
        path = f"/apis/cluster.x-k8s.io/{version}/namespaces/{namespace}/machines/{name}"
        try:
            found = api.get(path)
        except NotFound:
            continue
        return Machine("machine", path, meta(found)["uid"], controller_of(found) is not None)
    return None


def delete(api: Api, path: str, uid: str) -> None:
    """Delete a machine, if it is that very one; nothing where it is gone."""
    try:
        api.delete(path, {"preconditions": {"uid": uid}})
    except NotFound:
        return


def live_claims(api: Api, pool: str) -> int:
    """NodeClaims of a NodePool that are not on their way out."""
    pages = api.pages(NODE_CLAIMS, labelSelector=f"{NODE_POOL}={pool}")
    return sum(
        not meta(claim).get("deletionTimestamp") for page in pages for claim in page["items"]
    )


def mark_for_deletion(api: Api, path: str, value: str | None) -> None:
    """Say that a Machine is the one to go when its set shrinks; None takes that back."""
    api.patch(path, {"metadata": {"annotations": {DELETE_MACHINE: value}}})
