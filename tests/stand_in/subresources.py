"""Eviction, binding, scale, and what one may do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.stand_in.asked import Asked, Place
from tests.stand_in.kinds import Kind
from tests.stand_in.objects import Body, Objects, copied
from tests.stand_in.patches import json_patched, merged
from tests.stand_in.refusals import (
    Refusal,
    conflict,
    internal,
    invalid,
    status,
    success,
)
from tests.stand_in.selectors import matches
from tests.stand_in.writing import JSON_PATCH, check_delete, found, remove, update

REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
EVICTING = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}


def evict(objects: Objects, place: Place, asked: Asked) -> Body:
    """Evict a pod, where its disruption budget allows it."""
    options = (asked.json() or {}).get("deleteOptions") or {}
    is_dry = asked.is_dry or options.get("dryRun") == ["All"]
    pod = found(objects, place)
    if not _is_free_to_go(pod):
        _take_from_budget(objects, pod, is_dry)
    check_delete(place.kind, pod, options)
    if not is_dry:
        if "deletionTimestamp" not in pod["metadata"]:
            pod = _mark(objects, place.kind, pod)
        remove(objects, place, pod, grace=options.get("gracePeriodSeconds"))
    return success(code=201)


def _is_free_to_go(pod: Body) -> bool:
    phase = pod.get("status", {}).get("phase")
    return "deletionTimestamp" in pod["metadata"] or phase in ("Succeeded", "Failed", "Pending")


def _take_from_budget(objects: Objects, pod: Body, is_dry: bool) -> None:
    """Use up one disruption of the pod's budget.

    Raises:
        Refusal: 429, there is none left; 500, two budgets claim the pod.
    """
    namespace, labels = pod["metadata"]["namespace"], pod["metadata"].get("labels") or {}
    budgets = [
        one
        for one in objects.all("PodDisruptionBudget")
        if one["metadata"]["namespace"] == namespace
        and matches(one["spec"].get("selector"), labels)
    ]
    if len(budgets) > 1:
        raise internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does "
            "not support."
        )
    for budget in budgets:
        _take(objects, budget, pod, is_dry)


def _take(objects: Objects, budget: Body, pod: Body, is_dry: bool) -> None:
    meta, state = budget["metadata"], budget["status"]
    if state.get("observedGeneration", 0) < meta["generation"]:
        why = f"The disruption budget {meta['name']} is still being processed by the server."
        raise _too_soon(why, 10)
    healthy, wanted = state["currentHealthy"], state["desiredHealthy"]
    if not is_ready(pod) and healthy >= wanted > 0:
        return
    if state["disruptionsAllowed"] <= 0:
        name = meta["name"]
        raise _too_soon(
            f"The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently"
        )
    if not is_dry:
        new = copied(budget)
        new["status"]["disruptionsAllowed"] -= 1
        objects.keep(objects.registry.named("PodDisruptionBudget"), new)


def _too_soon(why: str, retry_after: int | None = None) -> Refusal:
    details: Body = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if retry_after:
        details["retryAfterSeconds"] = retry_after
    return Refusal(429, status(429, "TooManyRequests", REFUSED, details), retry_after)


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod counts as healthy."""
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _mark(objects: Objects, kind: Kind, pod: Body) -> Body:
    new = copied(pod)
    at = {"lastProbeTime": None, "lastTransitionTime": objects.stamp()}
    new["status"].setdefault("conditions", []).append({**EVICTING, **at})
    return objects.keep(kind, new)


def bind(objects: Objects, place: Place, asked: Asked) -> Body:
    """Give a pod its node."""
    pod, target = found(objects, place), (asked.json() or {})["target"]["name"]
    node = pod["spec"].get("nodeName")
    if node:
        binding = Kind("", "v1", "pods/binding", "Binding")
        why = f'pod {place.name} is already assigned to node "{node}"'
        raise conflict(binding, place.name, why)
    bound(objects, pod, target)
    return success(code=201)


def bound(objects: Objects, pod: Body, node: str) -> Body:
    """The pod on its node."""
    new = copied(pod)
    new["spec"]["nodeName"] = node
    said = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
    rest = [one for one in new["status"].get("conditions", ()) if one["type"] != "PodScheduled"]
    new["status"]["conditions"] = [*rest, {**said, "lastTransitionTime": objects.stamp()}]
    return objects.keep(objects.registry.named("Pod"), new)


def scale(objects: Objects, place: Place, asked: Asked) -> Body:
    """Read or change how many replicas there are to be."""
    owner = Place(place.kind, place.namespace, place.name)
    old = found(objects, owner)
    said = _scale_of(place.kind, old)
    if asked.method == "GET":
        return said
    change = asked.json()
    if asked.method == "PUT":
        new = change
    elif asked.content_type == JSON_PATCH:
        new = json_patched(said, change)
    else:
        new = merged(said, change)
    replicas = (new.get("spec") or {}).get("replicas", 0)
    if replicas < 0:
        why = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise invalid("Scale", "autoscaling", place.name, "spec.replicas", why)
    whole = copied(old)
    whole["spec"]["replicas"] = replicas
    version = (new.get("metadata") or {}).get("resourceVersion")
    whole["metadata"]["resourceVersion"] = version or old["metadata"]["resourceVersion"]
    return _scale_of(place.kind, update(objects, owner, asked, old, whole))


def _scale_of(kind: Kind, body: Body) -> Body:
    if body["spec"].get("replicas") is None:
        raise internal('the spec replicas field ".spec.replicas" does not exist')
    meta = body["metadata"]
    names = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    state: Any = body
    for key in (kind.scale or "").split("."):
        state = state.get(key, {})
    said: Body = {"replicas": state if isinstance(state, int) else 0}
    selected = (body["spec"].get("selector") or {}).get("matchLabels")
    if selected and not kind.custom:
        said["selector"] = ",".join(f"{key}={value}" for key, value in selected.items())
    replicas = body["spec"]["replicas"]
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in names if key in meta},
        "spec": {"replicas": replicas} if replicas else {},
        "status": said,
    }


def review(asked: Asked, is_forbidden: Callable[[str, str], bool]) -> Body:
    """A SelfSubjectAccessReview: may whoever asks do that?"""
    body = asked.json() or {}
    wanted = (body.get("spec") or {}).get("resourceAttributes")
    if not wanted:
        why = "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes "
        group = "authorization.k8s.io"
        field = "spec.resourceAttributes"
        raise invalid("SelfSubjectAccessReview", group, "", field, why + "must be specified")
    sub = f"/{wanted['subresource']}" if wanted.get("subresource") else ""
    allowed = not is_forbidden(wanted.get("verb", "*"), wanted.get("resource", "*") + sub)
    return {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": {"resourceAttributes": wanted},
        "status": {"allowed": allowed},
    }
