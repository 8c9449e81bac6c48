"""Which kinds of object are read: those of every cluster, and those that this one has besides."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.api import Api
from cluster.errors import NotFound
from cluster.settings import ClusterSettings
from collectors.kubernetes_cache import Kind
from collectors.kubernetes_machines import MachineReader, workload
from collectors.kubernetes_reading import Read, Reader, budget, event

CORE = ("nodes", "pods", "jobs", "events", "poddisruptionbudgets")
"""The kinds of every cluster."""


def core_kinds(settings: ClusterSettings) -> tuple[Kind, ...]:
    """The kinds that every cluster has."""
    reader, machines = Reader(settings), MachineReader(settings)
    return (
        Kind("nodes", "/api/v1/nodes", machines.node),
        Kind("pods", "/api/v1/pods", reader.pod),
        Kind("jobs", "/apis/batch/v1/jobs", reader.job),
        Kind("events", "/api/v1/events", event, lambda seen: (seen.times, seen.happened_at)),
        Kind("poddisruptionbudgets", "/apis/policy/v1/poddisruptionbudgets", budget),
    )


def kinds_besides(api: Api, settings: ClusterSettings) -> Iterator[Kind]:
    """Those of Kueue, Karpenter and Cluster API that are served, at the preferred version.

    Raises:
        ClusterError: the server doesn't say what it serves.
    """
    machines = MachineReader(settings)
    sought: dict[str, tuple[str, Read]] = {
        "kueue.x-k8s.io": ("workloads", workload),
        "karpenter.sh": ("nodeclaims", machines.claim),
        "cluster.x-k8s.io": ("machines", machines.machine),
    }
    for group in api.get("/apis").get("groups") or ():
        if group.get("name") not in sought:
            continue
        plural, read = sought[group["name"]]
        path = f"/apis/{group['preferredVersion']['groupVersion']}"
        if plural in _served(api, path):
            yield Kind(plural, f"{path}/{plural}", read)


def _served(api: Api, path: str) -> set[str]:
    try:
        return {each.get("name") for each in api.get(path).get("resources") or ()}
    except NotFound:  # the group was taken away in between
        return set()
