"""The weights of the scores: shares that sum to one, a file, people, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.makers import NOON
from warehouse.audit import audit
from warehouse.metric_catalogue import GROUPS, METRICS
from warehouse.score_weights import (
    InvalidWeights,
    Part,
    Weights,
    set_weights,
    take_file,
    weighted_mean,
    weights,
)
from warehouse.store import Store

AMOUNT = st.floats(0.0, 100.0)
PART = st.builds(Part, weight=AMOUNT, score=st.none() | AMOUNT, known_ratio=st.just(1.0))


@given(st.fixed_dictionaries({group: st.floats(0.01, 1e6) for group in GROUPS}))
def test_the_shares_of_all_metrics_sum_to_one(groups: dict[str, float]) -> None:
    found = Weights(groups=groups)
    assert sum(found.share(metric) for metric in found.metrics) == pytest.approx(1.0)
    assert sum(found.group_share(group) for group in groups) == pytest.approx(1.0)


def test_a_group_without_weight_inside_gives_its_share_to_the_others() -> None:
    silent = {name: 0.0 for name, metric in METRICS.items() if metric.group == "price"}
    found = Weights(metrics={**Weights().metrics, **silent})
    assert found.group_share("price") == 0.0
    assert sum(found.share(metric) for metric in found.metrics) == pytest.approx(1.0)


@given(st.lists(PART), st.floats(0.1, 100.0))
def test_what_is_not_known_moves_no_mean_and_lowers_the_known_share(parts, weight) -> None:
    mean, known = weighted_mean(parts)
    again, less = weighted_mean([*parts, Part(weight, None, 0.0)])
    assert again == mean
    assert less < known or known == less == 0.0


def test_a_mean_by_hand() -> None:
    parts = [Part(2.0, 80.0, 1.0), Part(1.0, 50.0, 0.5), Part(1.0, None, 0.0)]
    assert weighted_mean(parts) == (pytest.approx((2 * 80 + 0.5 * 50) / 2.5), 2.5 / 4)


def test_whoever_spoke_last_is_heard_the_file_or_a_person(store: Store, tmp_path: Path) -> None:
    assert weights(store) == Weights()
    file = tmp_path / "score_weights.toml"
    assert not take_file(store, file, now=NOON)
    file.write_text("[groups]\nprice = 0.5\n[metrics]\nregions = 3\n")
    assert take_file(store, file, now=NOON)
    assert not take_file(store, file, now=NOON)
    found = weights(store)
    assert (found.groups["price"], found.metrics["regions"]) == (0.5, 3.0)
    assert found.groups["terms"] == Weights().groups["terms"]
    set_weights(store, {"groups": {"price": 0.7}}, by="ann", reason="why", now=NOON, via="browser")
    assert not take_file(store, file, now=NOON)  # it says nothing new
    found = weights(store)
    assert (found.groups["price"], found.metrics["regions"], found.set_by) == (0.7, 3.0, "ann")
    file.write_text("[groups]\nprice = 0.2\n")
    assert take_file(store, file, now=NOON)
    assert (weights(store).groups["price"], weights(store).metrics["regions"]) == (0.2, 1.0)
    acts = audit(store, act="control").rows
    assert set(acts["actor"]) == {"settings file", "ann"}


@pytest.mark.parametrize(
    "given_",
    [
        {"charm": {}},
        {"groups": {"charm": 1}},
        {"groups": {"price": -1}},
        {"groups": {"price": float("nan")}},
        {"metrics": {"utilisation": 1}},
        {"metrics": {"regions": True}},
        {"groups": dict.fromkeys(GROUPS, 0)},
    ],
)
def test_a_weight_that_cannot_be_is_refused_and_nothing_changes(store: Store, given_) -> None:
    with pytest.raises(InvalidWeights):
        set_weights(store, given_, by="ann", reason=None, now=NOON)
    assert weights(store).set_by is None


def test_a_file_that_is_not_toml_says_so(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "weights.toml"
    file.write_text("price: 1")
    with pytest.raises(InvalidWeights, match="is not TOML"):
        take_file(store, file, now=NOON)
