"""The checkpoint contract with a job: we ask by annotation, or by HTTP; it answers by another."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, ClassVar
from urllib.parse import urlsplit

from cluster.api import Api, Body
from cluster.errors import Forbidden, Invalid, NotFound
from engine.kubernetes.marks import (
    CHECKPOINT_URL,
    CHECKPOINTED,
    CHECKPOINTED_AT,
    CHECKPOINTS,
    DECISION,
    REQUESTED,
    is_true,
)
from engine.kubernetes.objects import (
    annotations_of,
    condition,
    is_do_not_disrupt,
    is_pinned,
    is_running,
    is_terminating,
    job_path,
    meta,
    node_of,
    pod_path,
    pods_of,
)
from engine.kubernetes.steps import Answer, Done, Found, Left, LeftNode, Refused, Stale, Step, Wait

UNTIDIED = (Forbidden, Invalid, NotFound, LookupError, TypeError, ValueError, AttributeError)
"""What asking again would not mend; it leaves marks on a job, and is no reason to move it back."""
ANSWER_SECONDS = 3.0
"""A hook says at once that it has checkpointed, or else lets the job say so by annotation."""
LONGEST_ANSWER_BYTES = 65_536


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *asked: Any, **more: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())


@dataclass
class Checkpoint(Step):
    """A job is asked to write down how far it is, and has answered."""

    name: ClassVar[str] = "checkpoint"
    api: Api = field(repr=False, kw_only=True)
    job_id: str = field(kw_only=True)
    node_id: str = field(kw_only=True)
    decision_id: str = field(kw_only=True)
    uid: str | None = field(default=None, kw_only=True)
    generation: int | None = field(default=None, kw_only=True)
    """Of the job as it was when the move was proposed, where that is known."""
    hosts: frozenset[str] = field(default=frozenset(), kw_only=True)

    def look(self) -> Found:
        job = read_job(self.api, self.job_id)
        self._as_proposed(job)
        pods = pods_of(self.api, job)
        here = [pod for pod in pods if node_of(pod) == self.node_id]
        if not here:
            raise LeftNode(f"job {self.job_id} has no pod on {self.node_id} any more")
        if not is_true(annotations_of(job).get(CHECKPOINTS, "")):
            raise Refused("no_checkpoints", f"job {self.job_id} does not say that it checkpoints")
        if any(is_do_not_disrupt(each) for each in (job, *pods)):
            raise Refused("do_not_disrupt", f"job {self.job_id} is marked do-not-disrupt")
        if is_pinned(job):
            raise Refused("pinned", f"the node selector of job {self.job_id} names one host")
        holder = annotations_of(job).get(DECISION)
        if holder and holder != self.decision_id:
            raise Stale(f"job {self.job_id} is held by decision {holder}")
        return {"uid": meta(job)["uid"], "pods": len([p for p in pods if is_running(p)])}

    def _as_proposed(self, job: Body) -> None:
        if self.uid and meta(job)["uid"] != self.uid:
            raise Stale(f"job {self.job_id} is another one by now")
        if self.generation is not None and meta(job).get("generation") != self.generation:
            raise Stale(f"somebody else changed job {self.job_id} since it was proposed")
        if is_finished(job):
            raise Stale(f"job {self.job_id} has finished")
        if job["spec"].get("suspend"):
            raise Stale(f"job {self.job_id} is suspended by somebody else")

    def take(self, found: Found) -> Done | Wait:
        job = same_job(self.api, self.job_id, found["uid"])
        if is_finished(job):
            raise Stale(f"job {self.job_id} has finished")
        pods = pods_of(self.api, job)
        answered = self._answered(job, *pods)
        if answered:
            return Done({"checkpointed_at": answered, "by": "annotation"})
        is_new = annotations_of(job).get(REQUESTED) != self.decision_id
        self._ask(job, pods, is_new)
        url = annotations_of(job).get(CHECKPOINT_URL)
        if is_new and url and self._may_call(url):
            by_hook = called(url, self.decision_id)
            if by_hook:
                return Done({"checkpointed_at": by_hook, "by": "http"})
        return Wait("asked the job for a checkpoint; it has not answered yet")

    def _answered(self, *bodies: Body) -> str | None:
        for body in bodies:
            said = annotations_of(body)
            if said.get(CHECKPOINTED) == self.decision_id:
                return said.get(CHECKPOINTED_AT, "")
        return None

    def _ask(self, job: Body, pods: list[Body], is_new: bool) -> None:
        if is_new:
            asked = {REQUESTED: self.decision_id, DECISION: self.decision_id}
            body = {"resourceVersion": meta(job)["resourceVersion"], "annotations": asked}
            self.api.patch(job_path(self.job_id), {"metadata": body})
        for pod in pods:
            if annotations_of(pod).get(REQUESTED) != self.decision_id and not is_terminating(pod):
                self._ask_pod(pod)

    def _ask_pod(self, pod: Body) -> None:
        body = {"metadata": {"annotations": {REQUESTED: self.decision_id}}}
        try:
            self.api.patch(pod_path(meta(pod)["namespace"], meta(pod)["name"]), body)
        except NotFound:
            return  # it has just ended; the next reading shows its successor

    def _may_call(self, url: str) -> bool:
        """Only Services of the job's own namespace: whoever writes a Job must not choose whom
        the console calls."""
        parts = urlsplit(url)
        namespace = self.job_id.partition("/")[0]
        host = parts.hostname or ""
        own = host.endswith((f".{namespace}.svc", f".{namespace}.svc.cluster.local"))
        return parts.scheme in ("http", "https") and (own or host in self.hosts)

    def take_back(self, found: Found, answer: Answer) -> Wait | Left | None:
        let_go(self.api, self.job_id, found["uid"], self.decision_id)
        return None

    def at_deadline(self, found: Found, why: str) -> Done:
        raise Refused(
            "checkpoint_unanswered",
            f"job {self.job_id} did not answer within {self.seconds:.0f} s that it has "
            f"checkpointed, so it is not moved ({why})",
        )


@dataclass
class LetGo(Step):
    """A moved job is its own again: our marks come off. Where they can't, the move stands all the
    same, and the marks come off when the console starts next."""

    name: ClassVar[str] = "let_go"
    changes: ClassVar[bool] = False
    api: Api = field(repr=False, kw_only=True)
    job_id: str = field(kw_only=True)
    decision_id: str = field(kw_only=True)

    def take(self, found: Found) -> Done | Wait:
        try:
            let_go(self.api, self.job_id, None, self.decision_id)
        except UNTIDIED as error:
            return self._left(str(error))
        return Done()

    def at_deadline(self, found: Found, why: str) -> Done:
        return self._left(why)

    def _left(self, why: str) -> Done:
        return Done({"left": f"our marks are still on job {self.job_id}: {why}"})


def let_go(api: Api, job_id: str, uid: str | None, decision_id: str) -> None:
    """Take the marks of a decision off a job and its pods; the answer of its checkpoint stays."""
    try:
        job = api.get(job_path(job_id))
    except NotFound:
        return
    if uid and meta(job)["uid"] != uid:
        return
    ours = {
        mark: None for mark in (REQUESTED, DECISION) if annotations_of(job).get(mark) == decision_id
    }
    for pod in pods_of(api, job):
        if annotations_of(pod).get(REQUESTED) == decision_id:
            _unmark_pod(api, pod)
    if ours:
        version = meta(job)["resourceVersion"]
        body = {"metadata": {"resourceVersion": version, "annotations": ours}}
        api.patch(job_path(job_id), body)


def _unmark_pod(api: Api, pod: Body) -> None:
    body = {"metadata": {"annotations": {REQUESTED: None}}}
    with contextlib.suppress(NotFound):  # it has just ended, and its mark with it
        api.patch(pod_path(meta(pod)["namespace"], meta(pod)["name"]), body)


def called(url: str, request_id: str) -> str | None:
    """What a job's hook answers: when it checkpointed; None where it has not, or not yet."""
    asked = urllib.request.Request(
        url,
        data=json.dumps({"request_id": request_id}).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with _OPENER.open(asked, timeout=ANSWER_SECONDS) as response:
            said = json.loads(response.read(LONGEST_ANSWER_BYTES))
    except (OSError, HTTPException, ValueError):
        return None  # it may still answer by annotation
    at = said.get("checkpointed_at") if isinstance(said, dict) else None
    return str(at) if at else None


def read_job(api: Api, job_id: str) -> Body:
    """A Job.

    Raises:
        Refused: it is gone.
    """
    try:
        return api.get(job_path(job_id))
    except NotFound as error:
        raise Refused("target_gone", f"job {job_id} is gone") from error


def same_job(api: Api, job_id: str, uid: str) -> Body:
    """The very Job that was there before.

    Raises:
        Refused: it is gone, or another has its name.
    """
    job = read_job(api, job_id)
    if meta(job)["uid"] != uid:
        raise Refused("target_gone", f"job {job_id} is gone, and another has its name")
    return job


def is_finished(job: Body) -> bool:
    """Whether it is complete or has failed."""
    return "True" in (condition(job, "Complete"), condition(job, "Failed"))
