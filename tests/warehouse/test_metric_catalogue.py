"""The catalogue of metrics: enough of them, and scales on which better never scores less."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from warehouse.metric_catalogue import GROUPS, METRICS, score_of

SCORED = [metric for metric in METRICS.values() if metric.is_scored]
AMOUNTS = st.floats(0.0, 1e7, allow_nan=False)


def test_there_are_at_least_24_metrics_and_every_group_has_some_that_count() -> None:
    assert len(METRICS) >= 24
    assert {metric.group for metric in SCORED} == set(GROUPS)
    assert all(metric.unit and metric.meaning and metric.weight > 0 for metric in METRICS.values())


def test_scales_are_in_order_and_run_one_way_inside_0_to_100() -> None:
    for metric in SCORED:
        values = [value for value, _ in metric.points]
        scores = [score for _, score in metric.points]
        assert values == sorted(set(values)), metric.name
        assert scores in (sorted(scores), sorted(scores, reverse=True)), metric.name
        assert {min(scores) >= 0, max(scores) == 100} == {True}, metric.name
        assert not metric.is_logarithmic or values[0] > 0, metric.name


@given(st.sampled_from(SCORED), AMOUNTS, AMOUNTS)
def test_a_better_value_never_scores_less(metric, one: float, other: float) -> None:
    worse, better = sorted((one, other), reverse=not metric.more_is_better)
    assert 0 <= score_of(metric, worse) <= score_of(metric, better) <= 100


def test_between_two_points_the_score_is_a_line_over_the_value_or_its_logarithm() -> None:
    assert score_of(METRICS["stock_level"], 0.25) == 25.0
    # half way between 0.8 and 1.25 by the logarithm is 1, which is a point itself
    assert score_of(METRICS["on_demand_price"], 1.0) == 60.0
    # sqrt(1 x 1.25): half way by the logarithm from 60 to 35
    assert round(score_of(METRICS["on_demand_price"], 1.25**0.5), 6) == 47.5
    assert score_of(METRICS["on_demand_price"], 0.1) == 100.0
    assert score_of(METRICS["on_demand_price"], 9.0) == 0.0


def test_the_written_method_names_every_metric_with_its_points() -> None:
    written = (Path(__file__).resolve().parents[2] / "docs" / "scoring.md").read_text()
    for metric in METRICS.values():
        (row,) = [line for line in written.splitlines() if f"| `{metric.name}` |" in line]
        points = ", ".join(f"{value:g} = {score:g}" for value, score in metric.points)
        assert f"| {metric.unit} |" in row
        assert points in row
        assert metric.meaning in row
