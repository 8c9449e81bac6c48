"""How demand answers our price: found again where it is known, assumed where it can't be told."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from engine.market.elasticity import (
    LEAST_CHANGES,
    assumed_elasticity,
    changes_of,
    elasticity,
    episodes,
    estimated,
)
from tests.makers import NOON, POOL, make_pool_state
from warehouse.records import PoolState
from warehouse.store import Store

STEP = timedelta(minutes=30)


def history(store: Store, true: float, prices: int = 40, offered: int = 400, seed: int = 1) -> None:
    """Customers who answer with a known elasticity while price and market move; demand follows
    the price, as it does where prices rise because many come."""
    chance = np.random.default_rng(seed)
    rows = []
    for n in range(prices):
        market = 2.5 * np.exp(chance.normal(0, 0.05))
        price = 2.5 * np.exp(chance.normal(0, 0.1))
        share = 0.5 * (price / market) ** true
        for m in range(4):
            many = int(offered * price / 2.5)
            at = NOON - STEP * (4 * (prices - n) - m)
            rows.append(
                make_pool_state(
                    price_usd_per_gpu_hour=price, market_usd_per_gpu_hour=market, measured_at=at,
                    offered_jobs=many, accepted_jobs=int(chance.binomial(many, min(share, 1.0))),
                )
            )  # fmt: skip
    store.append(rows)


def test_a_known_elasticity_is_found_again_inside_its_interval(store: Store) -> None:
    history(store, true=-1.6)
    found = elasticity(store, POOL, NOON)
    assert (found.basis, found.price_changes) == ("estimated", 38)  # one step was below 1 %
    assert found.low < -1.6 < found.high
    assert found.elasticity == pytest.approx(-1.6, abs=0.25)
    assert found == elasticity(store, POOL, NOON)


def test_too_few_changes_leave_the_stated_assumption_with_its_source(store: Store) -> None:
    history(store, true=-1.6, prices=LEAST_CHANGES)
    found = elasticity(store, POOL, NOON)
    assert (found.basis, found.price_changes) == ("assumed", LEAST_CHANGES - 1)
    assert "engine/history.py" in found.detail
    assert found.low < found.elasticity < found.high < 0


def test_an_estimate_that_reaches_0_steers_no_price(store: Store) -> None:
    history(store, true=0.3)
    found = elasticity(store, POOL, NOON)
    assert found.basis == "assumed"
    assert "reaches 0" in found.detail


def test_the_assumption_is_minus_two_at_the_markets_price_and_steeper_above() -> None:
    assert assumed_elasticity(1.0) == pytest.approx(-2.0, abs=0.01)
    assert assumed_elasticity(1.2) < assumed_elasticity(1.0) < assumed_elasticity(0.8) < 0


def test_without_any_reading_the_assumption_is_that_at_the_markets_price(store: Store) -> None:
    assert elasticity(store, POOL, NOON).elasticity == pytest.approx(-2.0, abs=0.01)


def readings(*rows: PoolState) -> pl.DataFrame:
    return pl.DataFrame(
        [
            (r.pool, r.price_usd_per_gpu_hour, r.market_usd_per_gpu_hour, r.offered_jobs,
             r.accepted_jobs, r.measured_at)
            for r in rows
        ],
        schema=["pool", "price", "market", "offered", "accepted", "at"],
        orient="row",
    )  # fmt: skip


def test_the_reading_with_customers_of_both_prices_is_left_out_and_the_market_is_the_control() -> (
    None
):
    def state(minutes: int, price: float, market: float, accepted: int) -> PoolState:
        return make_pool_state(
            price_usd_per_gpu_hour=price, market_usd_per_gpu_hour=market, offered_jobs=99,
            accepted_jobs=accepted, measured_at=NOON + timedelta(minutes=minutes),
        )  # fmt: skip

    told = readings(
        state(0, 2.0, 2.0, 1), state(5, 2.0, 2.0, 49),
        state(10, 2.2, 2.0, 77), state(15, 2.2, 2.0, 39),
        state(20, 2.42, 2.2, 77), state(25, 2.42, 2.2, 39),
    )  # fmt: skip
    found = list(episodes(told))
    assert [(one.offered, one.accepted) for one in found] == [(99, 49), (99, 39), (99, 39)]
    changes = changes_of(found)  # the second moved with the market, and so moved nothing
    assert changes.price.tolist() == pytest.approx([np.log(1.1)])
    assert changes.pairs.tolist() == [[0, 1]]
    slope, low, high = estimated(changes, seed=1)
    assert slope == pytest.approx(np.log(39.5 / 49.5) / np.log(1.1))
    assert low < slope < high
