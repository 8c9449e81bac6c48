"""Kubernetes objects to small tuples: what is kept of a pod, a Job, an Event, a budget.

Each reader answers None for what has nothing to do with GPUs, so that it is dropped at once, and
raises `Nonsense` for what can't be read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from cluster.settings import ClusterSettings
from collectors.kubernetes_objects import (
    DO_NOT_DISRUPT,
    PRODUCT,
    QUEUE,
    REGION,
    Nonsense,
    Object,
    Wants,
    condition,
    created_at,
    instant,
    is_marked,
    name_of,
    number,
    owner_of,
    part,
    parts,
    pod_sevenths,
    wants_of,
)

TENANT = "pilothouse.dev/tenant"
CHECKPOINTS = "pilothouse.dev/checkpoints"
CHECKPOINTED_AT = "pilothouse.dev/checkpointed-at"
MESSAGE_LENGTH_MAX = 1_000


class PodSeen(NamedTuple):
    """A pod that asks for GPUs."""

    key: str
    uid: str
    job_id: str
    owner_kind: str | None
    tenant: str
    queue: str | None
    node_id: str | None
    sevenths: int
    phase: str
    is_terminating: bool
    is_do_not_disrupt: bool
    priority: int | None
    created_at: datetime
    started_at: datetime | None
    checkpointed_at: datetime | None
    disruption: str | None
    wants: Wants

    @property
    def holds_gpus(self) -> bool:
        """Whether it is bound and not over."""
        return self.node_id is not None and self.phase not in ("Succeeded", "Failed")

    @property
    def is_running(self) -> bool:
        """Whether it runs and is not on its way out."""
        return self.phase == "Running" and not self.is_terminating


class JobSeen(NamedTuple):
    """A Job that asks for GPUs."""

    key: str
    uid: str
    tenant: str
    queue: str | None
    sevenths: int
    active_pods: int
    ready_pods: int
    is_suspended: bool
    is_to_be_suspended: bool
    suspended_at: datetime | None
    ending: str | None
    ended_at: datetime | None
    why: str | None
    checkpoints: bool
    checkpointed_at: datetime | None
    is_do_not_disrupt: bool
    generation: int
    created_at: datetime
    started_at: datetime | None
    wants: Wants


class EventSeen(NamedTuple):
    """An Event about a node, a pod or a Job."""

    key: str
    kind: str
    namespace: str | None
    object_name: str
    reason: str
    message: str
    is_warning: bool
    times: int
    happened_at: datetime


class BudgetSeen(NamedTuple):
    """A PodDisruptionBudget."""

    key: str
    uid: str
    selector: Mapping[str, Any]
    disruptions_allowed: int
    healthy_pods: int
    desired_healthy_pods: int


class Reader:
    """Reads pods, Jobs, Events and budgets as the settings say."""

    def __init__(self, settings: ClusterSettings) -> None:
        self._wanted = (*settings.pool_label_names, PRODUCT, REGION)

    def pod(self, found: Object) -> PodSeen | None:
        """A pod; None where it asks for no GPU."""
        spec, meta, status = part(found, "spec"), part(found, "metadata"), part(found, "status")
        if not spec:
            raise Nonsense("it has no spec")
        if not (sevenths := pod_sevenths(spec)):
            return None
        labels, node = part(meta, "labels"), spec.get("nodeName")
        job_id, owner_kind = _job_of(meta, labels)
        disruption = condition(status, "DisruptionTarget")
        return PodSeen(
            key=name_of(meta),
            uid=str(meta.get("uid")),
            job_id=job_id,
            owner_kind=owner_kind,
            tenant=_tenant(meta, labels),
            queue=labels.get(QUEUE),
            node_id=sys.intern(node) if node else None,
            sevenths=sevenths,
            phase=sys.intern(str(status.get("phase") or "Pending")),
            is_terminating=bool(meta.get("deletionTimestamp")),
            is_do_not_disrupt=is_marked(meta, DO_NOT_DISRUPT),
            priority=spec.get("priority"),
            created_at=created_at(meta),
            started_at=_running_since(status),
            checkpointed_at=instant(part(meta, "annotations").get(CHECKPOINTED_AT)),
            disruption=str(disruption.get("reason")) if disruption else None,
            wants=wants_of(spec, self._wanted),
        )

    def job(self, found: Object) -> JobSeen | None:
        """A Job; None where its pods ask for no GPU."""
        spec, meta, status = part(found, "spec"), part(found, "metadata"), part(found, "status")
        template = part(spec, "template")
        pod = part(template, "spec")
        if not pod:
            raise Nonsense("it has no spec.template.spec")
        if not (sevenths := pod_sevenths(pod)):
            return None
        labels, ending = part(meta, "labels"), _ending(status)
        suspended = condition(status, "Suspended")
        pod_meta = part(template, "metadata")
        return JobSeen(
            key=name_of(meta),
            uid=str(meta.get("uid")),
            tenant=_tenant(meta, labels),
            queue=labels.get(QUEUE),
            sevenths=sevenths * _pods_at_once(spec),
            active_pods=number(status.get("active"), "status.active"),
            ready_pods=number(status.get("ready"), "status.ready"),
            is_suspended=suspended is not None,
            is_to_be_suspended=bool(spec.get("suspend")),
            suspended_at=instant(suspended.get("lastTransitionTime")) if suspended else None,
            ending=ending[0],
            ended_at=ending[1],
            why=ending[2],
            checkpoints=is_marked(meta, CHECKPOINTS),
            checkpointed_at=instant(part(meta, "annotations").get(CHECKPOINTED_AT)),
            is_do_not_disrupt=any(is_marked(m, DO_NOT_DISRUPT) for m in (meta, pod_meta)),
            generation=number(meta.get("generation"), "metadata.generation"),
            created_at=created_at(meta),
            started_at=instant(status.get("startTime")),
            wants=wants_of({**pod, "nodeSelector": _selector(pod, labels)}, self._wanted),
        )


def event(found: Object) -> EventSeen | None:
    """An Event; None where it is about something else than a node, a pod or a Job."""
    about = part(found, "involvedObject") or part(found, "regarding")
    if about.get("kind") not in ("Node", "Pod", "Job"):
        return None
    meta, series = part(found, "metadata"), part(found, "series")
    seen = (series.get("lastObservedTime"), found.get("lastTimestamp"), found.get("eventTime"))
    return EventSeen(
        key=str(meta.get("uid") or name_of(meta)),
        kind=str(about["kind"]),
        namespace=about.get("namespace"),
        object_name=str(about.get("name")),
        reason=str(found.get("reason") or ""),
        message=str(found.get("message") or "")[:MESSAGE_LENGTH_MAX],
        is_warning=found.get("type") == "Warning",
        times=max(number(series.get("count") or found.get("count"), "count"), 1),
        happened_at=next(filter(None, map(instant, seen)), None) or created_at(meta),
    )


def budget(found: Object) -> BudgetSeen:
    """A PodDisruptionBudget."""
    meta, status = part(found, "metadata"), part(found, "status")
    return BudgetSeen(
        key=name_of(meta),
        uid=str(meta.get("uid")),
        selector=part(part(found, "spec"), "selector"),
        disruptions_allowed=number(status.get("disruptionsAllowed"), "disruptionsAllowed"),
        healthy_pods=number(status.get("currentHealthy"), "currentHealthy"),
        desired_healthy_pods=number(status.get("desiredHealthy"), "desiredHealthy"),
    )


Read = Callable[[Object], Any]


def _job_of(meta: Object, labels: Object) -> tuple[str, str | None]:
    """The job of a pod, and the kind of its owner; a ReplicaSet's is that of its Deployment."""
    owner, namespace = owner_of(meta), meta.get("namespace")
    if not owner:
        return name_of(meta), None
    kind, name = sys.intern(str(owner.get("kind"))), str(owner.get("name"))
    template = labels.get("pod-template-hash")
    if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
        name = name.removesuffix(f"-{template}")
    return sys.intern(f"{namespace}/{name}"), kind


def _tenant(meta: Object, labels: Object) -> str:
    return sys.intern(str(labels.get(TENANT) or meta.get("namespace") or "default"))


def _running_since(status: Object) -> datetime | None:
    """When the first of a pod's containers began; the kubelet's word for the pod without it."""
    began = [
        instant(part(part(each, "state"), "running").get("startedAt"))
        for each in parts(status, "containerStatuses")
    ]
    return min(filter(None, began), default=None) or instant(status.get("startTime"))


def _ending(status: Object) -> tuple[str | None, datetime | None, str | None]:
    """How and when a Job ended and why; three times None while it has not."""
    if complete := condition(status, "Complete"):
        ended = status.get("completionTime") or complete.get("lastTransitionTime")
        return "finished", instant(ended), None
    if failed := condition(status, "Failed"):
        why = f"{failed.get('reason') or 'Failed'}: {failed.get('message') or 'no word why'}"
        return "failed", instant(failed.get("lastTransitionTime")), why[:MESSAGE_LENGTH_MAX]
    return None, None, None


def _pods_at_once(spec: Object) -> int:
    at_once = number(spec.get("parallelism", 1), "spec.parallelism")
    completions = spec.get("completions")
    return at_once if completions is None else min(at_once, number(completions, "completions"))


def _selector(pod: Object, labels: Object) -> Object:
    """The pod's selector, with the pool that the Job itself names."""
    named = labels.get("pilothouse.dev/pool")
    return {**({"pilothouse.dev/pool": named} if named else {}), **part(pod, "nodeSelector")}
