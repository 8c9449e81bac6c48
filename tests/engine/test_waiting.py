"""What was approved waits where it must, and is refused where nobody wants it any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from engine.hands import CommandLost
from engine.observe import observed
from engine.setbacks import LONGEST_SECONDS, Setbacks
from engine.simulator.hands import SimulatedHands
from tests.engine.deciding import MINUTE, RecordingHands, approve, follow_up, price, proposed, state
from tests.engine.world import NAME, Played
from tests.makers import make_job_event
from warehouse import controls, decisions
from warehouse.records import Execution, FleetCommand, ListPrice
from warehouse.store import Store, WarehouseError


def kill(played: Played, is_on: bool) -> None:
    controls.set_kill_switch(played.store, is_on, by="bob", reason="storm", now=played.now)


def freeze(played: Played, is_on: bool) -> None:
    span = {
        "starts_at": played.now.isoformat(),
        "ends_at": (played.now + timedelta(hours=9)).isoformat(),
    }
    windows = [span] if is_on else []
    controls.set_limit(
        played.store, "freeze_windows", windows, by="bob", reason=None, now=played.now
    )


def trip(played: Played, is_on: bool) -> None:
    if is_on:
        controls.open_breaker(played.store, failures=3, now=played.now)
    else:
        controls.close_breaker(played.store, by="bob", reason="mended", now=played.now)


HOLDS = pytest.mark.parametrize("held", [kill, freeze, trip])
Held = Callable[[Played, bool], None]


@HOLDS
def test_what_was_approved_waits_while_everything_is_held_and_is_then_done(
    played: Played, held: Held
) -> None:
    proposed(played)
    approve(played)
    held(played, True)
    follow_up(played)
    assert (state(played), price(played)) == ("approved", 2.89)
    assert played.store.rows(Execution, "SELECT * FROM executions") == []
    played.forward(20 * MINUTE)
    held(played, False)
    follow_up(played)
    assert state(played) == "carried_out"


@HOLDS
def test_an_approval_does_not_outlive_its_freshness_while_it_is_held(
    played: Played, held: Held
) -> None:
    proposed(played)
    approve(played)
    held(played, True)
    played.forward(61 * MINUTE)
    follow_up(played)
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert (read.state, read.execution_detail) == (
        "refused",
        "it was approved 61 min ago: too long",
    )


@pytest.mark.parametrize("is_held", [False, True])
def test_what_was_approved_is_refused_once_its_action_is_a_shadow(
    played: Played, is_held: bool
) -> None:
    proposed(played)
    approve(played)
    kill(played, is_held)
    played.set_modes("shadow")
    follow_up(played)
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert read.state == "refused"
    assert "shadow mode" in str(read.execution_detail)
    assert price(played) == 2.89


def test_what_the_rule_approved_is_refused_where_people_decide_again(played: Played) -> None:
    proposed(played, mode="autonomous")
    decisions.approve(played.store, "decision-1", by="autonomy", via="rule", now=played.now)
    follow_up(played)  # the mode is approve
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert read.state == "refused"
    assert "a person must decide" in str(read.execution_detail)


def test_a_pool_is_acted_on_again_only_after_it_was_read_since_the_last_deed(
    played: Played,
) -> None:
    proposed(played)
    proposed(
        played,
        decision_id="decision-2",
        target=f"pool/{NAME}",
        action="scale_up",
        parameters={"nodes": 1},
    )
    for one in ("decision-1", "decision-2"):
        approve(played, one)
    follow_up(played)
    follow_up(played)
    assert (state(played), state(played, "decision-2")) == ("carried_out", "approved")
    played.forward(MINUTE)
    follow_up(played)
    assert state(played, "decision-2") == "carried_out"


def test_a_price_holds_from_the_instant_at_which_the_fleet_took_it(played: Played) -> None:
    proposed(played)
    approve(played)
    decided_at = played.now
    look = observed(played.store, decided_at)
    played.world.clock.at += timedelta(seconds=90)  # the tick was long
    played.engine._follow_up(decided_at, lambda: look)
    (command,) = played.store.rows(FleetCommand, "SELECT * FROM fleet_commands")
    assert command.applied_at == decided_at + timedelta(seconds=90)
    assert _listed_from(played) == command.applied_at
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert read.execution_intended_at == decided_at
    assert read.execution_ended_at == command.applied_at


def test_after_a_crash_too_a_price_holds_from_when_the_fleet_took_it(played: Played) -> None:
    proposed(played)
    approve(played)
    with pytest.raises(KeyboardInterrupt):
        follow_up(played, hands=DyingHands(played))
    taken_at = played.now
    played.forward(7 * MINUTE)
    follow_up(played)
    assert (state(played), _listed_from(played)) == ("carried_out", taken_at)


def _listed_from(played: Played) -> Any:
    sql = "SELECT * FROM price_list WHERE decision_id IS NOT NULL"
    (listed,) = played.store.rows(ListPrice, sql)
    return listed.in_force_from_at


class DyingHands(RecordingHands):
    """Hands that do it; then the process dies."""

    def __init__(self, played: Played) -> None:
        super().__init__()
        self._hands = played.hands

    def perform(self, *command: Any) -> dict[str, Any]:
        self._hands.perform(*command)
        raise KeyboardInterrupt


class FullDisk:
    """A warehouse that takes no commands while its disk is full."""

    def __init__(self, store: Store, error: Exception) -> None:
        self._store, self.error = store, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def append(self, rows: Iterable[Any]) -> int:
        raise self.error


@pytest.mark.parametrize("error", [WarehouseError("disk full"), OSError("no space left")])
def test_a_command_that_cannot_be_put_on_record_has_not_happened_and_is_tried_again(
    played: Played, error: Exception
) -> None:
    proposed(played)
    approve(played)
    before = played.world.fleet.checksums()
    hands = SimulatedHands(FullDisk(played.store, error), played.world)  # type: ignore[arg-type]
    follow_up(played, hands=hands)
    assert (state(played), price(played)) == ("carrying_out", 2.89)
    assert played.world.fleet.checksums() == before
    (detail,) = played.store.query("SELECT detail FROM collector_runs")["detail"]
    assert str(error) in detail
    assert not controls.breaker(played.store).failures
    follow_up(played, setbacks=Setbacks())
    assert state(played) == "carried_out"
    assert played.store.query("SELECT count(*) FROM fleet_commands").item() == 1


def test_a_fleet_that_could_not_be_set_back_is_set_back_before_its_next_command(
    played: Played,
) -> None:
    before = played.world.fleet.checksums()
    disk = FullDisk(played.store, WarehouseError("disk full"))
    hands = SimulatedHands(disk, played.world)  # type: ignore[arg-type]
    played.world.store = None  # nor can it be read
    with pytest.raises(CommandLost, match="set back"):
        hands.perform("c1", "scale_up", {"pool": NAME, "nodes": 1})
    with pytest.raises(CommandLost, match="set back"):
        hands.perform("c2", "scale_up", {"pool": NAME, "nodes": 1})
    played.world.store = played.store
    with pytest.raises(CommandLost, match="disk full"):
        hands.perform("c2", "scale_up", {"pool": NAME, "nodes": 1})
    assert played.world.fleet.checksums() == before


class SickJudge:
    """A judge who can't."""

    asked = 0

    def judgement(self, question: Any) -> None:
        self.asked += 1
        raise ValueError("no twin")


def test_what_keeps_failing_is_tried_ever_more_rarely(played: Played) -> None:
    proposed(played)
    approve(played)
    follow_up(played)
    played.forward(timedelta(hours=1))
    judge, seconds = SickJudge(), [0.0]
    engine = replace(played.engine, judge=judge, setbacks=Setbacks(lambda: seconds[0]))
    tried_at = []
    for second in range(0, 1000, 10):
        seconds[0] = float(second)
        before = judge.asked
        engine._follow_up(played.now, dict)
        tried_at += [second] * (judge.asked - before)
    assert tried_at == [0, 60, 180, 420, 900]
    runs = played.store.query("SELECT * FROM collector_runs WHERE collector = 'engine/evaluate'")
    assert runs.height == len(tried_at)


def test_no_wait_is_longer_than_an_hour_and_success_forgets_them_all() -> None:
    seconds = [0.0]
    setbacks = Setbacks(lambda: seconds[0])
    for _ in range(20):
        setbacks.failed("act/d1")
    seconds[0] = LONGEST_SECONDS - 1
    assert setbacks.must_wait("act/d1")
    assert not setbacks.must_wait("act/d2")
    seconds[0] = LONGEST_SECONDS
    assert not setbacks.must_wait("act/d1")
    setbacks.succeeded("act/d1")
    setbacks.failed("act/d1")
    seconds[0] += 60
    assert not setbacks.must_wait("act/d1")


def test_a_failed_job_neither_runs_nor_waits(played: Played) -> None:
    ended = [
        make_job_event(job_id="broken", pool=NAME, event=event, happened_at=played.now)
        for event in ("submitted", "started", "failed")
    ]
    played.store.append(ended)
    played.store.append(
        [make_job_event(job_id="waits", pool=NAME, event="preempted", happened_at=played.now)]
    )
    seen = observed(played.store, played.now)[NAME]
    assert "broken" not in seen.jobs["job_id"]
    assert "waits" in seen.waiting["job_id"]


def test_what_is_withdrawn_while_it_waits_is_measured_but_never_done(played: Played) -> None:
    proposed(played)
    approve(played)
    kill(played, True)
    follow_up(played)
    decisions.withdraw(played.store, "decision-1", by="bob", reason="not today", now=played.now)
    kill(played, False)
    follow_up(played)
    assert (state(played), price(played)) == ("withdrawn", 2.89)
    played.forward(timedelta(hours=1))
    follow_up(played)
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert (read.state, read.outcome_method, read.did_harm) == ("withdrawn", "twin", False)
    assert played.store.rows(Execution, "SELECT * FROM executions") == []
