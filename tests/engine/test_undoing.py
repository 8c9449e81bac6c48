"""Undoing: what was carried out is taken back, where that still makes sense."""

from __future__ import annotations

from tests.engine.deciding import MINUTE, approve, follow_up, price, proposed, state
from tests.engine.world import NAME, Played
from warehouse import controls, decisions


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
