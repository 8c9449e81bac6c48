"""Exporters found in Kubernetes: the running pods that a label selector finds, and their nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from cluster.api import Api
from cluster.errors import ClusterError
from cluster.settings import ClusterSettings
from collectors.kubernetes_machines import MachineReader
from collectors.kubernetes_objects import Nonsense, Object, part, parts
from collectors.prometheus_targets import BrokenList, Sharing, Target, count_of
from collectors.timebox import TimeBox, TimedOut

LOOKED_FOR_EVERY = timedelta(seconds=60)
LIMIT_SECONDS = 5.0
"""After so long a round goes on with the list it has; the answer is taken by the next."""
PORT_NAMES = ("metrics", "http-metrics", "http")
REPLICAS = "nvidia.com/gpu.replicas"
STRATEGY = "nvidia.com/gpu.sharing-strategy"
STRATEGIES: dict[str, Sharing] = {"time-slicing": "time_sliced", "mps": "mps"}


@dataclass(frozen=True)
class Sought:
    """Pods that are looked for: `app=dcgm-exporter@9400`."""

    selector: str
    port: int | None

    @classmethod
    def from_text(cls, text: str) -> Sought:
        """As the setting says it.

        Raises:
            ValueError: it is no selector.
        """
        selector, _, port = text.strip().partition("@")
        if not selector or (port and not (port.isdigit() and 0 < int(port) < 65536)):
            raise ValueError(f"{text!r} is no label selector with @PORT behind it")
        return cls(selector, int(port) if port else None)


class Discovery:
    """Looks for exporters in a cluster once a minute; keeps the last list while it can't."""

    def __init__(self, api: Api, settings: ClusterSettings, sought: tuple[Sought, ...]) -> None:
        self._api = api
        self._reader = MachineReader(settings)
        self._sought = sought
        self._targets: list[Target] = []
        self._why: str | None = None
        self._looked_at: datetime | None = None
        self._looking: TimeBox[list[Target]] | None = None

    def targets(self, now: datetime) -> tuple[list[Target], str | None]:
        """The targets, and why the list may be an old one; None where it is not."""
        if self._looked_at is None or now - self._looked_at >= LOOKED_FOR_EVERY or self._why:
            self._looked_at = now
            self._look()
        return self._targets, self._why

    def _look(self) -> None:
        box = self._looking or TimeBox(partial(list, self._found()), "prometheus-discovery")
        answer = box.answer(LIMIT_SECONDS)
        if isinstance(answer.error, TimedOut):
            self._looking = box
            self._why = f"the API server did not list the exporters within {LIMIT_SECONDS:g} s"
            return
        self._looking = None
        try:
            self._targets, self._why = answer.unwrapped(), None
        except (ClusterError, Nonsense, BrokenList) as error:
            self._why = f"the exporters can't be looked for in Kubernetes: {error}"

    def _found(self) -> Iterator[Target]:
        nodes = self._nodes()
        for sought in self._sought:
            for page in self._api.pages("/api/v1/pods", labelSelector=sought.selector):
                for pod in parts(page, "items"):
                    target = _target(pod, sought, nodes)
                    if target is not None:
                        yield target

    def _nodes(self) -> dict[str, Target]:
        """What is known of each node, as a target without an address."""
        pages = self._api.pages("/api/v1/nodes")
        metas = (part(node, "metadata") for page in pages for node in parts(page, "items"))
        return {str(meta.get("name")): self._of_node(part(meta, "labels")) for meta in metas}

    def _of_node(self, labels: Object) -> Target:
        return Target(
            url="",
            pool=self._reader.pool_of(labels),
            replicas=count_of(str(labels.get(REPLICAS) or "")),
            sharing=STRATEGIES.get(str(labels.get(STRATEGY))),
        )


def _target(pod: Object, sought: Sought, nodes: dict[str, Target]) -> Target | None:
    meta, spec, status = part(pod, "metadata"), part(pod, "spec"), part(pod, "status")
    address, port = str(status.get("podIP") or ""), sought.port or _port(spec)
    is_there = status.get("phase") == "Running" and not meta.get("deletionTimestamp")
    if not (address and port and is_there):
        return None
    node_id = str(spec.get("nodeName") or "") or None
    node = nodes.get(node_id or "", Target(url=""))
    host = f"[{address}]" if ":" in address else address
    return Target(f"http://{host}:{port}/metrics", node_id, node.pool, node.replicas, node.sharing)


def _port(spec: Object) -> int | None:
    """The port that is named as metrics are, or the only one."""
    ports = [port for each in parts(spec, "containers") for port in parts(each, "ports")]
    named = [port for name in PORT_NAMES for port in ports if port.get("name") == name]
    if named or len(ports) == 1:
        return int((named or ports)[0].get("containerPort") or 0) or None
    return None
