"""The cluster as kube-state-metrics tells it: whose pods are whose, and what state nodes are in.

It is the poorer sight of a cluster. Where the `kubernetes` collector reads the same one, that
one's rows stand, and this only says whose pods are whose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from typing import Any

from cluster.settings import POOL_LABELS, ClusterSettings
from collectors.base import Note
from collectors.kubernetes_fleet import Machines, node_reading, stand
from collectors.kubernetes_machines import MachineReader, NodeSeen
from collectors.kubernetes_objects import Nonsense
from collectors.kubernetes_reading import PodSeen, Reader
from collectors.kubernetes_rows import node_row, pod_row
from collectors.prometheus_discovery import REPLICAS, STRATEGIES, STRATEGY
from collectors.prometheus_objects import Objects
from collectors.prometheus_rows import SOURCE, NodeFacts, Work
from collectors.prometheus_targets import count_of
from warehouse.records import ClusterNode, ClusterPod


class Cluster:
    """One cluster, told by one kube-state-metrics or by several shards of it."""

    def __init__(self, *, stores_rows: bool, pool_labels: Iterable[str] = POOL_LABELS) -> None:
        """Without `stores_rows` it yields no rows and is asked for `work` and `nodes` alone."""
        labels = tuple(pool_labels)
        settings = ClusterSettings(pool_labels=",".join(labels))
        self.stores_rows = stores_rows
        self._pool_labels = labels
        self._machines, self._reader = MachineReader(settings), Reader(settings)
        self._digests: dict[str, bytes] = {}
        self._objects: dict[str, Objects] = {}
        self._answered: set[str] = set()
        self._nodes: dict[str, NodeSeen] = {}
        self._pods: dict[str, PodSeen] = {}
        self._told: dict[tuple[type, str], Any] = {}
        self._odd: dict[str, str] = {}
        self.nodes: Mapping[str, NodeFacts] = {}
        """What is known of each node"""
        self.work: Mapping[str, Work] = {}
        """By pod, `namespace/name`"""

    def read(self, url: str, text: str, is_open: bool) -> None:
        """Take a text of kube-state-metrics.

        Raises:
            NotExposition: a line of it can't be read.
        """
        digest = blake2b(text.encode(), digest_size=16).digest()
        if self._digests.get(url) != digest:
            objects = Objects(self._pool_labels)
            objects.read(text, is_open)
            self._objects[url], self._digests[url] = objects, digest
            self._look()
        self._answered.add(url)

    def forget(self, urls: Iterable[str]) -> None:
        """Keep what these targets told, and let go of the others."""
        kept = set(urls)
        self._objects = {url: each for url, each in self._objects.items() if url in kept}
        self._digests = {url: each for url, each in self._digests.items() if url in kept}

    def rows(self, now: datetime) -> Iterator[Any]:
        """A `NodeReading` a node, and each node and pod that changed; nothing in a round in which
        not all of it was told."""
        is_whole = bool(self._answered) and self._answered >= self._objects.keys()
        self._answered = set()
        if not (is_whole and self.stores_rows):
            return
        for standing in stand(Machines(self._nodes, (), self._pods.values(), {}), frozenset(), now):
            yield replace(node_reading(standing, now), source=SOURCE)
        there: dict[tuple[type, str], Any] = {}
        for key, node in self._nodes.items():
            there[ClusterNode, key] = node_row(node, None, False, now)
        for key, pod in self._pods.items():
            there[ClusterPod, key] = pod_row(pod, False, now)
        yield from self._news(there, now)
        if self._odd:
            name, why = next(iter(self._odd.items()))
            yield Note(f"left out: {len(self._odd)} nodes and pods, for example {name}: {why}")

    # -- how -----------------------------------------------------------------------

    def _news(self, there: dict[tuple[type, str], Any], now: datetime) -> Iterator[Any]:
        """Rows that differ from those told last, and a last word on what is gone."""
        for key, row in there.items():
            before = self._told.get(key)
            if before is None or replace(before, measured_at=now, source=row.source) != row:
                yield replace(row, source=SOURCE)
        for key, row in self._told.items():
            if key not in there:
                yield replace(row, is_gone=True, measured_at=now, source=SOURCE)
        self._told = there

    def _look(self) -> None:
        """Put together what all texts tell."""
        self._odd = {}
        nodes = [each for objects in self._objects.values() for each in objects.nodes.values()]
        pods = [each for objects in self._objects.values() for each in objects.pods.values()]
        self._nodes = {seen.key: seen for seen in self._seen(nodes, self._machines.node)}
        self._pods = {seen.key: seen for seen in self._seen(pods, self._reader.pod)}
        self.nodes = {each["metadata"]["name"]: self._facts(each) for each in nodes}
        self.work = {key: Work(pod.job_id, pod.tenant) for key, pod in self._pods.items()}

    def _seen(self, objects: list[dict[str, Any]], read: Any) -> Iterator[Any]:
        for each in objects:
            try:
                seen = read(each)
            except Nonsense as error:
                self._odd[str(each["metadata"].get("name"))] = str(error)
                continue
            if seen is not None:
                yield seen

    def _facts(self, node: dict[str, Any]) -> NodeFacts:
        labels = node["metadata"]["labels"]
        is_told = any(labels.get(name) for name in (*self._pool_labels, "nvidia.com/gpu.product"))
        return NodeFacts(
            self._machines.pool_of(labels) if is_told else None,
            count_of(str(labels.get(REPLICAS) or "")),
            STRATEGIES.get(str(labels.get(STRATEGY))),
        )
