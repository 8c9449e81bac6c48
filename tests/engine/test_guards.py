"""Each guard says no when it must, in words, and only then."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from engine import cluster_guards, guards
from engine.actions import Candidate
from engine.cases import Case
from engine.circumstances import Circumstances, Deed, Protected
from engine.guards import GUARDS
from tests.engine.actions_contract import make_seen
from tests.makers import NOON, POOL
from warehouse import controls

CLEAR = Circumstances(
    limits=controls.Limits(),
    modes=dict.fromkeys(controls.GOVERNED_ACTIONS, "approve"),
    kill_switch=controls.KillSwitch(False),
    breaker=controls.Breaker(False, 0),
    deeds=(),
    open_decisions={},
    now=NOON,
)


def case(action: str, value: float, **state: Any) -> Case:
    name = "price_usd_per_gpu_hour" if action == "adjust_price" else "nodes"
    target = f"{'price' if action == 'adjust_price' else 'pool'}/{POOL}"
    candidate = Candidate(action, target, POOL, {name: value})
    return Case(candidate, make_seen(off=4, **state), "mine")


def deed(minutes: float = 30, **changes: Any) -> Deed:
    made = Deed("other", f"pool/{POOL}", POOL, 0.0, 0, NOON - timedelta(minutes=minutes))
    return replace(made, **changes)


def around(**changes: Any) -> Circumstances:
    limits = {k: v for k, v in changes.items() if hasattr(CLEAR.limits, k)}
    rest = {k: v for k, v in changes.items() if k not in limits}
    return replace(CLEAR, limits=replace(CLEAR.limits, **limits), **rest)


def named(action: str, **parameters: str) -> Case:
    """Of an action on a node or a job."""
    target = f"node/{parameters.get('node_id', 'n1')}"
    return Case(Candidate(action, target, POOL, parameters), make_seen(off=4), "mine")


FREEZE = {"starts_at": "2026-11-02T00:00+00:00", "ends_at": "2026-11-03T00:00+00:00"}
UP, DOWN = case("scale_up", 2), case("scale_down", 2, nodes_empty=8)
APPROVED, BY_RULE = replace(UP, decided_via="browser"), replace(UP, decided_via="rule")

ILL = named("quarantine_node", node_id="n1")
PROTECTED = Protected({"n1": "the node itself"}, frozenset({"team/train"}), {POOL: 7})
WINDOW = {
    "actions": ["scale_up"], "weekdays": ["sat"], "starts": "02:00", "ends": "05:00",
    "time_zone": "Europe/Berlin",
}  # fmt: skip

BROKEN = [
    ("mode_is_not_off", UP, around(modes={"scale_up": "off"})),
    ("mode_lets_it_be_carried_out", APPROVED, around(modes={"scale_up": "shadow"})),
    ("mode_lets_it_be_carried_out", BY_RULE, around(modes={"scale_up": "approve"})),
    ("kill_switch_is_off", UP, around(kill_switch=controls.KillSwitch(True, "ada", "storm"))),
    ("breaker_is_closed", UP, around(breaker=controls.Breaker(True, 3, NOON))),
    ("time_is_not_frozen", UP, around(freeze_windows=[FREEZE])),
    (
        "rights_are_there",
        ILL,
        around(missing_rights={"quarantine_node": ("create pods/eviction",)}),
    ),
    ("pool_has_a_lever", UP, around(unscaled_pools=frozenset({POOL}))),
    ("target_may_be_disturbed", ILL, around(protected=PROTECTED)),
    ("target_may_be_disturbed", named("repair_node", node_id="n1"), around(protected=PROTECTED)),
    ("target_may_be_disturbed", named("rebalance", node_ids="n0, n1"), around(protected=PROTECTED)),
    (
        "target_may_be_disturbed",
        named("migrate_job", job_id="team/train", node_id="n2"),
        around(protected=PROTECTED),
    ),
    ("target_may_be_disturbed", DOWN, around(protected=PROTECTED)),
    ("quarantines_are_few", ILL, around(quarantines_begun=3)),
    (
        "quarantines_are_few",
        replace(ILL, decision_id=None),
        around(quarantines_begun=1, quarantines_open=frozenset({"a", "b"})),
    ),
    ("target_has_no_other_decision", UP, around(open_decisions={f"pool/{POOL}": "other"})),
    ("target_has_cooled_down", UP, around(deeds=(deed(14.9),))),
    ("actions_are_in_budget", UP, around(max_actions_per_hour=1, deeds=(deed(),))),
    ("cost_is_in_budget", UP, around(added_cost_budget_usd_per_hour=2.0)),
    ("disruption_is_in_budget", DOWN, around(max_disrupted_ratio=0.05)),
    ("capacity_stays_above_minimum", DOWN, around(minimum_capacity_ratio=0.95)),
    ("price_is_above_floor", case("adjust_price", 2.3), around(price_floor_ratio=0.97)),
    (
        "price_is_above_floor",
        case("adjust_price", 2.3),
        around(price_floor_usd_per_gpu_hour={POOL: 2.4}),
    ),
    ("price_is_below_ceiling", case("adjust_price", 2.6), around(price_ceiling_ratio=1.05)),
    (
        "price_is_below_ceiling",
        case("adjust_price", 2.6),
        around(price_ceiling_usd_per_gpu_hour={POOL: 2.55}),
    ),
    ("price_step_is_small", case("adjust_price", 2.8), around(price_step_ratio=0.10)),
]


@pytest.mark.parametrize(("name", "asked", "when"), BROKEN)
def test_a_broken_limit_is_refused_by_its_guard_in_words(
    name: str, asked: Case, when: Circumstances
) -> None:
    found = guards.refusal(asked, when)
    assert found is not None
    assert found[0] == name
    assert len(found[1].split()) > 3


@pytest.mark.parametrize("asked", [UP, DOWN, case("adjust_price", 2.6)])
def test_inside_every_limit_nobody_says_no(asked: Case) -> None:
    assert guards.refusal(asked, CLEAR) is None


def test_every_guard_has_a_case_that_breaks_it() -> None:
    assert {name for name, _, _ in BROKEN} == {guard.__name__ for guard in GUARDS}


def test_budgets_count_what_was_done_in_the_last_hour_alone() -> None:
    cost = UP.added_cost_usd_per_hour
    recent = deed(30, added_cost_usd_per_hour=cost)
    old = deed(61, added_cost_usd_per_hour=cost)
    budget = {"added_cost_budget_usd_per_hour": 1.5 * cost}
    assert guards.cost_is_in_budget(UP, around(deeds=(recent,), **budget)) is not None
    assert guards.cost_is_in_budget(UP, around(deeds=(old,), **budget)) is None


def test_disruption_adds_up_over_the_hour() -> None:
    before = deed(30, removed_gpus=60)
    assert guards.disruption_is_in_budget(DOWN, around(deeds=(before,))) is None
    more = deed(30, removed_gpus=80)
    assert guards.disruption_is_in_budget(DOWN, around(deeds=(more,))) is not None


def test_its_own_open_decision_does_not_stand_in_its_way() -> None:
    mine = around(open_decisions={f"pool/{POOL}": "mine"})
    assert guards.refusal(UP, mine) is None


def test_what_is_only_proposed_may_be_a_shadow() -> None:
    assert guards.refusal(UP, around(modes={"scale_up": "shadow"})) is None


def test_what_a_person_approved_goes_on_in_autonomous_mode_and_the_rule_too() -> None:
    autonomous = around(modes={"scale_up": "autonomous"})
    assert guards.refusal(APPROVED, autonomous) is None
    assert guards.refusal(BY_RULE, autonomous) is None


def test_going_back_keeps_to_the_limits_but_does_not_wait_for_the_cool_down() -> None:
    lately = (deed(1),)
    assert guards.undo_refusal(UP, around(deeds=lately, max_actions_per_hour=1)) is None
    assert guards.undo_refusal(UP, around(added_cost_budget_usd_per_hour=2.0)) is not None
    assert guards.undo_refusal(DOWN, around(minimum_capacity_ratio=0.95)) is not None
    assert guards.undo_refusal(DOWN, around(max_disrupted_ratio=0.05)) is not None
    assert guards.undo_refusal(case("adjust_price", 2.3), around(price_floor_ratio=0.97))
    assert guards.undo_refusal(case("adjust_price", 2.6), around(price_ceiling_ratio=1.03))


def test_a_freeze_ends_when_it_ends() -> None:
    over = {**FREEZE, "ends_at": NOON.isoformat()}
    assert guards.refusal(UP, around(freeze_windows=[over])) is None


def test_what_is_not_protected_is_not_held_back_for_what_is() -> None:
    others = around(protected=Protected({"n9": "the node itself"}, frozenset(), {"another": 1}))
    for asked in (ILL, DOWN, named("rebalance", node_ids="n0,n1")):
        assert cluster_guards.target_may_be_disturbed(asked, others) is None
    assert (
        cluster_guards.target_may_be_disturbed(
            DOWN, around(protected=Protected({}, frozenset(), {POOL: 6}))
        )
        is None
    )
    moved = named("migrate_job", job_id="team/other", node_id="n1")
    assert cluster_guards.target_may_be_disturbed(moved, around(protected=PROTECTED)) is None


def test_quarantines_that_wait_do_not_stop_one_that_was_approved() -> None:
    waiting = around(quarantines_begun=1, quarantines_open=frozenset({"a", "b", "c"}))
    assert guards.quarantines_are_few(ILL, waiting) is None


def test_outside_its_maintenance_window_an_action_waits_and_is_told_when_it_opens() -> None:
    monday = around(maintenance_windows=[WINDOW])
    held = guards.hold(UP, monday)
    assert held == (
        "scale_up waits for its maintenance window: the next is Sat 2026-11-07 01:00 to 04:00 UTC"
    )
    assert guards.refusal(UP, monday) is None  # it may be proposed and decided before
    assert guards.undo_hold(UP, monday) is None  # harm is taken back at once
    assert guards.hold(DOWN, monday) is None
    saturday = replace(monday, now=NOON.replace(day=7, hour=2))
    assert guards.hold(UP, saturday) is None


def test_an_open_breaker_says_what_opened_it() -> None:
    tripped = controls.Breaker(True, 0, NOON, "3 nodes quarantined within 60 min")
    assert "3 nodes quarantined" in str(guards.refusal(UP, around(breaker=tripped)))


def test_a_node_in_quarantine_need_not_cool_down_before_its_repair() -> None:
    deed = Deed("q", "node/n2", POOL, 0.0, 2, NOON - timedelta(minutes=1), "quarantine_node")
    repair = named("repair_node", node_id="n2")
    assert guards.target_has_cooled_down(repair, around(deeds=(deed,))) is None
    again = named("quarantine_node", node_id="n2")
    assert guards.target_has_cooled_down(again, around(deeds=(deed,))) is not None


def test_a_pod_that_must_not_be_disturbed_keeps_nobody_from_closing_an_ill_node() -> None:
    ill = around(protected=Protected({"n1": "a pod on it"}, frozenset(), {}))
    assert (
        cluster_guards.target_may_be_disturbed(named("quarantine_node", node_id="n1"), ill) is None
    )
