"""The Kubernetes collector: its contract, the cluster in the fleet's words, XIDs and pool terms."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cluster.settings import ClusterSettings
from collectors.base import Absent, InvalidSetting, settings_from
from collectors.kubernetes import Hands, KubernetesCollector, KubernetesSettings
from collectors.kubernetes_machines import MachineReader
from collectors.kubernetes_objects import Nonsense, pod_sevenths
from collectors.kubernetes_reading import Reader, event
from collectors.kubernetes_rows import CHUNK, packed
from collectors.kubernetes_xids import xid_of
from tests.collectors.contract import CollectorContract
from tests.collectors.kubernetes_scene import (
    POOL,
    POOLS_FILE,
    Scene,
    event_path,
    make_event,
    node_path,
)
from tests.makers import make_job_event
from tests.stand_in import StandIn
from warehouse.last_told import last_told
from warehouse.records import (
    ClusterEvent,
    ClusterNode,
    ClusterWorkload,
    GpuEvent,
    JobEvent,
    NodeReading,
    Pool,
    PoolState,
    ScaleTarget,
)
from warehouse.store import Store

NODEPOOL = "/apis/karpenter.sh/v1/nodepools"
XID_79 = "NVRM: Xid (PCI:0000:3b:00): 79, pid=12, GPU has fallen off the bus."


@pytest.fixture
def cluster() -> Iterator[StandIn]:
    with StandIn() as made:
        yield made


@pytest.fixture
def scene(cluster: StandIn, tmp_path: Path) -> Scene:
    cluster.add_node("n0", pool=POOL)
    cluster.add_node("n1", pool=POOL)
    return Scene(cluster, tmp_path)


def states(found: Any) -> dict[str, str]:
    return {node.node_id: node.state for node in found.of(NodeReading)}


class TestContract(CollectorContract):
    collector_class = KubernetesCollector

    @pytest.fixture(autouse=True)
    def _scene(self, scene: Scene) -> None:
        scene.cluster.add_job("train")
        scene.cluster.settle(3)
        self.scene = scene

    def make_working(self) -> KubernetesCollector:
        return self.scene.another_console()

    def make_failing(self) -> KubernetesCollector:
        self.scene.cluster.faults.down()
        return self.scene.another_console()

    def test_its_instants_are_utc(self, now: datetime) -> None:
        instants = [
            value
            for row in self.make_working().collect(now)
            for name in type(row).__dataclass_fields__
            if isinstance(value := getattr(row, name), datetime)
        ]
        assert len(instants) > 10
        assert all(value.tzinfo is UTC for value in instants)


# -- where it is given ----------------------------------------------------------------


def test_without_a_cluster_it_is_absent_and_says_what_to_set() -> None:
    absent = KubernetesCollector.from_env({})
    assert isinstance(absent, Absent)
    assert "PILOTHOUSE_KUBERNETES_KUBECONFIG" in absent.reason


def test_a_kubeconfig_leads_to_a_collector(scene: Scene) -> None:
    found = KubernetesCollector.from_env(
        {
            "PILOTHOUSE_KUBERNETES_KUBECONFIG": str(scene.settings.kubeconfig),
            "PILOTHOUSE_KUBERNETES_POOLS_FILE": str(scene.pools_file),
        }
    )
    assert isinstance(found, KubernetesCollector)
    assert found.settings.pools[POOL].price_usd_per_gpu_hour == 2.6


@pytest.mark.parametrize("variable", ["KUBECONFIG", "POOLS_FILE"])
def test_a_file_that_is_not_there_is_no_setting(scene: Scene, variable: str) -> None:
    given = {"PILOTHOUSE_KUBERNETES_KUBECONFIG": str(scene.settings.kubeconfig)}
    with pytest.raises(InvalidSetting, match="nowhere"):
        KubernetesCollector.from_env(given | {f"PILOTHOUSE_KUBERNETES_{variable}": "/nowhere"})


# -- nodes ----------------------------------------------------------------------------


def test_a_node_is_read_with_all_its_labels(scene: Scene) -> None:
    node = scene.read().of(ClusterNode)[0]
    assert (node.node_id, node.pool, node.gpu_model) == ("n0", POOL, "NVIDIA-H100-80GB-HBM3")
    assert (node.gpu_count, node.gpu_memory_bytes) == (8, 81559 * 2**20)
    assert (node.instance_type, node.capacity_type) == ("p5.48xlarge", "on_demand")
    assert (node.region, node.zone) == ("us-east-1", "us-east-1a")
    assert node.is_ready
    assert node.conditions == []


def test_a_node_is_active_cordoned_down_or_on_its_way(scene: Scene) -> None:
    later = scene.cluster.now + timedelta(hours=1)
    scene.change(node_path("n1"), "spec", "unschedulable", to=True)
    scene.cluster.add_node("n2", pool=POOL, ready=False)
    assert states(scene.read()) == {"n0": "active", "n1": "cordoned", "n2": "provisioning"}
    assert states(scene.read(later))["n2"] == "down"
    scene.cluster.drop(node_path("n0"))
    gone = scene.read(later)
    assert states(gone)["n0"] == "off"
    assert gone.only(ClusterNode).is_gone
    assert "n0" not in states(scene.read(later))


def test_a_node_whose_kubelet_falls_silent_is_down_with_its_condition(scene: Scene) -> None:
    scene.read()
    scene.cluster.kill_node("n0")
    scene.cluster.settle(3, seconds=600)
    found = scene.read()
    assert states(found)["n0"] == "down"
    (condition,) = next(n for n in found.of(ClusterNode) if n.node_id == "n0").conditions
    assert (condition["type"], condition["status"]) == ("Ready", "Unknown")


def test_a_heartbeat_alone_is_no_news_but_one_an_hour(scene: Scene) -> None:
    scene.read()
    for beat, told in (("2026-11-23T10:05:00Z", []), ("2026-11-23T11:05:00Z", ["n0"])):
        body = scene.cluster.get(node_path("n0"))
        body["status"]["conditions"][0]["lastHeartbeatTime"] = beat
        scene.cluster.put(node_path("n0"), body)
        assert [node.node_id for node in scene.read().of(ClusterNode)] == told


def test_a_pool_without_a_label_is_a_product_in_a_region() -> None:
    reader = MachineReader(ClusterSettings())
    labels = {"nvidia.com/gpu.product": "Tesla V100", "topology.kubernetes.io/region": "eu-1"}
    assert reader.pool_of(labels) == "tesla-v100-eu-1"
    assert reader.pool_of(labels | {"karpenter.sh/nodepool": "blue"}) == "blue"
    assert reader.pool_of({"a": "b"}) == "gpu"


def test_mig_slices_count_as_their_share_of_a_gpu() -> None:
    def pod(**limits: str) -> dict[str, Any]:
        return {"containers": [{"resources": {"limits": limits}}]}

    assert pod_sevenths(pod(**{"nvidia.com/gpu": "2"})) == 14
    assert pod_sevenths(pod(**{"nvidia.com/mig-3g.40gb": "1", "nvidia.com/mig-1g.10gb": "2"})) == 5
    assert pod_sevenths(pod(cpu="4")) == 0
    before = {"resources": {"limits": {"nvidia.com/gpu": "4"}}}
    assert pod_sevenths(pod(**{"nvidia.com/gpu": "1"}) | {"initContainers": [before]}) == 28


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"metadata": {"name": "a"}, "spec": "none"},
        {"metadata": {"name": "a"}, "spec": {"containers": [3]}},
        {"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}]}},
        {
            "metadata": {"name": "a", "creationTimestamp": "today"},
            "spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}]},
        },
    ],
)
def test_a_pod_that_makes_no_sense_is_called_so(body: dict[str, Any]) -> None:
    with pytest.raises(Nonsense):
        Reader(ClusterSettings()).pod(body)


# -- pools ----------------------------------------------------------------------------


def test_a_pools_terms_are_the_pools_files(cluster: StandIn, tmp_path: Path) -> None:
    for n in range(4):
        cluster.add_node(f"n{n}", pool=POOL, capacity_type="spot" if n == 3 else "on-demand")
        cluster.tick()
    terms = 'gpu_model = "H100 SXM"\nowned_nodes = 2\n'
    found = Scene(cluster, tmp_path, pools=POOLS_FILE + terms).read()
    pool = found.only(Pool)
    assert (pool.gpu_model, pool.region, pool.gpus_per_node) == ("H100 SXM", "us-east-1", 8)
    assert (pool.owned_nodes, pool.leased_nodes_limit) == (2, 4)
    assert (pool.owned_idle_usd_per_gpu_hour, pool.leased_usd_per_gpu_hour) == (0.25, 1.9)
    kinds = {node.node_id: node.kind for node in found.of(NodeReading)}
    assert kinds == {"n0": "owned", "n1": "owned", "n2": "leased", "n3": "leased"}
    leases = {node.node_id: node.lease_started_at for node in found.of(NodeReading)}
    assert leases["n0"] is None
    assert leases["n3"] is not None
    assert (found.state.owned_nodes_on, found.state.leased_nodes_on) == (2, 2)


def test_a_pool_is_told_only_when_it_changed_and_stays_without_nodes(scene: Scene) -> None:
    assert scene.read().only(Pool).owned_nodes == 2
    assert not scene.read().of(Pool)
    for name in ("n0", "n1"):
        scene.cluster.drop(node_path(name))
    empty = scene.read()
    assert (empty.only(Pool).owned_nodes, empty.only(Pool).gpus_per_node) == (0, 8)
    assert empty.state.gpus_on == 0


def test_a_pool_of_which_nothing_is_known_is_asked_for(cluster: StandIn, tmp_path: Path) -> None:
    found = Scene(cluster, tmp_path).read()
    assert not found.of(Pool)
    assert "gpus_per_node" in " ".join(found.notes)


def test_the_price_is_the_lists_then_the_files_and_else_missed(scene: Scene) -> None:
    prices: dict[str, float] = {}
    hands = Hands(price_of=prices.get)
    scene.collector = scene.another_console(hands)
    assert scene.read().state.price_usd_per_gpu_hour == 2.6
    prices[POOL] = 3.1
    assert scene.read().state.price_usd_per_gpu_hour == 3.1
    scene.cluster.add_node("other", pool="a100")
    found = scene.read()
    (unpriced,) = [s for s in found.of(PoolState) if s.pool == "a100"]
    assert unpriced.price_usd_per_gpu_hour == 0.0
    assert "no price is known of a100" in " ".join(found.notes)


def test_pods_that_only_keep_nodes_warm_hold_nothing(cluster: StandIn, tmp_path: Path) -> None:
    warm = '\nplaceholder = "apis/apps/v1/namespaces/default/deployments/warm"\n'
    cluster.add_node("n0", pool=POOL)
    cluster.add_deployment("warm", gpus=8)
    cluster.settle(3)
    found = Scene(cluster, tmp_path, pools=POOLS_FILE + warm).read()
    assert (found.state.gpus_used, found.state.nodes_empty, found.state.running_jobs) == (0, 1, 0)
    assert not found.of(JobEvent)


def test_a_waiting_job_is_in_the_pool_that_it_asks_for(cluster: StandIn, tmp_path: Path) -> None:
    cluster.add_node("n0", pool="a")
    cluster.add_node("n1", pool="b", product="NVIDIA-A100")
    cluster.add_node("n2", pool="b", product="NVIDIA-A100")
    for name, wants in (("x", {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}), ("y", {})):
        body = cluster.add_job(name, gpus=64)
        body = cluster.get(f"/apis/batch/v1/namespaces/default/jobs/{name}")
        body["spec"]["template"]["spec"]["nodeSelector"] = wants
        cluster.put(f"/apis/batch/v1/namespaces/default/jobs/{name}", body)
    found = Scene(cluster, tmp_path, pools="").read()
    assert {row.job_id: row.pool for row in found.of(JobEvent)} == {
        "default/x": "a",
        "default/y": "b",
    }


def test_what_a_pool_is_scaled_by_is_told_when_it_changes(cluster: StandIn, tmp_path: Path) -> None:
    cluster.add_node_pool("fixed", replicas=1)
    cluster.add_node_pool("free", limits={"nvidia.com/gpu": "32"})
    cluster.settle(6)
    pools = "".join(
        f'[pools.{name}]\nscale = "{NODEPOOL}/{name}"\ngpu_model = "H"\ngpus_per_node = 8\n'
        "price_usd_per_gpu_hour = 1\n"
        for name in ("fixed", "free", "lost")
    )
    scene = Scene(cluster, tmp_path, pools=pools)
    found = scene.read()
    levers = {t.pool: (t.lever, t.wanted_nodes, t.limit_gpus) for t in found.of(ScaleTarget)}
    assert levers == {"fixed": ("scale", 1, None), "free": ("limits", None, 32)}
    assert "lost can't be scaled" in " ".join(found.notes)
    claim = found.only(ClusterWorkload)
    assert (claim.kind, claim.pool, claim.is_admitted) == ("node_claim", "fixed", True)
    (node,) = found.of(ClusterNode)
    assert (node.node_id, node.node_claim) == (claim.subject, claim.workload_id)
    cluster.faults.storm(500, 1, f"GET {NODEPOOL}/fixed$")
    assert "is scaled by can't be read just now" in " ".join(scene.read().notes)
    assert not scene.read().of(ScaleTarget)
    scene.change(f"{NODEPOOL}/fixed", "spec", "replicas", to=3)
    scene.cluster.tick()
    later = scene.read()
    assert later.only(ScaleTarget).wanted_nodes == 3
    state = next(s for s in later.of(PoolState) if s.pool == "fixed")
    assert state.nodes_provisioning == 2


# -- XIDs and Events ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "message", "code"),
    [
        ("XIDError", XID_79, 79),
        ("XidCriticalError", "NVRM: Xid (PCI:0000:3b:00.0): 48, DBE", 48),
        ("NvidiaXID94Error", "contained ECC error", 94),
        ("Dcgm", "DCGM_FI_DEV_XID_ERRORS 63 on GPU 3", 63),
        ("GpuUnhealthy", "XID error 31 detected", 31),
        ("Pulled", "image x:xid-79 pulled", None),
        ("XIDError", "an Xid was seen", None),
        ("XIDError", "Xid (PCI:0000:3b:00): 12345, what?", None),
        ("Started", "exid 12", None),
    ],
)
def test_an_xid_is_read_by_its_number_or_not_at_all(
    reason: str, message: str, code: int | None
) -> None:
    assert xid_of(reason, message) == code


def test_an_event_that_reports_an_xid_is_a_gpu_event(scene: Scene) -> None:
    scene.read()
    told = make_event("n0", "Node", "XIDError", XID_79, "2026-11-23T10:00:07Z")
    scene.cluster.put(event_path(told), told)
    found = scene.read()
    xid = found.only(GpuEvent)
    assert (xid.node_id, xid.pool, xid.kind, xid.code) == ("n0", POOL, "xid", 79)
    assert xid.happened_at == datetime(2026, 11, 23, 10, 0, 7, tzinfo=UTC)
    assert found.only(ClusterEvent).is_warning
    assert not scene.read().of(GpuEvent)


def test_an_event_and_a_condition_of_one_fault_are_one_report(scene: Scene) -> None:
    scene.read()
    told = make_event("n0", "Node", "XIDError", XID_79, "2026-11-23T10:00:07Z")
    scene.cluster.put(event_path(told), told)
    body = scene.cluster.get(node_path("n0"))
    body["status"]["conditions"].append(
        {
            "type": "GPUProblem",
            "status": "True",
            "reason": "XIDError",
            "message": XID_79,
            "lastTransitionTime": "2026-11-23T10:00:08Z",
        }
    )
    scene.cluster.put(node_path("n0"), body)
    found = scene.read()
    assert found.only(GpuEvent).code == 79
    assert found.only(ClusterNode).conditions[0]["type"] == "GPUProblem"


def test_after_a_restart_no_event_is_told_twice(scene: Scene, store: Store) -> None:
    told = make_event("n0", "Node", "XIDError", XID_79, "2026-11-23T10:00:07Z")
    scene.cluster.put(event_path(told), told)
    store.append(scene.read().rows)
    scene.collector = scene.another_console()
    scene.collector.remember(last_told(store, now=scene.cluster.now))
    found = scene.read()
    assert not found.of(GpuEvent) + found.of(ClusterEvent)


def test_events_about_what_has_no_gpu_are_left_alone(scene: Scene) -> None:
    about_other = make_event("web", "Pod", "BackOff", "again", "2026-11-23T10:00:07Z")
    scene.cluster.put(event_path(about_other), about_other)
    assert not scene.read().of(ClusterEvent)
    assert event({"involvedObject": {"kind": "Service", "name": "a"}}) is None


def test_many_rows_of_a_table_are_packed_and_stay_in_order() -> None:
    rows = [make_job_event(job_id=f"j{n}") for n in range(CHUNK + 3)]
    (first_class, first), (_, second) = packed(rows)
    assert first_class is JobEvent
    assert [*first["job_id"], *second["job_id"]] == [row.job_id for row in rows]
    assert list(packed(rows[:3])) == rows[:3]


def test_a_watch_that_leaves_a_pass_no_time_is_refused_with_what_to_change() -> None:
    environ = {"PILOTHOUSE_KUBERNETES_EVERY_SECONDS": "3"}
    with pytest.raises(InvalidSetting, match=r"WATCH_SECONDS can't be used.*shorter"):
        settings_from(environ, "kubernetes", KubernetesSettings)
    environ["PILOTHOUSE_KUBERNETES_WATCH_SECONDS"] = "1"
    assert settings_from(environ, "kubernetes", KubernetesSettings).watch_seconds == 1
