"""What a real API server fills in: the defaults of each kind."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

Body = dict[str, Any]

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
NODE_INFO = (
    *("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "operatingSystem"),
    *("containerRuntimeVersion", "kubeletVersion", "kubeProxyVersion", "architecture"),
)


def filled(body: Body, fresh: bool) -> Body:
    """With defaults; `fresh` where it is being made. Changes what it is given."""
    body.setdefault("metadata", {})
    fill = _BY_KIND.get(body["kind"])
    if fill:
        fill(body, fresh)
    return body


def pod_spec(spec: Body) -> Body:
    """A pod template's spec with defaults."""
    for container in (*spec.get("containers", ()), *spec.get("initContainers", ())):
        resources = container.setdefault("resources", {})
        gpus = (resources.get("limits") or {}).get("nvidia.com/gpu")
        if gpus is not None:
            resources.setdefault("requests", {}).setdefault("nvidia.com/gpu", gpus)
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("imagePullPolicy", "Always")
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    return spec


def _pod(body: Body, fresh: bool) -> None:
    spec = pod_spec(body.setdefault("spec", {}))
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("serviceAccount", "default")
    spec.setdefault("priority", 0)
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    if fresh:
        spec["tolerations"] = [*spec.get("tolerations", ()), *_waits_for_nodes(spec)]
        body["status"] = {"phase": "Pending", "qosClass": "BestEffort"}


def _waits_for_nodes(spec: Body) -> list[Body]:
    there = {one.get("key") for one in spec.get("tolerations", ())}
    return [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in (NOT_READY, UNREACHABLE)
        if key not in there
    ]


def _node(body: Body, fresh: bool) -> None:
    spec = body.setdefault("spec", {})
    status = body.setdefault("status", {})
    status.setdefault("daemonEndpoints", {"kubeletEndpoint": {"Port": 0}})
    status.setdefault("nodeInfo", dict.fromkeys(NODE_INFO, ""))
    for condition in status.get("conditions", ()):
        condition.setdefault("lastHeartbeatTime", None)
        condition.setdefault("lastTransitionTime", None)
    taints = spec.get("taints") or []
    if fresh and not any(taint["key"] == NOT_READY for taint in taints):
        spec["taints"] = [*taints, {"key": NOT_READY, "effect": "NoSchedule"}]


def _namespace(body: Body, fresh: bool) -> None:
    if fresh:
        meta = body["metadata"]
        meta["labels"] = {**(meta.get("labels") or {}), "kubernetes.io/metadata.name": meta["name"]}
        body["spec"] = {"finalizers": ["kubernetes"]}
        body["status"] = {"phase": "Active"}


def _job(body: Body, fresh: bool) -> None:
    spec = body.setdefault("spec", {})
    spec.setdefault("parallelism", 1)
    spec.setdefault("completions", 1)
    spec.setdefault("backoffLimit", 6)
    if fresh:
        _claim(body)
    pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")
    body.setdefault("status", {})


def _claim(body: Body) -> None:
    """Labels by which a Job knows its pods; it has them of its own uid."""
    meta, spec = body["metadata"], body["spec"]
    uid = meta.setdefault("uid", str(uuid.uuid4()))
    mark = {"batch.kubernetes.io/controller-uid": uid}
    labels = {
        **mark,
        "batch.kubernetes.io/job-name": meta["name"],
        "controller-uid": uid,
        "job-name": meta["name"],
    }
    spec["selector"] = {"matchLabels": mark}
    spec["manualSelector"] = False
    of_pods = spec.setdefault("template", {}).setdefault("metadata", {})
    of_pods["labels"] = {**(of_pods.get("labels") or {}), **labels}
    meta["labels"] = {**(meta.get("labels") or {}), **of_pods["labels"]}


def _deployment(body: Body, fresh: bool) -> None:
    spec = body.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))
    if body["kind"] == "Deployment":
        rolling = {"maxUnavailable": "25%", "maxSurge": "25%"}
        spec.setdefault("strategy", {"type": "RollingUpdate", "rollingUpdate": rolling})
        spec.setdefault("progressDeadlineSeconds", 600)
    spec.setdefault("revisionHistoryLimit", 10)
    body.setdefault("status", {})


def _budget(body: Body, fresh: bool) -> None:
    none = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    body.setdefault("status", dict.fromkeys(none, 0))


def _node_pool(body: Body, fresh: bool) -> None:
    spec = body.setdefault("spec", {})
    disruption = spec.setdefault("disruption", {})
    disruption.setdefault("budgets", [{"nodes": "10%"}])
    disruption.setdefault("consolidateAfter", "0s")
    disruption.setdefault("consolidationPolicy", "WhenEmptyOrUnderutilized")
    spec.setdefault("template", {}).setdefault("spec", {}).setdefault("expireAfter", "720h")


def _workload(body: Body, fresh: bool) -> None:
    body.setdefault("spec", {}).setdefault("active", True)


_BY_KIND: dict[str, Callable[[Body, bool], None]] = {
    "Pod": _pod,
    "Node": _node,
    "Namespace": _namespace,
    "Job": _job,
    "Deployment": _deployment,
    "StatefulSet": _deployment,
    "PodDisruptionBudget": _budget,
    "NodePool": _node_pool,
    "Workload": _workload,
}
