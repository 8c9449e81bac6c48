"""A browser for pages that fill in their prices by script: Playwright's Chromium, if there is one.

Playwright is imported only where a page is read; nothing else here needs it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from collectors.base import NotHere, Unreachable

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-background-networking", "--disable-gpu")
"""Without a sandbox, since it has none in most containers: it reads three pages and runs apart."""
SETTLE_LIMIT_SECONDS = 10.0
"""How long the prices may take to appear in a page that is there."""


@dataclass(frozen=True)
class Page:
    """A page as it stands after its scripts have run."""

    status: int
    html: str


class PageReader(Protocol):
    """Reads pages."""

    def read(self, url: str, ready: str) -> Page:
        """The page, once something that the CSS selector `ready` names is in it, or time is up.

        Raises:
            Unreachable: it can't be had.
        """
        ...


def browser_path(given: str) -> str | None:
    """The browser to be used; an empty text is Playwright's own, None is that there is none."""
    if given:
        return given if Path(given).is_file() else None
    if found := next((path for name in BROWSERS if (path := shutil.which(name))), None):
        return found
    home = os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright"
    return "" if any(Path(home).glob("chromium*")) else None


def why_no_browser(given: str) -> str | None:
    """Why pages can't be read here; None where they can."""
    if find_spec("playwright") is None:
        return "Playwright isn't installed, so pricing pages aren't read: pip install playwright"
    if browser_path(given) is None:
        named = f"there is no browser at {given}" if given else "there is no Chromium on this host"
        return (
            f"{named}, so pricing pages aren't read: install one, or name it in "
            "PILOTHOUSE_PRICING_PAGES_BROWSER"
        )
    return None


@contextmanager
def chromium(given: str, user_agent: str, limit_seconds: float) -> Iterator[PageReader]:
    """A browser that says who we are, closed at the end.

    Raises:
        NotHere: there is none, or it doesn't start.
    """
    if why := why_no_browser(given):
        raise NotHere(why)
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=browser_path(given) or None, args=list(FLAGS)
            )
        except Error as error:
            raise NotHere(
                f"the browser doesn't start ({_first_line(error)}): try it by hand, or name "
                "another in PILOTHOUSE_PRICING_PAGES_BROWSER"
            ) from error
        try:
            yield _ChromiumReader(browser, user_agent, limit_seconds)
        finally:
            browser.close()


class _ChromiumReader:
    def __init__(self, browser: object, user_agent: str, limit_seconds: float) -> None:
        self._browser = browser
        self._user_agent = user_agent
        self._limit_seconds = limit_seconds

    def read(self, url: str, ready: str) -> Page:
        """As `PageReader` says."""
        from playwright.sync_api import Browser, Error, TimeoutError

        assert isinstance(self._browser, Browser)
        context = self._browser.new_context(user_agent=self._user_agent)
        try:
            page = context.new_page()
            response = page.goto(
                url, wait_until="domcontentloaded", timeout=1000.0 * self._limit_seconds
            )
            try:
                settle_seconds = min(SETTLE_LIMIT_SECONDS, self._limit_seconds)
                page.wait_for_selector(ready, state="attached", timeout=1000.0 * settle_seconds)
            except TimeoutError:
                pass  # what the page lacks is for its layout to say
            return Page(response.status if response else 0, page.content())
        except Error as error:
            raise Unreachable(f"{url} can't be read ({_first_line(error)})") from error
        finally:
            context.close()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
