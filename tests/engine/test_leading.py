"""Of several consoles one acts; one that loses the lease stops between steps, another goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from engine.gate import Gate
from engine.hands import CommandStale, CommandUnderWay
from engine.leading import Alone, CatalogueLease, Leader, own_name
from engine.loop import Engine
from tests.engine.deciding import MINUTE, RecordingHands, approve, follow_up, proposed, state
from tests.engine.world import HandClock, Played
from tests.makers import NOON
from warehouse import controls, decisions, leases
from warehouse.records import Execution, Refusal
from warehouse.store import Store

STEPS = ("cordon", "evict", "verify")


@dataclass
class Fleet:
    """What several hands share: which steps were taken, and by whom."""

    taken: list[tuple[str, str]] = field(default_factory=list)
    after: dict[str, Callable[[], object]] = field(default_factory=dict)
    """What happens right after a step was taken."""


@dataclass
class SteppingHands:
    """Hands that take three steps, asking the gate before each."""

    fleet: Fleet
    gate: Gate
    me: str = "a"

    def perform(
        self, command_id: str, command: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        for step in STEPS[len(self.fleet.taken) :]:
            why = self.gate()
            if why is not None:
                raise CommandUnderWay(why)
            self.fleet.taken.append((self.me, step))
            self.fleet.after.get(step, lambda: None)()
        return {"previous_price_usd_per_gpu_hour": 2.89}

    def has_begun(self, command_id: str) -> bool:
        return 0 < len(self.fleet.taken) < len(STEPS)

    def answer_to(self, command_id: str) -> dict[str, Any] | None:
        done = len(self.fleet.taken) == len(STEPS)
        return {"previous_price_usd_per_gpu_hour": 2.89} if done else None


def lease(store: Store, clock: HandClock, me: str) -> CatalogueLease:
    return CatalogueLease(store, clock, me=me, seconds=30)


def console(played: Played, fleet: Fleet, leader: Leader, me: str) -> Engine:
    hands = SteppingHands(fleet, Gate(played.store, leader), me)
    return replace(played.engine, hands=hands, leader=leader)


def phases(played: Played) -> list[str]:
    return played.store.query("SELECT phase FROM executions ORDER BY rowid")["phase"].to_list()


def test_the_only_console_leads_and_consoles_have_names_of_their_own() -> None:
    assert Alone().leads()
    assert Alone().holder() is None
    Alone().resign()
    assert own_name() != own_name()


def test_the_lease_is_one_consoles_until_it_resigns_or_is_late(store: Store) -> None:
    clock = HandClock(NOON)
    first, second = lease(store, clock, "a"), lease(store, clock, "b")
    assert [first.leads(), second.leads(), second.holder()] == [True, False, "a"]
    first.resign()
    assert [second.leads(), first.leads()] == [True, False]
    clock.at += timedelta(seconds=31)
    assert second.holder() is None
    assert [first.leads(), second.leads()] == [True, False]
    found = leases.lease(store, "engine")
    assert found
    assert found.term == 3


def test_a_killed_holder_is_waited_for_and_a_living_one_is_known_by_its_renewing(
    store: Store,
) -> None:
    clock = HandClock(NOON)
    first, second, third = (lease(store, clock, name) for name in "abc")
    waited: list[float] = []

    def pass_time(seconds: float) -> None:
        waited.append(seconds)
        clock.at += timedelta(seconds=seconds)

    def pass_time_beside_a_living_one(seconds: float) -> None:
        pass_time(seconds)
        second.leads()

    assert first.taken(pass_time)
    assert not waited
    assert second.taken(pass_time)  # the first never renews: it was killed
    assert sum(waited) == pytest.approx(30, abs=1)
    waited.clear()
    assert not third.taken(pass_time_beside_a_living_one)
    assert sum(waited) == pytest.approx(10, abs=1)
    assert third.holder() == "b"


def test_a_console_says_who_leads_as_soon_as_it_was_asked(played: Played) -> None:
    clock = HandClock(NOON)
    ours, theirs = lease(played.store, clock, "a"), lease(played.store, clock, "b")
    first, second = console(played, Fleet(), ours, "a"), console(played, Fleet(), theirs, "b")
    assert first.leads()
    assert not second.leads()
    assert [first.led_by, second.led_by] == [None, "a"]


def test_a_lease_that_is_lost_in_mid_action_stops_it_between_steps_and_another_ends_it_once(
    played: Played,
) -> None:
    proposed(played)
    approve(played)
    clock, fleet = HandClock(NOON), Fleet()
    ours, theirs = lease(played.store, clock, "a"), lease(played.store, clock, "b")
    first, second = console(played, fleet, ours, "a"), console(played, fleet, theirs, "b")

    def taken_away() -> None:
        clock.at += timedelta(seconds=60)  # this console hung for a minute
        assert theirs.leads()

    fleet.after["cordon"] = taken_away
    first.tick()
    assert fleet.taken == [("a", "cordon")]
    assert (state(played), phases(played)) == ("carrying_out", ["intended"])
    first.tick()
    assert first.led_by == "b"
    assert fleet.taken == [("a", "cordon")]
    second.tick()
    assert second.led_by is None
    assert fleet.taken == [("a", "cordon"), ("b", "evict"), ("b", "verify")]
    first.tick()
    second.tick()
    assert (state(played), phases(played)) == ("carried_out", ["intended", "succeeded"])
    runs = played.store.query("SELECT * FROM collector_runs WHERE outcome = 'failed'")
    assert runs.is_empty()


def test_who_does_not_lead_only_looks(played: Played) -> None:
    clock, fleet = HandClock(NOON), Fleet()
    assert lease(played.store, clock, "b").leads()
    first = console(played, fleet, lease(played.store, clock, "a"), "a")
    proposed(played)
    approve(played)
    played.forward(60 * MINUTE)
    first.tick()
    first.aside("forecast", lambda now: fleet.taken.append(("a", "forecast")))
    assert (fleet.taken, state(played), first.led_by) == ([], "approved", "b")
    assert played.store.query("SELECT count(*) FROM observations").item() == 0


def test_the_kill_switch_stops_between_steps_and_what_is_half_done_goes_on_afterwards(
    played: Played,
) -> None:
    proposed(played)
    approve(played)
    fleet = Fleet()
    engine = console(played, fleet, Alone(), "a")

    def kill(is_on: bool) -> None:
        controls.set_kill_switch(played.store, is_on, by="bob", reason="storm", now=played.now)

    fleet.after["evict"] = lambda: kill(True)
    engine.tick()
    engine.tick()
    assert len(fleet.taken) == 2
    assert engine.hands.gate() == "the kill switch is on, set by bob: storm"  # type: ignore[attr-defined]
    kill(False)
    engine.tick()
    assert (len(fleet.taken), state(played)) == (3, "carried_out")


def test_what_is_half_done_is_not_left_so_for_a_freeze_or_an_open_breaker(played: Played) -> None:
    proposed(played)
    approve(played)
    fleet = Fleet()
    engine = console(played, fleet, Alone(), "a")

    def hold_everything() -> None:
        controls.set_kill_switch(played.store, True, by="bob", reason=None, now=played.now)
        controls.open_breaker(played.store, failures=3, now=played.now)

    fleet.after["cordon"] = hold_everything
    engine.tick()
    assert len(fleet.taken) == 1
    controls.set_kill_switch(played.store, False, by="bob", reason=None, now=played.now)
    engine.tick()
    assert (len(fleet.taken), state(played)) == (3, "carried_out")


def test_what_somebody_else_changed_is_dropped_as_stale_and_is_no_failure(played: Played) -> None:
    proposed(played)
    approve(played)
    follow_up(played, hands=RecordingHands(CommandStale("node n1 was cordoned by kubectl")))
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert (read.state, read.execution_detail) == ("refused", "node n1 was cordoned by kubectl")
    (refusal,) = played.store.rows(Refusal, "SELECT * FROM refusals WHERE decision_id NOT NULL")
    assert refusal.guard == "unchanged_since_proposed"
    assert controls.breaker(played.store).failures == 0


@pytest.mark.parametrize("is_undone", [False, True])
def test_what_is_under_way_is_asked_again_at_the_next_tick_and_has_not_failed(
    played: Played, is_undone: bool
) -> None:
    proposed(played)
    approve(played)
    if is_undone:
        follow_up(played)
        played.forward(MINUTE)
        decisions.ask_undo(played.store, "decision-1", by="ada", reason="no", now=played.now)
        played.forward(MINUTE)
    hands = RecordingHands(CommandUnderWay("pods are going"))
    setbacks = played.engine.setbacks
    for _ in range(2):
        follow_up(played, hands=hands)
    assert state(played) == ("undoing" if is_undone else "carrying_out")
    assert len(hands.asked) == 2
    assert not setbacks.must_wait("act/decision-1")
    ends = played.store.rows(Execution, "SELECT * FROM executions WHERE phase = 'failed'")
    assert ends == []
