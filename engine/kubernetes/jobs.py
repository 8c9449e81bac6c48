"""Steps on Jobs: suspend, wait until its pods are gone, move its affinity, resume, prove it runs.

Suspending and resuming has no back-off, unlike evicting a Job's pods; and a Job's affinity changes
only once it is suspended and its pods are gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from cluster.api import Api, Body
from cluster.errors import Invalid, NotFound
from engine.kubernetes import kueue
from engine.kubernetes.checkpoints import is_finished, same_job
from engine.kubernetes.marks import HOSTNAME, KEPT_OFF, SUSPENDED
from engine.kubernetes.objects import (
    annotations_of,
    condition,
    hostname_of,
    is_running,
    job_path,
    meta,
    node_of,
    node_path,
    pods_of,
)
from engine.kubernetes.steps import Answer, Done, Found, Left, Stale, Step, StepOver, Wait

Marks = dict[str, str | None]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@dataclass
class JobStep(Step):
    """A step of moving one Job."""

    api: Api = field(repr=False, kw_only=True)
    job_id: str = field(kw_only=True)
    decision_id: str = field(kw_only=True)
    uid: str = field(kw_only=True)
    """Of the Job that was checkpointed."""

    def _job(self) -> Body:
        return same_job(self.api, self.job_id, self.uid)

    def _is_ours(self, job: Body) -> bool:
        return annotations_of(job).get(SUSPENDED) == self.decision_id


@dataclass
class Suspend(JobStep):
    """Its pods are stopped; Kueue's Jobs by their Workload."""

    name: ClassVar[str] = "suspend"

    def look(self) -> Found:
        job = self._job()
        if is_finished(job):
            raise Stale(f"job {self.job_id} has finished")
        if job["spec"].get("suspend"):
            raise Stale(f"somebody else suspended job {self.job_id}")
        return {"suspend": False, "workload": kueue.workload_path(self.api, job)}

    def take(self, found: Found) -> Done | Wait:
        job = self._job()
        if is_finished(job):
            raise Stale(f"job {self.job_id} has finished")
        if found["workload"]:
            if not self._is_ours(job):
                _mark(self.api, job, {SUSPENDED: self.decision_id})
            kueue.deactivate(self.api, found["workload"], self.decision_id)
        elif job["spec"].get("suspend"):
            if not self._is_ours(job):
                raise Stale(f"somebody else suspended job {self.job_id}")
        else:
            _mark(self.api, job, {SUSPENDED: self.decision_id}, {"suspend": True})
        return Done({"workload": found["workload"]})

    def take_back(self, found: Found, answer: Answer) -> Wait | Left | None:
        return resume(self.api, self._job(), found["workload"], self.decision_id)


@dataclass
class WaitSuspended(JobStep):
    """It is suspended, and no pod of it is active or on its way out."""

    name: ClassVar[str] = "wait_suspended"
    changes: ClassVar[bool] = False
    workload: str | None = field(default=None, kw_only=True)

    def take(self, found: Found) -> Done | Wait:
        job = self._job()
        if is_finished(job):
            raise Stale(f"job {self.job_id} has finished")
        if not self._is_ours(job) or (not self.workload and not job["spec"].get("suspend")):
            raise Stale(f"somebody else resumed job {self.job_id}")
        why = not_suspended(job)
        return Wait(why) if why else Done()


@dataclass
class Move(JobStep):
    """Its affinity keeps it off a node; what it asked for before is only added to."""

    name: ClassVar[str] = "move"
    node_id: str = field(kw_only=True)

    def look(self) -> Found:
        job = self._job()
        affinity = _template(job).get("affinity")
        return {"affinity": affinity, "kept_off": annotations_of(job).get(KEPT_OFF)}

    def take(self, found: Found) -> Done | Wait:
        job = self._job()
        wanted = kept_off(found["affinity"], self._hostname())
        if _template(job).get("affinity") == wanted:
            return Done()
        if _template(job).get("affinity") != found["affinity"]:
            raise Stale(f"somebody else changed the affinity of job {self.job_id}")
        nodes = [name for name in (found["kept_off"] or "").split(",") if name]
        marks: Marks = {KEPT_OFF: ",".join(dict.fromkeys([*nodes, self.node_id]))}
        try:
            _mark(self.api, job, marks, _affinity_spec(found["affinity"], wanted))
        except Invalid as error:  # its pods were not all gone after all
            return Wait(f"the job can't be changed yet: {error}")
        return Done()

    def take_back(self, found: Found, answer: Answer) -> Wait | Left | None:
        job = self._job()
        now = _template(job).get("affinity")
        if now == found["affinity"]:
            return None
        if now != kept_off(found["affinity"], self._hostname()):
            return Left(f"somebody else changed the affinity of job {self.job_id}")
        if not job["spec"].get("suspend"):
            return Left(f"job {self.job_id} runs, and its affinity can't be changed while it does")
        try:
            marks = {KEPT_OFF: found["kept_off"]}
            _mark(self.api, job, marks, _affinity_spec(now, found["affinity"]))
        except Invalid as error:
            return Wait(f"the job can't be changed yet: {error}")
        return None

    def _hostname(self) -> str:
        try:
            return hostname_of(self.api.get(node_path(self.node_id)))
        except NotFound:
            return self.node_id


@dataclass
class Resume(JobStep):
    """It may start again, elsewhere."""

    name: ClassVar[str] = "resume"
    workload: str | None = field(default=None, kw_only=True)

    def take(self, found: Found) -> Done | Wait:
        left = resume(self.api, self._job(), self.workload, self.decision_id)
        if left is not None:
            raise Stale(left.why)
        return Done()

    def take_back(self, found: Found, answer: Answer) -> Wait | Left | None:
        """Suspend it again, so that its affinity can be put back; taking back the suspension
        then resumes it as it was."""
        job = self._job()
        if is_finished(job):
            return Left(f"job {self.job_id} has finished meanwhile")
        if not self._is_ours(job):
            suspending = None if self.workload else {"suspend": True}
            _mark(self.api, job, {SUSPENDED: self.decision_id}, suspending)
        if self.workload:
            kueue.deactivate(self.api, self.workload, self.decision_id)
        why = not_suspended(self._job())
        return Wait(why) if why else None


@dataclass
class Verify(JobStep):
    """It runs, with as many pods as before, and none of them on the node it was moved off."""

    name: ClassVar[str] = "verify"
    changes: ClassVar[bool] = False
    node_id: str = field(kw_only=True)
    pods: int = field(default=1, kw_only=True)

    def take(self, found: Found) -> Done | Wait:
        job = self._job()
        if condition(job, "Failed") == "True":
            raise StepOver("job_failed", f"job {self.job_id} failed after it was moved")
        if condition(job, "Complete") == "True":
            return Done({"node_ids": []})
        pods = pods_of(self.api, job)
        if any(node_of(pod) == self.node_id for pod in pods):
            return Wait(f"a pod of it is still on {self.node_id}")
        running = [str(node_of(pod)) for pod in pods if is_running(pod)]
        if len(running) < max(self.pods, 1):
            return Wait("its pods do not all run elsewhere yet")
        return Done({"node_ids": sorted(set(running))})


def resume(api: Api, job: Body, workload: str | None, decision_id: str) -> Left | None:
    """Let a Job run again that this decision suspended; None where it is free to run now."""
    if workload:
        try:
            is_active = kueue.activate(api, workload, decision_id)
        except NotFound:
            is_active = True  # Kueue made another, which is active
        if annotations_of(job).get(SUSPENDED) == decision_id:
            _mark(api, job, {SUSPENDED: None})
        return None if is_active else Left("somebody else deactivated its workload meanwhile")
    if annotations_of(job).get(SUSPENDED) == decision_id:
        _mark(api, job, {SUSPENDED: None}, {"suspend": False})
    elif job["spec"].get("suspend"):
        return Left(f"somebody else suspended job {meta(job)['name']} meanwhile")
    return None


def not_suspended(job: Body) -> str | None:
    """Why a Job that was suspended can't be changed yet; None where it can."""
    status = job.get("status") or {}
    if not job["spec"].get("suspend") or condition(job, "Suspended") != "True":
        return "the job is not suspended yet"
    if status.get("active") or status.get("terminating"):
        return "pods of the job are still ending"
    return None


def kept_off(affinity: dict[str, Any] | None, hostname: str) -> dict[str, Any]:
    """An affinity with a node ruled out in every one of its alternatives."""
    no = {"key": HOSTNAME, "operator": "NotIn", "values": [hostname]}
    node_affinity = dict((affinity or {}).get("nodeAffinity") or {})
    terms = (node_affinity.get(REQUIRED) or {}).get("nodeSelectorTerms") or [{}]
    node_affinity[REQUIRED] = {"nodeSelectorTerms": [_ruled_out(term, no) for term in terms]}
    return {**(affinity or {}), "nodeAffinity": node_affinity}


def _ruled_out(term: dict[str, Any], no: dict[str, Any]) -> dict[str, Any]:
    said = term.get("matchExpressions") or []
    return term if no in said else {**term, "matchExpressions": [*said, no]}


def _affinity_spec(now: dict[str, Any] | None, wanted: dict[str, Any] | None) -> dict[str, Any]:
    """A merge patch from one affinity to another: what the other lacks is taken away."""
    gone = dict.fromkeys(set(now or {}) - set(wanted or {}))
    new: dict[str, Any] | None = None if wanted is None else {**gone, **wanted}
    if new is not None and "nodeAffinity" in new and new["nodeAffinity"] is not None:
        before = set((now or {}).get("nodeAffinity") or {})
        new["nodeAffinity"] = {
            **dict.fromkeys(before - set(new["nodeAffinity"])),
            **new["nodeAffinity"],
        }
    return {"template": {"spec": {"affinity": new}}}


def _template(job: Body) -> dict[str, Any]:
    found: dict[str, Any] = job["spec"]["template"]["spec"]
    return found


def _mark(api: Api, job: Body, marks: Marks, spec: dict[str, Any] | None = None) -> None:
    """Change a Job as it was just read; somebody else's change since makes it a Conflict."""
    body: dict[str, Any] = {
        "metadata": {"resourceVersion": meta(job)["resourceVersion"], "annotations": marks}
    }
    if spec is not None:
        body["spec"] = spec
    job_id = f"{meta(job)['namespace']}/{meta(job)['name']}"
    api.patch(job_path(job_id), body)
