"""Alarms: what takes a policy out of service, and what does not."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from engine.alarms import watch
from engine.champion import roster
from tests.engine.crowned import GATES, challenge, crown
from tests.makers import (
    NOON,
    POOL,
    make_decision,
    make_pool,
    make_pool_state,
    make_price,
    make_score,
    make_twin_check,
)
from warehouse import policies
from warehouse.records import Execution, PolicyAlarm, ShadowScore, Verdict
from warehouse.store import Store

HOUR = timedelta(hours=1)


def _watched(store: Store, home: Path, now: datetime) -> list[PolicyAlarm]:
    return watch(store, roster(store, home, now), now)


def _scores(
    gains: np.ndarray, policy_id: str = "learned-1", since: datetime = NOON, pool: str = POOL
) -> list[ShadowScore]:
    return [
        make_score(
            pool=pool,
            policy_id=policy_id,
            profit_usd=1000.0 + float(gain),
            rule_profit_usd=1000.0,
            starts_at=since + 4 * at * HOUR,
            ends_at=since + 4 * (at + 1) * HOUR,
        )
        for at, gain in enumerate(gains)
    ]


def _noise(mean: float, windows: int = 24) -> np.ndarray:
    return np.random.default_rng(4).normal(mean, 10.0, windows)


def test_a_policy_that_falls_behind_the_rule_is_rolled_back_within_days(
    store: Store, tmp_path: Path
) -> None:
    crown(store, tmp_path, NOON)
    store.append(_scores(_noise(-20.0)))
    now = NOON + timedelta(days=4)
    (alarm,) = _watched(store, tmp_path, now)
    assert (alarm.trigger, alarm.pool, alarm.policy_id) == ("cusum", POOL, "learned-1")
    assert alarm.value > alarm.threshold
    assert policies.steering(store).policy_id == "rule"
    assert policies.steering(store).set_by == "rule"
    assert _watched(store, tmp_path, now) == []  # the rule needs no watching
    assert store.query("SELECT count(*) FROM policy_alarms").item() == 1


def test_a_policy_that_beats_the_rule_by_less_than_before_goes_on(
    store: Store, tmp_path: Path
) -> None:
    crown(store, tmp_path, NOON)
    before = _scores(_noise(60.0), since=NOON - timedelta(days=5))
    store.append([*before, *_scores(_noise(10.0))])
    assert _watched(store, tmp_path, NOON + timedelta(days=4)) == []


def test_two_days_of_scores_are_wanted_before_anything_is_said(
    store: Store, tmp_path: Path
) -> None:
    crown(store, tmp_path, NOON)
    store.append(_scores(_noise(-200.0, windows=10)))
    assert _watched(store, tmp_path, NOON + timedelta(days=2)) == []


def test_a_policy_whose_actions_fail_is_rolled_back(store: Store, tmp_path: Path) -> None:
    crown(store, tmp_path, NOON)
    for at in range(5):
        decision = make_decision(decision_id=f"d{at}", policy="learned-1")
        store.append(
            [decision, _end(f"d{at}", "failed" if at < 4 else "succeeded", NOON + at * HOUR)]
        )
    (alarm,) = _watched(store, tmp_path, NOON + 6 * HOUR)
    assert (alarm.trigger, alarm.value, alarm.pool) == ("failing_actions", 4.0, None)
    assert policies.steering(store).policy_id == "rule"


def _end(decision_id: str, phase: str, at: datetime) -> Execution:
    return Execution(
        decision_id=decision_id, kind="do", phase=phase, parameters={}, result={}, happened_at=at
    )  # fmt: skip


def test_a_price_out_of_bounds_is_the_policys_fault_unless_a_person_set_it(
    store: Store, tmp_path: Path
) -> None:
    crown(store, tmp_path, NOON)
    store.append([make_pool_state(market_usd_per_gpu_hour=2.0)])
    for at, verdict in enumerate(("override", "approve")):
        name, later = f"d{at}", NOON + (at + 1) * HOUR
        decision = make_decision(decision_id=name, action="adjust_price", policy="learned-1")
        price = make_price(decision_id=name, price_usd_per_gpu_hour=3.0, in_force_from_at=later)
        store.append([decision, _verdict(name, verdict), price])
        fired = _watched(store, tmp_path, later)
        assert [alarm.trigger for alarm in fired] == ["price_bounds"] * at


def _verdict(decision_id: str, verdict: str) -> Verdict:
    return Verdict(
        decision_id=decision_id, verdict=verdict, parameters={}, action_hash="", decided_by="ann",
        via="api", reason="so", decided_at=NOON,
    )  # fmt: skip


def _a_late_morning(store: Store, now: datetime) -> None:
    store.append(
        [
            make_pool_state(
                measured_at=now - timedelta(minutes=15 * (at + 1)), started_jobs=10,
                late_jobs=9 if at < 5 else 0,
            )
            for at in range(24)
        ]
    )  # fmt: skip


def test_late_starts_that_burn_the_budget_over_both_windows_roll_it_back(
    store: Store, tmp_path: Path
) -> None:
    crown(store, tmp_path, NOON)
    now = NOON + 7 * HOUR
    _a_late_morning(store, now)
    ends = now - HOUR
    store.append(
        [
            make_score(policy_id="learned-1", rule_late_ratio=0.05, starts_at=NOON, ends_at=ends),
            make_decision(decision_id="d-1", policy="learned-1"),
            _end("d-1", "succeeded", now - 2 * HOUR),
        ]
    )
    (alarm,) = _watched(store, tmp_path, now)
    assert (alarm.trigger, alarm.pool) == ("late_burn", POOL)


def test_queues_of_a_pool_where_nobody_let_it_do_anything_are_not_its_fault(
    store: Store, tmp_path: Path
) -> None:
    crown(store, tmp_path, NOON)
    now = NOON + 7 * HOUR
    _a_late_morning(store, now)
    score = make_score(
        policy_id="learned-1", rule_late_ratio=0.05, starts_at=NOON, ends_at=now - HOUR
    )
    store.append([score, make_decision(decision_id="d-1", policy="learned-1")])
    assert _watched(store, tmp_path, now) == []


def test_a_drifting_twin_is_said_once_and_rolls_nobody_back(store: Store, tmp_path: Path) -> None:
    crown(store, tmp_path, NOON)
    store.append([make_twin_check(is_valid=False, drift=9.0, detail="The twin is 8 % off.")])
    (alarm,) = _watched(store, tmp_path, NOON + HOUR)
    assert (alarm.trigger, alarm.pool, alarm.value) == ("twin_drift", POOL, 9.0)
    assert "The rule steers" in alarm.detail
    assert _watched(store, tmp_path, NOON + 2 * HOUR) == []
    assert policies.steering(store).policy_id == "learned-1"
    ends = NOON + 4 * HOUR
    store.append([make_twin_check(starts_at=NOON, ends_at=ends)])
    off = make_twin_check(is_valid=False, drift=7.0, starts_at=ends, ends_at=ends + 4 * HOUR)
    store.append([off])
    assert len(_watched(store, tmp_path, ends + 5 * HOUR)) == 1  # it matched in between


def test_an_alarm_in_the_canary_ends_the_trial_and_not_the_champion(
    store: Store, tmp_path: Path
) -> None:
    store.append([make_pool()])
    crown(store, tmp_path, NOON)
    challenge(store, tmp_path, NOON, gates=[*GATES[:-1], GATES[-1] | {"passed": False}])
    assert roster(store, tmp_path, NOON).canary_pools == {POOL}
    store.append(_scores(_noise(-20.0), policy_id="learned-2"))
    (alarm,) = _watched(store, tmp_path, NOON + timedelta(days=4))
    assert alarm.policy_id == "learned-2"
    assert policies.steering(store).policy_id == "learned-1"
    assert roster(store, tmp_path, NOON).canary_pools == frozenset()
