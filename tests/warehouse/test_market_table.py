"""The table of prices by provider (`warehouse.market_table`), and what may be chosen from it."""

from __future__ import annotations

from datetime import timedelta

from tests.makers import NOON, make_offer
from warehouse import market_table
from warehouse.records import CollectorRun, MarketPercentile
from warehouse.store import Store

HOUR = timedelta(hours=1)


def test_kinds_tiers_and_commitments_have_rows_of_their_own(store: Store) -> None:
    store.append(
        [
            make_offer(offer_id="a", price_usd_per_gpu_hour=2.0, region="east", tier="secure"),
            make_offer(offer_id="b", price_usd_per_gpu_hour=3.0, region="west", tier="secure"),
            make_offer(price_usd_per_gpu_hour=1.0, tier="community"),
            make_offer(price_usd_per_gpu_hour=0.9, price_kind="spot"),
            make_offer(price_usd_per_gpu_hour=1.5, price_kind="reserved", commitment_months=12),
            make_offer(price_usd_per_gpu_hour=9.0, gpu_model="strange", model=None),
            make_offer(price_usd_per_gpu_hour=9.0, source="import:someone"),
        ]
    )
    page = market_table.provider_table(store, NOON + HOUR)
    assert page.total == 4
    secure = page.rows.row(1, named=True)
    assert (secure["tier"], secure["lowest_usd_per_gpu_hour"]) == ("secure", 2.0)
    assert (secure["price_usd_per_gpu_hour"], secure["regions"]) == (2.5, 2)
    assert secure["age_seconds"] == 3600
    kinds = page.rows["price_kind"].to_list()
    assert kinds == ["on_demand", "on_demand", "reserved", "spot"]


def test_filters_narrow_a_page_pages_and_a_sort_is_obeyed(store: Store) -> None:
    store.append(
        [
            make_offer(provider=name, source=name, price_usd_per_gpu_hour=price, region="east")
            for name, price in (("a", 3.0), ("b", 1.0), ("c", 2.0))
        ]
    )
    sort = {"sort": "price_usd_per_gpu_hour", "descending": True}
    page = market_table.provider_table(store, NOON, **sort, limit=2)  # type: ignore[arg-type]
    assert (page.total, page.rows["provider"].to_list()) == (3, ["a", "c"])
    one = market_table.provider_table(store, NOON, provider="b", region="east")
    assert one.rows["provider"].to_list() == ["b"]
    assert not market_table.provider_table(store, NOON, region="west").total


def test_a_price_whose_source_failed_is_the_last_good_one(store: Store) -> None:
    run = CollectorRun(
        collector="runpod", outcome="failed", row_count=0, attempt_count=1, detail="503",
        started_at=NOON, duration_seconds=1.0,
    )  # fmt: skip
    store.append([make_offer(source="runpod"), make_offer(provider="vast", source="vast"), run])
    rows = market_table.provider_table(store, NOON + HOUR).rows
    assert dict(zip(rows["provider"], rows["is_last_good"], strict=True)) == {
        "runpod": True,
        "vast": False,
    }


def test_what_may_be_chosen_is_what_is_there(store: Store) -> None:
    store.append(
        [
            make_offer(region="east"),
            MarketPercentile(
                scope="market", gpu_model="B200", model="B200", price_kind="mixed",
                lowest_usd_per_gpu_hour=4.0, source="someone", payload_digest="0",
                measured_at=NOON - 9 * HOUR, stored_at=NOON,
            ),
        ]
    )  # fmt: skip
    assert market_table.choices(store, NOON) == {
        "model": ["H100 SXM"],
        "provider": ["runpod"],
        "region": ["east"],
    }
    assert market_table.known_models(store, NOON)["model"].to_list() == ["B200", "H100 SXM"]
    assert market_table.first_offer_at(store, "H100 SXM") == NOON
    assert market_table.first_offer_at(store, "B200") is None
    (series,) = market_table.imported_series(store, "B200").to_dicts()
    assert (series["scope"], series["price_kind"], series["source"]) == (
        "market",
        "mixed",
        "someone",
    )
