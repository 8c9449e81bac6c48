"""What happens to jobs, as a cluster's objects show it from pass to pass."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collectors.kubernetes_jobs import Facts, Standing, happenings
from tests.collectors.kubernetes_scene import POOL, Scene, job_path, node_path
from tests.stand_in import StandIn
from warehouse.jobs import jobs as jobs_of
from warehouse.last_told import last_told
from warehouse.records import ClusterJob, ClusterPod, JobEvent
from warehouse.store import Store

AT = datetime(2026, 11, 23, 10, tzinfo=UTC)


@pytest.fixture
def cluster() -> Iterator[StandIn]:
    with StandIn() as made:
        for n in range(2):
            made.add_node(f"n{n}", pool=POOL)
        yield made


@pytest.fixture
def scene(cluster: StandIn, tmp_path: Path) -> Scene:
    made = Scene(cluster, tmp_path)
    made.read()
    return made


def held_by(scene: Scene, name: str) -> list[str]:
    """The nodes of a job's pods, as the server says."""
    pods = scene.cluster.all("Pod")
    return [p["spec"]["nodeName"] for p in pods if p["metadata"]["name"].startswith(name)]


def end(scene: Scene, name: str, kind: str) -> None:
    """Let a Job end, as its controller would say it."""
    at = scene.cluster.objects.stamp()
    body = scene.cluster.get(job_path(name))
    ending = {"type": kind, "status": "True", "lastTransitionTime": at, "reason": "Because"}
    body["status"] = {**body["status"], "active": 0, "ready": 0, "conditions": [ending]}
    for pod in scene.cluster.all("Pod"):
        if pod["metadata"]["name"].startswith(name):
            phase = "Succeeded" if kind == "Complete" else "Failed"
            path = f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}"
            scene.change(path, "status", "phase", to=phase)
    scene.cluster.put(job_path(name), body)


def test_a_job_is_submitted_and_started_at_its_own_instants(scene: Scene) -> None:
    submitted_at = scene.cluster.now
    scene.cluster.add_job("train", gpus=4, labels={"pilothouse.dev/tenant": "blue"})
    waiting = scene.read()
    scene.cluster.settle(3, seconds=2)
    running = scene.read()
    event = waiting.only(JobEvent)
    assert (event.event, event.happened_at, event.tenant) == ("submitted", submitted_at, "blue")
    assert event.price_usd_per_gpu_hour == 2.6
    started = running.only(JobEvent)
    assert started.event == "started"
    assert started.node_ids == held_by(scene, "train")
    assert submitted_at < started.happened_at < scene.cluster.now
    assert (waiting.state.queued_jobs, waiting.state.queued_gpus) == (1, 4)
    assert (running.state.running_jobs, running.state.started_jobs) == (1, 1)


def test_what_was_there_at_the_first_sight_is_no_flow(cluster: StandIn, tmp_path: Path) -> None:
    cluster.add_job("train")
    cluster.settle(3)
    first = Scene(cluster, tmp_path).read()
    assert first.happened == [("default/train", "submitted"), ("default/train", "started")]
    assert (first.state.offered_jobs, first.state.started_jobs) == (0, 0)
    assert first.state.running_jobs == 1


def test_a_job_ends_well_or_not_and_says_why(scene: Scene) -> None:
    for name in ("good", "bad"):
        scene.cluster.add_job(name)
    scene.cluster.settle(3)
    scene.read()
    end(scene, "good", "Complete")
    end(scene, "bad", "Failed")
    found = scene.read()
    assert found.happened == [("default/bad", "failed"), ("default/good", "finished")]
    assert "Because" in (found.of(JobEvent)[0].detail or "")
    assert (found.state.finished_jobs, found.state.failed_jobs) == (1, 1)
    assert {job.job_id: job.state for job in found.of(ClusterJob)} == {
        "default/good": "finished",
        "default/bad": "failed",
    }
    scene.cluster.drop(job_path("good"))
    assert not scene.read().happened


def test_a_job_that_starts_and_ends_between_two_passes_is_told_whole(scene: Scene) -> None:
    scene.cluster.add_job("brief")
    scene.cluster.settle(3)
    end(scene, "brief", "Complete")
    assert [event for _, event in scene.read().happened] == ["submitted", "started", "finished"]


def test_a_job_that_is_deleted_left(scene: Scene) -> None:
    scene.cluster.add_job("waits", gpus=64)
    scene.cluster.add_job("runs")
    scene.cluster.settle(3)
    scene.read()
    for name in ("waits", "runs"):
        scene.cluster.drop(job_path(name))
    scene.cluster.settle(3)
    found = scene.read()
    assert found.happened == [("default/runs", "left"), ("default/waits", "left")]
    assert [event.detail for event in found.of(JobEvent)] == [
        "deleted while it ran",
        "deleted while it waited",
    ]
    assert found.state.left_jobs == 2
    assert all(job.is_gone for job in found.of(ClusterJob))
    assert all(pod.is_gone for pod in found.of(ClusterPod))


def test_a_job_that_is_suspended_moved_and_resumed_was_migrated(scene: Scene) -> None:
    scene.cluster.add_job("train", gpus=2)
    scene.cluster.settle(3)
    scene.read()
    (there,) = held_by(scene, "train")
    scene.change(job_path("train"), "spec", "suspend", to=True)
    scene.cluster.settle(4)
    suspended = scene.read()
    (elsewhere,) = {"n0", "n1"} - {there}
    body = scene.cluster.get(job_path("train"))
    body["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": elsewhere}
    body["spec"]["suspend"] = False
    scene.cluster.put(job_path("train"), body)
    scene.cluster.settle(4)
    resumed = scene.read()
    assert suspended.happened == [("default/train", "preempted")]
    assert suspended.state.queued_jobs == 0  # a person, or we, suspended it: it waits for nobody
    assert suspended.only(ClusterJob).is_suspended
    assert resumed.happened == [("default/train", "migrated")]
    assert resumed.only(JobEvent).node_ids == [elsewhere]


def test_a_job_whose_pod_is_evicted_elsewhere_was_migrated_too(scene: Scene) -> None:
    scene.cluster.add_job("train", gpus=2)
    scene.cluster.settle(3)
    scene.read()
    (there,) = held_by(scene, "train")
    scene.change(node_path(there), "spec", "unschedulable", to=True)
    for pod in scene.cluster.all("Pod"):
        scene.cluster.drop(f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}")
    scene.cluster.settle(40)
    assert ("default/train", "migrated") in scene.read().happened
    assert held_by(scene, "train") != [there]


def test_a_job_without_its_pods_was_preempted_and_waits(scene: Scene) -> None:
    scene.cluster.add_job("train", gpus=8, parallelism=2)
    scene.cluster.settle(3)
    scene.read()
    for node in ("n0", "n1"):
        scene.change(node_path(node), "spec", "unschedulable", to=True)
    for pod in scene.cluster.all("Pod"):
        scene.cluster.drop(f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}")
    scene.cluster.settle(2)
    found = scene.read()
    assert found.happened == [("default/train", "preempted")]
    assert (found.state.queued_jobs, found.state.queued_gpus) == (1, 16)


def test_a_checkpoint_is_told_of_the_job_or_of_one_of_its_pods(scene: Scene) -> None:
    scene.cluster.add_job("train")
    scene.cluster.settle(3)
    scene.read()
    pod = scene.cluster.all("Pod")[0]["metadata"]["name"]
    at = scene.cluster.now
    path = f"/api/v1/namespaces/default/pods/{pod}"
    word = "pilothouse.dev/checkpointed-at"
    scene.change(path, "metadata", "annotations", word, to=at.isoformat())
    found = scene.read()
    assert found.happened == [("default/train", "checkpointed")]
    assert found.only(ClusterJob).checkpointed_at == at
    later = at + timedelta(seconds=30)
    scene.change(job_path("train"), "metadata", "annotations", word, to=later.isoformat())
    assert scene.read().only(JobEvent).happened_at == later


def test_a_checkpoint_of_a_job_that_was_then_suspended_does_not_make_it_run(
    scene: Scene, store: Store
) -> None:
    scene.cluster.add_job("train")
    scene.cluster.settle(3)
    store.append(scene.read().rows)
    scene.change(job_path("train"), "spec", "suspend", to=True)
    scene.cluster.settle(4)
    word = "pilothouse.dev/checkpointed-at"
    late = scene.cluster.now + timedelta(seconds=5)
    scene.change(job_path("train"), "metadata", "annotations", word, to=late.isoformat())
    found = scene.read()
    store.append(found.rows)
    assert [event for _, event in found.happened] == ["checkpointed", "preempted"]
    (state,) = jobs_of(store, now=late).rows["state"].to_list()
    assert state == "queued"


def test_pods_of_other_owners_are_jobs_by_their_owners_name(scene: Scene) -> None:
    scene.cluster.add_deployment("serve", replicas=2, gpus=1)
    scene.cluster.settle(3)
    found = scene.read()
    assert {pod.job_id for pod in found.of(ClusterPod)} == {"default/serve"}
    assert found.happened == [("default/serve", "submitted"), ("default/serve", "started")]
    assert found.of(JobEvent)[-1].gpu_count == 2
    assert not found.of(ClusterJob)


def test_a_name_that_is_given_again_is_another_job(scene: Scene) -> None:
    scene.cluster.add_job("train")
    scene.cluster.settle(3)
    scene.read()
    scene.cluster.drop(job_path("train"))
    scene.cluster.settle(2)
    scene.cluster.add_job("train")
    found = scene.read()
    assert [event for _, event in found.happened] == ["left", "submitted"]


def test_after_a_restart_the_story_goes_on(scene: Scene, store: Store) -> None:
    for name in ("stays", "goes", "ends"):
        scene.cluster.add_job(name)
    scene.cluster.settle(3)
    scene.collector = scene.another_console()
    store.append(scene.read().rows)
    scene.cluster.drop(job_path("goes"))
    end(scene, "ends", "Complete")
    scene.cluster.drop(node_path("n1"))
    scene.cluster.settle(1)
    scene.collector = scene.another_console()
    scene.collector.remember(last_told(store, now=scene.cluster.now))
    found = scene.read()
    store.append(found.rows)
    assert [each for each in found.happened if each[0] != "default/stays"] == [
        ("default/ends", "finished"),
        ("default/goes", "left"),
    ]
    assert found.state.left_jobs == 1
    assert {job.job_id for job in last_told(store, now=AT).jobs} == {
        "default/ends",
        "default/stays",
    }
    assert [node.node_id for node in last_told(store, now=AT).nodes] == ["n0"]


def make_standing(**changes: object) -> Standing:
    made = Standing(
        job_id="a/b",
        uid="u",
        tenant="a",
        pool=POOL,
        gpu_count=1,
        state="running",
        node_ids=("n0", "n1"),
        has_started=True,
        is_queued=False,
        queued_at=AT,
        checkpointed_at=None,
        told_until_at=AT,
    )
    return made._replace(**changes)


def make_facts(**changes: object) -> Facts:
    made = Facts(
        job_id="a/b",
        uid="u",
        tenant="a",
        gpu_count=1,
        state="running",
        node_ids=("n0", "n1"),
        done_on=frozenset(),
        is_suspended=False,
        suspended_at=None,
        is_queued=True,
        created_at=AT,
        began_at=AT,
        newest_start_at=AT,
        ended_at=None,
        why=None,
        checkpointed_at=None,
        disruption=None,
        wants=(),
    )
    return made._replace(**changes)


@pytest.mark.parametrize(
    ("facts", "event"),
    [
        (make_facts(), []),
        (make_facts(node_ids=("n0", "n2")), ["migrated"]),
        (make_facts(node_ids=("n0", "n2"), done_on=frozenset({"n1"})), []),
        (make_facts(node_ids=("n0",)), []),
        (make_facts(node_ids=("n0", "n1", "n2")), ["started"]),
    ],
    ids=["nothing moved", "moved", "the next in a queue of work", "one done", "one more"],
)
def test_a_gang_is_migrated_only_if_a_pod_left_a_node_undone(
    facts: Facts, event: list[str]
) -> None:
    told = happenings(make_standing(), facts, AT)
    assert [each.event for each in told] == event
    assert not any(each.is_counted for each in told if each.event == "started")


def test_nothing_is_dated_before_what_came_earlier() -> None:
    told_until = AT + timedelta(seconds=9)
    old = make_standing(state="waiting", told_until_at=told_until)
    (resumed,) = happenings(old, make_facts(newest_start_at=AT + timedelta(seconds=8)), AT)
    assert (resumed.event, resumed.happened_at) == ("started", told_until)
