"""The market's prices: only what can be compared, each provider weighing the same."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.makers import NOON, make_offer
from warehouse import market
from warehouse.records import CollectorRun, MarketAlarm
from warehouse.store import Store


def test_percentiles_weigh_each_provider_the_same_however_many_offers_it_has(store: Store) -> None:
    marketplace = [
        make_offer(provider="vast", offer_id=str(n), price_usd_per_gpu_hour=1.0 + n / 100)
        for n in range(98)
    ]
    lists = [
        make_offer(provider="runpod", price_usd_per_gpu_hour=3.0),
        make_offer(provider="lambda", price_usd_per_gpu_hour=4.0),
    ]
    store.append(marketplace + lists)
    found = market.market_price(store, "H100 SXM", NOON)
    assert found is not None
    assert (found.providers, found.offers) == (3, 100)
    assert found.median_usd_per_gpu_hour == 3.0
    assert (found.lowest_usd_per_gpu_hour, found.highest_usd_per_gpu_hour) == (1.0, 4.0)
    # a tenth of all weight is three tenths of the marketplace's: its 30th price of 98
    assert found.p10_usd_per_gpu_hour == pytest.approx(1.29)
    assert found.p90_usd_per_gpu_hour == 4.0


def test_a_median_between_two_prices_is_their_mean(store: Store) -> None:
    store.append(
        [
            make_offer(provider="runpod", price_usd_per_gpu_hour=2.0),
            make_offer(provider="lambda", price_usd_per_gpu_hour=3.0),
        ]
    )
    assert market.prices_now(store, NOON)["median_usd_per_gpu_hour"].to_list() == [2.5]


def test_only_comparable_fresh_offers_in_stock_make_the_markets_price(store: Store) -> None:
    store.append(
        [
            make_offer(price_usd_per_gpu_hour=2.0),
            make_offer(provider="a", price_usd_per_gpu_hour=0.5, price_kind="spot"),
            make_offer(provider="b", price_usd_per_gpu_hour=0.5, price_kind="reserved"),
            make_offer(provider="c", price_usd_per_gpu_hour=0.5, tier="community"),
            make_offer(provider="d", price_usd_per_gpu_hour=0.5, stock="none"),
            make_offer(provider="e", price_usd_per_gpu_hour=0.5, model="H100 PCIe"),
            make_offer(provider="f", price_usd_per_gpu_hour=0.5, model=None),
            make_offer(provider="g", price_usd_per_gpu_hour=0.0),
            make_offer(
                provider="h", price_usd_per_gpu_hour=0.5, measured_at=NOON - timedelta(hours=25)
            ),
            make_offer(
                provider="i", price_usd_per_gpu_hour=0.5, measured_at=NOON + timedelta(hours=1)
            ),
            # an older answer of a source that has answered since
            make_offer(price_usd_per_gpu_hour=0.5, measured_at=NOON - timedelta(hours=1)),
        ]
    )
    found = market.market_price(store, "H100 SXM", NOON)
    assert found is not None
    assert (found.median_usd_per_gpu_hour, found.offers) == (2.0, 1)
    assert market.market_price(store, "B200", NOON) is None


def test_a_page_stands_in_only_where_the_interface_is_silent_and_imports_are_history(
    store: Store,
) -> None:
    ago = NOON - timedelta(hours=2)
    page, imported = {"source": "pricing_pages"}, {"source": "import:old"}
    store.append(
        [
            make_offer(provider="a", price_usd_per_gpu_hour=2.0),
            make_offer(provider="a", price_usd_per_gpu_hour=9.0, measured_at=ago, **page),
            make_offer(provider="b", price_usd_per_gpu_hour=3.0, **page),
            make_offer(provider="b", price_usd_per_gpu_hour=9.0, measured_at=ago),
            make_offer(provider="c", price_usd_per_gpu_hour=9.0, **imported),
        ]
    )
    found = market.provider_prices(store, NOON).sort("provider")
    told = {(row["provider"], row["lowest_usd_per_gpu_hour"]) for row in found.to_dicts()}
    assert told == {("a", 2.0), ("b", 3.0)}
    span = {"since": ago, "until": NOON + timedelta(hours=1), "step_seconds": 86_400}
    assert "c" in market.provider_history(store, ["H100 SXM"], **span)["provider"]


def test_a_name_that_leaves_the_form_open_is_compared_with_every_form() -> None:
    assert market.models_of("H100 SXM") == ("H100 SXM",)
    assert market.models_of("A100 80GB") == ("A100 SXM 80GB", "A100 PCIe 80GB")
    assert market.models_of("our own card") == ("our own card",)


def test_prices_over_time_are_those_of_each_step(store: Store) -> None:
    store.append(
        [
            make_offer(
                provider=who, price_usd_per_gpu_hour=price, measured_at=NOON - timedelta(days=day)
            )
            for who, day, price in (
                ("runpod", 2, 2.0), ("lambda", 2, 3.0), ("runpod", 1, 2.2), ("lambda", 1, 3.2),
            )
        ]
    )  # fmt: skip
    span = {"since": NOON - timedelta(days=3), "until": NOON, "step_seconds": 86_400}
    past = market.price_history(store, ["H100 SXM"], **span)
    assert past["median_usd_per_gpu_hour"].to_list() == [2.5, pytest.approx(2.7)]
    lines = market.provider_history(store, ["H100 SXM"], **span)
    assert lines.filter(provider="lambda")["price_usd_per_gpu_hour"].to_list() == [3.0, 3.2]


def test_availability_is_the_share_of_polls_in_stock_and_unknown_where_nobody_tells(
    store: Store,
) -> None:
    polls = [
        make_offer(provider="lambda", stock=stock, is_list_price=True, measured_at=NOON - ago)
        for stock, ago in (
            ("some", timedelta(hours=1)), ("none", timedelta(hours=2)),
            ("none", timedelta(hours=3)), ("some", timedelta(hours=4)),
        )
    ]  # fmt: skip
    silent = make_offer(provider="aws", is_list_price=True)
    quote = make_offer(provider="vast", is_list_price=False)
    store.append([*polls, silent, quote])
    found = {who: ratio for who, _, ratio, *_ in market.availability(store, NOON).iter_rows()}
    assert found == {"lambda": 0.5, "aws": None, "vast": 1.0}


def test_what_each_provider_asks_is_told_with_its_best_stock_and_age(store: Store) -> None:
    at = NOON - timedelta(minutes=30)
    store.append(
        [
            make_offer(region="a", stock="none", measured_at=at),
            make_offer(region="b", stock="low", price_usd_per_gpu_hour=2.7, measured_at=at),
            make_offer(price_kind="spot", price_usd_per_gpu_hour=1.0, measured_at=at),
        ]
    )
    dear, spot = market.provider_prices(store, NOON).sort("price_kind").iter_rows(named=True)
    assert (dear["price_usd_per_gpu_hour"], dear["stock"], dear["regions"]) == (2.6, "low", 2)
    assert (spot["price_kind"], spot["stock"], spot["age_seconds"]) == ("spot", None, 1800.0)


def test_sources_and_alarms_are_told_with_their_age_and_last_run(store: Store) -> None:
    run = CollectorRun(
        collector="test", outcome="failed", row_count=0, attempt_count=3, detail="no answer",
        started_at=NOON - timedelta(minutes=1), duration_seconds=1.0,
    )  # fmt: skip
    alarm = MarketAlarm(
        provider="runpod", source="test", kind="jump", value=9.0, expected=2.5,
        detail="look", raised_at=NOON,
    )  # fmt: skip
    store.append([make_offer(), make_offer(offer_id="x", gpu_model="odd", model=None), run, alarm])
    (source,) = market.sources(store, NOON).iter_rows(named=True)
    assert (source["models"], source["unknown_names"], source["last_outcome"]) == (1, 1, "failed")
    since = NOON - timedelta(days=1)
    assert market.alarms(store, NOON, since=since, kind="jump").total == 1
    assert market.alarms(store, NOON, since=since, provider="vast").total == 0


def test_offers_are_listed_as_they_came(store: Store) -> None:
    store.append([make_offer(), make_offer(offer_id="two", model=None)])
    span = {"since": NOON - timedelta(hours=1), "until": NOON}
    assert market.offers(store, **span).total == 2
    assert market.offers(store, **span, is_known=False).rows["offer_id"].to_list() == ["two"]
