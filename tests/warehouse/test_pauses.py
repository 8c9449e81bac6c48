"""What is paused is told with its reason and since when; so are missing rights and steps."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests.makers import NOON, make_decision
from warehouse import controls, decisions, leases
from warehouse.pauses import ENGINE_LEASE, Pause, oldest_waiting, pauses
from warehouse.records import ClusterRight, ExecutionStep
from warehouse.rights import missing_rights
from warehouse.steps import steps
from warehouse.store import Store

HOUR = timedelta(hours=1)
BY: dict[str, Any] = {"by": "ada", "reason": "drill"}


def paused(store: Store, now: datetime = NOON) -> dict[tuple[str, str | None], Pause]:
    return {(each.reason, each.action): each for each in pauses(store, now=now)}


def right(allowed: bool, at: datetime, **changes: Any) -> ClusterRight:
    made = ClusterRight(
        action="quarantine_node", right="create pods/eviction", is_allowed=allowed, checked_at=at
    )
    return replace(made, **changes)


def test_where_nothing_is_set_nothing_is_paused(store: Store) -> None:
    assert pauses(store, now=NOON) == []
    assert oldest_waiting(store, now=NOON) == {}


def test_a_switch_that_is_set_twice_has_been_on_since_the_first_time(store: Store) -> None:
    for hours, is_on in ((5, True), (4, False), (3, True), (1, True)):
        controls.set_kill_switch(store, is_on, now=NOON - hours * HOUR, **BY)
    found = paused(store)["kill_switch", None]
    assert found.seconds(NOON) == 3 * 3600
    assert found.words == "ada set the kill switch: drill"


def test_the_breaker_says_what_opened_it(store: Store) -> None:
    controls.open_breaker(store, reason="3 nodes quarantined within 60 min", now=NOON - HOUR)
    found = paused(store)["breaker", None]
    assert "3 nodes quarantined" in found.words
    assert found.seconds(NOON) == 3600


def test_freezes_and_windows_say_until_when(store: Store) -> None:
    freeze = {"starts_at": "2026-11-02T10:00Z", "ends_at": "2026-11-02T14:00Z", "reason": "fair"}
    window = {
        "actions": ["rebalance"], "weekdays": ["mon"], "starts": "02:00", "ends": "05:00",
        "time_zone": "UTC",
    }  # fmt: skip
    controls.set_limit(store, "freeze_windows", [freeze], now=NOON, **BY)
    controls.set_limit(store, "maintenance_windows", [window], now=NOON, **BY)
    found = paused(store)
    assert found["freeze", None].until_at == NOON + 2 * HOUR
    assert found["maintenance", "rebalance"].since_at == NOON - 7 * HOUR
    assert found["maintenance", "rebalance"].until_at == NOON + timedelta(days=6, hours=14)
    assert paused(store, NOON - 9 * HOUR).keys() == set()


def test_an_action_that_is_off_is_paused(store: Store) -> None:
    controls.set_mode(store, "scale_up", "off", now=NOON - HOUR, **BY)
    assert paused(store)["switched_off", "scale_up"].seconds(NOON) == 3600


def test_a_missing_right_is_named_until_it_is_there(store: Store) -> None:
    store.append([right(False, NOON - 2 * HOUR), right(True, NOON - HOUR, action="observe")])
    (missing,) = missing_rights(store)
    assert (missing.action, missing.right) == ("quarantine_node", "create pods/eviction")
    store.append([right(False, NOON - HOUR)])
    found = paused(store)["missing_right", "quarantine_node"]
    assert "create pods/eviction" in found.words
    assert found.seconds(NOON) == 2 * 3600
    store.append([right(True, NOON)])
    assert missing_rights(store) == []


def test_a_right_that_is_asked_about_no_more_is_not_missed(store: Store) -> None:
    store.append([right(False, NOON - HOUR), right(True, NOON, right="patch nodes")])
    assert missing_rights(store) == []


def test_a_decision_with_one_yes_waits_for_a_second_person(store: Store) -> None:
    controls.set_four_eyes(store, "scale_up", True, now=NOON, **BY)
    decisions.propose(store, make_decision())
    assert ("four_eyes", "scale_up") not in paused(store)
    decisions.approve(store, "decision-1", by="alice", via="api", now=NOON)
    assert paused(store, NOON + HOUR)["four_eyes", "scale_up"].seconds(NOON + HOUR) == 3600
    assert oldest_waiting(store, now=NOON) == {"scale_up": NOON}


def test_a_lease_that_ran_out_is_a_pause(store: Store) -> None:
    leases.hold(store, ENGINE_LEASE, "console-a", seconds=30, now=NOON)
    assert pauses(store, now=NOON) == []
    late = NOON + timedelta(seconds=90)
    assert paused(store, late)["lease", None].seconds(late) == 60


def test_the_newest_row_of_each_step_tells_how_it_stands(store: Store) -> None:
    made = ExecutionStep(
        decision_id="d", kind="do", position=0, step="cordon", target="node/n1", phase="intended",
        found={}, answer={}, happened_at=NOON,
    )  # fmt: skip
    waits = {"position": 1, "step": "evict", "phase": "waiting", "detail": "a budget says no"}
    store.append([made, replace(made, phase="done"), replace(made, **waits)])
    assert [(each.step, each.phase, each.detail) for each in steps(store, "d")] == [
        ("cordon", "done", None),
        ("evict", "waiting", "a budget says no"),
    ]
