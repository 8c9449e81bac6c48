"""The twin as judge: exact against a fleet of its own that was told the other story."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.evaluate import Question
from engine.simulator.commands import ScaleUp, SetPrice
from engine.simulator.fleet import SimulatedFleet
from engine.simulator.judge import TwinJudge
from engine.simulator.metrics import profit
from engine.simulator.settings import FleetSettings
from tests.engine.world import MONDAY, NAME, SMALL_POOL, HandClock, World

HOUR = timedelta(hours=1)
ACTED_AT = MONDAY + 3 * HOUR
CHEAP_USD_PER_GPU_HOUR = 2.2
CHEAPER = SetPrice(NAME, CHEAP_USD_PER_GPU_HOUR)


def make_world() -> World:
    """The small fleet, three hours old."""
    world = World(SimulatedFleet(FleetSettings(7, (SMALL_POOL,), MONDAY)), HandClock(ACTED_AT))
    world.fleet.advance_to(ACTED_AT)
    return world


def make_question(**changes: Any) -> Question:
    values = {
        "decision_id": "d1",
        "pool": NAME,
        "command": "set_price",
        "arguments": {"pool": NAME, "price_usd_per_gpu_hour": CHEAP_USD_PER_GPU_HOUR},
        "was_done": True,
        "starts_at": ACTED_AT,
        "ends_at": ACTED_AT + 2 * HOUR,
    }
    return Question(**(values | changes))


def gain_of(judge: TwinJudge, question: Question) -> float:
    judged = judge.judgement(question)
    assert judged is not None
    assert judged.low_usd_per_hour == judged.gain_usd_per_hour == judged.high_usd_per_hour
    return judged.gain_usd_per_hour


def earned(fleet: SimulatedFleet) -> float:
    return float(profit(fleet.metrics()[NAME]))


@pytest.mark.parametrize("remembers", [True, False], ids=["from a copy", "from the start"])
def test_what_was_done_is_worth_what_two_fleets_differ_by(remembers: bool) -> None:
    world = make_world()
    judge, without = TwinJudge(world), world.fleet.clone()
    if remembers:
        judge.remember()
    world.fleet.apply(CHEAPER, "d1")
    for fleet in (world.fleet, without):
        fleet.advance_to(ACTED_AT + 2 * HOUR)
    if remembers:
        judge.remember()  # a copy that has taken the command is no copy from before it
    difference = (earned(world.fleet) - earned(without)) / 2
    assert abs(difference) > 0.01
    assert gain_of(judge, make_question()) == pytest.approx(difference, abs=1e-9)


@pytest.mark.parametrize("remembers", [True, False], ids=["from a copy", "from the start"])
def test_what_was_not_done_is_worth_what_it_would_have_brought(remembers: bool) -> None:
    world = make_world()
    judge, with_it = TwinJudge(world), world.fleet.clone()
    if remembers:
        judge.remember()
    with_it.apply(CHEAPER, "told")
    for fleet in (world.fleet, with_it):
        fleet.advance_to(ACTED_AT + 2 * HOUR)
    difference = (earned(with_it) - earned(world.fleet)) / 2
    assert abs(difference) > 0.01
    question = make_question(was_done=False)
    assert gain_of(judge, question) == pytest.approx(difference, abs=1e-9)


def test_without_a_command_there_is_no_undoing_it_but_all_the_others_stay() -> None:
    world = make_world()
    judge, without = TwinJudge(world), world.fleet.clone()
    world.fleet.apply(CHEAPER, "d1")
    for fleet in (world.fleet, without):
        fleet.advance_to(ACTED_AT + HOUR / 2)
        fleet.apply(ScaleUp(NAME, 1), "d2")
        fleet.advance_to(ACTED_AT + HOUR)
    # Undone to another price than was, so that a fleet that took the undoing alone would tell.
    world.fleet.apply(SetPrice(NAME, 3.4), "d1:undo")
    for fleet in (world.fleet, without):
        fleet.advance_to(ACTED_AT + 2 * HOUR)
    difference = (earned(world.fleet) - earned(without)) / 2
    assert gain_of(judge, make_question()) == pytest.approx(difference, abs=1e-9)


def test_after_a_restart_it_judges_as_before() -> None:
    world = make_world()
    judge = TwinJudge(world)
    judge.remember()
    world.fleet.apply(CHEAPER, "d1")
    world.fleet.advance_to(ACTED_AT + 2 * HOUR)
    before, known = gain_of(judge, make_question()), world.fleet
    world.fleet = SimulatedFleet.replayed(known.settings, list(known.log), known.now)
    judge.remember()
    assert gain_of(judge, make_question()) == pytest.approx(before, abs=1e-9)
    assert gain_of(TwinJudge(world), make_question()) == pytest.approx(before, abs=1e-9)


def test_judging_leaves_the_fleet_as_it_is() -> None:
    world = make_world()
    judge = TwinJudge(world)
    judge.remember()
    world.fleet.apply(CHEAPER, "d1")
    before, untouched = world.fleet.checksums(), world.fleet.clone()
    gain_of(judge, make_question())
    assert world.fleet.checksums() == before
    for fleet in (world.fleet, untouched):
        fleet.advance_to(ACTED_AT + 2 * HOUR)
    assert world.fleet.checksums() == untouched.checksums()


@pytest.mark.parametrize("changes", [{"decision_id": "never sent"}, {"pool": "elsewhere"}])
def test_what_never_reached_the_fleet_cannot_be_told(changes: dict[str, Any]) -> None:
    world = make_world()
    world.fleet.apply(CHEAPER, "d1")
    assert TwinJudge(world).judgement(make_question(**changes)) is None
