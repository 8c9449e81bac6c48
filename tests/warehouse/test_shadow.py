"""What policies would do and would have earned, and whether the judge of that is honest."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from tests.makers import (
    NOON,
    POOL,
    make_decision,
    make_proposal,
    make_score,
    make_twin_check,
)
from warehouse import decisions, shadow
from warehouse.records import Outcome
from warehouse.store import Store

DAY = timedelta(days=1)


def measured(store: Store, decision_id: str, gain: float) -> None:
    store.append(
        [
            Outcome(
                decision_id=decision_id,
                realised_gain_usd_per_hour=gain,
                method="twin",
                did_harm=False,
                detail="",
                measured_at=NOON,
            )
        ]
    )


def test_each_role_is_told_by_its_newest_proposal_and_a_silent_one_is_left_out(
    store: Store,
) -> None:
    before = NOON - timedelta(minutes=20)
    store.append(
        [
            make_proposal(),
            make_proposal(nodes=7, proposed_at=before),
            make_proposal(pool="other", proposed_at=NOON),
            make_proposal(role="rule", policy_id="rule", nodes=0, value_usd=None),
            make_proposal(role="challenger", policy_id="net-b", proposed_at=NOON - DAY),
        ]
    )
    found = shadow.newest_proposals(store, POOL)
    assert dict(found.select("role", "nodes").iter_rows()) == {"champion": 2, "rule": 0}
    assert shadow.newest_proposals(store, "none").is_empty()


def test_the_ledger_tells_what_was_done_and_what_was_missed(store: Store) -> None:
    decisions.propose(
        store, make_decision(policy="net-a", observation_id="observation-1", mode="shadow")
    )
    store.append(
        [
            make_proposal(),
            make_proposal(role="rule", policy_id="rule"),
            make_proposal(observation_id=None, proposed_at=NOON - DAY),
        ]
    )
    page = shadow.proposals(store, pool=POOL)
    assert page.total == 3
    assert page.rows["role"].to_list() == ["champion", "rule", "champion"]
    assert page.rows["done"].to_list()[:2] == ["Switch on 2 nodes in h100-us-east, shadow"] * 2
    assert page.rows["done"][2] is None
    assert page.rows["missed_gain_usd_per_hour"].to_list() == [31.0, None, None]
    second = shadow.proposals(store, role="champion", offset=1, limit=1)
    assert (second.total, second.rows["observation_id"].to_list()) == (2, [None])


def test_the_newest_promise_is_the_pools_own(store: Store) -> None:
    assert shadow.newest_promise(store, POOL) is None
    decisions.propose(store, make_decision())
    decisions.propose(store, make_decision(decision_id="x", pool="other", target="pool/other"))
    found = shadow.newest_promise(store, POOL)
    assert found is not None
    assert (found.decision_id, found.expected_gain_low_usd_per_hour) == ("decision-1", 12.0)


def test_gains_add_up_and_their_intervals_in_quadrature(store: Store) -> None:
    """Two days of one pool: 30 + 50, each 10 wide to a side: 80 ± sqrt(200)."""
    store.append(
        [
            make_score(ends_at=NOON - DAY),
            make_score(profit_usd=1050.0, gain_low_usd=40.0, gain_high_usd=60.0),
            make_score(role="rule", policy_id="rule", profit_usd=1000.0),
            make_score(role="challenger", policy_id="net-b", profit_usd=990.0),
        ]
    )
    found = shadow.scores(store, since=NOON - 7 * DAY)
    summed = shadow.cumulative_gains(found)
    champion = summed.filter(pl.col("role") == "champion")
    assert champion["gain_usd"].to_list() == [30.0, 80.0]
    assert champion["low_usd"].to_list() == pytest.approx([20.0, 80 - 200**0.5])
    assert champion["high_usd"].to_list() == pytest.approx([40.0, 80 + 200**0.5])
    assert champion["rule_profit_usd"].to_list() == [1000.0, 2000.0]
    assert summed.filter(pl.col("role") == "challenger")["gain_usd"].to_list() == [-10.0]
    (pool,) = shadow.gains_by_pool(found).to_dicts()
    assert (pool["gain_usd"], pool["span_count"], pool["newest_at"]) == (80.0, 2, NOON)
    assert shadow.gains_by_pool(found.clear()).is_empty()
    assert shadow.cumulative_gains(found.clear()).is_empty()


def test_a_promise_counts_as_kept_inside_its_interval_and_not_where_it_was_overridden(
    store: Store,
) -> None:
    for name, gain in (("inside", 30.0), ("below", 2.0), ("edited", 30.0)):
        decisions.propose(store, make_decision(decision_id=name, target=f"pool/{name}"))
        measured(store, name, gain)
    by = {"by": "ann", "via": "api", "now": NOON}
    decisions.approve(store, "inside", **by)
    decisions.approve(store, "below", **by)
    decisions.override(store, "edited", {"nodes": 1}, reason="half", **by)
    found = shadow.promises_kept(store)
    kept = dict(found.select("decision_id", "is_inside").iter_rows())
    assert kept == {"inside": True, "below": False}


def test_checks_of_the_twin_come_in_time_order_and_by_pool(store: Store) -> None:
    store.append([make_twin_check(), make_twin_check(ends_at=NOON - DAY, drift=0.4)])
    store.append([make_twin_check(pool="other"), make_twin_check(ends_at=NOON - 60 * DAY)])
    found = shadow.twin_checks(store, since=NOON - 30 * DAY, pool=POOL)
    assert found["drift"].to_list() == [0.4, 1.2]
    store.append([make_twin_check(pool="other", is_valid=False, ends_at=NOON + DAY)])
    assert shadow.drifting_pools(store) == ["other"]
