"""The Job controller: pods for each Job, suspension, back-off, and the end of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.stand_in.controllers.parts import (
    by_owner,
    end_pod,
    is_active,
    is_true,
    make_pod,
    set_condition,
)
from tests.stand_in.objects import Body, Objects
from tests.stand_in.subresources import is_ready

FIRST_BACKOFF_SECONDS = 10.0
LONGEST_BACKOFF_SECONDS = 600.0


class Jobs:
    """Remembers each Job's pods, to tell one that was lost from one that it took away itself."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._known: dict[str, dict[str, Body]] = {}
        self._taken: set[str] = set()
        self._counted: set[str] = set()
        self._failures: dict[str, int] = {}
        self._waits_until: dict[str, datetime] = {}

    def tick(self) -> None:
        """One pass over all Jobs."""
        pods = by_owner(self._objects.all("Pod"))
        for job in self._objects.all("Job"):
            if "deletionTimestamp" not in job["metadata"] and not is_over(job):
                self._sync(job, pods.get(job["metadata"]["uid"], []))

    def _sync(self, job: Body, pods: list[Body]) -> None:
        uid, spec, meta = job["metadata"]["uid"], job["spec"], job["metadata"]
        lost, ended = self._losses(uid, pods), self._new_ends(pods)
        failed = [pod for pod in lost + ended if pod.get("status", {}).get("phase") != "Succeeded"]
        done = [pod for pod in ended if pod["status"]["phase"] == "Succeeded"]
        counted = [pod for pod in failed if not _is_ignored(job, pod)]
        if failed and not spec["suspend"]:
            self._back_off(uid, len(failed))
        active = [pod for pod in pods if is_active(pod)]
        had_active = bool(active)
        if spec["suspend"]:
            self._take(active)
        else:
            self._fill(job, active, done)

        def change(body: Body) -> None:
            status = body.setdefault("status", {})
            _add(status, "succeeded", len(done))
            _add(status, "failed", len(counted))
            self._state(body, had_active)
            _count(status, pods, active)

        self._objects.edit("Job", meta["name"], meta["namespace"], change)
        self._finish(job, active)

    def _losses(self, uid: str, pods: list[Body]) -> list[Body]:
        """Pods that are gone and that this controller did not take away."""
        now = {pod["metadata"]["uid"]: pod for pod in pods}
        before = self._known.get(uid, {})
        self._known[uid] = now
        gone = [self._objects.gone.get(key, pod) for key, pod in before.items() if key not in now]
        return [pod for pod in gone if pod["metadata"]["uid"] not in self._taken | self._counted]

    def _new_ends(self, pods: list[Body]) -> list[Body]:
        """Pods that ended since the last pass."""
        ended = [
            pod
            for pod in pods
            if pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
            and pod["metadata"]["uid"] not in self._counted | self._taken
        ]
        self._counted.update(pod["metadata"]["uid"] for pod in ended)
        return ended

    def _back_off(self, uid: str, failures: int) -> None:
        count = self._failures[uid] = self._failures.get(uid, 0) + failures
        seconds = min(FIRST_BACKOFF_SECONDS * 2 ** (count - 1), LONGEST_BACKOFF_SECONDS)
        self._waits_until[uid] = self._objects.now + timedelta(seconds=seconds)

    def _take(self, active: list[Body]) -> None:
        for pod in active:
            self._taken.add(pod["metadata"]["uid"])
            end_pod(self._objects, pod)

    def _fill(self, job: Body, active: list[Body], done: list[Body]) -> None:
        """As many pods as are missing, unless the Job waits out its back-off."""
        uid, spec = job["metadata"]["uid"], job["spec"]
        if self._objects.now < self._waits_until.get(uid, self._objects.now):
            return
        succeeded = job.get("status", {}).get("succeeded", 0) + len(done)
        wanted = min(spec["parallelism"], max(spec["completions"] - succeeded, 0))
        for _ in range(wanted - len(active)):
            pod = make_pod(self._objects, job)
            self._known[uid][pod["metadata"]["uid"]] = pod
            active.append(pod)

    def _state(self, body: Body, had_active: bool) -> None:
        """Suspended or resumed; suspended only once no pod is active any more."""
        at = self._objects.stamp()
        suspended = is_true(body, "Suspended")
        if body["spec"]["suspend"] and not suspended and not had_active:
            said = ("Suspended", "True", "JobSuspended", "Job suspended", at)
            set_condition(body, *said, lastProbeTime=at)
            body["status"].pop("startTime", None)
        elif not body["spec"]["suspend"]:
            if suspended:
                said = ("Suspended", "False", "JobResumed", "Job resumed", at)
                set_condition(body, *said, lastProbeTime=at)
                self._waits_until.pop(body["metadata"]["uid"], None)
            body["status"].setdefault("startTime", at)

    def _finish(self, job: Body, active: list[Body]) -> None:
        meta = job["metadata"]
        now = self._objects.one("Job", meta["name"], meta["namespace"])
        if now is None:
            return
        status, spec = now["status"], now["spec"]
        if status.get("failed", 0) > spec["backoffLimit"]:
            words = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
            self._take(active)
            self._objects.edit(
                "Job", meta["name"], meta["namespace"], lambda body: self._end(body, False, words)
            )
        elif status.get("succeeded", 0) >= spec["completions"]:
            words = ("CompletionsReached", "Reached expected number of succeeded pods")
            self._objects.edit(
                "Job", meta["name"], meta["namespace"], lambda body: self._end(body, True, words)
            )

    def _end(self, body: Body, well: bool, words: tuple[str, str]) -> None:
        at = self._objects.stamp()
        for kind in ("SuccessCriteriaMet", "Complete") if well else ("FailureTarget", "Failed"):
            set_condition(body, kind, "True", *words, at, lastProbeTime=at)
        body["status"].pop("active", None)
        body["status"]["ready"] = 0
        if well:
            body["status"]["completionTime"] = at


def is_over(job: Body) -> bool:
    """Whether a Job has ended."""
    return is_true(job, "Complete") or is_true(job, "Failed")


def _add(status: dict[str, Any], key: str, more: int) -> None:
    if more:
        status[key] = status.get(key, 0) + more


def _count(status: dict[str, Any], pods: list[Body], active: list[Body]) -> None:
    status["active"] = len(active)
    if not active:
        del status["active"]
    dying = [pod for pod in pods if "deletionTimestamp" in pod["metadata"]]
    status["terminating"] = len(dying)
    status["uncountedTerminatedPods"] = {}
    status["ready"] = sum(is_ready(pod) for pod in active)


def _is_ignored(job: Body, pod: Body) -> bool:
    """Whether the Job's policy does not count this failure: an eviction."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
    return any(
        rule["action"] == "Ignore"
        and any(is_true(pod, one["type"]) for one in rule.get("onPodConditions") or ())
        for rule in rules
    )
