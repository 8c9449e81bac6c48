"""Pools of nodes that scale, Karpenter's and Cluster API's, and Kueue's queues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.stand_in.objects import Body
from tests.stand_in.seeding import PRODUCT, REGION, ZONE, Seeds
from tests.stand_in.shapes import filled

KARPENTER_PATH = "/apis/karpenter.sh/v1/nodepools"
MACHINES_PATH = "/apis/cluster.x-k8s.io/v1beta2/namespaces"


class Pools(Seeds):
    """The part of the stand-in by which a test makes pools; their nodes come with the ticks."""

    def add_node_pool(
        self,
        name: str,
        replicas: int | None = None,
        limits: Mapping[str, str] | None = None,
        gpus: int = 8,
        product: str = PRODUCT,
        region: str = REGION,
        zone: str = ZONE,
        capacity_type: str = "on-demand",
    ) -> Body:
        """A Karpenter NodePool: static with `replicas`, dynamic with `limits`."""
        labels = _labels(gpus, product, region, zone)
        requirement = {"key": "karpenter.sh/capacity-type", "operator": "In"}
        spec: dict[str, Any] = {
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeClassRef": {
                        "group": "karpenter.kwok.sh",
                        "kind": "KWOKNodeClass",
                        "name": "default",
                    },
                    "requirements": [{**requirement, "values": [capacity_type]}],
                },
            }
        }
        if replicas is not None:
            spec["replicas"] = replicas
        if limits is not None:
            spec["limits"] = dict(limits)
        body = filled({"kind": "NodePool", "spec": spec}, fresh=True)
        return self.put(f"{KARPENTER_PATH}/{name}", body)

    def add_machine_deployment(
        self,
        name: str,
        namespace: str = "default",
        replicas: int = 1,
        gpus: int = 8,
        product: str = PRODUCT,
        region: str = REGION,
        zone: str = ZONE,
    ) -> Body:
        """A MachineDeployment; its nodes carry `cluster.x-k8s.io/pool-name` with its name."""
        labels = {**_labels(gpus, product, region, zone), "cluster.x-k8s.io/pool-name": name}
        infrastructure = {
            "apiGroup": "infrastructure.cluster.x-k8s.io",
            "kind": "DevMachineTemplate",
            "name": "t",
        }
        body = {
            "kind": "MachineDeployment",
            "spec": {
                "clusterName": "c",
                "replicas": replicas,
                "selector": {"matchLabels": {"cluster.x-k8s.io/pool-name": name}},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "clusterName": "c",
                        "bootstrap": {"dataSecretName": "x"},
                        "infrastructureRef": infrastructure,
                    },
                },
            },
        }
        path = f"{MACHINES_PATH}/{namespace}/machinedeployments/{name}"
        return self.put(path, filled(body, fresh=True))

    def add_queue(self, name: str, namespace: str = "default", stopped: bool = False) -> Body:
        """A Kueue LocalQueue; a stopped one admits nothing."""
        version = self.objects.registry.named("LocalQueue").version
        spec = {"clusterQueue": "all", "stopPolicy": "Hold" if stopped else "None"}
        path = f"/apis/kueue.x-k8s.io/{version}/namespaces/{namespace}/localqueues/{name}"
        return self.put(path, {"kind": "LocalQueue", "spec": spec})


def _labels(gpus: int, product: str, region: str, zone: str) -> dict[str, str]:
    return {
        "nvidia.com/gpu.product": product,
        "nvidia.com/gpu.count": str(gpus),
        "nvidia.com/gpu.memory": "81559",
        "topology.kubernetes.io/region": region,
        "topology.kubernetes.io/zone": zone,
    }
