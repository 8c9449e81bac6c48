"""Vast.ai's market when it gives no answer, or not the one agreed; once over a real socket."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from collectors.base import (
    EmptyAnswer,
    InvalidSetting,
    Malformed,
    Note,
    QuotaExhausted,
    RateLimited,
    Refused,
    Unreachable,
    settings_from,
)
from collectors.market_web import Hands
from collectors.runner import Runner
from collectors.vast import VastCollector, VastSettings
from tests.collectors.contract import FixedClock
from tests.collectors.market_server import VAST, Market, Reply, serving
from tests.collectors.vast_market import (
    NOON,
    Turns,
    answers,
    make_collector,
    make_offer,
    offers,
    serves,
)
from warehouse.records import MarketAlarm, Offer

# -- no answer, or not the one agreed ---------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 60.0),
        ({"Retry-After": "17"}, 17.0),
        (
            {
                "Date": "Mon, 02 Nov 2026 12:00:00 GMT",
                "Retry-After": "Mon, 02 Nov 2026 12:00:25 GMT",
            },
            25.0,
        ),
        ({"Retry-After": "soon"}, 60.0),
    ],
)
def test_to_be_told_in_plain_text_that_one_asks_too_often_is_understood(headers, seconds):
    response = httpx.Response(429, text="Too many requests", headers=headers)
    with pytest.raises(RateLimited) as caught:
        offers(make_collector(answers(response)))
    assert caught.value.retry_after_seconds == seconds


@pytest.mark.parametrize("status", [200, 403, 429])
@pytest.mark.parametrize(
    "body",
    [
        {"success": False, "error": "search_quota_exceeded", "msg": "come back tomorrow"},
        {"error": {"code": "search_quota_exceeded"}},
    ],
)
def test_a_spent_quota_lasts_until_midnight_utc(status, body):
    with pytest.raises(QuotaExhausted) as caught:
        offers(make_collector(answers(httpx.Response(status, json=body))))
    assert caught.value.until == datetime(2026, 11, 3, tzinfo=UTC)


def test_midnight_is_by_the_sources_clock():
    headers = {"Date": "Mon, 02 Nov 2026 23:59:00 GMT"}
    body = {"error": "search_quota_exceeded"}
    with pytest.raises(QuotaExhausted) as caught:
        offers(make_collector(answers(httpx.Response(429, json=body, headers=headers))))
    assert caught.value.until == NOON + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (httpx.Response(404, text="not found"), Refused),
        (httpx.Response(400, json={"error": "invalid_args"}), Refused),
        (httpx.Response(200, json={"error": "invalid_args"}), Refused),
        (httpx.Response(302, headers={"Location": "https://example.org"}), Refused),
        (httpx.Response(500, text="oops"), Unreachable),
        (httpx.Response(503, json={"error": "maintenance"}), Unreachable),
    ],
)
def test_other_refusals_say_whether_to_try_again(response, error):
    with pytest.raises(error) as caught:
        offers(make_collector(answers(response)))
    assert caught.value.may_be_retried is (error is Unreachable)


def test_no_answer_names_the_address_to_check():
    def handle(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    with pytest.raises(Unreachable, match="PILOTHOUSE_VAST_URL, now https://console"):
        offers(make_collector(handle))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (httpx.Response(200, text="<html>"), "the body"),
        (httpx.Response(200, content=b"\xff\xfe\x00"), "the body"),
        ([], "offers"),
        ({}, "offers"),
        ({"offers": None}, "offers"),
        ({"offers": ["H100"]}, "offers[0]"),
        ({"offers": [make_offer(), make_offer(dph_total=None)]}, "offers[1].dph_total"),
        ({"offers": [make_offer(dph_total="16.80")]}, "offers[0].dph_total"),
        ({"offers": [make_offer(num_gpus=0)]}, "offers[0].num_gpus"),
        ({"offers": [make_offer(reliability2=99.8)]}, "offers[0].reliability2"),
        ({"offers": [make_offer(gpu_name="RTX 3060")]}, "offers[0].gpu_name"),
    ],
)
def test_a_malformed_answer_names_its_field(body, field):
    collector = make_collector(
        answers({"offers": [make_offer(gpu_name="H100 PCIE")]}, body),
        models=("H100 PCIE", "H100 SXM"),
    )
    with pytest.raises(Malformed, match=re.escape(f"can't be read: {field}: ")) as caught:
        offers(collector)
    assert not caught.value.may_be_retried


def test_a_malformed_answer_stores_nothing_of_the_searches_before_it(store):
    bodies = ({"offers": [make_offer(gpu_name="H100 PCIE")]}, {"offers": [{}]})
    collector = make_collector(answers(*bodies), models=("H100 PCIE", "H100 SXM"))
    run = Runner(store, FixedClock(NOON)).run(collector)
    assert (run.outcome, run.attempt_count) == ("failed", 1)
    assert store.query("SELECT * FROM offers").is_empty()


def test_an_error_of_reading_carries_its_field():
    with pytest.raises(Malformed) as caught:
        offers(make_collector(answers({"offers": [make_offer(num_gpus=None)]})))
    assert caught.value.field == "offers[0].num_gpus"


def test_a_market_without_any_offer_is_an_error_and_not_no_prices():
    with pytest.raises(EmptyAnswer, match="PILOTHOUSE_VAST_MODELS"):
        offers(make_collector(serves(), models=("H100 SXM", "H100SXM")))


def test_a_model_without_an_offer_is_named_and_the_others_are_kept():
    rows = list(make_collector(serves(make_offer()), models=("B200", "H100 SXM")).collect(NOON))
    assert [type(row) for row in rows] == [Offer, Offer, MarketAlarm, Note]
    assert (rows[2].kind, rows[2].gpu_model) == ("empty", "B200")
    assert rows[-1] == Note("no offer for B200, so its last prices stay")


# -- settings ---------------------------------------------------------------------------


def test_it_is_on_unless_switched_off():
    collector = VastCollector.from_env({})
    assert isinstance(collector, VastCollector)
    assert collector.every_seconds == 900.0


def test_models_are_separated_by_commas_and_keep_their_spaces():
    settings = settings_from(
        {"PILOTHOUSE_VAST_MODELS": "H100 SXM, RTX 4090,"}, "vast", VastSettings
    )
    assert settings.models == ("H100 SXM", "RTX 4090")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PILOTHOUSE_VAST_MODELS", " , "),
        ("PILOTHOUSE_VAST_URL", "console.vast.ai"),
        ("PILOTHOUSE_VAST_EVERY_SECONDS", "5"),
        ("PILOTHOUSE_VAST_OFFER_LIMIT", "many"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(variable, value):
    with pytest.raises(InvalidSetting, match=f"{variable} can't be used"):
        VastCollector.from_env({variable: value})


# -- over a socket ----------------------------------------------------------------------


def test_over_the_network_a_broken_gateway_is_tried_again_and_the_offers_are_stored(store):
    turns, market = Turns(), Market().next(VAST, Reply(b"<h1>Bad gateway</h1>", 502))
    with serving(market) as url:
        settings = VastSettings(models=("H100 SXM",), url=url)
        collector = VastCollector(settings, Hands(None, turns.seconds, turns.pause))
        run = Runner(store, FixedClock(NOON), wait=lambda seconds: False).run(collector)
    assert (run.outcome, run.row_count, run.attempt_count) == ("succeeded", 2, 2)
    assert store.query("SELECT count(*) AS n FROM offers").item() == 2
