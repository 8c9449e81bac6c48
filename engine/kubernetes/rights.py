"""The rights that acting needs, by action type; `deploy/kubernetes/` grants exactly these.

At the start each is asked of the API server (SelfSubjectAccessReview), and only the actions that
lack one are off. What is not served there, Kueue for instance, is not asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cluster.api import Api, Body
from engine.kubernetes.settings import HandsSettings
from warehouse.records import ClusterRight

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
KARPENTER, CLUSTER_API, KUEUE = "karpenter.sh", "cluster.x-k8s.io", "kueue.x-k8s.io"
BUILT_IN = ("", "apps", "batch", "policy", "coordination.k8s.io")


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource; a subresource follows a slash."""

    verb: str
    resource: str
    group: str = ""
    namespace: str | None = None
    """Where it is needed; everywhere without one."""

    @property
    def words(self) -> str:
        """As people read it: `create pods/eviction`, `patch nodepools/scale of karpenter.sh`."""
        of_group = f" of {self.group}" if self.group and self.group not in BUILT_IN else ""
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{of_group}{where}"


def _read(group: str, *resources: str, verbs: tuple[str, ...] = ()) -> frozenset[Right]:
    verbs = verbs or ("get", "list", "watch")
    return frozenset(Right(verb, each, group) for each in resources for verb in verbs)


_NODES = _read("", "nodes")
_PODS = _read("", "pods")
_JOBS = _read("batch", "jobs")
_QUEUES = _read(KUEUE, "workloads")
_MACHINES = (
    _read(KARPENTER, "nodeclaims")
    | _read(KARPENTER, "nodepools", "nodepools/scale", verbs=("get",))
    | _read(CLUSTER_API, "machines")
    | _read(CLUSTER_API, "machinedeployments", "machinedeployments/scale", verbs=("get",))
)
_LEVERS = _read(
    "apps",
    "deployments",
    "deployments/scale",
    "statefulsets",
    "statefulsets/scale",
    verbs=("get",),
)
OBSERVE: frozenset[Right] = (
    _NODES
    | _PODS
    | _JOBS
    | _QUEUES
    | _MACHINES
    | _LEVERS
    | _read("", "events")
    | _read("policy", "poddisruptionbudgets")
)
"""What reading the cluster takes; the hands look before they act with these too."""

_MIGRATING = frozenset(
    {
        Right("patch", "jobs", "batch"),
        Right("patch", "pods"),
        Right("patch", "workloads", KUEUE),
    }
)
_SCALING = frozenset(
    {
        Right("patch", "deployments/scale", "apps"),
        Right("patch", "statefulsets/scale", "apps"),
        Right("patch", "nodepools/scale", KARPENTER),
        Right("patch", "nodepools", KARPENTER),
        Right("patch", "machinedeployments/scale", CLUSTER_API),
    }
)
_RELEASING = _SCALING | {
    Right("patch", "nodes"),
    Right("delete", "nodeclaims", KARPENTER),
    Right("patch", "machines", CLUSTER_API),
}
ACT: dict[str, frozenset[Right]] = {
    "scale_up": _RELEASING,  # taking it back releases what came
    "scale_down": _RELEASING,
    "pre_warm": _RELEASING,
    "migrate_job": _MIGRATING,
    "rebalance": _MIGRATING | _RELEASING,
    "quarantine_node": _MIGRATING | {Right("patch", "nodes"), Right("create", "pods/eviction")},
    "repair_node": frozenset(
        {
            Right("patch", "nodes"),
            Right("delete", "nodeclaims", KARPENTER),
            Right("delete", "machines", CLUSTER_API),
        }
    ),
}
"""What each action type changes. Setting a price changes nothing in the cluster."""
TELL: frozenset[Right] = frozenset({Right("create", "events")})
"""Leaving Events; without it nothing is off."""
LEASE: frozenset[Right] = frozenset(
    Right(verb, "leases", "coordination.k8s.io") for verb in ("get", "create", "update")
)
"""Of the console's own Lease, in its own namespace."""
_LOOKING: dict[str, frozenset[Right]] = {
    "scale_up": _NODES | _PODS,
    "scale_down": _NODES | _PODS,
    "pre_warm": _NODES | _PODS,
    "migrate_job": _NODES | _PODS | _JOBS | _QUEUES,
    "rebalance": _NODES | _PODS | _JOBS | _QUEUES,
    "quarantine_node": _NODES | _PODS | _JOBS | _QUEUES,
    "repair_node": _NODES | _PODS,
}
"""Of `OBSERVE`, what an action can't do without."""


def rows(api: Api, settings: HandsSettings, now: datetime) -> list[ClusterRight]:
    """What the console may do, right by right: `observe`, each action type, `events`, `lease`.

    Raises:
        ClusterError: it can't be asked.
    """
    served = _groups(api)
    lease = {Right(each.verb, each.resource, each.group, settings.namespace) for each in LEASE}
    wanted = {"observe": OBSERVE, "events": TELL, "lease": lease} | {
        action: rights | {r for r in _LOOKING[action] if r.verb != "watch"}
        for action, rights in ACT.items()
    }
    asked: dict[Right, tuple[bool, str | None]] = {}
    found: list[ClusterRight] = []
    for action, rights in wanted.items():
        for right in _of_served(rights, served):
            if right not in asked:
                asked[right] = _review(api, right)
            is_allowed, detail = asked[right]
            found.append(
                ClusterRight(
                    action=action,
                    right=right.words,
                    is_allowed=is_allowed,
                    detail=detail,
                    checked_at=now,
                )
            )
    return found


def _of_served(rights: Iterable[Right], served: set[str]) -> list[Right]:
    return sorted(
        (r for r in rights if r.group in BUILT_IN or r.group in served), key=lambda r: r.words
    )


def _groups(api: Api) -> set[str]:
    return {str(group["name"]) for group in api.get("/apis").get("groups") or []}


def _review(api: Api, right: Right) -> tuple[bool, str | None]:
    resource, _, subresource = right.resource.partition("/")
    attributes: Body = {"verb": right.verb, "group": right.group, "resource": resource}
    if subresource:
        attributes["subresource"] = subresource
    if right.namespace:
        attributes["namespace"] = right.namespace
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    status = api.create(REVIEWS, body).get("status") or {}
    return bool(status.get("allowed")), status.get("reason") or None


def missing(found: Iterable[ClusterRight]) -> dict[str, list[str]]:
    """The rights that each action type lacks; those that lack none are not in it."""
    lacking: dict[str, list[str]] = {}
    for row in found:
        if not row.is_allowed:
            lacking.setdefault(row.action, []).append(row.right)
    return lacking
