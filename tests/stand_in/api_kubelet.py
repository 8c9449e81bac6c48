"""A kubelet that works through the API alone, so that pods run on a control plane without nodes.

It lives with another one beside it: what that has done already is left as it is.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from cluster.api import STRATEGIC, Api
from cluster.errors import Conflict, NotFound
from tests.stand_in.controllers.kubelets import ANSWERED, ANSWERED_AT, CHECKPOINTS, REQUESTED

HEARTBEAT_SECONDS = 8.0
Body = dict[str, Any]


class ApiKubelet:
    """Runs the pods of one namespace on some nodes."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.nodes: set[str] = set()
        self.muted: set[str] = set()
        """names of Jobs that answer no request for a checkpoint"""
        self._api = api
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._seen_to_end: set[str] = set()
        self._beat_at: dict[str, float] = {}

    def work(self) -> None:
        """One pass."""
        for node in sorted(self.nodes):
            if time.monotonic() - self._beat_at.get(node, 0.0) > HEARTBEAT_SECONDS:
                self.beat(node)
        jobs = {job["metadata"]["uid"]: job for job in self._api.get(self._jobs)["items"]}
        for pod in self._api.get(self._pods)["items"]:
            if pod["spec"].get("nodeName") in self.nodes:
                with suppress(NotFound, Conflict):  # it went, or somebody else was faster
                    self._look_after(pod, jobs)

    def beat(self, node: str) -> None:
        """Say that a node is well."""
        now = _now()
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "a kubelet of the tests",
            "lastHeartbeatTime": now,
        }
        with suppress(NotFound):
            self._api.patch(
                f"/api/v1/nodes/{node}/status", {"status": {"conditions": [ready]}}, STRATEGIC
            )
            self._beat_at[node] = time.monotonic()

    def _look_after(self, pod: Body, jobs: dict[str, Body]) -> None:
        meta = pod["metadata"]
        if "deletionTimestamp" in meta:
            self._end(meta)
        elif pod["status"]["phase"] == "Pending":
            self._start(pod)
        else:
            owners = meta.get("ownerReferences") or ()
            job = next((jobs[one["uid"]] for one in owners if one["uid"] in jobs), None)
            if job is not None and job["metadata"]["name"] not in self.muted:
                self._answer(meta, job["metadata"])

    def _end(self, meta: Body) -> None:
        """A terminating pod is gone at the second look."""
        if meta["uid"] not in self._seen_to_end:
            self._seen_to_end.add(meta["uid"])
            return
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
        self._api.delete(f"{self._pods}/{meta['name']}", options)

    def _start(self, pod: Body) -> None:
        now = _now()
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": now}
            for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
        ]
        status = {"phase": "Running", "startTime": now, "conditions": conditions}
        path = f"{self._pods}/{pod['metadata']['name']}/status"
        self._api.patch(path, {"status": status}, STRATEGIC)

    def _answer(self, meta: Body, job: Body) -> None:
        """Answer a request for a checkpoint, as the job itself would."""
        notes, of_job = meta.get("annotations") or {}, job.get("annotations") or {}
        asked = notes.get(REQUESTED) or of_job.get(REQUESTED)
        answered = asked in (notes.get(ANSWERED), of_job.get(ANSWERED))
        if of_job.get(CHECKPOINTS) != "true" or not asked or answered:
            return
        said = {ANSWERED: asked, ANSWERED_AT: _now()}
        self._api.patch(f"{self._pods}/{meta['name']}", {"metadata": {"annotations": said}})


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
