from __future__ import annotations

from datetime import timedelta

import pytest

from tests.makers import NOON, POOL, make_charge, make_ledger, make_price
from warehouse import money
from warehouse.store import Store

DAY = {"since": NOON - timedelta(days=1), "until": NOON}


def test_profit_is_revenue_less_costs_and_what_is_owed(store: Store) -> None:
    store.append([make_ledger(), make_ledger(pool="a100", revenue_usd=0.0)])
    total = money.earnings_total(store, **DAY)
    assert total["pool"].to_list() == ["a100", POOL]
    assert total["profit_usd"].to_list() == pytest.approx([-30.0, 70.0])


def test_earnings_are_summed_by_step_and_pool(store: Store) -> None:
    for quarter in range(8):
        starts_at = NOON - timedelta(minutes=15 * (quarter + 1))
        store.append([make_ledger(revenue_usd=1.0, period_starts_at=starts_at)])
    hours = money.earnings(store, step_seconds=3600, pool=POOL, **DAY)
    assert hours["revenue_usd"].to_list() == [4.0, 4.0]
    assert hours["at"].to_list() == [NOON - timedelta(hours=2), NOON - timedelta(hours=1)]
    assert money.earnings(store, step_seconds=3600, pool="other", **DAY).is_empty()


def test_charges_add_up_by_pool_and_the_spans_end_is_exclusive(store: Store) -> None:
    store.append([make_charge(), make_charge(job_id="job-2"), make_charge(period_starts_at=NOON)])
    (row,) = money.charged_usd(store, **DAY).to_dicts()
    assert (row["gpu_hours"], row["charge_usd"]) == (8.0, 20.0)


def test_the_price_in_force_is_the_newest_that_has_begun(store: Store) -> None:
    store.append([make_price()])
    store.append([make_price(price_usd_per_gpu_hour=3.0, in_force_from_at=NOON)])
    before = money.price_in_force(store, POOL, at=NOON - timedelta(seconds=1))
    after = money.price_in_force(store, POOL, at=NOON)
    assert before is not None
    assert after is not None
    assert (before.price_usd_per_gpu_hour, after.price_usd_per_gpu_hour) == (2.5, 3.0)
    assert money.price_in_force(store, "other", at=NOON) is None
    assert len(money.price_history(store, POOL, since=NOON)) == 1
