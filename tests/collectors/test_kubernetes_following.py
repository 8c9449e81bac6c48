"""Listing and watching: pages, resumption, 410, cut watches, missing kinds, rights and storms."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.base import RateLimited, Refused, Unreachable
from collectors.kubernetes import Hands
from collectors.kubernetes_cache import Follower, Kind
from collectors.kubernetes_kinds import CORE, core_kinds
from tests.collectors.kubernetes_scene import POOL, Scene, job_path, node_path
from tests.stand_in import StandIn
from warehouse.records import (
    ClusterJob,
    ClusterNode,
    ClusterPod,
    ClusterWorkload,
    DisruptionBudget,
    NodeReading,
    Pool,
    PoolState,
)


@pytest.fixture
def cluster() -> Iterator[StandIn]:
    with StandIn() as made:
        yield made


@pytest.fixture
def scene(cluster: StandIn, tmp_path: Path) -> Scene:
    for n in range(3):
        cluster.add_node(f"n{n}", pool=POOL)
    cluster.add_job("train", gpus=4)
    cluster.settle(2)
    return Scene(cluster, tmp_path)


def paths(cluster: StandIn, part: str) -> list[str]:
    return [path for _, path, _ in cluster.requests if part in path]


def test_a_kind_is_listed_once_and_then_watched_from_its_last_version(scene: Scene) -> None:
    scene.read()
    scene.cluster.add_node("n3", pool=POOL)
    assert [node.node_id for node in scene.read().of(ClusterNode)] == ["n3"]
    quiet = scene.read()
    asked = paths(scene.cluster, "/api/v1/nodes")
    assert ["watch=" in path for path in asked] == [False, True, True]
    assert asked[1].split("resourceVersion=")[1] != asked[2].split("resourceVersion=")[1]
    assert {type(row) for row in quiet.rows} == {NodeReading, PoolState}
    assert len(quiet.of(NodeReading)) == 4


def test_a_list_is_read_page_by_page(cluster: StandIn, tmp_path: Path) -> None:
    for n in range(7):
        cluster.add_node(f"n{n}", pool=POOL)
    found = Scene(cluster, tmp_path, page_size=3).read()
    assert len(found.of(ClusterNode)) == 7
    assert len(paths(cluster, "/api/v1/nodes?")) == 3


def test_a_list_that_expires_between_two_pages_is_begun_anew(
    cluster: StandIn, tmp_path: Path
) -> None:
    for n in range(5):
        cluster.add_node(f"n{n}", pool=POOL)
    cluster.faults.storm(410, 1, "GET /api/v1/nodes")
    found = Scene(cluster, tmp_path, page_size=2).read()
    assert len(found.of(ClusterNode)) == 5


def test_what_has_no_gpu_is_dropped_at_once(scene: Scene) -> None:
    scene.cluster.add_node("cpu", gpus=0)
    scene.cluster.add_pod("web", gpus=0, node="cpu")
    scene.cluster.add_job("report", gpus=0)
    scene.read()
    kept = scene.cached()
    assert "cpu" not in kept["nodes"]
    assert set(kept["jobs"]) == {"default/train"}
    assert all("train" in name for name in kept["pods"])


def test_a_version_that_is_compacted_away_is_listed_anew_and_told_as_differences(
    scene: Scene,
) -> None:
    scene.read()
    scene.cluster.drop(node_path("n1"))
    scene.cluster.add_node("n9", pool=POOL)
    scene.cluster.faults.compact()
    found = scene.read()
    assert {(row.node_id, row.is_gone) for row in found.of(ClusterNode)} == {
        ("n1", True),
        ("n9", False),
    }
    assert not found.of(ClusterJob)


def test_what_comes_and_goes_between_two_passes_is_seen(scene: Scene) -> None:
    scene.read()
    scene.cluster.add_job("brief", gpus=1)
    scene.cluster.settle(3)
    scene.cluster.drop(job_path("brief"))
    found = scene.read()
    events = [event for job, event in found.happened if job == "default/brief"]
    assert events[0] == "submitted"
    assert events[-1] == "left"


def test_of_two_changes_in_one_pass_neither_hides_the_other(scene: Scene) -> None:
    (pod,) = (each.pod_id for each in scene.read().of(ClusterPod))
    path = f"/api/v1/namespaces/default/pods/{pod.split('/')[1]}"
    scene.change(path, "status", "phase", to="Failed")
    word = "pilothouse.dev/checkpointed-at"  # it is no part of a pod's row
    scene.change(path, "metadata", "annotations", word, to="2026-11-23T10:00:00Z")
    assert scene.read().only(ClusterPod).phase == "Failed"


def test_a_watch_that_is_cut_is_taken_up_from_where_it_was(scene: Scene) -> None:
    scene.read()
    scene.cluster.add_node("n3", pool=POOL)
    scene.cluster.faults.lose_answers(1, r"GET /api/v1/nodes\?watch|GET /api/v1/nodes$")
    assert [node.node_id for node in scene.read().of(ClusterNode)] == ["n3"]


def test_a_watch_that_is_cut_in_the_middle_loses_nothing(scene: Scene) -> None:
    kind = core_kinds(scene.settings)[0]
    follower = Follower(kind, scene.cluster.api(), 100)
    follower.follow(1.0)
    watching = threading.Thread(target=follower.follow, args=(1.0,))
    watching.start()
    while not paths(scene.cluster, "watch=true"):
        threading.Event().wait(0.01)
    scene.cluster.add_node("n3", pool=POOL)
    scene.cluster.faults.cut_watches()
    while len(paths(scene.cluster, "watch=true")) < 2:
        threading.Event().wait(0.01)
    scene.cluster.add_node("n4", pool=POOL)
    watching.join()
    assert {"n3", "n4"} <= follower.objects.keys()


def test_nothing_is_forgotten_while_the_server_is_away(scene: Scene) -> None:
    scene.read()
    scene.cluster.faults.down()
    with pytest.raises(Unreachable, match="kept"):
        scene.read()
    scene.cluster.add_node("n3", pool=POOL)
    scene.cluster.faults.up()
    found = scene.read()
    assert [node.node_id for node in found.of(ClusterNode)] == ["n3"]
    assert len(paths(scene.cluster, "/api/v1/nodes?limit")) == 1


def test_a_busy_server_is_asked_again_when_it_said(scene: Scene) -> None:
    scene.cluster.faults.storm(429, 1, "GET /api/v1/pods")
    with pytest.raises(RateLimited) as caught:
        scene.read()
    assert caught.value.retry_after_seconds == 1
    assert scene.read().of(ClusterPod)


def test_what_others_read_in_a_pass_that_failed_is_told_by_the_next(scene: Scene) -> None:
    scene.read()
    scene.cluster.add_node("n3", pool=POOL)
    scene.cluster.faults.storm(500, 1, "GET /api/v1/pods")
    with pytest.raises(Unreachable):
        scene.read()
    assert [node.node_id for node in scene.read().of(ClusterNode)] == ["n3"]


def test_a_watch_that_fails_time_and_again_is_given_up_for_a_list(scene: Scene) -> None:
    scene.read()
    scene.cluster.faults.storm(500, 3, "GET /api/v1/pods")
    for _ in range(3):
        with pytest.raises(Unreachable):
            scene.read()
    scene.read()
    assert len(paths(scene.cluster, "/api/v1/pods?limit")) == 2


def test_a_missing_right_leaves_its_kind_out_and_says_so(scene: Scene) -> None:
    scene.cluster.faults.forbid("*", "poddisruptionbudgets")
    found = scene.read()
    assert len(found.of(ClusterNode)) == 3
    assert ["poddisruptionbudgets" in note for note in found.notes] == [True]
    scene.cluster.faults.calm()
    scene.cluster.add_budget("keep", {"job-name": "train"})
    assert scene.read().only(DisruptionBudget).budget_id == "default/keep"


def test_a_fleet_whose_pods_are_unknown_is_not_told_as_empty(scene: Scene) -> None:
    scene.cluster.faults.forbid("list", "pods")
    found = scene.read()
    assert found.of(ClusterNode)
    assert not found.of(PoolState)


def test_an_account_that_may_read_nothing_is_refused(scene: Scene) -> None:
    for resource in CORE:
        scene.cluster.faults.forbid("list", resource)
    with pytest.raises(Refused, match="may read nothing"):
        scene.read()


def test_credentials_that_are_not_known_are_refused(scene: Scene, tmp_path: Path) -> None:
    scene.settings.kubeconfig.write_text(  # type: ignore[union-attr]
        scene.cluster.kubeconfig(tmp_path, token="nobody").read_text()
    )
    scene.collector = scene.another_console()
    with pytest.raises(Refused, match="PILOTHOUSE_KUBERNETES_KUBECONFIG"):
        scene.read()


def test_kinds_that_are_not_there_are_not_asked_for(tmp_path: Path) -> None:
    with StandIn(karpenter=False, cluster_api=False, queues=None) as cluster:
        cluster.add_node("n0", pool=POOL)
        Scene(cluster, tmp_path).read()
        assert not paths(cluster, "karpenter")
        assert not paths(cluster, "kueue")


@pytest.mark.parametrize("version", ["v1beta1", "v1beta2"])
def test_kueues_workloads_are_read_at_the_version_that_is_served(
    tmp_path: Path, version: str
) -> None:
    with StandIn(queues=version) as cluster:
        cluster.add_node("n0", pool=POOL)
        cluster.add_queue("team")
        cluster.add_job("train", gpus=2, queue="team")
        cluster.settle(3)
        found = Scene(cluster, tmp_path).read()
        workload = found.only(ClusterWorkload)
        assert (workload.queue, workload.subject) == ("team", "default/train")
        assert workload.is_admitted
        assert found.only(ClusterJob).workload == workload.workload_id


def test_an_object_that_makes_no_sense_is_noted_and_hides_no_other(scene: Scene) -> None:
    scene.cluster.put("/api/v1/namespaces/default/pods/hollow", {"kind": "Pod", "spec": {}})
    body = scene.cluster.get(node_path("n0"))
    body["status"]["allocatable"]["nvidia.com/gpu"] = "-8"
    scene.cluster.put(node_path("bad"), {**body, "metadata": {"name": "bad"}})
    found = scene.read()
    assert {node.node_id for node in found.of(ClusterNode)} == {"n0", "n1", "n2"}
    assert len([note for note in found.notes if "can't be read" in note]) == 2
    assert "bad (nvidia.com/gpu is -8)" in " ".join(found.notes)


def test_of_what_can_no_longer_be_read_the_last_stays(scene: Scene) -> None:
    scene.read()
    scene.change(node_path("n0"), "status", "allocatable", "nvidia.com/gpu", to="many")
    found = scene.read()
    assert not found.of(ClusterNode)
    assert len(found.of(NodeReading)) == 3
    scene.change(node_path("n0"), "status", "allocatable", "nvidia.com/gpu", to="4")
    later = scene.read()
    assert later.only(ClusterNode).gpu_count == 4
    assert not later.notes


def test_a_pass_that_took_too_long_is_told_by_the_next(cluster: StandIn, tmp_path: Path) -> None:
    cluster.add_node("n0", pool=POOL)
    seconds = iter([0.0, 99.0, 100.0, 100.5])
    scene = Scene(cluster, tmp_path, hands=Hands(seconds=lambda: next(seconds)))
    with pytest.raises(Unreachable, match="TIME_LIMIT"):
        scene.read()
    assert scene.read().only(ClusterNode).node_id == "n0"


def test_a_name_may_be_anything_that_is_legal(scene: Scene) -> None:
    odd = "0.a-b.c" * 30
    scene.cluster.add_job(odd[:63].rstrip(".-"), namespace="x" * 63, gpus=1)
    found = scene.read()
    assert f"{'x' * 63}/{odd[:63].rstrip('.-')}" in {job.job_id for job in found.of(ClusterJob)}


def test_a_kind_that_is_taken_away_takes_its_objects_along() -> None:
    class Wire:
        def pages(self, path: str, page_size: int) -> list[object]:
            return [{"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "a"}}]}]

    class Seen(tuple[str]):
        key = "a"

    kind = Kind("things", "/apis/x/v1/things", lambda found: Seen(("a",)))
    follower = Follower(kind, Wire(), 10)  # type: ignore[arg-type]
    follower.follow(1)
    follower.take_changes()
    follower.empty()
    assert [(key, change.is_gone) for key, change in follower.take_changes().items()] == [
        ("a", True)
    ]
    assert not follower.is_complete


@pytest.mark.parametrize("seed", range(4))
def test_after_any_changes_and_faults_what_is_kept_is_what_a_fresh_list_shows(
    scene: Scene, seed: int
) -> None:
    chance = random.Random(seed)
    scene.read()
    for turn in range(25):
        _something_happens(scene.cluster, chance, turn)
        if chance.random() < 0.4:
            _something_fails(scene.cluster, chance)
        if chance.random() < 0.5:
            _read_or_fail(scene)
    scene.cluster.faults.calm()
    scene.cluster.faults.up()
    _read_or_fail(scene)
    scene.read()
    fresh = Scene(scene.cluster, scene.pools_file.parent)
    fresh.read()
    assert scene.cached() == fresh.cached()
    assert len(fresh.cached()["pods"]) > 0


def _read_or_fail(scene: Scene) -> None:
    with contextlib.suppress(Unreachable, RateLimited):
        scene.read()


def _something_happens(cluster: StandIn, chance: random.Random, turn: int) -> None:
    what = chance.randrange(6)
    nodes = [node["metadata"]["name"] for node in cluster.all("Node")]
    jobs = [job["metadata"]["name"] for job in cluster.all("Job")]
    if what == 0:
        cluster.add_node(f"m{turn}", pool=POOL, gpus=chance.choice([0, 4, 8]))
    elif what == 1 and len(nodes) > 2:
        cluster.drop(node_path(chance.choice(nodes)))
    elif what == 2 and jobs:
        cluster.drop(job_path(chance.choice(jobs)))
    elif what == 3:
        body = cluster.get(node_path(nodes[0]))
        body["spec"]["unschedulable"] = chance.random() < 0.5
        cluster.put(node_path(nodes[0]), body)
    else:
        cluster.add_job(
            f"j{turn}", gpus=chance.choice([0, 1, 2]), parallelism=chance.choice([1, 3])
        )
    cluster.settle(chance.randrange(3))


def _something_fails(cluster: StandIn, chance: random.Random) -> None:
    what = chance.randrange(5)
    if what == 0:
        cluster.faults.compact()
    elif what == 1:
        cluster.faults.cut_watches()
    elif what == 2:
        cluster.faults.storm(chance.choice([429, 500, 410]), 2, "GET /api")
    elif what == 3:
        cluster.faults.lose_answers(2, "GET /api")
    else:
        cluster.faults.down() if chance.random() < 0.5 else cluster.faults.up()


def test_the_market_stands_beside_our_price_where_somebody_knows_it(
    cluster: StandIn, tmp_path: Path
) -> None:
    asked: list[str] = []

    def market_of(pool: Pool) -> float | None:
        asked.append(pool.gpu_model)
        return 2.2

    cluster.add_node("n0", pool=POOL)
    told = Scene(cluster, tmp_path, hands=Hands(market_of=market_of)).read().only(PoolState)
    assert (told.price_usd_per_gpu_hour, told.market_usd_per_gpu_hour) == (2.6, 2.2)
    assert asked == ["NVIDIA-H100-80GB-HBM3"]
