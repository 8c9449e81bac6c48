"""From a proposal to its realised gain: in the browser, and by the API alone."""

from __future__ import annotations

import re
import threading
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.conftest import PASSWORD, RunningConsole

WAIT_SECONDS = 240
"""A machine that is shared may be many times slower than a laptop."""
pytestmark = pytest.mark.timeout(600)
FAST, SLOW = 600, 20
"""Fleet seconds per second: to bring something about, and while a person thinks."""
HORIZON_SECONDS = 3600


def until(client: httpx.Client, path: str, is_so: Any) -> Any:
    """Ask again until the answer satisfies: the console runs in a process of its own."""
    answer = None
    pause = threading.Event()
    for _ in range(WAIT_SECONDS * 5):
        answer = client.get(path).raise_for_status().json()
        if is_so(answer):
            return answer
        pause.wait(0.2)
    pytest.fail(f"{path} never came to it; last: {answer}")


def set_speed(client: httpx.Client, speed: float) -> None:
    client.put("/api/v1/admin/fleet-speed", json={"speed": speed}).raise_for_status()


def scale_up_waiting(client: httpx.Client) -> dict[str, Any]:
    """A scale-up that waits for a verdict; the fleet runs fast until there is one, then slowly."""
    for limit, seconds, why in (
        ("decision_expiry_seconds", 86_400, "a day of the fleet's time to think in"),
        ("horizon_seconds", HORIZON_SECONDS, "what came of it is known soon"),
    ):
        setting = {"value": seconds, "reason": why}
        client.put(f"/api/v1/admin/limits/{limit}", json=setting).raise_for_status()
    set_speed(client, FAST)
    path = "/api/v1/decisions?state=waiting&action=scale_up"
    found = until(client, path, lambda answer: answer["items"])
    set_speed(client, SLOW)
    return found["items"][0]


def measured(client: httpx.Client, decision_id: str) -> dict[str, Any]:
    set_speed(client, FAST)
    path = f"/api/v1/decisions/{decision_id}"
    return until(client, path, lambda answer: answer["state"] in ("measured", "undone", "failed"))


def assert_carried_out(client: httpx.Client, decision: dict[str, Any]) -> None:
    """The nodes it started are in the fleet's rows, and the gain was measured by the twin."""
    assert decision["execution_phase"] == "succeeded"
    started = set(decision["execution_result"]["node_ids"])
    assert len(started) == decision["parameters"]["nodes"]
    assert decision["outcome_method"] == "twin"
    assert isinstance(decision["realised_gain_usd_per_hour"], float)
    steps = [step["what"] for step in decision["timeline"]]
    assert steps.index("approved") < steps.index("intended") < steps.index("succeeded")
    for node_id in started:
        node = client.get(f"/api/v1/fleet/nodes/{node_id}").raise_for_status().json()
        assert node["state"] in ("provisioning", "active", "off", "down", "cordoned")


@pytest.mark.browser
def test_a_scale_up_is_approved_in_the_browser_carried_out_and_measured(
    console: RunningConsole, browser: Browser
) -> None:
    client = console.client()
    waiting = scale_up_waiting(client)
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    sign_in(page, console.address)
    page.goto(f"{console.address}/decisions?id={waiting['decision_id']}")
    expect(page.get_by_text(waiting["summary"]).first).to_be_visible()
    page.locator("#decisions-confirm").click()
    expect(page.get_by_text("The engine carries it out at its next tick.")).to_be_visible()

    done = measured(client, waiting["decision_id"])
    assert done["decided_by"] == "admin"
    assert done["decided_via"] == "browser"
    assert_carried_out(client, done)
    page.goto(f"{console.address}/decisions?id={waiting['decision_id']}")
    expect(page.get_by_role("heading", name="What came of it")).to_be_visible()
    expect(page.get_by_text(re.compile(r"It (gained|lost) \$")).first).to_be_visible()
    expect(page.get_by_text("expected over").first).to_be_visible()
    assert not errors


def sign_in(page: Page, address: str) -> None:
    page.goto(f"{address}/")
    expect(page).to_have_url(re.compile("/sign-in"))
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{address}/")


def test_a_scale_up_is_approved_by_the_api_carried_out_and_measured(
    console: RunningConsole,
) -> None:
    client = console.client()
    waiting = scale_up_waiting(client)
    path = f"/api/v1/decisions/{waiting['decision_id']}"
    stale = client.post(f"{path}/approve", json={"action_hash": "0" * 64})
    assert stale.status_code == 412
    said = client.post(f"{path}/approve", json={"action_hash": waiting["action_hash"]})
    assert said.raise_for_status().json()["verdict"] == "approve"
    assert client.post(f"{path}/reject", json={"reason": "late"}).status_code == 409
    done = measured(client, waiting["decision_id"])
    assert done["decided_via"] == "api"
    assert_carried_out(client, done)
