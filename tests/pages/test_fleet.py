"""Fleet: a map of every GPU, and each node in detail."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.makers import NOON, POOL, make_gpu_sample, make_gpu_share, make_node, make_pool
from tests.pages.conftest import Console, words_in
from warehouse.records import GpuRollup, NodeHealth, NodeIncident


@pytest.fixture
def filled(console: Console) -> Console:
    gpus = [
        make_gpu_sample(gpu_id=f"gpu-{slot}", slot=slot, utilisation_ratio=slot / 10)
        for slot in range(8)
    ]
    gpus[7] = make_gpu_sample(
        gpu_id="gpu-7", slot=7, utilisation_ratio=None, job_id=None, tenant=None
    )
    off = make_node(node_id="node-1", state="off", gpus_used=0)
    console.store.append([make_pool(), make_node(), off, *gpus])
    return console


def test_an_empty_warehouse_says_why_there_is_no_map(console: Console) -> None:
    _, age, nothing = console.page("fleet").bring_up_to_date(None, None)
    assert "No GPUs yet" in words_in(nothing)
    assert age == "Nothing was read yet"


def test_the_map_has_every_gpu_and_nodes_that_are_off(filled: Console) -> None:
    readings, age, nothing = filled.page("fleet").bring_up_to_date(None, None)
    assert nothing is None
    assert age == "2 nodes, 16 GPUs, read now"
    assert [row[:4] for row in readings["nodes"]] == [
        ["node-0", "h100-us-east", "owned", "active"],
        ["node-1", "h100-us-east", "owned", "off"],
    ]
    assert readings["gpus"]["utilisation"] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, None]
    assert readings["gpus"]["job"] == [0, 0, 0, 0, 0, 0, 0, None]
    assert readings["jobs"] == ["job-1"]


def test_readings_that_are_shown_already_are_not_sent_again(filled: Console) -> None:
    sent = filled.call("fleet-readings.data", {})["response"]
    shown = {"fleet-readings.data": sent["fleet-readings"]["data"]}
    assert "fleet-readings" not in filled.call("fleet-readings.data", shown)["response"]
    later = NOON + timedelta(seconds=30)
    filled.store.append([make_node(measured_at=later)])
    assert "fleet-readings" in filled.call("fleet-readings.data", shown)["response"]


def test_a_picked_node_shows_its_state_its_gpus_and_its_jobs(filled: Console) -> None:
    title, detail = filled.page("fleet").show_node("node-0", None)
    assert "Active" in words_in(title)
    shown = words_in(detail)
    assert "4 of 8" in shown
    assert "60\u202f%" in shown
    assert "/jobs?job=job-1" in shown


def test_a_node_that_nobody_saw_is_said_to_be_in_no_reading(filled: Console) -> None:
    _, detail = filled.page("fleet").show_node("node-9", None)
    assert "No node node-9" in words_in(detail)


def test_the_history_of_a_node_is_drawn_from_roll_ups(filled: Console) -> None:
    hour = GpuRollup(
        gpu_id="gpu-0", node_id="node-0", pool="h100-us-east", slot=0, period_seconds=3600,
        starts_at=NOON - timedelta(hours=2), sample_count=60, utilisation_mean_ratio=0.75,
        power_mean_watts=500.0,
    )  # fmt: skip
    assert "No history yet" in words_in(filled.page("fleet").show_history("node-0", "24h"))
    filled.store.append([hour])
    charts = filled.page("fleet").show_history("node-0", "24h").children
    assert charts[1].data == [{"at": "10:00", "Mean": 0.75, "Busiest GPU": 0.75, "Power": 500.0}]


def test_the_address_sets_the_filters(filled: Console) -> None:
    shown = filled.open("/fleet", "?measure=power&pool=h100-us-east&node=node-0")
    assert {"power", "h100-us-east", "node-0"} <= set(words_in(shown).split())


def make_ill(console: Console, *phases: str) -> None:
    """`node-0` fell ill an hour ago, and a step came every ten minutes."""
    steps = [
        NodeIncident(
            incident_id="a",
            node_id="node-0",
            pool=POOL,
            phase=phase,
            decision_id="d-1" if phase == "quarantined" else None,
            detail="Node node-0: 1 XID 79 (GPU fell off the bus), GPU 3",
            onset_at=NOON - timedelta(minutes=62),
            happened_at=NOON - timedelta(minutes=60 - 10 * n),
        )
        for n, phase in enumerate(phases)
    ]
    is_over = phases[-1] == "returned"
    piece = {
        "signal": "xid_79",
        "value": 1,
        "weight_ratio": 0.9,
        "words": "1 XID 79 (GPU fell off the bus), GPU 3",
        "at": (NOON - timedelta(minutes=62)).isoformat(),
    }
    health = NodeHealth(
        node_id="node-0",
        pool=POOL,
        health_ratio=1.0 if is_over else 0.1,
        is_suspect=not is_over,
        evidence=[] if is_over else [piece],
        judged_at=NOON,
    )
    console.store.append([*steps, health])


def test_a_fleet_that_was_never_ill_is_said_to_be_so(filled: Console) -> None:
    shown = words_in(filled.page("fleet").show_incidents(None))
    assert "No node has been ill in the last 30 days" in shown


def test_the_map_marks_suspect_nodes_and_says_what_is_wrong(filled: Console) -> None:
    make_ill(filled, "detected")
    drawn, _, _ = filled.page("fleet").bring_up_to_date(None, None)
    assert drawn["ill"] == {"node-0": "Node node-0: 1 XID 79 (GPU fell off the bus), GPU 3"}


def test_an_ill_node_shows_its_score_its_evidence_and_its_story(filled: Console) -> None:
    make_ill(filled, "detected", "quarantined")
    title, detail = filled.page("fleet").show_node("node-0", None)
    assert "Suspect" in words_in(title)
    shown = words_in(detail)
    assert "10\u202f% " in shown
    assert "too ill to be given jobs" in shown
    assert "1 XID 79 (GPU fell off the bus), GPU 3" in shown
    assert "/decisions?id=d-1" in shown
    assert "Quarantined" in shown
    assert "Ill for" in shown


def test_a_node_that_was_never_ill_says_so(filled: Console) -> None:
    _, detail = filled.page("fleet").show_node("node-1", None)
    assert "Nothing speaks against it." in words_in(detail)


def test_incidents_tell_how_long_it_took_to_detect_and_to_repair(filled: Console) -> None:
    make_ill(filled, "detected", "quarantined", "repairing", "returned")
    shown = words_in(filled.page("fleet").show_incidents(None))
    assert "Median time to detect" in shown
    assert "2\u202fmin" in shown
    assert "30\u202fmin" in shown
    assert "/fleet?node=node-0" in shown
    _, detail = filled.page("fleet").show_node("node-0", None)
    assert "Its last illness" in words_in(detail)
    assert "Time to repair" in words_in(detail)


# -- GPUs that are cut up or shared -------------------------------------------------------


@pytest.fixture
def mixed(console: Console) -> Console:
    """One node: GPU 0 whole, 1 cut into three, 2 shared in time by four, 3 shared and unheld."""
    nobody = {"job_id": None, "tenant": None}
    part = {"parent_gpu_id": "gpu-1", "slot": 1, "sharing": "mig", **nobody}
    gpus = [
        make_gpu_sample(sharing="whole"),
        make_gpu_sample(
            gpu_id="gpu-1", slot=1, sharing="mig", utilisation_ratio=None, power_watts=None,
            **nobody
        ),
        make_gpu_sample(
            gpu_id="mig-a", mig_profile="3g.40gb", engine_active_ratio=0.61,
            utilisation_ratio=None, memory_total_bytes=40 * 2**30, **part
        ),
        make_gpu_sample(
            gpu_id="mig-b", mig_profile="1g.10gb", utilisation_ratio=None,
            memory_used_bytes=None, memory_total_bytes=10 * 2**30, **part
        ),
        make_gpu_sample(
            gpu_id="mig-c", mig_profile=None, utilisation_ratio=None,
            memory_used_bytes=None, memory_total_bytes=None, **part
        ),
        make_gpu_sample(
            gpu_id="gpu-2", slot=2, sharing="time_sliced", utilisation_ratio=0.87, **nobody
        ),
        make_gpu_sample(gpu_id="gpu-3", slot=3, sharing="mps", utilisation_ratio=None, **nobody),
    ]  # fmt: skip
    holders = [
        make_gpu_share(sharing="whole", share_ratio=1.0),
        make_gpu_share(
            gpu_id="mig-a", sharing="mig", share_ratio=3 / 7, pod="train-0", job_id="job-2"
        ),
        *(
            make_gpu_share(gpu_id="gpu-2", pod=f"serve-{n}", job_id=f"serve-{n}", tenant="red")
            for n in range(3)
        ),
    ]
    node = make_node(gpus_used=3)
    console.store.append([make_pool(), node, *gpus, *holders])
    return console


def test_a_shared_gpu_shows_its_holders_parts_and_whose_its_utilisation_is(mixed: Console) -> None:
    _, detail = mixed.page("fleet").show_node("node-0", None)
    shown = words_in(detail)
    assert "GPU 2: time-sliced by 4" in shown
    assert "Its utilisation, 87\u202f%, is the GPU's, not one holder's." in shown
    assert shown.count("1/4") == 3
    assert "blue/serve-1" in shown
    assert "/jobs?job=serve-2" in shown
    assert "Time-sliced by 4 3 holders" in " ".join(shown.split())
    assert "Shared by MPS no holder told" in " ".join(shown.split())
    assert "GPU 3: shared by MPS" in shown
    assert "Nobody is told to hold a part of it." in shown


def test_a_cut_gpu_shows_its_instances_and_what_is_not_told_is_said_to_be_so(
    mixed: Console,
) -> None:
    _, detail = mixed.page("fleet").show_node("node-0", None)
    shown = words_in(detail)
    assert "GPU 1: cut up by MIG into 3 instances" in shown
    assert "1 of 3 instances held" in shown
    assert "61\u202f%" in shown
    assert "3/7" in shown
    assert "blue/train-0" in shown
    # GPU 1: utilisation, power; GPU 3: utilisation; mig-b: busy, memory, part; mig-c: all four
    assert shown.count("not told") == 10
    assert "nan" not in shown.lower()


def test_the_map_counts_a_cut_gpu_once_and_says_how_each_gpu_is_given_out(mixed: Console) -> None:
    readings, _, _ = mixed.page("fleet").bring_up_to_date(None, None)
    assert readings["gpus"]["slot"] == [0, 1, 2, 3]
    assert readings["shared"] == {
        "1": ["mig", 3, 1, "job-2 blue"],
        "2": ["time_sliced", 0, 3, "serve-0 serve-1 serve-2 red"],
        "3": ["mps", 0, 0, ""],
    }


def test_a_fleet_that_shares_nothing_shows_nothing_of_it(filled: Console) -> None:
    readings, _, _ = filled.page("fleet").bring_up_to_date(None, None)
    assert readings["shared"] == {}
    _, detail = filled.page("fleet").show_node("node-0", None)
    assert "MIG" not in words_in(detail)
