"""Nodes on which jobs fail more often than chance allows."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import pytest

from engine.healing.lemons import tail
from tests.engine.healing.ailing import Ailing, minutes
from tests.makers import NOON, make_job_event, make_node
from warehouse.records import JobEvent


def failure(
    name: str, nodes: list[str], at: datetime, tenant: str = "blue", detail: str | None = None
) -> list[JobEvent]:
    given = {"job_id": name, "tenant": tenant}
    event = "preempted" if detail else "failed"
    return [
        make_job_event(event="started", node_ids=nodes, happened_at=at - minutes(30), **given),
        make_job_event(event=event, happened_at=at, detail=detail, **given),
    ]


@pytest.fixture
def large(ailing: Ailing) -> Ailing:
    """Twenty nodes, and one failure on each of five of them."""
    ailing.store.append([make_node(node_id=f"node-{n}") for n in range(2, 20)])
    for n in range(5):
        at = NOON - timedelta(hours=3 * n + 1)
        ailing.store.append(failure(f"elsewhere-{n}", [f"node-{n + 5}"], at))
    return ailing


def test_the_tail_is_the_poisson_distributions() -> None:
    assert tail(0, 2.0) == 1.0
    assert tail(3, 1.0) == pytest.approx(1 - 2.5 / math.e)
    assert 0 < tail(80, 0.1) < 1e-100


def test_failures_of_several_tenants_on_one_node_make_it_a_lemon(large: Ailing) -> None:
    for n in range(4):
        at = NOON - timedelta(hours=n)
        large.store.append(failure(f"job-{n}", ["node-0"], at, tenant=f"tenant-{n}"))
    large.judge()
    (piece,) = large.health().evidence
    assert (piece["signal"], piece["value"]) == ("job_failures", 4.0)
    assert piece["words"] == (
        "4 jobs failed on it in 3 h, of 4 tenants, where 0.3 such failures are usual"
    )
    assert large.health().is_suspect
    assert [row.node_id for row in large.judge()] == []


def test_one_tenants_failures_alone_may_be_its_own(large: Ailing) -> None:
    for n in range(4):
        large.store.append(failure(f"job-{n}", ["node-0"], NOON - timedelta(hours=n)))
    large.judge()
    assert not large.health().is_suspect
    assert large.signals()["job_failures"] == pytest.approx(0.35, abs=0.05)


def test_jobs_that_fail_together_are_one_failure(large: Ailing) -> None:
    for n in range(8):
        large.store.append(failure(f"job-{n}", ["node-0"], NOON, tenant=f"tenant-{n}"))
    assert large.judge() == []


def test_where_failures_are_usual_nobody_is_a_lemon(large: Ailing) -> None:
    for n in range(20):
        for k in range(4):
            at = NOON - timedelta(hours=6 * k + 1)
            large.store.append(failure(f"job-{n}-{k}", [f"node-{n}"], at, tenant=f"tenant-{k}"))
    assert large.judge() == []


def test_only_the_node_that_failed_is_blamed_where_the_event_names_it(large: Ailing) -> None:
    for n in range(4):
        detail = "node-1 failed: back to the queue from the last checkpoint"
        at = NOON - timedelta(hours=n)
        gang = failure(f"job-{n}", ["node-0", "node-1"], at, f"tenant-{n}", detail)
        large.store.append(gang)
    large.judge()
    assert large.health("node-1").is_suspect
    assert {row.node_id for row in large.store.rows(type(large.health("node-1")),
        "SELECT * FROM node_health")} == {"node-1"}  # fmt: skip
