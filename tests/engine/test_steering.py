"""The loop under a champion: its proposals, the rule's beside them, and all on record."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from engine.background import Background
from engine.learning.continual import Continual
from engine.loop import Engine
from tests.engine.crowned import GATES, challenge, crown, network_moved_by
from tests.engine.world import NAME, Played
from tests.makers import make_twin_check
from warehouse import decisions, policies, shadow
from warehouse.records import Decision, ShadowProposal

QUARTER = timedelta(minutes=15)


@pytest.fixture
def steered(played: Played, tmp_path: Path) -> Engine:
    """The small fleet under a network that wants more nodes than the rule does."""
    network = network_moved_by("worst health", nodes=2, strength=0.0)
    bias = network.members[0].actor[2].bias
    bias[3], bias[5] = 0.0, 9.0  # two nodes beyond the rule, whatever is seen
    crown(played.store, tmp_path, played.now, network=network)
    return replace(played.engine, home=tmp_path)


def _decisions(played: Played) -> list[Decision]:
    return played.store.rows(Decision, "SELECT * FROM decisions ORDER BY proposed_at")


def _proposals(played: Played) -> dict[str, ShadowProposal]:
    rows = played.store.rows(ShadowProposal, "SELECT * FROM shadow_proposals")
    return {row.role: row for row in rows}


def test_a_decision_under_a_champion_tells_who_and_what_the_rule_would_do(
    played: Played, steered: Engine
) -> None:
    steered.tick()
    decision = _decisions(played)[0]
    assert decision.policy == "learned-1"
    assert decision.baseline.startswith("The rule would ")
    assert decision.evidence["policy_nodes"] == decision.evidence["rule_nodes"] + 2
    assert 0 < decision.evidence["propensity_nodes_ratio"] <= 1
    assert "learned-1 would " in decision.reason


def test_champion_challenger_and_rule_stand_side_by_side_at_every_tick(
    played: Played, steered: Engine, tmp_path: Path
) -> None:
    challenge(played.store, tmp_path, played.now, gates=[GATES[0] | {"passed": False}])
    steered.tick()
    found = _proposals(played)
    assert set(found) == {"champion", "challenger", "rule"}
    assert found["champion"].nodes == found["rule"].nodes + 2
    assert found["rule"].value_usd is None
    assert found["champion"].value_usd is not None
    assert len(found["challenger"].drivers) == 6
    assert set(found["champion"].propensities) == {
        "nodes",
        "price",
        "consolidation",
        "heal",
        "spot",
    }
    assert shadow.newest_proposals(played.store, NAME).height == 3
    played.forward(QUARTER)
    steered.tick()
    assert played.store.query("SELECT count(*) FROM shadow_proposals").item() == 6


def test_while_the_twin_drifts_the_rule_steers_and_says_why(
    played: Played, steered: Engine
) -> None:
    off = make_twin_check(is_valid=False, detail="The twin is off.", ends_at=played.now)
    played.store.append([off])
    steered.tick()
    decision = _decisions(played)[0]
    assert decision.policy == "rule"
    assert "The rule steers here for now: The twin is off." in decision.reason
    assert policies.steering(played.store).policy_id == "learned-1"
    assert set(_proposals(played)) == {"champion", "rule"}
    assert policies.alarms(played.store)["trigger"].to_list() == ["twin_drift"]


def test_a_champion_that_lost_its_weights_leaves_the_tick_to_the_rule(
    played: Played, steered: Engine, tmp_path: Path
) -> None:
    (tmp_path / "policies" / "learned-1.npz").unlink()
    steered.tick()
    assert _decisions(played)[0].policy == "rule"
    assert policies.alarms(played.store)["trigger"].to_list() == ["weights"]
    assert played.store.query("SELECT count(*) FROM collector_runs").item() == 0


def test_two_decisions_of_a_tick_are_on_different_things(played: Played, steered: Engine) -> None:
    played.set_modes("autonomous")
    for _ in range(6):
        steered.tick()
        played.forward(QUARTER)
    found = played.store.query("SELECT observation_id, target, decision_id FROM decisions")
    assert found["decision_id"].is_unique().all()
    assert found.select("observation_id", "target").is_unique().all()
    states = played.store.query("SELECT action, state FROM decision_states")
    assert "carried_out" in states.filter(pl.col("action") != "do_nothing")["state"].to_list()
    assert decisions.counts_by_state(played.store, now=played.now)["failed"] == 0


def test_what_runs_beside_the_tick_writes_its_rows_and_its_failures(
    played: Played, steered: Engine, tmp_path: Path
) -> None:
    beside = Background(steered, Continual(played.store, tmp_path))
    beside.begin()
    beside.learn()  # three hours of history are too few
    beside.score()
    beside.forecast()
    (run,) = [r for r in policies.training_runs(played.store) if r.purpose == "fine_tune"]
    assert run.outcome == "refused"
    failed = played.store.query("SELECT collector, detail FROM collector_runs").rows()
    assert failed == []
