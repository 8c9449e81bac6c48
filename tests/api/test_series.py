"""/api/v1/metrics and /api/v1/fleet/capacity: what programs read of the fleet."""

from __future__ import annotations

from datetime import timedelta

from tests.api.conftest import Console
from tests.makers import NOON, make_node, make_pool_state
from warehouse.series import METRICS


def test_the_metrics_are_listed_with_their_names_elsewhere(console: Console) -> None:
    listed = console.program("viewer").get("/api/v1/metrics").json()
    assert listed["total"] == len(METRICS)
    by_name = {row["name"]: row for row in listed["items"]}
    assert by_name["utilisation_ratio"]["dcgm"] == "DCGM_FI_DEV_GPU_UTIL"
    assert by_name["utilisation_ratio"]["otel"] == "hw.gpu.utilization"
    assert by_name["queued_jobs"]["entities"] == ["pool", "fleet"]


def test_a_series_comes_by_entity_span_and_step(console: Console) -> None:
    console.store.append(
        make_pool_state(queued_jobs=minutes, measured_at=NOON - timedelta(minutes=minutes))
        for minutes in (1, 2, 3)
    )
    viewer = console.program("viewer")
    found = viewer.get("/api/v1/metrics/queued_jobs", params={"step_seconds": 60}).json()
    assert [point["value"] for point in found["points"]] == [3.0, 2.0, 1.0]
    assert (found["entity"], found["unit"]) == ("fleet", "{job}")
    nothing = viewer.get("/api/v1/metrics/queued_jobs", params={"entity": "pool:' OR 1=1 --"})
    assert nothing.json()["points"] == []


def test_what_can_not_be_asked_is_told(console: Console) -> None:
    viewer = console.program("viewer")
    assert viewer.get("/api/v1/metrics/nothing").status_code == 404
    for wrong in (
        {"entity": "planet:earth"},
        {"entity": "gpu:x"},
        {"step_seconds": 61},
        {"since": "yesterday"},
        {"since": (NOON + timedelta(days=1)).isoformat()},
    ):
        answer = viewer.get("/api/v1/metrics/queued_jobs", params=wrong)
        assert answer.status_code == 422, wrong
        assert answer.headers["content-type"] == "application/problem+json"


def test_capacity_is_told_by_pool_and_by_node(console: Console) -> None:
    console.store.append([make_node(node_id="n-1", gpu_count=8, gpus_used=3)])
    viewer = console.program("viewer")
    (pool,) = viewer.get("/api/v1/fleet/capacity").json()["items"]
    assert (pool["gpus_delivered"], pool["gpus_healthy"], pool["gpus_reserved"]) == (8, 8, 3)
    (node,) = viewer.get("/api/v1/fleet/capacity?by=node").json()["items"]
    assert (node["node_id"], node["gpus_in_use"]) == ("n-1", None)
