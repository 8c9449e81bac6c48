"""The actions on nodes and jobs by the contract: migrate, rebalance, quarantine, repair."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

from engine.facts import Facts
from engine.observe import PoolObservation
from engine.policies import MIGRATE
from engine.policies.rule import Proposal
from tests.engine.actions_contract import (
    ActionContract,
    Job,
    make_after,
    make_health,
    make_job,
    make_room,
)
from tests.engine.deciding import RecordingHands
from tests.makers import NOON, make_cluster_job

KEEP = Proposal(0, 2.5, 200.0, "keep")
FEWER = Proposal(-4, 2.5, 100.0, "release nodes by moving jobs", MIGRATE)


class TestMigrateJob(ActionContract):
    name = "migrate_job"
    parameters: ClassVar = {"job_id": "small", "node_id": "node-0"}

    @property
    def seen(self) -> PoolObservation:
        return make_room(
            make_job("small", "node-0"),
            make_job("big", "node-0", gpus=4),
            make_job("other", "node-1", gpus=4),
            facts=_ill("node-0"),
        )

    def _moved(self, seen: PoolObservation, goal: Proposal = KEEP) -> list[str]:
        return [one.parameters["job_id"] for one in self.action.candidates(seen, goal)]

    def test_jobs_leave_an_ill_node_the_one_with_least_to_lose_first(self) -> None:
        assert self._moved(self.seen) == ["small", "big"]
        assert self._moved(replace(self.seen, facts=Facts())) == []

    def test_a_job_that_can_not_be_checkpointed_or_disturbed_is_never_proposed(self) -> None:
        known = {
            "small": make_cluster_job(job_id="small", checkpoints=False),
            "big": make_cluster_job(job_id="big", is_do_not_disrupt=True),
        }
        seen = replace(self.seen, facts=replace(_ill("node-0"), jobs=known))
        assert self._moved(seen) == []
        assert "checkpointed" in str(self.action.recheck(seen, self.parameters))

    def test_a_job_that_alone_keeps_a_node_busy_goes_where_nodes_are_to_be_released(self) -> None:
        seen = make_room(
            make_job("fresh", "node-0"),
            make_job("stale", "node-1", saved_at=NOON - timedelta(hours=2)),
            make_job("full", "node-2", gpus=6),
        )
        assert self._moved(seen) == []
        assert self._moved(seen, Proposal(-1, 2.5, 20.0, "fewer")) == ["fresh"]

    def test_it_makes_no_sense_where_the_job_has_left_or_there_is_no_room(self) -> None:
        gone = make_room(make_job("small", "node-1"))
        assert "no longer" in str(self.action.recheck(gone, self.parameters))
        full = [make_job(f"full-{at}", f"node-{at}", gpus=8) for at in (1, 2, 3)]
        crowded = make_room(make_job("small", "node-0"), *full)
        assert "no other node has room" in str(self.action.recheck(crowded, self.parameters))

    def test_it_is_a_success_where_the_job_runs_elsewhere(self) -> None:
        def is_met(*jobs: Job) -> bool | None:
            return self.action.is_met(make_after(make_room(*jobs), self.parameters))

        assert is_met(make_job("small", "node-2")) is True
        assert is_met(make_job("small", "node-0")) is False
        assert is_met(make_job("small", event="preempted")) is False
        assert is_met() is None


class TestRebalance(ActionContract):
    name = "rebalance"
    parameters: ClassVar = {"node_ids": "node-1,node-0"}

    @property
    def seen(self) -> PoolObservation:
        return make_room(
            make_job("a", "node-0", gpus=3),
            make_job("b", "node-1", gpus=2),
            make_job("c", "node-2", gpus=3),
            make_job("d", "node-3", gpus=4),
        )

    def _emptied(self, seen: PoolObservation, goal: Proposal) -> list[str]:
        return [one.parameters["node_ids"] for one in self.action.candidates(seen, goal)]

    def test_the_least_used_nodes_go_first_and_only_where_all_their_jobs_fit_elsewhere(
        self,
    ) -> None:
        assert self._emptied(self.seen, FEWER) == ["node-1", "node-1,node-0"]

    def test_only_where_who_steers_would_move_jobs_and_beyond_what_is_empty(self) -> None:
        assert self._emptied(self.seen, Proposal(-4, 2.5, 10.0, "fewer")) == []
        seen = make_room(make_job("a", "node-0"), make_job("b", "node-1"))  # two are empty
        assert self._emptied(seen, replace(FEWER, nodes=-2)) == []
        assert self._emptied(seen, replace(FEWER, nodes=-3)) == ["node-0"]
        waiting = make_room(make_job("a", "node-0"), queued_jobs=1, queued_gpus=2)
        assert self._emptied(waiting, FEWER) == []

    def test_leases_go_before_own_nodes(self) -> None:
        jobs = (make_job("a", "node-0", gpus=1), make_job("b", "node-3", gpus=2))
        assert self._emptied(make_room(*jobs, leased=["node-3"]), FEWER)[0] == "node-3"

    def test_a_node_whose_jobs_are_not_all_known_or_must_stay_is_left(self) -> None:
        seen = make_room(make_job("a", "node-0"), make_job("b", "node-1"))
        unknown = replace(seen, jobs=seen.jobs.filter(job_id="b"))
        assert self._emptied(unknown, FEWER) == ["node-1"]
        kept = replace(seen, facts=Facts(kept_nodes=frozenset({"node-0"})))
        assert self._emptied(kept, FEWER) == ["node-1"]

    def test_its_command_names_the_nodes_and_undoing_switches_on_as_many(self) -> None:
        hands = RecordingHands()
        self.action.execute(hands, "d", "pool", self.parameters)
        self.action.undo(hands, "d:undo", "pool", {"node_ids": ["node-1"]})
        assert hands.asked == [
            ("d", "rebalance", {"pool": "pool", "node_ids": ["node-1", "node-0"]}),
            ("d:undo", "scale_up", {"pool": "pool", "nodes": 1}),
        ]

    def test_it_is_a_success_where_the_nodes_are_gone_and_nobody_waits(self) -> None:
        seen = self.seen
        assert self.action.is_met(make_after(seen, self.parameters)) is False
        gone = replace(seen, nodes=seen.nodes[2:])
        assert self.action.is_met(make_after(gone, self.parameters)) is True


class TestQuarantineNode(ActionContract):
    name = "quarantine_node"
    parameters: ClassVar = {"node_id": "node-0"}

    @property
    def seen(self) -> PoolObservation:
        return make_room(make_job("a", "node-0"), facts=_ill("node-0"))

    def test_the_worst_node_goes_first_and_one_that_is_closed_already_does_not(self) -> None:
        ill = Facts(
            health={
                "node-0": make_health("node-0", health_ratio=0.4),
                "node-1": make_health("node-1", health_ratio=0.1),
                "node-2": make_health("node-2", is_suspect=False, health_ratio=0.9),
                "node-3": make_health("node-3", health_ratio=0.0),
            }
        )
        found = self.action.candidates(make_room(cordoned=["node-3"], facts=ill), KEEP)
        assert [one.target for one in found] == ["node/node-1", "node/node-0"]

    def test_it_takes_the_free_gpus_away(self) -> None:
        assert self.action.removed_gpus(self.seen, self.parameters) == 6

    def test_it_makes_no_sense_for_a_node_that_is_sound_closed_or_gone(self) -> None:
        sound, closed = make_room(), make_room(cordoned=["node-0"], facts=_ill("node-0"))
        assert "sound" in str(self.action.recheck(sound, self.parameters))
        assert "cordoned" in str(self.action.recheck(closed, self.parameters))
        assert "gone" in str(self.action.recheck(sound, {"node_id": "node-9"}))

    def test_undoing_opens_the_node_again_where_it_is_still_closed(self) -> None:
        hands = RecordingHands()
        self.action.undo(hands, "d:undo", "pool", self.parameters)
        returned = {"pool": "pool", "node_id": "node-0"}
        assert hands.asked == [("d:undo", "return_node", returned)]
        closed = make_room(cordoned=["node-0"])
        assert self.action.undo_recheck(closed, self.parameters, {}) is None
        assert self.action.undo_recheck(make_room(), self.parameters, {}) is not None

    def test_it_is_a_success_where_no_job_runs_on_the_ill_node(self) -> None:
        assert self.action.is_met(make_after(self.seen, self.parameters)) is False
        emptied = make_room(facts=_ill("node-0"))
        assert self.action.is_met(make_after(emptied, self.parameters)) is True


class TestRepairNode(ActionContract):
    name = "repair_node"
    parameters: ClassVar = {"node_id": "node-0"}

    @property
    def seen(self) -> PoolObservation:
        return make_room(cordoned=["node-0"], facts=Facts(quarantined={"node-0": "d-1"}))

    def test_what_we_took_out_of_use_or_is_ill_and_closed_and_nothing_else(self) -> None:
        def repaired(seen: PoolObservation) -> list[str]:
            return [one.target for one in self.action.candidates(seen, KEEP)]

        assert repaired(self.seen) == ["node/node-0"]
        assert repaired(make_room(cordoned=["node-1"], facts=_ill("node-1"))) == ["node/node-1"]
        assert repaired(make_room(cordoned=["node-0"])) == []  # closed by somebody, for a reason
        assert repaired(make_room(facts=_ill("node-0"))) == []

    def test_not_while_jobs_hold_it(self) -> None:
        held = make_room(make_job("a", "node-0"), cordoned=["node-0"], facts=_ill("node-0"))
        assert self.action.candidates(held, KEEP) == []
        assert "hold 2 GPUs" in str(self.action.recheck(held, self.parameters))

    def test_it_is_a_success_where_the_node_is_back_and_sound_or_replaced(self) -> None:
        assert self.action.is_met(make_after(make_room(), self.parameters)) is True
        assert self.action.is_met(make_after(self.seen, self.parameters)) is False
        ill = make_room(facts=_ill("node-0"))
        assert self.action.is_met(make_after(ill, self.parameters)) is False
        assert self.action.is_met(make_after(make_room(), {"node_id": "node-9"})) is True


def _ill(node_id: str) -> Facts:
    return Facts(health={node_id: make_health(node_id)})
