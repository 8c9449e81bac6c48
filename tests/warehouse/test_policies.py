"""Who steers, who did, who would: asked of rows, and taken back in one call."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.makers import (
    NOON,
    make_alarm,
    make_champion,
    make_policy,
    make_training_run,
    make_twin_check,
)
from warehouse import policies
from warehouse.audit import audit
from warehouse.decision_errors import ReasonNeeded
from warehouse.store import Store

DAY = timedelta(days=1)


def promote(store: Store, policy_id: str, days_ago: float, **changes: object) -> None:
    before = policies.steering(store).policy_id
    since_at = NOON - days_ago * DAY
    given = {"previous_policy_id": before, "decision_id": f"promotion-of-{policy_id}"} | changes
    store.append([make_champion(policy_id=policy_id, since_at=since_at, **given)])


def back(store: Store, policy_id: str | None = None) -> policies.Steering:
    return policies.roll_back(store, by="ann", reason="it lost", now=NOON, policy_id=policy_id)


def test_the_rule_steers_where_nobody_was_made_champion(store: Store) -> None:
    assert policies.steering(store) == policies.Steering("rule")
    assert policies.challenger(store) is None
    assert policies.drift_threshold(store) is None


def test_rolling_back_returns_to_the_policy_before_and_is_on_record(store: Store) -> None:
    promote(store, "net-a", 9)
    promote(store, "net-b", 2)
    assert policies.steering(store).previous_policy_id == "net-a"
    found = back(store)
    assert found == policies.steering(store)
    assert (found.policy_id, found.set_by, found.reason) == ("net-a", "ann", "it lost")
    (event,) = audit(store, act="policy.roll_back").rows.iter_rows(named=True)
    assert (event["actor"], event["target"]) == ("ann", "net-b")


def test_a_second_click_on_what_was_seen_returns_no_further(store: Store) -> None:
    promote(store, "net-a", 9)
    promote(store, "net-b", 2)
    assert back(store, "net-b") == back(store, "net-b")
    assert policies.steering(store).policy_id == "net-a"
    assert policies.champion_history(store).height == 3


def test_one_who_rolls_back_again_and_again_ends_at_the_rule(store: Store) -> None:
    promote(store, "net-a", 9)
    promote(store, "net-b", 5)
    promote(store, "net-a", 2)
    assert [back(store).policy_id for _ in range(4)] == ["net-b", "rule", "rule", "rule"]
    assert policies.champion_history(store).height == 5
    assert policies.steering(store).previous_policy_id is None


def test_what_was_rolled_back_and_promoted_anew_may_be_returned_to(store: Store) -> None:
    promote(store, "net-a", 9)
    back(store)
    for policy_id in ("net-a", "net-b"):
        promote(store, policy_id, -1)
    assert policies.steering(store).previous_policy_id == "net-a"


def test_a_rollback_holds_also_by_a_clock_that_is_behind(store: Store) -> None:
    promote(store, "net-a", -1)
    assert back(store).policy_id == "rule"
    assert policies.steering(store).policy_id == "rule"


def test_rolling_back_needs_a_reason(store: Store) -> None:
    promote(store, "net-a", 9)
    with pytest.raises(ReasonNeeded, match="say why"):
        policies.roll_back(store, by="ann", reason=" ", now=NOON)
    assert policies.steering(store).policy_id == "net-a"


def test_the_challenger_is_the_newest_version_that_never_steered(store: Store) -> None:
    promote(store, "net-a", 9)
    gate = {"name": "held_out", "passed": True, "value": 0.02, "threshold": 0.0, "sentence": "."}
    made = {"origin": "challenger", "parent_id": "net-a"}
    store.append(
        [
            make_policy(),
            make_policy(policy_id="net-0", **made, created_at=NOON - 12 * DAY),
            make_policy(policy_id="net-b", **made, created_at=NOON - 3 * DAY),
            make_policy(policy_id="net-b", **made, gates=[gate], created_at=NOON - 1 * DAY),
        ]
    )
    found = policies.challenger(store)
    assert found is not None
    assert (found.policy_id, found.gates) == ("net-b", [gate])
    assert policies.policy_versions(store).total == 3
    back(store)
    assert policies.challenger(store) == found
    promote(store, "net-b", 0)
    assert policies.challenger(store) is None


def test_a_policy_that_is_not_there_is_said_not_to_be(store: Store) -> None:
    store.append([make_policy()])
    assert policies.policy(store, "net-a").figures == {"gain_ratio": 0.024}
    with pytest.raises(policies.NoSuchPolicy, match="net-z"):
        policies.policy(store, "net-z")


def test_runs_and_alarms_come_newest_first(store: Store) -> None:
    store.append([make_training_run(), make_training_run(run_id="run-2", started_at=NOON)])
    store.append([make_alarm(), make_alarm(trigger="twin_drift", threshold=6.0, raised_at=NOON)])
    assert [run.run_id for run in policies.training_runs(store)] == ["run-2", "run-1"]
    assert policies.alarms(store)["trigger"].to_list() == ["twin_drift", "cusum"]
    store.append([make_twin_check(threshold=6.0)])
    assert policies.drift_threshold(store) == 6.0
