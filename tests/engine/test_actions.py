"""Each action type by the contract, and none forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest

from engine.actions import actions
from engine.hands import CommandRefused
from engine.policies.rule import Proposal
from tests.engine.actions_contract import ActionContract, make_seen
from tests.engine.deciding import RecordingHands
from tests.makers import make_node
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


class TestPromotePolicy(ActionContract):
    name = "promote_policy"
    parameters: ClassVar = {"policy_id": "learned-1"}

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
    tested = {cls.name for cls in ActionContract.__subclasses__()}
    assert set(actions()) == set(ACTION_SPECS) == tested
