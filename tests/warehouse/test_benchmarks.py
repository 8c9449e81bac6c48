"""The scores: in force, over time, explained, and what other weights would do to the ranks."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.makers import NOON
from warehouse import benchmarks
from warehouse.metric_catalogue import GROUPS
from warehouse.records import BenchmarkScore, MarketMetric
from warehouse.score_weights import Weights
from warehouse.store import Store


def make_card(provider: str, name: str, score: float | None, **changes) -> BenchmarkScore:
    level = "group" if name in GROUPS else "overall" if name == "overall" else "metric"
    made = {
        "provider": provider, "level": level, "name": name, "score": score,
        "known_ratio": 0.0 if score is None else 1.0, "weight": 1.0, "explanation": "made",
        "evidence": {}, "scored_at": NOON,
    }  # fmt: skip
    return BenchmarkScore(**(made | changes))


def make_metric(provider: str, metric: str, value: float | None, **changes) -> MarketMetric:
    made = {
        "provider": provider, "metric": metric, "value": value, "unit": "ratio",
        "basis": "collected", "evidence": {"rows": 3}, "measured_at": NOON,
    }  # fmt: skip
    return MarketMetric(**(made | changes))


def cards(provider: str, price: float, others: float, at: datetime = NOON) -> list[BenchmarkScore]:
    groups = [
        make_card(provider, g, price if g == "price" else others, scored_at=at) for g in GROUPS
    ]
    overall = 0.3 * price + 0.7 * others
    return [*groups, make_card(provider, "overall", overall, scored_at=at)]


def test_the_newest_round_is_in_force_and_ranks_only_what_is_known(store: Store) -> None:
    store.append(cards("a", 10.0, 10.0, NOON - timedelta(days=1)))
    store.append(cards("a", 90.0, 40.0) + cards("b", 20.0, 60.0))
    store.append([make_card("c", "overall", None)])
    found = benchmarks.score_cards(store, NOON).filter(name="overall")
    assert found.select("provider", "score", "rank").rows() == [
        ("a", 55.0, 1), ("b", 48.0, 2), ("c", None, None),
    ]  # fmt: skip
    past = benchmarks.score_cards(store, NOON - timedelta(hours=1)).filter(name="overall")
    assert past["score"].to_list() == [10.0]


def test_sensitivity_shows_whose_rank_hangs_on_a_weight(store: Store) -> None:
    store.append(cards("a", 90.0, 40.0) + cards("b", 20.0, 60.0))
    found = benchmarks.sensitivity(store, NOON)
    as_is = found.filter(group="all")
    assert as_is.select("provider", "rank").rows() == [("a", 1), ("b", 2)]
    # half the weight of price: a has (0.15 x 90 + 0.7 x 40) / 0.85, b (0.15 x 20 + 0.7 x 60) / 0.85
    less = found.filter(group="price", factor=0.5)
    assert less.select("provider", "rank", "rank_change").rows() == [("b", 1, -1), ("a", 2, 1)]
    assert less["score"].to_list() == pytest.approx([45 / 0.85, 41.5 / 0.85])
    assert found.filter(group="price", factor=1.5)["rank_change"].to_list() == [0, 0]


def test_other_weights_can_be_tried_without_setting_them(store: Store) -> None:
    store.append(cards("a", 90.0, 40.0) + cards("b", 20.0, 60.0))
    tried = Weights(groups={group: float(group == "price") for group in GROUPS})
    found = benchmarks.overall_with(
        benchmarks.score_cards(store, NOON), benchmarks.metric_table(store, NOON), tried
    )
    assert found.rows() == [("a", 90.0, 1), ("b", 20.0, 2)]


def test_the_metric_table_has_the_unknown_too_and_follows_the_catalogue(store: Store) -> None:
    store.append(
        [
            make_metric("a", "upload", None),
            make_metric("a", "spot_discount", 0.3),
            make_metric("a", "utilisation", 0.8),
            make_metric("a", "on_demand_price", 2.5, model="H100 SXM"),
            make_card("a", "spot_discount", 50.0),
        ]
    )
    table = benchmarks.metric_table(store, NOON)
    assert table["metric"].to_list() == ["spot_discount", "utilisation", "upload"]
    assert table["score"].to_list() == [50.0, None, None]
    assert table["more_is_better"].to_list() == [True, None, True]
    assert benchmarks.evidence_of(table["evidence"][0]) == {"rows": 3}
    (price,) = benchmarks.model_prices(store, NOON).iter_rows(named=True)
    assert (price["model"], price["price_usd_per_gpu_hour"]) == ("H100 SXM", 2.5)


def test_a_score_is_explained_by_its_parts_down_to_the_metric(store: Store) -> None:
    store.append([*cards("a", 90.0, 40.0), make_card("a", "spot_discount", 50.0)])
    store.append([make_metric("a", "spot_discount", 0.3)])
    overall = benchmarks.explanation(store, "a", "overall", NOON)
    assert overall is not None
    assert [part.name for part in overall.parts] == list(GROUPS)
    group = benchmarks.explanation(store, "a", "price", NOON)
    assert group is not None
    assert [part.name for part in group.parts] == ["spot_discount"]
    metric = benchmarks.explanation(store, "a", "spot_discount", NOON)
    assert metric is not None
    assert metric.metric is not None
    assert metric.metric.value == 0.3
    assert benchmarks.explanation(store, "a", "charm", NOON) is None


def test_history_is_kept_by_round(store: Store) -> None:
    for days in (2, 1, 0):
        store.append(cards("a", 10.0 * days, 50.0, NOON - timedelta(days=days)))
    span = {"since": NOON - timedelta(days=1), "until": NOON}
    found = benchmarks.score_history(store, **span, names=["price"])
    assert found["score"].to_list() == [10.0, 0.0]
    assert benchmarks.score_history(store, **span, provider="b").is_empty()
