"""Deployments and StatefulSets: as many pods as they say. A Deployment holds its pods itself here,
without a ReplicaSet between them."""

from __future__ import annotations

from tests.stand_in.controllers.parts import by_owner, end_pod, gpus_of, is_active, make_pod
from tests.stand_in.objects import Body, Objects
from tests.stand_in.subresources import is_ready


def tick(objects: Objects) -> None:
    """One pass over all of them."""
    owners = [*objects.all("Deployment"), *objects.all("StatefulSet")]
    if not owners:
        return
    pods = by_owner(objects.all("Pod"))
    for owner in owners:
        if "deletionTimestamp" not in owner["metadata"]:
            _sync(objects, owner, pods.get(owner["metadata"]["uid"], []))


def _sync(objects: Objects, owner: Body, pods: list[Body]) -> None:
    active = [pod for pod in pods if is_active(pod)]
    wanted = owner["spec"]["replicas"]
    if owner["kind"] == "Deployment":
        for _ in range(wanted - len(active)):
            active.append(make_pod(objects, owner))
        unwanted = sorted(active, key=lambda pod: (is_ready(pod), gpus_of(pod)))
        for pod in unwanted[: max(len(active) - wanted, 0)]:
            end_pod(objects, pod)
            active.remove(pod)
    else:
        active = _numbered(objects, owner, pods, active)
    _report(objects, owner, active)


def _numbered(objects: Objects, owner: Body, pods: list[Body], active: list[Body]) -> list[Body]:
    """A StatefulSet's pods have names of their own, so one waits for the last to be gone."""
    name, wanted = owner["metadata"]["name"], owner["spec"]["replicas"]
    there = {pod["metadata"]["name"] for pod in pods}
    names = [f"{name}-{number}" for number in range(wanted)]
    for missing in names:
        if missing not in there:
            active.append(make_pod(objects, owner, missing))
    for pod in [pod for pod in active if pod["metadata"]["name"] not in names]:
        end_pod(objects, pod)
        active.remove(pod)
    return active


def _report(objects: Objects, owner: Body, active: list[Body]) -> None:
    meta = owner["metadata"]
    ready = sum(is_ready(pod) for pod in active)

    def change(body: Body) -> None:
        body["status"] = {
            **body.get("status", {}),
            "observedGeneration": meta["generation"],
            "replicas": len(active),
            "updatedReplicas": len(active),
            "readyReplicas": ready,
            "availableReplicas": ready,
        }

    objects.edit(owner["kind"], meta["name"], meta["namespace"], change)
