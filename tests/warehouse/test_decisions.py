"""Decisions are decided once, in time, for exactly what was seen; their state is what happened."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from tests.makers import NOON, POOL, make_decision
from warehouse import decisions as asked
from warehouse.actions import InvalidParameters, action_hash
from warehouse.records import AuditEvent, Execution, Outcome, Refusal, Ticket
from warehouse.store import Store

LATER = NOON + timedelta(minutes=1)


def made_execution(**changes: Any) -> Execution:
    values = {
        "decision_id": "decision-1",
        "kind": "do",
        "phase": "intended",
        "parameters": {"nodes": 2},
        "result": {},
        "happened_at": LATER,
    }
    return Execution(**(values | changes))


def made_outcome(**changes: Any) -> Outcome:
    values = {
        "decision_id": "decision-1",
        "realised_gain_usd_per_hour": 20.0,
        "realised_gain_low_usd_per_hour": 20.0,
        "realised_gain_high_usd_per_hour": 20.0,
        "method": "twin",
        "did_harm": False,
        "detail": "it gained",
        "measured_at": NOON + timedelta(hours=5),
    }
    return Outcome(**(values | changes))


def state_of(store: Store, decision_id: str = "decision-1", **moment: Any) -> str:
    return asked.decision(store, decision_id, now=moment.get("now", LATER)).state


def approve(store: Store, decision_id: str = "decision-1", **changes: Any) -> None:
    asked.approve(store, decision_id, **({"by": "ada", "via": "api", "now": LATER} | changes))


def carry_out(store: Store, **changes: Any) -> None:
    approve(store)
    done = {"phase": "succeeded", "result": {"is_undoable": True}} | changes
    store.append([made_execution(), made_execution(**done)])


def test_a_proposal_waits_and_everything_proposed_can_be_read_back(store: Store) -> None:
    decision = make_decision()
    asked.propose(store, decision)
    read = asked.decision(store, "decision-1", now=LATER)
    assert read.state == "waiting"
    assert read.verdict is None
    assert not read.can_undo
    for field in decision.__slots__:
        assert getattr(read, field) == getattr(decision, field), field
    assert asked.waiting_count(store, now=LATER) == 1


def test_of_two_who_click_at_once_one_is_heard(store: Store) -> None:
    for i in range(12):
        asked.propose(store, make_decision(decision_id=f"d{i}", target=f"pool/{i}"))
    heard: list[tuple[str, str]] = []
    refused: list[str] = []
    barrier = threading.Barrier(4)

    def click(who: str) -> None:
        for i in range(12):
            barrier.wait()
            try:
                if who < "c":
                    asked.approve(store, f"d{i}", by=who, via="browser", now=LATER)
                else:
                    asked.reject(store, f"d{i}", by=who, via="api", reason="no", now=LATER)
                heard.append((f"d{i}", who))
            except asked.AlreadyDecided:
                refused.append(f"d{i}")

    threads = [threading.Thread(target=click, args=(who,)) for who in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(decision for decision, _ in heard) == sorted(f"d{i}" for i in range(12))
    assert len(refused) == 36
    verdicts = store.query("SELECT decision_id, decided_by FROM verdicts").rows()
    assert sorted(verdicts) == sorted(heard)
    assert store.query("SELECT count(*) AS n FROM audit_events").item() == 12


def test_an_approval_is_bound_to_what_was_seen(store: Store) -> None:
    asked.propose(store, make_decision())
    other = action_hash("scale_up", f"pool/{POOL}", {"nodes": 3})
    with pytest.raises(asked.ActionChanged):
        approve(store, action_hash=other)
    approve(store, action_hash=make_decision().action_hash)
    assert state_of(store) == "approved"


def test_an_override_carries_its_own_parameters_and_hash(store: Store) -> None:
    asked.propose(store, make_decision())
    with pytest.raises(InvalidParameters):
        asked.override(
            store, "decision-1", {"nodes": 0}, by="ada", via="api", reason="less", now=LATER
        )
    with pytest.raises(asked.ReasonNeeded):
        asked.override(
            store, "decision-1", {"nodes": 1}, by="ada", via="api", reason=" ", now=LATER
        )
    said = asked.override(
        store, "decision-1", {"nodes": 1.0}, by="ada", via="api", reason="less", now=LATER
    )
    assert said.parameters == {"nodes": 1}
    assert said.action_hash == action_hash("scale_up", f"pool/{POOL}", {"nodes": 1})
    read = asked.decision(store, "decision-1", now=LATER)
    assert read.parameters == {"nodes": 2}
    assert read.verdict_parameters == {"nodes": 1}


def test_a_rejection_needs_a_reason(store: Store) -> None:
    asked.propose(store, make_decision())
    with pytest.raises(asked.ReasonNeeded):
        asked.reject(store, "decision-1", by="ada", via="browser", reason="", now=LATER)
    asked.reject(store, "decision-1", by="ada", via="browser", reason="maintenance", now=LATER)
    assert state_of(store) == "rejected"


def test_what_expired_can_only_lapse(store: Store) -> None:
    decision = make_decision()
    asked.propose(store, decision)
    with pytest.raises(asked.NotYetExpired):
        asked.lapse(store, "decision-1", now=LATER)
    with pytest.raises(asked.Expired):
        approve(store, now=decision.expires_at)
    assert state_of(store, now=decision.expires_at) == "lapsed"
    assert state_of(store, now=LATER) == "waiting"
    asked.lapse(store, "decision-1", now=decision.expires_at)
    assert state_of(store, now=LATER) == "lapsed"
    with pytest.raises(asked.AlreadyDecided):
        approve(store, now=LATER)


@pytest.mark.parametrize("changes", [{"mode": "shadow"}, {"action": "do_nothing"}])
def test_what_is_on_record_only_cannot_be_decided(store: Store, changes: dict[str, Any]) -> None:
    parameters = {} if "action" in changes else {"nodes": 2}
    asked.propose(store, make_decision(parameters=parameters, **changes))
    with pytest.raises(asked.AlreadyDecided):
        approve(store)
    assert store.query("SELECT count(*) AS n FROM tickets").item() == 0


def test_one_target_has_one_open_decision(store: Store) -> None:
    first = make_decision()
    asked.propose(store, first)
    with pytest.raises(asked.TargetBusy, match="decision-1"):
        asked.propose(store, make_decision(decision_id="decision-2", proposed_at=LATER))
    asked.propose(store, make_decision(decision_id="decision-3", target="price/other"))
    asked.propose(store, make_decision(decision_id="decision-4", proposed_at=first.expires_at))
    assert state_of(store, "decision-4") == "waiting"
    assert store.query("SELECT count(*) AS n FROM decisions").item() == 3


def test_nobody_decides_what_does_not_exist(store: Store) -> None:
    for verb in (approve, asked.decision):
        with pytest.raises(asked.NoSuchDecision):
            verb(store, "gone", now=LATER)


def test_the_state_follows_what_was_done(store: Store) -> None:
    asked.propose(store, make_decision())
    approve(store)
    store.append([made_execution()])
    assert state_of(store) == "carrying_out"
    store.append([made_execution(phase="succeeded", result={"is_undoable": True})])
    assert state_of(store) == "carried_out"
    store.append([made_outcome()])
    assert state_of(store) == "measured"
    asked.ask_undo(store, "decision-1", by="ada", reason="changed my mind", now=LATER)
    assert state_of(store) == "undoing"
    store.append([made_execution(kind="undo")])
    assert state_of(store) == "undoing"
    store.append([made_execution(kind="undo", phase="succeeded")])
    assert state_of(store) == "undone"


@pytest.mark.parametrize("phase", ["failed", "refused"])
def test_what_failed_or_was_refused_says_why_and_cannot_be_undone(store: Store, phase: str) -> None:
    asked.propose(store, make_decision())
    carry_out(store, phase=phase, detail="no nodes left")
    read = asked.decision(store, "decision-1", now=LATER)
    assert (read.state, read.execution_detail) == (phase, "no nodes left")
    with pytest.raises(asked.NotUndoable):
        asked.ask_undo(store, "decision-1", by="ada", reason="why not", now=LATER)


def test_undo_is_asked_once_with_a_reason_and_only_where_it_can_be(store: Store) -> None:
    asked.propose(store, make_decision())
    with pytest.raises(asked.NotUndoable):
        asked.ask_undo(store, "decision-1", by="ada", reason="too early", now=LATER)
    carry_out(store)
    with pytest.raises(asked.ReasonNeeded):
        asked.ask_undo(store, "decision-1", by="ada", reason=None, now=LATER)
    asked.ask_undo(store, "decision-1", by="ada", reason="wrong pool", now=LATER)
    with pytest.raises(asked.AlreadyDecided):
        asked.ask_undo(store, "decision-1", by="bob", reason="me too", now=LATER)
    other = make_decision(decision_id="decision-2", target="price/x", action="scale_down")
    asked.propose(store, other)
    approve(store, "decision-2")
    store.append(
        [made_execution(decision_id="decision-2", phase="succeeded", result={"is_undoable": False})]
    )
    with pytest.raises(asked.NotUndoable):
        asked.ask_undo(store, "decision-2", by="ada", reason="it hurt", now=LATER)


def test_every_verb_leaves_one_line_in_the_audit(store: Store) -> None:
    asked.propose(store, make_decision())
    carry_out(store)
    asked.ask_undo(store, "decision-1", by="bob", reason="wrong pool", now=LATER, via="browser")
    events = store.rows(AuditEvent, "SELECT * FROM audit_events ORDER BY act")
    assert [(event.actor, event.act, event.target, event.via) for event in events] == [
        ("ada", "decision.approve", "decision-1", "api"),
        ("bob", "decision.undo", "decision-1", "browser"),
    ]


def test_the_list_filters_searches_and_pages(store: Store) -> None:
    for i in range(5):
        at = NOON + timedelta(minutes=i)
        asked.propose(store, make_decision(decision_id=f"d{i}", target=f"pool/{i}", proposed_at=at))
    asked.reject(store, "d1", by="grace", via="api", reason="no", now=LATER)
    page = asked.decisions(store, now=LATER, limit=2)
    assert page.total == 5
    assert page.rows["decision_id"].to_list() == ["d4", "d3"]
    oldest = asked.decisions(store, now=LATER, newest_first=False, offset=1, limit=2)
    assert oldest.rows["decision_id"].to_list() == ["d1", "d2"]
    assert asked.decisions(store, now=LATER, states=["rejected"]).total == 1
    assert asked.decisions(store, now=LATER, search="GRACE").rows["decision_id"].item() == "d1"
    assert asked.decisions(store, now=LATER, pool="elsewhere").total == 0
    assert asked.decisions(store, now=LATER, action="scale_up").total == 5
    counts = asked.counts_by_state(store, now=LATER)
    assert (counts["waiting"], counts["rejected"], sum(counts.values())) == (4, 1, 5)
    assert set(counts) == set(asked.STATES)


def test_the_timeline_tells_the_story_in_order(store: Store) -> None:
    asked.propose(store, make_decision())
    carry_out(store)
    refusal = Refusal(
        action="scale_up",
        target="pool/x",
        parameters={},
        guard="cooldown",
        detail="too soon",
        decision_id="decision-1",
        refused_at=LATER,
    )
    store.append([refusal, made_outcome()])
    asked.ask_undo(
        store, "decision-1", by="evaluation", reason="harm", now=NOON + timedelta(hours=6)
    )
    told = asked.timeline(store, "decision-1")
    assert told.columns == ["at", "what", "by", "detail"]
    assert told["what"].to_list() == [
        "proposed", "approved", "intended", "held back", "succeeded", "measured", "undo asked"
    ]  # fmt: skip


def test_the_scoreboard_adds_promised_kept_and_missed(store: Store) -> None:
    asked.propose(store, make_decision())  # 31 an hour over 4 hours, within 12 to 55
    carry_out(store)
    store.append([made_outcome(realised_gain_usd_per_hour=20.0)])
    asked.propose(store, make_decision(decision_id="s", mode="shadow"))
    asked.propose(store, make_decision(decision_id="r"))
    asked.reject(store, "r", by="ada", via="api", reason="no", now=LATER)
    board = asked.scoreboard(store)
    assert (board.measured_count, board.covered_count, board.harmful_count) == (1, 1, 0)
    assert (board.expected_usd, board.realised_usd) == (124.0, 80.0)
    assert (board.missed_count, board.missed_usd) == (2, 248.0)


def test_what_was_overridden_is_no_promise_kept_or_broken(store: Store) -> None:
    asked.propose(store, make_decision())
    asked.override(store, "decision-1", {"nodes": 1}, by="ada", via="api", reason="less", now=LATER)
    store.append([made_execution(), made_execution(phase="succeeded")])
    store.append([made_outcome(did_harm=True)])
    board = asked.scoreboard(store)
    assert (board.measured_count, board.covered_count) == (0, 0)
    assert (board.expected_usd, board.realised_usd, board.harmful_count) == (0.0, 0.0, 1)


def test_nothing_is_left_of_a_proposal_that_was_refused(store: Store) -> None:
    asked.propose(store, make_decision())
    with pytest.raises(asked.TargetBusy):
        asked.propose(store, make_decision(decision_id="decision-2"))
    tickets = store.rows(Ticket, "SELECT * FROM tickets")
    assert {ticket.decision_id for ticket in tickets} == {"decision-1"}
