"""This host's GPUs, on hardware that a test describes; the library's names are the real ones."""

from __future__ import annotations

import ast
import inspect
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pynvml
import pytest

from collectors import nvml as nvml_module
from collectors import nvml_events, nvml_reading
from collectors.base import Absent, Note, Unreachable
from collectors.nvml import NvmlCollector, NvmlSettings, describe, why_absent
from collectors.nvml_reading import REASON_PREFIXES, REASON_WORDS, reason_words
from tests.collectors.contract import CollectorContract
from tests.collectors.fake_nvml import GIB, FakeGpu, FakeInstance, FakeNvml, FakeProcess
from warehouse.records import GpuEvent, GpuProcess, GpuSample

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def make_collector(*gpus: FakeGpu, **settings) -> NvmlCollector:
    return NvmlCollector(NvmlSettings(**{"node_id": "node-1", **settings}), FakeNvml(*gpus))


def samples(collector: NvmlCollector, now: datetime = NOON) -> list[GpuSample]:
    return [row for row in collector.collect(now) if isinstance(row, GpuSample)]


def notes(collector: NvmlCollector, now: datetime = NOON) -> list[str]:
    return [row.text for row in collector.collect(now) if isinstance(row, Note)]


def happened(collector: NvmlCollector, now: datetime = NOON) -> list[GpuEvent]:
    return [row for row in collector.collect(now) if isinstance(row, GpuEvent)]


class TestNvmlContract(CollectorContract):
    collector_class = NvmlCollector

    def make_working(self):
        return make_collector(FakeGpu(processes=[FakeProcess(7)]), FakeGpu("GPU-1"))

    def make_failing(self):
        collector = make_collector(FakeGpu())
        collector._nvml.errors["nvmlInit"] = pynvml.NVML_ERROR_DRIVER_NOT_LOADED
        return collector


# -- the real library -------------------------------------------------------------------


def names_used_of_nvml() -> set[str]:
    found = set()
    for module in (nvml_module, nvml_events, nvml_reading):
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
    fields = {name for name, *_ in pynvml.c_nvmlFieldValue_t._fields_}
    return {name for name in found - fields if name.lower().startswith("nvml")}


def test_every_name_used_of_nvml_is_in_the_real_library():
    used = names_used_of_nvml()
    assert len([name for name in used if name.startswith("nvml")]) > 20
    assert not [name for name in used if not hasattr(pynvml, name)]


def test_every_reason_has_its_constant_in_the_real_library():
    constants = vars(pynvml)
    for word in REASON_WORDS:
        assert any(prefix + word in constants for prefix in REASON_PREFIXES)
    all_bits = pynvml.nvmlClocksEventReasonAll | pynvml.nvmlClocksThrottleReasonAll
    assert reason_words(pynvml, all_bits) == list(REASON_WORDS)


def test_the_stand_in_takes_what_the_real_library_takes():
    functions = [name for name in vars(FakeNvml) if name.startswith("nvml")]
    assert {name for name in names_used_of_nvml() if name.startswith("nvmlDevice")} <= {*functions}
    for name in functions:
        ours = list(inspect.signature(getattr(FakeNvml, name)).parameters)[1:]
        assert ours == list(inspect.signature(getattr(pynvml, name)).parameters), name


def test_fields_read_from_the_real_librarys_structures_exist():
    fields = {name for name, *_ in pynvml.c_nvmlMemory_v2_t._fields_}
    assert {"used", "total"} <= fields
    assert {"gpu", "memory"} == {name for name, *_ in pynvml.c_nvmlUtilization_t._fields_}
    process = {name for name, *_ in pynvml.c_nvmlProcessInfo_v3_t._fields_}
    assert {"pid", "usedGpuMemory"} <= process
    value = {name for name, *_ in pynvml.c_nvmlFieldValue_t._fields_}
    assert {"nvmlReturn", "value"} <= value
    assert "uiVal" in {name for name, *_ in pynvml.c_nvmlValue_t._fields_}
    assert "busId" in {name for name, *_ in pynvml.nvmlPciInfo_t._fields_}
    attributes = {name for name, *_ in pynvml.c_nvmlDeviceAttributes._fields_}
    assert {"gpuInstanceSliceCount", "computeInstanceSliceCount", "memorySizeMB"} <= attributes


def test_the_real_library_says_in_words_why_it_is_absent_or_reads_a_gpu():
    absent = why_absent()
    if absent is None:
        assert samples(NvmlCollector(NvmlSettings()))
    else:
        assert "driver" in absent.reason
        assert describe(now=NOON) == f"No GPU is read here: {absent.reason}."


# -- a GPU ------------------------------------------------------------------------------


def test_a_gpu_is_read_in_base_units():
    (sample,) = samples(make_collector(FakeGpu(), pool="h100"))
    assert sample == GpuSample(
        gpu_id="GPU-0",
        node_id="node-1",
        pool="h100",
        slot=0,
        gpu_model="NVIDIA H100 80GB HBM3",
        utilisation_ratio=0.73,
        memory_copy_ratio=0.1,
        memory_used_bytes=20 * GIB,
        memory_total_bytes=80 * GIB,
        power_watts=pytest.approx(412.345),
        power_limit_watts=pytest.approx(700.0),
        energy_joules=pytest.approx(123_456.789),
        temperature_celsius=61.0,
        memory_temperature_celsius=71.0,
        sm_clock_hertz=1_980_000_000,
        memory_clock_hertz=2_619_000_000,
        ecc_corrected_count=3,
        ecc_uncorrected_count=1,
        rows_remapped_count=3,
        row_remap_is_pending=False,
        row_remap_has_failed=False,
        throttle_reasons="",
        process_count=0,
        source="nvml",
        measured_at=NOON,
        stored_at=NOON,
    )


@pytest.mark.parametrize(
    ("function", "column"),
    [
        ("nvmlDeviceGetName", "gpu_model"),
        ("nvmlDeviceGetUtilizationRates", "utilisation_ratio"),
        ("nvmlDeviceGetUtilizationRates", "memory_copy_ratio"),
        ("nvmlDeviceGetFieldValues", "memory_temperature_celsius"),
        ("nvmlDeviceGetMemoryInfo", "memory_used_bytes"),
        ("nvmlDeviceGetPowerUsage", "power_watts"),
        ("nvmlDeviceGetEnforcedPowerLimit", "power_limit_watts"),
        ("nvmlDeviceGetTotalEnergyConsumption", "energy_joules"),
        ("nvmlDeviceGetClockInfo", "sm_clock_hertz"),
        ("nvmlDeviceGetTotalEccErrors", "ecc_uncorrected_count"),
    ],
)
def test_what_a_gpu_does_not_support_is_null_and_the_rest_is_read(function, column):
    gpu = FakeGpu(errors={function: pynvml.NVML_ERROR_NOT_SUPPORTED})
    (sample,) = samples(make_collector(gpu))
    assert getattr(sample, column) is None
    assert sample.temperature_celsius == 61.0


def test_memory_without_a_sensor_of_its_own_has_no_temperature():
    (sample,) = samples(make_collector(FakeGpu(memory_temperature=None)))
    assert sample.memory_temperature_celsius is None


def test_numbers_that_nvml_does_not_know_are_null():
    gpu = FakeGpu(power_milliwatts=2**32 - 1, energy_millijoules=2**64 - 1, utilisation=2**32 - 1)
    (sample,) = samples(make_collector(gpu))
    assert (sample.power_watts, sample.energy_joules, sample.utilisation_ratio) == (None,) * 3


def test_an_older_driver_is_asked_by_its_older_functions():
    collector = make_collector(FakeGpu(reasons=0x4, processes=[FakeProcess(7)]))
    collector._nvml.missing = {
        "nvmlDeviceGetTemperatureV",
        "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetMemoryInfo_v2",
    }
    (sample,) = samples(collector)
    assert (sample.temperature_celsius, sample.throttle_reasons) == (61.0, "SwPowerCap")
    assert sample.process_count == 1
    assert sample.memory_used_bytes == 20 * GIB + GIB // 2


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (0x0, ""),
        (0x1, "GpuIdle"),
        (0x48, "HwSlowdown,HwThermalSlowdown"),
        (0x604, "SwPowerCap,BoardLimit,Reliability"),
        (0x10000004, "SwPowerCap,0x10000000"),
    ],
)
def test_throttle_reasons_are_nvmls_words(bits, words):
    (sample,) = samples(make_collector(FakeGpu(reasons=bits)))
    assert sample.throttle_reasons == words


def test_compute_processes_are_rows():
    gpu = FakeGpu(processes=[FakeProcess(7, 3 * GIB, "train"), FakeProcess(8, None)])
    rows = [r for r in make_collector(gpu).collect(NOON) if isinstance(r, GpuProcess)]
    assert rows == [
        GpuProcess(
            gpu_id="GPU-0", pid=7, process_name="train", memory_used_bytes=3 * GIB,
            source="nvml", measured_at=NOON,
        ),
        GpuProcess(
            gpu_id="GPU-0", pid=8, process_name="python", memory_used_bytes=None,
            source="nvml", measured_at=NOON,
        ),
    ]  # fmt: skip


def test_a_process_whose_name_is_not_told_is_still_a_row():
    collector = make_collector(FakeGpu(processes=[FakeProcess(7)]))
    collector._nvml.errors["nvmlSystemGetProcessName"] = pynvml.NVML_ERROR_NO_PERMISSION
    (row,) = [r for r in collector.collect(NOON) if isinstance(r, GpuProcess)]
    assert (row.pid, row.process_name) == (7, None)


# -- MIG --------------------------------------------------------------------------------


def make_cut_gpu() -> FakeGpu:
    """A GPU cut into two instances, as the driver answers for one: no utilisation of it."""
    processes = [FakeProcess(7), FakeProcess(8)]
    return FakeGpu(
        memory=(12 * GIB, 81559 * 2**20),
        errors={"nvmlDeviceGetUtilizationRates": pynvml.NVML_ERROR_NOT_SUPPORTED},
        processes=processes,
        instances=[
            FakeInstance("MIG-a", processes=processes[:1]),
            FakeInstance("MIG-b", "NVIDIA H100", (8 * GIB, 40 * GIB), processes[1:], (3, 3, 40192)),
        ],
    )


def test_mig_instances_are_entities_of_their_own():
    parent, first, second = samples(make_collector(make_cut_gpu()))
    assert (parent.gpu_id, parent.parent_gpu_id, parent.utilisation_ratio) == ("GPU-0", None, None)
    assert (first.gpu_id, first.parent_gpu_id, first.slot) == ("MIG-a", "GPU-0", 0)
    assert (first.mig_profile, first.memory_total_bytes) == ("1g.10gb", 10 * GIB)
    assert (first.utilisation_ratio, first.power_watts, first.energy_joules) == (None,) * 3
    assert second.memory_used_bytes == 8 * GIB


@pytest.mark.parametrize(
    ("slices", "profile"),
    [
        ((1, 1, 9856), "1g.10gb"),
        ((1, 1, 19968), "1g.20gb"),
        ((3, 3, 40192), "3g.40gb"),
        ((7, 7, 80896), "7g.80gb"),
        ((3, 1, 40192), "1c.3g.40gb"),
    ],
)
def test_a_profile_the_name_does_not_tell_is_made_from_its_slices(slices, profile):
    gpu = make_cut_gpu()
    gpu.instances = [FakeInstance("MIG-a", "NVIDIA H100", slices=slices)]
    assert samples(make_collector(gpu))[1].mig_profile == profile


def test_a_process_in_an_instance_is_that_instances_and_counted_once():
    rows = [r for r in make_collector(make_cut_gpu()).collect(NOON) if isinstance(r, GpuProcess)]
    assert [(row.gpu_id, row.pid) for row in rows] == [("MIG-a", 7), ("MIG-b", 8)]


def test_a_gpu_in_mig_mode_without_instances_is_a_gpu():
    gpu = FakeGpu(instances=[])
    assert [sample.gpu_id for sample in samples(make_collector(gpu))] == ["GPU-0"]


# -- trouble ----------------------------------------------------------------------------


DRIVER_ERRORS = [
    pynvml.NVML_ERROR_UNINITIALIZED,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
    pynvml.NVML_ERROR_GPU_IS_LOST,
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    pynvml.NVML_ERROR_UNKNOWN,
]


@pytest.mark.parametrize("error", DRIVER_ERRORS)
@pytest.mark.parametrize("function", ["nvmlDeviceGetCount", "nvmlDeviceGetPowerUsage"])
def test_after_a_driver_error_nvml_is_started_again_and_read_once_more(function, error):
    collector = make_collector(FakeGpu())
    fake = collector._nvml
    assert len(samples(collector)) == 1
    fake.errors[function] = error
    fake.on_init = lambda count: fake.errors.clear()
    assert len(samples(collector)) == 1
    assert (fake.init_count, fake.users) == (2, 1)


def test_a_driver_that_stays_broken_is_a_failure_with_what_to_do():
    collector = make_collector(FakeGpu())
    collector._nvml.errors["nvmlDeviceGetCount"] = pynvml.NVML_ERROR_DRIVER_NOT_LOADED
    with pytest.raises(Unreachable, match=r"Driver Not Loaded.*run nvidia-smi"):
        samples(collector)
    assert (collector._nvml.init_count, collector._nvml.users) == (2, 0)
    collector._nvml.errors.clear()
    assert len(samples(collector)) == 1


def test_a_lost_gpu_is_named_and_does_not_hide_the_others():
    lost = FakeGpu("GPU-1", errors={"nvmlDeviceGetUUID": pynvml.NVML_ERROR_GPU_IS_LOST})
    collector = make_collector(FakeGpu(), lost, FakeGpu("GPU-2"))
    rows = list(collector.collect(NOON))
    assert [row.gpu_id for row in rows if isinstance(row, GpuSample)] == ["GPU-0", "GPU-2"]
    assert rows[-1] == Note("not read: GPU 1 (GPU is lost)")


def test_for_a_gpu_known_to_be_lost_nvml_is_not_started_at_every_reading():
    lost = FakeGpu("GPU-1", errors={"nvmlDeviceGetUUID": pynvml.NVML_ERROR_GPU_IS_LOST})
    collector = make_collector(FakeGpu(), lost)
    for seconds in range(0, 300, 10):
        assert notes(collector, NOON + timedelta(seconds=seconds))
    assert collector._nvml.init_count == 2
    lost.errors.clear()
    assert not notes(collector, NOON + timedelta(seconds=300))
    lost.errors["nvmlDeviceGetUUID"] = pynvml.NVML_ERROR_GPU_IS_LOST
    assert notes(collector, NOON + timedelta(seconds=310))
    assert collector._nvml.init_count == 3


def test_when_no_gpu_can_be_read_the_run_fails():
    lost = FakeGpu(errors={"nvmlDeviceGetUUID": pynvml.NVML_ERROR_GPU_IS_LOST})
    with pytest.raises(Unreachable, match="GPU 0 \\(GPU is lost\\)"):
        samples(make_collector(lost))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "no NVIDIA driver is installed"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "installed and not loaded"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "this user may not use"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "restart this host"),
        (pynvml.NVML_ERROR_UNKNOWN, "the NVIDIA driver answers: Unknown Error"),
    ],
)
def test_where_nvml_does_not_start_the_collector_is_absent_and_says_why(error, words):
    fake = FakeNvml()
    fake.errors["nvmlInit"] = error
    absent = NvmlCollector.from_env({}, fake)
    assert isinstance(absent, Absent)
    assert words in absent.reason


def test_where_there_is_no_gpu_the_collector_is_absent():
    fake = FakeNvml()
    assert NvmlCollector.from_env({}, fake) == Absent(
        "the NVIDIA driver is loaded and shows no GPU"
    )
    assert fake.users == 0


def test_where_there_is_a_gpu_it_is_present_as_the_environment_sets_it():
    environ = {"PILOTHOUSE_NVML_NODE_ID": "rack-3", "PILOTHOUSE_NVML_EVERY_SECONDS": "30"}
    collector = NvmlCollector.from_env(environ, FakeNvml(FakeGpu()))
    assert isinstance(collector, NvmlCollector)
    assert collector.every_seconds == 30.0
    assert samples(collector)[0].node_id == "rack-3"


def test_the_hosts_gpus_are_described_a_line_each():
    lost = FakeGpu("GPU-1", errors={"nvmlDeviceGetUUID": pynvml.NVML_ERROR_GPU_IS_LOST})
    fake = FakeNvml(make_cut_gpu(), lost)
    assert describe(fake, now=NOON).splitlines() == [
        "GPU 0: NVIDIA H100 80GB HBM3, GPU-0, 12 GiB used, 79.65 GiB, 412.3 W, 700 W at most, "
        "61 °C",
        "  MIG 1g.10gb, MIG-a, 2 GiB used, 10 GiB",
        "  MIG 3g.40gb, MIG-b, 8 GiB used, 40 GiB",
        "Not read: GPU 1 (GPU is lost).",
    ]
    assert fake.users == 0
