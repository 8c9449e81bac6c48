"""What is asked of a Kubernetes cluster: the newest row of each object holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.makers import NOON, POOL, make_job_event, make_pool
from warehouse import cluster
from warehouse.last_told import last_told
from warehouse.records import (
    ClusterEvent,
    ClusterJob,
    ClusterNode,
    ClusterPod,
    ClusterRight,
    ClusterWorkload,
    DisruptionBudget,
    ScaleTarget,
)
from warehouse.store import Store

LATER = NOON + timedelta(seconds=15)
SEEN: dict[str, Any] = {"source": "kubernetes", "measured_at": NOON}


def make_node(**changes: Any) -> ClusterNode:
    made = ClusterNode(
        node_id="n0",
        uid="u-n0",
        pool=POOL,
        gpu_count=8,
        is_ready=True,
        is_unschedulable=False,
        conditions=[],
        taints=[],
        is_do_not_disrupt=False,
        resource_version="1",
        is_gone=False,
        created_at=NOON,
        **SEEN,
    )
    return replace(made, **changes)


def make_pod(**changes: Any) -> ClusterPod:
    made = ClusterPod(
        pod_id="team/train-0",
        uid="u-p0",
        job_id="team/train",
        owner_kind="Job",
        tenant="team",
        node_id="n0",
        gpu_count=4,
        phase="Running",
        is_terminating=False,
        is_do_not_disrupt=False,
        is_gone=False,
        created_at=NOON,
        **SEEN,
    )
    return replace(made, **changes)


def make_job(**changes: Any) -> ClusterJob:
    made = ClusterJob(
        job_id="team/train",
        uid="u-j",
        tenant="team",
        pool=POOL,
        gpu_count=4,
        active_pods=1,
        is_suspended=False,
        state="running",
        checkpoints=True,
        is_do_not_disrupt=False,
        generation=1,
        is_gone=False,
        created_at=NOON,
        **SEEN,
    )
    return replace(made, **changes)


def make_event(**changes: Any) -> ClusterEvent:
    made = ClusterEvent(
        uid="e0",
        kind="Node",
        object_name="n0",
        reason="XIDError",
        message="Xid",
        is_warning=True,
        count=1,
        source="kubernetes",
        happened_at=NOON,
    )
    return replace(made, **changes)


def make_budget(**changes: Any) -> DisruptionBudget:
    made = DisruptionBudget(
        budget_id="team/keep",
        selector={"matchLabels": {"app": "train"}},
        disruptions_allowed=1,
        healthy_pods=2,
        desired_healthy_pods=1,
        is_gone=False,
        **SEEN,
    )
    return replace(made, **changes)


def test_the_newest_row_of_a_node_holds_and_what_is_gone_is_not_there(store: Store) -> None:
    store.append([make_node(), make_node(node_id="n1"), make_node(node_id="n2", pool="other")])
    store.append([make_node(is_unschedulable=True, measured_at=LATER)])
    store.append([make_node(node_id="n1", is_gone=True, measured_at=LATER)])
    assert cluster.nodes(store).rows["node_id"].to_list() == ["n0", "n2"]
    assert cluster.nodes(store, pool="other").total == 1
    assert cluster.nodes(store, is_unschedulable=True).rows["node_id"].to_list() == ["n0"]
    assert cluster.nodes(store, is_ready=False).total == 0
    assert cluster.nodes(store, search="N2").total == 1
    found = cluster.node(store, "n0")
    assert found is not None
    assert found.is_unschedulable
    assert cluster.node(store, "n1") is None


def test_what_went_and_came_again_in_one_pass_is_there(store: Store) -> None:
    store.append([make_node(uid="new"), make_node(uid="old", is_gone=True)])
    found = cluster.node(store, "n0")
    assert found is not None
    assert found.uid == "new"


def test_a_job_has_the_nodes_that_its_pods_hold(store: Store) -> None:
    store.append([make_job(), make_job(job_id="team/idle", state="waiting", pool=None)])
    store.append(
        [
            make_pod(),
            make_pod(pod_id="team/train-1", node_id="n1"),
            make_pod(pod_id="team/train-2", node_id="n2", phase="Succeeded"),
        ]
    )
    (train,) = cluster.jobs(store, node_id="n1").rows.to_dicts()
    assert train["node_ids"] == ["n0", "n1"]
    (idle,) = cluster.jobs(store, states=["waiting"]).rows.to_dicts()
    assert (idle["job_id"], idle["node_ids"]) == ("team/idle", [])
    assert cluster.jobs(store, tenant="nobody").total == 0
    assert cluster.jobs(store, search="TRAIN", pool=POOL).total == 1
    assert [pod.pod_id for pod in cluster.pods_on(store, "n1")] == ["team/train-1"]
    assert len(cluster.pods_of_job(store, "team/train")) == 3
    found = cluster.job(store, "team/train")
    assert found is not None
    assert found.checkpoints


def test_an_event_is_shown_once_as_it_was_last_seen(store: Store) -> None:
    again = NOON + timedelta(minutes=1)
    store.append([make_event(), make_event(count=5, happened_at=again)])
    about_pod = {"kind": "Pod", "namespace": "team", "object_name": "train-0"}
    store.append([make_event(uid="e1", is_warning=False, **about_pod)])
    assert [e.count for e in cluster.events_of(store, "Node", "n0")] == [5]
    assert cluster.events(store).rows["uid"].to_list() == ["e0", "e1"]
    assert cluster.events(store, namespace="team").rows["uid"].to_list() == ["e1"]
    assert cluster.events(store, is_warning=False, kind="Pod").total == 1
    assert cluster.events(store, since=again).total == 1
    assert cluster.events_of(store, "Pod", "train-0", namespace="other") == []


def test_budgets_levers_workloads_and_rights_are_the_newest(store: Store) -> None:
    target = ScaleTarget(
        pool=POOL, target="/x", lever="scale", uid="u", wanted_nodes=2, generation=1, **SEEN
    )
    workload = ClusterWorkload(
        workload_id="c0",
        kind="node_claim",
        is_active=True,
        is_admitted=False,
        is_gone=False,
        **SEEN,
    )
    right = ClusterRight(
        action="quarantine_node", right="patch nodes", is_allowed=False, checked_at=NOON
    )
    store.append([make_budget(), target, workload, right])
    store.append([make_budget(disruptions_allowed=0, measured_at=LATER)])
    store.append([replace(target, wanted_nodes=3, measured_at=LATER)])
    store.append([replace(workload, is_admitted=True, measured_at=LATER)])
    store.append([replace(right, is_allowed=True, checked_at=LATER)])
    assert [budget.disruptions_allowed for budget in cluster.budgets(store)] == [0]
    found = cluster.scale_target(store, POOL)
    assert found is not None
    assert found.wanted_nodes == 3
    assert cluster.scale_target(store, "other") is None
    assert [each.is_admitted for each in cluster.workloads(store)] == [True]
    assert [each.is_allowed for each in cluster.rights(store)] == [True]


def test_a_new_console_learns_what_was_told_last(store: Store) -> None:
    story = {"job_id": "team/train", "source": "kubernetes"}
    at = [NOON + timedelta(seconds=n) for n in range(4)]
    store.append(
        [
            make_job_event(**story, happened_at=at[0]),
            make_job_event(**story, event="started", node_ids=["n0"], happened_at=at[1]),
            make_job_event(**story, event="checkpointed", happened_at=at[2]),
            make_job_event(**story, event="preempted", happened_at=at[3]),
            make_job_event(**story | {"job_id": "team/over"}, event="finished", happened_at=at[3]),
            make_job_event(job_id="simulated", source="simulator", happened_at=at[3]),
            make_pool(source="kubernetes"),
            make_job(),
            make_node(),
            make_event(),
            make_event(uid="old", happened_at=NOON - timedelta(days=1)),
        ]
    )
    last = last_told(store, now=NOON)
    assert last.is_of_a_cluster
    assert dict(last.event_times) == {"e0": 1}
    (standing,) = last.standings
    assert (standing["job_id"], standing["uid"]) == ("team/train", "u-j")
    assert (standing["state"], standing["node_ids"]) == ("waiting", ("n0",))
    assert standing["has_started"]
    assert standing["checkpointed_at"] == at[2]
    assert standing["told_until_at"] == standing["queued_at"] == at[3]


def test_of_a_warehouse_without_a_cluster_nothing_is_told(store: Store) -> None:
    last = last_told(store, now=NOON)
    assert not last.is_of_a_cluster
    assert not last.standings
