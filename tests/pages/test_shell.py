"""The frame: what it says of the fleet, of alarms, of errors; the rules that all pages keep."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.makers import NOON, make_decision
from tests.pages.conftest import Console, ids_in, words_in
from warehouse import controls, decisions

PAGES = Path(__file__).resolve().parents[2] / "pages"
ASSETS = PAGES / "assets"


def test_the_banner_says_that_the_fleet_is_simulated_and_whence_its_work_comes(
    console: Console,
) -> None:
    frame = words_in(console.client.get("/_dash-layout").json())
    assert "Simulated fleet" in frame
    assert "made for a test" in frame
    assert "Mon 2 Nov 12:00 UTC" in frame


def test_while_history_loads_the_banner_says_how_far_it_is(loading: Console) -> None:
    sent = loading.call("shell-alarms.children", {})["response"]
    assert "43 %" in words_in(sent["shell-time"]["children"])
    assert sent["shell-history-bar"]["style"] == {"width": "43.0%"}


def test_the_menu_counts_what_waits_and_alarms_are_raised(console: Console) -> None:
    decisions.propose(console.store, make_decision())
    controls.set_kill_switch(console.store, True, by="mara", reason="drill", now=NOON)
    sent = console.call("shell-alarms.children", {})["response"]
    assert sent["shell-waiting"]["children"] == "1"
    assert "Kill switch is on" in words_in(sent["shell-alarms"]["children"])


def test_an_operator_sets_the_speed_and_a_viewer_does_not(console: Console) -> None:
    def asked() -> str:
        sent = console.call(
            "shell-notices.sendNotifications", {"shell-speed.value": "60"}, "shell-speed.value"
        )
        return json.dumps(sent)

    with console.asked_by("viewer"):
        assert "Not done" in asked()
    assert controls.fleet_speed(console.store) is None
    with console.asked_by("operator"):
        assert "Speed set" in asked()
    assert controls.fleet_speed(console.store) == 60.0


@pytest.mark.parametrize(
    ("ends_at", "said"),
    [("2026-11-02T14:30:00+01:00", "13:30 UTC"), ("2026-11-04T08:00:00Z", "4 Nov 08:00 UTC")],
)
def test_a_freeze_that_holds_is_an_alarm_and_one_to_come_is_not(
    console: Console, ends_at: str, said: str
) -> None:
    def alarms_at(starts_at: str) -> str:
        window = {"starts_at": starts_at, "ends_at": ends_at}
        controls.set_limit(
            console.store, "freeze_windows", [window], by="mara", reason=None, now=NOON
        )
        sent = console.call("shell-alarms.children", {})["response"]
        return words_in(sent["shell-alarms"]["children"])

    assert f"Frozen until {said}" in alarms_at("2026-11-02T12:00:00Z")
    assert "Frozen" not in alarms_at("2026-11-02T12:00:01Z")


def test_a_fleet_that_stopped_is_an_alarm_and_not_said_to_be_loading(loading: Console) -> None:
    loading.status = replace(loading.status, failure="the disk is full")
    sent = loading.call("shell-alarms.children", {})["response"]
    assert "Simulated fleet stopped" in words_in(sent["shell-alarms"]["children"])
    told = "The simulated fleet stopped: the disk is full"
    assert told in words_in(sent["shell-time"]["children"])
    empty = json.dumps(loading.call("overview-tiles.children", {})["response"])
    assert told in empty
    assert "istory is loading" not in json.dumps(sent) + empty


def test_a_speed_set_elsewhere_is_shown_and_not_set_again(console: Console) -> None:
    controls.set_fleet_speed(console.store, 45.0, by="robot", now=NOON, via="api")
    seen = {"shell-speed-seen.data": 30.0}
    sent = console.call("shell-speed-box.children", seen, "shell-tick.n_intervals")["response"]
    assert sent["shell-speed-box"]["children"]["props"]["value"] == "45"
    assert "45×" in json.dumps(sent, ensure_ascii=False)
    console.call(
        "shell-notices.sendNotifications", {"shell-speed.value": "45"}, "shell-speed.value"
    )
    assert controls.control_history(console.store)["set_by"].to_list() == ["robot"]
    again = {"shell-speed-seen.data": sent["shell-speed-seen"]["data"]}
    sent = console.call("shell-speed-box.children", again, "shell-tick.n_intervals")
    assert sent["response"] == {}


def test_a_callback_that_fails_tells_the_person_and_leaves_the_page_as_it_is(
    console: Console,
) -> None:
    console.store.query("SELECT 1")
    console.store.close()
    sent = console.call("overview-tiles.children", {})
    assert "overview-tiles" not in sent.get("response", {})
    told = sent["sideUpdate"]["shell-notices"]["sendNotifications"][0]
    assert "could not be brought up to date" in told["title"]
    assert "tried again" in told["message"]


def test_every_component_id_begins_with_its_page(console: Console) -> None:
    houses = (
        "shell-",
        "overview-",
        "fleet-",
        "jobs-",
        "tenants-",
        "decisions-",
        "engine-",
        "market-",
        "benchmarks-",
        "finance-",
        "sql-",
        "admin-",
        "_pages_",
    )
    paths = "/ /fleet /jobs /tenants /decisions /engine /market /benchmarks /finance /sql /admin"
    for path in paths.split():
        name = path.strip("/") or "overview"
        strangers = {each for each in ids_in(console.open(path)) if not each.startswith(f"{name}-")}
        assert not strangers
    assert all(each.startswith(houses) for each in console.layout_ids())


def test_every_callback_writes_to_something_that_some_page_has(console: Console) -> None:
    drawn_later = {
        "overview-approve", "decisions-approve", "decisions-parameters", "decisions-reason",
        "decisions-confirm", "decisions-parameter", "admin-kill", "admin-breaker",
        "engine-back", "market-propose",
        "sql-cancel", "sql-grid", "sql-plot", "sql-kind", "sql-x", "sql-y", "sql-colour",
    }  # fmt: skip
    known = console.layout_ids() | drawn_later
    for each in console.callbacks():
        for output in each["output"].strip(".").split("..."):
            name = output.split("@")[0].rsplit(".", 1)[0]
            if name.startswith("{"):
                name = json.loads(name)["type"]
            assert name in known or re.fullmatch("[0-9a-f]{64}", name)  # some write nothing


def test_nothing_is_asked_of_another_machine(console: Console) -> None:
    page = console.client.get("/").text
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    own = [path for path in ASSETS.rglob("*") if path.suffix in {".css", ".js", ".html"}]
    assert own
    assert not [path for path in own if "https://" in path.read_text().replace("http://www.w3", "")]


def test_every_icon_that_is_named_is_there() -> None:
    named = set()
    for path in PAGES.glob("*.py"):
        named |= set(re.findall(r'icon(?:_name)?=?\(?"([a-z0-9-]+)"', path.read_text()))
    assert {"clock", "check", "download"} <= named
    assert not [name for name in named if not (ASSETS / "icons" / f"{name}.svg").exists()]


def test_any_page_may_be_the_first_one_asked_for(console: Console) -> None:
    first = console.client.get("/admin").text
    later = console.client.get("/").text
    wanted = {
        name for name in re.findall(r'assets/[^"?]+', later) if name.endswith((".js", ".css"))
    }
    assert len(wanted) > 3
    assert wanted <= set(re.findall(r'assets/[^"?]+', first))
