"""Each action type by the contract, and none forgotten."""

from __future__ import annotations

import importlib
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pytest

from engine.actions import actions
from engine.facts import Facts
from engine.hands import CommandRefused
from engine.observe import PoolObservation
from engine.policies.rule import Proposal
from tests.engine.actions_contract import ActionContract, make_after, make_seen
from tests.engine.deciding import RecordingHands
from tests.makers import NOON, make_forecast, make_node
from warehouse.actions import ACTION_SPECS

KEEP = Proposal(0, 2.5, 200.0, "keep")


class TestScaleUp(ActionContract):
    name = "scale_up"
    parameters: ClassVar = {"nodes": 2}

    def test_no_more_nodes_than_there_are(self) -> None:
        seen = make_seen(off=0)
        seen.features["startable_leased_nodes"] = 1
        found = self.action.candidates(seen, Proposal(4, 2.5, 300.0, "more"))
        assert [one.parameters["nodes"] for one in found] == [1]
        assert self.action.recheck(seen, {"nodes": 2}) is not None

    def test_own_nodes_cost_power_and_leased_ones_their_lease(self) -> None:
        seen = make_seen(off=1)
        cost = self.action.added_cost_usd_per_hour(seen, {"nodes": 2})
        assert cost == pytest.approx(8 * 0.15 + 8 * 1.90)

    def test_undoing_waits_for_a_person_only_where_every_node_is_in_use(self) -> None:
        busy, empty = make_node(node_id="a"), make_node(node_id="b", gpus_used=0)
        seen = replace(make_seen(), nodes=(busy, empty))

        def why_not(*node_ids: str) -> str | None:
            return self.action.undo_recheck(seen, self.parameters, {"node_ids": node_ids})

        assert why_not("a") == "its nodes are in use"
        assert why_not("a", "b") is None
        assert why_not("unread") is None

    def test_undoing_says_so_where_every_node_is_busy(self) -> None:
        hands = RecordingHands(error=CommandRefused("the node holds jobs"))
        with pytest.raises(CommandRefused, match="holds jobs"):
            self.action.undo(hands, "d:undo", "pool", {"node_ids": ["n1"]})


class TestScaleDown(ActionContract):
    name = "scale_down"
    parameters: ClassVar = {"nodes": 2}

    def test_only_empty_nodes_and_never_while_somebody_waits(self) -> None:
        seen = make_seen(nodes_empty=1)
        found = self.action.candidates(seen, Proposal(-4, 2.5, 100.0, "fewer"))
        assert [one.parameters["nodes"] for one in found if one.parameters["nodes"] > 1] == []
        assert self.action.recheck(seen, {"nodes": 2}) is not None
        waiting = make_seen(nodes_empty=4, queued_jobs=1)
        assert "wait" in str(self.action.recheck(waiting, {"nodes": 1}))

    def test_undoing_switches_as_many_nodes_on_again(self) -> None:
        hands = RecordingHands()
        self.action.undo(hands, "d:undo", "pool", {"node_ids": ["a", "b", "c"]})
        assert hands.asked == [("d:undo", "scale_up", {"pool": "pool", "nodes": 3})]


class TestAdjustPrice(ActionContract):
    name = "adjust_price"
    parameters: ClassVar = {"price_usd_per_gpu_hour": 2.6}

    def test_the_goal_is_approached_by_one_step_at_most(self) -> None:
        found = self.action.candidates(make_seen(), Proposal(0, 9.0, 200.0, "dearer"))
        assert max(one.parameters["price_usd_per_gpu_hour"] for one in found) == 2.75

    def test_the_price_in_force_is_no_change(self) -> None:
        assert self.action.recheck(make_seen(), {"price_usd_per_gpu_hour": 2.5}) is not None


class TestPreWarm(ActionContract):
    name = "pre_warm"
    parameters: ClassVar = {"nodes": 2}

    @property
    def seen(self) -> PoolObservation:
        return _foreseen(275.0)

    def _candidates(self, seen: PoolObservation, goal: Proposal = KEEP) -> list[int]:
        return [one.parameters["nodes"] for one in self.action.candidates(seen, goal)]

    def test_as_many_nodes_as_the_forecast_lacks_and_their_neighbours(self) -> None:
        assert self._candidates(self.seen) == [2, 3, 4]  # 19 GPUs more than the 256 that are on
        assert self._candidates(_foreseen(256.0)) == []

    def test_not_where_who_steers_wants_nodes_anyway_or_nothing_is_forecast(self) -> None:
        assert self._candidates(self.seen, Proposal(2, 2.5, 300.0, "more")) == []
        assert self._candidates(make_seen(off=8)) == []

    def test_a_demand_that_is_further_off_than_a_node_takes_to_start_can_wait(self) -> None:
        assert self._candidates(_foreseen(275.0, hours=6)) == []

    def test_a_forecast_that_was_taken_back_makes_no_sense_any_more(self) -> None:
        assert "forecast" in str(self.action.recheck(_foreseen(250.0), {"nodes": 2}))

    def test_undoing_lets_go_of_its_own_nodes(self) -> None:
        hands = RecordingHands()
        self.action.undo(hands, "d:undo", "pool", {"nodes": 2, "node_ids": ["a", "b"]})
        asked = {"pool": "pool", "nodes": 2, "node_ids": ["a", "b"]}
        assert hands.asked == [("d:undo", "cool_down", asked)]

    def test_it_is_a_success_where_jobs_came_and_nobody_waits(self) -> None:
        seen = make_seen()
        ours = {"node_ids": ["node-03"]}
        assert self.action.is_met(make_after(seen, result=ours)) is True
        waiting = make_seen(queued_jobs=1, queued_gpus=4)
        assert self.action.is_met(make_after(waiting, result=ours)) is False
        assert self.action.is_met(make_after(seen, result={})) is None


def _foreseen(q90: float, hours: float = 1) -> PoolObservation:
    """256 GPUs are on, eight nodes are off, and so many GPUs are wanted before long."""
    told = make_forecast(q90=q90, target_at=NOON + timedelta(hours=hours))
    return replace(make_seen(off=8, nodes_empty=8), facts=Facts(occupancy=(told,)))


class TestPromotePolicy(ActionContract):
    name = "promote_policy"
    parameters: ClassVar = {"policy_id": "learned-1"}
    is_proposed = False

    def test_no_pool_asks_for_it(self) -> None:
        assert self.action.candidates(make_seen(), KEEP) == []

    def test_its_command_and_its_undoing_name_the_policy(self) -> None:
        hands = RecordingHands()
        self.action.execute(hands, "d", "all", self.parameters)
        self.action.undo(hands, "d:undo", "all", {"policy_id": "learned-1"})
        asked = {"policy_id": "learned-1"}
        assert hands.asked == [("d", "promote_policy", asked), ("d:undo", "roll_back", asked)]


class TestDoNothing(ActionContract):
    name = "do_nothing"
    parameters: ClassVar = {}

    def test_it_can_always_be_done_and_never_undone(self) -> None:
        assert len(self.action.candidates(make_seen(), KEEP)) == 1
        with pytest.raises(CommandRefused):
            self.action.undo(RecordingHands(), "d:undo", "pool", {})


def test_every_action_that_can_be_carried_out_is_here_and_tested() -> None:
    importlib.import_module("tests.engine.test_node_actions")
    tested = {cls.name for cls in ActionContract.__subclasses__()}
    assert set(actions()) == set(ACTION_SPECS) == tested
