"""The embedded decision in a real browser, in a frame of a page of another origin."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
import uvicorn
from playwright.sync_api import Browser, FrameLocator, Page, expect, sync_playwright

from tests.api.conftest import Console, MakeConsole
from tests.makers import NOON, make_decision
from warehouse.approval_links import make_link
from warehouse.decisions import decision, propose
from warehouse.people import create_user

pytestmark = pytest.mark.browser
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
ID = "decision-1"
DEMO = Path(__file__).resolve().parents[2] / "docs" / "embed-demo.html"


class Portal(BaseHTTPRequestHandler):
    """Somebody else's page: the demo of the documents, around the link that its query names."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(DEMO.read_bytes())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def portal() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Portal)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05))
    thread.start()
    # By its other name it is another site too, so that no cookie of the console's would come along.
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Served(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, console: Console) -> None:
        given = {"port": 0, "log_level": "error", "lifespan": "off", "ws": "none"}
        super().__init__(uvicorn.Config(console.app, **given))
        self.listens = threading.Event()

    async def startup(self, sockets: object = None) -> None:
        await super().startup()
        self.listens.set()


@contextmanager
def served(console: Console) -> Iterator[str]:
    server = Served(console)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert server.listens.wait(30)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = os.environ.get("PILOTHOUSE_TEST_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def framed(
    make_console: MakeConsole, browser: Browser
) -> Iterator[Callable[[str, bool], tuple[Console, Page, FrameLocator]]]:
    """A page of the portal around a link of this right; whether its origin is listed."""
    with portal() as origin:
        opened = []

        def show(right: str, is_listed: bool) -> tuple[Console, Page, FrameLocator]:
            origins = (origin if is_listed else "https://elsewhere.example.org",)
            console = make_console(embed_origins=origins)
            create_user(console.store, console.office.passwords, "ann", "operator", now=NOON)
            propose(console.store, make_decision())
            link = make_link(
                *(console.store, ID),
                right="sign_in" if right == "sign_in" else "single_use",
                made_by="ann",
                speaks_for="ann",
                validity=timedelta(hours=1),
                now=NOON,
                decided_at=NOON,
            )
            opened.append(serving := served(console))
            address = serving.__enter__()
            size = {"width": 352, "height": 900}  # a frame of 320
            page = browser.new_page(color_scheme="dark", viewport=size)
            signed = console.office.links.signed(link)
            link_url = f"{address}/embed/decisions/{ID}?link={signed}"
            page.goto(f"{origin}/embed-demo.html?link={quote(link_url, safe='')}")
            return console, page, page.frame_locator("iframe")

        yield show
        for serving in opened:
            serving.__exit__(None, None, None)


def test_one_approves_in_the_frame_of_a_listed_origin(framed: Callable[..., object]) -> None:
    console, page, frame = framed("single_use", True)
    expect(frame.get_by_role("heading")).to_have_text(make_decision().summary)
    width = frame.locator("html").evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert width[0] <= width[1] <= 320
    frame.get_by_label("Reason").fill("the queue is long")
    frame.get_by_role("button", name="Approve").click()
    expect(frame.get_by_role("status")).to_have_text(
        "Decided by ann: approved; it is about to be carried out."
    )
    said = decision(console.store, ID, now=NOON)
    assert (said.decided_by, said.decided_via) == ("ann", "link")
    assert said.verdict_reason == "the queue is long"
    assert page.context.cookies() == []
    page.close()


def test_a_frame_of_an_origin_that_is_not_listed_shows_nothing(
    framed: Callable[..., object],
) -> None:
    _, page, frame = framed("single_use", False)
    expect(page.get_by_role("heading", name="A portal")).to_be_visible()
    assert page.frames[1].url.startswith("chrome-error:")
    assert frame.get_by_role("button").count() == 0
    assert make_decision().summary not in page.frames[1].content()
    page.close()


def test_a_link_that_asks_for_sign_in_leads_out_of_the_frame(framed: Callable[..., object]) -> None:
    _, page, frame = framed("sign_in", True)
    with page.expect_popup() as popup:
        frame.get_by_role("link", name="Decide in the console").click()
    popup.value.wait_for_url("**/sign-in?next=**")
    expect(popup.value.get_by_label("Name")).to_be_visible()
    expect(frame.get_by_role("heading")).to_have_text(make_decision().summary)
    popup.value.close()
    page.close()
