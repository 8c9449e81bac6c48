"""Decisions: what waits for a person, what was decided, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from pages import _detail, _verdicts
from pages._callbacks import NOTICES
from tests.makers import NOON, make_decision
from tests.pages.conftest import Console, ids_in, pressed, words_in
from warehouse import controls, decisions
from warehouse.people import Person, current_person
from warehouse.records import Execution, ExecutionStep, Outcome

SHOWN = make_decision()
ASKED = {"id": SHOWN.decision_id, "hash": SHOWN.action_hash}
BLOCK = {"startRow": 0, "endRow": 50, "sortModel": []}


@pytest.fixture
def filled(console: Console) -> Console:
    decisions.propose(console.store, SHOWN)
    return console


def carried_out(console: Console, **outcome: Any) -> None:
    decisions.approve(console.store, SHOWN.decision_id, by="jon", via="api", now=NOON)
    did = {"decision_id": SHOWN.decision_id, "kind": "do", "parameters": {"nodes": 2}}
    console.store.append(
        [
            Execution(**did, phase="intended", result={}, happened_at=NOON),
            Execution(**did, phase="succeeded", result={"is_undoable": True}, happened_at=NOON),
            Outcome(
                decision_id=SHOWN.decision_id, realised_gain_usd_per_hour=28.0, method="twin",
                did_harm=False, detail="Without it the queue would have grown.", measured_at=NOON,
            ),
        ]
    )  # fmt: skip


def say(console: Console, choice: str, reason: str | None, nodes: Any = 2) -> dict[str, Any]:
    """What the browser is sent after the form's button was pressed."""
    field = {"name": "nodes", "type": "decisions-parameter"}
    given = {
        "decisions-confirm.n_clicks": 1,
        "decisions-choice.value": choice,
        "decisions-reason.value": reason,
        "decisions-parameter.value": [(field, nodes)],
        "decisions-parameter.id": [(field, field)],
        "decisions-shown.data": ASKED,
    }
    sent = console.call("decisions-said.data", given, "decisions-confirm.n_clicks")
    source = sent.get("sideUpdate") or sent["response"]
    return source[NOTICES]["sendNotifications"][0]


def state(console: Console) -> str:
    return decisions.decision(console.store, SHOWN.decision_id, now=NOON).state


def test_an_empty_warehouse_says_that_nothing_was_decided(console: Console) -> None:
    cards, counts, nothing, _ = console.page("decisions").bring_up_to_date(None, None)
    assert "Nothing waits for you" in words_in(cards)
    assert counts == "No decisions yet"
    assert "No decisions yet" in words_in(nothing)
    tiles, dots = console.page("decisions").show_score(None)
    assert "nothing measured yet" in words_in(tiles)
    assert "Nothing is measured yet" in words_in(dots)


def test_the_detail_tells_all_that_is_known(filled: Console) -> None:
    shown = filled.page("decisions").show(SHOWN.decision_id, None, None, None)
    words = words_in(list(shown))
    told = (SHOWN.reason, "+$31.00/h", "Nodes to add", "2 nodes", "Queued GPUs", "14\u202fmin")
    for known in (*told, "What the rule would do", "the queue would grow", "Proposed"):
        assert known in words


def test_the_form_is_made_anew_only_when_the_state_changed(filled: Console) -> None:
    given = {"decisions-id.value": SHOWN.decision_id}
    first = filled.call("decisions-title.children", given)["response"]
    assert "decisions-confirm" in ids_in(first["decisions-form"]["children"])
    given["decisions-form-of.data"] = first["decisions-form-of"]["data"]
    assert "decisions-form" not in filled.call("decisions-title.children", given)["response"]
    decisions.approve(filled.store, SHOWN.decision_id, by="jon", via="api", now=NOON)
    assert "decisions-form" in filled.call("decisions-title.children", given)["response"]


def test_an_approval_is_written_with_who_gave_it(filled: Console) -> None:
    assert say(filled, "approve", None)["title"] == "Approved"
    found = decisions.decision(filled.store, SHOWN.decision_id, now=NOON)
    assert (found.state, found.decided_by) == ("approved", "mara")


def test_an_override_carries_the_edited_parameters_and_needs_a_reason(filled: Console) -> None:
    assert "reason" in say(filled, "override", "  ", nodes=1)["message"]
    assert say(filled, "override", "half is enough", nodes=1)["title"] == "Approved as edited"
    found = decisions.decision(filled.store, SHOWN.decision_id, now=NOON)
    assert found.verdict_parameters == {"nodes": 1}


@pytest.mark.parametrize("nodes", [900, 1.5, None, "many"])
def test_parameters_out_of_their_limits_are_refused_in_words(filled: Console, nodes: Any) -> None:
    assert say(filled, "override", "why not", nodes=nodes)["title"] == "Not done"
    assert state(filled) == "waiting"


def test_a_rejection_needs_a_reason(filled: Console) -> None:
    assert "reason" in say(filled, "reject", None)["message"]
    assert say(filled, "reject", "maintenance in an hour")["title"] == "Rejected"
    assert state(filled) == "rejected"


def test_the_second_of_two_is_told_who_was_faster(filled: Console) -> None:
    decisions.reject(filled.store, SHOWN.decision_id, by="jon", via="api", reason="no", now=NOON)
    for choice in ("approve", "override", "reject"):
        told = say(filled, choice, "because")
        assert told["title"] == "Already decided"
        assert "Reject by jon" in told["message"]


def test_what_changed_since_it_was_shown_is_not_approved(filled: Console) -> None:
    given, changed = pressed("decisions-approve", id=SHOWN.decision_id, hash="another")
    sent = filled.call("decisions-waiting.children", given, changed)
    assert "read it again" in json.dumps(sent["sideUpdate"])
    assert state(filled) == "waiting"


def test_a_viewer_can_say_nothing(filled: Console) -> None:
    with filled.asked_by("viewer"):
        assert "takes the role operator" in say(filled, "approve", None)["message"]
        shown = filled.page("decisions").show(SHOWN.decision_id, None, None, None)
        assert "Deciding takes the role operator" in words_in(list(shown))
    assert state(filled) == "waiting"


def test_an_expired_decision_is_refused_and_no_longer_shown_as_waiting(console: Console) -> None:
    old = {"proposed_at": NOON - timedelta(hours=3), "expires_at": NOON - timedelta(hours=1)}
    decisions.propose(console.store, make_decision(**old))
    assert "expired" in say(console, "approve", None)["message"]
    cards, counts, _, _ = console.page("decisions").bring_up_to_date(None, None)
    assert "Nothing waits" in words_in(cards)
    assert counts == "1 lapsed"


def test_what_was_gained_stands_beside_what_was_expected(filled: Console) -> None:
    carried_out(filled)
    shown = words_in(list(filled.page("decisions").show(SHOWN.decision_id, None, None, None)))
    assert "+$28.00/h" in shown
    assert "Without it the queue would have grown." in shown
    tiles, dots = filled.page("decisions").show_score(None)
    assert "$124" in words_in(tiles)  # 31 USD an hour over 4 hours
    assert "$112" in words_in(tiles)  # 28 USD an hour over 4 hours
    assert dots.data[0]["data"] == [{"Expected": 31.0, "Realised": 28.0}]


def test_what_was_carried_out_can_be_undone_with_a_reason(filled: Console) -> None:
    carried_out(filled)
    page = filled.page("decisions")
    assert "decisions-undo" in ids_in(
        filled.call("decisions-title.children", {"decisions-id.value": SHOWN.decision_id})
    )
    with pytest.raises(decisions.ReasonNeeded):
        page.undo(1, "", SHOWN.decision_id)
    told, _ = page.undo(1, "the queue is empty", SHOWN.decision_id)
    assert told[0]["title"] == "Undo asked"
    assert state(filled) == "undoing"


def test_the_table_is_asked_for_a_block_at_a_time(filled: Console) -> None:
    sent = filled.page("decisions").rows(BLOCK, ["waiting"], None, None, None)
    assert sent["rowCount"] == 1
    assert sent["rowData"][0]["expected_gain_high_usd_per_hour"] == 55.0
    assert filled.page("decisions").rows(BLOCK, ["lapsed"], None, None, None)["rowCount"] == 0
    assert filled.page("decisions").rows(BLOCK, [], None, None, "switch on")["rowCount"] == 1


def freeze(console: Console, **span: str) -> None:
    window = {"starts_at": "2026-11-02T11:00:00Z", "ends_at": "2026-11-02T14:30:00Z"} | span
    controls.set_limit(console.store, "freeze_windows", [window], by="jon", reason=None, now=NOON)


def stop(console: Console) -> None:
    controls.set_kill_switch(console.store, True, by="jon", reason="drill", now=NOON)


def trip(console: Console) -> None:
    controls.open_breaker(console.store, failures=3, now=NOON)


@pytest.mark.parametrize(
    ("hold", "why"),
    [
        (stop, "the kill switch is on"),
        (trip, "the breaker is open"),
        (freeze, "actions are frozen until 14:30 UTC"),
    ],
)
@pytest.mark.parametrize("choice", ["approve", "override"])
def test_an_approval_that_has_to_wait_says_for_what_and_for_how_long(
    filled: Console, choice: str, hold: Callable[[Console], None], why: str
) -> None:
    controls.set_limit(
        filled.store, "decision_expiry_seconds", 1800, by="jon", reason=None, now=NOON
    )
    hold(filled)
    message = say(filled, choice, "because", nodes=1)["message"]
    assert message.startswith(f"It waits: {why}. ")
    assert "within 30" in message


def test_an_approval_that_nothing_holds_up_is_carried_out_at_the_next_tick(
    filled: Console,
) -> None:
    freeze(filled, starts_at="2026-11-02T13:00:00Z")
    assert say(filled, "approve", None)["message"] == "The engine carries it out at its next tick."


def test_an_undoing_that_has_to_wait_says_so(filled: Console) -> None:
    carried_out(filled)
    stop(filled)
    told, _ = filled.page("decisions").undo(1, "the queue is empty", SHOWN.decision_id)
    assert told[0]["message"].startswith("It waits: the kill switch is on.")


def test_a_verdict_by_a_token_is_not_said_to_come_from_a_browser(filled: Console) -> None:
    token = current_person.set(Person("robot", "operator", "api"))
    try:
        _verdicts.approve(SHOWN.decision_id, SHOWN.action_hash)
    finally:
        current_person.reset(token)
    assert decisions.decision(filled.store, SHOWN.decision_id, now=NOON).decided_via == "api"


def test_an_alternative_is_told_in_words_and_never_as_json() -> None:
    refused = {
        "action": "scale_up",
        "parameters": {"nodes": 1},
        "expected_gain_usd_per_hour": 6.45,
        "expected_gain_low_usd_per_hour": -10.34,
        "expected_gain_high_usd_per_hour": 22.85,
        "guard": None,
        "why_not": "earns $1.93/h less than the choice",
    }
    shown = words_in(_detail._alternatives([refused]))
    assert "+$6.45/h, −$10.34 to +$22.85" in shown
    assert "earns $1.93/h less than the choice" in shown
    assert "{" not in shown


@pytest.fixture
def by_two(filled: Console) -> Console:
    controls.set_four_eyes(filled.store, "scale_up", True, by="root", reason=None, now=NOON)
    return filled


def cards(console: Console) -> str:
    return words_in(console.page("decisions").bring_up_to_date(None, None)[0])


def drawer(console: Console) -> Any:
    return console.page("decisions").show(SHOWN.decision_id, None, None, None)


def second_yes(console: Console, action_hash: str) -> dict[str, Any]:
    given, changed = pressed("decisions-second", id=SHOWN.decision_id, hash=action_hash)
    sent = console.call("decisions-said.data", given, changed)
    source = sent.get("sideUpdate") or sent["response"]
    return source[NOTICES]["sendNotifications"][0]


def test_where_two_must_agree_the_first_yes_is_told_and_shown(by_two: Console) -> None:
    assert "Two people must say yes" in cards(by_two)
    told = say(by_two, "approve", None)
    assert (told["title"], state(by_two)) == ("Said yes, 1 of 2", "waiting")
    assert "1 of 2: mara" in cards(by_two)
    shown = words_in(list(drawer(by_two)))
    assert "You said yes: another person must" in shown
    assert "Said yes" in shown


def test_the_second_yes_is_to_exactly_what_the_first_has_edited(by_two: Console) -> None:
    jon = {"by": "jon", "via": "browser", "reason": "more is coming", "now": NOON}
    said = decisions.override(by_two.store, SHOWN.decision_id, {"nodes": 3}, **jon)
    shown = words_in(list(drawer(by_two)))
    assert "1 of 2: jon, with nodes = 3" in shown
    assert "more is coming" in shown
    assert second_yes(by_two, said.action_hash)["title"] == "Approved"
    found = decisions.decision(by_two.store, SHOWN.decision_id, now=NOON)
    assert (found.verdict, found.verdict_parameters) == ("override", {"nodes": 3})


def test_the_form_is_made_anew_when_somebody_says_yes(by_two: Console) -> None:
    key = drawer(by_two)[-1]
    decisions.approve(by_two.store, SHOWN.decision_id, by="jon", via="api", now=NOON)
    assert drawer(by_two)[-1] != key


def test_what_was_edited_stands_beside_what_was_proposed(filled: Console) -> None:
    say(filled, "override", "half is enough", nodes=1)
    shown = words_in(list(drawer(filled)))
    assert "2 nodes as proposed" in shown
    assert "1 nodes" in shown
    assert "Hash as edited" in shown
    assert shown.count("half is enough") == 2  # beside the parameters, and in the timeline


def test_an_approval_outside_its_window_says_when_that_opens(filled: Console) -> None:
    window = {
        "actions": ["scale_up"], "weekdays": ["tue"], "starts": "02:00", "ends": "05:00",
        "time_zone": "UTC",
    }  # fmt: skip
    controls.set_limit(
        filled.store, "maintenance_windows", [window], by="jon", reason=None, now=NOON
    )
    assert "Its window opens 3 Nov 02:00 UTC" in cards(filled)
    message = say(filled, "approve", None)["message"]
    assert message.startswith("It waits: its maintenance window opens 3 Nov 02:00 UTC. ")
    assert "within 17" in message


def test_the_steps_of_a_deed_say_what_they_wait_for(filled: Console) -> None:
    step = ExecutionStep(
        decision_id=SHOWN.decision_id, kind="do", position=0, step="wait_suspended",
        target="job/team/train", phase="waiting", found={}, answer={},
        detail="2 pods are still active", happened_at=NOON,
    )  # fmt: skip
    filled.store.append([step])
    shown = words_in(list(drawer(filled)))
    assert "Wait suspended" in shown
    assert "2 pods are still active" in shown
