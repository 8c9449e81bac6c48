"""The market by the API: offers, prices, scores, weights, what to do, files, our own prices."""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO

import polars as pl
import pytest

from engine.market.round import MarketRound
from tests.api.conftest import Console, MakeConsole
from tests.makers import NOON, POOL, make_offer, make_pool, make_pool_state, make_price
from warehouse import audit
from warehouse.decisions import decision
from warehouse.settings import Settings
from warehouse.store import Store

BASE = "/api/v1/market"


@pytest.fixture
def console(store: Store, make_console: MakeConsole, tmp_path) -> Console:
    store.append(
        [
            make_pool(gpu_memory_bytes=None),
            make_pool_state(market_usd_per_gpu_hour=2.5),
            make_price(),
            make_price(price_usd_per_gpu_hour=2.6, set_by="ann", in_force_from_at=NOON),
            *(
                make_offer(provider=who, price_usd_per_gpu_hour=price, vcpu_count=16.0)
                for who, price in (("runpod", 2.4), ("lambda", 2.6), ("vast", 2.0))
            ),
            make_offer(provider="vast", offer_id="odd", gpu_model="H100", model=None),
            make_offer(
                provider="vast", offer_id="old", measured_at=NOON - timedelta(days=3), region="=1+1"
            ),
        ]
    )
    made = make_console()
    assert MarketRound(store, made.clock, Settings(home=tmp_path)).run()
    return made


def test_offers_are_paged_and_filtered_newest_first(console: Console) -> None:
    viewer = console.program("viewer")
    page = viewer.get(f"{BASE}/offers", params={"limit": 2}).json()
    assert (page["total"], len(page["items"])) == (4, 2)
    odd = viewer.get(f"{BASE}/offers", params={"is_known": False}).json()["items"]
    assert [each["offer_id"] for each in odd] == ["odd"]
    since = (NOON - timedelta(days=9)).isoformat()
    vast = viewer.get(f"{BASE}/offers", params={"provider": "vast", "since": since}).json()
    assert vast["items"][-1]["offer_id"] == "old"
    naive = (NOON - timedelta(days=9)).strftime("%Y-%m-%dT%H:%M:%S")
    again = viewer.get(f"{BASE}/offers", params={"provider": "vast", "since": naive}).json()
    assert again["total"] == vast["total"] == 3


def test_prices_are_told_by_model_by_provider_and_over_time(console: Console) -> None:
    viewer = console.program("viewer")
    (now,) = viewer.get(f"{BASE}/prices").json()["items"]
    assert (now["model"], now["median_usd_per_gpu_hour"], now["providers"]) == ("H100 SXM", 2.4, 3)
    asked = viewer.get(f"{BASE}/prices/providers", params={"model": "H100 SXM"}).json()
    assert [each["provider"] for each in asked["items"]] == ["vast", "runpod", "lambda"]
    console.wall.turn(timedelta(minutes=1))  # a span's end is exclusive
    past = viewer.get(f"{BASE}/prices/history", params={"model": "H100 SXM"}).json()["items"]
    assert [each["median_usd_per_gpu_hour"] for each in past] == [2.5, 2.4]
    (pool,) = viewer.get(f"{BASE}/pools").json()["items"]
    assert (pool["rank"], pool["ranked"], pool["models"]) == (3, 4, ["H100 SXM"])
    assert pool["market"]["median_usd_per_gpu_hour"] == 2.4
    assert pool["elasticity"]["basis"] == "assumed"


def test_every_score_is_explained_down_to_its_rows(console: Console) -> None:
    viewer = console.program("viewer")
    cards = viewer.get(f"{BASE}/benchmarks").json()["items"]
    assert {each["provider"] for each in cards} == {"runpod", "lambda", "vast", "us"}
    overall = viewer.get(f"{BASE}/benchmarks/runpod/overall").json()
    assert [part["level"] for part in overall["parts"]] == ["group"] * 6
    group = viewer.get(f"{BASE}/benchmarks/runpod/price").json()
    assert "on_demand_price" in {part["name"] for part in group["parts"]}
    metric = viewer.get(f"{BASE}/benchmarks/runpod/on_demand_price").json()
    rows = viewer.get(metric["metric"]["evidence"]["link"]).json()
    assert rows["total"] == metric["metric"]["evidence"]["rows"] == 1
    assert viewer.get(f"{BASE}/benchmarks/runpod/charm").status_code == 404


def test_an_unknown_metric_has_no_value_and_no_score(console: Console) -> None:
    viewer = console.program("viewer")
    found = viewer.get(f"{BASE}/benchmarks/metrics", params={"provider": "lambda"}).json()
    by_name = {each["metric"]: each for each in found["items"]}
    assert len(by_name) >= 24
    assert (by_name["uptime_sla"]["value"], by_name["uptime_sla"]["score"]) == (None, None)
    assert by_name["billing_granularity"]["evidence"]["source"].startswith("https://docs.lambda.ai")


def test_weights_are_set_by_an_operator_and_audited(console: Console) -> None:
    path, sent = f"{BASE}/benchmarks/weights", {"groups": {"price": 0.9}, "reason": "we sell on it"}
    assert console.program("viewer").put(path, json=sent).status_code == 403
    operator = console.program("operator", "ann")
    assert operator.put(path, json=sent).json()["groups"]["price"] == 0.9
    assert operator.get(path).json()["set_by"] == "ann"
    assert operator.put(path, json={"groups": {"charm": 1}}).status_code == 422
    assert operator.put(path, json={"metrics": {"regions": -1}}).status_code == 422
    (event,) = audit.audit(console.store, act="control").rows.iter_rows(named=True)
    assert (event["actor"], event["via"]) == ("ann", "api")
    moved = operator.get(f"{BASE}/benchmarks/sensitivity").json()["items"]
    assert {each["factor"] for each in moved} == {0.5, 1.0, 1.5}


def test_a_recommendation_becomes_one_decision_that_waits(console: Console) -> None:
    operator = console.program("operator", "ann")
    listed = operator.get(f"{BASE}/recommendations").json()["items"]
    (first,) = [each for each in listed if each["kind"] == "decision"]
    assert first["effect_usd_per_month"] > 0
    path = f"{BASE}/recommendations/{first['recommendation_id']}/propose"
    assert console.program("viewer").post(path).status_code == 403
    proposed = operator.post(path).json()
    found = decision(console.store, proposed["decision_id"], now=NOON)
    assert (found.state, found.policy, found.evidence["proposed_by"]) == (
        "waiting",
        "market",
        "ann",
    )
    assert operator.post(path).status_code == 409
    assert operator.post(f"{BASE}/recommendations/none/propose").status_code == 404
    (again,) = [
        each
        for each in operator.get(f"{BASE}/recommendations").json()["items"]
        if each["kind"] == "decision"
    ]
    assert again["decision_id"] == proposed["decision_id"]


def test_every_table_is_to_be_had_as_a_file(console: Console) -> None:
    viewer, since = console.program("viewer"), (NOON - timedelta(days=9)).isoformat()
    for what in ("offers", "prices", "providers", "benchmarks", "metrics", "recommendations"):
        asked = {"since": since}
        answer = viewer.get(f"{BASE}/download/{what}", params=asked)
        assert f'filename="market-{what}.csv"' in answer.headers["content-disposition"]
        csv = pl.read_csv(BytesIO(answer.content), infer_schema_length=None)
        answer = viewer.get(f"{BASE}/download/{what}", params={**asked, "file_format": "parquet"})
        parquet = pl.read_parquet(BytesIO(answer.content))
        assert csv.height == parquet.height > 0
        assert csv.columns == parquet.columns
    # a cell that a spreadsheet would run is made harmless
    text = viewer.get(f"{BASE}/download/offers", params={"since": since}).text
    assert ",'=1+1," in text


def test_our_own_price_list_is_published_newest_first(console: Console) -> None:
    found = console.program("viewer").get("/api/v1/prices", params={"pool": POOL}).json()["items"]
    assert [each["price_usd_per_gpu_hour"] for each in found] == [2.6, 2.5]


def test_alarms_sources_and_elasticities_are_lists(console: Console) -> None:
    viewer = console.program("viewer")
    (source,) = {each["source"] for each in viewer.get(f"{BASE}/sources").json()["items"]}
    assert source == "test"
    assert viewer.get(f"{BASE}/alarms").json()["total"] == 0
    (one,) = viewer.get(f"{BASE}/elasticities").json()["items"]
    assert one["low"] < one["elasticity"] < one["high"] < 0
    history = viewer.get(f"{BASE}/benchmarks/history", params={"provider": "runpod"}).json()
    assert history["total"] == 7
