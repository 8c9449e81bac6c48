"""Nodes and what makes them: Karpenter's NodeClaims, Cluster API's Machines, Kueue's Workloads."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from cluster.settings import ClusterSettings
from collectors.kubernetes_objects import (
    DO_NOT_DISRUPT,
    GPU,
    PRODUCT,
    QUEUE,
    REGION,
    SLICES,
    Nonsense,
    Object,
    condition,
    created_at,
    gpus_of,
    instant,
    is_marked,
    name_of,
    number,
    owner_of,
    part,
    parts,
    pod_sevenths,
    sevenths_of,
)

_CAPACITY_LABELS = (
    "karpenter.sh/capacity-type",
    "eks.amazonaws.com/capacityType",
    "kubernetes.azure.com/scalesetpriority",
    "node.kubernetes.io/capacity-type",
)
_CAPACITY_TYPES = {
    "spot": "spot",
    "on-demand": "on_demand",
    "on_demand": "on_demand",
    "regular": "on_demand",
    "reserved": "reserved",
    "capacity_block": "reserved",
}
_SPOT_FLAGS = ("cloud.google.com/gke-spot", "cloud.google.com/gke-preemptible")
_STARTING_TAINTS = {
    "karpenter.sh/unregistered",
    "node.cloudprovider.kubernetes.io/uninitialized",
    "node.cluster.x-k8s.io/uninitialized",
}
_MEBIBYTE = 2**20


class NodeSeen(NamedTuple):
    """A node with GPUs."""

    key: str
    uid: str
    pool: str
    provider_id: str | None
    instance_type: str | None
    gpu_model: str | None
    gpu_count: int
    gpu_memory_bytes: int | None
    mig_config: str | None
    capacity_type: str | None
    region: str | None
    zone: str | None
    is_ready: bool
    is_unschedulable: bool
    is_starting: bool
    heartbeat_at: datetime | None
    conditions: tuple[Mapping[str, Any], ...]
    taints: tuple[Mapping[str, Any], ...]
    machine: str | None
    is_do_not_disrupt: bool
    resource_version: str
    created_at: datetime


class WorkloadSeen(NamedTuple):
    """A Kueue Workload."""

    key: str
    uid: str
    queue: str | None
    subject: str | None
    is_active: bool
    is_admitted: bool
    priority: int | None


class ClaimSeen(NamedTuple):
    """A Karpenter NodeClaim, or a Cluster API Machine: a node that is made, or is there."""

    key: str
    uid: str
    kind: str
    group: str | None
    node_id: str | None
    is_active: bool
    is_ready: bool
    gpu_count: int


class MachineReader:
    """Reads nodes and what makes them as the settings say; what has no GPU is left out."""

    def __init__(self, settings: ClusterSettings) -> None:
        self._labels = settings.pool_label_names
        self._pools = settings.pools
        scales = (terms.scale for terms in settings.pools.values() if terms.scale)
        self._groups = {*settings.pools, *(path.rsplit("/", 1)[-1] for path in scales)}

    def node(self, found: Object) -> NodeSeen | None:
        """A node; None where it has no GPU and belongs to no pool of the pools file."""
        meta, spec, status = part(found, "metadata"), part(found, "spec"), part(found, "status")
        labels = part(meta, "labels")
        pool, gpus = self.pool_of(labels), _node_gpus(labels, status)
        if not (gpus or PRODUCT in labels or pool in self._pools):
            return None
        ready = next((c for c in parts(status, "conditions") if c.get("type") == "Ready"), {})
        taints = tuple(_kept(each, ("key", "value", "effect")) for each in parts(spec, "taints"))
        memory = number(labels.get("nvidia.com/gpu.memory"), "nvidia.com/gpu.memory")
        return NodeSeen(
            key=sys.intern(name_of(meta)),
            uid=str(meta.get("uid")),
            pool=sys.intern(pool),
            provider_id=spec.get("providerID"),
            instance_type=labels.get("node.kubernetes.io/instance-type"),
            gpu_model=labels.get(PRODUCT),
            gpu_count=gpus,
            gpu_memory_bytes=memory * _MEBIBYTE or None,
            mig_config=labels.get("nvidia.com/mig.config"),
            capacity_type=_capacity_type(labels),
            region=labels.get(REGION),
            zone=labels.get("topology.kubernetes.io/zone"),
            is_ready=ready.get("status") == "True",
            is_unschedulable=bool(spec.get("unschedulable")),
            is_starting=any(taint["key"] in _STARTING_TAINTS for taint in taints),
            heartbeat_at=instant(ready.get("lastHeartbeatTime")),
            conditions=_amiss(status),
            taints=taints,
            machine=_machine(part(meta, "annotations")),
            is_do_not_disrupt=is_marked(meta, DO_NOT_DISRUPT),
            resource_version=str(meta.get("resourceVersion")),
            created_at=created_at(meta),
        )

    def pool_of(self, labels: Object) -> str:
        """The pool of a node with such labels."""
        named = next((labels[name] for name in self._labels if labels.get(name)), None)
        if named:
            return str(named)
        told = filter(None, (labels.get(PRODUCT) or "gpu", labels.get(REGION)))
        return "-".join(told).lower().replace(" ", "-")

    def claim(self, found: Object) -> ClaimSeen | None:
        """A NodeClaim; None where it brings no GPU."""
        meta, spec, status = part(found, "metadata"), part(found, "spec"), part(found, "status")
        group = part(meta, "labels").get("karpenter.sh/nodepool")
        asked = part(part(spec, "resources"), "requests")
        gpus = number(part(status, "capacity").get(GPU) or asked.get(GPU), GPU)
        if not gpus and group not in self._groups:
            return None
        return ClaimSeen(
            key=name_of(meta),
            uid=str(meta.get("uid")),
            kind="node_claim",
            group=group,
            node_id=status.get("nodeName"),
            is_active=not meta.get("deletionTimestamp"),
            is_ready=condition(status, "Ready") is not None,
            gpu_count=gpus,
        )

    def machine(self, found: Object) -> ClaimSeen | None:
        """A Machine; None where its MachineDeployment is none of the pools file."""
        meta, status = part(found, "metadata"), part(found, "status")
        group = part(meta, "labels").get("cluster.x-k8s.io/deployment-name")
        if group not in self._groups:
            return None
        return ClaimSeen(
            key=name_of(meta),
            uid=str(meta.get("uid")),
            kind="machine",
            group=group,
            node_id=part(status, "nodeRef").get("name"),
            is_active=not meta.get("deletionTimestamp"),
            is_ready=status.get("phase") == "Running",
            gpu_count=0,
        )


def workload(found: Object) -> WorkloadSeen | None:
    """A Workload; None where its pods ask for no GPU."""
    meta, spec, status = part(found, "metadata"), part(found, "spec"), part(found, "status")
    pods = (part(part(each, "template"), "spec") for each in parts(spec, "podSets"))
    if not any(pod_sevenths(pod) for pod in pods):
        return None
    owner = owner_of(meta)
    return WorkloadSeen(
        key=name_of(meta),
        uid=str(meta.get("uid")),
        queue=spec.get("queueName") or part(meta, "labels").get(QUEUE),
        subject=f"{meta.get('namespace')}/{owner.get('name')}" if owner else None,
        is_active=spec.get("active") is not False,
        is_admitted=condition(status, "Admitted") is not None,
        priority=spec.get("priority"),
    )


def _node_gpus(labels: Object, status: Object) -> int:
    """GPUs it can give to pods, or has where it can't just now.

    With MIG in mixed mode its GPUs are offered as slices alone, and the label counts them.
    """
    for offered in (part(status, "allocatable"), part(status, "capacity")):
        if offered.get(GPU) is not None and (whole := number(offered[GPU], GPU)):
            return whole + gpus_of(sevenths_of(offered) - SLICES * whole)
    labelled = number(labels.get("nvidia.com/gpu.count"), "nvidia.com/gpu.count")
    return labelled or gpus_of(sevenths_of(part(status, "capacity")))


def _capacity_type(labels: Object) -> str | None:
    if any(labels.get(flag) == "true" for flag in _SPOT_FLAGS):
        return "spot"
    named = next((str(labels[name]) for name in _CAPACITY_LABELS if labels.get(name)), "")
    return _CAPACITY_TYPES.get(named.lower())


def _amiss(status: Object) -> tuple[Mapping[str, Any], ...]:
    """The conditions that are not as they should be: `…Ready` True, all others False."""
    found = []
    for each in parts(status, "conditions"):
        kind = str(each.get("type"))
        should_be = "True" if kind.endswith(("Ready", "Healthy")) else "False"
        if each.get("status") != should_be:
            kept = _kept(each, ("type", "status", "reason", "message"))
            found.append({**kept, "since": each.get("lastTransitionTime")})
    return tuple(found)


def _kept(each: Object, names: tuple[str, ...]) -> dict[str, Any]:
    if "key" in names and not isinstance(each.get("key"), str):
        raise Nonsense("a taint has no key")
    return {name: each.get(name) for name in names}


def _machine(annotations: Object) -> str | None:
    name = annotations.get("cluster.x-k8s.io/machine")
    namespace = annotations.get("cluster.x-k8s.io/cluster-namespace")
    return f"{namespace or 'default'}/{name}" if name else None
