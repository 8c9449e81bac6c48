"""A node out of use, and back: `quarantine`, `nodes`, `pods`, `events`, `marks`, `objects`."""

from __future__ import annotations

from typing import Any

import pytest

from engine.hands import CommandFailed, CommandRefused, CommandStale
from engine.kubernetes.marks import DECISION, DO_NOT_DISRUPT
from engine.kubernetes.nodes import Uncordon
from engine.kubernetes.settings import HandsSettings
from engine.kubernetes.steps import Done
from tests.engine.kubernetes.cluster import POOL, Handled, new_id


def quarantine(handled: Handled, seconds: float = 1.0) -> tuple[str, dict[str, Any]]:
    decision_id = new_id()
    answer = handled.carry_out(decision_id, "quarantine_node", seconds, pool=POOL, node_id="gpu-a")
    return decision_id, answer


def test_a_node_is_cordoned_its_job_migrated_and_its_web_pod_evicted(handled: Handled) -> None:
    handled.stand_in.add_deployment("web", gpus=1)
    handled.placed("train", "gpu-a", "gpu-b", gpus=2)
    decision_id, answer = quarantine(handled)
    assert handled.node("gpu-a")["spec"]["unschedulable"] is True
    assert handled.node("gpu-a")["metadata"]["annotations"][DECISION] == decision_id
    assert handled.nodes_of_job("train") == {"gpu-b"}
    assert [each["job_id"] for each in answer["moved"]] == ["default/train"]
    assert len(answer["evicted"]) == 1
    assert answer["still_running"] == []
    kinds = [write.rpartition("/")[2] for write in handled.writes()]
    assert kinds.count("eviction") == 1
    (eviction,) = [b for _, path, b in handled.stand_in.requests if path.endswith("eviction")]
    assert eviction["deleteOptions"]["preconditions"]["uid"]
    assert not [write for write in handled.writes() if write.startswith("DELETE")]
    assert handled.held() == {"node/gpu-a": decision_id}


def test_every_step_is_on_record_before_it_is_taken_and_when_it_ended(handled: Handled) -> None:
    handled.placed("train", "gpu-a", "gpu-b")
    decision_id, _ = quarantine(handled)
    phases: dict[str, list[str]] = {}
    for row in handled.rows(decision_id):
        phases.setdefault(row.step, []).append(row.phase)
    assert all(
        seen[0] == "intended" and seen[-1] == "done" for s, seen in phases.items() if s != "end"
    )
    assert [*phases] == [
        "cordon",
        "survey",
        "checkpoint",
        "suspend",
        "wait_suspended",
        "move",
        "resume",
        "verify",
        "let_go",
        "still_cordoned",
        "tell",
        "end",
    ]
    assert handled.hands.answer_to(decision_id) is not None
    assert not handled.hands.has_begun(decision_id)


def test_the_node_bears_an_event_with_the_decision(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    decision_id, _ = quarantine(handled)
    (event,) = handled.stand_in.all("Event")
    assert event["reason"] == "PilothouseQuarantined"
    assert event["involvedObject"]["name"] == "gpu-a"
    assert decision_id in event["message"]


def test_without_the_right_to_leave_events_the_action_succeeds(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    handled.stand_in.faults.forbid("create", "events")
    _, answer = quarantine(handled)
    assert answer["node_id"] == "gpu-a"


def test_it_is_undone_by_opening_the_node(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    decision_id, _ = quarantine(handled)
    handled.carry_out(f"{decision_id}:undo", "return_node", pool=POOL, node_id="gpu-a")
    assert "unschedulable" not in handled.node("gpu-a")["spec"]
    assert handled.held() == {}


def test_a_node_that_somebody_else_cordons_since_is_not_opened(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    decision_id, _ = quarantine(handled)
    handled.api.patch("/api/v1/nodes/gpu-a", {"metadata": {"annotations": {DECISION: None}}})
    error = handled.ending(f"{decision_id}:undo", "return_node", pool=POOL, node_id="gpu-a")
    assert isinstance(error, CommandStale)
    assert handled.node("gpu-a")["spec"]["unschedulable"] is True


def test_what_can_not_be_moved_stays_and_is_named(handled: Handled) -> None:
    handled.stand_in.add_job("notes", gpus=1, checkpoints=False)
    handled.stand_in.add_job("held", gpus=1, annotations={DO_NOT_DISRUPT: "true"})
    handled.placed("train", "gpu-a", "gpu-b")
    handled.stand_in.add_pod("alone", node="gpu-a")
    _, answer = quarantine(handled)
    why = {each["pod"].rsplit("-", 1)[0]: each["why"] for each in answer["still_running"]}
    assert why == {
        "default/notes": "its Job does not checkpoint",
        "default/held": "it is marked do-not-disrupt",
        "default/alone": "nothing would start it again",
    }
    assert handled.nodes_of_job("notes") == handled.nodes_of_job("held") == {"gpu-a"}


def test_a_job_that_never_checkpoints_stays_as_it_was(handled: Handled) -> None:
    handled.placed("train", "gpu-a", "gpu-b")
    handled.stand_in.faults.mute_checkpoints("train")
    decision_id, answer = quarantine(handled, seconds=20)
    (left,) = answer["still_running"]
    assert left["job_id"] == "default/train"
    assert "did not answer within 300 s" in left["why"]
    assert handled.nodes_of_job("train") == {"gpu-a"}
    assert "suspend" not in [row.step for row in handled.rows(decision_id)]
    assert handled.held() == {"node/gpu-a": decision_id}


def test_an_eviction_refused_for_ever_ends_and_names_the_pod(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    handled.stand_in.add_deployment("web", gpus=1)
    handled.stand_in.add_budget("web", {"app": "web"}, min_available=1)
    handled.stand_in.settle(5)
    handled.stand_in.add_node("gpu-b", pool=POOL)
    _, answer = quarantine(handled, seconds=30)
    (left,) = answer["still_running"]
    assert "a PodDisruptionBudget says no" in left["why"]
    assert handled.nodes_of_job("web") == {"gpu-a"}
    assert len([write for write in handled.writes() if write.endswith("eviction")]) > 10


def test_a_node_that_somebody_opens_meanwhile_is_theirs_and_the_moves_stand(
    handled: Handled,
) -> None:
    handled.placed("train", "gpu-a", "gpu-b")
    decision_id = new_id()
    handled.begin(decision_id, "quarantine_node", pool=POOL, node_id="gpu-a")
    handled.api.patch("/api/v1/nodes/gpu-a", {"spec": {"unschedulable": False}})
    error = handled.ending(decision_id, "quarantine_node", pool=POOL, node_id="gpu-a")
    assert isinstance(error, CommandFailed)
    assert "somebody else opened node gpu-a" in str(error)
    assert "done before and left so: job/default/train" in str(error)
    assert handled.held() == {}


@pytest.mark.parametrize("who", ["", "decision-of-before"])
def test_a_node_that_is_cordoned_already_is_stale(handled: Handled, who: str) -> None:
    marks = {DECISION: who} if who else {}
    handled.stand_in.add_node("gpu-a", pool=POOL, annotations=marks)
    handled.api.patch("/api/v1/nodes/gpu-a", {"spec": {"unschedulable": True}})
    decision_id = new_id()
    error = handled.ending(decision_id, "quarantine_node", pool=POOL, node_id="gpu-a")
    assert isinstance(error, CommandStale)
    assert handled.rows(decision_id) == []


def test_a_node_marked_do_not_disrupt_is_left_alone(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL, annotations={DO_NOT_DISRUPT: "true"})
    error = handled.ending(new_id(), "quarantine_node", pool=POOL, node_id="gpu-a")
    assert isinstance(error, CommandRefused)
    assert "do_not_disrupt" in str(error)
    assert "unschedulable" not in handled.node("gpu-a")["spec"]


def test_a_missing_right_is_named_and_the_cordon_taken_back(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    handled.stand_in.faults.forbid("list", "pods")
    decision_id = new_id()
    error = handled.ending(decision_id, "quarantine_node", pool=POOL, node_id="gpu-a")
    assert isinstance(error, CommandFailed)
    assert str(error).startswith("right_missing")
    assert "list" in str(error)
    assert "pods" in str(error)
    assert handled.held() == {}
    assert "unschedulable" not in handled.node("gpu-a")["spec"]
    assert "cordon node/gpu-a: reverted" in handled.tale(decision_id)
    again = handled.ending(decision_id, "quarantine_node", pool=POOL, node_id="gpu-a")
    assert str(again) == str(error)


def test_a_node_that_is_not_there_is_refused_by_name(handled: Handled) -> None:
    error = handled.ending(new_id(), "quarantine_node", pool=POOL, node_id="gpu-z")
    assert str(error) == "target_gone: node gpu-z is gone"


def test_deadlines_are_the_operators(handled: Handled) -> None:
    handled.settings = HandsSettings(checkpoint_seconds=30)
    handled.start()
    handled.placed("train", "gpu-a", "gpu-b")
    handled.stand_in.faults.mute_checkpoints("train")
    _, answer = quarantine(handled, seconds=10)
    assert "within 30 s" in answer["still_running"][0]["why"]


# -- what must not undo a quarantine ----------------------------------------------------


@pytest.mark.parametrize("step", ["survey", "still_cordoned"])
def test_an_outage_of_minutes_does_not_open_a_node_that_is_ill(handled: Handled, step: str) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    match, seconds = {
        "survey": ("^GET /api/v1/pods", 120),
        "still_cordoned": ("^GET /api/v1/nodes/gpu-a", 70),
    }[step]
    decision_id, arguments = new_id(), {"pool": POOL, "node_id": "gpu-a"}
    if step == "survey":
        handled.stand_in.faults.storm(503, 10_000, match=match)
    else:
        handled.stand_in.faults.storm(503, 1, match="^GET /api/v1/pods")
    handled.begin(decision_id, "quarantine_node", **arguments)
    if step == "survey":
        handled.stand_in.tick(seconds)
        assert "503" in handled.begin(decision_id, "quarantine_node", **arguments)
        handled.stand_in.faults.calm()
    else:
        handled.stand_in.faults.storm(503, 10_000, match=match)
        assert "still_cordoned" in handled.begin(decision_id, "quarantine_node", **arguments)
        handled.stand_in.tick(seconds)
    handled.carry_out(decision_id, "quarantine_node", **arguments)
    handled.stand_in.faults.calm()
    assert handled.node("gpu-a")["spec"]["unschedulable"] is True
    assert handled.held() == {"node/gpu-a": decision_id}


@pytest.mark.parametrize("status", [403, 422])
def test_a_pod_whose_eviction_is_refused_is_named_and_the_others_go(
    handled: Handled, status: int
) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    handled.stand_in.add_deployment("held", gpus=1)
    handled.stand_in.add_deployment("web", gpus=1)
    handled.stand_in.settle(5)
    handled.stand_in.add_node("gpu-b", pool=POOL)
    handled.stand_in.faults.storm(status, 10_000, match="^POST .*/pods/held-.*/eviction")
    _, answer = quarantine(handled)
    (left,) = answer["still_running"]
    assert left["pod"].startswith("default/held-")
    assert "its eviction is refused: POST" in left["why"]
    assert [pod.startswith("default/web-") for pod in answer["evicted"]] == [True]
    assert handled.nodes_of_job("held") == {"gpu-a"}


def test_a_node_found_open_at_the_end_loses_our_mark(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    decision_id, arguments = new_id(), {"pool": POOL, "node_id": "gpu-a"}
    handled.stand_in.faults.storm(503, 1, match="^GET /api/v1/pods")
    handled.begin(decision_id, "quarantine_node", **arguments)
    handled.api.patch("/api/v1/nodes/gpu-a", {"spec": {"unschedulable": False}})
    error = handled.ending(decision_id, "quarantine_node", **arguments)
    assert "somebody else opened node gpu-a" in str(error)
    assert DECISION not in handled.node("gpu-a")["metadata"].get("annotations", {})


def test_a_node_that_is_open_already_is_reported_open(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    step = Uncordon("node/gpu-a", 60, api=handled.api, node_id="gpu-a", must=False)
    done = step.take(step.look())
    assert isinstance(done, Done)
    assert done.answer["is_open"] is True
