"""Our prices beside the market's: percentiles, rank, history, elasticity, floor and ceiling.

The market is read by the clock of the collectors and our pools by the console's; of a simulated
fleet these are two (`market_at`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import polars as pl

from warehouse.controls import limits
from warehouse.limits import Limits
from warehouse.market import MarketPrice, market_price, models_of, price_history, provider_prices
from warehouse.records import Pool, PoolState, PriceElasticity
from warehouse.store import Store

COST_WINDOW = timedelta(days=30)
"""Over which a GPU-hour's unit cost is reckoned."""

_POOLS = """
    SELECT * FROM pools WHERE recorded_at <= $now
    QUALIFY row_number() OVER (PARTITION BY pool ORDER BY recorded_at DESC, rowid DESC) = 1
    ORDER BY pool
"""
_STATES = """
    SELECT * FROM pool_states WHERE measured_at > $since AND measured_at <= $now
    QUALIFY row_number() OVER (PARTITION BY pool ORDER BY measured_at DESC, rowid DESC) = 1
"""
_COSTS = """
    SELECT pool, sum(owned_cost_usd + leased_cost_usd) AS cost_usd,
        sum(used_gpu_hours) AS used_gpu_hours
    FROM pool_ledgers WHERE period_starts_at >= $since AND period_starts_at < $now GROUP BY pool
"""
_ELASTICITIES = """
    SELECT * FROM price_elasticities WHERE made_at <= $now
    QUALIFY row_number() OVER (PARTITION BY pool ORDER BY made_at DESC, rowid DESC) = 1
"""
_OUR_HISTORY = """
    SELECT time_bucket(to_seconds($step), measured_at) AS "at",
        avg(price_usd_per_gpu_hour) AS our_usd_per_gpu_hour
    FROM pool_states WHERE pool = $pool AND measured_at >= $since AND measured_at < $until
    GROUP BY 1 ORDER BY 1
"""
_CHANGES = """
    SELECT pool, price_usd_per_gpu_hour, set_by, decision_id, in_force_from_at FROM price_list
    WHERE ($pool IS NULL OR pool = $pool) AND in_force_from_at <= $now
    ORDER BY in_force_from_at DESC, pool
"""


@dataclass(frozen=True)
class PoolPrice:
    """A pool's price beside the market's, and how far it may move."""

    pool: str
    gpu_model: str
    models: tuple[str, ...]
    """The offers' models it is compared with."""
    price_usd_per_gpu_hour: float | None
    """Ours in force; None where the pool was not read lately."""
    market: MarketPrice | None
    """None where nobody fresh offers the model."""
    rank: int | None
    """Our place among the providers' median prices and ours, 1 is the cheapest."""
    ranked: int
    """How many prices that is, ours among them."""
    unit_cost_usd_per_gpu_hour: float
    """What a GPU-hour that is used costs us: the floor that makes sense."""
    unit_cost_basis: str
    """Where that figure is from, in words."""
    floor_usd_per_gpu_hour: float | None
    """Lowest price that the limits allow; None where the market is not known and none is set."""
    ceiling_usd_per_gpu_hour: float | None
    """Highest."""
    largest_step_usd_per_gpu_hour: float | None
    """Furthest that one action may move it."""
    elasticity: PriceElasticity | None
    """How demand answers our price; None before the first round."""

    @property
    def price_over_market_ratio(self) -> float | None:
        """Our price over the market's median."""
        if self.price_usd_per_gpu_hour is None or self.market is None:
            return None
        return self.price_usd_per_gpu_hour / self.market.median_usd_per_gpu_hour


def pool_prices(
    store: Store, now: datetime, *, market_at: datetime | None = None, pool: str | None = None
) -> list[PoolPrice]:
    """Every pool's price beside the market's, by pool."""
    states = {s.pool: s for s in store.rows(PoolState, _STATES, since=now - COST_WINDOW, now=now)}
    costs = {row["pool"]: row for row in _costs(store, now).iter_rows(named=True)}
    known = {e.pool: e for e in store.rows(PriceElasticity, _ELASTICITIES, now=now)}
    bounds, at = limits(store), market_at or now
    standing = provider_prices(store, at)
    return [
        _pool_price(store, each, states.get(each.pool), bounds, at, costs, known, standing)
        for each in store.rows(Pool, _POOLS, now=now)
        if pool is None or each.pool == pool
    ]


def our_history(
    store: Store,
    pool: str,
    *,
    since: datetime,
    until: datetime,
    step_seconds: int,
    market_until: datetime | None = None,
) -> pl.DataFrame:
    """Our price and the market's percentiles over time, a row a step in which either is known."""
    ours = store.query(_OUR_HISTORY, pool=pool, since=since, until=until, step=step_seconds)
    found = [each for each in store.rows(Pool, _POOLS, now=until) if each.pool == pool]
    models = models_of(found[0].gpu_model, found[0].gpu_memory_bytes) if found else ()
    market = price_history(
        store, models, since=since, until=market_until or until, step_seconds=step_seconds
    )
    return ours.join(market, on="at", how="full", coalesce=True).sort("at")


def price_changes(store: Store, now: datetime, *, pool: str | None = None) -> pl.DataFrame:
    """Our own price list as published, the newest first: every price and since when."""
    return store.query(_CHANGES, pool=pool, now=now)


def elasticities(store: Store, now: datetime) -> list[PriceElasticity]:
    """The newest of every pool."""
    return sorted(store.rows(PriceElasticity, _ELASTICITIES, now=now), key=lambda e: e.pool)


def price_evidence(
    store: Store, pool: str, now: datetime, *, market_at: datetime | None = None
) -> dict[str, float | str]:
    """What a decision on a pool's price rests on, by name; what is not known is left out."""
    found = pool_prices(store, now, market_at=market_at, pool=pool)
    if not found:
        return {}
    one = found[0]
    told: dict[str, float | str | None] = {
        "unit_cost_usd_per_gpu_hour": one.unit_cost_usd_per_gpu_hour,
        "price_floor_usd_per_gpu_hour": one.floor_usd_per_gpu_hour,
        "price_ceiling_usd_per_gpu_hour": one.ceiling_usd_per_gpu_hour,
        "largest_step_usd_per_gpu_hour": one.largest_step_usd_per_gpu_hour,
        "price_rank": None if one.rank is None else f"{one.rank} of {one.ranked}",
        "price_over_market_median_ratio": one.price_over_market_ratio,
    }
    if one.market is not None:
        told |= _market_evidence(one.market)
    if one.elasticity is not None:
        told |= {
            "elasticity": one.elasticity.elasticity,
            "elasticity_low": one.elasticity.low,
            "elasticity_high": one.elasticity.high,
            "elasticity_basis": one.elasticity.detail,
        }
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in told.items()
        if value is not None
    }


# -- how -------------------------------------------------------------------------------


def _market_evidence(found: MarketPrice) -> dict[str, float | str | None]:
    figures = {
        f"market_{name}": value
        for name, value in asdict(found).items()
        if name.endswith("_usd_per_gpu_hour")
    }
    return figures | {
        "market_providers": float(found.providers),
        "market_offers": float(found.offers),
        "market_models": ", ".join(found.models),
        "market_read_at": found.measured_at.isoformat(timespec="seconds"),
    }


def _costs(store: Store, now: datetime) -> pl.DataFrame:
    return store.query(_COSTS, since=now - COST_WINDOW, now=now)


def _pool_price(
    store: Store,
    pool: Pool,
    state: PoolState | None,
    bounds: Limits,
    at: datetime,
    costs: dict[str, dict[str, float]],
    known: dict[str, PriceElasticity],
    standing: pl.DataFrame,
) -> PoolPrice:
    models = models_of(pool.gpu_model, pool.gpu_memory_bytes)
    market = market_price(store, pool.gpu_model, at, memory_bytes=pool.gpu_memory_bytes)
    price = state.price_usd_per_gpu_hour if state else None
    reference = market.median_usd_per_gpu_hour if market else None
    if state is not None and state.market_usd_per_gpu_hour is not None:
        reference = state.market_usd_per_gpu_hour  # the guards hold prices against this one
    floor, ceiling = _bounds(bounds, pool.pool, reference)
    rank, ranked = _rank(price, models, standing)
    unit_cost, basis = _unit_cost(pool, costs.get(pool.pool))
    return PoolPrice(
        pool=pool.pool,
        gpu_model=pool.gpu_model,
        models=models,
        price_usd_per_gpu_hour=price,
        market=market,
        rank=rank,
        ranked=ranked,
        unit_cost_usd_per_gpu_hour=unit_cost,
        unit_cost_basis=basis,
        floor_usd_per_gpu_hour=floor,
        ceiling_usd_per_gpu_hour=ceiling,
        largest_step_usd_per_gpu_hour=None if price is None else price * bounds.price_step_ratio,
        elasticity=known.get(pool.pool),
    )


def _bounds(bounds: Limits, pool: str, market: float | None) -> tuple[float | None, float | None]:
    """The same floor and ceiling as the engine's guards."""
    floor = bounds.price_floor_usd_per_gpu_hour.get(pool)
    ceiling = bounds.price_ceiling_usd_per_gpu_hour.get(pool)
    if market is None:
        return floor, ceiling
    low, high = bounds.price_floor_ratio * market, bounds.price_ceiling_ratio * market
    return max(low, floor or 0.0), high if ceiling is None else min(high, ceiling)


def _rank(
    price: float | None, models: tuple[str, ...], standing: pl.DataFrame
) -> tuple[int | None, int]:
    comparable = standing.filter(
        pl.col("model").is_in(list(models))
        & (pl.col("price_kind") == "on_demand")
        & (pl.col("tier").fill_null("secure") == "secure")
    )
    theirs = comparable.group_by("provider").agg(pl.col("price_usd_per_gpu_hour").min())
    if price is None or theirs.is_empty():
        return None, theirs.height
    cheaper = theirs.filter(pl.col("price_usd_per_gpu_hour") < price).height
    return cheaper + 1, theirs.height + 1


def _unit_cost(pool: Pool, ledger: dict[str, float] | None) -> tuple[float, str]:
    """What a used GPU-hour costs: by the ledger of the last month, else by the pool's own rates."""
    if ledger and ledger["used_gpu_hours"] > 0:
        cost = ledger["cost_usd"] / ledger["used_gpu_hours"]
        hours = ledger["used_gpu_hours"]
        return cost, f"power and leases of the last 30 days over {hours:,.0f} GPU-hours used"
    cost = pool.owned_idle_usd_per_gpu_hour + pool.owned_busy_usd_per_gpu_hour
    return cost, "the pool's rates for an owned GPU at work: no ledger yet"
