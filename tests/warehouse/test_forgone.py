"""The ledger of what was proposed and not done."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.makers import NOON, POOL, make_decision
from warehouse import decisions
from warehouse.actions import ACTION_SPECS
from warehouse.forgone import FATES, forgone, not_done
from warehouse.records import Decision, Execution, Outcome, Refusal, Ticket
from warehouse.store import Store

HOUR = timedelta(hours=1)


def propose(store: Store, decision_id: str, **changes: Any) -> Decision:
    made = make_decision(decision_id=decision_id, horizon_seconds=3600, **changes)
    decisions.propose(store, made)
    return made


def held_back(at: datetime, **changes: Any) -> Refusal:
    values = {
        "action": "scale_up",
        "target": f"pool/{POOL}",
        "parameters": {"nodes": 9},
        "guard": "cost_is_in_budget",
        "detail": "it adds too much",
        "expected_gain_usd_per_hour": 40.0,
        "pool": POOL,
        "refused_at": at,
    }
    return Refusal(**(values | changes))


def refused(store: Store, decision_id: str, guard: str | None) -> None:
    decisions.approve(store, decision_id, by="ada", via="api", now=NOON)
    store.take(Ticket(decision_id=decision_id, purpose="execution"))
    end = Execution(
        decision_id=decision_id, kind="do", phase="refused", parameters={}, result={},
        detail="the fleet said no", happened_at=NOON,
    )  # fmt: skip
    rows: list[Any] = [end]
    if guard:
        rows.append(held_back(NOON, guard=guard, decision_id=decision_id))
    store.append(rows)


def summed(store: Store, **asked: Any) -> dict[tuple[str, str], float]:
    rows = forgone(store, **asked).iter_rows(named=True)
    return {(row["action"], row["fate"]): row["expected_usd"] for row in rows}


def test_each_way_of_not_being_done_stands_in_the_ledger_with_its_cost(store: Store) -> None:
    node = {"action": "quarantine_node", "parameters": {"node_id": "n"}}
    propose(store, "shadow", mode="shadow", target="pool/a")
    propose(store, "rejected", target="pool/b")
    decisions.reject(store, "rejected", by="ada", via="api", reason="not now", now=NOON)
    propose(store, "lapsed", target="pool/c", expires_at=NOON + HOUR)
    decisions.lapse(store, "lapsed", now=NOON + 2 * HOUR)
    propose(store, "refused", **node, target="node/d")
    refused(store, "refused", None)
    propose(store, "stale", **node, target="node/e")
    refused(store, "stale", "unchanged_since_proposed")
    store.append([held_back(NOON)])
    propose(store, "waits", target="pool/f")  # still open: nothing is forgone yet
    assert summed(store) == {
        ("scale_up", "shadow"): 31.0,
        ("scale_up", "rejected"): 31.0,
        ("scale_up", "lapsed"): 31.0,
        ("quarantine_node", "refused"): 31.0,
        ("quarantine_node", "stale"): 31.0,
        ("scale_up", "held_back"): 10.0,  # $40 an hour until it is weighed anew
    }
    why = dict(not_done(store).rows.select("decision_id", "why").iter_rows())
    assert (why["rejected"], why["stale"], why[None]) == (
        "not now", "the fleet said no", "it adds too much",
    )  # fmt: skip


def test_what_is_proposed_again_and_again_is_forgone_once(store: Store) -> None:
    for at in range(4):
        propose(store, f"d-{at}", mode="shadow", proposed_at=NOON + at * HOUR / 4)
    assert summed(store)["scale_up", "shadow"] == pytest.approx(31.0 * (3 / 4 + 1))


def test_what_it_would_have_gained_stands_beside_where_the_twin_could_tell(store: Store) -> None:
    propose(store, "told", mode="shadow", target="pool/a")
    propose(store, "untold", mode="shadow", target="pool/b")
    outcome = Outcome(
        decision_id="told", realised_gain_usd_per_hour=-8.0, method="twin", did_harm=False,
        detail="", measured_at=NOON + HOUR,
    )  # fmt: skip
    store.append([outcome])
    (row,) = forgone(store).iter_rows(named=True)
    told = (row["count"], row["measured_count"], row["would_have_gained_usd"])
    assert told == (2, 1, -8.0)


def test_what_waits_for_the_open_decision_on_the_same_is_not_counted_twice(store: Store) -> None:
    store.append([held_back(NOON, guard="target_has_no_other_decision")])
    assert forgone(store).is_empty()


def test_it_is_asked_for_a_pool_a_span_and_an_action(store: Store) -> None:
    old = held_back(NOON - 5 * HOUR, pool=None)  # an older row: its target tells the pool
    store.append([held_back(NOON), old, held_back(NOON, target="price/other", pool="other")])
    assert not_done(store, pool=POOL).total == 2
    assert not_done(store, pool=POOL, since=NOON - HOUR).total == 1
    assert not_done(store, action="adjust_price").total == 0


def test_every_action_type_can_stand_in_it(store: Store) -> None:
    known = [name for name in ACTION_SPECS if name not in ("do_nothing", "promote_policy")]
    store.append([held_back(NOON, action=name) for name in known])
    found = forgone(store)
    assert set(found["action"]) == set(known)
    assert set(found["fate"]) <= set(FATES)


def test_it_is_asked_for_one_fate(store: Store) -> None:
    store.append([held_back(NOON)])
    propose(store, "shadow", mode="shadow")
    assert not_done(store, fate="shadow").total == 1
    assert forgone(store, fate="held_back")["count"].to_list() == [1]


def test_what_was_withdrawn_stands_in_it_with_its_reason(store: Store) -> None:
    propose(store, "d")
    decisions.approve(store, "d", by="ada", via="api", now=NOON)
    assert forgone(store).is_empty()
    decisions.withdraw(store, "d", by="ben", reason="the job is over", now=NOON)
    (row,) = not_done(store).rows.iter_rows(named=True)
    assert (row["fate"], row["why"], row["expected_usd"]) == ("withdrawn", "the job is over", 31.0)
