"""What is read off Kubernetes objects, as plain functions of their dicts, and the lists of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cluster.api import Api, Body
from engine.kubernetes.marks import DO_NOT_DISRUPT, GPU, HOSTNAME, MIRROR, is_true

NODES = "/api/v1/nodes"
PODS = "/api/v1/pods"
REGION = "topology.kubernetes.io/region"
PRODUCT = "nvidia.com/gpu.product"
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
OVER = ("Succeeded", "Failed")
DEVICES = (GPU, "nvidia.com/mig-", "amd.com/gpu")
"""How resources begin that are GPUs or slices of them."""


def node_path(node_id: str) -> str:
    """Where a node is."""
    return f"{NODES}/{node_id}"


def pod_path(namespace: str, name: str) -> str:
    """Where a pod is."""
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


def job_path(job_id: str) -> str:
    """Where a Job is; `job_id` is `namespace/name`."""
    namespace, _, name = job_id.partition("/")
    return f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}"


def meta(body: Body) -> dict[str, Any]:
    """Its metadata."""
    found: dict[str, Any] = body.get("metadata") or {}
    return found


def annotations_of(body: Body) -> dict[str, str]:
    """Its annotations."""
    found: dict[str, str] = meta(body).get("annotations") or {}
    return found


def labels_of(body: Body) -> dict[str, str]:
    """Its labels."""
    found: dict[str, str] = meta(body).get("labels") or {}
    return found


def name_of(body: Body) -> str:
    """`namespace/name`, or the name alone where it has no namespace."""
    namespace = meta(body).get("namespace")
    return f"{namespace}/{meta(body)['name']}" if namespace else str(meta(body)["name"])


def controller_of(body: Body) -> dict[str, Any] | None:
    """The owner reference of what controls it."""
    owners = meta(body).get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), None)


def is_do_not_disrupt(body: Body) -> bool:
    """Whether it says that it may not be disturbed."""
    return is_true(annotations_of(body).get(DO_NOT_DISRUPT, ""))


def condition(body: Body, kind: str) -> str | None:
    """The status of a condition."""
    for each in (body.get("status") or {}).get("conditions") or []:
        if each.get("type") == kind:
            return str(each.get("status"))
    return None


# -- nodes -----------------------------------------------------------------------------


def is_ready(node: Body) -> bool:
    """Whether its kubelet says that it can run pods."""
    return condition(node, "Ready") == "True"


def allocatable_gpus(node: Body) -> int:
    """GPUs, or slices of them, that it can give to pods now."""
    return _devices((node.get("status") or {}).get("allocatable"))


def is_cordoned(node: Body) -> bool:
    """Whether no new pods are placed on it."""
    return bool((node.get("spec") or {}).get("unschedulable"))


def hostname_of(node: Body) -> str:
    """The name by which an affinity knows it."""
    return labels_of(node).get(HOSTNAME) or str(meta(node)["name"])


def pool_of(node: Body, pool_labels: tuple[str, ...]) -> str:
    """Its pool: the first label that names one, else its GPU product and region."""
    said = labels_of(node)
    for label in pool_labels:
        if said.get(label):
            return said[label]
    words = [word for word in (said.get(PRODUCT, "gpu"), said.get(REGION)) if word]
    return "-".join(words).lower().replace(" ", "-")


def pool_nodes(api: Api, pool: str, pool_labels: tuple[str, ...]) -> list[Body]:
    """The nodes of a pool: asked for by label, so that a large cluster is not read whole; only
    of a pool that no label names are all GPU nodes gone through."""
    labelled = {
        meta(node)["uid"]: node
        for label in (pool_labels if _LABEL_VALUE.fullmatch(pool) else ())
        for node in _of_pool(api, pool, pool_labels, f"{label}={pool}")
    }
    return list(labelled.values()) or list(_of_pool(api, pool, pool_labels, PRODUCT))


def _of_pool(api: Api, pool: str, pool_labels: tuple[str, ...], selector: str) -> Iterator[Body]:
    for page in api.pages(NODES, labelSelector=selector):
        yield from (node for node in page["items"] if pool_of(node, pool_labels) == pool)


# -- pods ------------------------------------------------------------------------------


def pods_on(api: Api, node_id: str) -> list[Body]:
    """The pods on a node that are not over."""
    pages = api.pages(PODS, fieldSelector=f"spec.nodeName={node_id}")
    return [pod for page in pages for pod in page["items"] if not is_over(pod)]


def pods_of(api: Api, job: Body) -> list[Body]:
    """The pods of a Job that are not over, those that are going included."""
    namespace, name = meta(job)["namespace"], meta(job)["name"]
    path = f"/api/v1/namespaces/{namespace}/pods"
    pages = api.pages(path, labelSelector=f"batch.kubernetes.io/job-name={name}")
    return [
        pod
        for page in pages
        for pod in page["items"]
        if not is_over(pod) and (controller_of(pod) or {}).get("uid") == meta(job)["uid"]
    ]


def is_over(pod: Body) -> bool:
    """Whether it has ended."""
    return (pod.get("status") or {}).get("phase") in OVER


def is_running(pod: Body) -> bool:
    """Whether it runs and is not on its way out."""
    return (pod.get("status") or {}).get("phase") == "Running" and not is_terminating(pod)


def is_terminating(pod: Body) -> bool:
    """Whether it is on its way out."""
    return bool(meta(pod).get("deletionTimestamp"))


def node_of(pod: Body) -> str | None:
    """The node it is bound to."""
    return (pod.get("spec") or {}).get("nodeName")


def gpus_of(pod: Body) -> int:
    """GPUs, or slices of them, that it asks for; a claim for devices counts as one."""
    spec = pod.get("spec") or {}
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    asked = sum(_devices((each.get("resources") or {}).get("limits")) for each in containers)
    return asked + len(spec.get("resourceClaims") or [])


def _devices(amounts: dict[str, Any] | None) -> int:
    return sum(int(n) for name, n in (amounts or {}).items() if name.startswith(DEVICES))


def stays(pod: Body) -> bool:
    """Whether it belongs to its node and comes and goes with it."""
    owner = controller_of(pod) or {}
    return MIRROR in annotations_of(pod) or owner.get("kind") == "DaemonSet"


def gpu_pods_on(api: Api, node_id: str) -> list[Body]:
    """The pods on a node that hold GPUs, but for those that every such node has."""
    return [pod for pod in pods_on(api, node_id) if gpus_of(pod) and not stays(pod)]


def is_pinned(job: Body) -> bool:
    """Whether a Job's own node selector names one host: kept off that, it could run nowhere."""
    return HOSTNAME in (job["spec"]["template"]["spec"].get("nodeSelector") or {})
