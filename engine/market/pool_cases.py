"""What a pool's recommendations are made from: its price, its use, its leases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from warehouse.price_evidence import PoolPrice, pool_prices
from warehouse.records import Pool, PoolState, PriceElasticity
from warehouse.store import Store

HOURS_PER_MONTH = 730.0
WINDOW = timedelta(days=30)
LEAST_LEDGER_HOURS = 24.0
"""A ledger of fewer hours is no mean of a month; the last reading serves instead."""

_LEDGER = """
    SELECT pool, sum(revenue_usd) AS revenue_usd, sum(spot_revenue_usd) AS spot_usd,
        sum(leased_cost_usd) AS leased_usd, sum(used_gpu_hours) AS used_gpu_hours,
        sum(on_gpu_hours) AS on_gpu_hours,
        sum(epoch(period_ends_at) - epoch(period_starts_at)) / 3600 AS hours
    FROM pool_ledgers WHERE period_starts_at >= $since AND period_starts_at < $now
    GROUP BY pool
"""
_POOLS = """
    SELECT * FROM pools WHERE recorded_at <= $now
    QUALIFY row_number() OVER (PARTITION BY pool ORDER BY recorded_at DESC, rowid DESC) = 1
    ORDER BY pool
"""
_STATES = """
    SELECT * FROM pool_states WHERE measured_at > $since AND measured_at <= $now
    QUALIFY row_number() OVER (PARTITION BY pool ORDER BY measured_at DESC, rowid DESC) = 1
"""


@dataclass(frozen=True)
class Case:
    """All that a pool's recommendations are made from."""

    pool: Pool
    state: PoolState
    price: PoolPrice
    elasticity: PriceElasticity
    used_gpus: float
    """Mean GPUs in use over the last month."""
    on_gpus: float
    """Mean GPUs switched on."""
    leased_gpu_hours_per_month: float
    basis: str
    """Where those three are from, in words."""


def cases_of(
    store: Store, now: datetime, known: Mapping[str, PriceElasticity], market_at: datetime
) -> list[Case]:
    """Of every pool that was read lately, at `now` by the console's clock."""
    prices = {price.pool: price for price in pool_prices(store, now, market_at=market_at)}
    ledgers = {
        row["pool"]: row
        for row in store.query(_LEDGER, since=now - WINDOW, now=now).iter_rows(named=True)
    }
    states = {s.pool: s for s in store.rows(PoolState, _STATES, since=now - WINDOW, now=now)}
    return [
        _case(pool, states[pool.pool], prices[pool.pool], known[pool.pool], ledgers.get(pool.pool))
        for pool in store.rows(Pool, _POOLS, now=now)
        if pool.pool in states and pool.pool in known
    ]


def _case(
    pool: Pool,
    state: PoolState,
    price: PoolPrice,
    elasticity: PriceElasticity,
    ledger: Mapping[str, float] | None,
) -> Case:
    if ledger and ledger["hours"] >= LEAST_LEDGER_HOURS:
        hours = ledger["hours"]
        lease = pool.leased_usd_per_gpu_hour
        leased = ledger["leased_usd"] / lease / hours * HOURS_PER_MONTH if lease > 0 else 0.0
        used, on = ledger["used_gpu_hours"] / hours, ledger["on_gpu_hours"] / hours
        basis = f"the last {hours / 24:.0f} days' ledger"
    else:
        used, on = float(state.gpus_used), float(state.gpus_on)
        leased = state.leased_nodes_on * pool.gpus_per_node * HOURS_PER_MONTH
        basis = "the last reading, since there is no ledger of a day"
    return Case(pool, state, price, elasticity, used, on, leased, basis)
