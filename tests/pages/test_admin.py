"""Admin: what holds the engine, how the collectors fare, and who did what."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dash import no_update

from pages import _banner, _paused, _storage, _windows
from pages._callbacks import NOTICES
from pages._context import NotAllowed, context
from tests.makers import NOON
from tests.pages.conftest import Console, pressed, words_in
from warehouse import audit, controls, storage
from warehouse.people import Person, current_person
from warehouse.records import CollectorRun, UpkeepRun


def throw(console: Console, is_on: bool, reason: str | None) -> tuple[Any, ...]:
    return console.page("admin").kill(1, is_on, reason)


def move_mode(console: Console, mode: str) -> Any:
    """What the browser is sent when the control of scale-ups is moved."""
    ids = [{"action": action, "type": "admin-mode"} for action in controls.GOVERNED_ACTIONS]
    values = [mode if each["action"] == "scale_up" else "approve" for each in ids]
    moved = json.dumps(ids[0], sort_keys=True, separators=(",", ":"))
    given = {"admin-mode.value": list(zip(ids, values, strict=True))}
    return console.call("admin-modes.children", given, f"{moved}.value")


def test_an_empty_warehouse_shows_what_is_in_force(console: Console) -> None:
    shown = words_in(console.open("/admin"))
    assert "Scale up" in shown
    assert "Max actions" in shown
    kill, breaker, _ = console.page("admin").bring_up_to_date(None, None)
    assert "Actions are carried out" in words_in(kill)
    assert "it opens at 3" in words_in(breaker)
    assert "No collector has run yet" in words_in(console.page("admin").show_collectors(None))


def test_the_kill_switch_asks_for_a_reason_before_it_is_thrown(console: Console) -> None:
    given, changed = pressed("admin-kill", is_on="False")
    asked = console.call("admin-kill-dialog.opened", given, changed)["response"]
    assert asked["admin-kill-dialog"]["opened"] is True
    assert asked["admin-kill-aim"]["data"] is True
    told, is_open, _ = throw(console, True, "  ")
    assert (told[0]["title"], is_open) == ("Not done", True)
    assert not controls.kill_switch(console.store).is_on


def test_an_operator_stops_everything_and_only_an_admin_lets_it_go_on(console: Console) -> None:
    with console.asked_by("viewer"), pytest.raises(NotAllowed):
        throw(console, True, "drill")
    with console.asked_by("operator"):
        throw(console, True, "drill")
        assert controls.kill_switch(console.store).reason == "drill"
        with pytest.raises(NotAllowed):
            throw(console, False, "over")
    throw(console, False, "over")
    assert not controls.kill_switch(console.store).is_on


def test_a_mode_is_set_by_an_admin_and_audited(console: Console) -> None:
    sent = move_mode(console, "autonomous")["response"]
    assert sent[NOTICES]["sendNotifications"][0]["message"] == "Scale up: autonomous"
    assert controls.modes(console.store)["scale_up"] == "autonomous"
    newest = audit.audit(console.store).rows.row(0, named=True)
    assert (newest["actor"], newest["target"], newest["via"]) == (
        "mara",
        "mode.scale_up",
        "browser",
    )


def test_a_mode_that_an_operator_moves_goes_back(console: Console) -> None:
    with console.asked_by("operator"):
        sent = move_mode(console, "autonomous")["response"]
    assert sent[NOTICES]["sendNotifications"][0]["title"] == "Not done"
    assert controls.modes(console.store)["scale_up"] == "approve"


def test_limits_that_can_be_are_set_and_one_that_cannot_is_marked(console: Console) -> None:
    names = [{"name": "cooldown_seconds"}, {"name": "price_step_ratio"}]
    told, errors = console.page("admin").save_limits(1, [600, 7], names, "calmer")
    assert controls.limits(console.store).cooldown_seconds == 600
    assert controls.limits(console.store).price_step_ratio == 0.10
    assert errors[0] is None
    assert "from 0.001 to 1" in errors[1]
    assert told[0]["title"] == "Not all limits are set"


def test_limits_are_not_set_by_an_operator(console: Console) -> None:
    with console.asked_by("operator"), pytest.raises(NotAllowed):
        console.page("admin").save_limits(1, [600], [{"name": "cooldown_seconds"}], None)


def test_an_open_breaker_is_closed_by_an_admin(console: Console) -> None:
    controls.open_breaker(console.store, failures=3, now=NOON - timedelta(minutes=5))
    _, breaker, _ = console.page("admin").bring_up_to_date(None, None)
    assert "Nothing is carried out until a person closes it" in words_in(breaker)
    console.page("admin").close_breaker([1])
    assert not controls.breaker(console.store).is_open


def test_a_collector_that_fails_is_shown_with_why(console: Console) -> None:
    run = {"collector": "vast", "row_count": 0, "attempt_count": 3, "duration_seconds": 0.9}
    failed = CollectorRun(
        **run, outcome="failed", detail="503 from the market", started_at=datetime.now(UTC)
    )
    console.store.append([failed])
    shown = words_in(console.page("admin").show_collectors(None))
    assert "503 from the market" in shown
    assert "Failed" in shown
    assert "1 failed" in shown


def test_the_audit_record_is_searched_and_downloaded(console: Console) -> None:
    for act in ("session.start", "control.set"):
        audit.record(console.store, "jon", act, "console", via="browser", at=NOON)
    page = console.page("admin")
    block = {"startRow": 0, "endRow": 50}
    assert page.rows(block, None)["rowCount"] == 2
    assert [row["act"] for row in page.rows(block, "session")["rowData"]] == ["session.start"]
    file, told = page.download(1, "session")
    assert len(file["content"].splitlines()) == 2
    assert "1 of 1 rows" in told[0]["message"]


def test_what_a_token_sets_is_not_said_to_come_from_a_browser(console: Console) -> None:
    token = current_person.set(Person("robot", "admin", "api"))
    try:
        throw(console, True, "drill")
        console.page("admin").save_limits(1, [600], [{"name": "cooldown_seconds"}], None)
        console.page("admin").close_breaker([1])
    finally:
        current_person.reset(token)
    found = audit.audit(console.store).rows
    assert set(found["target"]) == {"kill_switch", "limit.cooldown_seconds", "breaker"}
    assert set(found["via"]) == {"api"}


def move_four_eyes(console: Console, is_on: bool) -> Any:
    """What the browser is sent when the switch of scale-ups is moved."""
    ids = [{"action": action, "type": "admin-four-eyes"} for action in controls.GOVERNED_ACTIONS]
    values = [is_on and each["action"] == "scale_up" for each in ids]
    moved = json.dumps(ids[0], sort_keys=True, separators=(",", ":"))
    given = {"admin-four-eyes.checked": list(zip(ids, values, strict=True))}
    return console.call("admin-modes.children", given, f"{moved}.checked")


def test_four_eyes_are_asked_for_by_an_admin_alone(console: Console) -> None:
    with console.asked_by("operator"):
        sent = move_four_eyes(console, True)["response"]
    assert sent[NOTICES]["sendNotifications"][0]["title"] == "Not done"
    assert not controls.four_eyes(console.store)["scale_up"]
    with console.asked_by("admin"):
        move_four_eyes(console, True)
    assert controls.four_eyes(console.store)["scale_up"]
    assert "done once two people say yes" in words_in(console.open("/admin"))
    newest = audit.audit(console.store).rows.row(0, named=True)
    assert (newest["actor"], newest["target"]) == ("mara", "four_eyes.scale_up")
    move_four_eyes(console, False)
    assert not controls.four_eyes(console.store)["scale_up"]


def test_a_freeze_is_added_and_removed_by_an_admin(console: Console) -> None:
    given = {
        "admin-freeze-add.n_clicks": 1,
        "admin-freeze-starts.value": "2026-12-24 00:00:00",
        "admin-freeze-ends.value": "2026-12-27 08:00:00",
        "admin-freeze-reason.value": "Christmas",
    }
    sent = console.call("admin-windows.children", given, "admin-freeze-add.n_clicks")["response"]
    shown = words_in(sent["admin-windows"]["children"])
    assert "2026-12-24 00:00 to 2026-12-27 08:00 UTC, Christmas" in shown
    (window,) = controls.limits(console.store).freeze_windows
    key = _windows.key_of(window)
    given, changed = pressed("admin-window-remove", limit="freeze_windows", key=key)
    with console.asked_by("operator"):
        console.call("admin-windows.children", given, changed)
    assert controls.limits(console.store).freeze_windows == [window]
    with console.asked_by("admin"):
        console.call("admin-windows.children", given, changed)
    assert controls.limits(console.store).freeze_windows == []


def test_a_maintenance_window_is_added_and_what_it_closes_is_shown_as_paused(
    console: Console,
) -> None:
    with pytest.raises(controls.InvalidLimit, match="weekdays"):
        _windows.add_maintenance(1, ["rebalance"], None, "02:00", "05:00", "UTC")
    told, shown = _windows.add_maintenance(
        1, ["rebalance"], ["sat"], "02:00", "05:00", "Europe/Berlin"
    )
    assert told[0]["title"] == "Windows set"
    assert "Rebalance: sat 02:00 to 05:00 Europe/Berlin" in words_in(shown)
    paused, digest = _paused.show_paused(None, None)
    assert "Outside its maintenance windows" in words_in(paused)
    assert "2026-11-07 01:00" in words_in(paused)
    assert _paused.show_paused(None, digest)[0] is no_update


def test_where_nothing_is_paused_it_says_so(console: Console) -> None:
    assert "Nothing is paused" in words_in(_paused.show_paused(None, None)[0])


def test_an_open_breaker_says_what_opened_it(console: Console) -> None:
    why = "3 nodes quarantined within 60 min"
    controls.open_breaker(console.store, reason=why, now=NOON - timedelta(minutes=5))
    _, breaker, _ = console.page("admin").bring_up_to_date(None, None)
    assert why in words_in(breaker)
    assert why in words_in(_paused.show_paused(None, None)[0])


def test_a_console_that_only_looks_says_who_acts(console: Console) -> None:
    console.status = replace(console.status, led_by="console-b")
    assert "Only looking: console-b acts" in words_in(_banner.alarms())


def test_limits_of_many_numbers_are_read_here_and_set_through_the_api(console: Console) -> None:
    window = {"starts_at": "2026-12-24T00:00:00Z", "ends_at": "2026-12-27T08:00:00Z"}
    for name, value in (
        ("price_floor_usd_per_gpu_hour", {"h100": 1.25}),
        ("freeze_windows", [window | {"reason": "Christmas"}]),
    ):
        controls.set_limit(console.store, name, value, by="jon", reason=None, now=NOON)
    shown = words_in(console.open("/admin"))
    assert "h100: $1.25" in shown
    assert "2026-12-24 00:00 to 2026-12-27 08:00 UTC, Christmas" in shown
    assert "PUT /api/v1/admin/limits/price_ceiling_usd_per_gpu_hour" in shown


def test_the_storage_is_shown_table_by_table_with_the_jobs_that_keep_it(console: Console) -> None:
    assert "Not read yet" in words_in(_storage.show_storage(None))
    now = context().wall.now()
    read = storage.read_storage(console.store, now=now - timedelta(hours=12))
    grown = [replace(each, measured_at=now, size_bytes=each.size_bytes + 2**20) for each in read]
    run = UpkeepRun(
        job="merge_days", outcome="failed", detail="OSError: the disk is full", row_count=0,
        started_at=now - timedelta(minutes=5), duration_seconds=1.5,
    )  # fmt: skip
    console.store.append([*read, *grown, run])
    shown = words_in(_storage.show_storage(None))
    assert "+2.0 MiB" in shown, "a MiB in half a day"
    assert "merge days" in shown
    assert "OSError: the disk is full" in shown
    assert "1 failed" in shown
    file, told = _storage.download_storage(1)
    assert file["content"].count("\n") == len(read) + 1
    assert told[0]["title"] == "Downloaded"
    assert _storage.download_storage(None) == (no_update, no_update)


def test_a_size_is_told_in_the_unit_that_fits() -> None:
    sizes = (0, 1023, 1536, 85_000_000, 3 * 2**40)
    assert [_storage.size(each) for each in sizes] == [
        "0 B", "1023 B", "1.5 KiB", "81.1 MiB", "3.0 TiB",
    ]  # fmt: skip
