"""Choosing: the policy that steers goes first, the planning model has a veto."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from engine.actions import Candidate
from engine.choosing import MOST_OCCASIONAL, OCCASIONAL, Scene, choices, is_toward, weighed
from engine.circumstances import Circumstances
from engine.facts import Facts
from engine.gains import Gain
from engine.history import NO_PAST, PoolPast
from engine.observe import PoolObservation
from engine.policies import EMPTIES_ONLY, MIGRATE, NOBODY, STRICT
from engine.policies.rule import Proposal
from engine.shadow import HEAD_NAMES, Opinion
from tests.engine.actions_contract import make_health, make_job, make_room, make_seen
from tests.makers import NOON, POOL, make_forecast
from warehouse import controls

Gains = Mapping[tuple[str, Any], float]
ERROR_USD = 2.0


@dataclass
class SaidPlanner:
    """A planning model whose figures the test sets; what is not set loses plainly."""

    gains_usd: Gains
    on_top_usd: Gains = field(default_factory=dict)
    given: list[list[Candidate]] = field(default_factory=list)
    steers_on: bool | None = None

    def gains(
        self,
        seen: PoolObservation,
        past: PoolPast,
        candidates: Sequence[Candidate],
        horizon_seconds: int,
        given: Sequence[Candidate] = (),
        steers_on: bool = True,
    ) -> list[Gain]:
        self.given.append(list(given))
        self.steers_on = steers_on
        known = self.on_top_usd if given else self.gains_usd
        return [_gain(known.get(_key(one), -50.0)) for one in candidates]


def _key(one: Candidate) -> tuple[str, Any]:
    return one.action, next(iter(one.parameters.values()))


def _gain(mean: float) -> Gain:
    return Gain(mean, mean - 5, mean + 5, ERROR_USD, 0.0, 0.0, 0.0)


def scene(
    planner: SaidPlanner,
    *,
    nodes: int,
    price: float,
    policy: str = "learned-1",
    mode: str = "approve",
    limits: controls.Limits | None = None,
) -> Scene:
    goal = Proposal(nodes, price, 200.0, "do as the test says")
    certain = dict.fromkeys(HEAD_NAMES, 0.5)
    steers = Opinion(policy, "champion", goal, np.zeros(5, np.int64), certain)
    around = Circumstances(
        limits=limits or controls.Limits(),
        modes=dict.fromkeys(controls.GOVERNED_ACTIONS, mode),  # type: ignore[arg-type]
        kill_switch=controls.KillSwitch(False),
        breaker=controls.Breaker(False, 0),
        deeds=(),
        open_decisions={},
        now=NOON,
    )
    seen = make_seen(off=8, nodes_empty=4)
    return Scene(seen, NO_PAST, around, planner, steers)  # type: ignore[arg-type]


def chosen(at: Scene) -> list[tuple[str, Any, float]]:
    found = choices(at, weighed(at))
    return [(*_key(one.candidate), one.gain.mean_usd_per_hour) for one in found]


def test_a_learned_policys_own_proposal_goes_before_a_neighbour_that_looks_better() -> None:
    planner = SaidPlanner({("scale_up", 2): 6.0, ("scale_up", 4): 30.0})
    assert chosen(scene(planner, nodes=2, price=2.5)) == [("scale_up", 2, 6.0)]
    assert chosen(scene(planner, nodes=2, price=2.5, policy="rule")) == [("scale_up", 4, 30.0)]


def test_what_the_planner_expects_to_lose_is_not_proposed() -> None:
    planner = SaidPlanner({("scale_up", 2): -9.0, ("scale_up", 4): 30.0})
    assert chosen(scene(planner, nodes=2, price=2.5)) == []


@pytest.mark.parametrize(("mode", "count"), [("autonomous", 1), ("approve", 0)])
def test_people_are_not_asked_about_trifles_and_the_autonomous_goes_on(
    mode: str, count: int
) -> None:
    planner = SaidPlanner({("scale_up", 2): -0.5})  # within the error of nothing
    assert len(chosen(scene(planner, nodes=2, price=2.5, mode=mode))) == count


def test_a_policy_that_wants_no_change_makes_none() -> None:
    planner = SaidPlanner({("scale_up", 1): 30.0, ("adjust_price", 2.625): 30.0})
    assert chosen(scene(planner, nodes=0, price=2.5)) == []


def test_it_goes_as_far_toward_its_goal_as_the_guards_let_it() -> None:
    gains = {("scale_up", nodes): 20.0 for nodes in (4, 6, 8)}
    limits = controls.Limits(added_cost_budget_usd_per_hour=5.0)  # six nodes cost $7.20 an hour
    found = chosen(scene(SaidPlanner(gains), nodes=6, price=2.5, limits=limits))
    assert found == [("scale_up", 4, 20.0)]


def test_nodes_and_price_may_both_be_proposed_the_second_for_what_it_adds() -> None:
    planner = SaidPlanner(
        {("scale_up", 2): 20.0, ("adjust_price", 2.6): 9.0}, {("adjust_price", 2.6): 4.0}
    )
    found = chosen(scene(planner, nodes=2, price=2.6))
    assert found == [("scale_up", 2, 20.0), ("adjust_price", 2.6, 4.0)]
    assert [one.action for one in planner.given[-1]] == ["scale_up"]


def test_a_second_that_adds_nothing_to_the_first_is_left() -> None:
    planner = SaidPlanner(
        {("scale_up", 2): 20.0, ("adjust_price", 2.6): 9.0}, {("adjust_price", 2.6): -4.0}
    )
    assert chosen(scene(planner, nodes=2, price=2.6)) == [("scale_up", 2, 20.0)]


def test_toward_the_goal_is_neither_beyond_it_nor_away_from_it() -> None:
    seen, goal = make_seen(), Proposal(-3, 2.4, 100.0, "less")

    def toward(action: str, value: float) -> bool:
        name = "nodes" if action.startswith("scale") else "price_usd_per_gpu_hour"
        return is_toward(Candidate(action, "t", POOL, {name: value}), goal, seen)  # type: ignore[arg-type]

    assert [toward("scale_down", nodes) for nodes in (1, 3, 4)] == [True, True, False]
    assert not toward("scale_up", 1)
    assert [toward("adjust_price", price) for price in (2.45, 2.4, 2.3, 2.6)] == [
        True, True, False, False,
    ]  # fmt: skip


def test_a_policys_consolidation_is_had_by_emptying_as_many_nodes_as_are_not_empty() -> None:
    jobs = [make_job(str(at), f"node-{at}") for at in range(3)]  # node-3 is empty
    seen, goal = make_room(*jobs), Proposal(-2, 2.5, 10.0, "fewer", MIGRATE)

    def toward(node_ids: str, goal: Proposal = goal) -> bool:
        named = Candidate("rebalance", f"pool/{POOL}", POOL, {"node_ids": node_ids})
        return is_toward(named, goal, seen)

    assert toward("node-0")
    assert not toward("node-0,node-1")
    assert not toward("node-0", replace(goal, consolidation=EMPTIES_ONLY))


def test_a_policys_wish_to_heal_is_had_by_quarantine_and_repair() -> None:
    goal = Proposal(0, 2.5, 10.0, "keep", heal=STRICT)
    for action in ("quarantine_node", "repair_node"):
        of_node = Candidate(action, "node/node-0", POOL, {"node_id": "node-0"})  # type: ignore[arg-type]
        assert is_toward(of_node, goal, make_room())
        assert not is_toward(of_node, replace(goal, heal=NOBODY), make_room())


def test_the_health_of_nodes_is_weighed_whatever_a_learned_policy_says_of_it() -> None:
    planner = SaidPlanner({("quarantine_node", "node-00"): 30.0})
    at = scene(planner, nodes=0, price=2.5)
    ill = Facts(health={"node-08": make_health("node-08"), "node-00": make_health("node-00")})
    assert chosen(replace(at, seen=replace(at.seen, facts=ill))) == []  # node-00 is off
    planner = SaidPlanner({("quarantine_node", "node-08"): 30.0})
    at = replace(scene(planner, nodes=0, price=2.5), seen=replace(at.seen, facts=ill))
    assert chosen(at) == [("quarantine_node", "node-08", 30.0)]


def test_what_a_forecast_asks_for_is_proposed_as_a_pre_warming_and_not_twice() -> None:
    told = Facts(occupancy=(make_forecast(q90=270.0),))
    planner = SaidPlanner({("pre_warm", 2): 9.0, ("scale_up", 2): 9.0})
    at = scene(planner, nodes=0, price=2.5, policy="rule")
    found = weighed(replace(at, seen=replace(at.seen, facts=told)))
    nodes = sorted(
        (one.candidate.action, one.candidate.parameters["nodes"])
        for one in found
        if one.candidate.action in ("pre_warm", "scale_up")
    )
    assert nodes == [("pre_warm", 1), ("pre_warm", 2), ("pre_warm", 3)]


def test_empty_nodes_are_released_before_others_are_emptied_unless_that_is_worth_more() -> None:
    jobs = [make_job(str(at), f"node-{at}") for at in range(3)]
    names = {"release": ("scale_down", 1), "empty": ("rebalance", "node-0")}
    for better, worse in (("release", "empty"), ("empty", "release")):
        planner = SaidPlanner({names[better]: 9.0, names[worse]: 7.0})
        at = scene(planner, nodes=-2, price=2.5, limits=controls.Limits(max_disrupted_ratio=1.0))
        goal = replace(at.steers.goal, consolidation=MIGRATE)
        at = replace(at, seen=make_room(*jobs), steers=replace(at.steers, goal=goal))
        assert chosen(at) == [(*names[better], 9.0)]


def test_no_more_than_a_few_occasional_candidates_are_weighed_the_most_pressing_first() -> None:
    ill = Facts(health={f"node-{at}": make_health(f"node-{at}") for at in range(4)})
    jobs = [make_job(str(at), f"node-{at}", gpus=1) for at in (0, 1)]
    at = scene(SaidPlanner({}), nodes=-2, price=2.5, policy="rule")
    goal = replace(at.steers.goal, consolidation=MIGRATE)
    seen = make_room(*jobs, cordoned=["node-3"], facts=ill)
    found = weighed(replace(at, seen=seen, steers=replace(at.steers, goal=goal)))
    rare = [one.candidate.action for one in found if one.candidate.action in OCCASIONAL]
    assert {"quarantine_node", "repair_node"} <= set(rare)
    assert len(rare) <= MOST_OCCASIONAL


@pytest.mark.parametrize(("mode", "steers_on"), [("autonomous", True), ("approve", False)])
def test_where_people_decide_a_proposal_is_worth_what_leaving_it_would_lose(
    mode: str, steers_on: bool
) -> None:
    planner = SaidPlanner({("scale_up", 2): 6.0})
    chosen(scene(planner, nodes=2, price=2.5, mode=mode))
    assert planner.steers_on is steers_on
