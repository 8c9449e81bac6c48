"""What an earlier life left behind in the cluster, found at the start: `reconcile`."""

from __future__ import annotations

from typing import Any

import pytest

from engine.hands import CommandFailed
from engine.kubernetes.marks import DECISION
from engine.kubernetes.reconcile import reconcile
from tests.engine.kubernetes.cluster import POOL, Handled, new_id
from tests.makers import make_decision
from warehouse import decisions
from warehouse.records import Execution

MOVE: dict[str, Any] = {"pool": POOL, "job_id": "default/train", "node_id": "gpu-a"}


def decided(handled: Handled, action: str, phase: str | None) -> str:
    """A decision that was approved and, with a phase, has come so far."""
    decision_id, now = new_id(), handled.clock.now()
    parameters = {"node_id": "gpu-a"} if action == "quarantine_node" else dict(MOVE)
    parameters.pop("pool", None)
    decision = make_decision(
        decision_id=decision_id,
        action=action,
        target=f"test/{decision_id}",
        parameters=parameters,
        proposed_at=now,
    )
    decisions.propose(handled.store, decision)
    decisions.approve(handled.store, decision_id, by="ada", via="api", now=now)
    row = {"decision_id": decision_id, "kind": "do", "parameters": {}, "result": {}}
    phases = [each for each in ("intended", phase) if each]
    handled.store.append([Execution(**row, phase=each, happened_at=now) for each in phases])
    return decision_id


def test_nothing_is_said_of_a_cluster_that_bears_no_mark(handled: Handled) -> None:
    handled.placed("train", "gpu-a", "gpu-b")
    assert reconcile(handled.store, handled.api, handled.clock.now()) == []
    assert handled.writes() == []


@pytest.mark.parametrize("phase", [None, "succeeded"])
def test_a_quarantine_that_goes_on_or_holds_is_left_as_it_is(
    handled: Handled, phase: str | None
) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    decision_id = decided(handled, "quarantine_node", phase)
    handled.carry_out(decision_id, "quarantine_node", pool=POOL, node_id="gpu-a")
    assert reconcile(handled.store, handled.api, handled.clock.now()) == []
    assert [*handled.held()] == ["node/gpu-a"]


def test_a_node_that_a_failed_decision_still_holds_is_opened(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    decision_id = decided(handled, "quarantine_node", "failed")
    handled.carry_out(decision_id, "quarantine_node", pool=POOL, node_id="gpu-a")
    (said,) = reconcile(handled.store, handled.api, handled.clock.now())
    assert "node/gpu-a bears the mark" in said
    assert "it was given back" in said
    assert "unschedulable" not in handled.node("gpu-a")["spec"]
    last = handled.rows(decision_id)[-1]
    assert (last.step, last.phase, last.detail) == ("reconcile", "reverted", said)
    assert reconcile(handled.store, handled.api, handled.clock.now()) == []


def test_a_job_that_was_left_suspended_is_resumed_with_its_affinity(handled: Handled) -> None:
    handled.placed("train", "gpu-a", "gpu-b", grace_seconds=3)
    before = handled.job("train")["spec"]
    decision_id = decided(handled, "migrate_job", None)
    handled.begin(decision_id, "migrate_job", **MOVE)
    handled.stand_in.settle(3)
    handled.begin(decision_id, "migrate_job", **MOVE)
    handled.stand_in.settle(6)
    handled.stand_in.faults.forbid("patch", "jobs")
    with pytest.raises(CommandFailed, match="not taken back"):
        handled.hands.perform(decision_id, "migrate_job", MOVE)
    handled.store.append(
        [
            Execution(
                decision_id=decision_id,
                kind="do",
                phase="failed",
                parameters={},
                result={},
                happened_at=handled.clock.now(),
            )
        ]
    )
    handled.stand_in.faults.calm()
    (said,) = reconcile(handled.store, handled.api, handled.clock.now())
    assert "it was given back" in said
    assert handled.job("train")["spec"] == before
    assert handled.held() == {}


def test_the_mark_of_a_decision_unknown_here_is_said_and_left(handled: Handled) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL, annotations={DECISION: "of-another-warehouse"})
    handled.api.patch("/api/v1/nodes/gpu-a", {"spec": {"unschedulable": True}})
    (said,) = reconcile(handled.store, handled.api, handled.clock.now())
    assert "no decision of that id is known here" in said
    assert handled.node("gpu-a")["spec"]["unschedulable"] is True
    assert handled.rows("of-another-warehouse")[-1].phase == "left"


def test_a_quarantined_node_that_somebody_opened_loses_our_mark_and_is_theirs(
    handled: Handled,
) -> None:
    handled.stand_in.add_node("gpu-a", pool=POOL)
    decision_id = decided(handled, "quarantine_node", "succeeded")
    handled.carry_out(decision_id, "quarantine_node", pool=POOL, node_id="gpu-a")
    handled.api.patch("/api/v1/nodes/gpu-a", {"spec": {"unschedulable": False}})
    (said,) = reconcile(handled.store, handled.api, handled.clock.now())
    assert "it was given back" in said
    assert handled.held() == {}
    handled.api.patch("/api/v1/nodes/gpu-a", {"spec": {"unschedulable": True}})
    handled.ending(f"{decision_id}:undo", "return_node", pool=POOL, node_id="gpu-a")
    assert handled.node("gpu-a")["spec"]["unschedulable"] is True
