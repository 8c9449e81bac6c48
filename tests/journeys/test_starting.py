"""Starting the console: the first sign-in, a restart, a kill, and everything that can be wrong."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import polars as pl
import pytest
from playwright.sync_api import Browser, expect

from tests.journeys.conftest import PASSWORD, RunningConsole, serving

SMALL = ("--history-days", "1", "--live-from", "2026-11-02T14:00:00Z", "--speed", "60")
Start = Callable[..., RunningConsole]


def refused(console: RunningConsole) -> str:
    """What a console that could not start said: one line, and a status that is not 0."""
    assert console.process.wait(timeout=60) == 1
    while (line := console.lines.get(timeout=10)) != "":
        console.said.append(line)
    words = "".join(console.said)
    assert words.startswith("pilothouse: ")
    assert words.count("\n") == 1, words
    return words


@pytest.mark.browser
def test_the_one_time_link_lets_the_admin_in_once(start: Start, browser: Browser) -> None:
    console = start(*SMALL)
    link = console.wait_for(r"Sign in, once, with (\S+)").group(1)
    page = browser.new_page()
    page.goto(link)
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("input[name=repeated]").fill(PASSWORD)
    page.get_by_role("button").first.click()
    expect(page.get_by_text("Overview").first).to_be_visible()
    assert httpx.get(link).status_code == 410


def test_a_restart_after_a_kill_finds_everything(start: Start, tmp_path: Path) -> None:
    first = serving(start(*SMALL, PILOTHOUSE_ADMIN_PASSWORD=PASSWORD))
    client = first.client()
    client.put("/api/v1/admin/fleet-speed", json={"speed": 0}).raise_for_status()
    client.put(
        "/api/v1/admin/modes/scale_up", json={"mode": "shadow", "reason": "to be kept"}
    ).raise_for_status()
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    second = serving(start(*SMALL))
    client = second.client()
    modes = client.get("/api/v1/admin/modes").raise_for_status().json()
    assert modes["scale_up"] == "shadow"
    pools = client.get("/api/v1/fleet/pools").raise_for_status().json()["items"]
    assert len(pools) == 4


def test_a_console_on_a_trace_says_so(start: Start, tmp_path: Path) -> None:
    trace = tmp_path / "mine.parquet"
    write_trace(trace)
    console = serving(start(*SMALL, "--trace", str(trace), PILOTHOUSE_ADMIN_PASSWORD=PASSWORD))
    client = console.client()
    jobs = client.get("/api/v1/jobs").raise_for_status().json()
    assert jobs["total"] > 0
    assert {row["tenant"] for row in jobs["items"]} <= {"vc-a", "vc-b"}


def write_trace(path: Path, **changes: pl.Series) -> None:
    count = 4000
    frame = pl.DataFrame(
        {
            "job_id": [f"job-{n}" for n in range(count)],
            "vc": [("vc-a", "vc-b")[n % 2] for n in range(count)],
            "submitted_at": pl.Series([n * 600_000_000 for n in range(count)]).cast(pl.Datetime),
            "duration_seconds": [3600 + n % 7 * 600 for n in range(count)],
            "gpu_count": [(1, 2, 4, 8)[n % 4] for n in range(count)],
        }
    )
    frame.with_columns(**changes).write_parquet(path)


def test_a_broken_trace_is_named_with_its_column_and_row(start: Start, tmp_path: Path) -> None:
    trace = tmp_path / "broken.parquet"
    write_trace(trace, gpu_count=pl.Series([1] * 17 + [-4] + [1] * 3982))
    words = refused(start(*SMALL, "--trace", str(trace)))
    assert "broken.parquet" in words
    assert "gpu_count" in words
    assert "row 17" in words


def test_a_port_in_use_is_said(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "choose another with --port" in refused(start("--port", str(port)))


def test_a_second_console_on_one_warehouse_is_refused(start: Start, tmp_path: Path) -> None:
    first = start(*SMALL)
    first.wait_for("Pilothouse is at")
    assert "another console has the warehouse" in refused(start(*SMALL))


def test_a_folder_that_cannot_be_written_is_said(start: Start, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert "can't be written" in refused(start(home=blocked / "home"))


def test_a_setting_that_makes_no_sense_is_named(start: Start) -> None:
    assert "PILOTHOUSE_SPEED" in refused(start(PILOTHOUSE_SPEED="soon"))


@pytest.mark.skipif(sys.platform != "linux", reason="sends a Linux signal")
def test_a_termination_ends_it_cleanly(start: Start) -> None:
    console = serving(start(*SMALL))
    os.kill(console.process.pid, signal.SIGTERM)
    assert console.process.wait(timeout=30) == 0


def test_control_c_ends_it_without_a_trace(start: Start) -> None:
    console = serving(start("--fleet", "none"), "Stop it with Ctrl-C")
    os.kill(console.process.pid, signal.SIGINT)
    assert console.process.wait(timeout=30) == 130
    assert "Traceback" not in "".join(console.said)
