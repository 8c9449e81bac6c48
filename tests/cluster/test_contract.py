"""The wire's contract with Kubernetes: the same tests on the stand-in and on a real cluster.

`make test KUBECONFIG=...` runs them against a real one.
"""

from __future__ import annotations

import threading

import pytest

from cluster.api import JSON_PATCH, STRATEGIC
from cluster.errors import (
    Conflict,
    Expired,
    Invalid,
    NotFound,
    TooManyRequests,
    Unavailable,
)
from tests.stand_in.harness import Harness

KARPENTER = "/apis/karpenter.sh/v1/nodepools"
CHECKPOINTED = "pilothouse.dev/checkpointed"
KUEUE_VERSIONS = ("v1beta2", "v1beta1")
BUDGETS = ("policy/v1", "poddisruptionbudgets")


def add_budget(cluster: Harness, app: str) -> None:
    """A budget that lets nothing of one pod be disturbed, counted."""
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": app}}}
    made = cluster.create(cluster.path(*BUDGETS), {"metadata": {"name": app}, "spec": spec})
    path = cluster.path(*BUDGETS, made["metadata"]["name"])
    cluster.settle(lambda: cluster.api.get(path)["status"].get("currentHealthy") == 1)


def is_running(cluster: Harness, pod: str) -> bool:
    status = cluster.api.get(cluster.path("v1", "pods", pod))["status"]
    return any(
        one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ()
    )


def test_a_list_is_read_page_by_page_as_of_one_version(cluster_under_test: Harness) -> None:
    folder = cluster_under_test.path("v1", "configmaps")
    for name in "abc":
        cluster_under_test.create(folder, {"metadata": {"name": name, "labels": {"of": "test"}}})
    pages = list(cluster_under_test.api.pages(folder, page_size=2, labelSelector="of=test"))
    names = [[item["metadata"]["name"] for item in page["items"]] for page in pages]
    assert names == [["a", "b"], ["c"]]
    assert len({page["metadata"]["resourceVersion"] for page in pages}) == 1


def test_a_watch_goes_on_from_the_version_that_was_read_last(cluster_under_test: Harness) -> None:
    api, folder = cluster_under_test.api, cluster_under_test.path("v1", "configmaps")
    version = api.get(folder)["metadata"]["resourceVersion"]
    cluster_under_test.create(folder, {"metadata": {"name": "watched"}})
    ours = {"fieldSelector": "metadata.name=watched"}  # a namespace gets others of the cluster's
    watched = api.watch(folder, version, 10, **ours)
    first = next(event for event in watched if event[0] != "BOOKMARK")
    assert (first[0], first[1]["metadata"]["name"]) == ("ADDED", "watched")
    api.patch(f"{folder}/watched", {"data": {"a": "b"}})
    api.delete(f"{folder}/watched")
    resumed = []
    for kind, _ in api.watch(folder, first[1]["metadata"]["resourceVersion"], 10, **ours):
        resumed.extend([kind] if kind != "BOOKMARK" else [])
        if kind == "DELETED":
            break
    assert resumed == ["MODIFIED", "DELETED"]


def test_a_watch_by_a_label_sees_objects_enter_and_leave(cluster_under_test: Harness) -> None:
    api, folder = cluster_under_test.api, cluster_under_test.path("v1", "configmaps")
    cluster_under_test.create(folder, {"metadata": {"name": "in-and-out"}})
    version = api.get(folder)["metadata"]["resourceVersion"]
    api.patch(f"{folder}/in-and-out", {"metadata": {"labels": {"seen": "yes"}}})
    api.patch(f"{folder}/in-and-out", {"metadata": {"labels": {"seen": None}}})
    told = []
    for kind, _ in api.watch(folder, version, 10, labelSelector="seen=yes"):
        told.append(kind)
        if kind == "DELETED":
            break
    assert told == ["ADDED", "DELETED"]


def test_a_change_reaches_a_watch_that_is_open(cluster_under_test: Harness) -> None:
    api, folder = cluster_under_test.api, cluster_under_test.path("v1", "configmaps")
    version = api.get(folder)["metadata"]["resourceVersion"]
    told: list[str] = []

    def follow() -> None:
        for kind, body in api.watch(folder, version, 10, fieldSelector="metadata.name=late"):
            told.append(f"{kind} {body['metadata']['name']}")
            return

    follower = threading.Thread(target=follow)
    follower.start()
    cluster_under_test.create(folder, {"metadata": {"name": "late"}})
    follower.join(15)
    assert told == ["ADDED late"]


def test_a_list_at_a_version_that_is_compacted_away_is_expired(
    cluster_under_test: Harness,
) -> None:
    query = {"resourceVersion": "1", "resourceVersionMatch": "Exact"}
    with pytest.raises(Expired):
        cluster_under_test.api.get("/api/v1/nodes", **query)


def test_an_unknown_kind_is_told_from_a_missing_object(cluster_under_test: Harness) -> None:
    with pytest.raises(NotFound) as kind:
        cluster_under_test.api.get("/apis/no.such/v1/things")
    assert kind.value.is_unknown_kind
    with pytest.raises(NotFound) as named:
        cluster_under_test.api.get("/api/v1/nodes/no-such-node")
    assert not named.value.is_unknown_kind


def test_a_version_in_the_body_is_a_precondition(cluster_under_test: Harness) -> None:
    api, folder = cluster_under_test.api, cluster_under_test.path("v1", "configmaps")
    made = cluster_under_test.create(folder, {"metadata": {"name": "raced"}})
    api.patch(f"{folder}/raced", {"data": {"by": "another"}})
    stale = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}}
    with pytest.raises(Conflict) as refused:
        api.patch(f"{folder}/raced", {**stale, "data": {"by": "us"}})
    assert not refused.value.exists_already
    with pytest.raises(Conflict) as twice:
        api.create(folder, {"metadata": {"name": "raced"}})
    assert twice.value.exists_already
    with pytest.raises(Invalid):
        api.patch(
            f"{folder}/raced", [{"op": "test", "path": "/data/by", "value": "us"}], JSON_PATCH
        )


def test_a_dry_run_changes_nothing(cluster_under_test: Harness) -> None:
    api, folder = cluster_under_test.api, cluster_under_test.path("v1", "configmaps")
    cluster_under_test.create(folder, {"metadata": {"name": "dry"}})
    answered = api.patch(f"{folder}/dry", {"data": {"a": "b"}}, dryRun="All")
    assert answered["data"] == {"a": "b"}
    assert "data" not in api.get(f"{folder}/dry")


def test_a_cordon_is_followed_by_its_taint_and_taints_are_replaced_as_a_whole(
    cluster_under_test: Harness,
) -> None:
    api, name = cluster_under_test.api, cluster_under_test.add_node(1)
    path = f"/api/v1/nodes/{name}"
    api.patch(path, {"spec": {"unschedulable": True}}, STRATEGIC)

    def keys() -> set[str]:
        return {taint["key"] for taint in api.get(path)["spec"].get("taints") or ()}

    cluster_under_test.settle(lambda: "node.kubernetes.io/unschedulable" in keys())
    taint = {"key": "pilothouse.dev/only", "effect": "NoSchedule"}
    answered = api.patch(path, {"spec": {"taints": [taint]}}, STRATEGIC)
    assert [one["key"] for one in answered["spec"]["taints"]] == ["pilothouse.dev/only"]
    api.patch(path, {"spec": {"unschedulable": None}}, STRATEGIC)
    cluster_under_test.settle(lambda: "node.kubernetes.io/unschedulable" not in keys())


def test_an_eviction_obeys_the_budget_and_is_safe_to_repeat(cluster_under_test: Harness) -> None:
    cluster = cluster_under_test
    node = cluster.add_node(1)
    pod = cluster.add_pod("kept", node, {"app": "kept"})
    cluster.settle(lambda: is_running(cluster, "kept"))
    add_budget(cluster, "kept")
    with pytest.raises(TooManyRequests) as refused:
        cluster.evict("kept", preconditions={"uid": "another"})
    assert refused.value.is_disruption_budget, "the budget is asked before the uid"
    cluster.api.delete(cluster.path(*BUDGETS, "kept"))
    with pytest.raises(Conflict):
        cluster.evict("kept", preconditions={"uid": "another"})
    cluster.evict("kept", dryRun=["All"])
    assert (
        "deletionTimestamp" not in cluster.api.get(cluster.path("v1", "pods", "kept"))["metadata"]
    )
    cluster.evict("kept", preconditions={"uid": pod["metadata"]["uid"]})
    evicted = cluster.api.get(cluster.path("v1", "pods", "kept"))
    assert "DisruptionTarget" in {one["type"] for one in evicted["status"]["conditions"]}
    cluster.evict("kept")
    cluster.settle(lambda: not cluster.pods())
    with pytest.raises(NotFound):
        cluster.evict("kept")


def test_a_job_is_moved_by_suspending_it_and_resumes_elsewhere(
    cluster_under_test: Harness,
) -> None:
    cluster = cluster_under_test
    first, second = cluster.add_node(1), cluster.add_node(2)
    cluster.add_job("moved", gpus=8)
    left = cluster.settle(lambda: cluster.running_on("moved"))
    path = cluster.path("batch/v1", "jobs", "moved")
    away = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [left]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [away]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": terms}
    move = {"spec": {"template": {"spec": {"affinity": {"nodeAffinity": required}}}}}
    with pytest.raises(Invalid):
        cluster.api.patch(path, move)
    cluster.api.patch(path, {"spec": {"suspend": True}})

    def is_suspended() -> bool:
        status = cluster.job("moved")["status"]
        conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
        return conditions.get("Suspended") == "True" and not status.get("active")

    cluster.settle(is_suspended)
    cluster.api.patch(path, move)
    image = {"containers": [{"name": "c", "image": "another"}]}
    with pytest.raises(Invalid):
        cluster.api.patch(path, {"spec": {"template": {"spec": image}}})
    cluster.api.patch(path, {"spec": {"suspend": False}})
    reached = cluster.settle(lambda: cluster.running_on("moved"))
    assert {left, reached} == {first, second}
    assert not cluster.job("moved")["status"].get("failed"), "a suspension is no failure"


def test_a_job_answers_a_request_for_a_checkpoint(cluster_under_test: Harness) -> None:
    cluster = cluster_under_test
    cluster.add_node(1)
    cluster.add_job("saved")
    cluster.settle(lambda: cluster.running_on("saved"))
    asked = {"metadata": {"annotations": {"pilothouse.dev/checkpoint-requested": "r1"}}}
    cluster.api.patch(cluster.path("batch/v1", "jobs", "saved"), asked)

    def answers() -> list[str]:
        notes = [pod["metadata"].get("annotations") or {} for pod in cluster.pods("saved")]
        return [note[CHECKPOINTED] for note in notes if CHECKPOINTED in note]

    assert cluster.settle(answers) == ["r1"]


def test_a_deployment_is_scaled_through_its_subresource(cluster_under_test: Harness) -> None:
    cluster = cluster_under_test
    folder = cluster.path("apps/v1", "deployments")
    pod = {**cluster.pod_spec(0), "restartPolicy": "Always"}
    template = {"metadata": {"labels": {"app": "scaled"}}, "spec": pod}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "scaled"}}, "template": template}
    cluster.create(folder, {"metadata": {"name": "scaled"}, "spec": spec})
    scale = cluster.api.get(f"{folder}/scaled/scale")
    assert (scale["kind"], scale["spec"]) == ("Scale", {}), "no replicas are left out"
    answered = cluster.api.patch(f"{folder}/scaled/scale", {"spec": {"replicas": 2}})
    assert answered["spec"] == {"replicas": 2}
    with pytest.raises(Conflict):
        cluster.api.replace(f"{folder}/scaled/scale", {**scale, "spec": {"replicas": 1}})
    with pytest.raises(Invalid):
        cluster.api.patch(f"{folder}/scaled/scale", {"spec": {"replicas": -1}})
    cluster.settle(lambda: cluster.api.get(f"{folder}/scaled/scale")["status"]["replicas"] == 2)


def test_a_lease_is_renewed_by_a_new_time_alone(cluster_under_test: Harness) -> None:
    api = cluster_under_test.api
    folder = cluster_under_test.path("coordination.k8s.io/v1", "leases")
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 15}
    spec = {**spec, "renewTime": "2026-11-23T10:00:00.000000Z"}
    made = cluster_under_test.create(folder, {"metadata": {"name": "held"}, "spec": spec})
    again = api.replace(f"{folder}/held", made)
    version = made["metadata"]["resourceVersion"]
    assert again["metadata"]["resourceVersion"] == version, "nothing changed: it protects nothing"
    renewed = {**made, "spec": {**spec, "renewTime": "2026-11-23T10:00:05.000000Z"}}
    after = api.replace(f"{folder}/held", renewed)
    assert after["metadata"]["resourceVersion"] != version
    with pytest.raises(Conflict):
        api.replace(f"{folder}/held", {**made, "spec": {**spec, "holderIdentity": "b"}})


def test_the_server_says_what_one_may_do(cluster_under_test: Harness) -> None:
    wanted = {
        "verb": "create",
        "resource": "pods",
        "subresource": "eviction",
        "namespace": cluster_under_test.namespace,
    }
    answer = cluster_under_test.api.create(
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        {"spec": {"resourceAttributes": wanted}},
    )
    assert answer["status"]["allowed"] is True


def test_an_event_of_a_node_stands_in_the_default_namespace(cluster_under_test: Harness) -> None:
    cluster = cluster_under_test
    event = {
        "metadata": {"generateName": f"{cluster.namespace}-"},
        "involvedObject": {"kind": "Node", "name": "n", "apiVersion": "v1"},
        "reason": "Tested",
        "message": "a test",
        "type": "Normal",
    }
    made = cluster.create("/api/v1/namespaces/default/events", event)
    assert made["metadata"]["namespace"] == "default"
    with pytest.raises(Invalid):
        cluster.api.create(cluster.path("v1", "events"), event)


def test_a_dynamic_node_pool_has_no_scale_and_answers_500(cluster_under_test: Harness) -> None:
    cluster = cluster_under_test
    cluster.requires(KARPENTER, "Karpenter")
    reference = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "none"}
    capacity = {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]}
    taint = {"key": "pilothouse.dev/test", "value": cluster.run, "effect": "NoSchedule"}
    template = {"nodeClassRef": reference, "requirements": [capacity], "taints": [taint]}
    names = {"static": {"replicas": 0}, "dynamic": {"limits": {"nvidia.com/gpu": "0"}}}
    for name, lever in names.items():
        body = {
            "apiVersion": "karpenter.sh/v1",
            "kind": "NodePool",
            "metadata": {"name": f"{name}-{cluster.run}"},
            "spec": {**lever, "template": {"spec": template}},
        }
        cluster.create(KARPENTER, body)
    assert cluster.api.get(f"{KARPENTER}/static-{cluster.run}/scale")["kind"] == "Scale"
    with pytest.raises(Unavailable) as refused:
        cluster.api.get(f"{KARPENTER}/dynamic-{cluster.run}/scale")
    assert refused.value.status == 500
    with pytest.raises(Invalid) as unfit:
        cluster.api.patch(f"{KARPENTER}/dynamic-{cluster.run}", {"spec": {"weight": 5}}, STRATEGIC)
    assert unfit.value.status == 415


def test_kueue_takes_back_what_is_resumed_without_it(cluster_under_test: Harness) -> None:
    cluster = cluster_under_test
    folders = [cluster.path(f"kueue.x-k8s.io/{each}", "workloads") for each in KUEUE_VERSIONS]
    served = next((folder for folder in folders if cluster.serves(folder)), None)
    if served is None:
        pytest.skip("this cluster has no Kueue")
    # its queue is not there, so that no quota of the cluster is touched
    cluster.add_job("queued", labels={"kueue.x-k8s.io/queue-name": "nowhere"}, suspend=True)
    try:
        cluster.settle(lambda: cluster.api.get(served)["items"], 20)
    except AssertionError:
        pytest.skip("Kueue's kinds are here, but no controller of it answers")
    path = cluster.path("batch/v1", "jobs", "queued")
    cluster.api.patch(path, {"spec": {"suspend": False}})
    cluster.settle(lambda: cluster.job("queued")["spec"]["suspend"])
