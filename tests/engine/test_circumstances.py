"""What the guards look at is read from the newest rows: rights, protection, quarantines."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from engine.circumstances import Protected, circumstances
from tests.makers import NOON, make_decision
from warehouse import controls, decisions
from warehouse.records import ClusterJob, ClusterNode, ClusterPod, ClusterRight, Execution
from warehouse.store import Store

LATER = NOON + timedelta(minutes=1)
NODE = ClusterNode(
    node_id="n1", uid="u1", pool="h100", gpu_count=8, is_ready=True, is_unschedulable=False,
    conditions=[], taints=[], is_do_not_disrupt=True, resource_version="1", is_gone=False,
    created_at=NOON, source="test", measured_at=NOON,
)  # fmt: skip
POD = ClusterPod(
    pod_id="team/p", uid="u2", job_id="team/train", tenant="team", node_id="n2", gpu_count=1,
    phase="Running", is_terminating=False, is_do_not_disrupt=True, is_gone=False,
    created_at=NOON, source="test", measured_at=NOON,
)  # fmt: skip
JOB = ClusterJob(
    job_id="team/train", uid="u3", tenant="team", gpu_count=1, active_pods=1, is_suspended=False,
    state="running", checkpoints=True, is_do_not_disrupt=True, generation=1, is_gone=False,
    created_at=NOON, source="test", measured_at=NOON,
)  # fmt: skip


def test_without_a_cluster_nothing_is_protected_or_missing(store: Store) -> None:
    found = circumstances(store, NOON)
    assert found.protected == Protected()
    assert (found.missing_rights, found.quarantines_begun) == ({}, 0)
    assert not any(found.four_eyes.values())


def test_what_says_so_is_protected_until_it_says_so_no_more(store: Store) -> None:
    second = replace(NODE, node_id="n2", is_do_not_disrupt=False)
    store.append([NODE, second, POD, JOB])
    found = circumstances(store, NOON).protected
    assert found.nodes == {"n1": "the node itself", "n2": "a pod on it"}
    assert (found.jobs, found.nodes_by_pool) == (frozenset({"team/train"}), {"h100": 2})
    store.append(
        [
            replace(NODE, is_do_not_disrupt=False, measured_at=LATER),
            replace(POD, is_gone=True, measured_at=LATER),
            replace(JOB, state="finished", measured_at=LATER),
        ]
    )
    assert circumstances(store, LATER).protected == Protected()


def test_missing_rights_are_told_by_the_action_that_needs_them(store: Store) -> None:
    for right in ("create pods/eviction", "patch nodes"):
        store.append(
            [ClusterRight(action="quarantine_node", right=right, is_allowed=False, checked_at=NOON)]
        )
    assert circumstances(store, NOON).missing_rights == {
        "quarantine_node": ("create pods/eviction", "patch nodes")
    }


def test_quarantines_are_counted_but_for_the_one_that_is_asked_about(store: Store) -> None:
    for number in (1, 2):
        decisions.propose(
            store,
            make_decision(
                decision_id=f"q{number}",
                action="quarantine_node",
                target=f"node/n{number}",
                parameters={"node_id": f"n{number}"},
            ),
        )
    decisions.approve(store, "q1", by="ada", via="api", now=NOON)
    begun = Execution(
        decision_id="q1", kind="do", phase="intended", parameters={}, result={}, happened_at=NOON
    )
    store.append([begun])
    found = circumstances(store, LATER, but_for="q2")
    assert (found.quarantines_begun, found.quarantines_open) == (1, frozenset({"q1"}))
    controls.set_four_eyes(store, "quarantine_node", True, by="ada", reason=None, now=NOON)
    assert circumstances(store, LATER).four_eyes["quarantine_node"]
