"""The kubelets: pods run, end within their grace, and answer requests for a checkpoint."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.stand_in.controllers.parts import drop, set_condition, time_of
from tests.stand_in.faults import Faults
from tests.stand_in.objects import Body, Objects

REQUESTED = "pilothouse.dev/checkpoint-requested"
CHECKPOINTS = "pilothouse.dev/checkpoints"
ANSWERED = "pilothouse.dev/checkpointed"
ANSWERED_AT = "pilothouse.dev/checkpointed-at"
SUCCEED_AFTER = "fake.kubelet/succeed-after"
FAIL_AFTER = "fake.kubelet/fail-after"
HEARTBEAT_SECONDS = 300.0


class Kubelets:
    """One for all nodes; those that are dead do nothing."""

    def __init__(self, objects: Objects, faults: Faults, dead: set[str]) -> None:
        self._objects = objects
        self._faults = faults
        self._dead = dead
        self._heard: set[tuple[str, str]] = set()
        """Pods and the request that they have heard and answer at the next pass."""

    def tick(self) -> None:
        """One pass over all pods that have a node, and the nodes' heartbeats."""
        jobs = {job["metadata"]["uid"]: job for job in self._objects.all("Job")}
        nodes = {node["metadata"]["name"] for node in self._objects.all("Node")} - self._dead
        for pod in self._objects.all("Pod"):
            if pod["spec"].get("nodeName") in nodes:
                self._look_after(pod, jobs)
        for node in self._objects.all("Node"):
            if node["metadata"]["name"] in nodes:
                self._beat(node)

    def _look_after(self, pod: Body, jobs: dict[str, Body]) -> None:
        meta, status = pod["metadata"], pod["status"]
        if "deletionTimestamp" in meta:
            if time_of(meta["deletionTimestamp"]) <= self._objects.now:
                drop(self._objects, pod)
            return
        if status["phase"] == "Pending":
            self._edit(pod, self._start)
        elif status["phase"] == "Running":
            self._run(pod, jobs)

    def _run(self, pod: Body, jobs: dict[str, Body]) -> None:
        notes = pod["metadata"].get("annotations") or {}
        began = time_of(pod["status"]["startTime"])
        for key, phase in ((SUCCEED_AFTER, "Succeeded"), (FAIL_AFTER, "Failed")):
            if key in notes and began + timedelta(seconds=float(notes[key])) <= self._objects.now:
                self._edit(pod, lambda body, phase=phase: self._end(body, phase))
                return
        owners = pod["metadata"].get("ownerReferences") or ()
        job = next((jobs[one["uid"]] for one in owners if one["uid"] in jobs), None)
        if job:
            self._checkpoint(pod, job)

    def _checkpoint(self, pod: Body, job: Body) -> None:
        """Hear a request at one pass, answer it at the next."""
        meta = job["metadata"]
        of_job, notes = meta.get("annotations") or {}, pod["metadata"].get("annotations") or {}
        asked = notes.get(REQUESTED) or of_job.get(REQUESTED)
        is_mute = f"{meta['namespace']}/{meta['name']}" in self._faults.muted
        if of_job.get(CHECKPOINTS) != "true" or is_mute or not asked:
            return
        if asked in (notes.get(ANSWERED), of_job.get(ANSWERED)):
            return
        if (pod["metadata"]["uid"], asked) not in self._heard:
            self._heard.add((pod["metadata"]["uid"], asked))
            return
        answer = {ANSWERED: asked, ANSWERED_AT: self._objects.stamp()}

        def change(body: Body) -> None:
            body["metadata"]["annotations"] = {**notes, **answer}

        self._edit(pod, change)

    def _start(self, body: Body) -> None:
        at, status = self._objects.stamp(), body["status"]
        status.update(phase="Running", startTime=at, hostIP="127.0.0.1", podIP="10.244.0.2")
        status["podIPs"] = [{"ip": "10.244.0.2"}]
        for kind in ("Initialized", "Ready", "ContainersReady"):
            set_condition(body, kind, "True", "", "", at, lastProbeTime=None)
        status["containerStatuses"] = [
            {
                "name": one["name"],
                "state": {"running": {"startedAt": at}},
                "lastState": {},
                "ready": True,
                "restartCount": 0,
                "image": one.get("image", ""),
                "imageID": "fake",
                "containerID": f"fake://{body['metadata']['uid']}",
                "started": True,
            }
            for one in body["spec"]["containers"]
        ]

    def _end(self, body: Body, phase: str) -> None:
        at, code = self._objects.stamp(), 0 if phase == "Succeeded" else 1
        body["status"]["phase"] = phase
        for kind in ("Ready", "ContainersReady"):
            reason = "PodCompleted" if code == 0 else "PodFailed"
            set_condition(body, kind, "False", reason, "", at, lastProbeTime=None)
        reason = "Completed" if code == 0 else "Error"
        for one in body["status"].get("containerStatuses", ()):
            one["state"] = {"terminated": {"exitCode": code, "reason": reason, "finishedAt": at}}
            one["ready"] = False

    def _beat(self, node: Body) -> None:
        """Ready, and a heartbeat now and then."""
        ready: dict[str, Any] = next(
            (c for c in node["status"].get("conditions") or () if c["type"] == "Ready"), {}
        )
        beat = ready.get("lastHeartbeatTime")
        is_fresh = beat and (self._objects.now - time_of(beat)).total_seconds() < HEARTBEAT_SECONDS
        unwell = ready.get("reason") == "KubeletNotReady"  # said by hand; it stays
        if unwell or (ready.get("status") == "True" and is_fresh):
            return
        if "fake.kubelet/managed" in (node["metadata"].get("annotations") or {}):
            at = self._objects.stamp()
            self._edit(node, lambda body: _ready(body, at))

    def _edit(self, body: Body, change: Any) -> None:
        meta = body["metadata"]
        self._objects.edit(body["kind"], meta["name"], meta.get("namespace", ""), change)


def _ready(body: Body, at: str) -> None:
    said = ("Ready", "True", "KubeletReady", "kubelet is posting ready status", at)
    set_condition(body, *said, lastHeartbeatTime=at)
