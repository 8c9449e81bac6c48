"""The Kubernetes collector before a stand-in API server, over real HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from cluster.api import Api
from collectors.base import Note
from collectors.kubernetes import Hands, KubernetesCollector, KubernetesSettings
from tests.stand_in import StandIn
from warehouse.records import JobEvent, PoolState

R = TypeVar("R")
POOL = "h100-us-east"
NO_HANDS = Hands()
POOLS_FILE = f"""
[pools.{POOL}]
price_usd_per_gpu_hour = 2.6
leased_usd_per_gpu_hour = 1.9
leased_nodes_limit = 4
owned_idle_usd_per_gpu_hour = 0.25
"""


class ImpatientApi(Api):
    """A wire on which watches end at once: all that is there to be told comes first."""

    def _send(self, method: str, path: str, query: Mapping[str, Any], *rest: Any) -> Any:
        if "timeoutSeconds" in query:
            query = {**query, "timeoutSeconds": 0.03}
        return super()._send(method, path, query, *rest)


@dataclass
class Pass:
    """What one pass yielded."""

    rows: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, record_class: type[R]) -> list[R]:
        """The rows of a table."""
        return [row for row in self.rows if type(row) is record_class]

    def only(self, record_class: type[R]) -> R:
        """The one row of a table."""
        (row,) = self.of(record_class)
        return row

    @property
    def happened(self) -> list[tuple[str, str]]:
        """Job and event, in order."""
        return [(row.job_id, row.event) for row in self.of(JobEvent)]

    @property
    def state(self) -> PoolState:
        """The reading of the one pool."""
        return self.only(PoolState)


class Scene:
    """A collector and its cluster."""

    def __init__(
        self,
        cluster: StandIn,
        folder: Path,
        *,
        pools: str = POOLS_FILE,
        hands: Hands = NO_HANDS,
        **settings: Any,
    ) -> None:
        self.cluster = cluster
        self.pools_file = folder / "pools.toml"
        self.pools_file.write_text(pools)
        self.settings = KubernetesSettings(
            kubeconfig=cluster.kubeconfig(folder), pools_file=self.pools_file, **settings
        )
        self.collector = self.another_console(hands)

    def another_console(self, hands: Hands = NO_HANDS) -> KubernetesCollector:
        """A collector that starts afresh on the same cluster."""
        api = ImpatientApi.connect(self.settings.kubeconfig)
        return KubernetesCollector(self.settings, api, hands)

    def read(self, now: datetime | None = None) -> Pass:
        """A pass, at the cluster's own time."""
        found = Pass()
        for each in self.collector.collect(now or self.cluster.now):
            if isinstance(each, Note):
                found.notes.append(each.text)
            elif isinstance(each, tuple):
                record_class, frame = each
                found.rows += [record_class(**row) for row in frame.iter_rows(named=True)]
            else:
                found.rows.append(each)
        return found

    def change(self, path: str, *keys: str, to: Any) -> None:
        """Set a field of an object, and make what leads to it."""
        body = self.cluster.get(path)
        part = body
        for key in keys[:-1]:
            part = part.setdefault(key, {})
        part[keys[-1]] = to
        self.cluster.put(path, body)

    def cached(self) -> dict[str, dict[str, Any]]:
        """What the collector keeps of each kind."""
        followers = self.collector._followers
        return {name: dict(follower.objects) for name, follower in followers.items()}


def node_path(name: str) -> str:
    """Of a node."""
    return f"/api/v1/nodes/{name}"


def job_path(name: str, namespace: str = "default") -> str:
    """Of a Job."""
    return f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}"


def make_event(about: str, kind: str, reason: str, message: str, at: str, count: int = 1) -> Any:
    """An Event about an object in the default namespace, or about a node."""
    place = {} if kind == "Node" else {"namespace": "default"}
    return {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"name": f"{about}.{reason.lower()}", "namespace": "default"},
        "involvedObject": {"kind": kind, "name": about, **place},
        "reason": reason,
        "message": message,
        "type": "Warning",
        "count": count,
        "lastTimestamp": at,
    }


def event_path(event: Any) -> str:
    """Of an Event."""
    return f"/api/v1/namespaces/default/events/{event['metadata']['name']}"
