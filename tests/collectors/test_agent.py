"""The node agent: real HTTP on loopback, hardware as a test describes it, a clock that it turns."""

from __future__ import annotations

import gzip
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pynvml
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_metrics_families,
)

from collectors.nvml import NvmlCollector, NvmlSettings
from collectors.prometheus import PrometheusCollector
from collectors.prometheus_settings import PrometheusSettings
from tests.collectors.agent_scene import agent
from tests.collectors.fake_nvml import GIB, FakeGpu, FakeInstance, FakeNvml, FakeProcess
from tests.makers import NOON
from warehouse.records import GpuEvent, GpuSample

LOST = pynvml.NVML_ERROR_GPU_IS_LOST


class WedgedNvml(FakeNvml):
    """A driver that stops answering while its gate is shut."""

    def __init__(self, *gpus: FakeGpu) -> None:
        super().__init__(*gpus)
        self.gate = threading.Event()
        self.gate.set()
        self.callers = 0

    def nvmlDeviceGetCount(self):
        self.callers += 1
        self.gate.wait()
        return super().nvmlDeviceGetCount()


# -- the text ---------------------------------------------------------------------------


def test_a_gpu_is_told_in_dcgms_names_and_units_under_the_exporters_labels():
    with agent(FakeGpu(reasons=0x4, processes=[FakeProcess(7)])) as it:
        series = it.series()
    label = {
        "gpu": "0",
        "UUID": "GPU-0",
        "pci_bus_id": "00000000:0F:00.0",
        "device": "nvidia0",
        "modelName": "NVIDIA H100 80GB HBM3",
        "Hostname": "node-1",
        "DCGM_FI_DRIVER_VERSION": "570.86.15",
    }
    told = {
        name: value for name, found in series.items() for labels, value in found if labels == label
    }
    assert told == {
        "DCGM_FI_DEV_GPU_UTIL": 73.0,
        "DCGM_FI_DEV_MEM_COPY_UTIL": 10.0,
        "DCGM_FI_DEV_FB_USED": 20_480.0,
        "DCGM_FI_DEV_FB_FREE": 61_440.0,
        "DCGM_FI_DEV_FB_RESERVED": 512.0,
        "DCGM_FI_DEV_FB_TOTAL": 81_920.0,
        "DCGM_FI_DEV_POWER_USAGE": 412.345,
        "DCGM_FI_DEV_ENFORCED_POWER_LIMIT": 700.0,
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": 123_456_789.0,
        "DCGM_FI_DEV_GPU_TEMP": 61.0,
        "DCGM_FI_DEV_MEMORY_TEMP": 71.0,
        "DCGM_FI_DEV_SM_CLOCK": 1980.0,
        "DCGM_FI_DEV_MEM_CLOCK": 2619.0,
        "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL": 3.0,
        "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": 1.0,
        "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS": 1.0,
        "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS": 2.0,
        "DCGM_FI_DEV_ROW_REMAP_PENDING": 0.0,
        "DCGM_FI_DEV_ROW_REMAP_FAILURE": 0.0,
        "DCGM_FI_DEV_CLOCKS_EVENT_REASONS": 4.0,
        "DCGM_FI_DEV_XID_ERRORS": 0.0,
        "pilothouse_gpu_process_count": 1.0,
    }


def test_what_nvml_does_not_tell_is_absent_and_never_zero():
    unknown = pynvml.NVML_ERROR_NOT_SUPPORTED
    functions = ("nvmlDeviceGetPowerUsage", "nvmlDeviceGetRemappedRows", "nvmlDeviceGetPciInfo_v3")
    deaf = FakeGpu(errors=dict.fromkeys(functions, unknown), event_types=0, memory_temperature=None)
    with agent(deaf) as it:
        series, text = it.series(), it.ask()[2].decode()
    for name in ("POWER_USAGE", "CORRECTABLE_REMAPPED_ROWS", "XID_ERRORS", "MEMORY_TEMP"):
        assert f"DCGM_FI_DEV_{name}" not in text  # not even its HELP line
    assert "pci_bus_id" not in series["DCGM_FI_DEV_GPU_UTIL"][0][0]
    assert "NaN" not in text


def test_a_mig_instance_has_series_of_its_own_under_its_gpus_labels():
    cut = FakeGpu(instances=[FakeInstance("MIG-a"), FakeInstance("MIG-b", instance_id=8)])
    with agent(cut) as it:
        series = it.series()
    _, (a, used), (b, _) = series["DCGM_FI_DEV_FB_USED"]
    assert (a["UUID"], a["gpu"], a["device"]) == ("GPU-0", "0", "nvidia0")
    assert (a["GPU_I_PROFILE"], a["GPU_I_ID"], a["GPU_I_UUID"]) == ("1g.10gb", "7", "MIG-a")
    assert (b["GPU_I_ID"], used) == ("8", 2048.0)
    assert len(series["DCGM_FI_DEV_GPU_UTIL"]) == 1  # NVML tells none of an instance


def test_both_formats_are_answered_and_counters_are_called_so_where_the_format_lets_them():
    with agent(FakeGpu()) as it:
        _, head, plain = it.ask()
        _, open_head, text = it.ask(Accept="application/openmetrics-text; version=1.0.0")
    assert head["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter\n" in plain
    assert open_head["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in open_metrics_families(text.decode())}
    assert {"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "pilothouse_agent_scrapes"} <= names


def test_the_text_is_packed_for_whoever_asks_for_it():
    with agent(FakeGpu()) as it:
        _, head, body = it.ask(Accept_Encoding="gzip")
        assert head["Content-Encoding"] == "gzip"
        assert b"DCGM_FI_DEV_GPU_UTIL{" in gzip.decompress(body)
        assert "Content-Encoding" not in it.ask()[1]


# -- one reading for all ----------------------------------------------------------------


def test_of_many_who_ask_at_once_one_has_the_gpus_read():
    with agent(FakeGpu()) as it:
        seen = []
        it.nvml.on_init = seen.append
        with ThreadPoolExecutor(8) as crowd:
            answers = [crowd.submit(it.ask) for _ in range(24)]
            assert {answer.result()[0] for answer in answers} == {200}
        assert it.lookout.durations.buckets()[-1] == ("+Inf", 1.0)
        it.later(4.9)
        it.ask()
        assert it.lookout.durations.buckets()[-1] == ("+Inf", 1.0)
        it.later(0.2)
        it.nvml.gpus[0].utilisation = 12
        assert it.value("DCGM_FI_DEV_GPU_UTIL") == 12.0
        assert it.value("pilothouse_agent_scrapes_total") == 27.0


def test_the_agent_tells_its_own_cost():
    with agent(FakeGpu()) as it:
        series = it.series()
    assert series["pilothouse_agent_cpu_seconds_total"][0][1] > 0
    assert series["pilothouse_agent_resident_memory_bytes"][0][1] > 2**20
    assert series["pilothouse_agent_reading_seconds_count"] == [({}, 1.0)]
    assert series["pilothouse_agent_scrapes_total"] == [({}, 1.0)]


# -- a driver in trouble ----------------------------------------------------------------


def test_a_wedged_driver_is_asked_by_one_thread_and_its_last_reading_goes_stale():
    wedged = WedgedNvml(FakeGpu())
    with agent(nvml=wedged, time_limit_seconds=0.05) as it:
        try:
            assert it.value("pilothouse_agent_up") == 1.0
            wedged.gate.clear()
            it.later(6)
            series = it.series()
            assert series["pilothouse_agent_up"][0][1] == 0.0
            assert series["pilothouse_agent_reading_age_seconds"][0][1] == 6.0
            assert "DCGM_FI_DEV_GPU_UTIL" in series  # with its age, and not stale yet
            before = wedged.callers
            it.later(9.5)
            series = it.series()
            assert not [name for name in series if name.startswith("DCGM_")]
            assert series["pilothouse_agent_reading_age_seconds"][0][1] == 15.5
            ((told, _),) = series["pilothouse_agent_failure_info"]
            assert "hasn't answered for 10 s: run nvidia-smi" in told["reason"]
            assert wedged.callers == before  # no second thread beside the one that hangs
            assert it.ask("/healthz")[0] == 200
            assert it.ask("/readyz")[0] == 503
        finally:
            wedged.gate.set()
        box = it.lookout._box
        box._thread.join(5)
        it.later(6)
        it.ask()  # takes what came late, which is stale by its own age
        assert not it.lookout.sight().is_fresh
        it.later(6)
        assert it.value("pilothouse_agent_up") == 1.0
        assert it.value("DCGM_FI_DEV_GPU_UTIL") == 73.0


def test_a_driver_that_is_reloaded_is_read_again():
    with agent(FakeGpu()) as it:
        it.ask()
        it.nvml.errors["nvmlInit"] = pynvml.NVML_ERROR_DRIVER_NOT_LOADED
        it.nvml.users = 0  # as the driver's unloading leaves it
        it.later(6)
        assert it.value("pilothouse_agent_up") == 0.0
        status, _, said = it.ask("/readyz")
        assert (status, b"Driver Not Loaded" in said) == (503, True)
        del it.nvml.errors["nvmlInit"]
        it.later(6)
        assert it.value("pilothouse_agent_up") == 1.0
        assert it.ask("/readyz")[0] == 200


def test_a_gpu_that_is_lost_leaves_and_its_last_xid_stays():
    gpus = [FakeGpu(), FakeGpu("GPU-1", minor_number=1)]
    with agent(*gpus) as it:
        it.ask()
        it.nvml.happens(gpus[1], pynvml.nvmlEventTypeXidCriticalError, 79)
        gpus[1].errors["nvmlDeviceGetHandleByIndex"] = LOST
        it.later(6)
        series = it.series()
    assert [labels["UUID"] for labels, _ in series["DCGM_FI_DEV_GPU_UTIL"]] == ["GPU-0"]
    xids = {labels["UUID"]: value for labels, value in series["DCGM_FI_DEV_XID_ERRORS"]}
    assert xids == {"GPU-0": 0.0, "GPU-1": 79.0}
    assert series["pilothouse_gpu_up"] == [({"gpu": "0"}, 1.0), ({"gpu": "1"}, 0.0)]
    ((counted, times),) = series["DCGM_EXP_XID_ERRORS_TOTAL"]
    assert (counted["xid"], counted["UUID"], times) == ("79", "GPU-1", 1.0)
    kinds = {labels["kind"] for labels, _ in series["pilothouse_gpu_events_total"]}
    assert kinds == {"xid", "gpu_lost"}


def test_the_xids_of_a_gpu_that_is_gone_are_told_for_a_while_and_no_longer():
    gpus = [FakeGpu(), FakeGpu("GPU-1")]
    with agent(*gpus) as it:
        it.ask()
        gpus[1].errors["nvmlDeviceGetHandleByIndex"] = LOST
        it.later(80)
        assert len(it.series()["DCGM_FI_DEV_XID_ERRORS"]) == 2
        it.later(20)
        assert len(it.series()["DCGM_FI_DEV_XID_ERRORS"]) == 1


def test_two_xids_between_two_scrapes_are_both_counted():
    with agent(gpu := FakeGpu()) as it:
        it.ask()
        for code in (31, 94, 94):
            it.nvml.happens(gpu, pynvml.nvmlEventTypeXidCriticalError, code)
        it.later(6)
        series = it.series()
    assert series["DCGM_FI_DEV_XID_ERRORS"][0][1] == 94.0
    counts = {labels["xid"]: value for labels, value in series["DCGM_EXP_XID_ERRORS_TOTAL"]}
    assert counts == {"31": 1.0, "94": 2.0}


def test_a_host_without_a_gpu_says_why_while_it_waits():
    with agent() as it:
        assert it.value("pilothouse_agent_up") == 0.0
        assert it.ask("/readyz")[2] == b"the NVIDIA driver is loaded and shows no GPU\n"
        assert "pilothouse_agent_reading_age_seconds" not in it.series()
        it.nvml.gpus.append(FakeGpu())
        it.later(6)
        assert it.value("DCGM_FI_DEV_GPU_UTIL") == 73.0


def test_memory_is_told_to_the_byte():
    odd = (20 * GIB + 12_345, 80 * GIB - 1)
    with agent(FakeGpu(memory=odd)) as it:
        assert it.value("DCGM_FI_DEV_FB_USED") * 2**20 == odd[0]
        assert it.value("DCGM_FI_DEV_FB_TOTAL") * 2**20 == odd[1]


# -- there and back ---------------------------------------------------------------------


UNTOLD = {"process_count", "source", "measured_at", "stored_at"}
"""Columns that DCGM has no name for, and those that say who read it and when."""


def rows_by_id(collected: list[object]) -> dict[str, dict[str, object]]:
    """Samples by UUID, whether they came as records or as a frame."""
    found = []
    for each in collected:
        if isinstance(each, GpuSample):
            found.append(asdict(each))
        elif isinstance(each, tuple) and each[0] is GpuSample:
            found += each[1].to_dicts()
    return {row["gpu_id"]: {k: v for k, v in row.items() if k not in UNTOLD} for row in found}


def a_full_host() -> list[FakeGpu]:
    """Every kind of GPU: held down, cut up, deaf to most questions, with odd numbers."""
    unknown = pynvml.NVML_ERROR_NOT_SUPPORTED
    silent = ("nvmlDeviceGetPowerUsage", "nvmlDeviceGetRemappedRows", "nvmlDeviceGetTotalEccErrors")
    odd = {"memory": (20 * GIB + 12_345, 80 * GIB - 1), "utilisation": 57, "reasons": 0x804}
    return [
        FakeGpu(processes=[FakeProcess(7)], **odd),
        FakeGpu("GPU-1", instances=[FakeInstance("MIG-a"), FakeInstance("MIG-b", instance_id=8)]),
        FakeGpu("GPU-2", errors=dict.fromkeys(silent, unknown), memory_temperature=None),
        FakeGpu("GPU-3", name=r'Odd "model" \ name', remapped=(0, 4, 1, 1), ecc=(0, 0)),
    ]


def test_what_the_prometheus_collector_reads_of_an_agent_is_what_nvml_says_there(tmp_path: Path):
    direct = NvmlCollector(NvmlSettings(node_id="node-1"), FakeNvml(*a_full_host()))
    expected = rows_by_id(list(direct.collect(NOON)))
    targets = tmp_path / "targets.json"
    reader = PrometheusCollector(PrometheusSettings(targets_file=str(targets)))
    with closing(reader), agent(*a_full_host()) as it:
        targets.write_text(json.dumps([{"targets": [f"127.0.0.1:{it.server.port}"]}]))
        read = rows_by_id(list(reader.collect(NOON)))
        assert (
            read.keys() == expected.keys() == {"GPU-0", "GPU-1", "GPU-2", "GPU-3", "MIG-a", "MIG-b"}
        )
        for gpu_id, row in expected.items():
            assert read[gpu_id] == pytest.approx(row), gpu_id
        it.nvml.happens(it.nvml.gpus[0], pynvml.nvmlEventTypeXidCriticalError, 79)
        it.later(15)
        happened = [each for each in reader.collect(NOON) if isinstance(each, GpuEvent)]
    assert [(each.gpu_id, each.kind, each.code) for each in happened] == [("GPU-0", "xid", 79)]
