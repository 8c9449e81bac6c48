"""Scores: by hand, deterministic, unknowns apart, each explained."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.market.metric_rows import unknown_row
from engine.market.scoring import scores_of
from tests.makers import NOON
from warehouse.metric_catalogue import GROUPS, METRICS, metrics_of
from warehouse.records import MarketMetric
from warehouse.score_weights import LEAST_KNOWN_RATIO, Weights

SCORED = [name for name, metric in METRICS.items() if metric.is_scored]
VALUES = st.dictionaries(st.sampled_from(SCORED), st.floats(0.0, 1e5), max_size=len(SCORED))


def rows(provider: str, values: dict[str, float]) -> list[MarketMetric]:
    return [replace(unknown_row(provider, name, NOON), value=values.get(name)) for name in METRICS]


def by_name(found, provider: str = "a") -> dict[str, float | None]:
    return {one.name: one.score for one in found if one.provider == provider}


def test_a_group_is_the_mean_by_weight_of_what_is_known_of_it() -> None:
    # on-demand at the others' median 60, weight 5; spot 30 % cheaper 50, weight 1
    found = scores_of(rows("a", {"on_demand_price": 1.0, "spot_discount": 0.3}), Weights(), NOON)
    group = next(one for one in found if one.name == "price")
    assert group.score == pytest.approx((60 * 5 + 50) / 6)
    inside = sum(metric.weight for metric in metrics_of("price"))
    assert group.known_ratio == pytest.approx(6 / inside)
    assert "60.0 x 5" in group.explanation
    overall = next(one for one in found if one.level == "overall")
    assert overall.score is None
    assert "withheld" in overall.explanation


@given(VALUES, VALUES)
def test_what_is_known_of_one_provider_never_moves_another(mine, theirs) -> None:
    alone = by_name(scores_of(rows("a", mine), Weights(), NOON))
    together = scores_of(rows("b", theirs) + rows("a", mine), Weights(), NOON)
    assert by_name(together) == alone


@given(VALUES, st.sampled_from(SCORED), st.floats(0.0, 1e5), st.floats(0.0, 1e5))
def test_a_better_value_never_lowers_a_score_of_its_provider(values, name, one, other) -> None:
    worse, better = sorted((one, other), reverse=not METRICS[name].more_is_better)
    before = by_name(scores_of(rows("a", {**values, name: worse}), Weights(), NOON))
    after = by_name(scores_of(rows("a", {**values, name: better}), Weights(), NOON))
    for level in (name, METRICS[name].group, "overall"):
        low, high = before[level], after[level]
        assert (low is None) == (high is None)
        assert low is None or high >= low - 1e-9


@given(VALUES)
def test_scores_are_the_same_each_time_and_say_what_share_is_known(values) -> None:
    made = scores_of(rows("a", values), Weights(), NOON)
    assert made == scores_of(list(reversed(rows("a", values))), Weights(), NOON)
    overall = next(one for one in made if one.level == "overall")
    known = sum(Weights().share(name) for name in values)
    assert overall.known_ratio == pytest.approx(known)
    assert (overall.score is None) == (overall.known_ratio < LEAST_KNOWN_RATIO)
    assert all(one.score is None or 0 <= one.score <= 100 for one in made)
    assert all(one.explanation for one in made)


def test_the_overall_score_is_the_mean_of_all_known_metrics_by_their_shares() -> None:
    values = {name: METRICS[name].points[1][0] for name in SCORED}
    found = by_name(scores_of(rows("a", values), Weights(), NOON))
    expected = sum(Weights().share(name) * METRICS[name].points[1][1] for name in SCORED)
    assert found["overall"] == pytest.approx(expected)
    assert set(found) == {*SCORED, *GROUPS, "overall"}
