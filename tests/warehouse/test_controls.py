"""The newest setting holds, says who set it, and takes no nonsense."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.makers import NOON
from warehouse import controls
from warehouse.records import AuditEvent, Execution
from warehouse.store import Store

LATER = NOON + timedelta(minutes=1)


def set_limit(store: Store, name: str, value: Any) -> None:
    controls.set_limit(store, name, value, by="ada", reason="trial", now=NOON)


def fail(store: Store, phase: str = "failed") -> None:
    store.append(
        [
            Execution(
                decision_id="d", kind="do", phase=phase, parameters={}, result={}, happened_at=NOON
            )
        ]
    )


def test_every_action_asks_a_person_until_told_otherwise(store: Store) -> None:
    assert set(controls.modes(store).values()) == {"approve"}
    controls.set_mode(store, "scale_up", "autonomous", by="ada", reason="trusted", now=NOON)
    assert controls.mode(store, "scale_up") == "autonomous"
    assert controls.mode(store, "scale_down") == "approve"


@pytest.mark.parametrize(
    ("action", "mode"), [("scale_up", "always"), ("do_nothing", "off"), ("dance", "off")]
)
def test_no_mode_that_does_not_exist(store: Store, action: str, mode: str) -> None:
    with pytest.raises(controls.UnknownMode):
        controls.set_mode(store, action, mode, by="ada", reason=None, now=NOON)


def test_of_two_settings_of_one_instant_the_later_written_holds(store: Store) -> None:
    for is_on in (True, False, True, False, True):
        controls.set_kill_switch(store, is_on, by="ada", reason="drill", now=NOON)
    switch = controls.kill_switch(store)
    assert (switch.is_on, switch.set_by, switch.reason) == (True, "ada", "drill")
    assert switch.set_at is not None
    assert switch.set_at - NOON < timedelta(milliseconds=1)
    assert controls.control_history(store, 2)["value"].to_list() == ["true", "false"]


def test_what_is_set_holds_also_by_a_clock_that_is_behind(store: Store) -> None:
    controls.set_kill_switch(store, False, by="ada", reason="drill", now=NOON)
    earlier = NOON - timedelta(hours=1)
    controls.set_kill_switch(store, True, by="ada", reason="fire", now=earlier)
    assert controls.kill_switch(store).is_on


def test_the_kill_switch_is_off_at_first(store: Store) -> None:
    assert controls.kill_switch(store) == controls.KillSwitch(False)


def test_limits_have_defaults_and_keep_what_is_set(store: Store) -> None:
    assert controls.limits(store) == controls.Limits()
    set_limit(store, "cooldown_seconds", 600.0)
    set_limit(store, "price_floor_usd_per_gpu_hour", {"h100": 1.5})
    window = {"starts_at": "2026-12-24T00:00+01:00", "ends_at": "2026-12-27T00:00+01:00"}
    set_limit(store, "freeze_windows", [window])
    found = controls.limits(store)
    assert found.cooldown_seconds == 600
    assert isinstance(found.cooldown_seconds, int)
    assert found.price_floor_usd_per_gpu_hour == {"h100": 1.5}
    (span,) = found.frozen_spans
    assert (span.ends_at - span.starts_at).days == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("colour", 1),
        ("cooldown_seconds", -1),
        ("cooldown_seconds", 1.5),
        ("cooldown_seconds", True),
        ("cooldown_seconds", "600"),
        ("price_step_ratio", float("nan")),
        ("price_floor_ratio", 1.4),
        ("price_floor_usd_per_gpu_hour", 2.0),
        ("price_floor_usd_per_gpu_hour", {"h100": 0}),
        ("freeze_windows", [{"starts_at": "2026-12-24"}]),
        ("freeze_windows", [{"starts_at": "2026-12-24T00:00", "ends_at": "2026-12-25T00:00"}]),
        ("freeze_windows", "always"),
        ("maintenance_windows", "nightly"),
        ("maintenance_windows", [{"actions": ["rebalance"]}]),
        ("breaker_quarantines", 0),
    ],
)
def test_a_limit_takes_no_nonsense(store: Store, name: str, value: Any) -> None:
    with pytest.raises(controls.InvalidLimit):
        set_limit(store, name, value)
    assert controls.limits(store) == controls.Limits()


def test_every_limit_has_a_sentence_and_a_unit_or_bounds() -> None:
    for column in controls.LIMIT_COLUMNS.values():
        assert column.description.endswith("."), column.name
        assert column.bounds or column.is_json, column.name


def test_failures_in_a_row_are_counted_and_a_success_ends_the_row(store: Store) -> None:
    for phase in ("failed", "failed", "succeeded", "failed", "refused", "failed"):
        fail(store, phase)
    assert controls.breaker(store) == controls.Breaker(False, 2)


def test_an_open_breaker_stays_open_until_a_person_closes_it(store: Store) -> None:
    fail(store)
    controls.open_breaker(store, failures=1, now=NOON)
    fail(store, "succeeded")
    assert controls.breaker(store).is_open
    found = controls.breaker(store)
    assert (found.opened_at, found.reason) == (NOON, "1 actions failed in a row")
    controls.close_breaker(store, by="ada", reason="cable replaced", now=LATER)
    assert controls.breaker(store) == controls.Breaker(False, 0, closed_at=LATER)


@pytest.mark.parametrize("speed", [-1.0, float("nan"), float("inf")])
def test_a_speed_is_a_number_from_0(store: Store, speed: float) -> None:
    assert controls.fleet_speed(store) is None
    controls.set_fleet_speed(store, 60, by="ada", now=NOON)
    with pytest.raises(controls.InvalidSpeed):
        controls.set_fleet_speed(store, speed, by="ada", now=NOON)
    assert controls.fleet_speed(store) == 60


def test_every_change_is_audited(store: Store) -> None:
    set_limit(store, "cooldown_seconds", 600)
    controls.set_mode(store, "scale_up", "off", by="bob", reason="audit", now=LATER, via="browser")
    events = store.rows(AuditEvent, "SELECT * FROM audit_events ORDER BY happened_at")
    assert [(event.actor, event.target, event.via) for event in events] == [
        ("ada", "limit.cooldown_seconds", "console"),
        ("bob", "mode.scale_up", "browser"),
    ]
    assert events[0].detail == {"value": 600, "reason": "trial"}


def test_the_dial_stands_at_balanced_until_it_is_turned_to_what_is_on_it(store: Store) -> None:
    assert controls.dial(store) == "balanced"
    controls.set_dial(store, "service", by="ada", reason="fair", now=NOON)
    found = controls.dial_setting(store)
    assert (found.name, found.set_by, found.set_at) == ("service", "ada", NOON)
    with pytest.raises(controls.UnknownDial, match="balanced, profit, service"):
        controls.set_dial(store, "fame", by="ada", now=LATER)
    assert controls.dial(store) == "service"


def test_nobody_is_asked_twice_until_it_is_said_of_an_action(store: Store) -> None:
    assert not any(controls.four_eyes(store).values())
    controls.set_four_eyes(store, "rebalance", True, by="ada", reason="costly", now=NOON)
    assert [action for action, is_on in controls.four_eyes(store).items() if is_on] == ["rebalance"]
    assert controls.standing(store).four_eyes["rebalance"]
    (event,) = store.rows(AuditEvent, "SELECT * FROM audit_events")
    assert (event.target, event.detail["value"]) == ("four_eyes.rebalance", True)
    with pytest.raises(controls.UnknownMode):
        controls.set_four_eyes(store, "do_nothing", True, by="ada", reason=None, now=NOON)
