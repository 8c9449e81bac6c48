"""The simulated hands: every command of the engine, and those that are several of the fleet's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from engine.evaluate import Question
from engine.hands import CommandFailed, CommandRefused, CommandStale
from engine.moving import emptied_in_order, held_jobs
from engine.observe import PoolObservation, observed
from engine.simulator.fleet import SimulatedFleet
from engine.simulator.hands import SimulatedHands, commands_of
from engine.simulator.metrics import profit
from tests.engine.deciding import approve, follow_up, proposed, state
from tests.engine.world import NAME, Played
from warehouse import decisions

HOUR = timedelta(hours=1)


def look(played: Played) -> PoolObservation:
    return observed(played.store, played.now)[NAME]


def ids(played: Played) -> list[str]:
    rows = played.store.query("SELECT command_id FROM fleet_commands ORDER BY applied_at, rowid")
    return rows["command_id"].to_list()


def node_state(played: Played, node_id: str) -> str:
    return next(n.state for n in look(played).nodes if n.node_id == node_id)


def emptied(played: Played, count: int = 1) -> list[str]:
    found = emptied_in_order(look(played), count)
    assert len(found) == count, "the fleet of this seed has nodes that can be emptied"
    return found


class KilledAfter(SimulatedHands):
    """Hands whose process dies once so many commands are on record."""

    left: int = 0

    def _recorded(self, row: Any) -> None:
        if not self.left:
            self._is_ahead = True  # the fleet took it, the warehouse never heard of it
            raise KeyboardInterrupt
        self.left -= 1
        super()._recorded(row)


def killed_after(played: Played, count: int) -> KilledAfter:
    hands = KilledAfter(played.store, played.world)
    hands.left = count
    return hands


def test_a_rebalancing_closes_empties_and_releases_its_nodes(played: Played) -> None:
    (node_id,) = emptied(played)
    answer = played.hands.perform("d-1", "rebalance", {"pool": NAME, "node_ids": [node_id]})
    assert (answer["node_ids"], answer["kept"]) == ([node_id], {})
    assert answer["moved_jobs"] >= 1
    assert ids(played) == [
        f"d-1:{verb}:{at}" for at, verb in enumerate(("cordon", "drain", "release"))
    ] + ["d-1"]
    played.forward(timedelta(minutes=1))
    assert node_state(played, node_id) == "off"
    assert played.hands.perform("d-1", "rebalance", {"pool": NAME, "node_ids": [node_id]}) == answer


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_killed_between_any_two_commands_it_is_brought_to_its_end(
    played: Played, count: int
) -> None:
    asked: Mapping[str, Any] = {"pool": NAME, "node_ids": emptied(played)}
    with pytest.raises(KeyboardInterrupt):
        killed_after(played, count).perform("d-1", "rebalance", asked)
    again = SimulatedHands(played.store, played.world)
    played.world.rebuild()  # what a restart does
    assert again.has_begun("d-1") is (count > 0)
    assert again.answer_to("d-1") is None
    assert again.perform("d-1", "rebalance", asked)["node_ids"] == asked["node_ids"]
    assert not again.has_begun("d-1")
    assert len(set(ids(played))) == len(ids(played)) == 4
    before = played.world.fleet.checksums()
    played.world.rebuild()
    assert played.world.fleet.checksums() == before


def test_a_rebalancing_that_empties_nothing_says_so_and_leaves_its_nodes_open(
    played: Played,
) -> None:
    full = max(look(played).nodes, key=lambda node: node.gpus_used).node_id
    others = [n.node_id for n in look(played).nodes if n.state == "active" and n.node_id != full]
    for other in others:  # no room anywhere else
        played.hands.perform(f"close-{other}", "quarantine_node", {"pool": NAME, "node_id": other})
    played.forward(timedelta(minutes=1))
    with pytest.raises(CommandFailed, match="open again"):
        played.hands.perform("d-1", "rebalance", {"pool": NAME, "node_ids": [full]})
    played.forward(timedelta(minutes=1))
    assert node_state(played, full) == "active"


def test_a_node_in_quarantine_takes_no_jobs_and_is_returned_or_repaired(played: Played) -> None:
    (node_id,) = emptied(played)
    of_node = {"pool": NAME, "node_id": node_id}
    played.hands.perform("q", "quarantine_node", of_node)
    played.forward(timedelta(minutes=1))
    assert (node_state(played, node_id), held_jobs(look(played)).get(node_id)) == ("cordoned", None)
    played.hands.perform("back", "return_node", of_node)
    played.forward(timedelta(minutes=1))
    assert node_state(played, node_id) == "active"
    played.hands.perform("q2", "quarantine_node", of_node)
    played.hands.perform("r", "repair_node", of_node)
    played.forward(timedelta(minutes=1))
    assert node_state(played, node_id) == "down"
    played.forward(2 * HOUR)
    assert node_state(played, node_id) == "active"


def test_a_lease_that_is_to_be_repaired_is_handed_back(played: Played) -> None:
    (lease,) = played.hands.perform("up", "scale_up", {"pool": NAME, "nodes": 1})["node_ids"]
    played.forward(HOUR)
    of_node = {"pool": NAME, "node_id": lease}
    played.hands.perform("q", "quarantine_node", of_node)
    played.hands.perform("r", "repair_node", of_node)
    played.forward(timedelta(minutes=1))
    assert all(node.node_id != lease for node in look(played).nodes)


def test_a_job_is_moved_off_its_node_and_only_while_it_is_there(played: Played) -> None:
    node_id = emptied(played)[0]
    job = held_jobs(look(played))[node_id][0]
    asked = {"pool": NAME, "job_id": job.job_id, "node_id": node_id}
    (other,) = played.hands.perform("m", "migrate_job", asked)["node_ids"]
    assert other != node_id
    with pytest.raises(CommandStale, match="no longer runs on"):
        played.hands.perform("m2", "migrate_job", asked)
    assert ids(played) == ["m"]


def test_what_was_warmed_and_is_still_empty_is_let_go_again(played: Played) -> None:
    warmed = played.hands.perform("w", "pre_warm", {"pool": NAME, "nodes": 2})["node_ids"]
    asked = {"pool": NAME, "nodes": 2, "node_ids": warmed}
    answer = played.hands.perform("w:undo", "cool_down", asked)
    assert answer["node_ids"] == warmed
    with pytest.raises(CommandRefused):
        played.hands.perform("other:undo", "cool_down", asked)


def test_undoing_a_rebalancing_switches_as_many_nodes_on_again(played: Played) -> None:
    (node_id,) = emptied(played)
    target = {"action": "rebalance", "target": f"pool/{NAME}"}
    proposed(played, **target, parameters={"node_ids": node_id})
    approve(played)
    follow_up(played)
    assert state(played) == "carried_out"
    played.forward(timedelta(minutes=5))
    decisions.ask_undo(played.store, "decision-1", by="ada", reason="regret", now=played.now)
    follow_up(played)
    played.forward(timedelta(minutes=1))
    assert state(played) == "undone"
    assert node_state(played, node_id) == "provisioning"


def test_the_twin_takes_all_commands_of_a_rebalancing_for_the_decisions_doing(
    played: Played,
) -> None:
    before = played.world.fleet.clone()
    proposed(
        played,
        action="rebalance",
        target=f"pool/{NAME}",
        parameters={"node_ids": ",".join(emptied(played))},
    )
    approve(played)
    follow_up(played)
    played.judge.remember()  # a copy from after the deed is of no use
    played.forward(HOUR)
    follow_up(played)
    read = decisions.decision(played.store, "decision-1", now=played.now)
    before.advance_to(played.now)
    gain = _profit_usd(played.world.fleet) - _profit_usd(before)
    assert read.realised_gain_usd_per_hour == pytest.approx(gain, abs=1e-6)
    assert gain != 0
    assert read.outcome_criterion_is_met is not None


def test_what_was_not_done_is_judged_as_all_its_commands(played: Played) -> None:
    starts_at, arguments = played.now, {"pool": NAME, "node_ids": emptied(played)}
    done = played.world.fleet.clone()
    for at, made in enumerate(commands_of("rebalance", arguments)[:3]):
        done.apply(made, str(at))
    played.forward(HOUR)
    question = Question("d-1", NAME, "rebalance", arguments, False, starts_at, played.now)
    judged = played.judge.judgement(question)
    assert judged is not None
    done.advance_to(played.now)
    gain = _profit_usd(done) - _profit_usd(played.world.fleet)
    assert judged.gain_usd_per_hour == pytest.approx(gain, abs=1e-6)


def _profit_usd(fleet: SimulatedFleet) -> float:
    return sum(float(profit(metrics)) for metrics in fleet.metrics().values())
