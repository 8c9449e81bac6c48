"""What can go wrong in the middle: each ends in a named state, and nothing is held unaccounted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from engine.hands import CommandFailed, CommandUnderWay
from engine.kubernetes.hands import KubernetesHands
from engine.kubernetes.marks import DECISION
from tests.engine.kubernetes.cluster import POOL, Gate, Handled, new_id
from tests.stand_in import StandIn

MOVE: dict[str, Any] = {"pool": POOL, "job_id": "default/train", "node_id": "gpu-a"}


@pytest.fixture
def moving(handled: Handled) -> Iterator[tuple[Handled, str]]:
    """A job that is suspended, its pods still ending; nothing may be held unaccounted after."""
    handled.placed("train", "gpu-a", "gpu-b", grace_seconds=20)
    decision_id = new_id()
    handled.begin(decision_id, "migrate_job", **MOVE)
    handled.stand_in.settle(3)
    assert "not suspended yet" in handled.begin(decision_id, "migrate_job", **MOVE)
    yield handled, decision_id
    assert handled.unaccounted() == []


def moved(handled: Handled, decision_id: str) -> bool:
    handled.carry_out(decision_id, "migrate_job", **MOVE)
    return handled.nodes_of_job("train") == {"gpu-b"} and handled.held() == {}


def test_pods_that_are_still_ending_hold_the_move(moving: tuple[Handled, str]) -> None:
    handled, decision_id = moving
    handled.stand_in.settle(5)
    assert "still ending" in handled.begin(decision_id, "migrate_job", **MOVE)
    assert "affinity" not in handled.job("train")["spec"]["template"]["spec"]


def test_the_api_server_goes_away_in_the_middle_and_comes_back(
    moving: tuple[Handled, str],
) -> None:
    handled, decision_id = moving
    handled.stand_in.faults.down()
    with pytest.raises(CommandUnderWay, match="does not answer"):
        handled.hands.perform(decision_id, "migrate_job", MOVE)
    assert handled.rows(decision_id)[-1].phase == "waiting"
    assert handled.hands.has_begun(decision_id)
    handled.stand_in.faults.up()
    assert moved(handled, decision_id)


def test_an_api_server_that_stays_away_is_waited_for_until_the_step_is_given_up(
    moving: tuple[Handled, str],
) -> None:
    handled, decision_id = moving
    handled.stand_in.faults.down()
    for _ in range(10):
        with pytest.raises(CommandUnderWay):
            handled.hands.perform(decision_id, "migrate_job", MOVE)
        handled.stand_in.tick(30)
    failed = [row for row in handled.rows(decision_id) if row.phase == "failed"]
    assert [row.step for row in failed] == ["wait_suspended"]
    assert handled.rows(decision_id)[-1].step == "suspend"  # taking back waits for the server too
    handled.stand_in.faults.up()
    error = handled.ending(decision_id, "migrate_job", **MOVE)
    assert isinstance(error, CommandFailed)
    assert handled.job("train")["spec"]["suspend"] is False
    assert handled.held() == {}


def test_storms_are_sat_out(handled: Handled) -> None:
    handled.placed("train", "gpu-a", "gpu-b")
    for status in (409, 429, 500, 503):
        handled.stand_in.faults.storm(status, 4, match="^(PATCH|POST)")
    answer = handled.carry_out(new_id(), "quarantine_node", pool=POOL, node_id="gpu-a")
    assert answer["moved_jobs"] == 1
    assert handled.unaccounted() == []


def test_a_storm_without_end_gives_a_named_end(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    handled.stand_in.faults.storm(409, 10_000, match="^PATCH")
    decision_id = new_id()
    with pytest.raises(CommandUnderWay):
        handled.hands.perform(decision_id, "quarantine_node", {"pool": POOL, "node_id": "gpu-a"})
    handled.stand_in.tick(70)
    error = handled.ending(decision_id, "quarantine_node", 70, pool=POOL, node_id="gpu-a")
    assert str(error).startswith("deadline_passed")
    assert handled.held() == {}


def test_an_answer_that_is_lost_is_no_second_change(handled: Handled) -> None:
    handled.placed("train", "gpu-a", "gpu-b")
    handled.stand_in.faults.lose_answers(5, match="^PATCH")
    decision_id = new_id()
    handled.carry_out(decision_id, "quarantine_node", pool=POOL, node_id="gpu-a")
    assert handled.nodes_of_job("train") == {"gpu-b"}
    assert handled.held() == {"node/gpu-a": decision_id}


def test_a_right_that_is_taken_away_in_the_middle_is_named_and_what_can_be_is_taken_back(
    moving: tuple[Handled, str],
) -> None:
    handled, decision_id = moving
    handled.stand_in.faults.forbid("patch", "jobs")
    error = handled.ending(decision_id, "migrate_job", **MOVE)
    assert isinstance(error, CommandFailed)
    assert "right_missing" in str(error)
    assert "not taken back" in str(error)
    assert "suspend of job/default/train lacks a right" in str(error)
    left = [row for row in handled.rows(decision_id) if row.phase == "left"]
    assert {row.step for row in left} == {"suspend", "checkpoint"}
    assert handled.job("train")["spec"]["suspend"] is True  # and the rows say so


def test_the_kill_switch_stops_between_steps_and_lets_go_on_when_it_is_lifted(
    moving: tuple[Handled, str],
) -> None:
    handled, decision_id = moving
    handled.gate.why = "the kill switch is on, set by ada"
    writes = len(handled.writes())
    for _ in range(50):
        handled.stand_in.tick(10)
        with pytest.raises(CommandUnderWay, match="set by ada"):
            handled.hands.perform(decision_id, "migrate_job", MOVE)
    assert len(handled.writes()) == writes
    waiting = [row for row in handled.rows(decision_id) if row.detail == handled.gate.why]
    assert len(waiting) == 1
    handled.gate.why = None
    assert moved(handled, decision_id)


def test_the_time_that_the_gate_was_shut_is_no_part_of_a_deadline(handled: Handled) -> None:
    handled.placed("train", "gpu-a", "gpu-b")
    handled.stand_in.faults.mute_checkpoints("train")
    decision_id = new_id()
    handled.begin(decision_id, "migrate_job", **MOVE)
    handled.gate.why = "the kill switch is on"
    handled.begin(decision_id, "migrate_job", **MOVE)
    handled.stand_in.tick(3600)
    handled.gate.why = None
    assert "not answered yet" in handled.begin(decision_id, "migrate_job", **MOVE)
    handled.stand_in.tick(299)
    assert "not answered yet" in handled.begin(decision_id, "migrate_job", **MOVE)
    handled.stand_in.tick(2)
    assert "checkpoint_unanswered" in str(handled.ending(decision_id, "migrate_job", **MOVE))


def test_the_kill_switch_holds_taking_back_as_well(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    handled.stand_in.faults.forbid("list", "pods")

    def shut_once_cordoned() -> str | None:
        return "stop" if handled.held() else None

    hands = KubernetesHands(
        handled.store, handled.api, handled.clock, handled.settings, shut_once_cordoned
    )
    decision_id, arguments = new_id(), {"pool": POOL, "node_id": "gpu-a"}
    with pytest.raises(CommandUnderWay, match="stop"):
        hands.perform(decision_id, "quarantine_node", arguments)
    assert handled.held() == {"node/gpu-a": decision_id}
    handled.ending(decision_id, "quarantine_node", **arguments)
    assert handled.held() == {}


def test_with_the_gate_shut_nothing_is_begun(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    handled.gate.why = "another console acts"
    decision_id = new_id()
    handled.begin(decision_id, "quarantine_node", pool=POOL, node_id="gpu-a")
    assert handled.rows(decision_id) == []
    assert not handled.hands.has_begun(decision_id)


def test_a_console_that_lost_its_lease_stops_and_another_goes_on(
    moving: tuple[Handled, str], stand_in: StandIn
) -> None:
    handled, decision_id = moving
    handled.gate.why = "another console acts"
    other = Handled(stand_in, handled.store, handled.folder, gate=Gate())
    with pytest.raises(CommandUnderWay):
        handled.hands.perform(decision_id, "migrate_job", MOVE)
    assert moved(other, decision_id)
    handled.gate.why = None
    assert handled.hands.answer_to(decision_id) == other.hands.answer_to(decision_id)
    writes = len(handled.writes())
    handled.hands.perform(decision_id, "migrate_job", MOVE)
    assert len(handled.writes()) == writes


def test_a_node_that_vanishes_from_under_a_quarantine_ends_by_name(handled: Handled) -> None:
    handled.placed("train", "gpu-a", "gpu-b")
    decision_id = new_id()
    handled.begin(decision_id, "quarantine_node", pool=POOL, node_id="gpu-a")
    handled.stand_in.vanish_node("gpu-a")
    answer = handled.carry_out(decision_id, "quarantine_node", pool=POOL, node_id="gpu-a")
    assert answer["still_running"] == []
    assert handled.held() == {}
    error = handled.ending(f"{decision_id}:undo", "return_node", pool=POOL, node_id="gpu-a")
    assert str(error) == "target_gone: node gpu-a is gone"


def test_another_machine_of_the_same_name_is_not_touched(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    handled.stand_in.faults.storm(503, 1, match="^PATCH")
    decision_id = new_id()
    handled.begin(decision_id, "quarantine_node", pool=POOL, node_id="gpu-a")
    handled.stand_in.vanish_node("gpu-a")
    handled.stand_in.add_node("gpu-a", pool=POOL)
    error = handled.ending(decision_id, "quarantine_node", pool=POOL, node_id="gpu-a")
    assert "another machine" in str(error)
    assert DECISION not in handled.node("gpu-a")["metadata"]["annotations"]


def test_a_list_that_is_compacted_away_while_it_is_read_is_read_again(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    handled.stand_in.faults.storm(410, 1, match="^GET /api/v1/nodes/gpu-a")
    answer = handled.carry_out(new_id(), "quarantine_node", pool=POOL, node_id="gpu-a")
    assert answer["node_id"] == "gpu-a"


def test_an_admission_that_says_no_is_no_missing_right(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    handled.stand_in.faults.storm(403, 1, match="^PATCH /api/v1/nodes/gpu-a")
    error = handled.ending(new_id(), "quarantine_node", pool=POOL, node_id="gpu-a")
    assert str(error).startswith("not_accepted")
