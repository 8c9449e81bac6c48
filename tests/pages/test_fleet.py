"""Fleet: a map of every GPU, and each node in detail."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.makers import NOON, POOL, make_gpu_sample, make_node, make_pool
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
