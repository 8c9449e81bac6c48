"""The process dies at every place there is, and another goes on: `runner`, `journal`, `steps`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.kubernetes.cluster import POOL, Handled, new_id
from tests.engine.kubernetes.dying import carry_out_dying
from tests.stand_in import StandIn
from warehouse.store import Store

NOT_ALIKE = ("applied_at", "checkpointed_at", "moved")


@pytest.fixture
def two(now: Any, warehouse: Store, tmp_path: Path) -> Iterator[tuple[Handled, Handled]]:
    """Two clusters alike: one whose console lives, one whose console dies."""
    with StandIn(now) as first, StandIn(now) as second:
        (tmp_path / "dying").mkdir()
        yield Handled(first, warehouse, tmp_path), Handled(second, warehouse, tmp_path / "dying")


def both(two: tuple[Handled, Handled], command: str, **arguments: Any) -> int:
    """Carry a command out on both; they must end alike. How often the one died."""
    whole, dying = two
    expected = whole.carry_out(new_id(), command, **arguments)
    decision_id = new_id()
    answer, death = carry_out_dying(dying, decision_id, command, **arguments)
    alike = {key: value for key, value in answer.items() if key not in NOT_ALIKE}
    assert alike == {key: value for key, value in expected.items() if key not in NOT_ALIKE}
    assert scene(dying) == scene(whole)
    assert [*dying.held()] == [*whole.held()]
    assert dying.unaccounted() == []
    return len(death.places)


def scene(handled: Handled) -> dict[str, Any]:
    """What a cluster looks like, but for names drawn by lot."""
    jobs = {
        job["metadata"]["name"]: (job["spec"]["suspend"], job["spec"]["template"]["spec"])
        for job in handled.stand_in.all("Job")
    }
    nodes = sorted(
        (node["metadata"]["name"], node["spec"].get("unschedulable", False))
        for node in handled.stand_in.all("Node")
    )
    where = {name: sorted(handled.nodes_of_job(name)) for name in jobs}
    events = sorted(event["reason"] for event in handled.stand_in.all("Event"))
    return {"jobs": jobs, "nodes": nodes, "where": where, "events": events}


def test_a_quarantine_ends_alike_wherever_the_process_dies(two: tuple[Handled, Handled]) -> None:
    for handled in two:
        handled.placed("train", "gpu-a", "gpu-b", gpus=2)
        handled.stand_in.add_pod("alone", node="gpu-a")
    deaths = both(two, "quarantine_node", pool=POOL, node_id="gpu-a")
    assert deaths > 40


def test_a_move_of_a_queues_job_ends_alike_wherever_the_process_dies(
    two: tuple[Handled, Handled],
) -> None:
    for handled in two:
        handled.stand_in.add_queue("blue")
        handled.placed("train", "gpu-a", "gpu-b", queue="blue")
    assert both(two, "migrate_job", pool=POOL, job_id="default/train", node_id="gpu-a") > 35


def test_taking_back_ends_alike_wherever_the_process_dies(handled: Handled) -> None:
    handled.placed("train", "gpu-a", gpus=8)
    before = handled.job("train")["spec"]
    handled.settings = handled.settings.model_copy(update={"move_seconds": 5})
    decision_id = new_id()
    arguments = {"pool": POOL, "job_id": "default/train", "node_id": "gpu-a"}
    with pytest.raises(Exception, match="deadline_passed"):
        carry_out_dying(handled, decision_id, "migrate_job", **arguments)
    assert handled.job("train")["spec"] == before
    assert handled.held() == {}
    handled.stand_in.settle(5)
    assert handled.nodes_of_job("train") == {"gpu-a"}
