"""What holds for every action type; each one's test inherits it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import polars as pl
import pytest

from engine.actions import Action, Afterwards, actions
from engine.facts import Facts
from engine.hands import CommandRefused
from engine.observe import _JOB_COLUMNS, PoolObservation, features_of, flows_of
from engine.policies import MIGRATE
from engine.policies.rule import Proposal
from tests.engine.deciding import RecordingHands
from tests.makers import NOON, POOL, make_node, make_pool, make_pool_state
from warehouse.actions import ACTION_SPECS, checked_parameters
from warehouse.limits import Limits
from warehouse.records import NodeHealth


def make_seen(
    *, off: int = 0, flows: dict[str, float] | None = None, **state: Any
) -> PoolObservation:
    """A pool of 32 owned nodes, `off` of them switched off, read just now.

    The GPUs in use are spread over the nodes that are on and not empty.
    """
    pool, read = make_pool(), make_pool_state(nodes_off=off, **state)
    busy = max(32 - off - read.nodes_empty, 1)
    nodes = tuple(
        make_node(
            node_id=f"node-{i:02d}",
            state="off" if i < off else "active",
            gpus_used=_share(read.gpus_used, busy, i - off),
        )
        for i in range(32)
    )
    arrivals = pl.DataFrame(schema={"pool": pl.String, "event": pl.String})
    features = features_of(pool, read, nodes, NOON) | flows_of(arrivals, POOL)
    return PoolObservation("seen-1", pool, read, nodes, pl.DataFrame(), features, 1, NOON)


def _share(gpus: int, nodes: int, place: int) -> int:
    return gpus // nodes + (place < gpus % nodes) if 0 <= place < nodes else 0


Job = dict[str, Any]


def make_job(job_id: str, *node_ids: str, gpus: int = 2, **changes: Any) -> Job:
    """A job that has run for two hours on these nodes and saved its work ten minutes ago."""
    made = {
        "job_id": job_id,
        "gpu_count": gpus,
        "event": "started",
        "node_ids": json.dumps(node_ids),
        "price": 2.5,
        "queued_at": NOON - timedelta(hours=3),
        "started_at": NOON - timedelta(hours=2),
        "saved_at": NOON - timedelta(minutes=10),
    }
    return made | changes


def make_health(node_id: str, **changes: Any) -> NodeHealth:
    """An ill node."""
    pieces = [{"signal": "xid", "value": 79, "weight_ratio": 0.8, "words": "XID 79: GPU lost"}]
    made = NodeHealth(
        node_id=node_id,
        pool=POOL,
        health_ratio=0.2,
        is_suspect=True,
        evidence=pieces,
        onset_at=NOON - timedelta(minutes=20),
        judged_at=NOON - timedelta(minutes=5),
    )
    return replace(made, **changes)


def make_room(
    *jobs: Job,
    cordoned: Sequence[str] = (),
    leased: Sequence[str] = (),
    facts: Facts | None = None,
    **state: Any,
) -> PoolObservation:
    """A pool of four nodes, node-0 to node-3, that these jobs hold and nobody else."""
    used = {f"node-{at}": 0 for at in range(4)}
    for job in jobs:
        for node_id in json.loads(job["node_ids"]):
            used[node_id] += min(job["gpu_count"], 8)
    nodes = tuple(
        make_node(
            node_id=node_id,
            kind="leased" if node_id in leased else "owned",
            state="cordoned" if node_id in cordoned else "active",
            gpus_used=gpus,
        )
        for node_id, gpus in used.items()
    )
    empty = sum(not node.gpus_used and node.state == "active" for node in nodes)
    read = make_pool_state(
        **{"gpus_on": 32, "gpus_used": sum(used.values()), "nodes_empty": empty,
           "owned_nodes_on": 4 - len(leased), "leased_nodes_on": len(leased),
           "running_jobs": len(jobs), **state}
    )  # fmt: skip
    pool = make_pool(owned_nodes=4)
    arrivals = pl.DataFrame(schema={"pool": pl.String, "event": pl.String})
    features = features_of(pool, read, nodes, NOON) | flows_of(arrivals, POOL)
    frame = pl.DataFrame(list(jobs), schema=_JOB_COLUMNS)
    known = facts or Facts()
    return PoolObservation("seen-1", pool, read, nodes, frame, features, 1, NOON, facts=known)


GOALS = [
    Proposal(nodes, price, 200.0, "as the test says")
    for nodes in (-8, -1, 0, 1, 8)
    for price in (2.0, 2.5, 3.1)
] + [Proposal(-4, 2.5, 100.0, "release nodes by moving jobs", MIGRATE)]
"""What the rule may want: less, nothing, more."""


def make_after(
    seen: PoolObservation,
    parameters: Mapping[str, Any] | None = None,
    result: Mapping[str, Any] | None = None,
) -> Afterwards:
    """A deed that helped, eight GPUs having been waited for before it."""
    return Afterwards({"queued_gpus": 8}, seen, parameters or {}, result or {}, "helped")


class ActionContract:
    """Inherit it, name the action, give it parameters and a pool that gives it cause."""

    name: ClassVar[str]
    parameters: ClassVar[Mapping[str, Any]]
    is_proposed: ClassVar[bool] = True
    """whether a pool can give it cause at all"""

    @property
    def action(self) -> Action:
        return actions()[self.name]

    @property
    def seen(self) -> PoolObservation:
        return make_seen(off=8, nodes_empty=8)

    def test_it_is_one_of_the_actions_that_people_can_read_about(self) -> None:
        assert self.action.name == self.name
        assert self.name in ACTION_SPECS

    def test_it_is_proposed_where_there_is_cause_and_for_few_things_at_once(self) -> None:
        counts = [len(self.action.candidates(self.seen, goal)) for goal in GOALS]
        assert (max(counts) > 0) is self.is_proposed
        assert max(counts) <= 6

    def test_every_candidate_has_parameters_that_its_words_allow(self) -> None:
        for goal in GOALS:
            for candidate in self.action.candidates(self.seen, goal):
                assert candidate.action == self.name
                assert candidate.target == self.action.target(POOL, candidate.parameters)
                checked = checked_parameters(self.name, candidate.parameters)
                assert checked == candidate.parameters

    def test_no_two_candidates_are_the_same(self) -> None:
        for goal in GOALS:
            found = self.action.candidates(self.seen, goal)
            assert len({str(one.parameters) for one in found}) == len(found)

    def test_every_candidate_still_makes_sense_while_nothing_has_changed(self) -> None:
        for goal in GOALS:
            for candidate in self.action.candidates(self.seen, goal):
                assert self.action.recheck(self.seen, candidate.parameters) is None

    def test_it_neither_adds_negative_cost_nor_takes_away_negative_gpus(self) -> None:
        assert self.action.added_cost_usd_per_hour(self.seen, self.parameters) >= 0
        assert self.action.removed_gpus(self.seen, self.parameters) >= 0

    def test_it_says_when_it_is_measured_and_when_it_is_a_success(self) -> None:
        assert 0 < self.action.horizon_seconds(Limits()) <= 86_400
        assert bool(self.action.criterion(self.parameters)) is (self.name != "do_nothing")

    def test_what_can_not_be_undone_says_so(self) -> None:
        if not self.action.can_undo:
            assert self.action.undo_recheck(self.seen, self.parameters, {})
            with pytest.raises(CommandRefused):
                self.action.undo(RecordingHands(), "d:undo", POOL, {})
