"""Which decisions a chat is told of, and which messages are to be settled."""

from __future__ import annotations

from datetime import timedelta

from tests.makers import NOON, make_decision
from warehouse.decision_messages import TRIES_MOST, posted, unsettled, untold
from warehouse.decisions import propose, reject
from warehouse.records import DecisionMessage
from warehouse.store import Store


def noted(store: Store, decision_id: str, *phases: str) -> None:
    store.append(
        DecisionMessage(decision_id=decision_id, phase=phase, recorded_at=NOON) for phase in phases
    )


def test_only_what_waits_for_a_person_is_told_and_that_once(store: Store) -> None:
    for name, changes in (
        ("a", {}),
        ("begun", {}),
        ("failed", {}),
        ("gave-up", {}),
        ("shadow", {"mode": "shadow"}),
        ("nothing", {"action": "do_nothing"}),
        ("old", {"expires_at": NOON}),
    ):
        propose(store, make_decision(decision_id=name, target=f"pool/{name}", **changes))
    noted(store, "begun", "intended")
    noted(store, "failed", "intended", "failed")
    noted(store, "gave-up", *["intended", "failed"] * TRIES_MOST)
    assert {each.decision_id for each in untold(store, now=NOON)} == {"a", "failed"}
    assert len(untold(store, now=NOON, most=1)) == 1


def test_a_message_is_settled_once_its_decision_no_longer_waits(store: Store) -> None:
    for name in ("a", "b", "c"):
        propose(store, make_decision(decision_id=name, target=f"pool/{name}"))
        noted(store, name, "intended", "posted")
    assert unsettled(store, now=NOON) == []
    reject(store, "a", by="ann", via="slack", reason="no", now=NOON)
    assert [each.decision_id for each in unsettled(store, now=NOON)] == ["a"]
    assert len(unsettled(store, now=NOON + timedelta(hours=2))) == 3
    noted(store, "a", "settled")
    noted(store, "b", *["not_settled"] * TRIES_MOST)
    assert [each.decision_id for each in unsettled(store, now=NOON + timedelta(hours=2))] == ["c"]
    assert posted(store, "a") is not None
    assert posted(store, "nobody") is None
