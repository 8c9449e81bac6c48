"""What is asked of the money: what was earned and what it cost."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from warehouse.records import ListPrice
from warehouse.store import Store

_SUMS = """
    sum(revenue_usd) AS revenue_usd, sum(spot_revenue_usd) AS spot_revenue_usd,
    sum(owned_cost_usd) AS owned_cost_usd, sum(leased_cost_usd) AS leased_cost_usd,
    sum(penalty_usd) AS penalty_usd, sum(refund_usd) AS refund_usd,
    sum(revenue_usd + spot_revenue_usd - owned_cost_usd - leased_cost_usd
        - penalty_usd - refund_usd) AS profit_usd,
    sum(used_gpu_hours) AS used_gpu_hours, sum(on_gpu_hours) AS on_gpu_hours
"""
"""Contribution profit: revenue less variable cost less what is owed to customers."""


def earnings(
    store: Store,
    *,
    since: datetime,
    until: datetime,
    step_seconds: int,
    pool: str | None = None,
) -> pl.DataFrame:
    """Earnings and costs, a row a pool and step of the span, in time order; sums in USD."""
    return store.query(
        f"""
        SELECT time_bucket(to_seconds($step), period_starts_at) AS "at", pool, {_SUMS}
        FROM pool_ledgers
        WHERE period_starts_at >= $since AND period_starts_at < $until
            AND ($pool IS NULL OR pool = $pool)
        GROUP BY ALL ORDER BY 1, 2
        """,
        step=step_seconds,
        since=since,
        until=until,
        pool=pool,
    )


def earnings_total(store: Store, *, since: datetime, until: datetime) -> pl.DataFrame:
    """Earnings and costs of a span, a row a pool; sums in USD."""
    return store.query(
        f"""
        SELECT pool, {_SUMS} FROM pool_ledgers
        WHERE period_starts_at >= $since AND period_starts_at < $until
        GROUP BY pool ORDER BY pool
        """,
        since=since,
        until=until,
    )


def charged_usd(store: Store, *, since: datetime, until: datetime) -> pl.DataFrame:
    """What was charged in a span, a row a pool: GPU-hours and USD."""
    return store.query(
        """
        SELECT pool, sum(gpu_hours) AS gpu_hours, sum(charge_usd) AS charge_usd FROM charges
        WHERE period_starts_at >= $since AND period_starts_at < $until
        GROUP BY pool ORDER BY pool
        """,
        since=since,
        until=until,
    )


def price_in_force(store: Store, pool: str, *, at: datetime) -> ListPrice | None:
    """The price for new jobs of a pool at an instant, or None if none was ever set."""
    found = store.rows(
        ListPrice,
        """
        SELECT * FROM price_list WHERE pool = $pool AND in_force_from_at <= $at
        ORDER BY in_force_from_at DESC LIMIT 1
        """,
        pool=pool,
        at=at,
    )
    return found[0] if found else None


def price_history(store: Store, pool: str, *, since: datetime) -> list[ListPrice]:
    """Every price of a pool that came into force since an instant, oldest first."""
    return store.rows(
        ListPrice,
        """
        SELECT * FROM price_list WHERE pool = $pool AND in_force_from_at >= $since
        ORDER BY in_force_from_at
        """,
        pool=pool,
        since=since,
    )
