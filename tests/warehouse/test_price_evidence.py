"""Our prices beside the market's: rank, floor, ceiling, unit cost, history."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.makers import (
    NOON,
    POOL,
    make_ledger,
    make_offer,
    make_pool,
    make_pool_state,
    make_price,
)
from warehouse.controls import set_limit
from warehouse.price_evidence import (
    PoolPrice,
    elasticities,
    our_history,
    pool_prices,
    price_changes,
    price_evidence,
)
from warehouse.records import PriceElasticity
from warehouse.store import Store


def one(store: Store) -> PoolPrice:
    (found,) = pool_prices(store, NOON)
    return found


def market(store: Store, *prices: float, **changes) -> None:
    store.append(
        [
            make_offer(provider=f"p{n}", price_usd_per_gpu_hour=price, **changes)
            for n, price in enumerate(prices)
        ]
    )


def test_a_pool_is_ranked_among_each_providers_cheapest_comparable_offer(store: Store) -> None:
    store.append([make_pool(gpu_memory_bytes=None), make_pool_state(price_usd_per_gpu_hour=2.5)])
    market(store, 2.0, 2.4, 3.0)
    store.append([make_offer(provider="host", tier="community", price_usd_per_gpu_hour=0.1)])
    found = one(store)
    assert (found.rank, found.ranked) == (3, 4)
    assert found.market is not None
    assert found.price_over_market_ratio == pytest.approx(2.5 / 2.4)


def test_floor_and_ceiling_are_those_that_the_guards_hold(store: Store) -> None:
    store.append([make_pool(), make_pool_state(market_usd_per_gpu_hour=2.0)])
    assert (one(store).floor_usd_per_gpu_hour, one(store).ceiling_usd_per_gpu_hour) == (1.4, 2.6)
    assert one(store).largest_step_usd_per_gpu_hour == 0.25
    for name, price in (("floor", 1.9), ("ceiling", 2.2)):
        limit = f"price_{name}_usd_per_gpu_hour"
        set_limit(store, limit, {POOL: price}, by="ann", reason=None, now=NOON)
    assert (one(store).floor_usd_per_gpu_hour, one(store).ceiling_usd_per_gpu_hour) == (1.9, 2.2)


def test_where_nobody_reads_the_market_nothing_is_made_up(store: Store) -> None:
    store.append([make_pool(), make_pool_state(market_usd_per_gpu_hour=None)])
    found = one(store)
    assert (found.market, found.rank, found.floor_usd_per_gpu_hour) == (None, None, None)
    told = price_evidence(store, POOL, NOON)
    assert set(told) == {"unit_cost_usd_per_gpu_hour", "largest_step_usd_per_gpu_hour"}


def test_a_used_gpu_hours_cost_is_the_ledgers_else_the_pools_rates(store: Store) -> None:
    store.append([make_pool(), make_pool_state()])
    assert one(store).unit_cost_usd_per_gpu_hour == pytest.approx(0.25)
    assert "no ledger yet" in one(store).unit_cost_basis
    store.append([make_ledger(owned_cost_usd=20.0, leased_cost_usd=10.0, used_gpu_hours=40.0)])
    assert one(store).unit_cost_usd_per_gpu_hour == pytest.approx(0.75)


def test_our_price_and_the_markets_lie_on_one_time_line(store: Store) -> None:
    store.append([make_pool(gpu_memory_bytes=None)])
    for day, price in ((3, 2.5), (2, 2.6)):
        at = NOON - timedelta(days=day)
        store.append([make_pool_state(price_usd_per_gpu_hour=price, measured_at=at)])
    market(store, 2.0, 2.4, measured_at=NOON - timedelta(days=2))
    market(store, 2.2, 2.6, measured_at=NOON - timedelta(days=1))
    found = our_history(
        store, POOL, since=NOON - timedelta(days=4), until=NOON, step_seconds=86_400
    )
    assert found.select("our_usd_per_gpu_hour", "median_usd_per_gpu_hour").rows() == [
        (2.5, None), (2.6, 2.2), (None, pytest.approx(2.4)),
    ]  # fmt: skip


def test_the_newest_elasticity_of_each_pool_is_told(store: Store) -> None:
    made = {
        "low": -3.0, "high": -1.0, "basis": "assumed", "price_changes": 0, "detail": "Assumed.",
    }  # fmt: skip
    store.append(
        [
            PriceElasticity(pool=pool, elasticity=e, made_at=NOON - timedelta(days=ago), **made)
            for pool, e, ago in (("b", -2.0, 1), ("a", -1.5, 0), ("b", -2.5, 0))
        ]
    )
    found = elasticities(store, NOON)
    assert [(each.pool, each.elasticity) for each in found] == [("a", -1.5), ("b", -2.5)]


def test_our_price_list_is_told_newest_first_without_what_is_to_come(store: Store) -> None:
    later = make_price(price_usd_per_gpu_hour=9.0, in_force_from_at=NOON + timedelta(days=1))
    store.append([make_price(), make_price(pool="other", in_force_from_at=NOON), later])
    assert price_changes(store, NOON)["pool"].to_list() == ["other", POOL]
    assert price_changes(store, NOON, pool=POOL).height == 1
