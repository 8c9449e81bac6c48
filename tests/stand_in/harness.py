"""A cluster under test: the stand-in, or a real one, with the same words for both.

Everything made on it carries the label `pilothouse.dev/test` with this run's own value, pods go to
nodes of the run alone, and all of it is taken away again.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from cluster.api import STRATEGIC, Api
from cluster.errors import ClusterError, Forbidden, NotFound
from tests.stand_in import StandIn
from tests.stand_in.api_kubelet import ApiKubelet
from tests.stand_in.controllers.parts import GPU

KUBECONFIG = "PILOTHOUSE_TEST_KUBECONFIG"
"""Environment variable with the kubeconfig of a real cluster."""
MARK = "pilothouse.dev/test"
POLL_SECONDS = 0.5
DELETE_TRIES = 30
DELETE_PAUSE_SECONDS = 1.0
HOMES = "/api/v1/namespaces"
Body = dict[str, Any]


class Harness:
    """One run's part of a cluster."""

    def __init__(self, api: Api, stand_in: StandIn | None) -> None:
        self.api = api
        self.stand_in = stand_in
        """None on a real cluster"""
        self.run = secrets.token_hex(4)
        self.namespace = f"pilothouse-test-{self.run}"
        self.kubelet = ApiKubelet(api, self.namespace)
        self._made: list[str] = []
        self.create("/api/v1/namespaces", {"metadata": {"name": self.namespace}})

    # -- paths ---------------------------------------------------------------------

    def path(self, group_version: str, plural: str, name: str = "") -> str:
        """A path in this run's namespace: `("batch/v1", "jobs", "a")`, `("v1", "pods")`."""
        root = "apis" if "/" in group_version else "api"
        tail = f"/{name}" if name else ""
        return f"/{root}/{group_version}/namespaces/{self.namespace}/{plural}{tail}"

    def job(self, name: str) -> Body:
        """A Job as it stands."""
        return self.api.get(self.path("batch/v1", "jobs", name))

    def pods(self, job: str | None = None) -> list[Body]:
        """Pods of the run, or of one Job."""
        query = {"labelSelector": f"job-name={job}"} if job else {}
        items: list[Body] = self.api.get(self.path("v1", "pods"), **query)["items"]
        return items

    def running_on(self, job: str) -> str | None:
        """The node on which a Job's pod runs, if one does."""
        for pod in self.pods(job):
            if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]:
                return str(pod["spec"]["nodeName"])
        return None

    def serves(self, path: str) -> bool:
        """Whether a kind is served there."""
        try:
            self.api.get(path, limit=1)
        except NotFound:
            return False
        return True

    def requires(self, path: str, what: str) -> None:
        """Skip the test where the cluster lacks a kind."""
        if not self.serves(path):
            pytest.skip(f"this cluster has no {what}")

    # -- making --------------------------------------------------------------------

    def create(self, folder: str, body: Body) -> Body:
        """Make an object that is taken away at the end."""
        made = self.api.create(folder, body)
        self._made.append(f"{folder}/{made['metadata']['name']}")
        return made

    def add_node(self, number: int, gpus: int = 8, **labels: str) -> str:
        """A node of this run, ready, its pods run by the kubelet of the tests; its name."""
        name = f"{self.namespace}-{number}"
        marks = {
            MARK: self.run,
            "kubernetes.io/hostname": name,
            "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
            "nvidia.com/gpu.count": str(gpus),
            **labels,
        }
        taint = {"key": MARK, "value": self.run, "effect": "NoSchedule"}
        body = {"metadata": {"name": name, "labels": marks}, "spec": {"taints": [taint]}}
        self.create("/api/v1/nodes", body)
        amounts = {"cpu": "96", "memory": "1Ti", "pods": "110", GPU: str(gpus)}
        status = {"status": {"capacity": amounts, "allocatable": amounts}}
        self.api.patch(f"/api/v1/nodes/{name}/status", status, STRATEGIC)
        self.kubelet.nodes.add(name)
        self.kubelet.beat(name)
        self.settle(lambda: _only_ours(self.api.get(f"/api/v1/nodes/{name}")), 30)
        return name

    def pod_spec(self, gpus: int = 1) -> Body:
        """A pod that runs on this run's nodes alone."""
        toleration = {"key": MARK, "operator": "Equal", "value": self.run, "effect": "NoSchedule"}
        resources = {"limits": {GPU: str(gpus)}} if gpus else {}
        return {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "nodeSelector": {MARK: self.run},
            "tolerations": [toleration],
            "containers": [{"name": "c", "image": "x", "resources": resources}],
        }

    def add_job(
        self,
        name: str,
        gpus: int = 1,
        checkpoints: bool = True,
        labels: dict[str, str] | None = None,
        **spec: Any,
    ) -> Body:
        """A Job of this run; `spec` is more of its spec."""
        notes = {"pilothouse.dev/checkpoints": "true"} if checkpoints else {}
        template = {"metadata": {"labels": dict(labels or {})}, "spec": self.pod_spec(gpus)}
        body = {
            "metadata": {"name": name, "labels": dict(labels or {}), "annotations": notes},
            "spec": {**spec, "template": template},
        }
        return self.create(self.path("batch/v1", "jobs"), body)

    def add_pod(self, name: str, node: str, labels: dict[str, str] | None = None) -> Body:
        """A pod on a node; it waits for the namespace's service account where there is one."""
        body = {
            "metadata": {"name": name, "labels": dict(labels or {})},
            "spec": {**self.pod_spec(0), "nodeName": node},
        }
        made: list[Body] = []

        def is_made() -> bool:
            with suppress(Forbidden):
                made.append(self.create(self.path("v1", "pods"), body))
            return bool(made)

        self.settle(is_made, 30)
        return made[0]

    def evict(self, pod: str, **options: Any) -> Body:
        """Evict a pod."""
        meta = {"name": pod, "namespace": self.namespace}
        body: Body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
        if options:
            body["deleteOptions"] = options
        return self.api.create(f"{self.path('v1', 'pods', pod)}/eviction", body)

    # -- waiting -------------------------------------------------------------------

    def settle(self, condition: Callable[[], Any], seconds: float = 60) -> Any:
        """Let the cluster work until something holds; what the condition answered.

        The stand-in's clock is moved on by ticks; a real one is asked again and again.
        """
        pause = threading.Event()
        for _ in range(int(seconds / (1.0 if self.stand_in else POLL_SECONDS))):
            self.step()
            answer = condition()
            if answer:
                return answer
            if self.stand_in is None:
                pause.wait(POLL_SECONDS)
        raise AssertionError(f"it did not come to pass within {seconds} s")

    def step(self) -> None:
        """One pass of the kubelet, and on the stand-in of everybody else."""
        self.kubelet.work()
        if self.stand_in:
            self.stand_in.tick()

    def clean_up(self) -> None:
        """Take away what was made: owners, then pods, which nobody makes anew, then the rest."""
        last = [path for path in self._made if path.startswith(("/api/v1/nodes", HOMES))]
        last = [path for path in last if path.count("/") == 4]
        left = self._kept([path for path in self._made if path not in last])
        with suppress(ClusterError):
            for pod in self.pods():
                options = {"gracePeriodSeconds": 0}
                self.api.delete(self.path("v1", "pods", pod["metadata"]["name"]), options)
        self._forget_events([path.rsplit("/", 1)[1] for path in last if "/nodes/" in path])
        left += self._kept(last)
        assert not left, f"could not be taken away again: {', '.join(left)}"

    def _forget_events(self, nodes: list[str]) -> None:
        """Events about nodes stand in `default`, which is not ours."""
        for node in nodes:
            with suppress(ClusterError):
                folder, about = "/api/v1/namespaces/default/events", f"involvedObject.name={node}"
                for event in self.api.get(folder, fieldSelector=about)["items"]:
                    self.api.delete(f"{folder}/{event['metadata']['name']}")

    def _kept(self, paths: list[str]) -> list[str]:
        """Delete them, the last made first; those that could not be."""
        return [path for path in reversed(paths) if not self._is_deleted(path)]

    def _is_deleted(self, path: str) -> bool:
        """Asked again for a while: a busy server must not keep what is ours."""
        pause = threading.Event()
        for _ in range(DELETE_TRIES):
            try:
                self.api.delete(path, {"propagationPolicy": "Background"})
            except NotFound:
                return True
            except ClusterError:
                pause.wait(DELETE_PAUSE_SECONDS)
            else:
                return True
        return False


def _only_ours(node: Body) -> bool:
    """Whether a node carries no taint but our own, so that it takes our pods."""
    return [taint["key"] for taint in node["spec"].get("taints") or ()] == [MARK]


@contextmanager
def cluster_under_test(folder: Path) -> Iterator[Harness]:
    """The real cluster of `PILOTHOUSE_TEST_KUBECONFIG`, or the stand-in without it."""
    given = os.environ.get(KUBECONFIG)
    if given:
        api = Api.connect(Path(given))
        try:
            yield from _used(Harness(api, None))
        finally:
            api.close()
    else:
        with StandIn(kubelets=False) as stand_in:
            yield from _used(Harness(stand_in.api(folder), stand_in))


def _used(harness: Harness) -> Iterator[Harness]:
    try:
        yield harness
    finally:
        harness.clean_up()
