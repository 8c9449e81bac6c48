"""Evaluating: what came of a decision, in dollars and in words, and what follows from harm."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.actions import actions
from engine.evaluate import Judge, NoJudge
from engine.moving import held_jobs
from engine.observe import observed
from engine.simulator.fleet import SimulatedFleet
from engine.simulator.metrics import profit
from tests.engine.deciding import MINUTE, FixedJudge, approve, follow_up, price, proposed, state
from tests.engine.world import NAME, Played
from warehouse import controls, decisions


def test_the_twin_measures_exactly_what_a_price_did(played: Played) -> None:
    before = played.world.fleet.clone()
    proposed(played)
    approve(played)
    follow_up(played)
    played.forward(timedelta(hours=1))
    follow_up(played)
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert (read.state, read.outcome_method) == ("measured", "twin")
    before.advance_to(played.now)
    gain = _profit_usd(played.world.fleet) - _profit_usd(before)
    assert read.realised_gain_usd_per_hour == pytest.approx(gain, abs=1e-6)


def _profit_usd(fleet: SimulatedFleet) -> float:
    return sum(float(profit(metrics)) for metrics in fleet.metrics().values())


def test_without_a_judge_nothing_is_claimed(played: Played) -> None:
    proposed(played)
    approve(played)
    follow_up(played)
    played.forward(timedelta(hours=1))
    follow_up(played, judge=NoJudge())
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert (read.outcome_method, read.realised_gain_usd_per_hour) == ("unmeasured", None)


def test_what_did_harm_is_undone_by_the_evaluation(played: Played) -> None:
    proposed(played)
    approve(played)
    follow_up(played)
    played.forward(timedelta(hours=1))
    follow_up(played, judge=FixedJudge(-50.0))
    assert state(played) == "undoing"
    follow_up(played)
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert (read.state, read.undo_requested_by) == ("undone", "evaluation")
    assert price(played) == 2.89


def test_what_was_rejected_is_measured_but_never_done_or_undone(played: Played) -> None:
    proposed(played)
    decisions.reject(played.store, "decision-1", by="ada", via="api", reason="no", now=played.now)
    played.forward(timedelta(hours=1))
    follow_up(played)
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert read.state == "rejected"
    assert read.outcome_method == "twin"
    assert "It was not carried out; it would have " in str(read.outcome_detail)
    assert decisions.scoreboard(played.store).measured_count == 0
    assert played.store.query("SELECT count(*) FROM fleet_commands").item() == 0


@pytest.mark.parametrize(
    ("gain_usd_per_hour", "words"),
    [(3.2, "It gained $3.20/h; "), (-14.28, "It lost $14.28/h; "), (-0.001, "It gained $0.00/h; ")],
)
def test_what_came_of_it_was_gained_or_lost(
    played: Played, gain_usd_per_hour: float, words: str
) -> None:
    _measured(played, FixedJudge(gain_usd_per_hour), expected_gain_usd_per_hour=-1.5)
    assert _detail(played).startswith(f"{words}it promised -$1.50/h over 1 h.")


@pytest.mark.parametrize(
    ("gain", "spread", "verdict", "words"),
    [
        (9.0, 5.0, "helped", "It gained $9.00/h"),
        (-9.0, 5.0, "harmed", "It is to be undone."),
        (-9.0, 15.0, "inconclusive", "Between -$24.00/h and $6.00/h it can't be told from doing"),
        (9.0, 15.0, "inconclusive", "Between -$6.00/h and $24.00/h it can't be told from doing"),
        (-1.0, 0.0, "inconclusive", "That is too little to be called harm."),
    ],
)
def test_neither_helped_nor_harmed_is_an_answer_of_its_own(
    played: Played, gain: float, spread: float, verdict: str, words: str
) -> None:
    _measured(played, FixedJudge(gain, spread))
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert (read.outcome_judgement, words in str(read.outcome_detail)) == (verdict, True)
    assert read.state == ("undoing" if verdict == "harmed" else "measured")


def test_beside_the_money_stands_whether_the_action_met_its_own_criterion(played: Played) -> None:
    given = {"action": "scale_up", "target": f"pool/{NAME}", "parameters": {"nodes": 1}}
    _measured(played, NoJudge(), evidence={"queued_gpus": 4}, **given)
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert read.outcome_judgement == "unmeasured"
    assert str(read.outcome_criterion).startswith("Nobody waits")
    assert read.outcome_criterion_is_met is True


def test_each_action_is_measured_after_its_own_horizon() -> None:
    limits = controls.Limits(horizon_seconds=7200)
    spans = {name: action.horizon_seconds(limits) for name, action in actions().items()}
    assert spans["scale_up"] == 7200
    assert (spans["migrate_job"], spans["quarantine_node"]) == (3600, 6 * 3600)


def test_harm_that_can_not_be_undone_is_put_to_a_person(played: Played) -> None:
    seen = observed(played.store, played.now)[NAME]
    ((node_id, jobs),) = list(held_jobs(seen).items())[:1]
    given = {"job_id": jobs[0].job_id, "node_id": node_id}
    target = f"job/{jobs[0].job_id}"
    _measured(played, FixedJudge(-50.0), action="migrate_job", target=target, parameters=given)
    assert state(played) == "measured"
    assert _detail(played).endswith("It can't be undone: a person should look.")


def test_harm_in_a_pool_that_is_not_read_is_undone_once_it_is(played: Played) -> None:
    proposed(played)
    approve(played)
    follow_up(played)
    played.world.clock.at += timedelta(hours=1)
    follow_up(played, judge=FixedJudge(-50.0))
    assert _detail(played).endswith(f"It is to be undone once {NAME} has been read again.")
    follow_up(played)
    assert state(played) == "undoing"
    played.forward(MINUTE)
    follow_up(played)
    assert (state(played), price(played)) == ("undone", 2.89)


def test_nodes_that_jobs_hold_are_left_to_a_person_who_may_still_ask(played: Played) -> None:
    played.hands.perform("cheap", "set_price", {"pool": NAME, "price_usd_per_gpu_hour": 1.5})
    _measured(
        played,
        FixedJudge(-50.0),
        after=timedelta(hours=9),
        action="scale_up",
        target=f"pool/{NAME}",
        parameters={"nodes": 2},
        horizon_seconds=9 * 3600,
    )
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert (read.state, read.did_harm, read.can_undo) == ("measured", True, True)
    why_not = "It is not undone by itself: its nodes are in use. A person should look."
    assert _detail(played).endswith(why_not)
    decisions.ask_undo(played.store, "decision-1", by="ada", reason="try", now=played.now)
    follow_up(played)
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert (read.state, read.undo_detail) == ("undo_failed", "its nodes are in use")


def test_a_harmful_price_whose_old_one_is_out_of_bounds_by_now_is_left_to_a_person(
    played: Played,
) -> None:
    proposed(played)
    approve(played)
    follow_up(played)
    floor = {NAME: 3.0}
    controls.set_limit(
        played.store, "price_floor_usd_per_gpu_hour", floor, by="bob", reason=None, now=played.now
    )
    played.forward(timedelta(hours=1))
    follow_up(played, judge=FixedJudge(-50.0))
    assert (state(played), "below the floor" in _detail(played)) == ("measured", True)


def _measured(
    played: Played, judge: Judge, after: timedelta = timedelta(hours=1), **changes: Any
) -> None:
    proposed(played, **changes)
    approve(played)
    follow_up(played)
    played.forward(after)
    follow_up(played, judge=judge)


def _detail(played: Played) -> str:
    return str(decisions.decision(played.store, "decision-1", now=played.now).outcome_detail)
