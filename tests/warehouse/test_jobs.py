from __future__ import annotations

from datetime import timedelta

import pytest

from tests.makers import NOON, make_charge, make_job_event
from warehouse import jobs
from warehouse.store import Store


def story(job_id: str, *events: tuple[int, str], **changes: object) -> list:
    """The events of one job: (minutes after noon, what happened)."""
    return [
        make_job_event(
            job_id=job_id,
            event=event,
            happened_at=NOON + timedelta(minutes=minutes),
            node_ids=["node-7"] if event == "started" else [],
            **changes,
        )
        for minutes, event in events
    ]


@pytest.fixture
def filled(store: Store) -> Store:
    store.append(
        story("waits", (0, "submitted"))
        + story("runs", (0, "submitted"), (5, "started"), (65, "checkpointed"), tenant="red")
        + story("again", (0, "submitted"), (1, "started"), (9, "preempted"), (9, "started"))
        + story("back", (0, "submitted"), (0, "started"), (30, "preempted"), gpu_count=16)
        + story("done", (0, "submitted"), (0, "started"), (60, "finished"))
        + story("left", (0, "submitted"), (60, "left"), pool="a100")
    )
    return store


def listed(store: Store, **filters: object) -> dict[str, str]:
    now = NOON + timedelta(minutes=90)
    rows = jobs.jobs(store, now=now, **filters).rows
    return dict(zip(rows["job_id"], rows["state"], strict=True))


def test_the_latest_event_tells_the_state_also_where_two_share_an_instant(filled: Store) -> None:
    assert listed(filled) == {
        "waits": "queued",
        "runs": "running",
        "again": "running",
        "back": "queued",
        "done": "finished",
        "left": "left",
    }
    counts = jobs.counts_by_state(filled)
    assert counts == {"queued": 2, "running": 2, "finished": 1, "failed": 0, "left": 1}


def test_jobs_are_filtered_by_each_thing_and_by_all_together(filled: Store) -> None:
    assert set(listed(filled, states=["queued"])) == {"waits", "back"}
    assert set(listed(filled, tenant="red")) == {"runs"}
    assert set(listed(filled, pool="a100")) == {"left"}
    assert set(listed(filled, search="DON")) == {"done"}
    assert listed(filled, tenant="red", states=["queued"]) == {}
    assert jobs.tenants(filled) == ["blue", "red"]


def test_a_page_holds_what_was_asked_and_the_total_of_all(filled: Store) -> None:
    page = jobs.jobs(filled, now=NOON, sort="job_id", descending=False, offset=2, limit=2)
    assert (page.rows["job_id"].to_list(), page.total) == (["done", "left"], 6)
    with pytest.raises(ValueError, match="can't be sorted by 1; DROP"):
        jobs.jobs(filled, now=NOON, sort="1; DROP TABLE jobs")


def test_a_job_tells_its_wait_its_run_its_nodes_and_its_bill(filled: Store) -> None:
    filled.append([make_charge(job_id="runs", charge_usd=7.0, period_starts_at=NOON)])
    filled.append(
        [make_charge(job_id="runs", charge_usd=3.0, period_starts_at=NOON + timedelta(hours=1))]
    )
    (row,) = jobs.job(filled, "runs", now=NOON + timedelta(minutes=90)).to_dicts()
    assert (row["wait_seconds"], row["run_seconds"]) == (300, 85 * 60)
    assert (row["node_ids"], row["charged_usd"]) == ('["node-7"]', 10.0)
    assert jobs.job_events(filled, "runs")["event"].to_list() == [
        "submitted",
        "started",
        "checkpointed",
    ]
    assert jobs.job(filled, "nobody", now=NOON).is_empty()


def test_a_failed_job_has_ended(store: Store) -> None:
    store.append(story("broken", (0, "submitted"), (5, "started"), (20, "failed")))
    (row,) = jobs.job(store, "broken", now=NOON + timedelta(minutes=90)).to_dicts()
    assert (row["state"], row["ended_at"]) == ("failed", NOON + timedelta(minutes=20))
    assert row["run_seconds"] == 15 * 60


def test_an_empty_warehouse_has_no_jobs(store: Store) -> None:
    page = jobs.jobs(store, now=NOON)
    assert (page.total, page.rows.height) == (0, 0)
    assert "charged_usd" in page.rows.columns
