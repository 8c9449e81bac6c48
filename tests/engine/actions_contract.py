"""What holds for every action type; each one's test inherits it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import polars as pl

from engine.actions import Action, actions
from engine.observe import PoolObservation, features_of, flows_of
from engine.policies.rule import Proposal
from tests.makers import NOON, POOL, make_node, make_pool, make_pool_state
from warehouse.actions import ACTION_SPECS, checked_parameters


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


GOALS = [
    Proposal(nodes, price, 200.0, "as the test says")
    for nodes in (-8, -1, 0, 1, 8)
    for price in (2.0, 2.5, 3.1)
]
"""What the rule may want: less, nothing, more."""


class ActionContract:
    """Inherit it, name the action, and give parameters that it takes."""

    name: ClassVar[str]
    parameters: ClassVar[Mapping[str, Any]]

    @property
    def action(self) -> Action:
        return actions()[self.name]

    def test_it_is_one_of_the_actions_that_people_can_read_about(self) -> None:
        assert self.action.name == self.name
        assert self.name in ACTION_SPECS

    def test_every_candidate_has_parameters_that_its_words_allow(self) -> None:
        for goal in GOALS:
            for candidate in self.action.candidates(make_seen(off=8, nodes_empty=8), goal):
                assert candidate.action == self.name
                assert candidate.target == self.action.target(POOL)
                checked = checked_parameters(self.name, candidate.parameters)
                assert checked == candidate.parameters

    def test_no_two_candidates_are_the_same(self) -> None:
        for goal in GOALS:
            found = self.action.candidates(make_seen(off=8, nodes_empty=8), goal)
            assert len({str(one.parameters) for one in found}) == len(found)

    def test_every_candidate_still_makes_sense_while_nothing_has_changed(self) -> None:
        seen = make_seen(off=8, nodes_empty=8)
        for goal in GOALS:
            for candidate in self.action.candidates(seen, goal):
                assert self.action.recheck(seen, candidate.parameters) is None

    def test_it_neither_adds_negative_cost_nor_takes_away_negative_gpus(self) -> None:
        seen = make_seen(off=8, nodes_empty=8)
        assert self.action.added_cost_usd_per_hour(seen, self.parameters) >= 0
        assert self.action.removed_gpus(seen, self.parameters) >= 0
