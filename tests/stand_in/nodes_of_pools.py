"""What a new node of a pool looks like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.stand_in.objects import Body, Objects
from tests.stand_in.shapes import filled

GPU = "nvidia.com/gpu"
COUNT = "nvidia.com/gpu.count"


def new_node(
    objects: Objects,
    name: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    finalizers: list[str],
    provider: str,
) -> Body:
    """A node that has registered; its GPUs are those of its label `nvidia.com/gpu.count`."""
    at = objects.stamp()
    gpus = labels.get(COUNT, "8")
    amounts = {"cpu": "96", "memory": "1Ti", "pods": "110", GPU: gpus}
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": at, "lastTransitionTime": at}
    meta: dict[str, Any] = {
        "name": name,
        "labels": {"kubernetes.io/hostname": name, **labels},
        "annotations": {"fake.kubelet/managed": "true", **annotations},
    }
    if finalizers:
        meta["finalizers"] = finalizers
    body = {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": meta,
        "spec": {"providerID": provider},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [{**ready, "reason": "KubeletReady", "message": ""}],
        },
    }
    return objects.keep(objects.registry.named("Node"), filled(body, fresh=False))
