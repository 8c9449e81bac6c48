"""What kube-state-metrics tells: nodes and pods as rows, and whose GPU is whose."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from collectors.prometheus import PrometheusCollector
from collectors.prometheus_cluster import Cluster
from collectors.prometheus_objects import Objects
from collectors.prometheus_rows import NodeFacts, Work
from tests.collectors.exporter_farm import Says, exposition
from tests.collectors.prometheus_scene import FIRST, gpu, scene
from tests.collectors.test_prometheus import GOOD
from warehouse.records import ClusterNode, ClusterPod, NodeReading

STATE = "127.0.0.9"
URL = "http://ksm:8080/metrics"


def node(name: str, *, labels: str = "", is_ready: bool = True, gpus: int = 8) -> str:
    ready, other = ("true", "false") if is_ready else ("false", "true")
    condition = f'kube_node_status_condition{{node="{name}",condition="Ready",status='
    resource = f'{{node="{name}",resource="nvidia_com_gpu",unit="integer"}} {gpus}'
    return f"""\
kube_node_info{{node="{name}",provider_id="aws:///i-1",system_uuid="ec2-1"}} 1
kube_node_created{{node="{name}"}} 1.7616e+09
kube_node_labels{{node="{name}"{labels}}} 1
kube_node_spec_unschedulable{{node="{name}"}} 0
{condition}"{ready}"}} 1
{condition}"{other}"}} 0
{condition}"unknown"}} 0
kube_node_status_capacity{resource}
kube_node_status_allocatable{resource}
kube_node_status_allocatable{{node="{name}",resource="cpu",unit="core"}} 95.5
"""


def pod(
    name: str,
    owner: str = "Job/train",
    *,
    labels: str = "",
    resource: str = "nvidia_com_gpu",
    node_id: str = "worker-1",
    phase: str = "Running",
) -> str:
    who = f'namespace="acme",pod="{name}",uid="uid-{name}"'
    kind, _, owner_name = owner.partition("/")
    return f"""\
kube_pod_info{{{who},node="{node_id}",created_by_kind="{kind}",priority_class=""}} 1
kube_pod_owner{{{who},owner_kind="{kind}",owner_name="{owner_name}",owner_is_controller="true"}} 1
kube_pod_labels{{{who}{labels}}} 1
kube_pod_created{{{who}}} 1.7616e+09
kube_pod_status_phase{{{who},phase="{phase}"}} 1
kube_pod_status_phase{{{who},phase="Failed"}} 0
kube_pod_container_resource_requests{{{who},node="{node_id}",resource="{resource}"}} 1
"""


LABELS = (
    ',label_pilothouse_dev_pool="h100",label_nvidia_com_gpu_product="H100",'
    'label_nvidia_com_gpu_replicas="4",label_nvidia_com_gpu_sharing_strategy="time-slicing"'
)


def told(text: str, now: datetime, cluster: Cluster | None = None) -> list:
    cluster = cluster or Cluster(stores_rows=True)
    cluster.read(URL, text, False)
    return list(cluster.rows(now))


def test_a_node_is_told_as_it_stands(now):
    rows = told(node("worker-1", labels=LABELS) + pod("train-0") + pod("train-1"), now)
    (reading,) = [row for row in rows if type(row) is NodeReading]
    assert (reading.node_id, reading.pool, reading.state) == ("worker-1", "h100", "active")
    assert (reading.gpu_count, reading.gpus_used, reading.source) == (8, 2, "prometheus")
    (seen,) = [row for row in rows if type(row) is ClusterNode]
    assert (seen.uid, seen.provider_id, seen.gpu_model) == ("ec2-1", "aws:///i-1", "H100")
    assert seen.is_ready


def test_a_node_that_is_not_ready_is_down_and_one_that_is_cordoned_is_so(now):
    down = told(node("a", is_ready=False), now)
    assert next(row for row in down if type(row) is NodeReading).state == "down"
    cordoned = node("a").replace('unschedulable{node="a"} 0', 'unschedulable{node="a"} 1')
    rows = told(cordoned, now)
    assert next(row for row in rows if type(row) is NodeReading).state == "cordoned"


@pytest.mark.parametrize(
    ("owner", "labels", "job_id", "tenant"),
    [
        ("Job/train", "", "acme/train", "acme"),
        ("Job/train", ',label_pilothouse_dev_tenant="Acme Ltd"', "acme/train", "Acme Ltd"),
        ("ReplicaSet/serve-abc", ',label_pod_template_hash="abc"', "acme/serve", "acme"),
        ("<none>/<none>", "", "acme/p", "acme"),
    ],
)
def test_jobs_and_tenants_are_named_as_the_kubernetes_collector_names_them(
    owner, labels, job_id, tenant
):
    cluster = Cluster(stores_rows=False)
    cluster.read(URL, pod("p", owner, labels=labels), False)
    assert cluster.work == {"acme/p": Work(job_id, tenant)}


def test_mig_slices_are_counted_and_pods_without_gpus_left_out():
    objects = Objects(())
    objects.read(pod("a", resource="nvidia_com_mig_3g_40gb") + pod("b", resource="cpu"), False)
    assert set(objects.pods) == {("acme", "a")}
    (container,) = objects.pods["acme", "a"]["spec"]["containers"]
    assert container == {"resources": {"requests": {"nvidia.com/mig-3g.40gb": 1}}}


def test_what_a_node_says_of_sharing_is_known():
    cluster = Cluster(stores_rows=False)
    cluster.read(URL, node("worker-1", labels=LABELS) + node("bare"), False)
    assert cluster.nodes == {
        "worker-1": NodeFacts("h100", 4, "time_sliced"),
        "bare": NodeFacts(None, None, None),
    }


def test_nodes_and_pods_are_told_when_they_change_and_once_more_when_they_are_gone(now):
    cluster = Cluster(stores_rows=True)
    text = node("worker-1", labels=LABELS) + pod("train-0", phase="Pending")
    kinds = [type(row) for row in told(text, now, cluster)]
    assert sorted(kind.__name__ for kind in kinds) == ["ClusterNode", "ClusterPod", "NodeReading"]
    assert [type(row) for row in told(text, now, cluster)] == [NodeReading]
    running = node("worker-1", labels=LABELS) + pod("train-0")
    (_, changed) = told(running, now + timedelta(seconds=15), cluster)
    assert (type(changed), changed.phase, changed.is_gone) == (ClusterPod, "Running", False)
    (_, gone) = told(node("worker-1", labels=LABELS), now + timedelta(seconds=30), cluster)
    assert (gone.pod_id, gone.is_gone) == ("acme/train-0", True)


def test_a_round_without_its_answer_brings_no_rows_and_forgets_nothing(now):
    cluster = Cluster(stores_rows=True)
    told(node("worker-1") + pod("train-0"), now, cluster)
    assert list(cluster.rows(now)) == []
    assert cluster.work
    cluster.read("http://ksm-2:8080/metrics", pod("train-1"), False)
    assert list(cluster.rows(now)) == []  # of two shards one is silent
    assert set(cluster.work) == {"acme/train-0", "acme/train-1"}
    cluster.forget([URL])
    assert len(told(node("worker-1") + pod("train-0"), now, cluster)) > 1


def test_what_can_not_be_read_is_left_out_and_named(now):
    odd = pod("odd").replace("kube_pod_created", "kube_pod_made")
    rows = told(node("worker-1") + odd, now)
    assert not [row for row in rows if type(row) is ClusterPod]
    assert "for example odd: it has no creationTimestamp" in rows[-1].text


def test_it_is_one_of_the_targets_and_names_the_jobs_of_gpus(tmp_path, now):
    with scene(tmp_path, now, cluster=Cluster(stores_rows=True)) as stage:
        stage.list(FIRST, STATE)
        held = gpu(0, host="worker-1", pod="train-0", namespace="acme")
        stage.exporters.says[FIRST] = Says(exposition([held]))
        stage.exporters.says[STATE] = Says(node("worker-1", labels=LABELS) + pod("train-0"))
        told = stage.round()
        row = told.samples["GPU-0"]
        assert (row["job_id"], row["pool"], row["sharing"]) == ("acme/train", "h100", "time_sliced")
        assert told.shares[0]["share_ratio"] == 0.25
        assert [each.node_id for each in told.of(NodeReading)] == ["worker-1"]
        assert not told.notes


@pytest.mark.parametrize(
    ("environ", "stores"),
    [
        ({}, True),
        ({"PILOTHOUSE_KUBERNETES_KUBECONFIG": "/k"}, False),
        ({"PILOTHOUSE_KUBERNETES_KUBECONFIG": "/k", "PILOTHOUSE_KUBERNETES_ENABLED": "0"}, True),
        ({"PILOTHOUSE_PROMETHEUS_CLUSTER_ROWS": "off"}, False),
        (
            {"PILOTHOUSE_KUBERNETES_IN_CLUSTER": "1", "PILOTHOUSE_PROMETHEUS_CLUSTER_ROWS": "on"},
            True,
        ),
    ],
)
def test_its_rows_are_stored_unless_the_cluster_is_read_itself(environ, stores):
    given = {"PILOTHOUSE_PROMETHEUS_TARGETS_FILE": "targets.json", **environ}
    collector = PrometheusCollector.from_env(given)
    assert isinstance(collector, PrometheusCollector)
    assert collector.stores_cluster_rows is stores


def test_a_text_that_is_half_broken_fails_its_target_alone(tmp_path, now):
    with scene(tmp_path, now, cluster=Cluster(stores_rows=True)) as stage:
        stage.list(FIRST, STATE)
        stage.exporters.says[FIRST] = Says(GOOD)
        stage.exporters.says[STATE] = Says(node("worker-1") + "kube_pod_info{pod=} 1\n")
        told = stage.round()
        assert len(told.samples) == 2
        assert not told.of(NodeReading)
        assert "1 of 2 targets failed" in told.notes
