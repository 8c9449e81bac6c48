"""What to do: each with its dollars, its range and its assumptions; the same from the same rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from engine.market.pool_cases import HOURS_PER_MONTH, cases_of
from engine.market.recommendations import (
    best_price,
    monthly_profit,
    price_effect,
    recommendations,
)
from tests.makers import NOON, POOL, make_ledger, make_offer, make_pool, make_pool_state
from warehouse.controls import set_limit
from warehouse.records import PriceElasticity
from warehouse.store import Store

ELASTIC = PriceElasticity(
    pool=POOL, elasticity=-2.0, low=-3.0, high=-1.0, basis="assumed", price_changes=0,
    detail="Assumed.", made_at=NOON,
)  # fmt: skip


def fill(store: Store, used: int, price: float = 2.5, **pool) -> None:
    store.append(
        [
            make_pool(gpu_memory_bytes=None, **pool),
            make_pool_state(
                gpus_used=used, price_usd_per_gpu_hour=price, market_usd_per_gpu_hour=2.5
            ),
            *(
                make_offer(provider=who, price_usd_per_gpu_hour=asked)
                for who, asked in (("a", 2.3), ("b", 2.5), ("c", 2.7))
            ),
        ]
    )


def case_of(store: Store):
    (found,) = cases_of(store, NOON, {POOL: ELASTIC}, NOON)
    return found


def test_the_month_of_a_price_by_hand(store: Store) -> None:
    fill(store, used=128)
    case = case_of(store)
    # 128 of 256 in use; a tenth cheaper brings 1 / 0.81 times the demand, at 0.10 of power each
    assert monthly_profit(case, 2.5, -2.0) == pytest.approx(128 * 2.4 * HOURS_PER_MONTH)
    assert monthly_profit(case, 2.25, -2.0) == pytest.approx(128 / 0.81 * 2.15 * HOURS_PER_MONTH)
    effect = price_effect(case, 2.25)
    assert effect.low == pytest.approx((128 / 0.9 * 2.15 - 128 * 2.4) * HOURS_PER_MONTH)
    assert effect.high == pytest.approx((128 / 0.729 * 2.15 - 128 * 2.4) * HOURS_PER_MONTH)


def test_an_idle_pool_goes_down_by_a_step_and_a_full_one_up(store: Store) -> None:
    fill(store, used=128)
    assert best_price(case_of(store)) == pytest.approx(2.25)
    full = replace(case_of(store), used_gpus=256.0)
    # demand beyond what is on earns nothing, and an elastic one falls as the price rises
    assert best_price(full) == pytest.approx(2.5)
    stiff = replace(full, elasticity=replace(ELASTIC, elasticity=-0.5))
    assert best_price(stiff) == pytest.approx(2.75)


def test_no_price_passes_floor_ceiling_step_or_unit_cost(store: Store) -> None:
    fill(store, used=128)
    for name, value in (("price_step_ratio", 0.5), ("price_floor_ratio", 0.95)):
        set_limit(store, name, value, by="ann", reason=None, now=NOON)
    assert best_price(case_of(store)) == pytest.approx(0.95 * 2.5)
    set_limit(store, "price_floor_usd_per_gpu_hour", {POOL: 2.45}, by="a", reason=None, now=NOON)
    case = case_of(store)
    assert best_price(case) == pytest.approx(2.45)
    dear = replace(case, price=replace(case.price, unit_cost_usd_per_gpu_hour=2.6))
    assert best_price(dear) == pytest.approx(2.6)
    none = replace(case, price=replace(case.price, unit_cost_usd_per_gpu_hour=9.9))
    assert best_price(none) is None


def test_a_price_becomes_a_decision_with_dollars_range_and_assumptions(store: Store) -> None:
    fill(store, used=128)
    (found,) = [one for one in recommendations(store, NOON, [ELASTIC]) if one.kind == "decision"]
    assert (found.action, found.pool) == ("adjust_price", POOL)
    assert found.parameters == {"price_usd_per_gpu_hour": 2.25}
    expected = (128 / 0.81 * 2.15 - 128 * 2.4) * HOURS_PER_MONTH
    assert found.effect_usd_per_month == pytest.approx(expected, abs=0.01)
    assert found.effect_low_usd_per_month < found.effect_usd_per_month
    assert "an elasticity of -2.00" in found.assumptions[0]
    assert "3 providers ask $2.30 to $2.70" in found.reason
    assert "a month" in found.title


def test_a_ledger_of_a_day_goes_before_the_last_reading(store: Store) -> None:
    fill(store, used=128)
    spans = [
        make_ledger(used_gpu_hours=100.0, on_gpu_hours=250.0,
                    period_starts_at=NOON - timedelta(hours=n + 1),
                    period_ends_at=NOON - timedelta(hours=n))
        for n in range(23)
    ]  # fmt: skip
    store.append(spans)
    assert case_of(store).used_gpus == 128
    store.append([make_ledger(used_gpu_hours=100.0, on_gpu_hours=250.0,
                              period_starts_at=NOON - timedelta(hours=24),
                              period_ends_at=NOON - timedelta(hours=23))])  # fmt: skip
    case = case_of(store)
    assert (case.used_gpus, case.on_gpus) == (100.0, 250.0)
    assert case.leased_gpu_hours_per_month == pytest.approx(10.0 / 1.9 * HOURS_PER_MONTH)


def test_a_cheaper_lease_and_a_model_that_others_have_are_findings(store: Store) -> None:
    fill(store, used=200, leased_usd_per_gpu_hour=2.6)
    store.append(
        [make_pool_state(gpus_used=200, leased_nodes_on=2, market_usd_per_gpu_hour=2.5)]
        + [
            make_offer(provider=who, gpu_model="L40S", price_usd_per_gpu_hour=price)
            for who, price in (("a", 0.5), ("b", 0.9), ("c", 1.0))
        ]
        + [make_offer(provider="a", gpu_model="L4", price_usd_per_gpu_hour=0.1)]
    )
    found = recommendations(store, NOON, [ELASTIC])
    findings = {one.title.split(":")[0]: one for one in found if one.kind == "finding"}
    lease = findings[f"Lease H100 SXM for {POOL} at a's $2.30 instead of $2.60"]
    assert lease.effect_usd_per_month == pytest.approx(0.3 * 16 * HOURS_PER_MONTH, abs=0.01)
    assert lease.effect_low_usd_per_month == pytest.approx(0.1 * 16 * HOURS_PER_MONTH, abs=0.01)
    missing = next(one for title, one in findings.items() if title.startswith("Offer L40S"))
    earned = (0.9 * 200 / 256 - 0.5) * 8 * HOURS_PER_MONTH
    assert missing.effect_usd_per_month == pytest.approx(earned, abs=0.01)
    assert not [title for title in findings if title == "Offer L4"]  # one provider is no market
    effects = [one.effect_usd_per_month for one in found]
    assert effects == sorted(effects, reverse=True)
    assert [one.rank for one in found] == list(range(1, len(found) + 1))
    assert all(one.assumptions and any(c.isdigit() for c in one.title) for one in found)
    assert found == recommendations(store, NOON, [ELASTIC])
