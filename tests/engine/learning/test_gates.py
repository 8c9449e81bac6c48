"""The gates: what passes, what does not, and that each says so in figures."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from engine.learning import gates as module
from engine.learning.gates import Bar, Canary, Evidence, PairedWeeks, as_rows, may_be_promoted

NAMES = [
    "held_out_weeks",
    "held_out_gain",
    "weeks_won",
    "worst_set",
    "stress_sets",
    "guardrails",
    "envelope_hits",
    "late_share",
    "shadow_days",
    "shadow_gain",
    "canary",
]


def make_weeks(gain_ratio, count=12, spread=0.01, seed=1):
    rule = np.full(count, 50_000.0)
    noise = np.random.default_rng(seed).standard_normal(count)
    return PairedWeeks((gain_ratio + spread * (noise - noise.mean())) * rule, rule)


def make_evidence(**changes):
    """A challenger that passes everything."""
    good = Evidence(
        held_out={"generated": make_weeks(0.03), "philly": make_weeks(0.02, seed=2)},
        stress={"failures ×5": make_weeks(0.015), "slow starts": make_weeks(0.01)},
        guardrail_breaks=0,
        envelope_hit_ratio=0.12,
        shadow_daily_gain_ratios=np.full(30, 0.03),
        canary=Canary(2, 12, np.full(4, 0.02)),
        late_ratio=0.024,
        rule_late_ratio=0.022,
    )
    return replace(good, **changes)


def gate(name, evidence, bar=None):
    return {each.name: each for each in module.gates(evidence, bar)}[name]


def test_every_gate_is_listed_in_its_order_and_a_good_challenger_passes_all():
    found = module.gates(make_evidence())
    assert [each.name for each in found] == NAMES
    assert [each.name for each in found if not each.passed] == []
    assert may_be_promoted(found)


def test_without_evidence_none_is_passed_and_each_says_what_is_missing_and_when():
    found = module.gates(Evidence())
    assert [each.name for each in found] == NAMES
    assert not any(each.passed for each in found)
    assert not may_be_promoted(found)
    assert not may_be_promoted([])
    for each in found:
        assert any(
            word in each.sentence
            for word in ("comes with", "more must be played", "to go", "comes after", "follows")
        ), each.sentence


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        (
            "held_out_weeks",
            {"held_out": {"generated": make_weeks(0.03, 20)}},
            "20 held-out pool-weeks; at least 24 are wanted, so 4 more",
        ),
        ("held_out_gain", {"held_out": {"one": make_weeks(0.001, 24)}}, "must be above 0"),
        (
            "weeks_won",
            {"held_out": {"one": make_weeks(0.001, 24)}},
            "of 24 held-out weeks",
        ),
        (
            "worst_set",
            {"held_out": {"fine": make_weeks(0.05), "sad": make_weeks(-0.006)}},
            "worst of 2 held-out sets is sad with -0.60%",
        ),
        ("stress_sets", {"stress": {"dear": make_weeks(-0.001)}}, "dear with -0.10%"),
        ("guardrails", {"guardrail_breaks": 1}, "1 proposal broke a guardrail"),
        ("envelope_hits", {"envelope_hit_ratio": 0.25}, "25.0% of its decisions"),
        ("late_share", {"late_ratio": 0.0275}, "2.75% of its jobs started late, 2.20%"),
        (
            "shadow_days",
            {"shadow_daily_gain_ratios": np.full(5, 0.03)},
            "5 days of at least 7; 2 more days of the fleet's clock to go",
        ),
        (
            "shadow_gain",
            {"shadow_daily_gain_ratios": np.full(8, 0.004)},
            "More days at this gain would show it",
        ),
        ("canary", {"canary": Canary(4, 12, np.full(4, 0.02))}, "it should be 2 to 2 pools"),
        ("canary", {"canary": Canary(2, 12, np.full(2, 0.02))}, "1 more day"),
        ("canary", {"canary": Canary(2, 12, np.full(4, -0.02))}, "must not be below 0"),
        ("canary", {"canary": Canary(2, 12, np.full(4, 0.02), alarms=1)}, "1 alarm went off"),
    ],
)
def test_one_thing_wrong_shuts_its_gate_and_is_said_in_figures(name, changes, says):
    found = gate(name, make_evidence(**changes))
    assert not found.passed
    assert says in found.sentence
    assert not may_be_promoted(module.gates(make_evidence(**changes)))


def test_the_mean_is_judged_by_its_lower_bound_and_not_by_itself():
    wild = PairedWeeks(make_weeks(0.01, 24, spread=0.10).gains_usd, np.full(24, 50_000.0))
    found = gate("held_out_gain", make_evidence(held_out={"wild": wild}))
    assert wild.gain_ratio > 0
    assert found.value is not None
    assert found.value < 0
    assert not found.passed


def test_a_set_that_was_announced_and_not_played_is_missing():
    empty = PairedWeeks(np.zeros(0), np.zeros(0))
    found = gate("stress_sets", make_evidence(stress={"dear": make_weeks(0.1), "late": empty}))
    assert not found.passed
    assert found.value is None
    assert "Nothing is known of late" in found.sentence


def test_half_a_point_more_late_jobs_is_the_most():
    rule = 0.02
    at_most = gate("late_share", make_evidence(late_ratio=rule + 0.0049, rule_late_ratio=rule))
    more = gate("late_share", make_evidence(late_ratio=rule + 0.0051, rule_late_ratio=rule))
    assert (at_most.passed, more.passed) == (True, False)


def test_a_day_worse_than_the_sequence_allows_for_shuts_the_shadow_gate():
    days = np.array([*np.full(29, 0.05), -0.2])
    found = gate("shadow_gain", make_evidence(shadow_daily_gain_ratios=days))
    assert not found.passed
    assert found.value == pytest.approx(-0.2)
    assert "-20.0%" in found.sentence


@pytest.mark.parametrize(
    ("pools", "all_pools", "passed"),
    [(1, 1, True), (1, 4, True), (2, 4, False), (1, 20, False), (2, 20, True), (4, 20, True)],
)
def test_a_canary_is_a_tenth_to_a_fifth_of_the_pools_and_at_least_one(pools, all_pools, passed):
    canary = Canary(pools, all_pools, np.full(3, 0.0))
    assert gate("canary", make_evidence(canary=canary)).passed is passed


def test_the_bar_is_data():
    strict = Bar(fewest_weeks=48, fewest_shadow_days=60)
    shut = [each.name for each in module.gates(make_evidence(), strict) if not each.passed]
    assert shut == ["held_out_weeks", "shadow_days"]


def test_a_row_can_be_kept_as_json():
    for evidence in (make_evidence(), Evidence()):
        rows = json.loads(json.dumps(as_rows(module.gates(evidence))))
        assert set(rows[0]) == {"name", "passed", "value", "threshold", "sentence"}
        assert [row["name"] for row in rows] == NAMES
