"""Decisions by the API: read, decided once, by who may, for what was seen."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from tests.api.conftest import Console
from tests.makers import make_decision
from warehouse.audit import audit
from warehouse.controls import set_four_eyes
from warehouse.decisions import decision, propose
from warehouse.records import Execution, ExecutionStep

BASE = "/api/v1/decisions"


def carried_out(console: Console, decision_id: str) -> None:
    steps = [
        Execution(
            decision_id=decision_id,
            kind="do",
            phase=phase,
            parameters={"nodes": 2},
            result={"is_undoable": True},
            happened_at=console.clock.now(),
        )
        for phase in ("intended", "succeeded")
    ]
    console.store.append(steps)


@pytest.fixture
def waiting(console: Console) -> Console:
    propose(console.store, make_decision())
    return console


def test_a_decision_is_read_with_its_units_and_its_timeline(waiting: Console) -> None:
    viewer = waiting.program("viewer")
    answer = viewer.get(f"{BASE}/decision-1")
    found = answer.json()
    made = make_decision()
    assert found["state"] == "waiting"
    assert found["parameters"] == {"nodes": 2}
    assert found["expected_gain_usd_per_hour"] == made.expected_gain_usd_per_hour
    assert found["alternatives"] == made.alternatives
    assert [step["what"] for step in found["timeline"]] == ["proposed"]
    assert answer.headers["etag"] == f'"{made.action_hash}"'


def test_an_operator_approves_and_is_on_record(waiting: Console) -> None:
    answer = waiting.program("operator", "ann").post(f"{BASE}/decision-1/approve")
    assert answer.status_code == 200
    assert answer.json()["state"] == "approved"
    assert answer.json()["decided_by"] == "ann"
    assert answer.json()["decided_via"] == "api"
    (event,) = audit(waiting.store, act="decision").rows.iter_rows(named=True)
    assert (event["actor"], event["act"]) == ("ann", "decision.approve")


def test_in_a_browser_the_door_is_on_record(waiting: Console) -> None:
    answer = waiting.browser("operator").post(f"{BASE}/decision-1/approve", json={})
    assert answer.json()["decided_via"] == "browser"


def test_of_two_programs_that_approve_at_once_one_is_heard(console: Console) -> None:
    ann, bob = console.program("operator", "ann"), console.program("operator", "bob")
    for number in range(5):
        decision_id = f"decision-{number}"
        propose(console.store, make_decision(decision_id=decision_id, target=f"pool/{number}"))
        gate = threading.Barrier(2)
        answers = []

        def approve(client, decision_id=decision_id, gate=gate, answers=answers) -> None:
            gate.wait()
            answers.append(client.post(f"{BASE}/{decision_id}/approve"))

        threads = [threading.Thread(target=approve, args=(each,)) for each in (ann, bob)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        late = max(answers, key=lambda answer: answer.status_code).json()
        assert late["type"] == "urn:pilothouse:problem:already-decided"
        verdicts = console.store.query(
            "SELECT count(*) FROM verdicts WHERE decision_id = $id", id=decision_id
        )
        assert verdicts.item() == 1


@pytest.mark.parametrize("by_header", [True, False])
def test_an_approval_holds_for_exactly_what_was_seen(waiting: Console, by_header: bool) -> None:
    operator = waiting.program("operator")

    def approve(action_hash: str):
        headers = {"if-match": f'"{action_hash}"'} if by_header else {}
        body = {} if by_header else {"action_hash": action_hash}
        return operator.post(f"{BASE}/decision-1/approve", json=body, headers=headers)

    assert approve("0" * 64).status_code == 412
    assert approve(make_decision().action_hash).status_code == 200


def test_too_late_is_410(waiting: Console) -> None:
    waiting.clock.turn(timedelta(hours=3))
    operator = waiting.program("operator")
    answer = operator.post(f"{BASE}/decision-1/approve")
    assert answer.status_code == 410
    assert "the engine proposes anew" in answer.json()["detail"]
    assert operator.get(f"{BASE}/decision-1").json()["state"] == "lapsed"


def test_an_override_carries_other_parameters_inside_their_limits(waiting: Console) -> None:
    operator = waiting.program("operator")

    def override(parameters: dict[str, object], reason: str = "one will do"):
        body = {"parameters": parameters, "reason": reason}
        return operator.post(f"{BASE}/decision-1/override", json=body)

    assert override({"nodes": 1000}).json()["title"] == "Invalid parameters"
    assert override({"nodes": 1.5}).status_code == 422
    assert override({"cats": 1}).status_code == 422
    assert override({"nodes": "many"}).json()["title"] == "Invalid request"
    assert override({"nodes": 1}, reason=" ").json()["title"] == "Reason needed"
    answer = override({"nodes": 1})
    assert answer.status_code == 200
    assert answer.json()["verdict_parameters"] == {"nodes": 1}
    assert answer.json()["verdict"] == "override"


def test_a_rejection_says_why(waiting: Console) -> None:
    operator = waiting.program("operator")
    assert operator.post(f"{BASE}/decision-1/reject", json={}).status_code == 422
    answer = operator.post(f"{BASE}/decision-1/reject", json={"reason": "maintenance"})
    assert answer.json()["state"] == "rejected"
    assert answer.json()["verdict_reason"] == "maintenance"


def test_what_was_carried_out_is_asked_to_be_undone_once(waiting: Console) -> None:
    operator = waiting.program("operator")
    undo = {"url": f"{BASE}/decision-1/undo", "json": {"reason": "it did harm"}}
    assert operator.post(**undo).json()["title"] == "Not undoable"
    operator.post(f"{BASE}/decision-1/approve")
    carried_out(waiting, "decision-1")
    answer = operator.post(**undo)
    assert answer.status_code == 202
    assert answer.json()["state"] == "undoing"
    assert operator.post(**undo).status_code == 409


def test_a_viewer_reads_and_does_not_decide(waiting: Console) -> None:
    viewer = waiting.program("viewer")
    for verb in ("approve", "override", "reject", "undo"):
        answer = viewer.post(f"{BASE}/decision-1/{verb}", json={"reason": "x", "parameters": {}})
        assert answer.status_code == 403
    found = decision(waiting.store, "decision-1", now=waiting.clock.now())
    assert found.state == "waiting"


def test_an_unknown_decision_is_404(console: Console) -> None:
    operator = console.program("operator")
    assert operator.get(f"{BASE}/none").json()["title"] == "No such decision"
    for verb in ("approve", "reject", "undo"):
        answer = operator.post(
            f"{BASE}/none/{verb}", json={"reason": "x"} if verb != "approve" else {}
        )
        assert answer.status_code == 404, verb


def test_lists_are_filtered_and_paged_with_links(console: Console) -> None:
    for number in range(5):
        at = console.clock.now() + timedelta(minutes=number)
        made = make_decision(decision_id=f"d-{number}", target=f"pool/{number}", proposed_at=at)
        propose(console.store, made)
    operator = console.program("operator")
    operator.post(f"{BASE}/d-0/reject", json={"reason": "no"})
    query = {"state": ["waiting"], "limit": 2, "offset": 2}
    answer = operator.get(BASE, params=query)
    page = answer.json()
    assert (page["total"], page["offset"], page["limit"]) == (4, 2, 2)
    assert [item["decision_id"] for item in page["items"]] == ["d-2", "d-1"]
    assert page["items"][0]["evidence"] == make_decision().evidence
    links = {link["rel"]: link["url"] for link in answer.links.values()}
    assert set(links) == {"first", "prev", "last"}
    followed = operator.get(links["prev"]).json()
    assert [item["decision_id"] for item in followed["items"]] == ["d-4", "d-3"]
    assert operator.get(BASE, params={"state": "asleep"}).status_code == 422
    assert operator.get(BASE, params={"limit": 1001}).status_code == 422
    assert operator.get(BASE, params={"offset": -1}).status_code == 422
    assert operator.get(BASE, params={"search": "d-3"}).json()["total"] == 1


@pytest.fixture
def by_two(waiting: Console) -> Console:
    now = waiting.clock.now()
    set_four_eyes(waiting.store, "scale_up", True, by="root", reason="costly", now=now)
    return waiting


def test_where_two_must_agree_the_first_is_told_what_is_missing(by_two: Console) -> None:
    url = f"{BASE}/decision-1/approve"
    first = by_two.program("operator", "alice").post(url)
    assert (first.status_code, first.json()["state"]) == (202, "waiting")
    assert first.json()["missing"] == "another person's yes to the same action"
    assert [each["words"] for each in first.json()["approvals"]] == ["1 of 2: alice"]
    second = by_two.program("operator", "bob").post(url)
    assert (second.status_code, second.json()["state"]) == (200, "approved")
    assert (second.json()["missing"], second.json()["approvals_needed"]) == (None, 2)


def test_two_tokens_of_one_person_are_one_person(by_two: Console) -> None:
    url, ann = f"{BASE}/decision-1/approve", by_two.browser("operator", "ann")
    assert by_two.program("operator", "alice").post(url).status_code == 202
    again = by_two.program("operator", "alice").post(url)
    assert again.status_code == 409
    assert again.json()["type"] == "urn:pilothouse:problem:already-approved"
    assert ann.post(url, json={}).json()["state"] == "approved"


def test_an_edited_action_is_shown_beside_the_original_and_needs_its_own_hash(
    by_two: Console,
) -> None:
    alice, bob = by_two.program("operator", "alice"), by_two.program("operator", "bob")
    edit = {"parameters": {"nodes": 3}, "reason": "more is coming"}
    assert alice.post(f"{BASE}/decision-1/override", json=edit).status_code == 202
    shown = bob.get(f"{BASE}/decision-1").json()
    (said,) = shown["approvals"]
    assert (shown["parameters"], said["parameters"]) == ({"nodes": 2}, {"nodes": 3})
    assert (said["is_edited"], said["reason"]) == (True, "more is coming")
    assert bob.post(f"{BASE}/decision-1/approve").status_code == 412
    headers = {"if-match": f'"{said["action_hash"]}"'}
    answer = bob.post(f"{BASE}/decision-1/approve", headers=headers).json()
    assert (answer["state"], answer["verdict"]) == ("approved", "override")
    assert (answer["parameters"], answer["verdict_parameters"]) == ({"nodes": 2}, {"nodes": 3})
    what = [step["what"] for step in bob.get(f"{BASE}/decision-1").json()["timeline"]]
    assert what == ["proposed", "said yes", "said yes", "overridden"]


def test_the_steps_of_a_deed_are_read_with_what_they_wait_for(waiting: Console) -> None:
    step = {"decision_id": "decision-1", "kind": "do", "target": "node/n1", "answer": {}}
    at = waiting.clock.now()
    waiting.store.append(
        [
            ExecutionStep(
                **step, position=0, step="cordon", phase="done", found={"is_cordoned": False},
                happened_at=at,
            ),
            ExecutionStep(
                **step, position=1, step="evict", phase="waiting", found={}, happened_at=at,
                detail="a budget allows no disruption",
            ),
        ]
    )  # fmt: skip
    read = waiting.program("viewer").get(f"{BASE}/decision-1").json()
    assert [(each["step"], each["phase"], each["detail"]) for each in read["steps"]] == [
        ("cordon", "done", None),
        ("evict", "waiting", "a budget allows no disruption"),
    ]
    assert read["steps"][0]["found"] == {"is_cordoned": False}
    assert [each["what"] for each in read["timeline"]] == ["proposed", "step done"]
