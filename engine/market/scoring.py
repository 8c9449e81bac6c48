"""Metrics to scores from 0 to 100: of each metric, of each group, overall. By `docs/scoring.md`.

Of one provider at a time, from its own metrics and the weights alone, so that what is not known
of one never moves another.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from warehouse.metric_catalogue import GROUPS, METRICS, Metric, metrics_of, score_of
from warehouse.records import BenchmarkScore, MarketMetric
from warehouse.score_weights import LEAST_KNOWN_RATIO, Part, Weights, weighted_mean

Level = Literal["metric", "group", "overall"]


def scores_of(
    metrics: Iterable[MarketMetric], weights: Weights, now: datetime
) -> list[BenchmarkScore]:
    """The scores of every provider in some metrics, by name of the provider."""
    by_provider: dict[str, dict[str, MarketMetric]] = {}
    for metric in metrics:
        if metric.model is None:
            by_provider.setdefault(metric.provider, {})[metric.metric] = metric
    return [
        score
        for provider in sorted(by_provider)
        for score in provider_scores(provider, by_provider[provider], weights, now)
    ]


def provider_scores(
    provider: str, known: dict[str, MarketMetric], weights: Weights, now: datetime
) -> list[BenchmarkScore]:
    """The scores of one provider: its metrics', its groups' and the overall one."""
    singles = [
        _metric_score(provider, metric, known.get(metric.name), weights, now)
        for metric in METRICS.values()
        if metric.is_scored
    ]
    by_name = {score.name: score for score in singles}
    groups = [_group_score(provider, group, by_name, weights, now) for group in GROUPS]
    return [*singles, *groups, _overall(provider, groups, now)]


def _metric_score(
    provider: str,
    metric: Metric,
    row: MarketMetric | None,
    weights: Weights,
    now: datetime,
) -> BenchmarkScore:
    value = row.value if row else None
    score = None if value is None else score_of(metric, value)
    evidence: dict[str, Any] = {
        "value": value,
        "unit": metric.unit,
        "words": row.words if row else None,
        "basis": row.basis if row else None,
        "group": metric.group,
        "points": [list(point) for point in metric.points],
        "is_logarithmic": metric.is_logarithmic,
        **(row.evidence if row else {}),
    }
    return BenchmarkScore(
        provider=provider,
        level="metric",
        name=metric.name,
        score=score,
        known_ratio=0.0 if score is None else 1.0,
        weight=weights.metrics[metric.name],
        explanation=_metric_words(metric, row, score),
        evidence=evidence,
        scored_at=now,
    )


def _metric_words(metric: Metric, row: MarketMetric | None, score: float | None) -> str:
    if row is None or row.value is None or score is None:
        why = row.words if row and row.words else "nothing tells"
        return f"{metric.label}: unknown ({why}); it counts neither for nor against."
    scale = "the logarithm of the value" if metric.is_logarithmic else "the value"
    points = ", ".join(f"{value:g} = {points:g}" for value, points in metric.points)
    return (
        f"{metric.label}: {row.value:,.4g} {metric.unit} scores {score:.1f}, "
        f"by straight lines over {scale} between {points}. {_basis_words(row)}"
    )


def _basis_words(row: MarketMetric) -> str:
    told = row.evidence
    if row.basis == "documented":
        return f"Documented: {row.words} ({told.get('source')}, read {told.get('date')})."
    where = "of our own rows" if row.basis == "own" else "offers"
    span = f", {told['from']} to {told['to']}" if told.get("from") and told.get("to") else ""
    return f"From {told.get('rows', 0):,} {where}{span}."


def _group_score(
    provider: str,
    group: str,
    by_name: dict[str, BenchmarkScore],
    weights: Weights,
    now: datetime,
) -> BenchmarkScore:
    members = [by_name[metric.name] for metric in metrics_of(group)]
    score, known_ratio = weighted_mean(
        Part(member.weight, member.score, member.known_ratio) for member in members
    )
    heard = [member for member in members if member.score is not None]
    words = ", ".join(f"{METRICS[m.name].label} {m.score:.1f} x {m.weight:g}" for m in heard)
    label = next(label for name, label in GROUPS.items() if name == group)
    explanation = (
        f"{label}: nothing of it is known."
        if score is None
        else f"{label}: {score:.1f} is the mean by weight of {len(heard)} known of {len(members)} "
        f"metrics: {words}. {known_ratio:.0%} of its weight is known."
    )
    return BenchmarkScore(
        provider=provider,
        level="group",
        name=group,
        score=score,
        known_ratio=known_ratio,
        weight=weights.group_share(group),
        explanation=explanation,
        evidence={"metrics": {m.name: [m.score, m.weight] for m in members}},
        scored_at=now,
    )


def _overall(provider: str, groups: list[BenchmarkScore], now: datetime) -> BenchmarkScore:
    mean, known_ratio = weighted_mean(
        Part(group.weight, group.score, group.known_ratio) for group in groups
    )
    is_known = mean is not None and known_ratio >= LEAST_KNOWN_RATIO
    parts = ", ".join(
        f"{group.name} {group.score:.1f} x {group.weight * group.known_ratio:.3f}"
        for group in groups
        if group.score is not None
    )
    if is_known:
        explanation = (
            f"Overall: {mean:.1f} is the mean of the groups by their weight times the share of it "
            f"that is known: {parts}. {known_ratio:.0%} of all weight is known."
        )
    else:
        explanation = (
            f"Overall: withheld, since {known_ratio:.0%} of the weight is known and at least "
            f"{LEAST_KNOWN_RATIO:.0%} is asked."
        )
    return BenchmarkScore(
        provider=provider,
        level="overall",
        name="overall",
        score=mean if is_known else None,
        known_ratio=known_ratio,
        weight=1.0,
        explanation=explanation,
        evidence={"groups": {g.name: [g.score, g.weight, g.known_ratio] for g in groups}},
        scored_at=now,
    )
