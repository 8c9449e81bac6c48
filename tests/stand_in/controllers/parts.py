"""What the controllers share: pods and their owners, GPUs, conditions, and the end of a pod."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from tests.stand_in.asked import Place
from tests.stand_in.objects import Body, Objects, copied
from tests.stand_in.shapes import filled
from tests.stand_in.writing import remove

GPU = "nvidia.com/gpu"


def gpus_of(pod: Mapping[str, Any]) -> int:
    """GPUs that a pod asks for."""
    return sum(
        int(((one.get("resources") or {}).get("requests") or {}).get(GPU, 0))
        for one in pod["spec"].get("containers", ())
    )


def capacity_of(node: Mapping[str, Any]) -> int:
    """GPUs that a node has to give."""
    return int((node.get("status", {}).get("allocatable") or {}).get(GPU, 0))


def condition(body: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    """A condition of an object by its type."""
    for one in body.get("status", {}).get("conditions") or ():
        if one["type"] == kind:
            return dict(one)
    return None


def is_true(body: Mapping[str, Any], kind: str) -> bool:
    """Whether a condition stands."""
    found = condition(body, kind)
    return found is not None and found["status"] == "True"


def set_condition(
    body: Body, kind: str, status: str, reason: str, message: str, at: str, **more: Any
) -> None:
    """Set one condition; the time is that of its last change of status."""
    found = condition(body, kind)
    since = found["lastTransitionTime"] if found and found["status"] == status else at
    new = {"type": kind, "status": status, **more, "lastTransitionTime": since}
    new.update({k: v for k, v in (("reason", reason), ("message", message)) if v})
    kept = body.setdefault("status", {}).get("conditions") or []
    if found is None:
        body["status"]["conditions"] = [*kept, new]
    else:
        body["status"]["conditions"] = [new if one["type"] == kind else one for one in kept]


def by_owner(bodies: Iterable[Body]) -> dict[str, list[Body]]:
    """Objects by the uid of the one that controls them."""
    found: dict[str, list[Body]] = defaultdict(list)
    for body in bodies:
        for owner in body["metadata"].get("ownerReferences") or ():
            if owner.get("controller"):
                found[owner["uid"]].append(body)
    return found


def owner_of(owner: Body) -> dict[str, Any]:
    """A reference to the one that controls."""
    meta = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_active(pod: Mapping[str, Any]) -> bool:
    """Neither ended nor on its way out."""
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not ended and "deletionTimestamp" not in pod["metadata"]


def make_pod(objects: Objects, owner: Body, name: str = "") -> Body:
    """A pod by an owner's template."""
    template = copied(owner["spec"]["template"])
    meta = template.get("metadata") or {}
    meta["name"] = name or f"{owner['metadata']['name']}-{secrets.token_hex(3)[:5]}"
    meta["generateName"] = f"{owner['metadata']['name']}-"
    meta["namespace"] = owner["metadata"]["namespace"]
    meta["ownerReferences"] = [owner_of(owner)]
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": template["spec"]}
    return objects.keep(objects.registry.named("Pod"), filled(pod, fresh=True))


def end_pod(objects: Objects, pod: Body, grace: int | None = None) -> None:
    """Ask a pod to end, within its grace period."""
    meta = pod["metadata"]
    kind = objects.registry.named("Pod")
    if objects.find(kind, meta["namespace"], meta["name"]):
        remove(objects, Place(kind, meta["namespace"], meta["name"]), pod, grace=grace)


def drop(objects: Objects, body: Body) -> None:
    """Take an object away at once."""
    meta = body["metadata"]
    kind = objects.registry.named(body["kind"])
    objects.drop(kind, meta.get("namespace", ""), meta["name"])


def time_of(stamp: str) -> datetime:
    """When a stamp was."""
    return datetime.fromisoformat(stamp)
