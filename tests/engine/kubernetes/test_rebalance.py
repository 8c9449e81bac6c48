"""Nodes emptied by moving their jobs, and released: `rebalance`."""

from __future__ import annotations

from typing import Any

import pytest

from engine.hands import CommandFailed, CommandRefused
from engine.kubernetes.settings import HandsSettings
from tests.engine.kubernetes.cluster import Handled, new_id
from tests.engine.kubernetes.dying import carry_out_dying


@pytest.fixture
def pool(handled: Handled) -> Handled:
    """Three nodes of a static pool, a job of two GPUs on each."""
    handled.stand_in.add_node_pool("gpu", replicas=3)
    file = handled.folder / "pools.toml"
    file.write_text('[pools.gpu]\nscale = "apis/karpenter.sh/v1/nodepools/gpu"\n')
    handled.settings = HandsSettings(pools_file=file)
    handled.start()
    handled.stand_in.settle(4)
    return handled


def with_jobs(pool: Handled, **more: Any) -> list[str]:
    """Which node each of the jobs runs on; the nodes are filled one after the other."""
    found = []
    for number in range(3):
        name = f"job-{number}"
        for node in found:
            pool.api.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": True}})
        pool.stand_in.add_job(name, gpus=2, **more.get(name, {}))
        pool.stand_in.settle(3)
        (node,) = pool.nodes_of_job(name)
        found.append(node)
    for node in found:
        pool.api.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": None}})
    pool.stand_in.settle(1)
    pool.stand_in.requests.clear()
    return found


def names(pool: Handled) -> set[str]:
    return {node["metadata"]["name"] for node in pool.stand_in.all("Node")}


def test_jobs_are_moved_in_order_and_their_nodes_released(pool: Handled) -> None:
    first, second, third = with_jobs(pool)
    answer = pool.carry_out(new_id(), "rebalance", pool="gpu", node_ids=[first, second])
    assert answer["node_ids"] == [first, second]
    assert [each["job_id"] for each in answer["moved"]] == ["default/job-0", "default/job-1"]
    assert names(pool) == {third}
    assert pool.nodes_of_job("job-0") == pool.nodes_of_job("job-1") == {third}
    assert pool.held() == {}
    (node_pool,) = pool.stand_in.all("NodePool")
    assert node_pool["spec"]["replicas"] == 1


def test_the_first_job_that_does_not_move_ends_it_and_what_is_empty_is_released(
    pool: Handled,
) -> None:
    first, second, third = with_jobs(pool)
    pool.stand_in.faults.mute_checkpoints("job-1")
    answer = pool.carry_out(new_id(), "rebalance", 15, pool="gpu", node_ids=f"{first},{second}")
    assert answer["node_ids"] == [first]
    assert "job-1 did not answer" in answer["stopped_by"]
    assert names(pool) == {second, third}
    assert pool.nodes_of_job("job-1") == {second}
    assert pool.held() == {}
    assert not [n for n in pool.stand_in.all("Node") if n["spec"].get("unschedulable")]


def test_where_no_job_moves_nothing_is_released_and_all_is_open(pool: Handled) -> None:
    first, second, third = with_jobs(pool)
    pool.stand_in.faults.mute_checkpoints("job-0")
    error = pool.ending(new_id(), "rebalance", 15, pool="gpu", node_ids=[first, second])
    assert isinstance(error, CommandRefused)
    assert "no job could be moved" in str(error)
    assert names(pool) == {first, second, third}
    assert pool.held() == {}


def test_a_node_with_a_job_that_can_not_be_moved_is_refused_untouched(pool: Handled) -> None:
    first, second, _ = with_jobs(pool, **{"job-1": {"checkpoints": False}})
    error = pool.ending(new_id(), "rebalance", pool="gpu", node_ids=[first, second])
    assert str(error).startswith("not_movable")
    assert pool.writes() == []


def test_without_the_right_to_scale_the_nodes_are_open_again_and_the_moves_stand(
    pool: Handled,
) -> None:
    first, _, third = with_jobs(pool)
    pool.stand_in.faults.forbid("patch", "nodepools/scale")
    error = pool.ending(new_id(), "rebalance", pool="gpu", node_ids=[first])
    assert isinstance(error, CommandFailed)
    assert "done before and left so: job/default/job-0" in str(error)
    assert first in names(pool)
    assert third in names(pool)
    assert pool.held() == {}
    assert first not in pool.nodes_of_job("job-0")


def test_it_ends_alike_wherever_the_process_dies(pool: Handled) -> None:
    first, second, third = with_jobs(pool)
    answer, death = carry_out_dying(pool, new_id(), "rebalance", pool="gpu", node_ids=[first])
    assert len(death.places) > 50
    assert answer["node_ids"] == [first]
    assert names(pool) == {second, third}
    assert pool.held() == {}
