"""Putting things into the stand-in without asking its API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.stand_in.asked import place_of
from tests.stand_in.controllers.parts import GPU
from tests.stand_in.objects import Body, Objects, copied
from tests.stand_in.refusals import Refusal
from tests.stand_in.shapes import NOT_READY, filled

PRODUCT = "NVIDIA-H100-80GB-HBM3"
REGION, ZONE = "us-east-1", "us-east-1a"
POOL = "pilothouse.dev/pool"


class Seeds:
    """The half of the stand-in by which a test sets the scene."""

    objects: Objects

    def get(self, path: str) -> Body:
        """An object by its path, a copy.

        Raises:
            KeyError: it is not there.
        """
        place = place_of(path, self.objects.registry)
        kept = self.objects.find(place.kind, place.namespace, place.name)
        if kept is None:
            raise KeyError(path)
        return dict(copied(kept.body))

    def has(self, path: str) -> bool:
        """Whether an object is there."""
        try:
            self.get(path)
        except (KeyError, Refusal):
            return False
        return True

    def put(self, path: str, body: Mapping[str, Any]) -> Body:
        """An object to a path, new or in place of what is there; no rule is asked."""
        place = place_of(path, self.objects.registry)
        meta = {**body.get("metadata", {}), "name": place.name}
        if place.kind.namespaced:
            meta["namespace"] = place.namespace
            self.add_namespace(place.namespace)
        return self.objects.keep(place.kind, {**body, "metadata": meta})

    def drop(self, path: str) -> None:
        """Take an object away at once."""
        place = place_of(path, self.objects.registry)
        self.objects.drop(place.kind, place.namespace, place.name)

    def all(self, kind: str) -> list[Body]:
        """All of a kind, by its name; not to be changed."""
        return self.objects.all(kind)

    def add_namespace(self, name: str) -> None:
        """A namespace, where it is not there."""
        if self.objects.one("Namespace", name) is None:
            body = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}}
            self.objects.keep(self.objects.registry.named("Namespace"), filled(body, fresh=True))

    def add_node(
        self,
        name: str,
        pool: str | None = None,
        gpus: int = 8,
        product: str = PRODUCT,
        region: str = REGION,
        zone: str = ZONE,
        capacity_type: str = "on-demand",
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        ready: bool = True,
    ) -> Body:
        """A node with its GPUs. One that is not ready has a kubelet that says so and goes on."""
        said = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/arch": "amd64",
            "node.kubernetes.io/instance-type": "p5.48xlarge",
            "topology.kubernetes.io/region": region,
            "topology.kubernetes.io/zone": zone,
            "karpenter.sh/capacity-type": capacity_type,
            **_gpu_labels(gpus, product),
            **({POOL: pool} if pool else {}),
            **(labels or {}),
        }
        at = self.objects.stamp()
        amounts = {
            "cpu": "96",
            "memory": "1Ti",
            "pods": "110",
            **({GPU: str(gpus)} if gpus else {}),
        }
        condition = {
            "type": "Ready",
            "status": "True" if ready else "False",
            "lastHeartbeatTime": at,
            "lastTransitionTime": at,
            "reason": "KubeletReady" if ready else "KubeletNotReady",
            "message": "",
        }
        body: Body = {
            "kind": "Node",
            "apiVersion": "v1",
            "metadata": {
                "name": name,
                "labels": said,
                "annotations": {"fake.kubelet/managed": "true", **(annotations or {})},
            },
            "spec": {"providerID": f"fake:///{name}"},
            "status": {"capacity": amounts, "allocatable": amounts, "conditions": [condition]},
        }
        if not ready:
            body["spec"]["taints"] = [{"key": NOT_READY, "effect": "NoSchedule"}]
        return self.objects.keep(self.objects.registry.named("Node"), filled(body, fresh=False))

    def add_job(
        self,
        name: str,
        namespace: str = "default",
        gpus: int = 1,
        parallelism: int = 1,
        checkpoints: bool = True,
        node: str | None = None,
        queue: str | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        grace_seconds: int = 1,
        **spec: Any,
    ) -> Body:
        """A Job; its pods come with the ticks. `node` pins it by `nodeSelector`; `spec` is more
        of its spec."""
        self.add_namespace(namespace)
        notes = {**({"pilothouse.dev/checkpoints": "true"} if checkpoints else {})}
        marks = {**({"kueue.x-k8s.io/queue-name": queue} if queue else {}), **(labels or {})}
        pod: Body = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": grace_seconds,
            "containers": [container(gpus)],
        }
        if node:
            pod["nodeSelector"] = {"kubernetes.io/hostname": node}
        body: Body = {
            "kind": "Job",
            "apiVersion": "batch/v1",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": marks,
                "annotations": {**notes, **(annotations or {})},
            },
            "spec": {
                "parallelism": parallelism,
                "completions": parallelism,
                **({"suspend": True} if queue else {}),
                **spec,
                "template": {
                    "metadata": {
                        "labels": dict(labels or {}),
                        "annotations": dict(annotations or {}),
                    },
                    "spec": pod,
                },
            },
        }
        kind = self.objects.registry.named("Job")
        return self.objects.keep(kind, filled(body, fresh=True))

    def add_pod(
        self,
        name: str,
        namespace: str = "default",
        gpus: int = 1,
        node: str | None = None,
        phase: str = "Running",
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        grace_seconds: int = 1,
    ) -> Body:
        """A pod without an owner; on a node it runs at once, unless `phase` says else."""
        self.add_namespace(namespace)
        meta = {"labels": dict(labels or {}), "annotations": dict(annotations or {})}
        body: Body = {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": name, "namespace": namespace, **meta},
            "spec": {
                "terminationGracePeriodSeconds": grace_seconds,
                "containers": [container(gpus)],
                **({"nodeName": node} if node else {}),
            },
        }
        body = filled(body, fresh=True)
        if node:
            at = self.objects.stamp()
            body["status"] = {"phase": phase, "startTime": at, "qosClass": "BestEffort"}
            ready = {"type": "Ready", "status": "True" if phase == "Running" else "False"}
            body["status"]["conditions"] = [{**ready, "lastTransitionTime": at}]
        return self.objects.keep(self.objects.registry.named("Pod"), body)

    def add_budget(
        self,
        name: str,
        labels: Mapping[str, str],
        namespace: str = "default",
        min_available: int | str | None = None,
        max_unavailable: int | str | None = None,
    ) -> Body:
        """A PodDisruptionBudget of the pods with these labels; it is counted at the next tick."""
        spec: Body = {"selector": {"matchLabels": dict(labels)}}
        if max_unavailable is not None:
            spec["maxUnavailable"] = max_unavailable
        else:
            spec["minAvailable"] = 1 if min_available is None else min_available
        body = {"kind": "PodDisruptionBudget", "spec": spec}
        path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/{name}"
        return self.put(path, filled(body, fresh=True))

    def add_deployment(
        self,
        name: str,
        namespace: str = "default",
        replicas: int = 1,
        gpus: int = 0,
        kind: str = "Deployment",
        labels: Mapping[str, str] | None = None,
    ) -> Body:
        """A Deployment, or a StatefulSet; its pods come with the ticks."""
        marks = {"app": name, **(labels or {})}
        spec = {"terminationGracePeriodSeconds": 1, "containers": [container(gpus)]}
        body = {
            "kind": kind,
            "metadata": {"labels": marks},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": marks}, "spec": spec},
            },
        }
        path = f"/apis/apps/v1/namespaces/{namespace}/{kind.lower()}s/{name}"
        return self.put(path, filled(body, fresh=True))


def container(gpus: int) -> Body:
    """One container that asks for GPUs."""
    resources = {"limits": {GPU: str(gpus)}} if gpus else {}
    return {"name": "c", "image": "x", "resources": resources}


def _gpu_labels(gpus: int, product: str) -> dict[str, str]:
    if not gpus:
        return {}
    memory = {"nvidia.com/gpu.memory": "81559"}
    return {"nvidia.com/gpu.product": product, "nvidia.com/gpu.count": str(gpus), **memory}
