"""The metrics of ourselves, from our own rows, by hand."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from engine.market.facts import facts_of
from engine.market.own import own_metrics
from tests.makers import NOON, POOL, make_job_event, make_node, make_pool, make_pool_state
from warehouse.metric_catalogue import METRICS
from warehouse.records import MarketMetric
from warehouse.store import Store

OTHERS = pl.DataFrame(
    {
        "provider": ["a", "b", "a"],
        "model": ["A100 SXM 80GB", "A100 PCIe 80GB", "H100 SXM"],
        "price": [1.5, 1.3, 2.0],
    }
)
MINUTE = timedelta(minutes=1)


def own(store: Store, **given) -> dict[str, MarketMetric]:
    found = own_metrics(store, NOON, OTHERS, NOON, **given)
    return {row.metric: row for row in found if row.model is None}


def test_a_cold_start_runs_from_the_first_reading_on_the_way_to_the_first_active(
    store: Store,
) -> None:
    states = {
        "node-0": ["off", "provisioning", "provisioning", "active"],  # 2 steps
        "node-1": ["provisioning", "provisioning", "provisioning", "active"],  # 3, 4 and 4
        "node-2": ["provisioning", "down", "active", "active"],  # never came from its way
    }
    rows = [
        make_node(node_id=node, state=state, measured_at=NOON - MINUTE * (40 - 10 * n))
        for node, several in states.items()
        for n, state in enumerate(several)
    ]
    store.append([make_pool(), *rows])
    found = own(store)["cold_start"]
    assert (found.value, found.evidence["rows"]) == (25 * 60.0, 2)
    assert found.evidence["table"] == "node_states"
    assert "provisioning" in found.evidence["sql"]


def test_waits_free_nodes_use_and_failures_come_from_readings_and_jobs(store: Store) -> None:
    waits = [make_job_event(job_id=str(n), happened_at=NOON - 30 * MINUTE) for n in range(11)]
    starts = [
        make_job_event(job_id=str(n), event="started", happened_at=NOON - (30 - n) * MINUTE)
        for n in range(11)
    ]
    readings = [
        make_pool_state(measured_at=NOON - MINUTE, gpus_used=256 - free, queued_jobs=queued,
                        owned_nodes_on=31, nodes_down=1, failed_jobs=1, started_jobs=4)
        for free, queued in ((8, 0), (7, 0), (40, 3), (9, 0))
    ]  # fmt: skip
    store.append([make_pool(), *waits, *starts, *readings])
    found = own(store)
    assert found["queue_wait"].value == pytest.approx(9 * 60.0)
    assert found["availability_rate"].value == 0.5
    assert found["utilisation"].value == pytest.approx(1 - (8 + 7 + 40 + 9) / 4 / 256)
    assert found["host_reliability"].value == pytest.approx(31 / 32)
    assert found["job_failures"].value == 0.25


def test_our_price_is_held_against_every_form_our_name_may_mean(store: Store) -> None:
    store.append(
        [
            make_pool(pool="a100", gpu_model="A100 80GB", region="eu"),
            make_pool_state(pool="a100", price_usd_per_gpu_hour=1.4),
            make_pool(),
            make_pool_state(price_usd_per_gpu_hour=2.2),
        ]
    )
    found = own(store)
    assert found["on_demand_price"].value == pytest.approx((1.0 * 1.1) ** 0.5)
    assert (found["regions"].value, found["gpu_models"].value, found["max_gpus"].value) == (2, 2, 8)
    models = {r.model for r in own_metrics(store, NOON, OTHERS, NOON) if r.model is not None}
    assert models == {"A100 80GB", "H100 SXM"}


def test_how_our_price_moves_is_told_from_a_week_on(store: Store) -> None:
    prices = [2.0, 2.0, 2.1, 2.1, 2.1, 2.1, 2.1]
    store.append(
        [make_pool()]
        + [
            make_pool_state(price_usd_per_gpu_hour=price, measured_at=NOON - timedelta(days=6 - n))
            for n, price in enumerate(prices)
        ]
    )
    assert own(store)["price_changes"].value == 1.0


def test_what_no_row_tells_is_unknown_or_stands_in_our_facts(store: Store) -> None:
    assert {row.value for row in own(store).values()} == {None}
    given = facts_of(
        "facts: [{provider: us, metric: egress_price, value: 0, words: free, "
        "source: 'https://us.example/terms', read_on: '2026-11-01'}]"
    )
    store.append([make_pool(), make_pool_state(pool=POOL)])
    found = own(store, known=given)
    assert set(found) == set(METRICS)
    assert (found["egress_price"].value, found["egress_price"].basis) == (0.0, "documented")
    assert (found["uptime_sla"].value, found["uptime_sla"].basis) == (None, "own")
