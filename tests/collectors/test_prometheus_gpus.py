"""What exporters tell of GPUs, as rows: DCGM's names and units, MIG, time-sharing, events."""

from __future__ import annotations

from dataclasses import asdict

import pynvml
import pytest

from collectors import dcgm_fields, nvml_reading, prometheus_numbers
from collectors.dcgm_fields import FIELDS, XID_TOTAL, is_blank, reasons_in_words
from collectors.nvml import NvmlCollector, NvmlSettings
from collectors.prometheus_cluster import Cluster
from collectors.prometheus_layout import reading_of
from collectors.prometheus_rows import NodeFacts, Work
from tests.collectors.exporter_farm import Says, Told, exposition, gpu_labels
from tests.collectors.fake_nvml import FakeGpu, FakeInstance, FakeNvml, FakeProcess
from tests.collectors.prometheus_scene import FIRST, H100, Scene, gpu, scene
from tests.collectors.test_agent import agent
from warehouse.records import GpuSample
from warehouse.schema import columns_of

SECOND = "127.0.0.2"
MIB = 2**20


@pytest.fixture
def stage(tmp_path, now):
    with scene(tmp_path, now) as made:
        yield made


# -- names and units ----------------------------------------------------------------------


def test_every_field_fills_a_column_that_is_there():
    columns = {column.name for column in columns_of(GpuSample)}
    assert {field.column for field in FIELDS} <= columns
    assert len({field.name for field in FIELDS}) == len(FIELDS)


def test_dcgms_units_become_ours(stage: Scene):
    stage.serve(
        gpu(
            3,
            DCGM_FI_DEV_GPU_UTIL=87,
            DCGM_FI_DEV_MEM_COPY_UTIL=12,
            DCGM_FI_PROF_GR_ENGINE_ACTIVE="0.5",
            DCGM_FI_PROF_PIPE_TENSOR_ACTIVE="0.25",
            DCGM_FI_PROF_DRAM_ACTIVE="1.004",
            DCGM_FI_DEV_FB_USED=1000,
            DCGM_FI_DEV_FB_FREE=2000,
            DCGM_FI_DEV_FB_RESERVED=24,
            DCGM_FI_DEV_POWER_USAGE="123.5",
            DCGM_FI_DEV_POWER_MGMT_LIMIT=700,
            DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION=5_000_000,
            DCGM_FI_DEV_GPU_TEMP=44,
            DCGM_FI_DEV_MEMORY_TEMP=51,
            DCGM_FI_DEV_SM_CLOCK=1980,
            DCGM_FI_DEV_MEM_CLOCK=2619,
            DCGM_FI_DEV_ECC_SBE_VOL_TOTAL=7,
            DCGM_FI_DEV_ECC_DBE_VOL_TOTAL=1,
            DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS=2,
            DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS=3,
            DCGM_FI_DEV_ROW_REMAP_FAILURE=0,
            DCGM_FI_DEV_CLOCK_THROTTLE_REASONS=0x4 | 0x20,
        )
    )
    row = stage.round().samples["GPU-3"]
    told = {name: value for name, value in row.items() if value is not None}
    assert told.pop("measured_at") == stage.now
    assert told == {
        "gpu_id": "GPU-3",
        "node_id": "node-a",
        "slot": 3,
        "gpu_model": H100,
        "utilisation_ratio": pytest.approx(0.87),
        "memory_copy_ratio": pytest.approx(0.12),
        "engine_active_ratio": 0.5,
        "tensor_active_ratio": 0.25,
        "dram_active_ratio": 1.0,
        "memory_used_bytes": 1000 * MIB,
        "memory_total_bytes": 3024 * MIB,
        "power_watts": 123.5,
        "power_limit_watts": 700.0,
        "energy_joules": 5000.0,
        "temperature_celsius": 44.0,
        "memory_temperature_celsius": 51.0,
        "sm_clock_hertz": 1_980_000_000,
        "memory_clock_hertz": 2_619_000_000,
        "ecc_corrected_count": 7,
        "ecc_uncorrected_count": 1,
        "rows_remapped_count": 5,
        "row_remap_has_failed": False,
        "throttle_reasons": "SwPowerCap,SwThermalSlowdown",
        "source": "prometheus",
    }


@pytest.mark.parametrize(
    "number", ["NaN", "+Inf", "9223372036854775794", "2147483632", "140737488355328", "-1", "250"]
)
def test_what_is_no_number_of_that_kind_is_null(stage: Scene, number):
    stage.serve(gpu(0, DCGM_FI_DEV_GPU_UTIL=number, DCGM_FI_DEV_GPU_TEMP=40))
    told = stage.round()
    assert told.samples["GPU-0"]["utilisation_ratio"] is None
    assert told.samples["GPU-0"]["temperature_celsius"] == 40.0
    assert (number in ("-1", "250")) == ("values of utilisation_ratio that can't be" in told.notes)


def test_numbers_that_no_column_holds_and_names_that_are_none_spoil_nothing(stage: Scene):
    stage.serve(
        gpu(
            0,
            vgpu="²",
            pod="p",
            namespace="n",
            DCGM_FI_DEV_FB_USED="1e300",
            DCGM_FI_DEV_ECC_SBE_VOL_TOTAL="1e30",
            DCGM_FI_DEV_XID_ERRORS=0,
            DCGM_FI_DEV_CLOCK_THROTTLE_REASONS="1e40",
        ),
        Told(gpu_labels(0, "GPU-0", xid="9" * 5000), {XID_TOTAL: 1}),
    )
    stage.round()
    stage.serve(gpu(0, DCGM_FI_DEV_XID_ERRORS="1e18", DCGM_FI_DEV_FB_USED="-1e300"))
    told = stage.round()
    assert not told.events
    assert told.samples["GPU-0"]["memory_used_bytes"] is None


def test_blanks_are_dcgms_and_no_others():
    assert not is_blank(2.0**31)
    assert not is_blank(2**47 + 16)
    assert not is_blank(10**12)
    assert is_blank(2.0**31 - 1)
    assert is_blank(2.0**63)
    assert is_blank(float("nan"))


def test_throttle_reasons_are_in_the_words_of_nvml():
    for bit, word in dcgm_fields.REASON_BITS:
        assert nvml_reading.reason_words(pynvml, bit) == [word]
    assert reasons_in_words(0) == ""
    assert reasons_in_words(0x8001) == "GpuIdle,0x8000"


def test_where_the_node_is_named_and_the_pool(stage: Scene):
    stage.list(FIRST, pool="h100-us-east", node="worker-7")
    stage.serve(gpu(0))
    (row,) = stage.round().samples.values()
    assert (row["node_id"], row["pool"]) == ("worker-7", "h100-us-east")


@pytest.mark.parametrize("is_cut", [False, True])
def test_the_node_agent_tells_what_nvml_reads_on_its_host(tmp_path, now, is_cut):
    instances = [FakeInstance("MIG-0", processes=[FakeProcess(9)])] if is_cut else None
    cut = FakeGpu(reasons=0x4, instances=instances)
    nvml = FakeNvml(cut, FakeGpu(uuid="GPU-1", minor_number=1, remapped=(0, 0, 1, 1)))
    with agent(nvml=nvml) as it, scene(tmp_path, now) as stage:
        stage.file.write_text(f'[{{"targets": ["127.0.0.1:{it.server.port}"]}}]')
        told = stage.round()
        host = NvmlCollector(NvmlSettings(node_id="node-1"), nvml)
        read = [asdict(row) for row in host.collect(now) if isinstance(row, GpuSample)]
    names = set(told.frame(GpuSample).columns) - {"source", "measured_at", "sharing"}
    assert {key: {name: row[name] for name in names} for key, row in told.samples.items()} == {
        row["gpu_id"]: {name: row[name] for name in names} for row in read
    }
    assert len(read) == (3 if is_cut else 2)
    assert not told.notes


# -- series -------------------------------------------------------------------------------


def test_numbers_are_read_the_short_way_as_long_as_the_labels_stay():
    first, second = exposition([gpu(0)]), exposition([gpu(0, DCGM_FI_DEV_GPU_UTIL=99)])
    before = reading_of(first, False, None, 0.0)
    after = reading_of(second, False, before.layout, 0.0)
    assert after.layout is before.layout
    assert list(after.values) == [99.0]
    moved = reading_of(exposition([gpu(1)]), False, before.layout, 0.0)
    assert moved.layout is not before.layout


def test_a_text_with_instants_is_read_the_careful_way_and_old_samples_are_left_out():
    line = 'DCGM_FI_DEV_GPU_UTIL{gpu="%d",UUID="GPU-%d"} 50 %d\n'
    text = line % (0, 0, 999_000) + line % (1, 1, 1_000)
    read = reading_of(text, False, None, 1000.0)
    assert read.layout.digest is None
    assert [each.gpu_id for each in read.layout.gpus] == ["GPU-0"]
    assert read.layout.oddities["series told with an old instant"] == 1


def test_a_series_that_is_there_twice_is_taken_once_and_told(stage: Scene):
    stage.serve(gpu(0, DCGM_FI_DEV_GPU_UTIL=10), gpu(0, DCGM_FI_DEV_GPU_UTIL=90))
    told = stage.round()
    assert told.samples["GPU-0"]["utilisation_ratio"] == pytest.approx(0.1)
    assert "left out: 1 series told twice, of which the first was taken" in told.notes


def test_series_without_a_uuid_make_no_gpu(stage: Scene):
    stage.serve(gpu(0), Told({"gpu": "1"}, {"DCGM_FI_DEV_GPU_UTIL": 1}))
    told = stage.round()
    assert set(told.samples) == {"GPU-0"}
    assert "left out: 1 series that name no GPU's UUID and index" in told.notes


def test_a_gpu_that_two_exporters_serve_is_one_with_the_holders_that_either_knows(stage: Scene):
    stage.list(FIRST, SECOND)
    stage.serve(gpu(0, DCGM_FI_DEV_GPU_UTIL=10))
    stage.serve(gpu(0, DCGM_FI_DEV_GPU_UTIL=90, pod="p", namespace="acme"), host=SECOND)
    told = stage.round()
    assert told.samples["GPU-0"]["utilisation_ratio"] == pytest.approx(0.1)
    assert told.samples["GPU-0"]["tenant"] == "acme"
    assert [share["pod"] for share in told.shares] == ["p"]
    assert "1 GPUs are served by two targets and taken from the first" in told.notes
    stage.exporters.says[FIRST] = Says(status="500 Oops")
    assert stage.round().samples["GPU-0"]["utilisation_ratio"] == pytest.approx(0.9)


# -- who holds what -----------------------------------------------------------------------


def test_a_pod_that_has_a_gpu_to_itself_has_the_whole(stage: Scene):
    stage.serve(gpu(0, pod="train-0", namespace="acme", container="main"), gpu(1))
    told = stage.round()
    assert told.samples["GPU-0"]["sharing"] == "whole"
    assert told.samples["GPU-1"]["sharing"] is None
    (share,) = told.shares
    assert (share["pod"], share["container"], share["tenant"]) == ("train-0", "main", "acme")
    assert (share["sharing"], share["share_ratio"], share["job_id"]) == ("whole", 1.0, None)


def mig(instance: int, profile: str, **values):
    labels = {"GPU_I_PROFILE": profile, "GPU_I_ID": str(instance)}
    return gpu(0, "GPU-0", **labels, **values)


def test_mig_instances_are_entities_and_what_is_the_gpus_is_told_of_the_gpu(stage: Scene):
    stage.serve(
        mig(
            7,
            "1g.10gb",
            DCGM_FI_DEV_FB_USED=100,
            DCGM_FI_DEV_POWER_USAGE=300,
            pod="a",
            namespace="acme",
        ),
        mig(
            1,
            "3g.40gb",
            DCGM_FI_DEV_FB_USED=900,
            DCGM_FI_DEV_POWER_USAGE=300,
            pod="b",
            namespace="beta",
        ),
        mig(
            2,
            "1c.2g.20gb",
            DCGM_FI_DEV_FB_USED=1,
            DCGM_FI_DEV_POWER_USAGE=300,
            pod="c",
            namespace="beta",
        ),
    )
    told = stage.round()
    whole = told.samples.pop("GPU-0")
    assert (whole["parent_gpu_id"], whole["sharing"], whole["power_watts"]) == (None, "mig", 300.0)
    assert whole["memory_used_bytes"] is None
    assert {row["parent_gpu_id"] for key, row in told.samples.items() if key != "GPU-0"} == {
        "GPU-0"
    }
    small = told.samples["MIG-GPU-0/7/0"]
    assert (small["mig_profile"], small["sharing"]) == ("1g.10gb", "mig")
    assert (small["memory_used_bytes"], small["power_watts"]) == (100 * MIB, None)
    ratios = {share["pod"]: share["share_ratio"] for share in told.shares}
    assert ratios == {
        "a": pytest.approx(1 / 7),
        "b": pytest.approx(3 / 7),
        "c": pytest.approx(1 / 7),
    }


def test_an_instance_of_a_gpu_with_fewer_slices_is_a_larger_part_of_it(stage: Scene):
    stage.serve(mig(1, "1g.6gb", modelName="NVIDIA A30", pod="a", namespace="x"))
    (share,) = stage.round().shares
    assert share["share_ratio"] == pytest.approx(1 / 4)


def test_an_instance_whose_uuid_is_told_goes_by_it(stage: Scene):
    stage.serve(mig(1, "1g.10gb", GPU_I_UUID="MIG-own"))
    assert set(stage.round().samples) == {"GPU-0", "MIG-own"}


def replica(number: int, pod: str):
    return gpu(0, "GPU-0", vgpu=str(number), pod=pod, namespace="acme", container="c")


def test_a_time_shared_gpu_is_one_sample_and_a_share_a_holder(stage: Scene):
    stage.serve(*(replica(number, f"pod-{number}") for number in range(4)))
    told = stage.round()
    assert list(told.samples) == ["GPU-0"]
    row = told.samples["GPU-0"]
    assert (row["sharing"], row["utilisation_ratio"]) == ("time_sliced", 0.5)
    assert (row["job_id"], row["tenant"]) == (None, "acme")
    assert [share["share_ratio"] for share in told.shares] == [0.25] * 4
    assert sum(share["share_ratio"] for share in told.shares) == 1.0
    assert not told.notes


def test_replicas_that_nobody_holds_count_where_their_number_is_known(stage: Scene):
    stage.serve(replica(1, "alone"))
    assert stage.round().shares[0]["share_ratio"] == 0.5  # there must be a replica 0
    stage.list(FIRST, replicas="8")
    assert stage.round().shares[0]["share_ratio"] == 0.125


def test_what_the_cluster_says_of_a_node_and_a_pod_is_used(tmp_path, now):
    cluster = Cluster(stores_rows=False)
    cluster.nodes = {"node-a": NodeFacts("shared", 4, "mps")}
    cluster.work = {"acme/alone": Work("acme/serve", "Acme Ltd")}
    with scene(tmp_path, now, cluster=cluster) as stage:
        stage.serve(gpu(0, pod="alone", namespace="acme"))
        told = stage.round()
    (share,) = told.shares
    assert (share["sharing"], share["share_ratio"], share["pool"]) == ("mps", 0.25, "shared")
    assert (share["job_id"], share["tenant"]) == ("acme/serve", "Acme Ltd")
    assert told.samples["GPU-0"]["job_id"] == "acme/serve"


def test_a_job_of_a_batch_system_holds_the_gpu(stage: Scene):
    stage.serve(gpu(0, hpc_job="4711"))
    (share,) = stage.round().shares
    assert (share["job_id"], share["tenant"], share["pod"]) == ("4711", None, None)


def test_labels_that_a_prometheus_renamed_are_the_holders(stage: Scene):
    passed_on = {"pod": "dcgm-exporter-x", "namespace": "monitoring"}
    held = gpu(0, **passed_on, exported_pod="train", exported_namespace="acme")
    stage.serve(held, gpu(1, **passed_on))
    told = stage.round()
    assert [(share["gpu_id"], share["pod"]) for share in told.shares] == [("GPU-0", "train")]


def test_every_measurement_has_its_column():
    made = prometheus_numbers.Numbers(prometheus_numbers.matrix_of([])).columns()
    assert set(made) <= set(prometheus_numbers.COLUMNS)
