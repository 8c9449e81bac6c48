"""More nodes and fewer: `levers`, `coming`, `going`, `machines`, `deeds`, `prices`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.hands import CommandRefused, CommandStale
from engine.kubernetes.marks import DELETE_MACHINE
from engine.kubernetes.settings import HandsSettings
from tests.engine.kubernetes.cluster import Handled, new_id
from tests.engine.kubernetes.dying import carry_out_dying
from tests.makers import make_decision, make_price
from warehouse.records import ScaleTarget

KARPENTER = "apis/karpenter.sh/v1/nodepools/gpu"
MACHINES = "apis/cluster.x-k8s.io/v1beta2/namespaces/default/machinedeployments/gpu"
WARM = "apis/apps/v1/namespaces/default/deployments/warm"


def scaled_by(handled: Handled, path: str, **terms: str) -> None:
    """The pool `gpu` is scaled by that object."""
    lines = [f'scale = "{path}"', *(f'{name} = "{value}"' for name, value in terms.items())]
    file: Path = handled.folder / "pools.toml"
    file.write_text("[pools.gpu]\n" + "\n".join(lines))
    handled.settings = HandsSettings(pools_file=file)
    handled.start()


@pytest.fixture
def pool(request: pytest.FixtureRequest, handled: Handled) -> Handled:
    """A pool of three nodes: of Karpenter's, or of Cluster API's where a test asks for both."""
    if getattr(request, "param", "karpenter") == "karpenter":
        handled.stand_in.add_node_pool("gpu", replicas=3)
        scaled_by(handled, KARPENTER)
    else:
        handled.stand_in.add_machine_deployment("gpu", replicas=3)
        scaled_by(handled, MACHINES)
    handled.stand_in.settle(4)
    return handled


of_either = pytest.mark.parametrize("pool", ["karpenter", "cluster-api"], indirect=True)


def nodes(handled: Handled) -> list[str]:
    return sorted(node["metadata"]["name"] for node in handled.stand_in.all("Node"))


def wanted(handled: Handled) -> int:
    kinds = [*handled.stand_in.all("NodePool"), *handled.stand_in.all("MachineDeployment")]
    return int(kinds[0]["spec"]["replicas"])


def busy(handled: Handled) -> str:
    """A node on which a job runs."""
    handled.stand_in.add_job("train", gpus=2)
    handled.stand_in.settle(3)
    (node,) = handled.nodes_of_job("train")
    return node


def test_nodes_are_asked_for_and_waited_for(pool: Handled) -> None:
    before = nodes(pool)
    answer = pool.carry_out(new_id(), "scale_up", pool="gpu", nodes=2)
    assert wanted(pool) == 5
    assert sorted(answer["node_ids"]) == sorted(set(nodes(pool)) - set(before))
    assert answer["ready_nodes"] == 2
    (write,) = pool.writes()
    assert write.startswith("PATCH")
    assert write.endswith("/scale")


def test_a_scale_up_is_taken_back_node_by_node(pool: Handled) -> None:
    before, decision_id = nodes(pool), new_id()
    answer = pool.carry_out(decision_id, "scale_up", pool="gpu", nodes=2)
    for node_id in answer["node_ids"]:
        arguments = {"pool": "gpu", "node_id": node_id}
        cancel = pool.ending(
            f"{decision_id}:undo:cancel_node:{node_id}", "cancel_node", **arguments
        )
        assert isinstance(cancel, CommandRefused)
        release = f"{decision_id}:undo:release_node:{node_id}"
        assert pool.carry_out(release, "release_node", **arguments)["node_ids"] == [node_id]
    assert wanted(pool) == 3
    assert nodes(pool) == before


@of_either
def test_only_empty_nodes_go_cordoned_first(pool: Handled) -> None:
    node = busy(pool)
    answer = pool.carry_out(new_id(), "scale_down", pool="gpu", nodes=2)
    assert nodes(pool) == [node]
    assert node not in answer["node_ids"]
    assert len(answer["gone"]) == 2
    assert pool.nodes_of_job("train") == {node}
    writes = pool.writes()
    cordons = [place for place, write in enumerate(writes) if "/api/v1/nodes/" in write]
    scale = next(place for place, write in enumerate(writes) if write.endswith("/scale"))
    assert len(cordons) == 2
    assert max(cordons) < scale


def test_where_karpenter_has_chosen_others_ours_stay_and_are_open_again(pool: Handled) -> None:
    first, _, third = nodes(pool)
    pool.stand_in.add_pod("logs", gpus=0, node=first)
    pool.stand_in.faults.storm(503, 1, match="^DELETE")
    pool.carry_out(new_id(), "scale_down", pool="gpu", nodes=1)
    pool.stand_in.settle(5)
    assert nodes(pool) == [first, third]  # Karpenter took the emptier one, and no more went
    assert pool.held() == {}
    assert "unschedulable" not in pool.node(first)["spec"]


def test_more_than_are_empty_is_refused(pool: Handled) -> None:
    busy(pool)
    error = pool.ending(new_id(), "scale_down", pool="gpu", nodes=3)
    assert str(error) == "not_empty: 2 empty nodes of gpu can go, not 3"
    assert pool.writes() == []


def test_a_scale_down_is_undone_by_a_scale_up(pool: Handled) -> None:
    decision_id = new_id()
    answer = pool.carry_out(decision_id, "scale_down", pool="gpu", nodes=1)
    count = len(answer["node_ids"])
    pool.carry_out(f"{decision_id}:undo", "scale_up", pool="gpu", nodes=count)
    assert wanted(pool) == len(nodes(pool)) == 3


@pytest.mark.parametrize("pool", ["cluster-api"], indirect=True)
def test_a_scale_down_that_can_not_go_through_opens_its_nodes_again(pool: Handled) -> None:
    for resource in ("nodepools/scale", "machinedeployments/scale"):
        pool.stand_in.faults.forbid("patch", resource)
    error = pool.ending(new_id(), "scale_down", pool="gpu", nodes=2)
    assert "right_missing" in str(error)
    assert pool.held() == {}
    assert not [n for n in pool.stand_in.all("Node") if n["spec"].get("unschedulable")]
    marked = [m for m in pool.stand_in.all("Machine") if _is_marked(m)]
    assert marked == []


def _is_marked(machine: dict[str, Any]) -> bool:
    return DELETE_MACHINE in (machine["metadata"].get("annotations") or {})


def test_a_scale_down_ends_alike_wherever_the_process_dies(pool: Handled) -> None:
    node = busy(pool)
    answer, death = carry_out_dying(pool, new_id(), "scale_down", pool="gpu", nodes=1)
    assert len(death.places) > 25
    assert wanted(pool) == len(nodes(pool)) == 2
    assert node in nodes(pool)
    assert len(answer["gone"]) == 1
    assert pool.held() == {}


def test_somebody_elses_scale_since_the_proposal_makes_it_stale(pool: Handled) -> None:
    path = pool.settings.pools["gpu"].scale or ""
    uid = (pool.stand_in.all("NodePool") or pool.stand_in.all("MachineDeployment"))[0]["metadata"][
        "uid"
    ]
    decision_id, now = new_id(), pool.clock.now()
    seen = ScaleTarget(
        pool="gpu",
        target=path,
        lever="scale",
        uid=uid,
        wanted_nodes=2,
        generation=1,
        source="test",
        measured_at=now - timedelta(minutes=1),
    )
    pool.store.append([seen, make_decision(decision_id=decision_id, proposed_at=now)])
    error = pool.ending(decision_id, "scale_up", pool="gpu", nodes=1)
    assert isinstance(error, CommandStale)
    assert "from 2 to 3" in str(error)
    assert pool.writes() == []


def test_nodes_that_do_not_come_are_still_awaited_and_can_be_cancelled(handled: Handled) -> None:
    handled.stand_in.add_deployment("virtual", replicas=1)
    scaled_by(handled, "apis/apps/v1/namespaces/default/deployments/virtual")
    decision_id = new_id()
    answer = handled.carry_out(decision_id, "scale_up", 100, pool="gpu", nodes=2)
    assert answer["ready_nodes"] == 0
    assert answer["node_ids"] == ["gpu/awaited-1", "gpu/awaited-2"]
    for node_id in answer["node_ids"]:
        undo = f"{decision_id}:undo:cancel_node:{node_id}"
        handled.carry_out(undo, "cancel_node", pool="gpu", node_id=node_id)
    path = "/apis/apps/v1/namespaces/default/deployments/virtual"
    assert handled.stand_in.get(path)["spec"]["replicas"] == 1


# -- a dynamic NodePool ----------------------------------------------------------------


def limit(handled: Handled) -> str | None:
    (found,) = handled.stand_in.all("NodePool")
    return (found["spec"].get("limits") or {}).get("nvidia.com/gpu")


def test_a_dynamic_pool_is_scaled_by_its_limit(handled: Handled) -> None:
    handled.stand_in.add_node_pool("gpu", limits={"nvidia.com/gpu": "8"})
    scaled_by(handled, KARPENTER)
    for name in ("one", "two"):
        handled.stand_in.add_job(name, gpus=8)
    handled.stand_in.settle(6)
    assert len(nodes(handled)) == 1
    answer = handled.carry_out(new_id(), "scale_up", pool="gpu", nodes=1)
    assert limit(handled) == "16"
    assert answer["ready_nodes"] == 1


def test_a_limit_is_never_lowered_below_what_is_in_use(handled: Handled) -> None:
    handled.stand_in.add_node_pool("gpu", limits={"nvidia.com/gpu": "16"})
    scaled_by(handled, KARPENTER)
    handled.stand_in.add_job("one", gpus=8)
    handled.stand_in.add_job("two", gpus=8, checkpoints=False)
    handled.stand_in.settle(6)
    empty = next(iter(handled.nodes_of_job("two")))
    handled.stand_in.drop("/apis/batch/v1/namespaces/default/jobs/two")
    for pod in handled.stand_in.all("Pod"):
        if pod["spec"].get("nodeName") == empty:
            handled.stand_in.drop(f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}")
    answer = handled.carry_out(new_id(), "scale_down", pool="gpu", nodes=1)
    assert answer["gone"] == [empty]
    assert limit(handled) == "8"
    assert len(nodes(handled)) == 1


def test_a_dynamic_pool_without_a_limit_is_not_scaled_up(handled: Handled) -> None:
    handled.stand_in.add_node_pool("gpu")
    scaled_by(handled, KARPENTER)
    error = handled.ending(new_id(), "scale_up", pool="gpu", nodes=1)
    assert str(error).startswith("no_limit")
    assert handled.writes() == []


# -- others ----------------------------------------------------------------------------


def test_a_pool_that_nothing_scales_is_refused_with_what_to_do(handled: Handled) -> None:
    error = handled.ending(new_id(), "scale_up", pool="nothing", nodes=1)
    assert "give `scale` in the pools file" in str(error)


def test_placeholders_are_warmed_and_cooled_down(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a")
    handled.stand_in.add_deployment("warm", replicas=1)
    scaled_by(handled, KARPENTER, placeholder=WARM)
    decision_id = new_id()
    answer = handled.carry_out(decision_id, "pre_warm", pool="gpu", nodes=2)
    assert answer["nodes"] == 2
    assert answer["ready_placeholders"] == 3
    arguments = {"pool": "gpu", "nodes": 2, "node_ids": []}
    handled.carry_out(f"{decision_id}:undo", "cool_down", **arguments)
    assert handled.stand_in.get(f"/{WARM}")["spec"]["replicas"] == 1


def test_without_placeholders_the_nodes_themselves_are_warmed(pool: Handled) -> None:
    before, decision_id = nodes(pool), new_id()
    answer = pool.carry_out(decision_id, "pre_warm", pool="gpu", nodes=1)
    assert wanted(pool) == 4
    undo = {"pool": "gpu", "nodes": 1, "node_ids": answer["node_ids"]}
    pool.carry_out(f"{decision_id}:undo", "cool_down", **undo)
    assert nodes(pool) == before


def test_a_price_is_answered_with_the_one_before(handled: Handled) -> None:
    handled.store.append([make_price(pool="priced", price_usd_per_gpu_hour=2.5)])
    arguments = {"pool": "priced", "price_usd_per_gpu_hour": 2.6}
    answer = handled.carry_out(new_id(), "set_price", **arguments)
    assert answer["previous_price_usd_per_gpu_hour"] == 2.5
    assert handled.stand_in.requests == []
    error = handled.ending(new_id(), "set_price", **{**arguments, "pool": "unpriced"})
    assert "no price yet" in str(error)
