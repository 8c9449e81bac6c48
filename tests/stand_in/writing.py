"""Creating, replacing, patching and deleting, as the API server does it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

import yaml

from tests.stand_in import owners, patches
from tests.stand_in.asked import Asked, Place
from tests.stand_in.kinds import Kind
from tests.stand_in.objects import Body, Objects, copied
from tests.stand_in.refusals import (
    bad_request,
    conflict,
    exists_already,
    invalid,
    not_found,
    other_uid,
    refuse,
    success,
)
from tests.stand_in.rules import check
from tests.stand_in.shapes import filled

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = ("application/apply-patch+yaml", "application/apply-patch+json")


def found(objects: Objects, place: Place) -> Body:
    """The object at a place.

    Raises:
        Refusal: 404.
    """
    kept = objects.find(place.kind, place.namespace, place.name)
    if kept is None:
        raise not_found(place.kind, place.name)
    return kept.body


def create(objects: Objects, place: Place, asked: Asked) -> Body:
    """Make an object."""
    body = asked.read(place.kind)
    meta = body["metadata"]
    if place.kind.namespaced:
        _check_namespace(objects, place, meta)
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = meta["generateName"] + secrets.token_hex(3)[:5]
    name = str(meta.get("name", ""))
    for own in ("resourceVersion", "uid", "creationTimestamp", "managedFields", "generation"):
        meta.pop(own, None)
    if place.kind.has_status:
        body.pop("status", None)
    _prune(place.kind, body, asked)
    if name and objects.find(place.kind, place.namespace, name):
        raise exists_already(place.kind, name)
    _admit(objects, place, filled(body, fresh=True))
    check(place.kind, body, None)
    body = owners.with_owner(None, body, asked.manager, objects.stamp())
    return body if asked.is_dry else objects.keep(place.kind, body)


def _check_namespace(objects: Objects, place: Place, meta: Body) -> None:
    if meta.setdefault("namespace", place.namespace) != place.namespace:
        why = "the namespace of the provided object does not match the namespace sent on the"
        raise bad_request(f"{why} request")
    home = objects.one("Namespace", place.namespace)
    if home is None:
        raise not_found(objects.registry.named("Namespace"), place.namespace)
    if "deletionTimestamp" in home["metadata"]:
        name = meta.get("name", "")
        why = f"unable to create new content in namespace {place.namespace} because it is being"
        message = f'{place.kind.qualified} "{name}" is forbidden: {why} terminated'
        causes = [{"reason": "NamespaceTerminating", "message": why, "field": "metadata.namespace"}]
        raise refuse(403, "Forbidden", message, {"name": name, "causes": causes})


def _admit(objects: Objects, place: Place, body: Body) -> None:
    """What the webhooks do: Kueue suspends what is to queue; a pod on a node has its region."""
    meta = body["metadata"]
    queued = "kueue.x-k8s.io/queue-name" in (meta.get("labels") or {})
    if body["kind"] == "Job" and queued and objects.registry.serves("Workload"):
        body["spec"]["suspend"] = True
    node_name = body.get("spec", {}).get("nodeName") if body["kind"] == "Pod" else None
    node = objects.one("Node", node_name) if node_name else None
    if node:
        labels = node["metadata"].get("labels") or {}
        place_labels = {k: v for k, v in labels.items() if k.startswith("topology.kubernetes.io/")}
        meta["labels"] = {**place_labels, **(meta.get("labels") or {})}


def replace(objects: Objects, place: Place, asked: Asked) -> tuple[int, Body]:
    """Put an object in place of what is there; of a Lease also where nothing is."""
    body = asked.read(place.kind)
    name = body["metadata"].setdefault("name", place.name)
    if place.kind.namespaced:
        body["metadata"].setdefault("namespace", place.namespace)
    if name != place.name:
        why = f"the name of the object ({name}) does not match the name on the URL ({place.name})"
        raise bad_request(why)
    if not objects.find(place.kind, place.namespace, place.name) and place.kind.kind == "Lease":
        return 201, create(objects, place, asked)
    old = found(objects, place)
    version = body["metadata"].get("resourceVersion")
    if not version and place.kind.needs_version:
        field, why = "metadata.resourceVersion", "Invalid value: 0: must be specified for an update"
        raise invalid(place.kind.kind, place.kind.group, name, field, why)
    return 200, update(objects, place, asked, old, body)


def patch(objects: Objects, place: Place, asked: Asked) -> tuple[int, Body]:
    """Change an object by one of the four ways of patching."""
    allowed = [JSON_PATCH, MERGE, *(() if place.kind.custom else (STRATEGIC,)), *APPLY]
    if asked.content_type not in allowed:
        raise _unsupported(place.kind, asked.content_type, allowed)
    if asked.content_type in APPLY:
        return _apply(objects, place, asked)
    old = found(objects, place)
    change = asked.json()
    if asked.content_type == JSON_PATCH:
        new = patches.json_patched(old, change)
    else:
        merge = patches.merged if asked.content_type == MERGE else patches.strategic
        new = copied(merge(old, change))
    return 200, update(objects, place, asked, old, new)


def _unsupported(kind: Kind, sent: str, allowed: list[str]) -> Exception:
    if sent == STRATEGIC:
        why = "the body of the request was in an unknown format - accepted media types include: "
        return refuse(415, "UnsupportedMediaType", why + ", ".join(allowed[:3]))
    return refuse(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def _apply(objects: Objects, place: Place, asked: Asked) -> tuple[int, Body]:
    config = yaml.safe_load(asked.content)
    if "fieldManager" not in asked.query:
        raise bad_request(
            "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: is required for "
            "apply patch"
        )
    if not objects.find(place.kind, place.namespace, place.name):
        asked.content = json.dumps(config).encode()
        return 201, create(objects, place, asked)
    old = found(objects, place)
    if asked.query.get("force") != "true":
        owners.refuse_conflicts(old, config, asked.manager)
    new = copied(patches.applied(old, config))
    return 200, update(objects, place, asked, old, new, config)


def update(
    objects: Objects,
    place: Place,
    asked: Asked,
    old: Body,
    new: Body,
    config: Mapping[str, Any] | None = None,
) -> Body:
    """Put a changed object in place of the old one, as far as this path may change it."""
    _check_preconditions(place.kind, old, new["metadata"])
    new = _isolated(place, old, new)
    _prune(place.kind, new, asked)
    if place.sub != "status":
        new = filled(new, fresh=False)
        check(place.kind, new, old)
    new = owners.with_owner(old, new, asked.manager, objects.stamp(), place.sub, config)
    if asked.is_dry:
        return new
    kept = objects.keep(place.kind, new)
    is_done = "deletionTimestamp" in kept["metadata"] and not kept["metadata"].get("finalizers")
    if is_done and place.kind.kind not in ("Pod", "Namespace"):
        objects.drop(place.kind, place.namespace, place.name)
    return kept


def _isolated(place: Place, old: Body, new: Body) -> Body:
    """A status path changes the status alone; the main path everything else."""
    own = ("uid", "creationTimestamp", "generation", "resourceVersion", "deletionTimestamp")
    meta = {key: value for key, value in new["metadata"].items() if key not in own}
    meta.update({key: old["metadata"][key] for key in own if key in old["metadata"]})
    new = {**new, "metadata": meta, "kind": old["kind"], "apiVersion": old["apiVersion"]}
    if place.sub == "status":
        labels = {k: meta.get(k) for k in ("labels", "annotations") if k in meta}
        kept_meta = {**old["metadata"], **labels}
        status = {"status": new["status"]} if "status" in new else {}
        return filled({**old, **status, "metadata": kept_meta}, fresh=False)
    if place.kind.has_status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = copied(old["status"])
    return new


def _check_preconditions(kind: Kind, old: Body, wanted: Mapping[str, Any]) -> None:
    """Nothing, where the object is that which is meant.

    Raises:
        Refusal: 409.
    """
    now = old["metadata"]
    if wanted.get("resourceVersion", now["resourceVersion"]) != now["resourceVersion"]:
        raise conflict(kind, now["name"])
    if wanted.get("uid", now["uid"]) != now["uid"]:
        why = f"Precondition failed: UID in precondition: {wanted['uid']}, UID in object meta: "
        raise conflict(kind, now["name"], why + now["uid"])


def _prune(kind: Kind, body: Body, asked: Asked) -> None:
    """Drop what a custom resource does not know, with a warning, or refuse it."""
    spec = body.get("spec")
    unknown = [key for key in spec or () if kind.known and key not in kind.known]
    for key in unknown:
        if asked.query.get("fieldValidation") == "Strict":
            why = f"Invalid value: {json.dumps(json.dumps(body))}: strict decoding error: unknown"
            raise invalid("", "", "", "patch", f'{why} field "spec.{key}"')
        asked.warnings.append(f'unknown field "spec.{key}"')
    if unknown and spec:
        body["spec"] = {key: value for key, value in spec.items() if key not in unknown}


def delete(objects: Objects, place: Place, asked: Asked) -> Body:
    """Delete an object: at once, or as far as its grace or its finalizers allow."""
    old = found(objects, place)
    options = asked.json() or {}
    check_delete(place.kind, old, options)
    if asked.is_dry or options.get("dryRun") == ["All"]:
        return success(_gone(place, old))
    policy = options.get("propagationPolicy") or asked.query.get("propagationPolicy")
    grace = options.get("gracePeriodSeconds", asked.query.get("gracePeriodSeconds"))
    return remove(objects, place, old, policy, None if grace is None else int(grace))


def check_delete(kind: Kind, old: Body, options: Mapping[str, Any]) -> None:
    """Nothing, where the preconditions hold.

    Raises:
        Refusal: 409.
    """
    wanted, now = options.get("preconditions") or {}, old["metadata"]
    if wanted.get("uid", now["uid"]) != now["uid"]:
        raise other_uid(now["name"], kind.kind, wanted["uid"], now["uid"])
    if wanted.get("resourceVersion", now["resourceVersion"]) != now["resourceVersion"]:
        raise conflict(kind, now["name"])


def remove(
    objects: Objects, place: Place, old: Body, policy: str | None = None, grace: int | None = None
) -> Body:
    """Take an object out of use; what is left is ended by the controllers."""
    meta, kind = old["metadata"], place.kind
    name, namespace = meta["name"], meta.get("namespace", "")
    finalizers = list(meta.get("finalizers") or ())
    if policy == "Foreground" and "foregroundDeletion" not in finalizers:
        finalizers.append("foregroundDeletion")
    seconds = _grace(old, grace)
    if finalizers or kind.kind == "Namespace" or seconds > 0:
        return _begin_to_end(objects, kind, old, finalizers, seconds)
    last = objects.drop(kind, namespace, name)
    return last or old if kind.kind == "Pod" else success(_gone(place, old))


def _grace(old: Body, asked: int | None) -> int:
    if old["kind"] != "Pod":
        return 0
    spec, phase = old["spec"], old.get("status", {}).get("phase")
    if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    return int(spec["terminationGracePeriodSeconds"]) if asked is None else asked


def _begin_to_end(
    objects: Objects, kind: Kind, old: Body, finalizers: list[str], seconds: int
) -> Body:
    new = copied(old)
    meta = new["metadata"]
    if "deletionTimestamp" not in meta or seconds < meta.get("deletionGracePeriodSeconds", 0):
        meta["deletionTimestamp"] = objects.stamp(seconds)
        if kind.kind != "Namespace":
            meta["deletionGracePeriodSeconds"] = seconds
    if finalizers:
        meta["finalizers"] = finalizers
    if kind.kind == "Namespace":
        new["status"]["phase"] = "Terminating"
    return objects.keep(kind, new)


def _gone(place: Place, old: Body) -> Body:
    kind = place.kind
    group = {"group": kind.group} if kind.group else {}
    meta = old["metadata"]
    return {"name": meta["name"], **group, "kind": kind.plural, "uid": meta["uid"]}
