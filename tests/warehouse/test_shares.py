"""GPUs that are cut up or shared: what is told of them, and what is gone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.makers import NOON, make_gpu_sample, make_gpu_share
from warehouse import fleet, shares
from warehouse.store import Store

EARLIER = NOON - timedelta(minutes=1)
SINCE = NOON - timedelta(minutes=15)


def make_instance(name: str, **changes: object):
    values = {
        "gpu_id": f"mig-{name}",
        "slot": 1,
        "parent_gpu_id": "gpu-1",
        "mig_profile": "3g.40gb",
        "sharing": "mig",
        "utilisation_ratio": None,
        "engine_active_ratio": 0.4,
        "job_id": None,
        "tenant": None,
    }
    return make_gpu_sample(**{**values, **changes})


def make_cut(**changes: object):
    values = {"gpu_id": "gpu-1", "slot": 1, "sharing": "mig", "job_id": None, "tenant": None}
    return make_gpu_sample(**{**values, **changes})


@pytest.fixture
def mixed(store: Store) -> Store:
    """One node: a whole GPU, one cut in two of which one half is held, one shared by four."""
    store.append(
        [make_gpu_sample(sharing="whole"), make_gpu_share(sharing="whole", share_ratio=1.0)]
    )
    store.append([make_cut(), make_instance("a"), make_instance("b", mig_profile="4g.40gb")])
    store.append([make_gpu_share(gpu_id="mig-a", sharing="mig", share_ratio=3 / 7, pod="train-0")])
    sliced = make_gpu_sample(
        gpu_id="gpu-2", slot=2, sharing="time_sliced", job_id=None, tenant=None
    )
    store.append([sliced])
    pods = [make_gpu_share(gpu_id="gpu-2", pod=f"serve-{n}", job_id=f"job-{n}") for n in range(3)]
    store.append(pods)
    return store


def test_every_question_answers_on_an_empty_warehouse(store: Store) -> None:
    assert shares.instances(store, "node-0", since=SINCE).is_empty()
    assert shares.holders(store, "node-0", since=SINCE).is_empty()
    assert shares.shared_gpus(store).is_empty()


def test_the_instances_of_a_gpu_are_told_with_what_is_known_of_each(mixed: Store) -> None:
    rows = shares.instances(mixed, "node-0", since=SINCE).to_dicts()
    seen = [(row["gpu_id"], row["parent_gpu_id"], row["mig_profile"]) for row in rows]
    assert seen == [("mig-b", "gpu-1", "4g.40gb"), ("mig-a", "gpu-1", "3g.40gb")]
    assert {row["utilisation_ratio"] for row in rows} == {0.4}


def test_holders_come_with_their_parts(mixed: Store) -> None:
    rows = shares.holders(mixed, "node-0", since=SINCE).to_dicts()
    told = [(row["gpu_id"], row["pod"], shares.part_words(row["share_ratio"])) for row in rows]
    assert told == [
        ("gpu-0", "pod", "1"),
        ("gpu-2", "serve-0", "1/4"),
        ("gpu-2", "serve-1", "1/4"),
        ("gpu-2", "serve-2", "1/4"),
        ("mig-a", "train-0", "3/7"),
    ]


def test_of_the_fleet_the_gpus_that_are_shared_are_told_once_each(mixed: Store) -> None:
    rows = shares.shared_gpus(mixed).to_dicts()
    seen = [(r["gpu_id"], r["sharing"], r["instance_count"], r["holder_count"]) for r in rows]
    assert seen == [("gpu-1", "mig", 2, 1), ("gpu-2", "time_sliced", 0, 3)]
    assert [row["held_ratio"] for row in rows] == pytest.approx([3 / 7, 0.75])


def test_a_cut_gpu_is_one_gpu_of_the_map(mixed: Store) -> None:
    assert fleet.gpu_map(mixed)["gpu_id"].to_list() == ["gpu-0", "gpu-1", "gpu-2"]


def test_a_holder_who_let_go_and_an_instance_that_was_taken_apart_are_gone(store: Store) -> None:
    store.append([make_cut(measured_at=EARLIER), make_instance("a", measured_at=EARLIER)])
    store.append([make_gpu_share(gpu_id="mig-a", sharing="mig", measured_at=EARLIER)])
    store.append([make_gpu_sample(gpu_id="gpu-2", slot=2, measured_at=EARLIER)])
    store.append([make_gpu_share(gpu_id="gpu-2", measured_at=EARLIER)])
    assert shares.holders(store, "node-0", since=SINCE).height == 2
    store.append([make_cut(sharing=None), make_gpu_sample(gpu_id="gpu-2", slot=2)])
    assert shares.instances(store, "node-0", since=SINCE).is_empty()
    assert shares.shared_gpus(store).is_empty()
    assert shares.holders(store, "node-0", since=SINCE).is_empty()


def test_a_source_whose_clock_is_behind_is_heard_by_its_own(store: Store) -> None:
    behind = {"source": "lab", "measured_at": NOON - timedelta(days=3)}
    store.append([make_gpu_sample(node_id="node-9")])
    store.append([make_cut(**behind), make_instance("a", **behind)])
    store.append([make_gpu_share(gpu_id="mig-a", sharing="mig", **behind)])
    (row,) = shares.shared_gpus(store).to_dicts()
    assert (row["gpu_id"], row["holder_count"]) == ("gpu-1", 1)


def test_of_two_sources_that_tell_of_a_gpu_the_one_that_told_last_is_heard(store: Store) -> None:
    store.append([make_cut(measured_at=EARLIER), make_instance("a", measured_at=EARLIER)])
    store.append([make_cut(source="nvml"), make_instance("b", source="nvml")])
    assert shares.instances(store, "node-0", since=SINCE)["gpu_id"].to_list() == ["mig-b"]
    assert shares.shared_gpus(store)["instance_count"].to_list() == [1]


def test_the_parts_that_a_gpu_is_given_out_in_are_told_by_the_smallest() -> None:
    assert shares.replica_count([0.25, 0.25, 0.25]) == 4
    assert shares.replica_count([]) is None
    assert shares.part_words(None) is None
    assert shares.part_words(1 / 14) == "1/14"
