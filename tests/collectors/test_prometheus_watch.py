"""What changes from round to round: XIDs, memory errors, GPUs lost, moved and replaced."""

from __future__ import annotations

import pytest

from collectors.dcgm_fields import XID_TOTAL
from collectors.prometheus_watch import LOST_AFTER_ROUNDS
from tests.collectors.exporter_farm import Says, Told, gpu_labels
from tests.collectors.prometheus_scene import FIRST, Scene, gpu, scene

SECOND = "127.0.0.2"


@pytest.fixture
def stage(tmp_path, now):
    with scene(tmp_path, now) as made:
        yield made


def test_an_xid_is_an_event_when_it_comes_and_not_again(stage: Scene):
    found = []
    for code in (31, 31, 79, 79, 0, 79):
        stage.serve(gpu(2, "GPU-x", DCGM_FI_DEV_XID_ERRORS=code))
        events = stage.round().events
        found.append([(each.kind, each.code, each.gpu_id, each.detail) for each in events])
    came = [("xid", 79, "GPU-x", "GPU 2")]
    assert found == [[], [], came, [], [], came]


def test_an_xid_at_the_first_look_is_told_and_no_event(stage: Scene):
    stage.serve(gpu(0, DCGM_FI_DEV_XID_ERRORS=48))
    told = stage.round()
    assert not told.events
    assert "1 GPU showed an XID at the first look" in told.notes


def test_an_xid_that_comes_again_is_told_by_the_counter_of_newer_exporters(stage: Scene):
    labels = gpu_labels(0, "GPU-0", xid="31")
    found = []
    for count in (1, 2, 2, 4):
        stage.serve(gpu(0, DCGM_FI_DEV_XID_ERRORS=31), Told(labels, {XID_TOTAL: count}))
        found.append([(each.code, each.detail) for each in stage.round().events])
    assert found == [[], [(31, "GPU 0")], [], [(31, "GPU 0, 2 times")]]


def test_memory_errors_and_remapped_rows_are_events_when_their_counters_move(stage: Scene):
    ecc, rows = "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS"
    failure = "DCGM_FI_DEV_ROW_REMAP_FAILURE"
    stage.serve(gpu(0, **{ecc: 1, rows: 0, failure: 0}))
    assert not stage.round().events
    stage.serve(gpu(0, **{ecc: 3, rows: 1, failure: 1}))
    assert [(each.kind, each.detail) for each in stage.round().events] == [
        ("ecc_uncorrected", "GPU 0, 2 more since 12:00:15 UTC"),
        ("row_remap", "GPU 0, 1 more row remapped, a row could not be remapped"),
    ]


def test_a_counter_that_began_anew_is_told_and_counts_from_zero(stage: Scene):
    energy, ecc = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL"
    stage.serve(gpu(0, **{energy: 10**9, ecc: 5}))
    stage.round()
    stage.serve(gpu(0, **{energy: 1000, ecc: 0}))
    told = stage.round()
    assert not told.events
    assert "the counters of 1 GPU began anew: a driver was loaded" in told.notes
    assert told.samples["GPU-0"]["energy_joules"] == 1.0


def test_a_gpu_that_its_exporter_tells_no_more_is_lost_after_some_rounds(stage: Scene):
    stage.serve(gpu(0), gpu(1))
    stage.round()
    stage.serve(gpu(0))
    events = [stage.round().events for _ in range(LOST_AFTER_ROUNDS + 1)]
    assert [len(each) for each in events] == [0] * (LOST_AFTER_ROUNDS - 1) + [1, 0]
    (lost,) = events[LOST_AFTER_ROUNDS - 1]
    assert (lost.kind, lost.gpu_id, lost.node_id) == ("gpu_lost", "GPU-1", "node-a")


def test_a_gpu_is_not_lost_because_its_target_fails_or_its_replicas_are_free(stage: Scene):
    stage.list(FIRST, SECOND)
    stage.serve(gpu(0))
    stage.serve(gpu(1, vgpu="0", pod="p", namespace="n"), gpu(2), host=SECOND)
    stage.round()
    stage.serve(gpu(2), host=SECOND)  # with virtual GPUs an exporter leaves out what nobody holds
    stage.exporters.says[FIRST] = Says(status="500 Oops")
    assert not any(stage.round().events for _ in range(LOST_AFTER_ROUNDS + 1))


def test_another_gpu_in_a_slot_and_one_that_moved_are_told(stage: Scene):
    stage.serve(gpu(0, "GPU-a"), gpu(1, "GPU-b"))
    stage.round()
    stage.serve(gpu(0, "GPU-new"), gpu(1, "GPU-b"))
    assert "slot 0 of node-a has another GPU: GPU-new" in stage.round().notes
    stage.serve(gpu(0, "GPU-b"), gpu(1, "GPU-new"))
    notes = stage.round().notes
    assert "slot 0 of node-a has another GPU: GPU-b (from slot 1)" in notes


def test_a_target_that_is_listed_no_more_is_forgotten(stage: Scene):
    stage.list(FIRST, SECOND)
    stage.serve(gpu(0))
    stage.serve(gpu(1), host=SECOND)
    stage.round()
    stage.list(FIRST)
    told = stage.round()
    assert set(told.samples) == {"GPU-0"}
    assert not told.notes
    assert len(stage.collector._layouts) == len(stage.collector._watch._index) == 1


def test_a_gpu_of_which_only_an_xid_is_told_has_no_sample(stage: Scene):
    stage.serve(gpu(0), gpu(1, DCGM_FI_DEV_GPU_UTIL=1, DCGM_FI_DEV_XID_ERRORS=0))
    stage.round()
    stage.serve(gpu(0), gpu(1, DCGM_FI_DEV_XID_ERRORS=79))
    told = [stage.round() for _ in range(LOST_AFTER_ROUNDS)]
    assert [set(each.samples) for each in told] == [{"GPU-0"}] * LOST_AFTER_ROUNDS
    assert [event.kind for each in told for event in each.events] == ["xid", "gpu_lost"]
