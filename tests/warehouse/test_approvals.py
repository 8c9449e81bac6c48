"""Where two people must agree, both say yes to exactly the same; anybody's no ends it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.makers import NOON, make_decision
from warehouse import decisions as asked
from warehouse.actions import action_hash
from warehouse.approvals import approvals, are_enough, said_so_far, standing_approvals
from warehouse.controls import set_four_eyes
from warehouse.records import Approval, AuditEvent, Verdict
from warehouse.store import Store

SHOWN = make_decision()
EDITED = action_hash(SHOWN.action, SHOWN.target, {"nodes": 3})


@pytest.fixture
def waiting(store: Store) -> Store:
    set_four_eyes(store, "scale_up", True, by="root", reason="costly", now=NOON)
    asked.propose(store, SHOWN)
    return store


def approve(store: Store, by: str, **changes: Any) -> Verdict | Approval:
    said = {"by": by, "via": "api", "now": NOON} | changes
    return asked.approve(store, SHOWN.decision_id, **said)


def edit(store: Store, by: str, nodes: int = 3) -> Verdict | Approval:
    return asked.override(
        store, SHOWN.decision_id, {"nodes": nodes}, by=by, via="browser", reason="more", now=NOON
    )


def read(store: Store) -> asked.DecisionState:
    return asked.decision(store, SHOWN.decision_id, now=NOON)


def so_far(store: Store) -> list[str]:
    said = standing_approvals(store).get(SHOWN.decision_id, [])
    return [each.words for each in said_so_far(SHOWN.action_hash, said)]


def test_the_first_yes_is_kept_and_the_second_decides(waiting: Store) -> None:
    assert isinstance(approve(waiting, "alice"), Approval)
    assert (read(waiting).state, so_far(waiting)) == ("waiting", ["1 of 2: alice"])
    assert isinstance(approve(waiting, "bob"), Verdict)
    assert (read(waiting).state, read(waiting).decided_by) == ("approved", "bob")
    assert are_enough(approvals(waiting, SHOWN.decision_id), read(waiting).verdict_action_hash)
    assert so_far(waiting) == []


def test_one_person_is_not_two(waiting: Store) -> None:
    approve(waiting, "alice")
    with pytest.raises(asked.AlreadyApproved, match="another person's yes"):
        approve(waiting, "alice", via="browser")
    assert read(waiting).state == "waiting"
    assert approve(waiting, "bob", action_hash=SHOWN.action_hash)


def test_autonomy_is_no_person(waiting: Store) -> None:
    approve(waiting, "alice")
    with pytest.raises(asked.SecondPersonNeeded, match="2 people"):
        approve(waiting, "autonomy", via="rule")
    assert read(waiting).state == "waiting"


def test_who_edits_says_the_first_yes_to_the_edited_action(waiting: Store) -> None:
    assert isinstance(edit(waiting, "alice"), Approval)
    assert so_far(waiting) == ["1 of 2: alice, with nodes = 3"]
    with pytest.raises(asked.AlreadyApproved):
        edit(waiting, "alice")
    with pytest.raises(asked.AlreadyApproved):
        approve(waiting, "alice", action_hash=EDITED)
    approve(waiting, "bob", action_hash=EDITED)
    found = read(waiting)
    assert (found.verdict, found.verdict_reason, found.decided_by) == ("override", "more", "bob")
    assert (found.parameters, found.verdict_parameters) == ({"nodes": 2}, {"nodes": 3})
    assert found.verdict_action_hash == EDITED


def test_two_who_mean_different_things_have_not_agreed(waiting: Store) -> None:
    approve(waiting, "alice")
    edit(waiting, "bob")
    assert so_far(waiting) == ["1 of 2: alice", "1 of 2: bob, with nodes = 3"]
    with pytest.raises(asked.ActionChanged, match="bob has edited"):
        approve(waiting, "carol")
    with pytest.raises(asked.ActionChanged):
        approve(waiting, "carol", action_hash="0" * 64)
    approve(waiting, "alice", action_hash=EDITED)
    assert read(waiting).verdict_parameters == {"nodes": 3}


def test_anybodys_no_ends_it(waiting: Store) -> None:
    approve(waiting, "alice")
    asked.reject(
        waiting, SHOWN.decision_id, by="alice", via="api", reason="on second thoughts", now=NOON
    )
    assert read(waiting).state == "rejected"
    with pytest.raises(asked.AlreadyDecided):
        approve(waiting, "bob")


def test_every_yes_is_on_record(waiting: Store) -> None:
    edit(waiting, "alice")
    approve(waiting, "bob", action_hash=EDITED)
    sql = "SELECT * FROM audit_events WHERE act LIKE 'decision.%' ORDER BY rowid"
    events = waiting.rows(AuditEvent, sql)
    assert [(event.actor, event.act) for event in events] == [
        ("alice", "decision.first_yes"),
        ("bob", "decision.override"),
    ]
    assert events[1].detail == {
        "parameters": {"nodes": 3},
        "reason": "more",
        "first_yes_by": "alice",
    }
    told = asked.timeline(waiting, SHOWN.decision_id)
    assert told["what"].to_list() == ["proposed", "said yes", "said yes", "overridden"]
    assert told["by"].to_list()[1:] == ["alice", "bob", "bob"]


def test_where_one_is_enough_again_the_next_yes_decides(waiting: Store) -> None:
    edit(waiting, "alice")
    set_four_eyes(waiting, "scale_up", False, by="root", reason="calm", now=NOON)
    assert isinstance(approve(waiting, "alice", action_hash=EDITED), Verdict)
    assert read(waiting).verdict_parameters == {"nodes": 3}


def test_of_many_who_say_yes_at_once_two_are_heard(waiting: Store) -> None:
    barrier, heard = threading.Barrier(4), list[str]()

    def click(who: str) -> None:
        barrier.wait()
        try:
            heard.append(type(approve(waiting, who)).__name__)
        except asked.AlreadyDecided:
            heard.append("late")

    threads = [threading.Thread(target=click, args=(who,)) for who in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(heard) == ["Approval", "Verdict", "late", "late"]
    assert len(approvals(waiting, SHOWN.decision_id)) == 2
