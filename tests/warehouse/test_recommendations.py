"""A recommendation becomes one decision, by a person's word, as long as it is of today."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.makers import NOON, POOL, make_decision, make_pool, make_pool_state, make_price
from warehouse.actions import action_hash
from warehouse.audit import audit
from warehouse.controls import set_mode
from warehouse.decisions import TargetBusy, approve, decision, propose
from warehouse.recommendations import (
    AlreadyProposed,
    NoSuchRecommendation,
    NotForTheLoop,
    RecommendationIsOld,
    propose_recommendation,
    recommendations,
)
from warehouse.records import Recommendation
from warehouse.store import Store


def make_recommendation(**changes) -> Recommendation:
    made = {
        "recommendation_id": "r1", "rank": 1, "kind": "decision", "title": "Set it: $730 a month",
        "reason": "Ours is $2.50.", "effect_usd_per_month": 730.0, "effect_low_usd_per_month": 73.0,
        "effect_high_usd_per_month": 1460.0, "assumptions": ["One."], "action": "adjust_price",
        "pool": POOL, "parameters": {"price_usd_per_gpu_hour": 2.4}, "made_at": NOON,
    }  # fmt: skip
    return Recommendation(**(made | changes))


@pytest.fixture
def filled(store: Store) -> Store:
    finding = make_recommendation(
        recommendation_id="r2", rank=2, kind="finding", action=None, parameters={}
    )
    store.append([make_pool(), make_pool_state(), make_price(), make_recommendation(), finding])
    return store


def test_it_waits_for_approval_bound_to_its_hash_with_gains_by_the_hour(filled: Store) -> None:
    made = propose_recommendation(filled, "r1", by="ann", now=NOON)
    parameters = {"price_usd_per_gpu_hour": 2.4}
    assert made.action_hash == action_hash("adjust_price", f"price/{POOL}", parameters)
    assert (made.expected_gain_low_usd_per_hour, made.expected_gain_usd_per_hour) == (0.1, 1.0)
    assert made.expires_at == NOON + timedelta(hours=1)
    assert made.evidence["price_floor_usd_per_gpu_hour"] == pytest.approx(0.7 * 2.4)
    assert made.evidence["assumptions"] == "One."
    assert decision(filled, made.decision_id, now=NOON).state == "waiting"
    hashed = made.action_hash
    approve(filled, made.decision_id, by="bob", via="api", now=NOON, action_hash=hashed)
    (event,) = audit(filled, act="recommendation").rows.iter_rows(named=True)
    assert (event["actor"], event["target"]) == ("ann", "r1")


def test_in_autonomous_mode_too_a_person_must_approve_it(filled: Store) -> None:
    set_mode(filled, "adjust_price", "autonomous", by="ann", reason=None, now=NOON)
    assert propose_recommendation(filled, "r1", by="ann", now=NOON).mode == "approve"


def test_one_recommendation_becomes_one_decision_and_shows_it(filled: Store) -> None:
    assert [each.decision_id for each in recommendations(filled, NOON)] == [None, None]
    made = propose_recommendation(filled, "r1", by="ann", now=NOON)
    with pytest.raises(AlreadyProposed):
        propose_recommendation(filled, "r1", by="bob", now=NOON)
    assert [each.decision_id for each in recommendations(filled, NOON)] == [made.decision_id, None]


def test_what_is_not_there_or_not_for_the_loop_is_refused(filled: Store) -> None:
    with pytest.raises(NoSuchRecommendation):
        propose_recommendation(filled, "r9", by="ann", now=NOON)
    with pytest.raises(NotForTheLoop):
        propose_recommendation(filled, "r2", by="ann", now=NOON)


def test_what_is_old_or_replaced_is_refused(filled: Store) -> None:
    assert recommendations(filled, NOON + timedelta(hours=27)) == []
    with pytest.raises(RecommendationIsOld):
        propose_recommendation(filled, "r1", by="ann", now=NOON + timedelta(hours=27))
    filled.append([make_recommendation(recommendation_id="r3", made_at=NOON + timedelta(hours=1))])
    later = NOON + timedelta(hours=2)
    with pytest.raises(RecommendationIsOld):
        propose_recommendation(filled, "r1", by="ann", now=later)
    assert [each.recommendation_id for each in recommendations(filled, later)] == ["r3"]


def test_a_price_that_is_being_decided_is_not_proposed_again(filled: Store) -> None:
    propose(filled, make_decision(action="adjust_price", target=f"price/{POOL}"))
    with pytest.raises(TargetBusy):
        propose_recommendation(filled, "r1", by="ann", now=NOON)
    assert audit(filled, act="recommendation").total == 0
