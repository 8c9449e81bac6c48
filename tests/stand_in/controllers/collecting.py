"""The garbage collector and the end of namespaces."""

from __future__ import annotations

from tests.stand_in.asked import Place
from tests.stand_in.controllers.parts import by_owner, drop, end_pod
from tests.stand_in.objects import Body, Objects
from tests.stand_in.writing import remove

FOREGROUND = "foregroundDeletion"


def tick(objects: Objects) -> None:
    """One pass: what has lost its owner, what waits for its dependents, namespaces that end."""
    there = [(kind, body) for kind, body in objects.walk() if kind.kind != "Event"]
    uids = {body["metadata"]["uid"] for _, body in there}
    for _, body in there:
        owners = body["metadata"].get("ownerReferences") or ()
        if owners and not any(owner["uid"] in uids for owner in owners):
            _end(objects, body)
    dependents = by_owner(body for _, body in there)
    for _, body in there:
        if FOREGROUND in (body["metadata"].get("finalizers") or ()):
            _wait_for(objects, body, dependents.get(body["metadata"]["uid"], []))
    for home in objects.all("Namespace"):
        if "deletionTimestamp" in home["metadata"]:
            _empty(objects, home)


def _end(objects: Objects, body: Body) -> None:
    if body["kind"] == "Pod":
        end_pod(objects, body)
        return
    meta, kind = body["metadata"], objects.registry.named(body["kind"])
    remove(objects, Place(kind, meta.get("namespace", ""), meta["name"]), body)


def _wait_for(objects: Objects, owner: Body, dependents: list[Body]) -> None:
    left = [
        one
        for one in dependents
        if objects.one(one["kind"], one["metadata"]["name"], one["metadata"].get("namespace", ""))
    ]
    for one in left:
        _end(objects, one)
    if not left:
        drop(objects, owner)


def _empty(objects: Objects, home: Body) -> None:
    name = home["metadata"]["name"]
    inside = [
        body
        for kind, body in objects.walk()
        if kind.namespaced and body["metadata"].get("namespace") == name
    ]
    for body in inside:
        if body["kind"] == "Pod":
            end_pod(objects, body)
        else:
            drop(objects, body)
    if not any(body["kind"] == "Pod" for body in inside):
        drop(objects, home)
