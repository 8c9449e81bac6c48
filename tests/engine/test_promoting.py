"""Promoting a policy: a decision like any other, carried out once, and taken back once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.act import carry_on
from engine.actions.promote_policy import ALL_POOLS, TARGET
from engine.evaluate import NoJudge, evaluate
from engine.hands import NoHands
from engine.learning.trial import ask_for_promotion, is_on_trial
from engine.promoting import WarehouseHands
from tests.engine.crowned import GATES, challenge, crown
from tests.engine.world import Played
from tests.makers import NOON, make_champion, make_score
from warehouse import controls, decisions, policies
from warehouse.actions import InvalidParameters
from warehouse.records import Champion, Decision, Execution
from warehouse.store import Store

LATER = NOON + timedelta(minutes=5)


@pytest.fixture
def asked(store: Store, tmp_path: Path) -> Decision:
    """A champion, a challenger that has passed, and the decision that asks for its promotion."""
    crown(store, tmp_path, NOON)
    made = challenge(store, tmp_path, NOON)
    decision = ask_for_promotion(store, made, NOON)
    assert decision is not None
    return decision


def _carry_on(store: Store, decision: Decision, **changes: Any) -> str:
    carry_on(store, NoHands(), decision.decision_id, {}, changes.get("now", LATER))
    return decisions.decision(store, decision.decision_id, now=LATER).state


def _approve(store: Store, decision: Decision) -> None:
    decisions.approve(store, decision.decision_id, by="ann", via="browser", now=LATER)


def _champions(store: Store) -> list[str]:
    rows = store.rows(Champion, "SELECT * FROM champions ORDER BY since_at, rowid")
    return [row.policy_id for row in rows]


def test_the_decision_says_what_the_shadow_earned_and_which_gates_were_passed(
    store: Store, tmp_path: Path
) -> None:
    crown(store, tmp_path, NOON)
    made = challenge(store, tmp_path, NOON)
    four_hours = timedelta(hours=4)
    store.append(
        [
            make_score(
                policy_id="learned-2", profit_usd=1000.0 + gain, rule_profit_usd=1000.0,
                starts_at=NOON + at * four_hours, ends_at=NOON + (at + 1) * four_hours,
            )
            for at, gain in enumerate([40.0] * 6 + [80.0] * 6)
        ]
    )  # fmt: skip
    decision = ask_for_promotion(store, made, NOON + timedelta(days=2))
    assert decision is not None
    assert (decision.target, decision.pool, decision.mode) == (TARGET, ALL_POOLS, "approve")
    assert decision.expected_gain_usd_per_hour == pytest.approx(15.0)  # $240 and $480 a day
    assert decision.expected_gain_low_usd_per_hour == pytest.approx(15.0 - 1.2816 * 5.0)
    assert all(gate["sentence"] in decision.reason for gate in GATES)
    assert decision.summary == "Let learned-2 steer all pools"


def test_what_is_approved_steers_and_says_by_whose_word(store: Store, asked: Decision) -> None:
    assert _carry_on(store, asked) == "waiting"
    _approve(store, asked)
    assert _carry_on(store, asked) == "carried_out"
    found = policies.steering(store)
    assert (found.policy_id, found.set_by, found.decision_id) == (
        "learned-2", "ann", asked.decision_id,
    )  # fmt: skip
    assert found.previous_policy_id == "learned-1"


def test_it_can_be_rejected_and_is_not_edited(store: Store, asked: Decision) -> None:
    with pytest.raises(InvalidParameters, match="nothing to edit"):
        decisions.override(
            store, asked.decision_id, {"policy_id": "learned-3"}, by="ann", via="api",
            reason="mine", now=LATER,
        )  # fmt: skip
    decisions.reject(store, asked.decision_id, by="ann", via="api", reason="not now", now=LATER)
    made = policies.challenger(store)
    assert made is not None
    assert not is_on_trial(store, made, LATER)
    assert ask_for_promotion(store, made, LATER + timedelta(days=3)) is None


def test_what_nobody_answered_is_asked_again_a_day_later(store: Store, asked: Decision) -> None:
    made = policies.challenger(store)
    assert made is not None
    assert ask_for_promotion(store, made, NOON + timedelta(hours=20)) is None
    late = NOON + timedelta(days=1)
    decisions.lapse(store, asked.decision_id, now=late)
    assert ask_for_promotion(store, made, late) is not None


@pytest.mark.parametrize(("mode", "state"), [("off", None), ("shadow", "shadow")])
def test_a_mode_that_acts_on_nothing_promotes_nobody(
    store: Store, tmp_path: Path, mode: str, state: str | None
) -> None:
    crown(store, tmp_path, NOON)
    controls.set_mode(store, "promote_policy", mode, by="ann", reason=None, now=NOON)
    decision = ask_for_promotion(store, challenge(store, tmp_path, NOON), NOON)
    assert (decision and _carry_on(store, decision)) == state
    assert _champions(store) == ["learned-1"]


def test_it_is_never_autonomous_unless_somebody_says_so(played: Played, tmp_path: Path) -> None:
    store, now = played.store, played.now
    crown(store, tmp_path, now)
    for action in controls.GOVERNED_ACTIONS:
        if action != "promote_policy":
            controls.set_mode(store, action, "autonomous", by="ann", reason=None, now=now)
    assert controls.mode(store, "promote_policy") == "approve"
    controls.set_mode(store, "promote_policy", "autonomous", by="ann", reason=None, now=now)
    assert ask_for_promotion(store, challenge(store, tmp_path, now), now) is not None
    replace(played.engine, home=tmp_path)._follow_up(now, dict)
    assert policies.steering(store).set_by == "autonomy"


def test_while_the_kill_switch_is_on_it_waits(store: Store, asked: Decision) -> None:
    _approve(store, asked)
    controls.set_kill_switch(store, True, by="ann", reason="storm", now=LATER)
    assert _carry_on(store, asked) == "approved"
    controls.set_kill_switch(store, False, by="ann", reason="over", now=LATER)
    assert _carry_on(store, asked) == "carried_out"


def test_an_approval_that_waited_too_long_promotes_nobody(store: Store, asked: Decision) -> None:
    _approve(store, asked)
    assert _carry_on(store, asked, now=LATER + timedelta(hours=25)) == "refused"


def test_one_that_fails_a_gate_by_then_is_refused(store: Store, asked: Decision) -> None:
    made = policies.policy(store, "learned-2")
    failed = [gate | {"passed": gate["name"] != "canary"} for gate in made.gates]
    store.append([replace(made, gates=failed, created_at=LATER)])
    _approve(store, asked)
    assert _carry_on(store, asked) == "refused"
    assert policies.steering(store).policy_id == "learned-1"


def test_a_crash_in_the_middle_promotes_it_once(
    store: Store, asked: Decision, monkeypatch: pytest.MonkeyPatch
) -> None:
    _approve(store, asked)

    def crash(*_: Any) -> Mapping[str, Any]:
        raise KeyboardInterrupt  # the process dies: nothing catches it

    with monkeypatch.context() as dying:
        dying.setattr(WarehouseHands, "perform", crash)
        with pytest.raises(KeyboardInterrupt):
            _carry_on(store, asked)
    assert _carry_on(store, asked) == "carried_out"
    assert _champions(store) == ["learned-1", "learned-2"]


def _undo(store: Store, decision: Decision) -> None:
    decisions.ask_undo(store, decision.decision_id, by="bob", reason="worse", now=LATER)


def test_undoing_it_lets_the_one_before_steer_and_only_once(store: Store, asked: Decision) -> None:
    _approve(store, asked)
    _carry_on(store, asked)
    _undo(store, asked)
    found = decisions.decision(store, asked.decision_id, now=LATER)
    hands = WarehouseHands(store, found, LATER)
    first = hands.perform("x:undo", "roll_back", {"policy_id": "learned-2"})  # … and a crash
    assert _carry_on(store, asked) == "undone"
    assert first == {"policy_id": "learned-1"}
    assert _champions(store) == ["learned-1", "learned-2", "learned-1"]


def test_it_is_not_undone_where_another_steers_by_now(store: Store, asked: Decision) -> None:
    _approve(store, asked)
    _carry_on(store, asked)
    _undo(store, asked)
    store.append([make_champion(policy_id="learned-3", since_at=LATER + timedelta(minutes=1))])
    assert _carry_on(store, asked) == "undo_failed"
    assert policies.steering(store).policy_id == "learned-3"


def test_what_came_of_it_is_its_gain_over_the_rule_and_harm_is_undone(
    store: Store, asked: Decision
) -> None:
    _approve(store, asked)
    _carry_on(store, asked)
    done = store.rows(Execution, "SELECT * FROM executions WHERE phase = 'succeeded'")[0]
    starts = done.happened_at + timedelta(minutes=1)
    store.append(
        [
            make_score(
                policy_id="learned-2", profit_usd=900.0, rule_profit_usd=1000.0,
                gain_low_usd=-120.0, gain_high_usd=-80.0,
                starts_at=starts, ends_at=starts + timedelta(hours=4),
            )
        ]
    )  # fmt: skip
    now = done.happened_at + timedelta(days=7)
    evaluate(store, NoJudge(), asked.decision_id, now)
    found = decisions.decision(store, asked.decision_id, now=now)
    assert found.realised_gain_usd_per_hour == pytest.approx(-25.0)
    assert (found.did_harm, found.state) == (True, "undoing")
    assert _carry_on(store, asked, now=now) == "undone"
    assert decisions.scoreboard(store).measured_count == 0  # its own decisions are counted
