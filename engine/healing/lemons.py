"""Lemons: nodes on which jobs fail more often than chance allows.

Failures on a node are compared with its pool's rate by the upper tail of a Poisson distribution.
Jobs that fail together are one failure, or a single crash would look like many; the failures of
one tenant alone count half, since they may be that tenant's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from engine.healing.pieces import Piece, span_words
from engine.healing.roster import Node
from engine.healing.weights import Weights
from warehouse.store import Store
from warehouse.words import counted

ASKED_EVERY = timedelta(minutes=5)
"""Between two looks at the failures of a week."""

_FAILURES = """
    WITH floors AS (
        SELECT unnest($floor_nodes::VARCHAR[]) AS node_id,
            unnest($floor_ats::TIMESTAMPTZ[]) AS floor_at
    ), failed AS (
        SELECT job_id, tenant, happened_at, coalesce(detail, '') AS detail FROM job_events
        WHERE happened_at > $since AND happened_at <= $now AND (event = 'failed'
            OR event = 'preempted' AND contains(coalesce(detail, ''), ' failed'))
    ), held AS (
        SELECT failed.*, arg_max(e.node_ids, e.happened_at) AS node_ids
        FROM failed JOIN job_events e ON e.job_id = failed.job_id
            AND e.happened_at <= failed.happened_at AND e.event IN ('started', 'migrated')
        GROUP BY ALL
    ), blamed AS (
        SELECT job_id, tenant, happened_at, detail,
            unnest(from_json(node_ids, '["VARCHAR"]')) AS node_id
        FROM held
    )
    SELECT node_id, count(DISTINCT time_bucket(INTERVAL 5 MINUTE, happened_at)) AS times,
        count(DISTINCT job_id) AS jobs, count(DISTINCT tenant) AS tenants,
        min(happened_at) AS since_at, max(happened_at) AS "at"
    FROM blamed LEFT JOIN floors USING (node_id)
    WHERE (floor_at IS NULL OR happened_at > floor_at)
        AND (NOT contains(detail, ' failed') OR starts_with(detail, node_id))
    GROUP BY node_id ORDER BY node_id
"""
"""Of a job on several nodes all are blamed, unless the event itself names the one that failed."""


@dataclass
class Failures:
    """What failed where, asked for again only after a while: a week of jobs is much to read."""

    _asked_at: datetime | None = None
    _floors: list[datetime] = field(default_factory=list)
    _found: pl.DataFrame = field(default_factory=pl.DataFrame)

    def by_node(self, store: Store, given: Mapping[str, Any], weights: Weights) -> pl.DataFrame:
        """A row a node on which a job failed; as of a few minutes ago at worst."""
        now, asked_at = given["now"], self._asked_at
        is_fresh = asked_at is not None and timedelta(0) <= now - asked_at < ASKED_EVERY
        if not is_fresh or self._floors != given["floor_ats"]:  # or a node was mended since
            self._found = store.query(_FAILURES, **given, since=now - weights.failure_window)
            self._asked_at, self._floors = now, list(given["floor_ats"])
        return self._found


def lemons(
    found: pl.DataFrame, nodes: Mapping[str, Node], now: datetime, weights: Weights
) -> Iterator[Piece]:
    """A piece for each node on which a job failed; only a lemon's has weight to speak of."""
    if found.is_empty():
        return
    pools = [nodes[name].pool if name in nodes else None for name in found["node_id"]]
    found = found.with_columns(pl.Series("pool", pools, dtype=pl.String))
    totals = dict(found.group_by("pool").agg(pl.sum("times")).iter_rows())
    sizes: dict[str | None, int] = {}
    for node in nodes.values():
        sizes[node.pool] = sizes.get(node.pool, 0) + 1
    for row in found.iter_rows(named=True):
        others = max(1, sizes.get(row["pool"], 1) - 1)
        expected = max(weights.rare_failures, (totals[row["pool"]] - row["times"]) / others)
        yield _piece(row, expected, now, weights)


def _piece(row: Mapping[str, Any], expected: float, now: datetime, weights: Weights) -> Piece:
    chance, weight = tail(row["times"], expected), 0.0
    if row["times"] >= weights.least_failures and chance <= weights.chance_below_ratio:
        weight = min(weights.failures_most_ratio, -weights.per_decade_ratio * math.log10(chance))
        weight *= 0.5 ** ((now - row["at"]) / weights.failure_half_life)
        weight *= 0.5 if row["tenants"] == 1 else 1.0
    span = span_words(row["since_at"], row["at"])
    words = f"{counted(row['jobs'], 'job')} failed on it{span}"
    if weight:
        tenants = f"of {counted(row['tenants'], 'tenant')}"
        words = f"{words}, {tenants}, where {expected:.1f} such failures are usual"
    since_at = row["since_at"] if weight else row["at"]
    node_id, times = row["node_id"], float(row["times"])
    return Piece(node_id, "job_failures", times, weight, words, row["at"], since_at)


def tail(count: int, expected: float) -> float:
    """The probability of `count` or more where `expected` are expected (Poisson), above 0."""
    below = sum(
        math.exp(k * math.log(expected) - expected - math.lgamma(k + 1)) for k in range(count)
    )
    if below < 1 - 1e-9:
        return 1 - below
    # So rare that the sum of the rest is lost in rounding: its first term bounds it well.
    first = math.exp(count * math.log(expected) - expected - math.lgamma(count + 1))
    return max(first, 1e-300)
