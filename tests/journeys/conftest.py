"""A whole console in a process of its own, and a real browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue

import httpx
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "a-long-enough-password"
START_SECONDS = 90
STOP_SECONDS = 30
expect.set_options(timeout=30_000)  # milliseconds; a machine that is shared may be slow
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
]


@dataclass
class RunningConsole:
    """A console that was started as a user starts it."""

    process: subprocess.Popen[str]
    lines: Queue[str]
    said: list[str]
    address: str = ""
    clients: list[httpx.Client] = field(default_factory=list)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first line the console prints that matches, or a failure with all it said."""
        for line in self.said:
            if found := re.search(pattern, line):
                return found
        while True:
            try:
                line = self.lines.get(timeout=START_SECONDS)
            except Empty:
                pytest.fail(f"no line matches {pattern!r} in:\n" + "".join(self.said))
            if line == "":
                pytest.fail(f"the console ended before {pattern!r}:\n" + "".join(self.said))
            self.said.append(line)
            if found := re.search(pattern, line):
                return found

    def run_on(self, seconds: float) -> None:
        """Let the console work undisturbed for so long; a failure if it ends."""
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return
        pytest.fail("the console ended:\n" + "".join(self.said))

    def client(self) -> httpx.Client:
        """A program's client, signed in by password for a bearer token."""
        client = httpx.Client(base_url=self.address, timeout=30)
        self.clients.append(client)
        answer = client.post(
            "/api/v1/sign-in", json={"user_name": "admin", "password": PASSWORD}
        ).raise_for_status()
        client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        return client


NO_MARKET = {
    f"PILOTHOUSE_{source}_ENABLED": "false"
    for source in ("HYPERSCALERS", "PRICING_PAGES", "RUNPOD", "VAST")
}
"""Nothing in these tests goes out to the network; Lambda isn't asked without a key."""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningConsole]]:
    """Start consoles with flags; they are stopped at the end as Ctrl-C stops them."""
    running: list[RunningConsole] = []

    def starting(*flags: str, home: Path | None = None, **variables: str) -> RunningConsole:
        command = [sys.executable, str(ROOT / "app.py"), "--port", "0"]
        process = subprocess.Popen(
            [*command, "--home", str(home or tmp_path / "home"), *flags],
            cwd=tmp_path,
            env={**os.environ, **NO_MARKET, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        console = RunningConsole(process, Queue(), [])
        running.append(console)
        threading.Thread(target=_read, args=(console,), daemon=True).start()
        return console

    yield starting
    for console in running:
        for client in console.clients:
            client.close()
        try:
            if console.process.poll() is None:
                console.process.send_signal(signal.SIGINT)
            console.process.wait(timeout=STOP_SECONDS)
        finally:
            console.process.kill()
        assert console.process.stdout
        console.process.stdout.close()


def _read(console: RunningConsole) -> None:
    assert console.process.stdout
    for line in console.process.stdout:
        console.lines.put(line)
    console.lines.put("")


@pytest.fixture
def console(start: Callable[..., RunningConsole]) -> RunningConsole:
    """A console on a small, repeatable history, whose admin has a password; it is morning."""
    return serving(
        start(
            *("--history-days", "3", "--live-from", "2026-11-02T14:00:00Z", "--speed", "60"),
            PILOTHOUSE_ADMIN_PASSWORD=PASSWORD,
        )
    )


def serving(console: RunningConsole, says: str = "The fleet runs live") -> RunningConsole:
    """The console once it has said where it is and that its fleet is steered."""
    console.address = console.wait_for(r"Pilothouse is at (http://\S+?)/?\s").group(1)
    console.wait_for(says)
    return console


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = os.environ.get("PILOTHOUSE_TEST_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield launched
        launched.close()
