"""What is asked of the scores: cards, the metric table, history, why, and what weights would do.

A round of scores is written at one instant; the newest at or before `now` is the one in force.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from warehouse.metric_catalogue import GROUPS, METRICS
from warehouse.records import BenchmarkScore, MarketMetric
from warehouse.score_weights import LEAST_KNOWN_RATIO, Part, Weights, weighted_mean, weights
from warehouse.store import Store

CHANGE_RATIO = 0.5
"""By how much each group's weight is raised and lowered to see what it does to the ranks."""

_NEWEST = """
    SELECT * FROM benchmark_scores
    WHERE scored_at = (SELECT max(scored_at) FROM benchmark_scores WHERE scored_at <= $now)
"""
_CARDS = f"""
    SELECT provider, level, name, score, known_ratio, weight, explanation, scored_at,
        CASE WHEN score IS NOT NULL THEN rank() OVER (
            PARTITION BY name, score IS NULL ORDER BY score DESC) END AS rank
    FROM ({_NEWEST}) WHERE level <> 'metric'
    ORDER BY level = 'overall' DESC, name, score DESC NULLS LAST, provider
"""
_METRICS = f"""
    WITH scores AS (SELECT * FROM ({_NEWEST}) WHERE level = 'metric')
    SELECT m.provider, m.metric, m.value, m.words, m.unit, m.basis, s.score, s.weight,
        s.explanation, m.evidence, m.measured_at
    FROM market_metrics m LEFT JOIN scores s ON s.provider = m.provider AND s.name = m.metric
    WHERE m.model IS NULL AND m.measured_at = (
        SELECT max(measured_at) FROM market_metrics WHERE measured_at <= $now)
"""
_MODEL_PRICES = """
    SELECT provider, model, value AS price_usd_per_gpu_hour, evidence, measured_at
    FROM market_metrics WHERE metric = 'on_demand_price' AND model IS NOT NULL
        AND measured_at = (SELECT max(measured_at) FROM market_metrics WHERE measured_at <= $now)
    ORDER BY model, value, provider
"""
_HISTORY = """
    SELECT provider, name, score, known_ratio, scored_at FROM benchmark_scores
    WHERE scored_at >= $since AND scored_at <= $until AND list_contains($names::VARCHAR[], name)
        AND ($provider IS NULL OR provider = $provider)
    ORDER BY scored_at, name, provider
"""


@dataclass(frozen=True)
class Explanation:
    """A score and all it was made from."""

    score: BenchmarkScore
    metric: MarketMetric | None
    """Of a metric's score: the metric, whose evidence leads to the rows."""
    parts: tuple[BenchmarkScore, ...]
    """Of a group: its metrics' scores; overall: the groups'."""


def score_cards(store: Store, now: datetime) -> pl.DataFrame:
    """The overall and group scores in force, a row a provider and name, with its rank among those
    that are known; the overall first."""
    return store.query(_CARDS, now=now)


def metric_table(store: Store, now: datetime) -> pl.DataFrame:
    """Every metric of every provider, known or not, in the order of the catalogue.

    `evidence` is JSON; `more_is_better` is null where the metric is not scored.
    """
    order = {name: place for place, name in enumerate(METRICS)}
    found = store.query(_METRICS, now=now).filter(pl.col("metric").is_in(list(METRICS)))
    return (
        found.with_columns(
            _told("label", {name: metric.label for name, metric in METRICS.items()}, pl.String()),
            _told("group", {name: metric.group for name, metric in METRICS.items()}, pl.String()),
            _told(
                "more_is_better",
                {name: metric.more_is_better for name, metric in METRICS.items()},
                pl.Boolean(),
            ),
            _told("place", order, pl.Int64()),
        )
        .sort("place", "provider")
        .drop("place")
    )


def model_prices(store: Store, now: datetime) -> pl.DataFrame:
    """The headline on-demand prices that the scores rest on, by model and provider, ours among
    them; `evidence` is JSON."""
    return store.query(_MODEL_PRICES, now=now)


def score_history(
    store: Store,
    *,
    since: datetime,
    until: datetime,
    names: Sequence[str] = ("overall", *GROUPS),
    provider: str | None = None,
) -> pl.DataFrame:
    """Scores over time: `provider`, `name`, `score`, `known_ratio`, `scored_at`."""
    return store.query(_HISTORY, since=since, until=until, names=list(names), provider=provider)


def explanation(store: Store, provider: str, name: str, now: datetime) -> Explanation | None:
    """How a provider's score in force came about; None where there is none of this name."""
    found = store.rows(
        BenchmarkScore, f"{_NEWEST} AND provider = $provider", now=now, provider=provider
    )
    by_name = {score.name: score for score in found}
    if name not in by_name:
        return None
    score = by_name[name]
    return Explanation(score, _metric_of(store, score), _parts(score, by_name))


def sensitivity(store: Store, now: datetime, *, change_ratio: float = CHANGE_RATIO) -> pl.DataFrame:
    """What becomes of the overall scores in force, as `sensitivity_of`."""
    return sensitivity_of(score_cards(store, now), weights(store), change_ratio=change_ratio)


def sensitivity_of(
    cards: pl.DataFrame, in_use: Weights, *, change_ratio: float = CHANGE_RATIO
) -> pl.DataFrame:
    """What becomes of overall scores, those of `score_cards`, where one group's weight is raised or
    lowered.

    `group`, `factor`, `provider`, `score`, `rank`, `rank_change` (negative is up); the factor 1
    with the group `all` is as it is.
    """
    as_is = in_use.groups
    base = _ranked(cards, as_is)
    rows = _labelled(base, base, "all", 1.0)
    for group in GROUPS:
        for factor in (1 - change_ratio, 1 + change_ratio):
            changed = {**as_is, group: as_is[group] * factor}
            rows += _labelled(_ranked(cards, changed), base, group, factor)
    return pl.DataFrame(rows, schema=_SENSITIVITY, orient="row")


def overall_with(cards: pl.DataFrame, metrics: pl.DataFrame, given: Weights) -> pl.DataFrame:
    """The overall scores that other weights would give: `provider`, `score`, `rank`.

    Of `score_cards` and `metric_table`.
    """
    shares = {group: given.group_share(group) for group in given.groups}
    ranked = _ranked(_reweighed(cards, metrics, given), shares)
    rows = [(provider, score, rank) for provider, (score, rank) in ranked.items()]
    schema = {"provider": pl.String, "score": pl.Float64, "rank": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("rank", "provider", nulls_last=True)


# -- how -------------------------------------------------------------------------------

_Ranked = dict[str, tuple[float | None, int | None]]
_SENSITIVITY = {
    "group": pl.String,
    "factor": pl.Float64,
    "provider": pl.String,
    "score": pl.Float64,
    "rank": pl.Int64,
    "rank_change": pl.Int64,
}


def _told(name: str, values: Mapping[str, Any], dtype: pl.DataType) -> pl.Expr:
    return pl.col("metric").replace_strict(values, return_dtype=dtype).alias(name)


def _metric_of(store: Store, score: BenchmarkScore) -> MarketMetric | None:
    if score.level != "metric":
        return None
    found = store.rows(
        MarketMetric,
        """
        SELECT * FROM market_metrics WHERE provider = $provider AND metric = $metric
            AND model IS NULL AND measured_at <= $at ORDER BY measured_at DESC LIMIT 1
        """,
        provider=score.provider,
        metric=score.name,
        at=score.scored_at,
    )
    return found[0] if found else None


def _parts(score: BenchmarkScore, by_name: dict[str, BenchmarkScore]) -> tuple[BenchmarkScore, ...]:
    if score.level == "metric":
        return ()
    if score.level == "overall":
        return tuple(by_name[group] for group in GROUPS if group in by_name)
    return tuple(
        by_name[name]
        for name, metric in METRICS.items()
        if metric.group == score.name and name in by_name
    )


def _reweighed(cards: pl.DataFrame, table: pl.DataFrame, given: Weights) -> pl.DataFrame:
    """The groups' scores by other weights of their metrics; those of unchanged ones as they are."""
    members: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in table.filter(pl.col("weight").is_not_null()).iter_rows(named=True):
        if row["metric"] in given.metrics:
            members.setdefault((row["provider"], row["group"]), []).append(row)
    rows = []
    for card in cards.filter(pl.col("level") == "group").iter_rows(named=True):
        inside = members.get((card["provider"], card["name"]), [])
        if any(given.metrics[row["metric"]] != row["weight"] for row in inside):
            card["score"], card["known_ratio"] = weighted_mean(
                Part(given.metrics[row["metric"]], row["score"], float(row["score"] is not None))
                for row in inside
            )
        rows.append(card)
    return pl.DataFrame(rows, schema=cards.schema)


def _ranked(cards: pl.DataFrame, groups: Mapping[str, float]) -> _Ranked:
    overall: dict[str, float | None] = {}
    members = cards.filter(pl.col("level") == "group")
    for (provider,), rows in members.group_by("provider", maintain_order=True):
        parts = [
            Part(groups[row["name"]], row["score"], row["known_ratio"])
            for row in rows.iter_rows(named=True)
            if row["name"] in groups
        ]
        mean, known_ratio = weighted_mean(parts)
        overall[str(provider)] = mean if known_ratio >= LEAST_KNOWN_RATIO else None
    known = sorted((score for score in overall.values() if score is not None), reverse=True)
    return {
        provider: (score, None if score is None else known.index(score) + 1)
        for provider, score in overall.items()
    }


def _labelled(found: _Ranked, base: _Ranked, group: str, factor: float) -> list[tuple[Any, ...]]:
    rows = []
    for provider, (score, rank) in sorted(
        found.items(), key=lambda each: (each[1][1] is None, each[1][1], each[0])
    ):
        before = base[provider][1]
        moved = None if rank is None or before is None else rank - before
        rows.append((group, factor, provider, score, rank, moved))
    return rows


def evidence_of(text: str) -> dict[str, Any]:
    """A frame's `evidence`, read."""
    found: dict[str, Any] = json.loads(text)
    return found
