"""The metrics of competitors, by hand: prices, discounts, movement, kit, stock, documentation."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from engine.market import metrics
from engine.market.facts import facts
from engine.market.metric_rows import rows_of
from tests.makers import NOON, make_offer
from warehouse.metric_catalogue import METRICS
from warehouse.store import Store


def value(store: Store, provider: str, metric: str) -> float | None:
    (found,) = [
        row.value
        for row in metrics.collected(store, NOON)
        if (row.provider, row.metric, row.model) == (provider, metric, None)
    ]
    return found


def test_a_price_is_held_against_the_median_of_the_others_model_by_model(store: Store) -> None:
    store.append(
        [
            make_offer(provider=who, gpu_model=model, price_usd_per_gpu_hour=price)
            for who, model, price in (
                ("a", "H100 SXM", 2.0), ("b", "H100 SXM", 2.0), ("c", "H100 SXM", 3.0),
                ("a", "L4", 0.5), ("b", "L4", 1.0), ("a", "B200", 9.0),
            )
        ]
    )  # fmt: skip
    # a: 2.0 over the median 2.5 of b and c, and 0.5 over 1.0; nobody else has a B200
    assert value(store, "a", "on_demand_price") == pytest.approx(math.sqrt(0.8 * 0.5))
    assert value(store, "c", "on_demand_price") == pytest.approx(1.5)
    prices = {
        (row.provider, row.model): row.value
        for row in metrics.collected(store, NOON)
        if row.model is not None
    }
    assert prices[("a", "B200")] == 9.0
    # dense BF16 of a B200 is 2,250 TFLOP/s, of an H100 989, of an L4 121
    assert value(store, "a", "performance_per_dollar") == pytest.approx(989 / 2.0)


def test_a_data_centres_price_goes_before_anybodys_host(store: Store) -> None:
    store.append(
        [
            make_offer(tier="secure", price_usd_per_gpu_hour=3.0),
            make_offer(tier="community", price_usd_per_gpu_hour=2.0),
            make_offer(tier="secure", price_kind="spot", price_usd_per_gpu_hour=1.5),
            make_offer(tier="community", price_kind="spot", price_usd_per_gpu_hour=1.8),
            *(
                make_offer(tier="secure", price_kind="reserved", commitment_months=months,
                           price_usd_per_gpu_hour=price)
                for months, price in ((1.0, 2.9), (6.0, 2.4))
            ),
            make_offer(provider="b", tier="community", price_usd_per_gpu_hour=1.0),
        ]
    )  # fmt: skip
    assert value(store, "runpod", "on_demand_price") == pytest.approx(3.0)
    assert value(store, "runpod", "secure_premium") == pytest.approx(0.5)
    assert value(store, "runpod", "spot_discount") == pytest.approx((0.5 + 0.1) / 2)
    assert value(store, "runpod", "commitment_discount") == pytest.approx(0.2)
    assert value(store, "b", "secure_premium") is None


def test_movement_is_told_from_a_week_on(store: Store) -> None:
    daily = [2.0, 2.0, 2.2, 2.2, 2.2, 2.2, 2.2, 2.0]
    store.append(
        [
            make_offer(
                provider=who, price_usd_per_gpu_hour=price, measured_at=NOON - timedelta(days=ago)
            )
            for who, days in (("a", daily), ("b", daily[:6]))
            for ago, price in enumerate(reversed(days))
        ]
    )
    assert value(store, "a", "price_changes") == 2.0
    steps = [0.0, math.log(1.1), 0.0, 0.0, 0.0, 0.0, -math.log(1.1)]
    deviation = math.sqrt(sum(step**2 for step in steps) / 6)
    assert value(store, "a", "price_volatility") == pytest.approx(deviation)
    assert value(store, "b", "price_volatility") is None


def test_spread_kit_and_stock_are_those_of_the_newest_answer(store: Store) -> None:
    offers = [
        make_offer(
            offer_id=str(n), gpu_count=2, price_usd_per_gpu_hour=price, vcpu_count=32.0,
            memory_bytes=256 * 10**9, disk_bytes=10**12, region=f"r{n % 2}", stock="low",
            reliability_ratio=0.99, download_bits_per_second=2e9, performance_score=100.0 * price,
            interconnect_bits_per_second=4e11, storage_usd_per_gigabyte_month=0.1,
            max_gpu_count=8, is_list_price=False,
        )
        for n, price in enumerate([1.0, 2.0, 3.0, 4.0, 5.0])
    ]  # fmt: skip
    old = make_offer(offer_id="old", region="gone", measured_at=NOON - timedelta(hours=1))
    store.append([*offers, old])
    expected = {
        "price_dispersion": 1.4 / 4.6, "vcpu_per_gpu": 16.0, "memory_per_gpu": 128.0,
        "local_disk": 500.0, "regions": 2.0, "gpu_models": 1.0, "stock_level": 1 / 3,
        "availability_rate": 1.0, "host_reliability": 0.99, "download": 2000.0,
        "dlperf_per_dollar": 50.0, "interconnect": 400.0, "storage_price": 0.1, "max_gpus": 8.0,
        "data_age": 0.0, "upload": None, "egress_price": 0.0,
    }  # fmt: skip
    found = {
        row.metric: row.value
        for row in metrics.collected(store, NOON)
        if row.provider == "runpod" and row.model is None
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_stock_of_which_only_some_is_told_has_no_level(store: Store) -> None:
    store.append(
        [
            make_offer(provider="lambda", stock="some"),
            make_offer(provider="lambda", gpu_model="L4", stock="none"),
        ]
    )
    assert value(store, "lambda", "stock_level") is None
    assert value(store, "lambda", "availability_rate") == 0.5


def test_every_provider_has_every_metric_and_each_leads_somewhere(store: Store) -> None:
    store.append([make_offer(provider="aws")])
    found = metrics.collected(store, NOON)
    providers = {row.provider for row in found}
    assert providers == {"aws", "runpod", "lambda", "vast"}
    for provider in providers:
        names = [row.metric for row in found if row.provider == provider and row.model is None]
        assert names == list(METRICS)
    for row in found:
        known = row.value is not None or row.words is not None
        assert known == bool(row.evidence.get("link") or row.evidence.get("source")) or (
            "why_unknown" in row.evidence
        )


def test_what_offers_tell_goes_before_documentation(store: Store) -> None:
    store.append([make_offer(provider="runpod", egress_usd_per_gigabyte=0.02)])
    seen = metrics.seen(store, NOON)
    by_name = {
        row.metric: row
        for row in rows_of(seen, NOON, facts())
        if row.provider == "runpod" and row.model is None
    }
    assert (by_name["egress_price"].value, by_name["egress_price"].basis) == (0.02, "collected")
    assert (by_name["ingress_price"].value, by_name["ingress_price"].basis) == (0.0, "documented")
    assert by_name["uptime_sla"].value is None
