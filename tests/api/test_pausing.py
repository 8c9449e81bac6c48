"""What is paused is told by the API and to Prometheus; who must agree and when, admins set."""

from __future__ import annotations

from datetime import timedelta

from tests.api.conftest import Console, MakeConsole
from tests.makers import make_decision
from warehouse.controls import open_breaker
from warehouse.decisions import propose

ADMIN = "/api/v1/admin"
WINDOW = {
    "actions": ["rebalance"],
    "weekdays": ["sat", "sun"],
    "starts": "02:00",
    "ends": "05:00",
    "time_zone": "Europe/Berlin",
}


def lines(console: Console) -> list[str]:
    text: str = console.program("viewer").get("/metrics").text
    return [line for line in text.splitlines() if line.startswith("pilothouse_")]


def test_four_eyes_are_set_by_an_admin_and_read_by_all(console: Console) -> None:
    operator, admin = console.program("operator"), console.program("admin", "root")
    url = f"{ADMIN}/four-eyes/quarantine_node"
    assert operator.put(url, json={"is_on": True}).status_code == 403
    assert admin.put(url, json={"is_on": True, "reason": "costly"}).json()["quarantine_node"]
    found = operator.get(f"{ADMIN}/four-eyes").json()
    assert [action for action, is_on in found.items() if is_on] == ["quarantine_node"]
    assert admin.put(f"{ADMIN}/four-eyes/dance", json={"is_on": True}).status_code == 422


def test_maintenance_windows_are_set_whole_and_read_back(console: Console) -> None:
    admin = console.program("admin", "root")
    url = f"{ADMIN}/limits/maintenance_windows"
    assert admin.put(url, json={"value": [WINDOW]}).json()["maintenance_windows"] == [WINDOW]
    wrong = admin.put(url, json={"value": [WINDOW | {"time_zone": "Mars"}]})
    assert (wrong.status_code, wrong.json()["title"]) == (422, "Invalid limit")
    (pause,) = admin.get(f"{ADMIN}/pauses").json()
    assert (pause["reason"], pause["action"]) == ("maintenance", "rebalance")
    assert pause["until_at"].startswith("2026-11-07T01:00")
    assert admin.put(url, json={"value": []}).json()["maintenance_windows"] == []
    assert admin.get(f"{ADMIN}/pauses").json() == []


def test_what_is_paused_and_for_how_long_is_measured_in_seconds(console: Console) -> None:
    admin = console.program("admin", "root")
    before = lines(console)
    assert 'pilothouse_paused{action="all",reason="kill_switch"} 0.0' in before
    admin.put(f"{ADMIN}/kill-switch", json={"is_on": True, "reason": "storm"})
    admin.put(f"{ADMIN}/modes/scale_down", json={"mode": "off"})
    propose(console.store, make_decision())
    console.clock.turn(timedelta(minutes=10))
    found = lines(console)
    for line in (
        'pilothouse_paused{action="all",reason="kill_switch"} 1.0',
        'pilothouse_paused_seconds{action="all",reason="kill_switch"} 600.0',
        'pilothouse_paused_seconds{action="all",reason="breaker"} 0.0',
        'pilothouse_paused{action="scale_down",reason="switched_off"} 1.0',
        'pilothouse_decisions_waiting_seconds{action="scale_up"} 600.0',
        "pilothouse_leads 1.0",
    ):
        assert line in found, line


def test_a_console_that_only_looks_says_who_acts(make_console: MakeConsole) -> None:
    console = make_console(led_by=lambda: "console-b")
    viewer = console.program("viewer")
    assert viewer.get("/api/v1/health").json()["led_by"] == "console-b"
    assert "pilothouse_leads 0.0" in lines(console)


def test_an_open_breaker_is_told_with_what_opened_it(console: Console) -> None:
    open_breaker(console.store, reason="3 nodes quarantined within 60 min", now=console.clock.now())
    viewer = console.program("viewer")
    assert "3 nodes" in viewer.get(f"{ADMIN}/breaker").json()["reason"]
    assert "3 nodes" in viewer.get(f"{ADMIN}/pauses").json()[0]["words"]
