"""The Fleet page's map and drawer in a real browser: GPUs that are whole, cut up and shared."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from playwright.sync_api import Page, expect, sync_playwright

from tests.makers import make_gpu_sample, make_gpu_share, make_node, make_pool
from tests.pages.conftest import Console

pytestmark = pytest.mark.browser
NOBODY = {"job_id": None, "tenant": None}


@pytest.fixture
def address(console: Console) -> Iterator[str]:
    """Where the pages are served that the other tests ask in memory."""
    part = {"parent_gpu_id": "gpu-1", "slot": 1, "sharing": "mig", "utilisation_ratio": None}
    gpus = [
        make_gpu_sample(sharing="whole"),
        make_gpu_sample(gpu_id="gpu-1", slot=1, sharing="mig", utilisation_ratio=None, **NOBODY),
        make_gpu_sample(gpu_id="mig-a", mig_profile="3g.40gb", **part, **NOBODY),
        make_gpu_sample(gpu_id="gpu-2", slot=2, sharing="time_sliced", **NOBODY),
    ]
    held = make_gpu_share(gpu_id="mig-a", sharing="mig", share_ratio=3 / 7, pod="train-0")
    turns = [make_gpu_share(gpu_id="gpu-2", pod=f"serve-{n}", tenant="red") for n in range(2)]
    console.store.append([make_pool(), make_node(gpu_count=3), *gpus, held, *turns])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = {"lifespan": "off", "ws": "none", "log_level": "error"}
        server = uvicorn.Server(uvicorn.Config(console.client.app, **settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def page() -> Iterator[Page]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium on this machine")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=flags)
        yield browser.new_page(viewport={"width": 390, "height": 844})
        browser.close()


def test_the_map_marks_shared_gpus_by_form_and_the_drawer_tells_who_holds_them(
    address: str, page: Page
) -> None:
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{address}/fleet")
    node = page.locator("[data-node='node-0']")
    expect(node).to_have_attribute(
        "aria-label", "node-0, active, 3 of 3 GPUs working, 2 of them cut up or shared"
    )
    marks = [node.locator("i").nth(at).get_attribute("data-shared") for at in range(3)]
    assert marks == ["", "mig", "time_sliced"]
    expect(page.locator("#fleet-legend")).to_contain_text("cut up by MIG")
    node.locator("i").nth(2).hover()
    expect(page.locator(".map-tip")).to_contain_text("Time-sliced: 2 holders")
    page.locator("#fleet-search").fill("red")  # a tenant that holds a part is found
    expect(node).to_be_visible()
    node.click()
    drawer = page.locator("#fleet-detail")
    expect(drawer).to_contain_text("GPU 1: cut up by MIG into 1 instance")
    expect(drawer).to_contain_text("3/7")
    expect(drawer).to_contain_text("GPU 2: time-sliced by 4")
    expect(drawer).to_contain_text("blue/serve-1")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert wrong == []
