"""A maintenance window opens on its days at its time of day, also over midnight and in summer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from warehouse.windows import (
    InvalidWindow,
    closed_since,
    freeze_window,
    fresh_until,
    maintenance_window,
    next_span,
    open_span,
    windows_of,
)


def window(**changes: Any) -> Any:
    made = {
        "actions": ["rebalance"],
        "weekdays": ["sat"],
        "starts": "02:00",
        "ends": "05:00",
        "time_zone": "Europe/Berlin",
    }
    return maintenance_window(made | changes)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def is_open(made: Any, at: str) -> bool:
    return open_span([made], "rebalance", utc(at)) is not None


def test_it_is_open_on_its_day_in_its_own_time_zone() -> None:
    for at, wanted in (
        ("2026-11-07T00:59", False),  # a Saturday, 01:59 in Berlin
        ("2026-11-07T01:00", True),
        ("2026-11-07T03:59", True),
        ("2026-11-07T04:00", False),
        ("2026-11-08T02:00", False),
    ):
        assert is_open(window(), at) is wanted, at


def test_one_over_midnight_belongs_to_the_day_on_which_it_starts() -> None:
    made = window(starts="22:00", ends="03:00", time_zone="UTC")
    for at, wanted in (
        ("2026-11-07T02:00", False),  # of the Friday before
        ("2026-11-07T22:00", True),
        ("2026-11-08T02:59", True),
        ("2026-11-08T03:00", False),
    ):
        assert is_open(made, at) is wanted, at


def test_one_that_ends_when_it_starts_lasts_a_day() -> None:
    made = window(starts="00:00", ends="00:00", time_zone="UTC")
    assert is_open(made, "2026-11-07T23:59")
    assert not is_open(made, "2026-11-08T00:00")


def test_on_the_night_of_summer_time_it_follows_the_dial() -> None:
    sunday = window(weekdays=["sun"], starts="01:00", ends="04:00")
    forward = next_span([sunday], "rebalance", utc("2027-03-27T12:00"))
    back = next_span([sunday], "rebalance", utc("2026-10-24T12:00"))
    assert forward
    assert back
    assert (forward.starts_at, forward.ends_at) == (
        utc("2027-03-28T00:00"),
        utc("2027-03-28T02:00"),
    )
    assert (back.starts_at, back.ends_at) == (utc("2026-10-24T23:00"), utc("2026-10-25T03:00"))


def test_a_window_that_summer_time_swallows_opens_a_week_later() -> None:
    swallowed = window(weekdays=["sun"], starts="02:00", ends="03:00")
    found = next_span([swallowed], "rebalance", utc("2027-03-27T12:00"))
    assert found
    assert found.starts_at == utc("2027-04-04T00:00")


def test_an_approval_stays_fresh_until_the_window_after_it_has_closed() -> None:
    monday = utc("2026-11-02T12:00")
    assert fresh_until([window()], "rebalance", monday, 3600) == utc("2026-11-07T04:00")
    assert fresh_until([window()], "scale_up", monday, 3600) == monday + timedelta(hours=1)
    at_its_end = utc("2026-11-07T03:50")
    assert fresh_until([window()], "rebalance", at_its_end, 3600) == at_its_end + timedelta(hours=1)


def test_of_several_windows_the_next_to_open_and_the_last_to_close_count() -> None:
    both = [window(), window(weekdays=["tue"], actions=["rebalance", "repair_node"])]
    found = next_span(both, "rebalance", utc("2026-11-02T12:00"))
    assert found
    assert found.starts_at == utc("2026-11-03T01:00")
    assert closed_since(both, "rebalance", utc("2026-11-02T12:00")) == utc("2026-10-31T04:00")
    assert [len(windows_of(both, each)) for each in ("rebalance", "repair_node", "scale_up")] == [
        2,
        1,
        0,
    ]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"actions": []}, "actions"),
        ({"actions": ["dance"]}, "actions"),
        ({"actions": ["do_nothing"]}, "actions"),
        ({"weekdays": ["someday"]}, "weekdays"),
        ({"weekdays": "mon"}, "weekdays"),
        ({"starts": "25:00"}, "starts"),
        ({"ends": None}, "ends"),
        ({"time_zone": "Mars/Olympus"}, "time zone"),
        ({"time_zone": "../etc"}, "time zone"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_a_window_that_can_not_be_is_refused_in_words(changes: Any, word: str) -> None:
    with pytest.raises(InvalidWindow, match=word):
        window(**changes)


def test_a_freeze_needs_two_instants_in_order() -> None:
    span = {"starts_at": "2026-12-24T00:00+01:00", "ends_at": "2026-12-23T00:00+01:00"}
    with pytest.raises(InvalidWindow, match="ends after it starts"):
        freeze_window(span)
