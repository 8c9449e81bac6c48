"""What the console may do in a cluster, and that the manifests grant exactly that: `rights`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.kubernetes import rights
from engine.kubernetes.rights import Right
from engine.kubernetes.settings import HandsSettings
from tests.conftest import NOON
from tests.stand_in import StandIn
from warehouse.actions import ACTION_SPECS

MANIFESTS = Path(__file__).resolve().parents[3] / "deploy" / "kubernetes"
NEED_NO_CLUSTER = {"adjust_price", "promote_policy", "do_nothing"}


def documents() -> Iterator[dict[str, Any]]:
    for file in sorted(MANIFESTS.glob("*.yaml")):
        yield from yaml.safe_load_all(file.read_text())


def granted(name: str) -> set[Right]:
    (role,) = [
        each
        for each in documents()
        if each["kind"] in ("Role", "ClusterRole") and each["metadata"]["name"] == name
    ]
    return {
        Right(verb, resource, group)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_manifests_grant_exactly_what_is_needed() -> None:
    roles = {each["metadata"]["name"] for each in documents() if each["kind"].endswith("Role")}
    of_action = {
        f"pilothouse-act-{name.replace('_', '-')}": need for name, need in rights.ACT.items()
    }
    expected = of_action | {
        "pilothouse-observer": rights.OBSERVE,
        "pilothouse-act-events": rights.TELL,
        "pilothouse-lease": rights.LEASE,
    }
    assert roles == set(expected)
    assert {name: granted(name) for name in roles} == expected


def test_every_role_is_bound_to_the_console_and_to_nobody_else() -> None:
    everything = list(documents())
    roles = {each["metadata"]["name"] for each in everything if each["kind"].endswith("Role")}
    bindings = [each for each in everything if each["kind"].endswith("Binding")]
    account = {"kind": "ServiceAccount", "name": "pilothouse", "namespace": "pilothouse"}
    assert {each["roleRef"]["name"] for each in bindings} == roles
    assert all(each["subjects"] == [account] for each in bindings)


def test_the_observer_changes_nothing_and_the_actors_read_nothing() -> None:
    assert {right.verb for right in rights.OBSERVE} == {"get", "list", "watch"}
    verbs = {right.verb for needed in rights.ACT.values() for right in needed}
    assert verbs == {"patch", "create", "delete"}
    deleted = {r.resource for needed in rights.ACT.values() for r in needed if r.verb == "delete"}
    assert deleted == {"nodeclaims", "machines"}


def test_every_action_on_a_cluster_says_what_it_needs() -> None:
    assert set(rights.ACT) == set(ACTION_SPECS) - NEED_NO_CLUSTER


def test_a_missing_right_is_named_and_only_what_needs_it_lacks_it(stand_in: StandIn) -> None:
    stand_in.faults.forbid("create", "pods/eviction")
    found = rights.rows(stand_in.api(), HandsSettings(), NOON)
    assert rights.missing(found) == {"quarantine_node": ["create pods/eviction"]}
    assert {row.action for row in found} == {*rights.ACT, "observe", "events", "lease"}


@pytest.mark.parametrize("served", [True, False])
def test_what_the_cluster_does_not_serve_is_not_asked_for(served: bool) -> None:
    queues = "v1beta2" if served else None
    with StandIn(NOON, karpenter=served, cluster_api=served, queues=queues) as stand_in:
        words = {row.right for row in rights.rows(stand_in.api(), HandsSettings(), NOON)}
    assert ("delete nodeclaims of karpenter.sh" in words) is served
    assert ("patch workloads of kueue.x-k8s.io" in words) is served
    assert "update leases in pilothouse" in words
