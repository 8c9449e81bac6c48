"""Undoing: what was carried out is taken back, where that still makes sense."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from engine import guards
from engine.actions import actions
from engine.circumstances import circumstances
from tests.engine.actions_contract import make_seen
from tests.engine.deciding import MINUTE, approve, follow_up, price, proposed, state
from tests.engine.world import NAME, Played
from tests.makers import make_node
from warehouse import controls, decisions
from warehouse.records import Refusal


def test_what_was_done_is_taken_back_when_asked(played: Played) -> None:
    proposed(played)
    approve(played)
    follow_up(played)
    played.forward(5 * MINUTE)
    decisions.ask_undo(played.store, "decision-1", by="ada", reason="regret", now=played.now)
    follow_up(played)
    assert state(played) == "undone"
    assert price(played) == 2.89


def test_a_scale_up_is_taken_back_node_by_node(played: Played) -> None:
    proposed(played, action="scale_up", target=f"pool/{NAME}", parameters={"nodes": 2})
    approve(played)
    follow_up(played)
    played.forward(MINUTE)
    decisions.ask_undo(played.store, "decision-1", by="ada", reason="regret", now=played.now)
    follow_up(played)
    assert state(played) == "undone"
    booting = played.world.fleet.pools[NAME].state.nodes[0]["state"] == 1
    assert not booting.any()


def test_undoing_waits_for_the_kill_switch_and_is_not_forgotten(played: Played) -> None:
    proposed(played)
    approve(played)
    follow_up(played)
    played.forward(MINUTE)
    decisions.ask_undo(played.store, "decision-1", by="ada", reason="regret", now=played.now)
    controls.set_kill_switch(played.store, True, by="bob", reason="storm", now=played.now)
    follow_up(played)
    assert state(played) == "undoing"
    controls.set_kill_switch(played.store, False, by="bob", reason="over", now=played.now)
    follow_up(played)
    assert state(played) == "undone"


def test_who_asks_for_the_old_price_is_named_on_the_price_list(played: Played) -> None:
    proposed(played, mode="autonomous")
    controls.set_mode(
        played.store, "adjust_price", "autonomous", by="bob", reason=None, now=played.now
    )
    follow_up(played)
    _asked_back(played)
    names = played.store.query("SELECT set_by FROM price_list ORDER BY in_force_from_at")
    assert names["set_by"].to_list() == ["initial", "policy:rule", "ada"]


def test_a_price_outside_its_band_is_not_gone_back_to(played: Played) -> None:
    proposed(played)
    approve(played)
    follow_up(played)
    floor = {NAME: 3.0}
    controls.set_limit(
        played.store,
        "price_floor_usd_per_gpu_hour",
        floor,
        by="bob",
        reason="costs",
        now=played.now,
    )
    _asked_back(played)
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert read.state == "undo_failed"
    assert "below the floor of $3.00" in str(read.undo_detail)
    assert price(played) == pytest.approx(2.89 * 1.05, abs=1e-4)
    (refusal,) = played.store.rows(Refusal, "SELECT * FROM refusals")
    assert refusal.guard == "price_is_above_floor"


def test_nodes_are_not_switched_on_again_beyond_the_budget(played: Played) -> None:
    played.hands.perform("dear", "set_price", {"pool": NAME, "price_usd_per_gpu_hour": 20.0})
    played.forward(timedelta(hours=30))
    proposed(played, action="scale_down", target=f"pool/{NAME}", parameters={"nodes": 1})
    approve(played)
    follow_up(played)
    assert state(played) == "carried_out"
    controls.set_limit(
        played.store,
        "added_cost_budget_usd_per_hour",
        0.01,
        by="bob",
        reason="thrift",
        now=played.now,
    )
    _asked_back(played)
    read = decisions.decision(played.store, "decision-1", now=played.now)
    assert (read.state, "budget" in str(read.undo_detail)) == ("undo_failed", True)


def test_nodes_that_must_stay_are_not_let_go_again(played: Played) -> None:
    seen = make_seen(owned_nodes_on=17)
    ours = {"node_ids": ["node-1", "node-2", "node-3"]}
    nodes = (
        make_node(node_id="node-1", gpus_used=0),
        make_node(node_id="node-2", gpus_used=3),  # its jobs keep it
        make_node(node_id="node-3", gpus_used=0, state="provisioning"),  # adds nothing yet
    )
    inverse = actions()["scale_up"].inverse(replace(seen, nodes=nodes), ours)
    assert inverse is not None
    assert (inverse.action, inverse.parameters) == ("scale_down", {"nodes": 1})
    around = circumstances(played.store, played.now)
    tight = replace(around, limits=replace(around.limits, minimum_capacity_nodes=17))
    found = guards.undo_refusal(guards.Case(inverse, seen), tight)
    assert found is not None
    assert found[0] == "capacity_stays_above_minimum"


def _asked_back(played: Played) -> None:
    played.forward(5 * MINUTE)
    decisions.ask_undo(played.store, "decision-1", by="ada", reason="regret", now=played.now)
    follow_up(played)


def test_a_price_that_was_changed_since_is_not_set_back(played: Played) -> None:
    proposed(played)
    approve(played)
    follow_up(played)
    played.hands.perform("other", "set_price", {"pool": NAME, "price_usd_per_gpu_hour": 2.5})
    played.forward(5 * MINUTE)
    decisions.ask_undo(played.store, "decision-1", by="ada", reason="regret", now=played.now)
    follow_up(played)
    assert state(played) == "undo_failed"
    assert price(played) == 2.5
