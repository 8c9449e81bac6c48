"""Questions on single offers: the comparable table, unmatched names, sources that are silent."""

from __future__ import annotations

from datetime import timedelta

from tests.conftest import NOON
from tests.makers import make_offer
from warehouse.offers import (
    comparable_offers,
    last_good_offers,
    percentile_history,
    source_faults,
    unmatched_names,
)
from warehouse.records import CollectorRun, MarketAlarm, MarketPercentile

HOUR = timedelta(hours=1)


def make_run(collector: str, outcome: str, ago: timedelta) -> CollectorRun:
    return CollectorRun(
        collector=collector,
        outcome=outcome,
        row_count=0,
        attempt_count=1,
        detail="why" if outcome == "failed" else None,
        started_at=NOON - ago,
        duration_seconds=1.0,
    )


def make_name_alarm(**changes) -> MarketAlarm:
    values = {
        "provider": "runpod",
        "source": "runpod",
        "gpu_model": "H100",
        "kind": "unknown_model",
        "value": 2.5,
        "detail": "…",
        "raised_at": NOON - HOUR,
    }
    return MarketAlarm(**values | changes)


def test_the_table_holds_each_sources_last_word_with_its_age(store):
    store.append(
        [
            make_offer(offer_id="old", measured_at=NOON - 3 * HOUR, source="runpod"),
            make_offer(offer_id="new", measured_at=NOON - HOUR, source="runpod"),
            make_offer(
                offer_id="cheap", price_usd_per_gpu_hour=1.0, provider="vast", source="vast"
            ),
            make_offer(offer_id="nameless", gpu_model="H100", model=None, provider="vast"),
            make_offer(offer_id="imported", source="import:somebody", provider="aws"),
            make_offer(offer_id="ancient", provider="gcp", measured_at=NOON - timedelta(days=9)),
            make_offer(offer_id="free", provider="oci", price_usd_per_gpu_hour=0.0),
        ]
    )
    page = comparable_offers(store, NOON)
    assert page.rows["offer_id"].to_list() == ["cheap", "new"]
    assert page.rows["age_seconds"].to_list() == [0.0, 3600.0]
    assert page.total == 2


def test_kinds_tiers_and_models_are_asked_for_apart(store):
    store.append(
        [
            make_offer(offer_id="a", tier="secure"),
            make_offer(offer_id="b", tier="community"),
            make_offer(offer_id="c", price_kind="reserved", commitment_months=3),
            make_offer(offer_id="d", gpu_model="B200", region="us-east-1"),
        ]
    )

    def ids(**asked):
        return set(comparable_offers(store, NOON, **asked).rows["offer_id"])

    assert ids(tier="secure") == {"a"}
    assert ids(price_kind="reserved") == {"c"}
    assert ids(model="H100 SXM", price_kind="on_demand") == {"a", "b"}
    assert ids(region="us-east-1") == {"d"}
    assert ids(provider="vast") == set()


def test_a_price_is_the_last_good_one_where_its_source_fails_now(store):
    store.append([make_offer(source="runpod"), make_run("runpod", "succeeded", HOUR)])
    assert comparable_offers(store, NOON).rows["is_last_good"].to_list() == [False]
    store.append([make_run("runpod", "failed", timedelta(0))])
    assert comparable_offers(store, NOON).rows["is_last_good"].to_list() == [True]


def test_a_page_counts_only_until_the_interface_answers_again(store):
    page = make_offer(offer_id="page", source="pricing_pages", measured_at=NOON - HOUR)
    store.append([make_offer(offer_id="api", source="runpod", measured_at=NOON - 3 * HOUR), page])
    assert set(comparable_offers(store, NOON).rows["offer_id"]) == {"api", "page"}
    store.append([make_offer(offer_id="again", source="runpod")])
    assert set(comparable_offers(store, NOON).rows["offer_id"]) == {"again"}


def test_the_last_good_offers_are_the_interfaces_own(store):
    good = make_offer(source="runpod")
    store.append(
        [
            good,
            make_offer(source="runpod", measured_at=NOON - HOUR),
            make_offer(source="pricing_pages"),
            make_offer(source="import:somebody"),
            make_offer(source=None),
        ]
    )
    assert last_good_offers(store, NOON) == [good]


def test_names_that_nobody_knows_are_listed_until_they_are_known(store):
    store.append(
        [
            make_name_alarm(),
            make_name_alarm(raised_at=NOON, value=2.6),
            make_name_alarm(gpu_model="Odd", raised_at=NOON - 2 * HOUR),
            make_name_alarm(gpu_model="L40S"),  # which this version knows
            make_offer(gpu_model="Odd", model="L4", measured_at=NOON),  # known meanwhile
            make_offer(gpu_model="Old row", model=None, provider="vast", source=None),
        ]
    )
    found = unmatched_names(store, NOON)
    assert set(found["name"]) == {"H100", "Old row"}
    (h100,) = [r for r in found.iter_rows(named=True) if r["name"] == "H100"]
    assert (h100["times_seen"], h100["price_usd_per_gpu_hour"]) == (2, 2.6)


def test_a_source_that_failed_or_is_silent_is_told(store):
    store.append(
        [
            make_run("runpod", "succeeded", HOUR),
            make_run("vast", "succeeded", 2 * HOUR),
            make_run("vast", "failed", HOUR),
            make_run("hyperscalers", "succeeded", timedelta(days=2)),
            make_run("nvml", "failed", HOUR),
        ]
    )
    found = source_faults(store, NOON)
    assert found.select("source", "kind", "age_seconds").rows() == [
        ("hyperscalers", "stale", 172800.0),
        ("vast", "empty", 7200.0),
    ]


def test_imported_percentiles_are_of_one_scope_and_kind(store):
    made = {
        "gpu_model": "H100",
        "model": "H100 SXM",
        "lowest_usd_per_gpu_hour": 2.0,
        "source": "import:x",
        "payload_digest": "0" * 64,
        "measured_at": NOON,
        "stored_at": NOON,
    }
    store.append(
        [
            MarketPercentile(scope="market", price_kind="mixed", **made),
            MarketPercentile(scope="market_lowest", price_kind="on_demand", provider="a", **made),
        ]
    )
    asked = {"since": NOON - HOUR, "until": NOON + HOUR}
    assert percentile_history(store, "H100 SXM", **asked)["scope"].to_list() == ["market"]
    lowest = percentile_history(
        store, "H100 SXM", scope="market_lowest", price_kind="on_demand", **asked
    )
    assert lowest["provider"].to_list() == ["a"]
