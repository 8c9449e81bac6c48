"""From the first XID error to the node's return, on Kubernetes, in the browser."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.conftest import PASSWORD, RunningConsole, serving
from tests.journeys.test_approving import sign_in, until
from tests.stand_in import StandIn

pytestmark = [pytest.mark.timeout(900), pytest.mark.browser]

TICK_SECONDS = 0.25
POOLS = """
[pools.h100]
owned_idle_usd_per_gpu_hour = 0.3
owned_busy_usd_per_gpu_hour = 0.1
price_usd_per_gpu_hour = 2.6
"""
XID = "NVRM: Xid (PCI:0000:3b:00): 79, pid=4711, GPU has fallen off the bus."
MEND = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"


@pytest.fixture
def cluster() -> Iterator[StandIn]:
    """A cluster that lives by itself: four nodes, two jobs on the first that checkpoint."""
    ended = threading.Event()
    with StandIn(datetime.now(UTC)) as running:
        running.add_namespace("pilothouse")
        running.add_node("gpu-0", pool="h100", region="us-east")
        running.add_job("train", namespace="vision", gpus=4)
        running.add_job("tune", namespace="speech", gpus=2)
        running.settle(4)
        for number in (1, 2, 3):
            running.add_node(f"gpu-{number}", pool="h100", region="us-east")
        living = threading.Thread(target=lambda: _live(running, ended))
        living.start()
        yield running
        ended.set()
        living.join()


def _live(cluster: StandIn, ended: threading.Event) -> None:
    while not ended.wait(TICK_SECONDS):
        cluster.tick(TICK_SECONDS)


@pytest.fixture
def console(
    start: Callable[..., RunningConsole], cluster: StandIn, tmp_path: Path
) -> RunningConsole:
    """A console that steers it; whoever mends nodes there writes their name into a file."""
    (tmp_path / "pools.toml").write_text(POOLS)
    (tmp_path / "mend.py").write_text(MEND)
    mend = f"{sys.executable} {tmp_path / 'mend.py'} {tmp_path / 'mended'} {{node}}"
    return serving(
        start(
            *("--fleet", "kubernetes"),
            PILOTHOUSE_ADMIN_PASSWORD=PASSWORD,
            PILOTHOUSE_KUBERNETES_KUBECONFIG=str(cluster.kubeconfig(tmp_path)),
            PILOTHOUSE_KUBERNETES_POOLS_FILE=str(tmp_path / "pools.toml"),
            PILOTHOUSE_KUBERNETES_EVERY_SECONDS="4",
            PILOTHOUSE_KUBERNETES_WATCH_SECONDS="1",
            PILOTHOUSE_KUBERNETES_REPAIR_COMMAND=mend,
        ),
        says="The cluster is read",
    )


def test_a_node_that_shows_xid_errors_is_emptied_repaired_and_returned(
    console: RunningConsole, cluster: StandIn, browser: Browser, tmp_path: Path
) -> None:
    client, page = console.client(), browser.new_page(viewport={"width": 1440, "height": 900})
    sign_in(page, console.address)
    until(client, "/api/v1/fleet/nodes", lambda answer: answer["total"] == 4)
    _show_xid(cluster, "gpu-0")

    quarantine = _waiting(client, "quarantine_node")
    assert quarantine["target"] == "node/gpu-0"
    assert "XID 79" in quarantine["reason"]
    _approve_in(page, console.address, quarantine, "XID 79")
    emptied = _carried_out(client, quarantine)
    assert [step["step"] for step in emptied["steps"]][:2] == ["cordon", "survey"]
    for job in ("vision/train", "speech/tune"):
        _has_moved(cluster, emptied, job)

    repair = _waiting(client, "repair_node")
    _approve_in(page, console.address, repair, "gpu-0")
    _carried_out(client, repair)
    assert (tmp_path / "mended").read_text() == "gpu-0"
    ended = until(client, "/api/v1/fleet/incidents", _is_returned)["items"][0]
    assert ended["detect_seconds"] < ended["repair_seconds"]
    assert 0 < ended["people_seconds"] < ended["repair_seconds"]
    assert set(ended["decisions"]) == {quarantine["decision_id"], repair["decision_id"]}
    assert "unschedulable" not in cluster.get("/api/v1/nodes/gpu-0")["spec"]
    _incident_is_shown(page, console.address)


def _show_xid(cluster: StandIn, node: str) -> None:
    """As node-problem-detector passes on what the driver wrote into the kernel's log."""
    at = cluster.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    cluster.api().create(
        "/api/v1/namespaces/default/events",
        {
            "metadata": {"name": f"{node}.xid", "namespace": "default"},
            "involvedObject": {"kind": "Node", "name": node},
            "reason": "XIDError",
            "type": "Warning",
            "message": XID,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 3,
        },
    )


def _waiting(client: httpx.Client, action: str) -> dict[str, Any]:
    path = f"/api/v1/decisions?state=waiting&action={action}"
    found = until(client, path, lambda answer: answer["items"])
    item: dict[str, Any] = found["items"][0]
    return item


def _approve_in(page: Page, address: str, decision: dict[str, Any], evidence: str) -> None:
    page.goto(f"{address}/decisions?id={decision['decision_id']}")
    expect(page.get_by_text(decision["summary"]).first).to_be_visible()
    expect(page.get_by_text(re.compile(evidence)).first).to_be_visible()
    page.locator("#decisions-confirm").click()
    expect(page.get_by_text("The engine carries it out at its next tick.")).to_be_visible()


def _carried_out(client: httpx.Client, decision: dict[str, Any]) -> dict[str, Any]:
    path = f"/api/v1/decisions/{decision['decision_id']}"
    done = until(client, path, lambda answer: answer["state"] not in ("approved", "carrying_out"))
    assert done["execution_phase"] == "succeeded", done["execution_detail"]
    found: dict[str, Any] = done
    return found


def _has_moved(cluster: StandIn, deed: dict[str, Any], job_id: str) -> None:
    """It runs elsewhere, and did not lose its work: its checkpoint was asked for and answered."""
    namespace, name = job_id.split("/")
    asked = [s for s in deed["steps"] if s["step"] == "checkpoint" and job_id in s["target"]]
    assert asked[-1]["phase"] == "done"
    pods = cluster.api().get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    nodes = {p["spec"]["nodeName"] for p in pods if p["metadata"]["name"].startswith(name)}
    assert nodes
    assert "gpu-0" not in nodes


def _is_returned(answer: dict[str, Any]) -> bool:
    return bool(answer["items"]) and answer["items"][0]["phase"] == "returned"


def _incident_is_shown(page: Page, address: str) -> None:
    page.goto(f"{address}/fleet?node=gpu-0")
    expect(page.get_by_text("Median time to repair")).to_be_visible()
    expect(page.get_by_text("Without waiting for people").first).to_be_visible()
    expect(page.get_by_text(re.compile("returned", re.IGNORECASE)).first).to_be_visible()
