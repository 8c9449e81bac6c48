"""Approvals that are taken back before they are carried out, and who decided together."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from tests.makers import NOON, make_decision
from warehouse import controls, decisions
from warehouse.records import Execution, Ticket
from warehouse.store import Store, WarehouseError

LATER = NOON + timedelta(minutes=5)


@pytest.fixture
def approved(store: Store) -> Store:
    decisions.propose(store, make_decision())
    decisions.approve(store, "decision-1", by="ada", via="api", now=NOON)
    return store


def withdraw(store: Store, reason: str | None = "not today") -> Any:
    return decisions.withdraw(store, "decision-1", by="ben", reason=reason, now=LATER, via="api")


def begin(store: Store) -> None:
    """As the engine begins: the ticket and the intent in one."""
    with store.transaction():
        store.take(Ticket(decision_id="decision-1", purpose="execution"))
        intended = Execution(
            decision_id="decision-1", kind="do", phase="intended", parameters={}, result={},
            happened_at=LATER,
        )  # fmt: skip
        store.append([intended])


def state(store: Store) -> str:
    return decisions.decision(store, "decision-1", now=LATER).state


def test_a_withdrawn_approval_ends_and_frees_its_target(approved: Store) -> None:
    withdraw(approved)
    read = decisions.decision(approved, "decision-1", now=LATER)
    assert (read.state, read.withdrawn_by, read.withdrawal_reason) == (
        "withdrawn", "ben", "not today",
    )  # fmt: skip
    assert decisions.counts_by_state(approved, now=LATER)["withdrawn"] == 1
    assert decisions.timeline(approved, "decision-1")["what"].to_list() == [
        "proposed", "approved", "withdrawn",
    ]  # fmt: skip
    event = approved.query("SELECT actor, via FROM audit_events WHERE act = 'decision.withdraw'")
    assert event.row(0) == ("ben", "api")
    decisions.propose(approved, make_decision(decision_id="decision-2"))


def test_what_is_withdrawn_is_never_begun(approved: Store) -> None:
    withdraw(approved)
    with pytest.raises(WarehouseError):
        begin(approved)
    assert state(approved) == "withdrawn"


def test_it_is_refused_once_carrying_out_has_begun(approved: Store) -> None:
    begin(approved)
    with pytest.raises(decisions.NotWithdrawable, match="is carrying out"):
        withdraw(approved)
    assert state(approved) == "carrying_out"


def test_of_withdrawing_and_beginning_at_once_one_happens(approved: Store) -> None:
    ready, heard = threading.Barrier(2), list[str]()

    def attempt(what: str) -> None:
        ready.wait()
        try:
            (withdraw if what == "withdrawn" else begin)(approved)
            heard.append(what)
        except (decisions.DecisionError, WarehouseError):
            pass

    threads = [threading.Thread(target=attempt, args=(w,)) for w in ("withdrawn", "carrying_out")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [state(approved)] == heard


def test_it_needs_a_reason_and_something_to_take_back(store: Store) -> None:
    with pytest.raises(decisions.NoSuchDecision):
        withdraw(store)
    decisions.propose(store, make_decision())
    with pytest.raises(decisions.NotWithdrawable, match="reject it instead"):
        withdraw(store)
    decisions.approve(store, "decision-1", by="ada", via="api", now=NOON)
    with pytest.raises(decisions.ReasonNeeded):
        withdraw(store, " ")
    withdraw(store)
    with pytest.raises(decisions.NotWithdrawable, match="nothing to take back"):
        withdraw(store)


def four_eyes(store: Store) -> None:
    controls.set_four_eyes(store, "scale_up", True, by="root", reason=None, now=NOON)
    decisions.propose(store, make_decision())


def deciders(store: Store) -> str | None:
    return decisions.decision(store, "decision-1", now=LATER).deciders


def test_where_two_said_yes_both_are_named(store: Store) -> None:
    four_eyes(store)
    decisions.approve(store, "decision-1", by="ada", via="api", now=NOON)
    assert deciders(store) is None
    decisions.approve(store, "decision-1", by="ben", via="api", now=LATER)
    assert deciders(store) == "ada and ben"
    found = decisions.decisions(store, now=LATER, search="ada")
    assert found.rows["deciders"].to_list() == ["ada and ben"]


def test_who_said_yes_to_something_else_or_to_what_was_rejected_is_not_named(store: Store) -> None:
    four_eyes(store)
    decisions.approve(store, "decision-1", by="ada", via="api", now=NOON)
    decisions.reject(store, "decision-1", by="ben", via="api", reason="no", now=LATER)
    assert deciders(store) == "ben"


def test_of_two_who_meant_different_things_only_who_meant_what_is_done_is_named(
    store: Store,
) -> None:
    four_eyes(store)
    decisions.approve(store, "decision-1", by="ada", via="api", now=NOON)
    edit = {"via": "api", "reason": "more", "now": NOON}
    said = decisions.override(store, "decision-1", {"nodes": 3}, by="ben", **edit)  # type: ignore[arg-type]
    yes = {"via": "api", "action_hash": said.action_hash, "now": LATER}
    decisions.approve(store, "decision-1", by="cleo", **yes)  # type: ignore[arg-type]
    assert deciders(store) == "ben and cleo"
