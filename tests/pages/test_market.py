"""Market: where we stand, what others ask, now and over time, and what to do about it."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from pages._callbacks import NOTICES
from tests.makers import NOON, POOL, make_offer, make_pool, make_pool_state
from tests.pages.conftest import Console, ids_in, pressed, words_in
from warehouse import decisions
from warehouse.clock import FleetClock
from warehouse.records import (
    CollectorRun,
    MarketAlarm,
    MarketPercentile,
    PriceElasticity,
    Recommendation,
)

BLOCK = {"startRow": 0, "endRow": 50, "sortModel": []}
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def offer(provider: str, usd: float, **changes: Any) -> Any:
    return make_offer(
        provider=provider, source=provider, offer_id=f"{provider}-1",
        price_usd_per_gpu_hour=usd, measured_at=NOON - HOUR, **changes,
    )  # fmt: skip


def percentile(**changes: Any) -> MarketPercentile:
    given: dict[str, Any] = {
        "scope": "market", "gpu_model": "H100", "model": "H100 SXM", "price_kind": "mixed",
        "lowest_usd_per_gpu_hour": 1.5, "p10_usd_per_gpu_hour": 1.9, "p25_usd_per_gpu_hour": 2.0,
        "median_usd_per_gpu_hour": 2.4, "p75_usd_per_gpu_hour": 2.8, "p90_usd_per_gpu_hour": 3.1,
        "source": "import:somebody", "payload_digest": "0", "measured_at": NOON - 300 * DAY,
        "stored_at": NOON,
    }  # fmt: skip
    return MarketPercentile(**given | changes)


def advice(**changes: Any) -> Recommendation:
    given: dict[str, Any] = {
        "recommendation_id": "rec-1", "rank": 1, "kind": "decision",
        "title": f"Lower {POOL} to $2.40 for $1,200 a month", "reason": "It is dear.",
        "effect_usd_per_month": 1200.0, "effect_low_usd_per_month": 300.0,
        "effect_high_usd_per_month": 2000.0, "assumptions": ["Demand answers with -2."],
        "action": "adjust_price", "pool": POOL,
        "parameters": {"price_usd_per_gpu_hour": 2.4}, "made_at": NOON - HOUR,
    }  # fmt: skip
    return Recommendation(**given | changes)


def run(collector: str, outcome: str, detail: str | None = None) -> CollectorRun:
    return CollectorRun(
        collector=collector, outcome=outcome, row_count=0, attempt_count=1,  # type: ignore[arg-type]
        detail=detail, started_at=NOON - HOUR / 2, duration_seconds=1.0,
    )  # fmt: skip


@pytest.fixture
def market(console: Console) -> Console:
    """A console at noon by both clocks, with offers of four providers."""
    stand_at(console, NOON)
    console.store.append([make_pool(), make_pool_state(), make_pool_state(measured_at=NOON - DAY)])
    console.store.append(
        [
            offer("runpod", 2.0),
            offer("runpod", 1.5, tier="community"),
            offer("runpod", 1.0, price_kind="spot", region="us-east"),
            offer("lambda", 2.4, stock="none", is_list_price=True),
            offer("aws", 4.0, is_list_price=True, region="us-east"),
            offer("aws", 3.0, price_kind="reserved", commitment_months=12),
            offer("vast", 2.2),
            make_offer(provider="aws", source="aws", price_usd_per_gpu_hour=5.0,
                       is_list_price=True, measured_at=NOON - 25 * HOUR),
        ]
    )  # fmt: skip
    return console


def stand_at(console: Console, at: Any) -> None:
    from pages._context import Context, set_context

    clock = FleetClock(at, speed=0.0)
    set_context(Context(console.store, FleetClock(NOON, speed=0.0), lambda: console.status, clock))


def asked(console: Console, **filters: str | None) -> tuple[list[dict[str, Any]], str]:
    """The rows of the table and the words above it."""
    names = ("model", "kind", "provider", "region", "tier", "view")
    values = [filters.get(name) for name in names]
    answer, said, _ = console.page("market").rows(BLOCK, *values)
    return answer["rowData"], said


def standing(console: Console) -> str:
    return words_in(console.page("market").show_standing(None)[0])


def test_a_new_warehouse_says_how_to_switch_sources_on_and_hides_empty_tables(
    console: Console,
) -> None:
    stand_at(console, NOON)
    console.store.append([run("vast", "skipped", "switched off by PILOTHOUSE_VAST_ENABLED")])
    page = console.page("market")
    top, said, sources, prices, stock = page.show_standing(None)
    words = words_in(top)
    for known in ("PILOTHOUSE_LAMBDA_CLOUD_API_KEY", "PILOTHOUSE_VAST_ENABLED", "import-offers"):
        assert known in words
    assert prices == stock == {"display": "none"}
    assert "No source has brought a price yet" in said
    assert "switched off by PILOTHOUSE_VAST_ENABLED" in words_in(sources)
    assert "Never asked" in words_in(sources)
    shown = words_in(page.show_pools(None)) + words_in(page.show_alarms(None))
    for known in ("No pools yet", "Nothing to recommend", "No alarm in 30 days", "is known"):
        assert known in shown
    assert "No poll yet" in words_in(page.show_availability(None, None))
    assert "python app.py import-offers FILE" in words_in(page.show_imported(None, None, None)[0])
    assert "No model has a price yet" in words_in(page.show_history(None, None, None))


def test_it_says_where_we_stand_and_what_moved_since_yesterday(market: Console) -> None:
    said = standing(market)
    assert "1 pool : 0 below the market's median, 1 above" in said
    assert "14\u202f% above the median" in said  # 2.50 over 2.20; sold out Lambda is not compared
    assert "p10 $2.00 to p90 $4.00, 3 providers" in said
    assert "4th cheapest of 5" in said
    assert "the market fell 56\u202f% (1 provider then), ours stayed" in said
    assert "AWS H100 SXM fell 20\u202f% to $4.00" in said
    assert "0 alarms in the last day" in said


def test_a_pool_that_nobody_can_be_compared_with_says_so(console: Console) -> None:
    stand_at(console, NOON)
    console.store.append([make_pool(), make_pool_state(), offer("runpod", 1.0, gpu_model="L40S")])
    assert "Nobody's price of the last day can be compared" in standing(console)


def test_the_table_keeps_kinds_and_tiers_apart_with_our_price_beside(market: Console) -> None:
    rows, said = asked(market)
    assert said.startswith("7 prices, a row a provider, model, kind and tier")
    (aws,) = [row for row in rows if row["provider"] == "AWS" and row["kind"] == "On demand"]
    assert (aws["price_usd_per_gpu_hour"], aws["ours_usd_per_gpu_hour"]) == (4.0, 2.5)
    assert aws["ours_over_ratio"] == -0.375
    (spot,) = [row for row in rows if row["kind"] == "Spot"]
    assert spot["ours_over_ratio"] is None  # ours is on demand
    assert (aws["basis"], aws["region"], aws["age_seconds"]) == ("List price", "us-east", 3600)
    assert {row["kind"] for row in rows} == {"On demand", "Spot", "Reserved, 12 months"}
    assert {row["tier"] for row in rows} == {"Not told", "Anybody's host"}


def test_the_filters_narrow_the_table_and_each_offer_can_be_seen(market: Console) -> None:
    (spot,), _ = asked(market, provider="runpod", kind="spot", region="us-east")
    assert spot["price_usd_per_gpu_hour"] == 1.0
    (hosts,), _ = asked(market, tier="community")
    assert hosts["provider"] == "RunPod"
    rows, said = asked(market, provider="aws", view="offers")
    assert len(rows) == 2
    assert "gpu_count" in rows[0]
    assert "a row each" in said
    assert "clear one" in asked(market, model="B200")[1]


def test_a_last_good_price_and_an_old_one_are_marked(market: Console) -> None:
    market.store.append([run("runpod", "failed", "503")])
    rows, _ = asked(market, provider="runpod", kind="on_demand")
    assert {row["standing"] for row in rows} == {"Last good"}
    stand_at(market, NOON + 2 * DAY)
    (row,), _ = asked(market, provider="vast")
    assert (row["is_old"], row["standing"]) == (True, "In force")


def test_prices_over_time_have_a_band_lines_and_our_own(market: Console) -> None:
    shown = market.page("market").show_history("H100 SXM", "7", None).to_plotly_json()
    said = words_in(shown)
    for known in ("H100 SXM", "p10 to p90", "Median", "RunPod", "AWS", "Ours"):
        assert known in said
    data = chart_rows(shown)
    assert data[-1]["RunPod"] == 2.0
    assert data[-1]["p10 to p90"] == [2.0, 4.0]
    assert data[-1]["Ours"] == 2.5
    assert "No price of B200" in words_in(market.page("market").show_history("B200", "7", None))


def chart_rows(component: Any) -> list[dict[str, Any]]:
    """The data of the one chart in a component."""
    text = json.dumps(component, default=lambda each: each.to_plotly_json())
    found: list[Any] = []

    def take(each: dict[str, Any]) -> dict[str, Any]:
        found.append(each.get("data"))
        return each

    json.loads(text, object_hook=take)
    return next(each for each in found if isinstance(each, list))


def test_a_price_that_was_not_seen_for_a_day_ends_its_line(market: Console) -> None:
    stand_at(market, NOON + 5 * DAY)
    data = chart_rows(market.page("market").show_history("H100 SXM", "7", None).to_plotly_json())
    assert "RunPod" not in data[-1]


def test_fleets_own_clock_is_told_where_it_differs(market: Console) -> None:
    stand_at(market, NOON - 3 * HOUR)
    said = words_in(market.page("market").show_history("H100 SXM", "7", None))
    assert "Ours goes by the fleet's clock, 3\u202fh ahead of the market's" in said


def test_imported_history_stands_apart_one_scope_at_a_time(market: Console) -> None:
    lowest = percentile(scope="market_lowest", provider="x", price_kind="on_demand",
                        measured_at=NOON - 200 * DAY)  # fmt: skip
    market.store.append([percentile(), percentile(measured_at=NOON - 299 * DAY), lowest])
    page = market.page("market")
    box, choices, value, style = page.show_imported("H100 SXM", "90", None)
    assert [each["value"] for each in choices] == ["market:mixed", "market_lowest:on_demand"]
    assert (value, style) == ("market:mixed", {})
    assert "the whole market, on demand and spot not told apart" in words_in(box)
    assert chart_rows(box.to_plotly_json())[0]["p10 to p90"] == [1.9, 3.1]
    box, *_ = page.show_imported("H100 SXM", "90", "market_lowest:on_demand")
    assert "the cheapest of any provider" in words_in(box)
    assert [row["Cheapest"] for row in chart_rows(box.to_plotly_json())] == [1.5]


def test_availability_counts_polls_and_what_nobody_tells_is_said(market: Console) -> None:
    shown = words_in(market.page("market").show_availability("H100 SXM", None))
    assert "Lambda 0\u202f%" in shown
    assert "RunPod 100\u202f%" in shown
    assert "AWS not told" in shown


def test_the_engines_evidence_shows_bounds_step_and_elasticity(market: Console) -> None:
    market.store.append(
        [
            PriceElasticity(
                pool=POOL, elasticity=-2.0, low=-3.0, high=-1.0, basis="assumed", price_changes=3,
                detail="Too few changes: the stated assumption.", made_at=NOON,
            )
        ]
    )  # fmt: skip
    shown = words_in(market.page("market").show_pools(None)[0])
    for known in ("p25", "no ledger yet", "that one decision may move it", "−2.00 (−3.00 to −1.00)",
                  "Assumed", "Too few changes"):  # fmt: skip
        assert known in shown


def test_an_operator_proposes_once_and_is_led_to_the_decision(market: Console) -> None:
    finding = advice(recommendation_id="rec-2", rank=2, kind="finding", title="Leases are dear",
                     action=None, pool=None, parameters={})  # fmt: skip
    market.store.append([advice(), finding])
    shown = market.page("market").show_pools(None)[1].to_plotly_json()
    assert words_in(shown).count("Propose:") == 1
    assert "+$1,200 a month" in words_in(shown)
    given, changed = pressed("market-propose", id="rec-1")
    sent = market.call("market-advice.children", given, changed)["response"]
    assert sent[NOTICES]["sendNotifications"][0]["title"] == "Proposed"
    (made,) = decisions.decisions(market.store, now=NOON).rows.to_dicts()
    assert f"/decisions?id={made['decision_id']}" in words_in(sent["market-advice"]["children"])
    again = market.call("market-advice.children", given, changed)
    assert "see it there" in json.dumps(again["sideUpdate"])


def test_a_viewer_sees_recommendations_without_a_button(market: Console) -> None:
    market.store.append([advice()])
    with market.asked_by("viewer"):
        shown = market.page("market").show_pools(None)[1].to_plotly_json()
    assert "market-propose" not in ids_in(shown)
    assert "takes the role operator" in words_in(shown)


def test_alarms_unknown_names_and_failing_sources_are_told(market: Console) -> None:
    alarm = MarketAlarm(
        provider="runpod", source="runpod", gpu_model="H100 SXM", kind="jump", value=24.0,
        expected=2.0, detail="twelve times the last", raised_at=NOON - HOUR,
    )  # fmt: skip
    strange = offer("vast", 1.0, gpu_model="H100", model=None)
    market.store.append([alarm, strange, run("runpod", "failed", "503 from the interface")])
    alarms, names = market.page("market").show_alarms(None)
    assert "$24.00, not $2.00" in words_in(alarms)
    assert "H100" in words_in(names)
    assert "1 alarm in the last day" in standing(market)
    assert "1 failing" in standing(market)
    sources = words_in(market.page("market").show_standing(None)[2])
    assert "1 failing" in sources.lower()
    assert "503 from the interface" in sources


@pytest.mark.parametrize(
    "what",
    ["prices", "history", "imported", "availability", "pools", "recommendations", "alarms",
     "names", "sources"],
)  # fmt: skip
def test_every_table_downloads_as_csv_and_parquet(market: Console, what: str) -> None:
    market.store.append([advice(), percentile(), offer("=vast", 1.0, gpu_model="@x", model=None)])
    found = {}
    for kind in ("csv", "parquet"):
        given, changed = pressed("market-download", what=what, format=kind)
        given |= {"market-history.value": "H100 SXM", "market-span.value": "7"}
        sent = market.call("market-file.data", given, changed)["response"]
        found[kind] = sent["market-file"]["data"]
        assert found[kind]["filename"].endswith(f".{kind}")
    lines = found["csv"]["content"].splitlines()
    assert not [line for line in lines if line.startswith("=")]
    import base64

    parquet = pl.read_parquet(io.BytesIO(base64.b64decode(found["parquet"]["content"])))
    assert parquet.columns == lines[0].split(",")


def test_the_address_picks_filters_model_span_and_view(market: Console) -> None:
    search = "?model=H100%20SXM&kind=spot&provider=gone&view=offers&history=H100%20SXM&span=7"
    values: dict[str, Any] = {}

    def walk(node: Any) -> None:
        for each in node if isinstance(node, list) else []:
            walk(each)
        if isinstance(node, dict):
            props = node.get("props", {})
            if isinstance(props.get("id"), str):
                values[props["id"]] = props.get("value")
            for each in node.values():
                walk(each)

    walk(market.open("/market", search))
    assert values["market-model"] == values["market-history"] == "H100 SXM"
    assert (values["market-kind"], values["market-provider"]) == ("spot", "gone")
    assert (values["market-view"], values["market-span"]) == ("offers", "7")
