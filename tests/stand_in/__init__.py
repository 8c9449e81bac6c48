"""A Kubernetes API server for the tests, which answers like the recorded one, with a tick that
stands in for the controllers, the scheduler and the kubelets."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cluster.api import Api
from tests.stand_in.answering import Desk
from tests.stand_in.controllers.parts import set_condition
from tests.stand_in.controllers.plane import Plane
from tests.stand_in.faults import Faults
from tests.stand_in.kinds import BUILT_IN, CLUSTER_API, KARPENTER, Registry, kueue
from tests.stand_in.objects import Objects
from tests.stand_in.pooling import Pools
from tests.stand_in.server import TOKEN, Server

START = datetime(2026, 11, 23, 10, tzinfo=UTC)


class StandIn(Pools):
    """A cluster that a test may do anything to. Use it as a context manager.

    `karpenter`, `cluster_api` and `queues` (Kueue's version, or None) say which kinds it has;
    without `kubelets` nobody runs its pods, and whoever tests does it through the API.
    """

    def __init__(
        self,
        now: datetime = START,
        *,
        karpenter: bool = True,
        cluster_api: bool = True,
        queues: str | None = "v1beta2",
        kubelets: bool = True,
    ) -> None:
        kinds = BUILT_IN + (KARPENTER if karpenter else ()) + (CLUSTER_API if cluster_api else ())
        registry = Registry(kinds + (kueue(queues) if queues else ()))
        self.objects = Objects(registry, now)
        self.faults = Faults()
        self.faults.changed = self.objects.changed
        self.faults.compact = self.objects.compact
        self.plane = Plane(self.objects, self.faults, kubelets)
        self._server = Server(Desk(self.objects, self.faults))
        self._apis: list[Api] = []
        for namespace in ("default", "kube-system"):
            self.add_namespace(namespace)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for api in self._apis:
            api.close()
        self._server.stop()

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._server.address

    @property
    def now(self) -> datetime:
        """Its own clock."""
        return self.objects.now

    @property
    def requests(self) -> list[tuple[str, str, Any]]:
        """(method, path with its query, body) of each request so far."""
        return self._server.requests

    def kubeconfig(self, folder: Path, token: str = TOKEN) -> Path:
        """A kubeconfig that leads here, written into a folder."""
        path = folder / f"kubeconfig-{self.address.rsplit(':', 1)[1]}"
        body = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "stand-in", "cluster": {"server": self.address}}],
            "users": [{"name": "pilothouse", "user": {"token": token}}],
            "contexts": [
                {"name": "stand-in", "context": {"cluster": "stand-in", "user": "pilothouse"}}
            ],
            "current-context": "stand-in",
        }
        path.write_text(json.dumps(body))
        return path

    def api(self, folder: Path | None = None) -> Api:
        """The wire to it; closed with it."""
        with tempfile.TemporaryDirectory() as made:
            api = Api.connect(self.kubeconfig(folder or Path(made)))
        self._apis.append(api)
        return api

    def tick(self, seconds: float = 1.0) -> None:
        """Let that much time pass, then one pass of each controller."""
        with self.objects.lock:
            self.objects.now += timedelta(seconds=seconds)
            self.plane.tick()

    def settle(self, ticks: int = 10, seconds: float = 1.0) -> None:
        """Several ticks."""
        for _ in range(ticks):
            self.tick(seconds)

    def kill_node(self, name: str) -> None:
        """Its kubelet falls silent: Ready becomes Unknown, its pods neither run nor end."""
        self.plane.dead.add(name)

    def sicken_node(self, name: str) -> None:
        """Its kubelet says itself that it is not ready, until it is revived."""
        self._say_ready(name, "False", "KubeletNotReady")

    def revive_node(self, name: str) -> None:
        """Its kubelet speaks again, and is well."""
        self.plane.dead.discard(name)
        self._say_ready(name, "True", "KubeletReady")

    def _say_ready(self, name: str, status: str, reason: str) -> None:
        at = self.objects.stamp()

        def change(node: dict[str, Any]) -> None:
            set_condition(node, "Ready", status, reason, "", at, lastHeartbeatTime=at)

        self.objects.edit("Node", name, "", change)

    def vanish_node(self, name: str) -> None:
        """The Node object is gone at once, its pods a while later."""
        self.drop(f"/api/v1/nodes/{name}")


__all__ = ["StandIn"]
