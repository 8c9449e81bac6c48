"""Every page in a real browser: its first figure, when it is whole, and its callbacks.

    python benchmarks/pages.py
    python app.py generate --home /data/large --days 90 --gpus 1000
    python benchmarks/pages.py --home /data/large

Starts the console as a user does: on a home that is given, or on a new one with 14 days of history,
of the Philly trace where ../shared/traces is beside the project (1,200 GPUs, leased ones included),
else of the default fleet (512 GPUs). Each paint is taken in a fresh browser context, nothing being
cached, from asking for the page until its main part shows a figure, and until nothing in it is
marked as busy any more. Callbacks are timed by the browser, from sending to the last byte, while
the page is left open, refreshes itself and the fleet runs live; nothing that an earlier visit asked
within moments is kept any more. The aims are for the first figure and for callbacks; when a page is
whole is told beside them.
"""

from __future__ import annotations

import argparse
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
from pages._context import MOMENT_SECONDS

ROOT = Path(__file__).resolve().parents[1]
TRACE = ROOT.parent / "shared" / "traces" / "philly_jobs.parquet"
PASSWORD = "a-long-enough-password"
PAINTS = 6
WATCHED_MILLISECONDS = 15_000
FORGOTTEN_SECONDS = MOMENT_SECONDS + 1
PAINT_AIM, CALLBACK_AIM = 1500, 200
"""milliseconds"""
PATHS = (
    "/",
    "/fleet",
    "/jobs",
    "/market",
    "/benchmarks",
    "/decisions",
    "/engine",
    "/finance",
    "/tenants",
    "/sql",
    "/admin",
)
_LOOK = """() => {
    const main = document.getElementById("shell-main");
    const said = main ? main.innerText.trim() : "";
    const busy = main ? [...main.querySelectorAll('[aria-busy="true"]')] : [];
    const isWhole = said.length > 40 && !busy.some((each) => each.checkVisibility());
    return %s;
}"""
SHOWS_FIGURE = _LOOK % "isWhole || /[0-9]/.test(said)"
"""Or is whole: a page with nothing to decide has no figure."""
IS_WHOLE = _LOOK % "isWhole"


MARKET_SOURCES = ("HYPERSCALERS", "PRICING_PAGES", "RUNPOD", "VAST")
"""Switched off: what is measured is the console, and nothing goes out to the network."""


def start_console(home: str, flags: list[str]) -> tuple[subprocess.Popen[str], str]:
    """A console that runs live, and its address."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), "--home", home, "--port", "0", *flags],
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
    page.wait_for_function(IS_WHOLE)
    state = context.storage_state()
    context.close()
    return dict(state)


def paint_milliseconds(context: BrowserContext, url: str) -> tuple[float, float]:
    """From asking for the page to a figure in it, and to the whole of it."""
    page = context.new_page()
    start = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_function(SHOWS_FIGURE)
    shown = time.perf_counter()
    page.wait_for_function(IS_WHOLE)
    whole = time.perf_counter()
    context.close()
    return (shown - start) * 1000, (whole - start) * 1000


def callback_milliseconds(context: BrowserContext, url: str) -> list[float]:
    """Every callback of a page that is left open."""
    taken: list[float] = []

    def note(request: Request) -> None:
        if "_dash-update-component" in request.url:
            timing = request.timing
            taken.append(timing["responseEnd"] - timing["requestStart"])

    page = context.new_page()
    page.on("requestfinished", note)
    page.goto(url)
    page.wait_for_timeout(WATCHED_MILLISECONDS)
    context.close()
    return [each for each in taken if each >= 0]


def measure(browser: Browser, address: str, paths: list[str]) -> None:
    """Print three rows a page."""
    state = signed_in(browser, address)

    def context() -> BrowserContext:
        return browser.new_context(
            storage_state=state,  # type: ignore[arg-type]
            viewport={"width": 1440, "height": 900},
        )

    for path in paths:
        url = f"{address}{path}"
        paints = [paint_milliseconds(context(), url) for _ in range(PAINTS)]
        row(f"{path}: first figure, nothing cached", [shown for shown, _ in paints], PAINT_AIM)
        row(f"{path}: whole, nothing cached", [whole for _, whole in paints])
        time.sleep(FORGOTTEN_SECONDS)
        if taken := callback_milliseconds(context(), url):
            row(f"{path}: callbacks", taken, CALLBACK_AIM)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--home", help="a home with a past; without it one is made and thrown away")
    parser.add_argument("paths", nargs="*", default=list(PATHS), help="pages, as /fleet; else all")
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        is_traced = TRACE.exists() and not given.home
        console, address = start_console(
            given.home or made, ["--trace", str(TRACE)] if is_traced else []
        )
        print(given.home or ("the Philly trace" if is_traced else "the default fleet"))
        try:
            browser = playwright.chromium.launch(
                executable_path=os.environ.get("PILOTHOUSE_TEST_CHROMIUM")
                or shutil.which("chromium"),
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
            measure(browser, address, given.paths)
            browser.close()
        finally:
            console.terminate()
            console.wait()


if __name__ == "__main__":
    main()
