"""Kueue: a Job in its hands is suspended and resumed by its Workload, never directly."""

from __future__ import annotations

from typing import Any

from cluster.api import Api, Body
from cluster.errors import NotFound
from engine.kubernetes.marks import DECISION, QUEUE
from engine.kubernetes.objects import annotations_of, labels_of, meta, name_of
from engine.kubernetes.steps import Stale

VERSIONS = ("v1beta2", "v1beta1")
GROUP = "kueue.x-k8s.io"
JOB_UID = "kueue.x-k8s.io/job-uid"
"""Kueue's label on a Workload: the Job it stands for."""


def workload_path(api: Api, job: Body) -> str | None:
    """Where the Workload of a Job is; None where Kueue has no hand in it."""
    if QUEUE not in labels_of(job):
        return None
    for version in VERSIONS:
        folder = f"/apis/{GROUP}/{version}/namespaces/{meta(job)['namespace']}/workloads"
        try:
            mine = _of_job(api, folder, job)
        except NotFound:
            continue  # this version is not served
        return f"{folder}/{meta(mine)['name']}" if mine else None
    return None


def _of_job(api: Api, folder: str, job: Body) -> Body | None:
    uid = meta(job)["uid"]
    queries: tuple[dict[str, Any], ...] = ({"labelSelector": f"{JOB_UID}={uid}"}, {})
    for query in queries:  # the label spares reading them all
        for page in api.pages(folder, **query):
            for workload in page["items"]:
                owners = meta(workload).get("ownerReferences") or []
                if any(owner.get("uid") == uid for owner in owners):
                    return dict(workload)
    return None


def is_active(workload: Body) -> bool:
    """`spec.active`, which is true where nothing is said."""
    return (workload.get("spec") or {}).get("active") is not False


def deactivate(api: Api, path: str, decision_id: str) -> None:
    """Have Kueue suspend what a Workload stands for.

    Raises:
        Stale: somebody else did.
    """
    workload = api.get(path)
    if not is_active(workload):
        if annotations_of(workload).get(DECISION) == decision_id:
            return
        raise Stale(f"somebody else deactivated the workload {name_of(workload)}")
    _set_active(api, path, workload, False, decision_id)


def activate(api: Api, path: str, decision_id: str) -> bool:
    """Let Kueue admit it again, if that decision holds it; whether it is active now."""
    workload = api.get(path)
    if annotations_of(workload).get(DECISION) != decision_id:
        return is_active(workload)
    _set_active(api, path, workload, True, None)
    return True


def _set_active(api: Api, path: str, workload: Body, active: bool, decision_id: str | None) -> None:
    version = meta(workload)["resourceVersion"]
    marks = {DECISION: decision_id}
    body = {
        "metadata": {"resourceVersion": version, "annotations": marks},
        "spec": {"active": active},
    }
    api.patch(path, body)
