from __future__ import annotations

from datetime import timedelta

import pytest

from tests.makers import NOON, POOL, make_gpu_sample, make_node, make_pool, make_pool_state
from warehouse import fleet
from warehouse.store import Store


def test_every_question_answers_on_an_empty_warehouse(store: Store) -> None:
    span = {"since": NOON - timedelta(days=14), "until": NOON}
    assert fleet.pools(store) == []
    assert fleet.pool_overview(store, now=NOON).is_empty()
    assert fleet.pool_history(store, step_seconds=3600, **span).is_empty()
    assert fleet.gpu_map(store).is_empty()
    assert fleet.nodes(store).total == 0
    assert fleet.node(store, "nobody") is None


def test_the_overview_takes_the_newest_reading_and_says_its_age(store: Store) -> None:
    store.append([make_pool(), make_pool(owned_nodes=33, recorded_at=NOON)])
    store.append([make_pool_state(gpus_used=1, measured_at=NOON - timedelta(hours=1))])
    store.append([make_pool_state(gpus_used=192)])
    (row,) = fleet.pool_overview(store, now=NOON + timedelta(seconds=30)).to_dicts()
    assert (row["gpus_used"], row["utilisation_ratio"]) == (192, 0.75)
    assert row["age_seconds"] == pytest.approx(30)
    assert fleet.pools(store)[0].owned_nodes == 33


def test_a_pool_that_was_never_read_is_listed_without_numbers(store: Store) -> None:
    store.append([make_pool()])
    (row,) = fleet.pool_overview(store, now=NOON).to_dicts()
    assert (row["pool"], row["gpus_on"], row["utilisation_ratio"]) == (POOL, None, None)


def test_the_map_holds_each_gpu_once_with_its_nodes_state(store: Store) -> None:
    earlier = NOON - timedelta(minutes=5)
    store.append([make_gpu_sample(measured_at=earlier), make_gpu_sample(utilisation_ratio=0.9)])
    store.append([make_gpu_sample(gpu_id="gpu-1", slot=1, measured_at=earlier)])
    store.append([make_gpu_sample(gpu_id="mig-1", parent_gpu_id="gpu-1")])
    store.append([make_gpu_sample(gpu_id="gone", measured_at=NOON - timedelta(hours=2))])
    store.append([make_node(state="cordoned")])
    rows = fleet.gpu_map(store).to_dicts()
    seen = [(row["gpu_id"], row["utilisation_ratio"], row["node_state"]) for row in rows]
    assert seen == [("gpu-0", 0.9, "cordoned"), ("gpu-1", 0.5, "cordoned")]


def test_the_map_of_an_earlier_instant_shows_what_was_then(store: Store) -> None:
    store.append([make_gpu_sample(utilisation_ratio=0.1, measured_at=NOON - timedelta(hours=3))])
    store.append([make_gpu_sample(utilisation_ratio=0.9)])
    (row,) = fleet.gpu_map(store, at=NOON - timedelta(hours=1)).to_dicts()
    assert row["utilisation_ratio"] == 0.1


def test_a_source_whose_clock_is_behind_is_still_on_the_map(store: Store) -> None:
    store.append([make_gpu_sample(source="simulated")])
    real = make_gpu_sample(gpu_id="real", source="nvml", measured_at=NOON - timedelta(days=1))
    store.append([real])
    assert set(fleet.gpu_map(store)["gpu_id"]) == {"gpu-0", "real"}


def test_nodes_are_filtered_sorted_and_paged(store: Store) -> None:
    store.append([make_node(node_id=f"node-{n}", gpus_used=n) for n in range(5)])
    store.append([make_node(node_id="spare", state="off", gpus_used=0)])
    page = fleet.nodes(store, state="active", sort="gpus_used", descending=True, limit=2, offset=1)
    assert (page.rows["node_id"].to_list(), page.total) == (["node-3", "node-2"], 5)
    assert fleet.nodes(store, search="SPA").rows["node_id"].to_list() == ["spare"]
    assert fleet.nodes(store, offset=50).total == 6


def test_the_history_of_a_pool_is_the_mean_of_each_step(store: Store) -> None:
    for minutes, used in ((0, 100), (5, 200), (15, 50)):
        at = NOON + timedelta(minutes=minutes)
        store.append([make_pool_state(gpus_used=used, measured_at=at)])
    history = fleet.pool_history(
        store, since=NOON, until=NOON + timedelta(hours=1), step_seconds=900
    )
    assert history["gpus_used"].to_list() == [150.0, 50.0]
    assert history["at"].to_list() == [NOON, NOON + timedelta(minutes=15)]
