"""An analyst's afternoon: every example gives rows on a fresh fleet, and one's own question too."""

from __future__ import annotations

import time

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.journeys.conftest import PASSWORD, RunningConsole
from warehouse.analyst_examples import EXAMPLES

PATIENCE_SECONDS = 180.0
"""For what the engine does by itself after its start: decisions, refusals, forecasts. A machine
that is shared takes its time, and each question asked costs it some."""
ASK_AGAIN_SECONDS = 2.0


def rows_of(client: httpx.Client, sql: str) -> int:
    told = client.post("/api/v1/sql", json={"sql": sql})
    assert told.status_code == 200, told.text
    assert told.json()["cut"] == ""
    return int(told.json()["row_count"])


@pytest.mark.browser
@pytest.mark.timeout(420)
def test_examples_give_rows_and_a_question_of_ones_own_becomes_a_picture(
    console: RunningConsole, browser: Browser
) -> None:
    client = console.client()
    deadline = time.monotonic() + PATIENCE_SECONDS
    for example in EXAMPLES:
        while not (found := rows_of(client, example.sql)) and time.monotonic() < deadline:
            console.run_on(ASK_AGAIN_SECONDS)
        assert found, example.title
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{console.address}/sign-in?next=%2Fsql")
    page.locator("input[name=user_name]").fill("admin")
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("button").first.click()
    editor = page.locator("textarea#sql-q")
    editor.fill("SELECT pool, max(gpus_on) AS gpus FROM pool_states GROUP BY pool ORDER BY pool")
    editor.press("Control+Enter")
    expect(page.get_by_text("data as of")).to_be_visible()
    expect(page.locator(".sql-grid").get_by_text("h100-us-east")).to_be_visible()
    assert "max%28gpus_on%29" in page.url
    page.get_by_role("tab", name="Plot").click()
    expect(page.locator(".sql-plot .recharts-bar-rectangle").first).to_be_visible()
    editor.fill("SELECT gpuz FROM pool_states")
    editor.press("Control+Enter")
    expect(page.get_by_text("LINE 1: SELECT gpuz")).to_be_visible()
    editor.fill("SELECT count(*) FROM range(10000000) a, range(10000000) b")
    editor.press("Control+Enter")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Nothing of it was kept")).to_be_visible()
    page.get_by_text("My last questions").click()
    page.get_by_role("listitem").filter(has_text="SELECT gpuz").click()
    expect(editor).to_have_value("SELECT gpuz FROM pool_states")
    assert all(url.startswith((console.address, "data:", "blob:")) for url in asked)
    page.close()
