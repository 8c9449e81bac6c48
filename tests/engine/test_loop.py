"""The loop on a small real fleet: proposals, verdicts, deeds, crashes, guards."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from engine.act import carry_on
from engine.hands import CommandFailed, CommandRefused
from engine.observe import observed
from tests.engine.deciding import (
    MINUTE,
    RecordingHands,
    approve,
    follow_up,
    price,
    proposed,
    state,
)
from tests.engine.world import NAME, Played
from warehouse import controls, decisions
from warehouse.records import Decision, Execution, FleetCommand


def test_a_tick_leaves_one_decision_a_pool_with_all_it_knew(played: Played) -> None:
    played.engine.tick()
    (decision,) = played.store.rows(Decision, "SELECT * FROM decisions")
    assert decision.pool == NAME
    assert f"of {6 * 8} GPUs are held" in decision.reason
    assert decision.evidence["on_gpus"] == 48
    assert decision.baseline.startswith("The rule would ")
    assert decision.expires_at - decision.proposed_at == timedelta(hours=1)
    low, high = decision.expected_gain_low_usd_per_hour, decision.expected_gain_high_usd_per_hour
    assert low <= high
    assert {"adjust_price"} <= {one["action"] for one in decision.alternatives} | {decision.action}
    kept = played.store.query("SELECT observation_id, snapshot_id FROM observations").rows()
    assert kept == [(decision.observation_id, decision.snapshot_id)]


def test_a_pool_is_reasoned_about_once_a_quarter_of_an_hour(played: Played) -> None:
    played.engine.tick()
    played.engine.tick()
    played.forward(14 * MINUTE)
    played.engine.tick()
    assert played.store.query("SELECT count(*) FROM decisions").item() == 1
    played.forward(MINUTE)
    played.engine.tick()
    assert played.store.query("SELECT count(*) FROM decisions").item() == 2


def test_an_approved_price_is_set_listed_and_kept_by_the_fleet(played: Played) -> None:
    wanted = proposed(played).parameters["price_usd_per_gpu_hour"]
    follow_up(played)
    assert price(played) == 2.89
    approve(played)
    follow_up(played)
    assert state(played) == "carried_out"
    assert price(played) == pytest.approx(wanted)
    sql = "SELECT set_by, decision_id FROM price_list ORDER BY in_force_from_at DESC LIMIT 1"
    assert played.store.query(sql).row(0) == ("ada", "decision-1")
    (command,) = played.store.rows(FleetCommand, "SELECT * FROM fleet_commands")
    assert command.command_id == "decision-1"


def test_of_ten_who_tick_at_once_the_fleet_hears_one(played: Played) -> None:
    proposed(played)
    approve(played)
    hands = RecordingHands()
    threads = [
        threading.Thread(target=follow_up, args=(played,), kwargs={"hands": hands})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    intents = played.store.query("SELECT count(*) FROM executions WHERE phase = 'intended'").item()
    assert intents == 1
    assert {asked[0] for asked in hands.asked} == {"decision-1"}


def test_a_crash_between_intent_and_deed_is_made_good_once(played: Played) -> None:
    proposed(played)
    approve(played)
    crash = RecordingHands(error=KeyboardInterrupt())  # the process dies: nothing catches it
    with pytest.raises(KeyboardInterrupt):
        follow_up(played, hands=crash)
    assert state(played) == "carrying_out"
    follow_up(played)
    assert state(played) == "carried_out"
    assert played.store.query("SELECT count(*) FROM fleet_commands").item() == 1


def test_a_crash_after_the_deed_does_not_do_it_again(played: Played) -> None:
    proposed(played)
    approve(played)
    with pytest.raises(KeyboardInterrupt):
        follow_up(played, hands=RecordingHands(error=KeyboardInterrupt()))
    after = RecordingHands(answers={"decision-1": {"previous_price_usd_per_gpu_hour": 2.89}})
    follow_up(played, hands=after)
    assert state(played) == "carried_out"
    assert after.asked == []


def test_an_override_beyond_the_limits_is_refused_right_before_acting(played: Played) -> None:
    proposed(played)
    decisions.override(
        played.store,
        "decision-1",
        {"price_usd_per_gpu_hour": 5.0},
        by="ada",
        via="api",
        reason="greedy",
        now=played.now,
    )
    follow_up(played)
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert read.state == "refused"
    assert "above the ceiling" in str(read.execution_detail)


def test_an_override_inside_the_limits_is_what_is_carried_out(played: Played) -> None:
    proposed(played)
    wanted = {"price_usd_per_gpu_hour": 2.80}
    decisions.override(
        played.store, "decision-1", wanted, by="ada", via="api", reason="kind", now=played.now
    )
    follow_up(played)
    assert price(played) == 2.80


def test_what_nobody_decided_lapses_at_a_tick(played: Played) -> None:
    decision = proposed(played)
    played.forward(decision.expires_at - played.now)
    played.engine._expire(played.now)
    sql = "SELECT verdict, decided_by FROM verdicts"
    assert played.store.query(sql).row(0) == ("lapse", "expiry")


def test_in_autonomous_mode_the_rule_approves_by_the_same_door(played: Played) -> None:
    proposed(played, mode="autonomous")
    follow_up(played)
    assert state(played) == "waiting"  # the mode was set back to approve since
    controls.set_mode(
        played.store, "adjust_price", "autonomous", by="ada", reason=None, now=played.now
    )
    follow_up(played)
    assert state(played) == "carried_out"
    sql = "SELECT decided_by, via FROM verdicts"
    assert played.store.query(sql).row(0) == ("autonomy", "rule")


@pytest.mark.parametrize(
    ("error", "ends"), [(CommandFailed("timeout"), "failed"), (CommandRefused("no"), "refused")]
)
def test_what_the_hands_cannot_do_ends_and_says_why(
    played: Played, error: Exception, ends: str
) -> None:
    proposed(played)
    approve(played)
    follow_up(played, hands=RecordingHands(error=error))
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert read.state == ends
    assert str(error) in str(read.execution_detail)


def test_three_failures_in_a_row_open_the_breaker_until_a_person_closes_it(
    played: Played,
) -> None:
    broken = RecordingHands(error=OSError("connection reset"))
    for i in range(4):
        proposed(played, decision_id=f"d{i}")
        approve(played, f"d{i}")
        follow_up(played, hands=broken)
        played.forward(16 * MINUTE)
    assert [state(played, f"d{i}") for i in range(4)] == ["failed", "failed", "failed", "approved"]
    assert controls.breaker(played.store).is_open
    controls.close_breaker(played.store, by="ada", reason="cable", now=played.now)
    follow_up(played)
    assert state(played, "d3") == "carried_out"


def test_a_failing_pool_is_on_record_and_stops_nothing_else(played: Played) -> None:
    class Sick:
        def gains(self, *_: Any, **__: Any) -> list[Any]:
            raise ValueError("no sense in these rows")

    proposed(played)
    approve(played)
    replace(played.engine, planner=Sick()).tick()
    runs = played.store.query("SELECT collector, outcome, detail FROM collector_runs").rows()
    assert runs == [(f"engine/reason/{NAME}", "failed", "ValueError: no sense in these rows")]
    assert state(played) == "carried_out"


def test_a_shadow_decision_is_never_carried_out(played: Played) -> None:
    played.set_modes("shadow")
    for _ in range(8):
        played.engine.tick()
        played.forward(15 * MINUTE)
    states = played.store.query("SELECT DISTINCT state FROM decision_states")["state"].to_list()
    assert set(states) <= {"shadow", "noted"}
    assert played.store.rows(Execution, "SELECT * FROM executions") == []


def test_what_is_approved_while_a_tick_runs_is_done_after_it_was_approved(played: Played) -> None:
    proposed(played)
    began = played.now
    played.world.clock.at += timedelta(seconds=5)
    approve(played)
    seen = {one.pool.pool: one for one in observed(played.store, began).values()}
    carry_on(played.store, played.hands, "decision-1", seen, began)  # by the tick's older instant
    steps = decisions.timeline(played.store, "decision-1")["what"].to_list()
    assert steps.index("approved") < steps.index("intended") < steps.index("succeeded")
