"""The engine's words, where one and many differ."""

from __future__ import annotations

from typing import Any

import pytest

from engine import words
from engine.actions import Candidate
from engine.gains import Gain
from tests.engine.actions_contract import make_seen
from warehouse.records import ActionType


def make_gain(**changes: Any) -> Gain:
    names = ("mean", "low", "high", "error")
    nothing = {f"{name}_usd_per_hour": 0.0 for name in names}
    rest = {"disruption_cost_usd": 0.0, "late_jobs": 0.0, "gpu_hours": 0.0}
    return Gain(**(nothing | rest | changes))


def nodes(action: ActionType, count: int) -> Candidate:
    return Candidate(action, "pool/a100", "a100", {"nodes": count})


def test_a_situation_counts_one_and_many() -> None:
    one = make_seen(
        nodes_provisioning=1,
        nodes_empty=1,
        nodes_down=1,
        queued_jobs=1,
        queued_gpus=1,
        oldest_wait_seconds=180,
    )
    assert words.situation(one).startswith(
        "1 job waits for 1 GPU, for 3 min; 200 of 256 GPUs are held; "
        "1 node booting; 1 empty node; 1 node down; the price is $2.50"
    )
    many = make_seen(nodes_provisioning=2, nodes_empty=3, nodes_down=4)
    assert "2 nodes booting; 3 empty nodes; 4 nodes down" in words.situation(many)


@pytest.mark.parametrize(
    ("candidate", "gain", "expected"),
    [
        (
            nodes("scale_up", 1),
            make_gain(mean_usd_per_hour=31.0, gpu_hours=1.0, late_jobs=-1.0),
            "1 more node should earn $31/h [0, 0] over the next 4 h: "
            "1 more GPU-hour delivered, 1 fewer late start.",
        ),
        (
            nodes("scale_down", 2),
            make_gain(mean_usd_per_hour=-2.0, gpu_hours=-12.4, late_jobs=2.0),
            "2 fewer nodes should earn -$2/h [0, 0] over the next 4 h: "
            "12 fewer GPU-hours delivered, 2 more late starts.",
        ),
        (
            nodes("scale_up", 2),
            make_gain(gpu_hours=0.5, late_jobs=-0.4),
            "2 more nodes should earn $0/h [0, 0] over the next 4 h: "
            "as many GPU-hours delivered, as many late starts.",
        ),
    ],
)
def test_a_promise_counts_one_and_many(candidate: Candidate, gain: Gain, expected: str) -> None:
    assert words.promise(candidate, gain, 14_400) == expected


@pytest.mark.parametrize(
    ("action", "parameters", "expected"),
    [
        ("pre_warm", {"nodes": 1}, "1 node ready ahead of time"),
        ("rebalance", {"node_ids": "a,b"}, "emptying and releasing a, b"),
        ("migrate_job", {"job_id": "team/train", "node_id": "a"}, "moving team/train off a"),
        ("quarantine_node", {"node_id": "a"}, "the quarantine of a"),
        ("repair_node", {"node_id": "a"}, "the repair of a"),
        ("do_nothing", {}, "doing nothing"),
    ],
)
def test_each_action_has_a_few_words(
    action: ActionType, parameters: dict[str, Any], expected: str
) -> None:
    assert words.short(Candidate(action, "t", "a100", parameters)) == expected
