"""The ledger of what was not done; outcomes, versions and withdrawals in the drawer."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from pages import _not_done, _not_done_answers
from pages._callbacks import NOTICES
from tests.makers import NOON, POOL, make_decision
from tests.pages.conftest import Console, ids_in, pressed, words_in
from warehouse import controls, decisions
from warehouse.forgone import FATES, forgone
from warehouse.records import Execution, Outcome

SHOWN = make_decision()
BLOCK = {"startRow": 0, "endRow": 50, "sortModel": []}
WEEK = ("7", None, None, None)
TOLD = "would have gained"


def leave(console: Console, decision_id: str, gain: float | None = None, **changes: Any) -> None:
    """A proposal that was on record only, and what the twin says of it."""
    values = {"mode": "shadow", "target": f"pool/{decision_id}", "horizon_seconds": 3600}
    decisions.propose(console.store, make_decision(decision_id=decision_id, **values | changes))
    if gain is not None:
        came = Outcome(
            decision_id=decision_id, realised_gain_usd_per_hour=gain, method="twin",
            did_harm=False, detail="", measured_at=NOON,
        )  # fmt: skip
        console.store.append([came])


def cost(console: Console, span: str = "7", **asked: Any) -> str:
    return _not_done.cost_words(forgone(console.store, **asked), span)


def test_it_says_in_words_how_much_was_not_done_and_what_that_cost(console: Console) -> None:
    assert cost(console) == "In the last 7 days nothing was proposed and not carried out."
    leave(console, "a", 20.0)
    assert cost(console) == (
        f"In the last 7 days 1 proposal was not carried out; the twin says it {TOLD} $20.00. "
        "It promised $31.00."
    )
    leave(console, "b", 30.0)
    assert f"2 proposals were not carried out; the twin says they {TOLD} $50.00" in cost(console)
    leave(console, "c")
    assert f"the twin says that the 2 it can tell of {TOLD} $50.00. All of" in cost(console)
    leave(console, "d", -80.0)
    assert "would have lost $30.00: they were well left. All of them promised $124." in cost(
        console
    )


def test_what_cannot_be_told_is_no_zero(console: Console) -> None:
    leave(console, "a")
    assert "the twin can't tell yet what that cost. It promised $31.00." in cost(console, "all")
    (line,) = _not_done_answers.ledger_rows(BLOCK, "not-done", *WEEK)["rowData"]
    assert line["would_have_gained_usd"] is None
    shown = words_in(_not_done_answers.show_cost("not-done", *WEEK, None)[0])
    assert "not told yet" in shown


def test_every_fate_has_its_words() -> None:
    assert set(_not_done.FATE_WORDS) == set(_not_done.FATE_SENTENCES) == set(FATES)


@pytest.mark.parametrize(
    ("asked", "total"),
    [
        (WEEK, 2),
        (("1", None, None, None), 1),
        (("all", POOL, None, None), 3),
        (("all", "other", None, None), 0),
        (("7", None, "scale_down", None), 0),
        (("7", None, None, "shadow"), 2),
        (("7", None, None, "lapsed"), 0),
    ],
)
def test_the_ledger_is_asked_for_by_span_pool_action_and_reason(
    console: Console, asked: tuple[str | None, ...], total: int
) -> None:
    for name, days in (("a", 0), ("b", 3), ("c", 20)):
        at = NOON - timedelta(days=days)
        leave(console, name, proposed_at=at, expires_at=at + timedelta(hours=2))
    found = _not_done_answers.ledger_rows(BLOCK, "not-done", *asked)
    assert (found["rowCount"], len(found["rowData"])) == (total, total)
    _, nothing, style = _not_done_answers.show_cost("not-done", *asked, None)
    assert ("Nothing was left undone" in words_in(nothing)) == (total == 0)
    assert (style == {}) == (total > 0)


def test_a_line_says_why_and_leads_to_its_decision(console: Console) -> None:
    decisions.propose(console.store, SHOWN)
    given = {"by": "jon", "via": "api", "reason": "not on a friday", "now": NOON}
    decisions.reject(console.store, SHOWN.decision_id, **given)
    leave(console, "a")
    lines = {
        line["decision_id"]: line
        for line in _not_done_answers.ledger_rows(BLOCK, "not-done", *WEEK)["rowData"]
    }
    assert lines["decision-1"]["fate"] == "Rejected"
    assert lines["decision-1"]["why"] == "not on a friday"
    assert lines["a"]["why"] == "its action only looks on: it is never carried out"
    assert lines["a"]["counts_seconds"] == 3600


def test_it_costs_nothing_while_it_is_not_looked_at(console: Console) -> None:
    leave(console, "a")
    assert _not_done_answers.ledger_rows(BLOCK, "queue", *WEEK) == {"rowData": [], "rowCount": 0}


def test_the_tab_and_its_filters_stand_in_the_address(console: Console) -> None:
    shown = json.dumps(console.open("/decisions", "?tab=not-done&span=30&fate=lapsed"))
    for told in ('"stack tab-not-done"', '"value": "30"', '"value": "lapsed"'):
        assert told in shown
    other = json.dumps(console.open("/decisions", "?tab=cats&span=x&fate=y"))
    assert '"stack tab-queue"' in other
    assert '"value": "y"' not in other


def test_the_ledger_is_downloaded_as_it_is_filtered(console: Console) -> None:
    leave(console, "a", 20.0)
    leave(console, "b", pool="other")
    file, told = _not_done_answers.download(1, "7", POOL, None, None)
    assert file["filename"].startswith("not-done-")
    head, *lines = file["content"].strip().splitlines()
    assert head.startswith("at,action,target,pool,decision_id,summary,guard,fate,why")
    assert len(lines) == 1
    assert told[0]["message"] == "1 rows"


# -- what came of it -------------------------------------------------------------------


def measured(console: Console, **outcome: Any) -> Any:
    decisions.propose(console.store, SHOWN)
    decisions.approve(console.store, SHOWN.decision_id, by="jon", via="api", now=NOON)
    did = {"decision_id": SHOWN.decision_id, "kind": "do", "parameters": {}, "result": {}}
    values = {
        "realised_gain_usd_per_hour": 4.0, "realised_gain_low_usd_per_hour": -2.0,
        "realised_gain_high_usd_per_hour": 9.0, "method": "twin", "did_harm": False,
        "detail": "Without it the queue would have grown.",
        "criterion": "No job waits longer than 15 min",
    }  # fmt: skip
    phases = [
        Execution(**did, phase=phase, happened_at=NOON) for phase in ("intended", "succeeded")
    ]
    made = Outcome(decision_id=SHOWN.decision_id, measured_at=NOON, **values | outcome)
    console.store.append([*phases, made])
    return drawer(console)


def drawer(console: Console) -> str:
    return words_in(list(console.page("decisions").show(SHOWN.decision_id, None, None, None)))


@pytest.mark.parametrize(
    ("judgement", "is_met", "told"),
    [
        ("helped", True, ("▲ Helped", "✓ Met")),
        ("harmed", False, ("▼ Harmed", "✗ Not met")),
        ("inconclusive", None, ("≈ Inconclusive", "Can't be told")),
        ("unmeasured", None, ("– Not measured", "Can't be told")),
    ],
)
def test_an_outcome_is_judged_in_words_beside_its_criterion(
    console: Console, judgement: str, is_met: bool | None, told: tuple[str, str]
) -> None:
    shown = measured(console, judgement=judgement, criterion_is_met=is_met)
    for known in (*told, "No job waits longer than 15 min", "−$2.00 to +$9.00"):
        assert known in shown
    sent = console.page("decisions").rows(BLOCK, [], None, None, None)["rowData"][0]
    assert (sent["outcome_judgement"], sent["outcome_criterion_is_met"]) == (judgement, is_met)


def test_an_older_outcome_claims_no_more_than_it_knows(console: Console) -> None:
    shown = measured(console, criterion=None)
    assert "What came of it" in shown
    assert "+$4.00/h" in shown
    for unknown in ("Helped", "Inconclusive", "Met"):
        assert unknown not in shown


def test_what_was_not_done_is_said_to_have_been_a_might_have_been(console: Console) -> None:
    leave(console, SHOWN.decision_id)
    came = Outcome(
        decision_id=SHOWN.decision_id, realised_gain_usd_per_hour=8.0, method="twin",
        judgement="helped", criterion="x", did_harm=False, detail="", measured_at=NOON,
    )  # fmt: skip
    console.store.append([came])
    shown = drawer(console)
    assert "▲ Would have helped" in shown
    assert "by the twin, had it been done" in shown
    assert "Can't be told" not in shown  # of what was not done no success is asked


# -- two people, and one who thinks again ----------------------------------------------


@pytest.fixture
def edited(console: Console) -> str:
    """The hash of what jon made of the decision, where two people must agree."""
    controls.set_four_eyes(console.store, "scale_up", True, by="root", reason=None, now=NOON)
    decisions.propose(console.store, SHOWN)
    given = {"by": "jon", "via": "browser", "reason": "more is coming", "now": NOON}
    said = decisions.override(console.store, SHOWN.decision_id, {"nodes": 3}, **given)
    return said.action_hash


def buttons(component: Any) -> dict[str, str]:
    """By label what the buttons for a yes to one version say yes to."""
    found: dict[str, str] = {}
    if isinstance(component, list):
        for each in component:
            found |= buttons(each)
    elif isinstance(component, dict):
        given = component.get("props", component)
        kind = given.get("id")
        if isinstance(kind, dict) and kind["type"] == "decisions-second":
            found[given["children"]] = kind["hash"]
        for each in component.values():
            found |= buttons(each)
    return found


def form(console: Console) -> Any:
    given = {"decisions-id.value": SHOWN.decision_id}
    return console.call("decisions-title.children", given)["response"]["decisions-form"]["children"]


def test_each_version_has_its_own_yes_and_no_button_leaves_it_open(
    console: Console, edited: str
) -> None:
    shown = form(console)
    assert buttons(shown) == {
        "Approve as proposed": SHOWN.action_hash,
        "Approve jon's edit": edited,
    }
    words = json.dumps(shown)
    for told in ("2 versions stand: say which you mean", "As proposed", "As edited by jon"):
        assert told in words
    assert '"value": "approve"' not in words  # the form has no yes of its own besides
    assert "Or edit it otherwise, or reject it" in words
    assert '"value": "edit_anew"' in words


def test_a_yes_to_the_original_is_not_one_to_the_edited(console: Console, edited: str) -> None:
    given, changed = pressed("decisions-second", id=SHOWN.decision_id, hash=SHOWN.action_hash)
    sent = console.call("decisions-said.data", given, changed)
    source = sent.get("sideUpdate") or sent["response"]
    assert source[NOTICES]["sendNotifications"][0]["title"] == "Said yes, 1 of 2"
    decisions.approve(
        console.store, SHOWN.decision_id, by="ada", via="api", now=NOON, action_hash=edited
    )
    found = decisions.decision(console.store, SHOWN.decision_id, now=NOON)
    assert (found.verdict_parameters, found.deciders) == ({"nodes": 3}, "jon and ada")
    assert "Approved as edited by jon and ada" in drawer(console)


def test_a_card_with_two_versions_offers_no_quick_yes(console: Console, edited: str) -> None:
    cards = console.page("decisions").bring_up_to_date(None, None)[0]
    assert "Choose a version" in words_in(cards)
    assert "decisions-approve" not in ids_in(
        json.loads(json.dumps(cards.to_plotly_json(), default=lambda each: each.to_plotly_json()))
    )


def test_an_approval_that_waits_is_withdrawn_with_a_reason(console: Console) -> None:
    decisions.propose(console.store, SHOWN)
    assert "decisions-withdraw" not in ids_in(form(console))
    decisions.approve(console.store, SHOWN.decision_id, by="jon", via="api", now=NOON)
    assert "decisions-withdraw" in ids_in(form(console))
    page = console.page("decisions")
    with pytest.raises(decisions.ReasonNeeded):
        page.withdraw(1, "", SHOWN.decision_id)
    told, _ = page.withdraw(1, "the job is over", SHOWN.decision_id)
    assert told[0]["title"] == "Withdrawn"
    shown = drawer(console)
    assert "by mara" in shown
    assert "the job is over" in shown
    assert page.rows(BLOCK, ["withdrawn"], None, None, None)["rowCount"] == 1
