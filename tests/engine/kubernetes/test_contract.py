"""The hands' contract with Kubernetes: the same tests on the stand-in and on a real cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.hands import CommandUnderWay
from engine.kubernetes.hands import KubernetesHands
from engine.kubernetes.lease import KubernetesLease
from engine.kubernetes.marks import DECISION
from engine.kubernetes.rights import missing, rows
from engine.kubernetes.settings import HandsSettings
from tests.engine.kubernetes.cluster import new_id
from tests.stand_in.harness import Harness
from warehouse.clock import WallClock
from warehouse.store import Store


class Tried:
    """Hands on the cluster under test."""

    def __init__(self, cluster: Harness, store: Store, folder: Path) -> None:
        self.cluster = cluster
        self.pool = f"pool-{cluster.run}"
        file = folder / "pools.toml"
        warm = cluster.path("apps/v1", "deployments", "warm")
        file.write_text(f'[pools.{self.pool}]\nplaceholder = "{warm}"\n')
        self.settings = HandsSettings(pools_file=file)
        self.hands = KubernetesHands(store, cluster.api, WallClock(), self.settings)

    def add_node(self, number: int) -> str:
        return self.cluster.add_node(number, **{"pilothouse.dev/pool": self.pool})

    def carry_out(self, decision_id: str, command: str, **arguments: Any) -> dict[str, Any]:
        def answer() -> dict[str, Any] | None:
            try:
                given = {"pool": self.pool, **arguments}
                return self.hands.perform(decision_id, command, given)
            except CommandUnderWay:
                return None

        return self.cluster.settle(answer, 180)  # type: ignore[no-any-return]


@pytest.fixture
def tried(cluster_under_test: Harness, warehouse: Store, tmp_path: Path) -> Tried:
    return Tried(cluster_under_test, warehouse, tmp_path)


def placed(tried: Tried) -> tuple[str, str]:
    """A job that runs on one of two nodes."""
    first = tried.add_node(1)
    tried.cluster.add_job("train")
    tried.cluster.settle(lambda: tried.cluster.running_on("train") == first)
    return first, tried.add_node(2)


def test_a_job_is_moved_off_its_node(tried: Tried) -> None:
    first, second = placed(tried)
    job_id = f"{tried.cluster.namespace}/train"
    answer = tried.carry_out(new_id(), "migrate_job", job_id=job_id, node_id=first)
    assert answer["node_ids"] == [second]
    assert tried.cluster.running_on("train") == second
    job = tried.cluster.job("train")
    assert job["spec"]["suspend"] is False
    assert DECISION not in job["metadata"]["annotations"]
    assert not job["status"].get("failed")  # no back-off was spent on it


def test_a_node_is_quarantined_and_returned(tried: Tried) -> None:
    first, second = placed(tried)
    decision_id = new_id()
    answer = tried.carry_out(decision_id, "quarantine_node", node_id=first)
    assert [each["node_ids"] for each in answer["moved"]] == [[second]]
    assert answer["still_running"] == []
    node = tried.cluster.api.get(f"/api/v1/nodes/{first}")
    assert node["spec"]["unschedulable"] is True
    assert node["metadata"]["annotations"][DECISION] == decision_id
    tried.carry_out(f"{decision_id}:undo", "return_node", node_id=first)
    node = tried.cluster.api.get(f"/api/v1/nodes/{first}")
    assert "unschedulable" not in node["spec"]


def test_a_deployment_is_scaled_and_scaled_back(tried: Tried) -> None:
    tried.add_node(1)
    template = {"metadata": {"labels": {"app": "warm"}}, "spec": tried.cluster.pod_spec(0)}
    template["spec"].pop("restartPolicy")
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "warm"}}, "template": template}
    folder = tried.cluster.path("apps/v1", "deployments")
    tried.cluster.create(folder, {"metadata": {"name": "warm"}, "spec": spec})
    decision_id = new_id()
    answer = tried.carry_out(decision_id, "pre_warm", nodes=2)
    assert answer["ready_placeholders"] == 3
    tried.carry_out(f"{decision_id}:undo", "cool_down", nodes=2)
    assert tried.cluster.api.get(f"{folder}/warm")["spec"]["replicas"] == 1


def test_of_two_consoles_one_leads_until_it_resigns(tried: Tried) -> None:
    def lease(name: str) -> KubernetesLease:
        where = (tried.cluster.api, tried.cluster.namespace, "engine")
        return KubernetesLease(*where, name, 15, WallClock(), lambda: seconds[0])

    seconds = [0.0]
    ada, bob = lease("ada"), lease("bob")
    assert [ada.leads(), bob.leads()] == [True, False]
    seconds[0] = 6.0
    assert [ada.leads(), bob.leads(), bob.holder()] == [True, False, "ada"]
    ada.resign()
    assert [bob.leads(), ada.leads()] == [True, False]


def test_whoever_may_do_everything_lacks_no_right(tried: Tried) -> None:
    found = rows(tried.cluster.api, tried.settings, WallClock().now())
    assert missing(found) == {}
    assert "create pods/eviction" in {row.right for row in found}
