"""Consoles and collectors on one shared warehouse, each started as an operator starts it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.journeys.conftest import NO_MARKET, PASSWORD, ROOT, RunningConsole, serving
from tests.journeys.test_starting import SMALL, refused
from tests.servers.places import *  # noqa: F403
from tests.servers.places import SharedPlace

Start = Callable[..., RunningConsole]
LEADS = r"This console leads\."


def shared_console(start: Start, place: SharedPlace, home: Path, *flags: str) -> RunningConsole:
    return start(*flags, home=home, PILOTHOUSE_ADMIN_PASSWORD=PASSWORD, **place.variables)


def led_by(console: RunningConsole) -> str | None:
    health = console.client().get("/api/v1/health").raise_for_status().json()
    found: str | None = health["led_by"]
    return found


def test_of_two_consoles_one_leads_and_when_it_is_killed_the_other_takes_over(
    start: Start, shared_place: SharedPlace, tmp_path: Path
) -> None:
    first = shared_console(start, shared_place, tmp_path / "a", "--fleet", "none")
    serving(first, LEADS)
    second = shared_console(start, shared_place, tmp_path / "b", "--fleet", "none")
    serving(second, r"This console looks on; \S+ leads\.")
    assert led_by(second)
    assert led_by(first) is None
    said = second.client().put(
        "/api/v1/admin/modes/scale_up", json={"mode": "shadow", "reason": "said to the other"}
    )
    said.raise_for_status()
    modes = first.client().get("/api/v1/admin/modes").raise_for_status().json()
    assert modes["scale_up"] == "shadow"
    first.process.send_signal(signal.SIGKILL)
    second.wait_for(LEADS)
    assert led_by(second) is None
    for console in (first, second):
        assert shared_place.variables["PILOTHOUSE_S3_SECRET"] not in "".join(console.said)


def test_a_simulated_fleet_is_played_by_one_and_others_look_on(
    start: Start, shared_place: SharedPlace, tmp_path: Path
) -> None:
    player = serving(shared_console(start, shared_place, tmp_path / "a", *SMALL))
    onlooker = shared_console(start, shared_place, tmp_path / "b", "--fleet", "none")
    second_player = shared_console(start, shared_place, tmp_path / "c", *SMALL)
    serving(onlooker, r"This console looks on; \S+ leads\.")
    pools = onlooker.client().get("/api/v1/fleet/pools").raise_for_status().json()["items"]
    assert len(pools) == 4
    words = refused(second_player)
    assert "set PILOTHOUSE_FLEET=none to look on and take approvals here" in words
    assert led_by(player) is None


def collector(variables: dict[str, str], home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", str(ROOT / "app.py"), "collector", "--home", str(home)],
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), **NO_MARKET, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_collector_alone_collects_into_a_shared_warehouse_and_ends_when_it_is_told(
    shared_place: SharedPlace, tmp_path: Path
) -> None:
    with collector(shared_place.variables, tmp_path) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("Collecting by ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_a_collector_alone_is_refused_on_a_warehouse_of_one_process(
    tmp_path: Path,
) -> None:
    with collector({}, tmp_path) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.startswith("pilothouse: a warehouse in a folder is one process's")
    assert said.count("\n") == 1
