"""What kube-state-metrics tells, put together again as the Kubernetes objects it was made from.

So nodes and pods are read by the same readers as those of the API server, and jobs and tenants get
the same names. Labels come with their names flattened (`pilothouse.dev/pool` as
`label_pilothouse_dev_pool`), and only those that its `--metric-labels-allowlist` names.
Source: github.com/kubernetes/kube-state-metrics, docs/metrics.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from collectors.kubernetes_objects import DO_NOT_DISRUPT, GPU, PRODUCT, QUEUE, REGION
from collectors.kubernetes_reading import TENANT
from collectors.prometheus_discovery import REPLICAS, STRATEGY
from collectors.prometheus_text import NotExposition, labels_of, series_of

Labels = dict[str, str]
Object = dict[str, Any]

LABELS = (
    *(TENANT, QUEUE, PRODUCT, REGION, REPLICAS, STRATEGY, "pod-template-hash"),
    *("topology.kubernetes.io/zone", "node.kubernetes.io/instance-type"),
    *("nvidia.com/gpu.count", "nvidia.com/gpu.memory", "nvidia.com/mig.config"),
    *("karpenter.sh/capacity-type", "eks.amazonaws.com/capacityType"),
    *("kubernetes.azure.com/scalesetpriority", "node.kubernetes.io/capacity-type"),
    *("cloud.google.com/gke-spot", "cloud.google.com/gke-preemptible"),
)
"""Labels of nodes and pods that mean something to us, besides those that name pools."""
PODS = {
    "kube_pod_info",
    "kube_pod_owner",
    "kube_pod_labels",
    "kube_pod_annotations",
    "kube_pod_status_phase",
    "kube_pod_created",
    "kube_pod_deletion_timestamp",
}
NODES = {
    "kube_node_info",
    "kube_node_labels",
    "kube_node_created",
    "kube_node_spec_unschedulable",
    "kube_node_spec_taint",
    "kube_node_status_condition",
    "kube_node_status_allocatable",
    "kube_node_status_capacity",
}
REQUESTS = "kube_pod_container_resource_requests"
MOST_GPUS = 10_000
"""More of one node or pod is nonsense."""
_MIG = re.compile(r"nvidia_com_mig_([1-7])g_([0-9]+)gb")
_STATUS = {"true": "True", "false": "False", "unknown": "Unknown"}


class Objects:
    """The nodes and the pods with GPUs that one text tells of."""

    def __init__(self, pool_labels: Iterable[str]) -> None:
        self._names = {f"label_{_flat(name)}": name for name in (*LABELS, *pool_labels)}
        self.nodes: dict[str, Object] = {}
        self.pods: dict[tuple[str, str], Object] = {}

    def read(self, text: str, is_open: bool) -> None:
        """Read a whole text.

        Raises:
            NotExposition: a line of it can't be read.
        """
        wanted = PODS | NODES | {REQUESTS}
        lines = [line for line in text.split("\n") if line.partition("{")[0] in wanted]
        lines.sort(key=lambda line: not line.startswith(REQUESTS))  # which pods have GPUs
        for name, labels, value in _told(lines, is_open):
            if name == REQUESTS:
                self._request(labels, value)
            elif name in NODES:
                self._node(name, labels, value)
            elif (key := _pod_key(labels)) in self.pods:
                self._pod(self.pods[key], name, labels, value)

    # -- pods ----------------------------------------------------------------------

    def _request(self, labels: Labels, value: float) -> None:
        resource = _resource(labels.get("resource", ""))
        if resource is None or not 0 < value < MOST_GPUS:
            return
        meta: Object = {"name": labels.get("pod"), "namespace": labels.get("namespace")}
        meta |= {"uid": labels.get("uid"), "labels": {}, "annotations": {}}
        empty: Object = {"metadata": meta, "spec": {"containers": []}, "status": {}}
        pod = self.pods.setdefault(_pod_key(labels), empty)
        asked = {"requests": {resource: int(value)}}
        pod["spec"]["containers"].append({"resources": asked})
        pod["spec"]["nodeName"] = labels.get("node") or pod["spec"].get("nodeName")

    def _pod(self, pod: Object, name: str, labels: Labels, value: float) -> None:
        meta = pod["metadata"]
        if name == "kube_pod_info":
            pod["spec"]["nodeName"] = labels.get("node") or None
            meta["uid"] = labels.get("uid") or meta["uid"]
        elif name == "kube_pod_owner" and labels.get("owner_kind") not in (None, "", "<none>"):
            owner = {"kind": labels["owner_kind"], "name": labels.get("owner_name")}
            meta["ownerReferences"] = [{**owner, "controller": True}]
        elif name == "kube_pod_labels":
            meta["labels"] |= self._labels(labels)
        elif name == "kube_pod_annotations":
            marked = labels.get(f"annotation_{_flat(DO_NOT_DISRUPT)}")
            meta["annotations"] |= {DO_NOT_DISRUPT: marked} if marked else {}
        elif name == "kube_pod_status_phase" and value == 1:
            pod["status"]["phase"] = labels.get("phase")
        elif name == "kube_pod_created":
            meta["creationTimestamp"] = _instant(value)
        elif name == "kube_pod_deletion_timestamp":
            meta["deletionTimestamp"] = _instant(value)

    # -- nodes ---------------------------------------------------------------------

    def _node(self, name: str, labels: Labels, value: float) -> None:
        key = labels.get("node", "")
        empty: Object = {"metadata": {"name": key, "labels": {}}, "spec": {}, "status": {}}
        node = self.nodes.setdefault(key, empty)
        meta, spec, status = node["metadata"], node["spec"], node["status"]
        if name == "kube_node_info":
            meta["uid"] = labels.get("system_uuid") or key
            spec["providerID"] = labels.get("provider_id") or None
        elif name == "kube_node_labels":
            meta["labels"] |= self._labels(labels)
        elif name == "kube_node_created":
            meta["creationTimestamp"] = _instant(value)
        elif name == "kube_node_spec_unschedulable":
            spec["unschedulable"] = value == 1
        elif name == "kube_node_spec_taint" and value == 1:
            taint = {each: labels.get(each) for each in ("key", "value", "effect")}
            spec.setdefault("taints", []).append(taint)
        elif name == "kube_node_status_condition" and value == 1:
            said = {
                "type": labels.get("condition"),
                "status": _STATUS.get(labels.get("status", "")),
            }
            status.setdefault("conditions", []).append(said)
        elif resource := _resource(labels.get("resource", "")):
            part = "allocatable" if name.endswith("allocatable") else "capacity"
            status.setdefault(part, {})[resource] = int(value) if 0 <= value < MOST_GPUS else 0

    def _labels(self, labels: Labels) -> Labels:
        return {self._names[name]: text for name, text in labels.items() if name in self._names}


def _told(lines: Iterable[str], is_open: bool) -> Iterator[tuple[str, Labels, float]]:
    for line in lines:
        series = series_of(line, is_open)
        if series is None or series.value != series.value:
            continue
        yield series.name, labels_of(series.labels_text), series.value


def _pod_key(labels: Labels) -> tuple[str, str]:
    return labels.get("namespace", ""), labels.get("pod", "")


def _resource(flat: str) -> str | None:
    """`nvidia_com_gpu` as Kubernetes spells it; None where it is no GPU."""
    if flat == "nvidia_com_gpu":
        return GPU
    found = _MIG.match(flat)
    return f"nvidia.com/mig-{found[1]}g.{found[2]}gb" if found else None


def _flat(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)


def _instant(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


__all__ = ["NotExposition", "Objects"]
