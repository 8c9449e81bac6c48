"""What programs read: fleet, jobs, health, metrics, controls."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.conftest import Console, MakeConsole
from tests.makers import (
    NOON,
    POOL,
    make_charge,
    make_decision,
    make_gpu_sample,
    make_job_event,
    make_ledger,
    make_node,
    make_pool,
    make_pool_state,
)
from warehouse.controls import breaker, open_breaker
from warehouse.decisions import propose
from warehouse.records import CollectorRun, NodeHealth, NodeIncident
from warehouse.store import Store

FLEET = "/api/v1/fleet"


def make_run(**changes: object) -> CollectorRun:
    values = {
        "collector": "nvml",
        "outcome": "succeeded",
        "row_count": 8,
        "attempt_count": 1,
        "started_at": NOON - timedelta(seconds=30),
        "duration_seconds": 0.2,
    }
    return CollectorRun(**(values | changes))


@pytest.fixture
def console(store: Store, make_console: MakeConsole) -> Console:
    hour = {"period_starts_at": NOON - timedelta(minutes=30), "period_ends_at": NOON}
    store.append(
        [
            make_pool(),
            make_pool_state(),
            make_node(),
            make_node(node_id="node-1", state="down"),
            make_gpu_sample(),
            make_gpu_sample(gpu_id="gpu-1", slot=1, job_id=None, power_watts=None),
            make_job_event(happened_at=NOON - timedelta(hours=2)),
            make_job_event(
                event="started", node_ids=["node-0"], happened_at=NOON - timedelta(hours=1)
            ),
            make_job_event(job_id="job-2", tenant="red"),
            make_charge(**hour),
            make_ledger(**hour),
            make_run(),
        ]
    )
    return make_console()


def test_pools_say_how_full_they_are_and_how_old_that_is(console: Console) -> None:
    console.clock.turn(timedelta(seconds=90))
    (pool,) = console.program("viewer").get(f"{FLEET}/pools").json()["items"]
    assert pool["pool"] == POOL
    assert pool["utilisation_ratio"] == pytest.approx(200 / 256)
    assert pool["age_seconds"] == 90.0


def test_nodes_are_filtered_and_found_by_name(console: Console) -> None:
    viewer = console.program("viewer")
    assert viewer.get(f"{FLEET}/nodes").json()["total"] == 2
    down = viewer.get(f"{FLEET}/nodes", params={"state": "down"}).json()["items"]
    assert [node["node_id"] for node in down] == ["node-1"]
    assert viewer.get(f"{FLEET}/nodes/node-0").json()["gpu_count"] == 8
    assert viewer.get(f"{FLEET}/nodes/none").json()["title"] == "No such node"
    assert viewer.get(f"{FLEET}/nodes", params={"state": "asleep"}).status_code == 422
    assert viewer.get(f"{FLEET}/nodes", params={"sort": "1; DROP"}).status_code == 422


def make_ill(store: Store) -> None:
    """`node-0` was ill for an hour, and `node-1` has been for 20 minutes."""
    given = {"pool": POOL, "detail": "Node node-1: 1 XID 79 (GPU fell off the bus)"}
    steps = (
        ("a", "node-0", "detected", 120),
        ("a", "node-0", "repairing", 100),
        ("a", "node-0", "returned", 60),
        ("b", "node-1", "detected", 20),
    )
    rows = [
        NodeIncident(
            incident_id=name,
            node_id=node,
            phase=phase,
            onset_at=NOON - timedelta(minutes=125 if name == "a" else 21),
            happened_at=NOON - timedelta(minutes=minutes),
            **given,
        )
        for name, node, phase, minutes in steps
    ]
    evidence = [
        {
            "signal": "xid_79",
            "value": 1,
            "weight_ratio": 0.9,
            "words": "1 XID 79 (GPU fell off the bus)",
            "at": NOON.isoformat(),
        }
    ]
    ill = NodeHealth(
        node_id="node-1",
        pool=POOL,
        health_ratio=0.1,
        is_suspect=True,
        evidence=evidence,
        onset_at=NOON,
        judged_at=NOON,
    )
    store.append([*rows, ill])


def test_a_nodes_health_is_told_with_its_evidence(console: Console) -> None:
    make_ill(console.store)
    viewer = console.program("viewer")
    ill = viewer.get(f"{FLEET}/nodes/node-1/health").json()
    assert (ill["is_suspect"], ill["health_ratio"]) == (True, 0.1)
    assert ill["evidence"][0]["signal"] == "xid_79"
    sound = viewer.get(f"{FLEET}/nodes/node-0/health").json()
    assert (sound["is_suspect"], sound["health_ratio"], sound["evidence"]) == (False, 1.0, [])
    assert viewer.get(f"{FLEET}/nodes/none/health").status_code == 404


def test_incidents_are_told_with_their_durations_open_ones_first(console: Console) -> None:
    viewer = console.program("viewer")
    assert viewer.get(f"{FLEET}/incidents").json()["items"] == []
    make_ill(console.store)
    found = viewer.get(f"{FLEET}/incidents").json()
    assert [each["node_id"] for each in found["items"]] == ["node-1", "node-0"]
    mended = found["items"][1]
    assert (mended["detect_seconds"], mended["repair_seconds"]) == (300.0, 3600.0)
    assert [step["phase"] for step in mended["steps"]] == ["detected", "repairing", "returned"]
    assert found["items"][0]["ended_at"] is None
    since = {"since": (NOON - timedelta(minutes=30)).isoformat()}
    assert viewer.get(f"{FLEET}/incidents", params=since).json()["total"] == 1
    only = viewer.get(f"{FLEET}/incidents", params={"node_id": "node-0"}).json()
    assert only["total"] == 1
    assert viewer.get(f"{FLEET}/incidents", params={"since": "2026-11-02"}).status_code == 422
    gauges = samples_of(viewer.get("/metrics").text)
    assert gauges["pilothouse_nodes_suspect", ()] == 1
    assert gauges["pilothouse_time_to_repair_seconds", ("included",)] == 3600


def test_a_missing_measurement_is_null_and_not_0(console: Console) -> None:
    viewer = console.program("viewer")
    page = viewer.get(f"{FLEET}/gpus", params={"is_held": False}).json()
    (gpu,) = page["items"]
    assert gpu["power_watts"] is None
    assert gpu["job_id"] is None
    assert viewer.get(f"{FLEET}/gpus", params={"limit": 1, "offset": 1}).json()["total"] == 2
    assert viewer.get(f"{FLEET}/gpus", params={"pool": "none"}).json()["items"] == []


def test_jobs_are_told_by_their_events(console: Console) -> None:
    viewer = console.program("viewer")
    running = viewer.get("/api/v1/jobs", params={"state": "running"}).json()["items"]
    assert [job["job_id"] for job in running] == ["job-1"]
    assert running[0]["wait_seconds"] == 3600.0
    assert running[0]["charged_usd"] == 10.0
    assert viewer.get("/api/v1/jobs", params={"tenant": "red"}).json()["total"] == 1
    job = viewer.get("/api/v1/jobs/job-1").json()
    assert [event["event"] for event in job["events"]] == ["submitted", "started"]
    assert job["node_ids"] == ["node-0"]
    assert viewer.get("/api/v1/jobs/none").status_code == 404


def test_health_names_collectors_and_how_new_what_they_brought_is(console: Console) -> None:
    console.readiness.reasons.append("the history is being loaded")
    health = console.program("viewer").get("/api/v1/health").json()
    assert health["is_ready"] is False
    assert health["reasons"] == ["the history is being loaded"]
    assert [each["collector"] for each in health["collectors"]] == ["nvml"]
    assert health["collectors"][0]["age_seconds"] == 30.0
    ages = {each["table_name"]: each["age_seconds"] for each in health["freshness"]}
    assert ages == {"gpu_samples": 0.0, "offers": None, "pool_states": 0.0}


def test_ready_is_said_once_everything_has_started(console: Console) -> None:
    visitor = console.visitor()
    assert visitor.get("/healthz").json() == {"status": "alive"}
    assert visitor.get("/readyz").json() == {"is_ready": True, "reasons": []}
    console.readiness.reasons.append("the scheduler is not running")
    answer = visitor.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["the scheduler is not running"]
    assert visitor.get("/healthz").status_code == 200


def samples_of(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_are_what_the_pages_say_in_base_units(console: Console) -> None:
    propose(console.store, make_decision())
    viewer = console.program("viewer")
    viewer.get(f"{FLEET}/nodes/node-0")
    viewer.get(f"{FLEET}/nodes/node-1")
    answer = viewer.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    found = samples_of(answer.text)
    assert found["pilothouse_gpus", (POOL, "used")] == 200
    assert found["pilothouse_gpus", ("free", POOL)] == 56
    assert found["pilothouse_decisions", ("waiting",)] == 1
    assert found["pilothouse_price_usd_per_gpu_hour", (POOL,)] == 2.5
    assert found["pilothouse_revenue_usd_per_hour", (POOL,)] == 105.0
    ran = NOON - timedelta(seconds=30)
    at = found["pilothouse_collector_last_success_timestamp_seconds", ("nvml",)]
    assert at == ran.timestamp()
    route = ("/api/v1/fleet/nodes/{node_id}", "200", "GET")
    assert found["pilothouse_http_request_duration_seconds_count", route] == 2
    assert all(
        family.documentation and family.name.startswith("pilothouse_")
        for family in text_string_to_metric_families(answer.text)
    )


def test_a_scraper_may_ask_for_open_metrics(console: Console) -> None:
    wanted = {"accept": "application/openmetrics-text; version=1.0.0"}
    answer = console.program("viewer").get("/metrics", headers=wanted)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_metrics_are_open_only_where_that_is_set(
    console: Console, make_console: MakeConsole
) -> None:
    assert console.visitor().get("/metrics").status_code == 401
    opened = make_console(metrics_are_open=True).visitor()
    assert opened.get("/metrics").status_code == 200
    assert opened.get("/api/v1/health").status_code == 401


def test_odd_methods_and_paths_make_no_new_series(console: Console) -> None:
    viewer = console.program("viewer")
    for number in range(20):
        viewer.request(f"ODD{number}", f"/api/v1/{number}")
    series = {key for key in samples_of(viewer.get("/metrics").text) if "other" in key[1]}
    assert len({key for key in series if key[0].endswith("_count")}) == 1


def test_an_admin_sets_modes_limits_and_the_breaker(console: Console) -> None:
    admin = console.program("admin", "root")
    modes = admin.put("/api/v1/admin/modes/scale_up", json={"mode": "autonomous"})
    assert modes.json()["scale_up"] == "autonomous"
    assert admin.put("/api/v1/admin/modes/dance", json={"mode": "off"}).status_code == 422
    assert admin.put("/api/v1/admin/modes/scale_up", json={"mode": "wild"}).status_code == 422
    limits = admin.put("/api/v1/admin/limits/price_step_ratio", json={"value": 0.05})
    assert limits.json()["price_step_ratio"] == 0.05
    assert admin.get("/api/v1/admin/limits").json()["price_step_ratio"] == 0.05
    too_much = admin.put("/api/v1/admin/limits/price_step_ratio", json={"value": 7})
    assert too_much.json()["title"] == "Invalid limit"
    floors = {"value": {POOL: 1.25}}
    answer = admin.put("/api/v1/admin/limits/price_floor_usd_per_gpu_hour", json=floors)
    assert answer.json()["price_floor_usd_per_gpu_hour"] == {POOL: 1.25}
    open_breaker(console.store, failures=3, now=console.clock.now())
    assert admin.get("/api/v1/admin/breaker").json()["is_open"] is True
    assert admin.put("/api/v1/admin/breaker", json={"is_open": True}).status_code == 422
    assert admin.put("/api/v1/admin/breaker", json={"is_open": False}).status_code == 200
    assert not breaker(console.store).is_open


def test_an_operator_stops_everything_and_an_admin_lets_it_go_on(console: Console) -> None:
    operator, admin = console.program("operator", "ann"), console.program("admin", "root")
    stop, go = {"is_on": True, "reason": "smoke"}, {"is_on": False}
    url = "/api/v1/admin/kill-switch"
    assert operator.put(url, json=stop).json()["set_by"] == "ann"
    assert operator.put(url, json=go).status_code == 403
    assert operator.get(url).json()["is_on"] is True
    assert admin.put(url, json=go).json()["is_on"] is False


def test_an_operator_sets_how_fast_the_fleet_runs(console: Console) -> None:
    operator = console.program("operator")
    url = "/api/v1/admin/fleet-speed"
    assert operator.put(url, json={"speed": 60}).json() == {"speed": 60.0}
    assert operator.get(url).json() == {"speed": 60.0}
    assert operator.put(url, json={"speed": -1}).status_code == 422
    assert operator.get(url).json() == {"speed": 60.0}
