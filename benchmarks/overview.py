"""The Overview page in a real browser: first meaningful paint, and its callbacks.

    python benchmarks/overview.py

Starts the console as a user does, with 14 days of history: on the Philly trace where
../shared/traces is beside the project (1,200 GPUs, leased ones included), else on the default
fleet (512 GPUs). A paint is the time from asking for the page to the first tile that shows a
figure, in a fresh browser context each time: nothing is cached. Callbacks are timed by the browser,
from sending to the last byte, while the page refreshes itself and the fleet runs live.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Request, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._timing import machine, row

ROOT = Path(__file__).resolve().parents[1]
TRACE = ROOT.parent / "shared" / "traces" / "philly_jobs.parquet"
PASSWORD = "a-long-enough-password"
PAINTS = 12
WATCHED_MILLISECONDS = 60_000
TILE_WITH_FIGURE = "#overview-tiles >> text=/[0-9]/"


MARKET_SOURCES = ("HYPERSCALERS", "PRICING_PAGES", "RUNPOD", "VAST")
"""Switched off: what is measured is the console, and nothing goes out to the network."""


def start_console(home: str) -> tuple[subprocess.Popen[str], str]:
    """A console that runs live, and its address."""
    trace = ["--trace", str(TRACE)] if TRACE.exists() else []
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), "--home", home, "--port", "0", *trace],
        env={
            **os.environ,
            "PILOTHOUSE_ADMIN_PASSWORD": PASSWORD,
            **dict.fromkeys((f"PILOTHOUSE_{name}_ENABLED" for name in MARKET_SOURCES), "false"),
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    address = ""
    for line in process.stdout:
        if found := re.search(r"is at (http://\S+?)/?\s", line):
            address = found.group(1)
        if "runs live" in line:
            return process, address
    raise RuntimeError("the console ended before its fleet ran live")


def signed_in(browser: Browser, address: str) -> dict[str, object]:
    """What a browser keeps of a sign-in."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}/sign-in")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.locator(TILE_WITH_FIGURE).first.wait_for()
    state = context.storage_state()
    context.close()
    return dict(state)


def paint_milliseconds(context: BrowserContext, address: str) -> float:
    """From asking for the page to a tile with a figure in it."""
    page = context.new_page()
    start = time.perf_counter()
    page.goto(f"{address}/", wait_until="commit")
    page.locator(TILE_WITH_FIGURE).first.wait_for()
    taken = (time.perf_counter() - start) * 1000
    context.close()
    return taken


def callback_milliseconds(context: BrowserContext, address: str) -> list[float]:
    """Every callback of an Overview that is left open."""
    taken: list[float] = []

    def note(request: Request) -> None:
        if "_dash-update-component" in request.url:
            timing = request.timing
            taken.append(timing["responseEnd"] - timing["requestStart"])

    page = context.new_page()
    page.on("requestfinished", note)
    page.goto(f"{address}/")
    page.wait_for_timeout(WATCHED_MILLISECONDS)
    context.close()
    return [each for each in taken if each >= 0]


def main() -> None:
    """Print the table."""
    print(machine())
    print("the Philly trace" if TRACE.exists() else "the default fleet: ../shared is not here")
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        console, address = start_console(home)
        try:
            browser = playwright.chromium.launch(
                executable_path=os.environ.get("PILOTHOUSE_TEST_CHROMIUM")
                or shutil.which("chromium"),
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
            state = signed_in(browser, address)

            def context() -> BrowserContext:
                return browser.new_context(
                    storage_state=state,  # type: ignore[arg-type]
                    viewport={"width": 1440, "height": 900},
                )

            paints = [paint_milliseconds(context(), address) for _ in range(PAINTS)]
            row("Overview: first meaningful paint, nothing cached", paints, 1500)
            row("Overview: callbacks", callback_milliseconds(context(), address), 200)
            browser.close()
        finally:
            console.terminate()
            console.wait()


if __name__ == "__main__":
    main()
