"""Steps on pods: what is on a node and can be done with it; and eviction, which never deletes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cluster.api import Api, Body
from cluster.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    TooManyRequests,
    Unavailable,
)
from engine.kubernetes.marks import CHECKPOINTS, is_true
from engine.kubernetes.objects import (
    annotations_of,
    controller_of,
    gpus_of,
    is_do_not_disrupt,
    is_pinned,
    is_terminating,
    job_path,
    meta,
    name_of,
    pod_path,
    pods_on,
    stays,
)
from engine.kubernetes.steps import Answer, Done, Found, Left, Refused, Step, Wait

MOVABLE_OWNERS = ("ReplicaSet", "StatefulSet", "ReplicationController", "Deployment")
"""What starts an evicted pod again and loses nothing by it. Of another owner, a GPU pod stays:
nobody knows what it would lose."""


@dataclass
class Survey(Step):
    """What is on a node: Jobs that checkpoint, pods to evict, pods that stay and why."""

    name: ClassVar[str] = "survey"
    changes: ClassVar[bool] = False
    api: Api = field(repr=False, kw_only=True)
    node_id: str = field(kw_only=True)
    must_empty: bool = field(default=False, kw_only=True)
    """Whether a GPU pod that can't be migrated is a refusal."""

    def take(self, found: Found) -> Done | Wait:
        answer = survey(self.api, self.node_id)
        if self.must_empty:
            gpu_pods = [pod for pod in answer["evict"] if pod["gpus"]]
            stuck = [*(pod["pod"] for pod in answer["stays"]), *(p["pod"] for p in gpu_pods)]
            if stuck:
                raise Refused(
                    "not_movable",
                    f"{', '.join(stuck[:3])} on {self.node_id} can't be migrated: "
                    "the node would not become empty",
                )
        return Done(answer)


@dataclass
class Evict(Step):
    """Pods are asked to go by the Eviction API, which obeys PodDisruptionBudgets. Those that may
    not go by the deadline stay, and are named."""

    name: ClassVar[str] = "evict"
    changes: ClassVar[bool] = False  # an evicted pod runs elsewhere by now: it stays there
    api: Api = field(repr=False, kw_only=True)
    pods: list[dict[str, Any]] = field(default_factory=list, kw_only=True)
    gate: Callable[[], str | None] = field(default=lambda: None, repr=False, kw_only=True)
    """Asked before every eviction: each is a change of its own."""
    refused: dict[str, str] = field(default_factory=dict, init=False)
    """Pods that may never go, as far as the last asking tells, and why."""

    def take(self, found: Found) -> Done | Wait:
        why = {pod["pod"]: self._ask(pod) for pod in self.pods}
        waiting = sorted(
            name for name, reason in why.items() if reason and name not in self.refused
        )
        if not waiting:
            return self._over(self.refused)
        return Wait(f"{why[waiting[0]]}: {', '.join(waiting)}")

    def at_deadline(self, found: Found, why: str) -> Done:
        left = [pod["pod"] for pod in self.pods if self._is_there(pod)]
        said = f"not evicted within {self.seconds:.0f} s ({why})"
        return self._over({pod: self.refused.get(pod, said) for pod in left})

    def _over(self, left: dict[str, str]) -> Done:
        gone = [pod["pod"] for pod in self.pods if pod["pod"] not in left]
        stuck = [{"pod": pod, "why": why} for pod, why in left.items()]
        return Done({"evicted": gone, "stays": stuck})

    def _ask(self, pod: dict[str, Any]) -> str | None:
        """Evict one pod; why it is still there, None once it is gone."""
        namespace, _, name = pod["pod"].partition("/")
        path = pod_path(namespace, name)
        self.refused.pop(pod["pod"], None)
        now = self._read(path, pod["uid"])
        if now is None:
            return None
        if is_terminating(now):
            return "pods are ending"
        shut = self.gate()
        if shut:
            return shut
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": pod["uid"]}},
        }
        try:
            self.api.create(f"{path}/eviction", body)
        except (NotFound, Conflict):
            return "pods are ending"  # gone or replaced; the next reading tells
        except TooManyRequests as error:
            return (
                "a PodDisruptionBudget says no"
                if error.is_disruption_budget
                else "the API server is busy"
            )
        except Unavailable as error:  # several budgets over one pod are a 500, for instance
            return f"not accepted ({error.status})"
        except (Forbidden, Invalid) as error:  # an admission webhook; the other pods may go
            self.refused[pod["pod"]] = f"its eviction is refused: {error}"
            return self.refused[pod["pod"]]
        return "pods are ending"

    def _read(self, path: str, uid: str) -> Body | None:
        try:
            now = self.api.get(path)
        except NotFound:
            return None
        return now if meta(now)["uid"] == uid else None

    def _is_there(self, pod: dict[str, Any]) -> bool:
        namespace, _, name = pod["pod"].partition("/")
        try:
            return self._read(pod_path(namespace, name), pod["uid"]) is not None
        except ClusterError:
            return True  # as far as anybody knows

    def take_back(self, found: Found, answer: Answer) -> Wait | Left | None:
        return None


def survey(api: Api, node_id: str) -> dict[str, Any]:
    """What is on a node: `jobs` (job_id, uid), `evict` (pod, uid, gpus), `stays` (pod, why)."""
    jobs: dict[str, str] = {}
    evict: list[dict[str, Any]] = []
    stuck: list[dict[str, str]] = []
    for pod in pods_on(api, node_id):
        if stays(pod) or is_terminating(pod):
            continue
        owner = controller_of(pod) or {}
        why = _why_not(api, pod, owner)
        if why is not None and (gpus_of(pod) or is_do_not_disrupt(pod)):
            stuck.append({"pod": name_of(pod), "why": why})
        elif why is None and owner["kind"] == "Job":
            jobs[f"{meta(pod)['namespace']}/{owner['name']}"] = owner["uid"]
        elif why is None:
            uid, gpus = meta(pod)["uid"], gpus_of(pod)
            evict.append({"pod": name_of(pod), "uid": uid, "gpus": gpus})
    listed = [{"job_id": job_id, "uid": uid} for job_id, uid in sorted(jobs.items())]
    return {"jobs": listed, "evict": evict, "stays": stuck}


def _why_not(api: Api, pod: Body, owner: dict[str, Any]) -> str | None:
    """Why a pod can't be moved; None where it can."""
    if is_do_not_disrupt(pod):
        return "it is marked do-not-disrupt"
    if not owner:
        return "nothing would start it again"
    if owner["kind"] in MOVABLE_OWNERS:
        return None
    if owner["kind"] != "Job":
        return f"what a {owner['kind']} would lose is not known"
    try:
        job = api.get(job_path(f"{meta(pod)['namespace']}/{owner['name']}"))
    except NotFound:
        return "its Job is gone"
    if is_do_not_disrupt(job):
        return "its Job is marked do-not-disrupt"
    if not is_true(annotations_of(job).get(CHECKPOINTS, "")):
        return "its Job does not checkpoint"
    if is_pinned(job):
        return "its Job's node selector names this host"
    return None
