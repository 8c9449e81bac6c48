"""Rounds over the fleet: score, incidents, and rows only where they say something new."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest

from engine.healing.incidents import next_steps, open_incidents
from engine.healing.judging import ROUND_EVERY, Rounds, judge
from engine.healing.roster import Readings, roster
from engine.healing.score import is_news
from engine.simulator.commands import Drain, Repair
from engine.simulator.errors import CommandError
from tests.engine.healing.ailing import (
    Ailing,
    make_cluster_node,
    make_gpu_event,
    minutes,
)
from tests.engine.world import NAME, Played
from tests.makers import NOON
from warehouse import healing
from warehouse.records import NodeHealth, NodeIncident


def incident(ailing: Ailing) -> healing.Incident:
    return healing.incidents(ailing.store, now=ailing.at)[0]


def test_a_judgement_that_says_nothing_new_is_not_written_again(ailing: Ailing) -> None:
    ailing.store.append([make_gpu_event(code=94)])
    assert len(ailing.judge()) == 1
    ailing.turn(minutes=1)
    assert ailing.judge() == []
    ailing.store.append([make_gpu_event(code=94, happened_at=ailing.at)])
    (row,) = ailing.judge()
    assert isinstance(row, NodeHealth)
    assert is_news(row, None)
    assert row.evidence[0]["value"] == 2


def test_a_suspect_node_is_sound_again_only_when_clearly_so(ailing: Ailing) -> None:
    ailing.store.append([make_gpu_event(code=119)])
    ailing.judge()
    assert ailing.health().is_suspect
    ailing.turn(hours=3)
    ailing.judge()
    assert ailing.health().health_ratio > 0.5
    assert ailing.health().is_suspect, "it doesn't flicker"
    ailing.turn(hours=4)
    ailing.judge()
    assert not ailing.health().is_suspect
    assert ailing.phases() == ["detected", "passed"]
    assert incident(ailing).repair_seconds is None


def test_an_illness_is_told_from_detection_to_return_with_its_durations(ailing: Ailing) -> None:
    ailing.store.append([make_gpu_event()])
    ailing.turn(minutes=2)
    ailing.judge()
    ailing.decide("q", "quarantine_node")
    ailing.turn(minutes=10)
    ailing.approve("q")
    ailing.turn(minutes=1)
    ailing.does("q", "intended")
    ailing.does("q", "succeeded")
    ailing.read("node-0", state="cordoned")
    ailing.judge()
    assert incident(ailing).phase == "quarantined"
    ailing.decide("r", "repair_node")
    ailing.turn(minutes=4)
    ailing.approve("r", via="rule")
    ailing.does("r", "intended")
    ailing.read("node-0", state="down")
    ailing.judge()
    assert incident(ailing).phase == "repairing"
    ailing.turn(minutes=30)
    ailing.does("r", "succeeded")
    ailing.turn(minutes=1)
    ailing.judge()
    assert ailing.phases() == ["detected", "quarantined", "repairing", "returned"]
    told = incident(ailing)
    assert (told.detect_seconds, told.repair_seconds) == (120, 46 * 60)
    assert told.people_seconds == 11 * 60, "a word and its hour; a rule keeps nobody waiting"
    assert told.unattended_seconds == 35 * 60
    assert told.decisions == ("q", "r")
    assert ailing.health().evidence == [], "what was before the repair doesn't count after it"


def test_a_repair_that_failed_leaves_the_node_out_of_use(ailing: Ailing) -> None:
    ailing.store.append([make_gpu_event()])
    ailing.judge()
    ailing.decide("r", "repair_node")
    ailing.turn(minutes=1)
    ailing.does("r", "intended")
    ailing.turn(minutes=1)
    ailing.does("r", "failed")
    ailing.judge()
    assert ailing.phases() == ["detected", "repairing", "quarantined"]
    assert incident(ailing).is_open


def test_a_deed_that_was_refused_is_no_step(ailing: Ailing) -> None:
    ailing.store.append([make_gpu_event()])
    ailing.judge()
    ailing.decide("r", "repair_node")
    ailing.turn(minutes=1)
    ailing.does("r", "intended")
    ailing.does("r", "refused")
    ailing.judge()
    assert ailing.phases() == ["detected"]


def test_a_node_that_went_down_by_itself_is_repaired_and_returned_by_its_pool(
    ailing: Ailing,
) -> None:
    ailing.store.append([make_gpu_event()])
    ailing.at += minutes(1)
    ailing.read("node-0", state="down", health_ratio=None)
    ailing.read("node-1")
    ailing.judge()
    assert ailing.phases() == ["detected", "repairing"]
    ailing.turn(hours=4)
    ailing.judge()
    assert ailing.phases()[-1] == "returned"
    assert not ailing.health().is_suspect


def test_a_node_of_a_cluster_that_flaps_keeps_its_evidence(ailing: Ailing) -> None:
    ailing.store.append([make_gpu_event(), make_cluster_node()])
    ailing.at += minutes(1)
    ailing.read("node-0", state="down")
    ailing.read("node-1")
    ailing.turn(minutes=1)
    ailing.judge()
    assert ailing.health().is_suspect


def test_a_node_that_is_deleted_ends_its_incident(ailing: Ailing) -> None:
    ailing.store.append([make_gpu_event(), make_cluster_node()])
    ailing.judge()
    ailing.at += minutes(1)
    ailing.read("node-1")
    ailing.store.append([make_cluster_node(is_gone=True, measured_at=ailing.at)])
    ailing.judge()
    assert ailing.phases() == ["detected", "gone"]
    assert healing.suspects(ailing.store) == []


def test_a_node_that_another_machine_replaced_has_returned(ailing: Ailing) -> None:
    ailing.store.append([make_gpu_event(), make_cluster_node()])
    ailing.judge()
    ailing.decide("r", "repair_node")
    ailing.turn(minutes=1)
    ailing.does("r", "intended")
    ailing.judge()
    ailing.turn(minutes=9)
    ailing.does("r", "succeeded")
    ailing.store.append([make_cluster_node(is_gone=True, measured_at=ailing.at)])
    ailing.judge()
    assert ailing.phases() == ["detected", "repairing", "returned"]
    assert incident(ailing).repair_seconds == 600


def test_a_lease_that_was_handed_back_is_gone_and_an_owned_node_is_silent(ailing: Ailing) -> None:
    ailing.read("lease", kind="leased")
    ailing.store.append([make_gpu_event(node_id="lease")])
    ailing.judge()
    ailing.at += minutes(20)
    ailing.read("node-1")
    ailing.judge()
    assert roster(ailing.store, ailing.at)["lease"].is_gone
    assert "silent" in ailing.signals("node-0")
    assert ailing.phases() == ["detected", "detected", "gone"]


def test_a_cordoned_kubernetes_node_has_not_returned_until_it_is_given_back(
    ailing: Ailing,
) -> None:
    store = ailing.store
    store.append([make_gpu_event(code=119), make_cluster_node()])
    ailing.judge()
    ailing.decide("q", "quarantine_node")
    ailing.turn(minutes=1)
    ailing.does("q", "intended")
    ailing.does("q", "succeeded")
    store.append([make_cluster_node(is_unschedulable=True, measured_at=ailing.at)])
    ailing.turn(hours=20)
    ailing.judge()
    assert not ailing.health().is_suspect
    assert ailing.phases() == ["detected", "quarantined"]
    store.append([make_cluster_node(measured_at=ailing.at)])
    ailing.judge()
    assert ailing.phases()[-1] == "returned"


def test_a_second_round_finds_the_incident_that_the_first_opened(ailing: Ailing) -> None:
    ailing.store.append([make_gpu_event()])
    first = ailing.judge()
    again = judge(ailing.store, ailing.at)
    assert [type(row) for row in first] == [NodeHealth, NodeIncident]
    assert again == []
    (last,) = open_incidents(ailing.store).values()
    node = roster(ailing.store, NOON)["node-0"]
    assert list(next_steps(last, node, ailing.health(), [], NOON)) == []


def test_the_fleet_is_judged_at_most_every_half_minute(ailing: Ailing) -> None:
    rounds = Rounds()
    rounds.go(ailing.store, ailing.at)
    ailing.store.append([make_gpu_event()])
    rounds.go(ailing.store, ailing.at + ROUND_EVERY / 2)
    assert healing.health_now(ailing.store) == []
    rounds.go(ailing.store, ailing.at + ROUND_EVERY)
    assert len(healing.suspects(ailing.store)) == 1


def test_a_round_that_remembers_finds_what_a_round_that_asks_anew_does(ailing: Ailing) -> None:
    readings = Readings()
    for n in range(8):
        ailing.at += minutes(4)
        ailing.read("node-0", state="down" if n == 2 else "active")
        if n < 5:
            ailing.read("node-1")
        anew = roster(ailing.store, ailing.at)
        assert roster(ailing.store, ailing.at, readings=readings) == anew
    assert anew["node-0"].counts_from_at == NOON + minutes(12)
    assert anew["node-1"].silence == minutes(12)


@pytest.fixture
def broken(played: Played) -> Played:
    """The simulated fleet with a node that began to ail."""
    nodes = played.world.fleet.pools["h100-us-east"].state.nodes[0]
    nodes["degraded"][2] = 1
    return played


def test_a_simulated_node_that_ails_is_found_and_its_repair_ends_the_incident(
    broken: Played,
) -> None:
    """Through the engine's own tick, on what the simulated driver reports."""
    for _ in range(36):
        broken.forward(timedelta(minutes=5))
        broken.engine.tick()
        if healing.suspects(broken.store):
            break
    (ill,) = healing.suspects(broken.store)
    assert ill.node_id == "h100-us-east-node-002"
    assert broken.store.query("SELECT count(*) AS n FROM gpu_events").item() > 0
    broken.world.fleet.apply(Drain(NAME, ill.node_id), "drain")
    phases: list[str] = []
    for step in range(60):
        with suppress(CommandError):  # a job is on it still, or it is on its way already
            broken.world.fleet.apply(Repair(NAME, ill.node_id), f"repair-{step}")
        broken.forward(timedelta(minutes=20))
        broken.engine.tick()
        rows = broken.store.rows(NodeIncident, "SELECT * FROM node_incidents ORDER BY rowid")
        phases = [row.phase for row in rows if row.node_id == ill.node_id]
        if phases[-1] == "returned":
            break
    assert phases == ["detected", "repairing", "returned"]
