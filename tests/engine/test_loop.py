"""The loop on a small real fleet: proposals, verdicts, deeds, crashes, guards, undoing."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from engine.evaluate import Judgement, NoJudge, Question
from engine.hands import CommandFailed, CommandRefused
from engine.simulator.fleet import SimulatedFleet
from tests.engine.world import NAME, Played
from tests.makers import make_decision
from warehouse import controls, decisions
from warehouse.records import Decision, Execution, FleetCommand, Refusal
from warehouse.store import Store

MINUTE = timedelta(minutes=1)


@pytest.fixture
def played(store: Store) -> Played:
    played = Played(store)
    played.start(timedelta(hours=3))
    return played


@dataclass
class RecordingHands:
    """Hands that do what they are told to: answer, or raise."""

    error: Exception | None = None
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)

    def perform(
        self, command_id: str, command: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        self.asked.append((command_id, command, dict(arguments)))
        if self.error is not None:
            raise self.error
        return {"node_ids": ["lease-0"], "previous_price_usd_per_gpu_hour": 2.89}

    def answer_to(self, command_id: str) -> dict[str, Any] | None:
        return self.answers.get(command_id)


@dataclass(frozen=True)
class FixedJudge:
    """A judge who always says the same."""

    gain_usd_per_hour: float

    def judgement(self, question: Question) -> Judgement:
        gain = self.gain_usd_per_hour
        return Judgement(gain, gain, gain, "twin", "As told.")


def proposed(played: Played, **changes: Any) -> Decision:
    """A decision of the small pool, made by hand; the engine proposes nothing of its own."""
    played.set_modes("approve")
    values = {
        "pool": NAME,
        "target": f"price/{NAME}",
        "action": "adjust_price",
        "parameters": {"price_usd_per_gpu_hour": round(price(played) * 1.05, 4)},
        "proposed_at": played.now,
        "expires_at": played.now + timedelta(minutes=30),
        "horizon_seconds": 3600,
    }
    decision = make_decision(**(values | changes))
    decisions.propose(played.store, decision)
    return decision


def price(played: Played) -> float:
    state = played.world.fleet.pools[NAME].state
    return float(state.pool[0, 0]["price_micro_usd"]) / 1e6


def approve(played: Played, decision_id: str = "decision-1") -> None:
    decisions.approve(played.store, decision_id, by="ada", via="browser", now=played.now)


def state(played: Played, decision_id: str = "decision-1") -> str:
    return decisions.decision(played.store, decision_id, now=played.now).state


def follow_up(played: Played, **changes: Any) -> None:
    """A tick that reasons about nothing: what was decided is carried on."""
    engine = replace(played.engine, **changes) if changes else played.engine
    engine._follow_up(played.now, lambda: _look(played))


def _look(played: Played) -> Any:
    from engine.observe import observed

    return observed(played.store, played.now)


def test_a_tick_leaves_one_decision_a_pool_with_all_it_knew(played: Played) -> None:
    played.engine.tick()
    (decision,) = played.store.rows(Decision, "SELECT * FROM decisions")
    assert decision.pool == NAME
    assert f"of {6 * 8} GPUs are held" in decision.reason
    assert decision.evidence["on_gpus"] == 48
    assert decision.baseline.startswith("The rule would ")
    assert decision.expires_at - decision.proposed_at == timedelta(minutes=30)
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


def test_the_kill_switch_stops_what_was_approved_before_it(played: Played) -> None:
    proposed(played)
    approve(played)
    controls.set_kill_switch(played.store, True, by="bob", reason="storm", now=played.now)
    follow_up(played)
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert read.state == "refused"
    assert "storm" in str(read.execution_detail)
    assert price(played) == 2.89
    (refusal,) = played.store.rows(Refusal, "SELECT * FROM refusals")
    assert (refusal.guard, refusal.decision_id) == ("kill_switch_is_off", "decision-1")


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


def test_what_was_done_is_taken_back_when_asked(played: Played) -> None:
    proposed(played)
    approve(played)
    follow_up(played)
    played.forward(5 * MINUTE)
    decisions.ask_undo(played.store, "decision-1", by="ada", reason="regret", now=played.now)
    follow_up(played)
    assert state(played) == "undone"
    assert price(played) == 2.89


def test_a_scale_up_is_taken_back_node_by_node(played: Played) -> None:
    proposed(played, action="scale_up", target=f"pool/{NAME}", parameters={"nodes": 2})
    approve(played)
    follow_up(played)
    played.forward(MINUTE)
    decisions.ask_undo(played.store, "decision-1", by="ada", reason="regret", now=played.now)
    follow_up(played)
    assert state(played) == "undone"
    booting = played.world.fleet.pools[NAME].state.nodes[0]["state"] == 1
    assert not booting.any()


def test_undoing_waits_for_the_kill_switch_and_is_not_forgotten(played: Played) -> None:
    proposed(played)
    approve(played)
    follow_up(played)
    played.forward(MINUTE)
    decisions.ask_undo(played.store, "decision-1", by="ada", reason="regret", now=played.now)
    controls.set_kill_switch(played.store, True, by="bob", reason="storm", now=played.now)
    follow_up(played)
    assert state(played) == "undoing"
    controls.set_kill_switch(played.store, False, by="bob", reason="over", now=played.now)
    follow_up(played)
    assert state(played) == "undone"


def test_a_price_that_was_changed_since_is_not_set_back(played: Played) -> None:
    proposed(played)
    approve(played)
    follow_up(played)
    played.hands.perform("other", "set_price", {"pool": NAME, "price_usd_per_gpu_hour": 2.5})
    played.forward(5 * MINUTE)
    decisions.ask_undo(played.store, "decision-1", by="ada", reason="regret", now=played.now)
    follow_up(played)
    assert state(played) == "undo_failed"
    assert price(played) == 2.5


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
    assert [state(played, f"d{i}") for i in range(4)] == ["failed", "failed", "failed", "refused"]
    assert controls.breaker(played.store).is_open
    controls.close_breaker(played.store, by="ada", reason="cable", now=played.now)
    proposed(played, decision_id="d9")
    approve(played, "d9")
    follow_up(played)
    assert state(played, "d9") == "carried_out"


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
    from engine.simulator.metrics import profit

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
    assert "would have gained" in str(read.outcome_detail)
    assert decisions.scoreboard(played.store).measured_count == 0
    assert played.store.query("SELECT count(*) FROM fleet_commands").item() == 0


def test_a_failing_pool_is_on_record_and_stops_nothing_else(played: Played) -> None:
    class Sick:
        def gains(self, *_: Any) -> list[Any]:
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
