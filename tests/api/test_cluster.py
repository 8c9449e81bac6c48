"""What programs read of a Kubernetes cluster."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.api.conftest import Console, MakeConsole
from tests.makers import NOON
from tests.warehouse.test_cluster import make_budget, make_event, make_job, make_node, make_pod
from warehouse.store import Store

CLUSTER = "/api/v1/cluster"


@pytest.fixture
def console(store: Store, make_console: MakeConsole) -> Console:
    ready = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
    about_pod = {"kind": "Pod", "namespace": "team", "object_name": "train-0"}
    store.append(
        [
            make_node(),
            make_node(node_id="n1", is_ready=False, conditions=[ready]),
            make_node(node_id="n2", is_gone=True),
            make_job(),
            make_pod(),
            make_budget(),
            make_event(),
            make_event(uid="e1", happened_at=NOON - timedelta(minutes=5), **about_pod),
        ]
    )
    return make_console()


def test_nodes_are_those_that_are_there_with_their_conditions(console: Console) -> None:
    viewer = console.program("viewer")
    answer = viewer.get(f"{CLUSTER}/nodes").json()
    assert [node["node_id"] for node in answer["items"]] == ["n0", "n1"]
    assert answer["items"][1]["conditions"][0]["status"] == "Unknown"
    ill = viewer.get(f"{CLUSTER}/nodes", params={"is_ready": False}).json()["items"]
    assert [node["node_id"] for node in ill] == ["n1"]
    assert viewer.get(f"{CLUSTER}/nodes/n0").json()["gpu_count"] == 8
    assert viewer.get(f"{CLUSTER}/nodes/n2").status_code == 404


def test_jobs_say_which_nodes_they_hold(console: Console) -> None:
    viewer = console.program("viewer")
    (job,) = viewer.get(f"{CLUSTER}/jobs", params={"state": "running"}).json()["items"]
    assert (job["job_id"], job["node_ids"], job["checkpoints"]) == ("team/train", ["n0"], True)
    assert viewer.get(f"{CLUSTER}/jobs", params={"node_id": "n1"}).json()["total"] == 0
    assert viewer.get(f"{CLUSTER}/jobs", params={"state": "asleep"}).status_code == 422


def test_budgets_have_their_selectors(console: Console) -> None:
    (budget,) = console.program("viewer").get(f"{CLUSTER}/budgets").json()["items"]
    assert budget["selector"] == {"matchLabels": {"app": "train"}}
    assert "is_gone" not in budget


def test_events_are_the_newest_first_and_found_by_their_object(console: Console) -> None:
    viewer = console.program("viewer")
    everything = viewer.get(f"{CLUSTER}/events").json()["items"]
    assert [event["uid"] for event in everything] == ["e0", "e1"]
    about = {"kind": "Pod", "namespace": "team", "name": "train-0"}
    (event,) = viewer.get(f"{CLUSTER}/events", params=about).json()["items"]
    assert event["uid"] == "e1"
    recent = {"since": (NOON - timedelta(minutes=1)).isoformat()}
    assert viewer.get(f"{CLUSTER}/events", params=recent).json()["total"] == 1


def test_nobody_reads_it_without_a_token(console: Console) -> None:
    for what in ("nodes", "jobs", "budgets", "events"):
        assert console.visitor().get(f"{CLUSTER}/{what}").status_code == 401
