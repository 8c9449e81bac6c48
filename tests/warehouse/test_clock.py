from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.makers import NOON
from warehouse.clock import FleetClock, WallClock


class Hand:
    """A clock hand that the test turns."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


def test_a_clock_that_steps_back_is_held_and_told_once() -> None:
    hand = Hand(NOON)
    told: list[float] = []
    clock = WallClock(hand, lambda seconds, at: told.append(seconds))
    hand.at = NOON - timedelta(minutes=5)
    assert [clock.now(), clock.now()] == [NOON, NOON]
    assert told == [300.0]
    hand.at = NOON + timedelta(seconds=1)
    assert clock.now() == hand.at
    hand.at = NOON - timedelta(seconds=9)
    clock.now()
    assert told == [300.0, 10.0]


def test_a_slew_of_less_than_a_second_is_held_and_not_told() -> None:
    hand = Hand(NOON)
    told: list[float] = []
    clock = WallClock(hand, lambda seconds, at: told.append(seconds))
    hand.at = NOON - timedelta(milliseconds=400)
    assert clock.now() == NOON
    assert told == []


def test_the_fleets_clock_runs_at_its_speed_and_stands_at_zero() -> None:
    seconds = [100.0]
    clock = FleetClock(NOON, speed=30, read_seconds=lambda: seconds[0])
    seconds[0] += 2
    assert clock.now() == NOON + timedelta(minutes=1)
    clock.set_speed(0)
    seconds[0] += 50
    assert clock.now() == NOON + timedelta(minutes=1)
    clock.set_speed(60)
    seconds[0] += 1
    assert clock.now() == NOON + timedelta(minutes=2)


def test_time_does_not_run_backward_at_any_speed() -> None:
    clock = FleetClock(NOON, speed=1)
    with pytest.raises(ValueError, match="can't be negative"):
        clock.set_speed(-1)
