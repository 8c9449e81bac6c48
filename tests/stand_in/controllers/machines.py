"""Cluster API: machines and nodes for each MachineDeployment, and their end."""

from __future__ import annotations

import secrets

from tests.stand_in.controllers import draining
from tests.stand_in.controllers.parts import by_owner, drop, is_true, owner_of, set_condition
from tests.stand_in.nodes_of_pools import new_node
from tests.stand_in.objects import Body, Objects

DELETE = "cluster.x-k8s.io/delete-machine"
MACHINE = "cluster.x-k8s.io/machine"
DEPLOYMENT = "cluster.x-k8s.io/deployment-name"
FINALIZER = "machine.cluster.x-k8s.io"


def tick(objects: Objects) -> None:
    """One pass over all machines and their deployments."""
    for machine in objects.all("Machine"):
        _sync_machine(objects, machine)
    machines = by_owner(objects.all("Machine"))
    for deployment in objects.all("MachineDeployment"):
        _sync(objects, deployment, machines.get(deployment["metadata"]["uid"], []))


def _sync(objects: Objects, deployment: Body, machines: list[Body]) -> None:
    meta, wanted = deployment["metadata"], deployment["spec"].get("replicas", 1)
    living = [one for one in machines if "deletionTimestamp" not in one["metadata"]]
    for _ in range(wanted - len(living)):
        living.append(_make(objects, deployment))
    surplus = sorted(living, key=lambda one: _order(objects, one))
    for machine in surplus[: max(len(living) - wanted, 0)]:
        _end(objects, machine)
    ready = [one for one in machines if "nodeRef" in one.get("status", {})]

    def change(body: Body) -> None:
        body["status"] = {
            **body.get("status", {}),
            "observedGeneration": body["metadata"]["generation"],
            "replicas": len(machines),
            "readyReplicas": len(ready),
            "availableReplicas": len(ready),
            "upToDateReplicas": len(machines),
            "phase": "Running" if len(ready) == wanted else "ScalingUp",
        }

    objects.edit("MachineDeployment", meta["name"], meta["namespace"], change)


def _order(objects: Objects, machine: Body) -> tuple[bool, bool, str]:
    """Which goes first: one that is marked, then one that is unwell, then any."""
    marked = DELETE in (machine["metadata"].get("annotations") or {})
    node = objects.one("Node", machine.get("status", {}).get("nodeRef", {}).get("name", ""))
    return (not marked, bool(node and is_true(node, "Ready")), machine["metadata"]["name"])


def _make(objects: Objects, deployment: Body) -> Body:
    meta, template = deployment["metadata"], deployment["spec"]["template"]
    labels = dict((template.get("metadata") or {}).get("labels") or {})
    body = {
        "kind": "Machine",
        "metadata": {
            "name": f"{meta['name']}-{secrets.token_hex(3)[:5]}",
            "namespace": meta["namespace"],
            "labels": {**labels, DEPLOYMENT: meta["name"]},
            "finalizers": [FINALIZER],
            "ownerReferences": [owner_of(deployment)],
        },
        "spec": {**template["spec"]},
    }
    return objects.keep(objects.registry.named("Machine"), body)


def _sync_machine(objects: Objects, machine: Body) -> None:
    meta, state = machine["metadata"], machine.get("status", {})
    node = state.get("nodeRef", {}).get("name")
    if "deletionTimestamp" in meta:
        if node and objects.one("Node", node):
            objects.edit("Node", node, "", lambda body: body["spec"].update(unschedulable=True))
            if not draining.drained(objects, node, respects_wish=False):
                return
            draining.end(objects, node)
        drop(objects, machine)
    elif not node:
        _provision(objects, machine)


def _provision(objects: Objects, machine: Body) -> None:
    meta = machine["metadata"]
    name, provider = f"node-{meta['name']}", f"dev:///{meta['name']}"
    labels = {k: v for k, v in meta["labels"].items() if k != DEPLOYMENT}
    notes = {MACHINE: meta["name"], "cluster.x-k8s.io/cluster-namespace": meta["namespace"]}
    new_node(objects, name, labels, notes, [], provider)

    def change(body: Body) -> None:
        body["spec"]["providerID"] = provider
        body.setdefault("status", {}).update(nodeRef={"name": name}, phase="Running")
        for kind in ("NodeReady", "Ready", "Available"):
            set_condition(body, kind, "True", kind, "", objects.stamp())

    objects.edit("Machine", meta["name"], meta["namespace"], change)


def _end(objects: Objects, machine: Body) -> None:
    def change(body: Body) -> None:
        body["metadata"].setdefault("deletionTimestamp", objects.stamp())
        body.setdefault("status", {})["phase"] = "Deleting"

    objects.edit("Machine", machine["metadata"]["name"], machine["metadata"]["namespace"], change)
