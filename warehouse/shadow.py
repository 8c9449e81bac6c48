"""What is asked of the shadow: what policies would do, would have earned, and who judges that.

The twin is the judge: it plays what a policy would have done on what really came. How honest it
is stands beside it: its promises against what was realised, and its replay against the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import polars as pl

from warehouse.paging import Page, Position, page_of
from warehouse.store import Store

__all__ = [
    "PolicyRole",
    "Promise",
    "cumulative_gains",
    "drifting_pools",
    "gains_by_pool",
    "newest_promise",
    "newest_proposals",
    "promises_kept",
    "proposals",
    "scores",
    "twin_checks",
]

PolicyRole = Literal["champion", "challenger", "rule"]

TICK_SPAN = timedelta(hours=1)
"""Proposals this close to the newest belong to what would be done now."""

_NEWEST_PROPOSALS = """
    SELECT * FROM shadow_proposals WHERE pool = $pool AND proposed_at >= $since
    QUALIFY row_number() OVER (PARTITION BY role ORDER BY proposed_at DESC, rowid DESC) = 1
    ORDER BY role
"""

_PROPOSALS = """
    SELECT * EXCLUDE (drivers, propensities) FROM shadow_proposals
    WHERE ($pool IS NULL OR pool = $pool) AND ($role IS NULL OR role = $role)
"""

_DONE = """
    SELECT observation_id, policy,
        string_agg(summary || ', ' || replace(state, '_', ' '), '; ' ORDER BY decision_id) AS done,
        sum(expected_gain_usd_per_hour) FILTER (state IN ('shadow', 'lapsed', 'rejected'))
            AS missed_gain_usd_per_hour
    FROM decision_states
    WHERE list_contains($observation_ids::VARCHAR[], observation_id)
    GROUP BY ALL
"""

_NEWEST_PROMISE = """
    SELECT decision_id, summary, policy, expected_gain_usd_per_hour,
        expected_gain_low_usd_per_hour, expected_gain_high_usd_per_hour, interval_ratio,
        horizon_seconds, proposed_at
    FROM decisions WHERE pool = $pool ORDER BY proposed_at DESC, decision_id LIMIT 1
"""

_KEPT = """
    SELECT d.decision_id, d.pool, d.policy, d.expected_gain_usd_per_hour,
        d.expected_gain_low_usd_per_hour, d.expected_gain_high_usd_per_hour, d.interval_ratio,
        o.realised_gain_usd_per_hour, o.measured_at,
        o.realised_gain_usd_per_hour BETWEEN d.expected_gain_low_usd_per_hour
            AND d.expected_gain_high_usd_per_hour AS is_inside
    FROM outcomes o JOIN decisions d USING (decision_id) JOIN verdicts v USING (decision_id)
    WHERE o.realised_gain_usd_per_hour IS NOT NULL AND v.verdict = 'approve'
    ORDER BY o.measured_at DESC, d.decision_id LIMIT $limit
"""
"""What was overridden made no promise for what was carried out; see `warehouse/scoreboard.py`."""


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What the twin expects of a decision; fields are those of `records.Decision`."""

    decision_id: str
    summary: str
    policy: str
    expected_gain_usd_per_hour: float
    expected_gain_low_usd_per_hour: float
    expected_gain_high_usd_per_hour: float
    interval_ratio: float
    horizon_seconds: int
    proposed_at: datetime


# -- what they would do ----------------------------------------------------------------


def newest_proposals(store: Store, pool: str) -> pl.DataFrame:
    """What champion, challenger and rule would do with a pool now, a row a role.

    Fields of several values (`drivers`, `propensities`) are JSON text. A role that last spoke
    more than an hour before the others is silent.
    """
    newest = store.query(
        "SELECT max(proposed_at) AS at FROM shadow_proposals WHERE pool = $pool", pool=pool
    ).item()
    # The instant as a parameter, not a join: partitions of other days are then not read.
    since = None if newest is None else newest - TICK_SPAN
    return store.query(_NEWEST_PROPOSALS, pool=pool, since=since)


def newest_promise(store: Store, pool: str) -> Promise | None:
    """The newest decision of a pool with what is expected of it, or None before the first."""
    for row in store.query(_NEWEST_PROMISE, pool=pool).iter_rows(named=True):
        return Promise(**row)
    return None


def proposals(
    store: Store,
    *,
    pool: str | None = None,
    role: str | None = None,
    offset: Position = 0,
    limit: int = 50,
) -> Page:
    """One page of the ledger of shadow proposals, the newest first.

    The fields of `records.ShadowProposal` without its drivers, then `done`: in words what was
    decided on the same observation; and `missed_gain_usd_per_hour`: what the policy's own
    decisions promised that were not acted on, NULL where there were none.
    """
    order = "proposed_at DESC, pool, role, policy_id"
    page = page_of(store, _PROPOSALS, order=order, offset=offset, limit=limit, pool=pool, role=role)
    seen = page.rows["observation_id"].drop_nulls().unique().to_list()
    if not seen:
        nothing = {"done": pl.String(), "missed_gain_usd_per_hour": pl.Float64()}
        empty = (pl.lit(None, kind).alias(name) for name, kind in nothing.items())
        return replace(page, rows=page.rows.with_columns(empty))
    done = store.query(_DONE, observation_ids=seen)
    return replace(page, rows=_with_what_was_done(page.rows, done))


def _with_what_was_done(rows: pl.DataFrame, done: pl.DataFrame) -> pl.DataFrame:
    words = done.group_by("observation_id").agg(pl.col("done").sort().str.join("; "))
    missed = done.select("observation_id", "missed_gain_usd_per_hour", policy_id="policy")
    return rows.join(words, on="observation_id", how="left", maintain_order="left").join(
        missed, on=["observation_id", "policy_id"], how="left", maintain_order="left"
    )


# -- what they would have earned -------------------------------------------------------


def scores(store: Store, *, since: datetime, pool: str | None = None) -> pl.DataFrame:
    """The twin's scores of spans that ended since an instant, in time order."""
    return store.query(
        """
        SELECT * FROM shadow_scores
        WHERE ends_at >= $since AND ($pool IS NULL OR pool = $pool)
        ORDER BY ends_at, pool, role
        """,
        since=since,
        pool=pool,
    )


def cumulative_gains(found: pl.DataFrame) -> pl.DataFrame:
    """Gain over the rule summed up over time, from `scores`; a row a role and end of a span.

    Columns `role`, `at`, `gain_usd`, `low_usd`, `high_usd`, `rule_profit_usd`. Redraws of
    different spans and pools are independent, so the half-widths of the 80 % intervals add in
    quadrature. The rule has no row, as its gain over itself is 0.
    """
    gain = pl.col("profit_usd") - pl.col("rule_profit_usd")
    steps = (
        found.filter(pl.col("role") != "rule")
        .group_by("role", at="ends_at")
        .agg(
            gain.sum().alias("gain_usd"),
            ((gain - pl.col("gain_low_usd")) ** 2).sum().alias("below"),
            ((pl.col("gain_high_usd") - gain) ** 2).sum().alias("above"),
            pl.col("rule_profit_usd").sum(),
        )
        .sort("role", "at")
    )
    summed = ("gain_usd", "below", "above", "rule_profit_usd")
    sums = steps.with_columns(pl.col(name).cum_sum().over("role") for name in summed)
    return sums.select(
        "role",
        "at",
        "gain_usd",
        low_usd=pl.col("gain_usd") - pl.col("below").sqrt(),
        high_usd=pl.col("gain_usd") + pl.col("above").sqrt(),
        rule_profit_usd="rule_profit_usd",
    )


def gains_by_pool(found: pl.DataFrame, role: PolicyRole = "champion") -> pl.DataFrame:
    """What a role earned beyond the rule in each pool, from `scores`.

    Columns `pool`, `gain_usd`, `rule_profit_usd`, `late_ratio`, `rule_late_ratio`,
    `utilisation_ratio` (means over spans), `span_count`, `newest_at`.
    """
    means = ("late_ratio", "rule_late_ratio", "utilisation_ratio")
    return (
        found.filter(pl.col("role") == role)
        .group_by("pool")
        .agg(
            (pl.col("profit_usd") - pl.col("rule_profit_usd")).sum().alias("gain_usd"),
            pl.col("rule_profit_usd").sum(),
            *(pl.col(name).mean() for name in means),
            pl.len().alias("span_count"),
            pl.col("ends_at").max().alias("newest_at"),
        )
        .sort("pool")
    )


# -- whether the judge is honest -------------------------------------------------------


def promises_kept(store: Store, limit: int = 400) -> pl.DataFrame:
    """Decisions carried out as proposed with what they promised and gained, the newest first.

    `is_inside` tells whether the gain lay in the interval that was promised.
    """
    return store.query(_KEPT, limit=limit)


def twin_checks(store: Store, *, since: datetime, pool: str | None = None) -> pl.DataFrame:
    """The twin against reality, spans that ended since an instant, in time order."""
    return store.query(
        """
        SELECT * FROM twin_checks
        WHERE ends_at >= $since AND ($pool IS NULL OR pool = $pool)
        ORDER BY ends_at, pool
        """,
        since=since,
        pool=pool,
    )


def drifting_pools(store: Store) -> list[str]:
    """The pools whose newest check says that the twin no longer matches reality, by name."""
    found = store.query(
        """
        SELECT pool FROM (
            SELECT pool, is_valid FROM twin_checks
            QUALIFY row_number() OVER (PARTITION BY pool ORDER BY ends_at DESC) = 1
        ) WHERE NOT is_valid ORDER BY pool
        """
    )
    return found["pool"].to_list()
