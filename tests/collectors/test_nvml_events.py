"""What the host's GPUs and their driver report: XID errors, memory errors, GPUs lost."""

from __future__ import annotations

from datetime import timedelta

import pynvml
import pytest

from collectors import nvml_events
from collectors.base import Unreachable
from tests.collectors.fake_nvml import FakeGpu
from tests.collectors.test_nvml import NOON, happened, make_collector, make_cut_gpu, notes, samples
from warehouse.records import GpuEvent

XID, DOUBLE_BIT = pynvml.nvmlEventTypeXidCriticalError, pynvml.nvmlEventTypeDoubleBitEccError
LATER = NOON + timedelta(seconds=10)


def test_an_xid_error_is_told_once_with_its_code_and_gpu():
    gpu = FakeGpu("GPU-1")
    collector = make_collector(FakeGpu(), gpu, pool="h100")
    assert happened(collector) == []
    collector._nvml.happens(gpu, XID, 94)
    assert happened(collector, LATER) == [
        GpuEvent(
            node_id="node-1",
            gpu_id="GPU-1",
            pool="h100",
            kind="xid",
            code=94,
            detail="GPU 1",
            source="nvml",
            happened_at=LATER,
        )
    ]
    assert happened(collector, LATER) == []


def test_events_are_registered_once_and_again_when_nvml_is_started_again():
    collector = make_collector(gpu := FakeGpu())
    fake = collector._nvml
    first = [happened(collector), fake.sets[0]][1]
    happened(collector)
    assert fake.sets == [first]
    assert first.registered == {"GPU-0": XID | DOUBLE_BIT}
    fake.errors["nvmlDeviceGetCount"] = pynvml.NVML_ERROR_UNINITIALIZED
    fake.on_init = lambda count: fake.errors.clear()
    fake.happens(gpu, XID, 119)
    assert [each.code for each in happened(collector)] == [119], "it is not lost with the old set"
    assert len(fake.sets) == 1
    assert fake.sets[0] is not first
    fake.happens(gpu, XID, 13)
    assert [each.code for each in happened(collector)] == [13]


def test_a_driver_without_events_is_said_to_have_none_once():
    collector = make_collector(FakeGpu(), FakeGpu("GPU-1", event_types=0))
    (note,) = notes(collector)
    assert note.startswith("no XID errors are reported of GPU 1 (Not Supported)")
    assert not notes(collector)
    without = make_collector(FakeGpu())
    without._nvml.errors["nvmlEventSetCreate"] = pynvml.NVML_ERROR_NOT_SUPPORTED
    assert "XID errors are not reported here" in notes(without)[0]
    assert len(samples(without)) == 1


def test_a_set_that_went_bad_is_made_anew():
    collector = make_collector(gpu := FakeGpu())
    fake = collector._nvml
    happened(collector)
    fake.errors["nvmlEventSetWait_v2"] = pynvml.NVML_ERROR_UNKNOWN
    assert happened(collector) == []
    assert fake.sets == []
    fake.errors.clear()
    assert happened(collector) == []
    fake.happens(gpu, XID, 48)
    assert [each.code for each in happened(collector)] == [48]


def test_a_storm_of_events_does_not_hold_a_pass_up():
    collector = make_collector(gpu := FakeGpu())
    happened(collector)
    for _ in range(nvml_events.MOST_EVENTS + 5):
        collector._nvml.happens(gpu, XID, 13)
    assert len(happened(collector)) == nvml_events.MOST_EVENTS
    assert len(happened(collector)) == 5


def test_an_event_of_a_mig_instance_names_it():
    gpu = make_cut_gpu()
    collector = make_collector(gpu)
    happened(collector)
    collector._nvml.happens(gpu, XID, 31, instance=2)
    (event,) = happened(collector)
    assert (event.gpu_id, event.detail) == ("GPU-0", "GPU 0, MIG instance 2")


def test_memory_errors_and_remaps_that_came_since_the_run_before_are_told():
    gpu = FakeGpu(ecc=(3, 1))
    collector = make_collector(gpu)
    assert happened(collector) == []
    gpu.ecc, gpu.remapped = (9, 3), (1, 3, 1, 1)
    memory, remap = happened(collector, LATER)
    assert (memory.kind, memory.detail) == ("ecc_uncorrected", "GPU 0, 2 more since 12:00:00 UTC")
    assert remap.kind == "row_remap"
    assert remap.detail == (
        "GPU 0, 1 more row remapped, a remapping waits for a reset of the GPU, "
        "a row could not be remapped"
    )
    assert happened(collector, LATER) == []
    gpu.ecc = (0, 0)  # the driver was loaded anew
    assert happened(collector, LATER) == []


def test_a_double_bit_error_is_not_told_twice():
    collector = make_collector(gpu := FakeGpu())
    happened(collector)
    gpu.ecc = (3, 2)
    collector._nvml.happens(gpu, DOUBLE_BIT)
    (event,) = happened(collector)
    assert event.detail == "GPU 0, double-bit error"


def test_a_gpu_that_fell_off_the_bus_is_told_with_its_last_words_and_again_each_hour():
    lost = FakeGpu("GPU-1")
    collector = make_collector(FakeGpu(), lost)
    fake = collector._nvml
    happened(collector)
    fake.happens(lost, XID, 79)
    lost.errors = dict.fromkeys(
        ("nvmlDeviceGetUUID", "nvmlDeviceGetSupportedEventTypes"), pynvml.NVML_ERROR_GPU_IS_LOST
    )
    xid, gone = happened(collector, LATER)
    assert (xid.code, xid.gpu_id, xid.detail) == (79, "GPU-1", "GPU 1")
    assert (gone.kind, gone.gpu_id) == ("gpu_lost", "GPU-1")
    assert happened(collector, LATER) == []
    fake.gpus.remove(lost)  # after the driver was loaded anew it isn't even counted
    assert happened(collector, LATER) == []
    (still,) = happened(collector, LATER + timedelta(hours=1))
    assert (still.kind, still.gpu_id) == ("gpu_lost", "GPU-1")
    lost.errors = {}
    fake.gpus.append(lost)
    happened(collector, LATER + timedelta(hours=2))
    happened(collector, LATER + timedelta(hours=2))
    fake.happens(lost, XID, 31)
    assert [each.code for each in happened(collector, LATER + timedelta(hours=2))] == [31]


def test_what_happened_while_no_gpu_could_be_read_is_told_later():
    gpu = FakeGpu()
    collector = make_collector(gpu)
    happened(collector)
    collector._nvml.happens(gpu, XID, 79)
    gpu.errors["nvmlDeviceGetUUID"] = pynvml.NVML_ERROR_GPU_IS_LOST
    with pytest.raises(Unreachable):
        happened(collector, LATER)
    gpu.errors.clear()
    assert {each.kind for each in happened(collector, LATER)} == {"xid", "gpu_lost"}
