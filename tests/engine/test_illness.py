"""Ill nodes: what they are expected to cost, and from the first evidence to their return."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from engine.actions import Candidate
from engine.choosing import nodes_of
from engine.facts import Facts, facts
from engine.gains import Planner
from engine.grounds import grounds
from engine.history import NO_PAST
from engine.illness import as_if_sound, failure_ratio, stakes
from engine.observe import observed
from engine.simulator.settings import Economics
from tests.engine.actions_contract import make_health, make_job, make_room
from tests.engine.deciding import MINUTE, approve, follow_up
from tests.engine.world import NAME, Played
from tests.makers import NOON, POOL, make_cluster_job, make_decision, make_forecast
from warehouse import decisions
from warehouse.decisions import DecisionState
from warehouse.records import ActionType, Decision, Execution, GpuEvent
from warehouse.store import Store

ILL = Facts(health={"node-0": make_health("node-0", health_ratio=0.2)})
TERMS = Economics(checkpoint_seconds=3600, owned_boot_seconds=600, sla_usd_per_gpu_hour=3.0)


def of_node(action: ActionType, node_id: str = "node-0") -> Candidate:
    return Candidate(action, f"node/{node_id}", POOL, {"node_id": node_id})


def moving(job_id: str, node_id: str = "node-0") -> Candidate:
    given = {"job_id": job_id, "node_id": node_id}
    return Candidate("migrate_job", f"job/{job_id}", POOL, given)


# -- what is at stake ------------------------------------------------------------------


def test_a_node_that_is_not_judged_ill_fails_no_more_than_others() -> None:
    assert failure_ratio(make_room(facts=ILL), "node-0") == pytest.approx(0.8)
    assert failure_ratio(make_room(facts=ILL), "node-1") == 0.0


def test_moving_a_job_off_an_ill_node_spares_its_loss_and_risks_what_is_unsaved() -> None:
    stale = make_job("a", "node-0", gpus=4, saved_at=NOON - timedelta(hours=1))
    seen = replace(make_room(stale, facts=ILL), terms=TERMS)
    found = stakes(seen, moving("a"), (), 4.0)
    lost = 4 * (1.0 * 2.5 + 600 / 3600 * 3.0)  # an hour's work of 4 GPUs, and ten minutes' wait
    assert found.spared_usd == pytest.approx(0.8 * lost)
    assert found.unsaved_usd == pytest.approx(4 * 2.5)
    assert found.charged_usd == pytest.approx(0.2 * 10.0)


def test_off_a_sound_node_all_unsaved_work_is_charged_since_its_start_if_none_was_saved() -> None:
    fresh, stale = make_job("a", "node-0"), make_job("b", "node-0", saved_at=None)
    seen = make_room(fresh, stale)
    assert stakes(seen, moving("a"), (), 4.0).charged_usd == pytest.approx(2 * 2.5 / 6)
    assert stakes(seen, moving("b"), (), 4.0).charged_usd == pytest.approx(2 * 2.5 * 2)


def test_what_a_cluster_knows_of_a_checkpoint_counts_where_it_is_newer() -> None:
    known = make_cluster_job(job_id="a", checkpointed_at=NOON - timedelta(minutes=6))
    seen = make_room(make_job("a", "node-0"), facts=Facts(jobs={"a": known}))
    assert stakes(seen, moving("a"), (), 4.0).unsaved_usd == pytest.approx(2 * 2.5 * 0.1)


def test_a_quarantine_spares_more_than_its_jobs_and_a_move_on_top_of_it_nothing() -> None:
    seen = replace(make_room(make_job("a", "node-0"), facts=ILL), terms=TERMS)
    whole = stakes(seen, of_node("quarantine_node"), (), 4.0)
    assert whole.spared_usd > stakes(seen, moving("a"), (), 4.0).spared_usd
    on_top = stakes(seen, moving("a"), (of_node("quarantine_node"),), 4.0)
    assert (on_top.spared_usd, on_top.charged_usd) == (0.0, 0.0)


def test_the_planning_model_plays_an_ill_node_as_a_sound_one() -> None:
    seen = make_room(facts=ILL)
    ill = replace(seen, nodes=(replace(seen.nodes[0], health_ratio=0.2), *seen.nodes[1:]))
    assert as_if_sound(ill).nodes[0].health_ratio == 1.0
    assert as_if_sound(replace(ill, facts=Facts())).nodes[0].health_ratio == 0.2


def test_a_quarantine_is_worth_it_by_the_planner_and_one_of_a_sound_node_is_not() -> None:
    jobs = [make_job("a", "node-0", gpus=4), make_job("b", "node-1", gpus=8)]
    given = [of_node("quarantine_node"), of_node("quarantine_node", "node-1")]
    (ill, sound) = Planner(rollouts=8).gains(
        make_room(*jobs, facts=ILL), NO_PAST, given, 4 * 3600, steers_on=False
    )
    assert ill.mean_usd_per_hour - ill.error_usd_per_hour > 1.0
    assert sound.mean_usd_per_hour <= 0.0
    assert ill.disruption_cost_usd >= 4 * 2.5 / 6 - 1e-9


def test_a_repair_is_worth_what_the_node_will_earn() -> None:
    seen = make_room(make_job("b", "node-1", gpus=8), cordoned=["node-0"], facts=ILL)
    (gain,) = Planner(rollouts=8).gains(
        seen, NO_PAST, [of_node("repair_node")], 4 * 3600, steers_on=False
    )
    assert gain.mean_usd_per_hour >= 3 / 4 * 8 * (8 / 32) * 2.5 - 1e-9


def test_a_rebalancing_counts_as_many_nodes_as_it_names() -> None:
    assert nodes_of(Candidate("rebalance", "t", POOL, {"node_ids": "a, b,c"})) == 3


# -- what is known ---------------------------------------------------------------------


def test_facts_are_the_newest_rows_of_each_node_and_job(store: Store) -> None:
    before = NOON - timedelta(hours=1)
    store.append(
        [
            make_health("node-0", judged_at=before),
            make_health("node-0", is_suspect=False, health_ratio=1.0),
            make_health("node-1", judged_at=before),
            make_forecast(issued_at=before, q90=1.0),
            make_forecast(issued_at=NOON - timedelta(minutes=5)),
            make_forecast(issued_at=NOON - timedelta(minutes=5), series="arrivals"),
            make_cluster_job(measured_at=before),
            make_cluster_job(checkpoints=False),
            make_cluster_job(job_id="gone", is_gone=True),
        ]
    )
    found = facts(store, NOON, {"node-0": POOL, "node-1": POOL})[POOL]
    assert [one.node_id for one in found.suspects] == ["node-1"]
    assert [one.q90 for one in found.occupancy] == [make_forecast().q90]
    assert {name: job.checkpoints for name, job in found.jobs.items()} == {"team/train": False}


def test_a_node_is_in_our_quarantine_until_it_is_returned_or_repaired(store: Store) -> None:
    def quarantined() -> dict[str, str]:
        return dict(facts(store, NOON, {"node-0": POOL})[POOL].quarantined)

    store.append([_deed("q", "quarantine_node"), _end("q", 1)])
    assert quarantined() == {"node-0": "q"}
    store.append([_end("q", 2, "undo")])
    assert quarantined() == {}
    store.append([_deed("q2", "quarantine_node"), _end("q2", 3)])
    assert quarantined() == {"node-0": "q2"}
    store.append([_deed("r", "repair_node"), _end("r", 4)])
    assert quarantined() == {}


def _deed(decision_id: str, action: str) -> Decision:
    given = {"action": action, "target": "node/node-0", "parameters": {"node_id": "node-0"}}
    return make_decision(decision_id=decision_id, **given)


def _end(decision_id: str, minute: int, kind: str = "do") -> Execution:
    return Execution(
        decision_id=decision_id,
        kind=kind,  # type: ignore[arg-type]
        phase="succeeded",
        parameters={},
        result={},
        happened_at=NOON - timedelta(hours=1) + timedelta(minutes=minute),
    )


def test_a_proposal_says_what_it_rests_on() -> None:
    seen = make_room(make_job("a", "node-0"), facts=replace(ILL, occupancy=(make_forecast(),)))
    told = grounds(seen, of_node("quarantine_node"))
    assert told.sentences[0] == "node-0 is judged ill, its health 0.20 of 1: XID 79: GPU lost."
    assert told.evidence["node_failure_ratio"] == 0.8
    assert told.evidence["unsaved_work_usd"] == pytest.approx(0.83)
    assert "1 job puts $1 of work at risk" in told.sentences[1]
    warm = grounds(seen, Candidate("pre_warm", f"pool/{POOL}", POOL, {"nodes": 1}))
    assert "in one case of ten more than 220; 32 will be on" in warm.sentences[0]


# -- from the first evidence to the return ---------------------------------------------


def _proposed(played: Played, action: str) -> DecisionState:
    """The one decision of this type that waits."""
    page = decisions.decisions(played.store, now=played.now, states=["waiting"], action=action)
    (decision_id,) = page.rows["decision_id"]
    return decisions.decision(played.store, decision_id, now=played.now)


def test_an_ill_node_is_put_in_quarantine_repaired_and_used_again(played: Played) -> None:
    node_id = f"{NAME}-node-002"
    played.set_modes("approve")
    played.store.append([_fallen_off_the_bus(node_id, played.now)])
    played.forward(15 * MINUTE)
    played.engine.tick()
    quarantine = _proposed(played, "quarantine_node")
    assert f"{node_id} is judged ill" in quarantine.reason
    assert "79" in quarantine.evidence["health_evidence_1"]
    approve(played, quarantine.decision_id)
    follow_up(played)
    played.forward(15 * MINUTE)
    played.engine.tick()
    repair = _proposed(played, "repair_node")
    assert f"taken out of use by decision {quarantine.decision_id}" in repair.reason
    approve(played, repair.decision_id)
    follow_up(played)
    for _ in range(4):
        played.forward(timedelta(hours=2))
        played.engine.tick()
    for one in (quarantine, repair):
        ended = decisions.decision(played.store, one.decision_id, now=played.now)
        assert (ended.state, ended.outcome_criterion_is_met) == ("measured", True)
    (node,) = (n for n in observed(played.store, played.now)[NAME].nodes if n.node_id == node_id)
    assert node.state == "active"


def _fallen_off_the_bus(node_id: str, happened_at: datetime) -> GpuEvent:
    return GpuEvent(
        node_id=node_id,
        gpu_id=f"{node_id}-gpu-0",
        pool=NAME,
        kind="xid",
        code=79,
        detail="GPU has fallen off the bus",
        source="test",
        happened_at=happened_at,
    )
