"""Which exporters are asked: lists in files that change and break, and pods found in Kubernetes."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from cluster.settings import ClusterSettings
from collectors.base import Refused
from collectors.prometheus import PrometheusCollector
from collectors.prometheus_discovery import LOOKED_FOR_EVERY, Discovery, Sought
from collectors.prometheus_settings import PrometheusSettings
from collectors.prometheus_targets import BrokenList, Target, TargetsFile, target_of, targets_in
from tests.collectors.exporter_farm import Exporters, Says, exposition
from tests.collectors.prometheus_scene import FIRST, gpu, scene
from tests.stand_in import StandIn
from warehouse.records import ClusterPod

YAML = """
- targets: [node-a:9400, "[fd00::1]:9400"]
  labels: {pool: h100, __metrics_path__: /dcgm}
- targets: ["https://node-b/metrics?x=1"]
  labels: {node: b, replicas: 4}
"""


def test_targets_are_read_as_prometheus_writes_them():
    assert targets_in(YAML, is_json=False) == [
        Target("http://node-a:9400/dcgm", pool="h100"),
        Target("http://[fd00::1]:9400/dcgm", pool="h100"),
        Target("https://node-b/metrics?x=1", "b", replicas=4),
    ]
    assert targets_in('[{"targets": ["a:1"]}]', is_json=True) == [Target("http://a:1/metrics")]
    assert target_of("a:1", {"__scheme__": "https"}).url == "https://a:1/metrics"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        "[1]",
        '[{"targets": "a:1"}]',
        '[{"targets": [1]}]',
        '[{"targets": ["a b:1"]}]',
        '[{"targets": ["ftp://a"]}]',
        '[{"targets": ["a:99999"]}]',
        '[{"targets": ["a:1"], "labels": {"replicas": "many"}}]',
        '[{"targets": ["a:1"], "labels": []  , "x": [}]',
    ],
)
def test_a_broken_list_says_where(text):
    with pytest.raises(BrokenList) as caught:
        targets_in(text, is_json=True)
    assert len(str(caught.value)) > 15


def written(path: Path, text: str, at: int) -> None:
    path.write_text(text)
    os.utime(path, ns=(at, at))


def test_a_file_is_read_again_when_it_changes_and_a_broken_one_leaves_the_last_list(tmp_path):
    path = tmp_path / "targets.json"
    listed = TargetsFile(str(path))
    assert "is not there" in (listed.targets()[1] or "")
    written(path, '[{"targets": ["a:1"]}]', 1)
    assert listed.targets() == ([Target("http://a:1/metrics")], None)
    written(path, '[{"targets": ["a:1"', 2)
    targets, why = listed.targets()
    assert targets == [Target("http://a:1/metrics")]
    assert "targets.json: it is no JSON" in (why or "")
    written(path, '[{"targets": ["b:1"]}]', 3)
    assert listed.targets() == ([Target("http://b:1/metrics")], None)


def test_several_files_are_one_list(tmp_path):
    (tmp_path / "a.json").write_text('[{"targets": ["a:1"]}]')
    (tmp_path / "b.yml").write_text("- targets: ['b:1']")
    targets, why = TargetsFile(str(tmp_path / "*.*")).targets()
    assert [each.name for each in targets] == ["a:1", "b:1"]
    assert why is None


def test_a_list_that_broke_is_told_in_the_run_and_its_targets_are_asked_still(tmp_path, now):
    with scene(tmp_path, now) as stage:
        stage.serve(gpu(0))
        stage.round()
        stage.file.write_text("[{")
        told = stage.round()
        assert set(told.samples) == {"GPU-0"}
        assert "the list of targets may be old" in told.notes


def test_a_list_that_never_was_is_a_failure_that_a_person_must_mend(tmp_path, now):
    with scene(tmp_path, now) as stage:
        stage.file.unlink()
        with pytest.raises(Refused, match=r"targets\.json is not there"):
            stage.round()


# -- Kubernetes ---------------------------------------------------------------------------


def exporter(cluster: StandIn, name: str, ip: str, node: str, **status: str) -> None:
    cluster.put(
        f"api/v1/namespaces/gpu-operator/pods/{name}",
        {
            "metadata": {"labels": {"app": "nvidia-dcgm-exporter"}},
            "spec": {
                "nodeName": node,
                "containers": [
                    {"name": "c", "ports": [{"name": "metrics", "containerPort": 9400}]}
                ],
            },
            "status": {"phase": "Running", "podIP": ip, **status},
        },
    )


def node(cluster: StandIn, name: str, labels: dict[str, str]) -> None:
    cluster.put(f"api/v1/nodes/{name}", {"metadata": {"labels": labels}})


@pytest.fixture
def cluster(stand_in: StandIn) -> StandIn:
    node(stand_in, "worker-1", {"pilothouse.dev/pool": "h100", "nvidia.com/gpu.replicas": "4"})
    mps = {"nvidia.com/gpu.replicas": "2", "nvidia.com/gpu.sharing-strategy": "mps"}
    node(stand_in, "worker-2", {"pilothouse.dev/pool": "shared", **mps})
    exporter(stand_in, "one", "10.0.0.1", "worker-1")
    exporter(stand_in, "two", "fd00::2", "worker-2")
    exporter(stand_in, "starting", "", "worker-2", phase="Pending")
    return stand_in


def looking(cluster: StandIn, folder: Path, sought: str = "app=nvidia-dcgm-exporter") -> Discovery:
    return Discovery(cluster.api(folder), ClusterSettings(), (Sought.from_text(sought),))


def test_exporters_are_found_by_their_labels_with_their_nodes(cluster, tmp_path, now):
    targets, why = looking(cluster, tmp_path).targets(now)
    assert why is None
    assert targets == [
        Target("http://10.0.0.1:9400/metrics", "worker-1", "h100", 4),
        Target("http://[fd00::2]:9400/metrics", "worker-2", "shared", 2, "mps"),
    ]


def test_the_port_may_be_said_and_other_pods_are_left_alone(cluster, tmp_path, now):
    found, _ = looking(cluster, tmp_path, "app=nvidia-dcgm-exporter@9500").targets(now)
    assert {each.url.split(":")[-1] for each in found} == {"9500/metrics"}
    assert looking(cluster, tmp_path, "app=other").targets(now) == ([], None)


def test_what_is_found_is_looked_for_anew_now_and_then(cluster, tmp_path, now):
    discovery = looking(cluster, tmp_path)
    discovery.targets(now)
    exporter(cluster, "three", "10.0.0.3", "worker-1")
    assert len(discovery.targets(now + timedelta(seconds=15))[0]) == 2
    assert len(discovery.targets(now + LOOKED_FOR_EVERY)[0]) == 3


def test_while_the_api_server_says_no_the_last_list_holds(cluster, tmp_path, now):
    discovery = looking(cluster, tmp_path)
    discovery.targets(now)
    cluster.faults.storm(500, 1)
    targets, why = discovery.targets(now + LOOKED_FOR_EVERY)
    assert len(targets) == 2
    assert "the exporters can't be looked for in Kubernetes" in (why or "")
    assert discovery.targets(now + LOOKED_FOR_EVERY * 1.1)[1] is None


@pytest.mark.parametrize("text", ["@9400", "app=x@port", "app=x@0"])
def test_a_selector_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="label selector"):
        Sought.from_text(text)


def test_the_collector_asks_what_it_finds_in_a_cluster(stand_in, tmp_path, now):
    node(stand_in, "worker-1", {"pilothouse.dev/pool": "h100"})
    exporter(stand_in, "one", FIRST, "worker-1")
    with Exporters() as exporters:
        exporters.says[FIRST] = Says(exposition([gpu(0, pod="p-0", namespace="acme")]))
        environ = {
            "PILOTHOUSE_PROMETHEUS_KUBERNETES_SELECTOR": (
                f"app=nvidia-dcgm-exporter@{exporters.port}"
            ),
            "PILOTHOUSE_KUBERNETES_KUBECONFIG": str(stand_in.kubeconfig(tmp_path)),
        }
        collector = PrometheusCollector.from_env(environ)
        assert isinstance(collector, PrometheusCollector)
        try:
            (_, frame), *_ = collector.collect(now)
        finally:
            collector.close()
    (row,) = frame.iter_rows(named=True)
    assert (row["node_id"], row["pool"], row["gpu_id"]) == ("worker-1", "h100", "GPU-0")


def test_pods_that_the_kubernetes_collector_stored_tell_whose_a_gpu_is(tmp_path, now):
    pod = ClusterPod(
        pod_id="acme/p-0",
        uid="1",
        job_id="acme/train",
        tenant="Acme Ltd",
        gpu_count=1,
        phase="Running",
        is_terminating=False,
        is_do_not_disrupt=False,
        is_gone=False,
        created_at=now,
        source="kubernetes",
        measured_at=now,
    )
    with scene(tmp_path, now) as stage:
        stage.collector.remember(lambda: [pod])
        stage.serve(gpu(0, pod="p-0", namespace="acme"))
        row = stage.round().samples["GPU-0"]
    assert (row["job_id"], row["tenant"]) == ("acme/train", "Acme Ltd")


def test_every_setting_can_be_given():
    settings = PrometheusSettings(kubernetes_selector="a=b@1; c=d", shard="2/3")
    assert settings.sought == (Sought("a=b", 1), Sought("c=d", None))
    assert (settings.part.number, settings.part.count) == (2, 3)
