"""The stand-in's controllers do what a real control plane does, as far as others rely on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.api import STRATEGIC
from cluster.errors import Conflict, Invalid, NotFound
from tests.stand_in import StandIn
from tests.stand_in.harness import Harness

JOBS = "/apis/batch/v1/namespaces/default/jobs"
PODS = "/api/v1/namespaces/default/pods"
NODES = "/api/v1/nodes"
CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"
MACHINES = "/apis/cluster.x-k8s.io/v1beta2/namespaces/default"


def evict(stand_in: StandIn, pod: dict[str, Any]) -> None:
    meta = {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
    stand_in.api().create(f"{PODS}/{meta['name']}/eviction", body)


def only_pod(stand_in: StandIn) -> dict[str, Any]:
    (pod,) = stand_in.all("Pod")
    return pod


def ticks_until_a_pod(stand_in: StandIn) -> int:
    for count in range(1, 60):
        stand_in.tick()
        if any("deletionTimestamp" not in pod["metadata"] for pod in stand_in.all("Pod")):
            return count
    raise AssertionError("no pod came")


def test_an_eviction_is_a_failure_of_the_job_and_its_replacement_waits_ever_longer(
    stand_in: StandIn,
) -> None:
    stand_in.add_node("a")
    stand_in.add_job("j", backoffLimit=1)
    stand_in.settle(3)
    evict(stand_in, only_pod(stand_in))
    assert 9 <= ticks_until_a_pod(stand_in) <= 13
    assert stand_in.get(f"{JOBS}/j")["status"]["failed"] == 1
    stand_in.settle(2)
    evict(stand_in, only_pod(stand_in))
    stand_in.settle(3)
    states = [one["type"] for one in stand_in.get(f"{JOBS}/j")["status"]["conditions"]]
    assert "Failed" in states


def test_a_policy_that_ignores_evictions_stops_the_counting_not_the_wait(
    stand_in: StandIn,
) -> None:
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    stand_in.add_node("a")
    stand_in.add_job("j", podFailurePolicy={"rules": [rule]})
    stand_in.settle(3)
    evict(stand_in, only_pod(stand_in))
    assert ticks_until_a_pod(stand_in) >= 9
    assert "failed" not in stand_in.get(f"{JOBS}/j")["status"]


def test_a_job_ends_well_once_its_pods_do(stand_in: StandIn) -> None:
    stand_in.add_node("a")
    stand_in.add_job("j", parallelism=2, annotations={"fake.kubelet/succeed-after": "5"})
    stand_in.settle(10)
    status = stand_in.get(f"{JOBS}/j")["status"]
    assert status["succeeded"] == 2
    assert "Complete" in {one["type"] for one in status["conditions"]}


def test_pods_go_where_there_is_room_and_where_they_may(stand_in: StandIn) -> None:
    for name in ("a", "b", "c"):
        stand_in.add_node(name)
    stand_in.api().patch(f"{NODES}/a", {"spec": {"unschedulable": True}})
    taint = {"key": "k", "value": "v", "effect": "NoSchedule"}
    stand_in.api().patch(f"{NODES}/b", {"spec": {"taints": [taint]}})
    for name in ("first", "second"):
        stand_in.add_job(name, gpus=8)
    stand_in.settle(3)
    placed = {pod["spec"].get("nodeName") for pod in stand_in.all("Pod")}
    assert placed == {"c", None}


def test_a_silent_nodes_pods_neither_run_nor_end(stand_in: StandIn) -> None:
    stand_in.add_node("a")
    stand_in.add_pod("p", node="a")
    stand_in.kill_node("a")
    stand_in.tick()
    node = stand_in.get(f"{NODES}/a")
    assert node["status"]["conditions"][0]["status"] == "Unknown"
    stand_in.settle(3, seconds=200)
    assert "deletionTimestamp" in stand_in.get(f"{PODS}/p")["metadata"]
    stand_in.revive_node("a")
    stand_in.settle(3)
    assert not stand_in.has(f"{PODS}/p")


def test_a_node_that_says_itself_that_it_is_unwell_takes_no_pods_until_it_is_revived(
    stand_in: StandIn,
) -> None:
    stand_in.add_node("a")
    stand_in.sicken_node("a")
    stand_in.add_job("j")
    stand_in.settle(3)
    assert only_pod(stand_in)["status"]["phase"] == "Pending"
    stand_in.revive_node("a")
    stand_in.settle(3)
    assert only_pod(stand_in)["status"]["phase"] == "Running"


def test_pods_of_a_vanished_node_follow_it_and_their_job_goes_on(stand_in: StandIn) -> None:
    stand_in.add_node("a")
    stand_in.add_job("j")
    stand_in.settle(3)
    stand_in.add_node("b")
    stand_in.vanish_node("a")
    stand_in.settle(3)
    assert only_pod(stand_in)["spec"]["nodeName"] == "a"
    stand_in.settle(6, seconds=15)
    assert only_pod(stand_in)["spec"]["nodeName"] == "b"


def test_a_static_pool_is_scaled_and_replaces_what_it_loses(stand_in: StandIn) -> None:
    api = stand_in.api()
    stand_in.add_node_pool("fixed", replicas=1)
    stand_in.settle(3)
    api.patch("/apis/karpenter.sh/v1/nodepools/fixed/scale", {"spec": {"replicas": 2}})
    stand_in.settle(3)
    before = {claim["metadata"]["name"] for claim in stand_in.all("NodeClaim")}
    lost = min(before)
    stand_in.add_pod("p", node=f"node-{lost}")
    stand_in.add_budget("held", {"app": "none"})
    api.delete(f"{CLAIMS}/{lost}")
    stand_in.settle(5)
    after = {claim["metadata"]["name"] for claim in stand_in.all("NodeClaim")}
    assert len(after) == 2
    assert lost not in after
    assert not stand_in.has(f"{NODES}/node-{lost}")
    assert not stand_in.has(f"{PODS}/p"), "its pods were drained first"


def test_a_pod_that_is_not_to_be_disrupted_holds_its_node(stand_in: StandIn) -> None:
    stand_in.add_node_pool("fixed", replicas=1)
    stand_in.settle(3)
    (claim,) = stand_in.all("NodeClaim")
    node = claim["status"]["nodeName"]
    stand_in.add_pod("p", node=node, annotations={"karpenter.sh/do-not-disrupt": "true"})
    stand_in.api().delete(f"{CLAIMS}/{claim['metadata']['name']}")
    stand_in.settle(5)
    assert stand_in.has(f"{NODES}/{node}")
    stand_in.drop(f"{PODS}/p")
    stand_in.settle(3)
    assert not stand_in.has(f"{NODES}/{node}")


def test_a_dynamic_pool_grows_for_what_waits_within_its_limits(stand_in: StandIn) -> None:
    stand_in.add_node_pool("elastic", limits={"nvidia.com/gpu": "16"})
    stand_in.settle(3)
    assert not stand_in.all("Node")
    for name in ("a", "b", "c"):
        stand_in.add_job(name, gpus=8)
    stand_in.settle(6)
    assert len(stand_in.all("Node")) == 2
    more = {"spec": {"limits": {"nvidia.com/gpu": "24"}}}
    stand_in.api().patch("/apis/karpenter.sh/v1/nodepools/elastic", more)
    stand_in.settle(6)
    assert {pod["status"]["phase"] for pod in stand_in.all("Pod")} == {"Running"}


def test_a_machine_that_is_marked_goes_first_and_a_deleted_one_is_replaced(
    stand_in: StandIn,
) -> None:
    api = stand_in.api()
    stand_in.add_machine_deployment("md", replicas=3)
    stand_in.settle(3)
    names = sorted(machine["metadata"]["name"] for machine in stand_in.all("Machine"))
    mark = {"metadata": {"annotations": {"cluster.x-k8s.io/delete-machine": "yes"}}}
    api.patch(f"{MACHINES}/machines/{names[-1]}", mark)
    api.patch(f"{MACHINES}/machinedeployments/md/scale", {"spec": {"replicas": 2}})
    stand_in.settle(3)
    assert sorted(one["metadata"]["name"] for one in stand_in.all("Machine")) == names[:2]
    api.delete(f"{MACHINES}/machines/{names[0]}")
    stand_in.settle(3)
    assert not stand_in.has(f"{NODES}/node-{names[0]}")
    assert len(stand_in.all("Node")) == 2


def test_kueue_evicts_and_takes_in_again_by_the_workloads_word(stand_in: StandIn) -> None:
    stand_in.add_node("a")
    stand_in.add_queue("q")
    stand_in.add_job("j", queue="q")
    stand_in.settle(4)
    (workload,) = stand_in.all("Workload")
    path = (
        f"/apis/kueue.x-k8s.io/v1beta2/namespaces/default/workloads/{workload['metadata']['name']}"
    )
    assert only_pod(stand_in)["status"]["phase"] == "Running"
    stand_in.api().patch(path, {"spec": {"active": False}})
    stand_in.settle(4)
    assert stand_in.get(f"{JOBS}/j")["spec"]["suspend"]
    assert not stand_in.all("Pod")
    stand_in.api().patch(path, {"spec": {"active": True}})
    stand_in.settle(4)
    assert only_pod(stand_in)["status"]["phase"] == "Running"


@pytest.mark.parametrize(
    ("limit", "allowed"),
    [
        ({"min_available": 1}, 2),
        ({"min_available": "50%"}, 1),
        ({"max_unavailable": 1}, 1),
        ({"max_unavailable": "100%"}, 3),
    ],
)
def test_a_budget_is_counted(stand_in: StandIn, limit: dict[str, Any], allowed: int) -> None:
    stand_in.add_node("a")
    for name in ("x", "y", "z"):
        stand_in.add_pod(name, node="a", labels={"app": "web"})
    stand_in.add_budget("web", {"app": "web"}, **limit)
    stand_in.tick()
    assert stand_in.all("PodDisruptionBudget")[0]["status"]["disruptionsAllowed"] == allowed


def test_of_a_jobs_pods_a_share_can_not_be_counted_and_none_may_go(stand_in: StandIn) -> None:
    stand_in.add_node("a")
    stand_in.add_job("j", labels={"app": "train"})
    stand_in.add_budget("train", {"app": "train"}, max_unavailable=1)
    stand_in.settle(3)
    assert stand_in.all("PodDisruptionBudget")[0]["status"]["disruptionsAllowed"] == 0


def test_a_deployment_and_a_set_keep_their_number(stand_in: StandIn) -> None:
    stand_in.add_node("a")
    stand_in.add_deployment("web", replicas=2)
    stand_in.add_deployment("db", replicas=2, kind="StatefulSet")
    stand_in.settle(3)
    names = {pod["metadata"]["name"] for pod in stand_in.all("Pod")}
    assert len(names) == 4
    assert {"db-0", "db-1"} <= names
    stand_in.api().patch(
        "/apis/apps/v1/namespaces/default/statefulsets/db/scale", {"spec": {"replicas": 1}}
    )
    stand_in.settle(3)
    assert len(stand_in.all("Pod")) == 3
    assert not stand_in.has(f"{PODS}/db-1")


def test_what_is_deleted_takes_its_own_with_it(stand_in: StandIn) -> None:
    api = stand_in.api()
    stand_in.add_node("a")
    for name in ("at-once", "last"):
        stand_in.add_job(name)
    stand_in.add_pod("p", namespace="ending", node="a")
    stand_in.settle(3)
    api.delete(f"{JOBS}/at-once")
    api.delete(f"{JOBS}/last", propagationPolicy="Foreground")
    api.delete("/api/v1/namespaces/ending")
    assert not stand_in.has(f"{JOBS}/at-once")
    assert stand_in.has(f"{JOBS}/last")
    stand_in.settle(6)
    assert not stand_in.has(f"{JOBS}/last")
    assert not stand_in.all("Pod")
    assert not stand_in.has("/api/v1/namespaces/ending")


def test_a_checkpoint_is_answered_at_the_next_pass_unless_the_job_is_mute(
    stand_in: StandIn,
) -> None:
    stand_in.add_node("a")
    for name in ("answers", "mute", "cannot"):
        stand_in.add_job(name, checkpoints=name != "cannot")
    stand_in.faults.mute_checkpoints("mute")
    stand_in.settle(3)
    asked = {"metadata": {"annotations": {"pilothouse.dev/checkpoint-requested": "r1"}}}
    for name in ("answers", "mute", "cannot"):
        stand_in.api().patch(f"{JOBS}/{name}", asked)

    def answered() -> set[str]:
        return {
            pod["metadata"]["labels"]["job-name"]
            for pod in stand_in.all("Pod")
            if "pilothouse.dev/checkpointed" in (pod["metadata"].get("annotations") or {})
        }

    stand_in.tick()
    assert answered() == set()
    stand_in.settle(3)
    assert answered() == {"answers"}


def test_a_cluster_may_lack_what_is_no_part_of_kubernetes(tmp_path: Path) -> None:
    with StandIn(karpenter=False, cluster_api=False, queues=None) as bare:
        for path in (CLAIMS, f"{MACHINES}/machines", "/apis/kueue.x-k8s.io/v1beta2/workloads"):
            with pytest.raises(NotFound) as refused:
                bare.api(tmp_path).get(path)
            assert refused.value.is_unknown_kind
        bare.add_node("a")
        bare.add_job("j")
        bare.settle(3)
        assert only_pod(bare)["status"]["phase"] == "Running"


def test_what_somebody_else_set_is_applied_over_by_force_alone(stand_in: StandIn) -> None:
    api, kind = stand_in.api(), "application/apply-patch+yaml"
    stand_in.add_node("a")
    api.patch(f"{NODES}/a", {"metadata": {"labels": {"team": "ml"}}}, STRATEGIC)
    config = {"apiVersion": "v1", "kind": "Node"}
    config = {**config, "metadata": {"name": "a", "labels": {"team": "web"}}}
    with pytest.raises(Conflict) as refused:
        api.patch(f"{NODES}/a", config, kind, fieldManager="another")
    assert refused.value.causes == ("FieldManagerConflict",)
    api.patch(f"{NODES}/a", config, kind, fieldManager="another", force="true")
    assert stand_in.get(f"{NODES}/a")["metadata"]["labels"]["team"] == "web"


def test_a_custom_resource_must_be_replaced_by_version(stand_in: StandIn) -> None:
    stand_in.add_node_pool("fixed", replicas=1)
    body = stand_in.get("/apis/karpenter.sh/v1/nodepools/fixed")
    del body["metadata"]["resourceVersion"]
    with pytest.raises(Invalid, match="must be specified for an update"):
        stand_in.api().replace("/apis/karpenter.sh/v1/nodepools/fixed", body)


def test_the_kubelet_of_the_tests_lives_with_another_one(tmp_path: Path) -> None:
    with StandIn() as busy:
        harness = Harness(busy.api(tmp_path), busy)
        harness.add_node(1)
        harness.add_job("j")
        assert harness.settle(lambda: harness.running_on("j"))
        harness.evict(harness.pods("j")[0]["metadata"]["name"])
        harness.settle(lambda: not harness.pods("j"))
        harness.clean_up()
        busy.settle(5)
        assert not [node for node in busy.all("Node") if harness.run in str(node)]
        assert not busy.has(f"/api/v1/namespaces/{harness.namespace}")
