"""RunPod's prices, by GraphQL and by REST, and what is made of answers that are none."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from collectors.base import (
    EmptyAnswer,
    Malformed,
    RateLimited,
    Refused,
    Unreachable,
)
from collectors.market_prices import MarketMemory
from collectors.market_settings import MarketSettings
from collectors.market_web import Hands
from collectors.runner import Runner
from collectors.runpod import RunpodCollector, RunpodSettings
from tests.collectors.contract import CollectorContract, FixedClock
from tests.collectors.market_server import (
    GRAPHQL,
    NOON,
    Market,
    Reply,
    Turns,
    gpu_types,
    make_gpu_type,
    said,
)
from warehouse.records import MarketAlarm, Offer


def make_runpod(market: Market, *, memory=None, turns=None, shared=None, **settings):
    turns = turns or Turns()
    hands = Hands(market.transport, turns.seconds, turns.pause)
    return RunpodCollector(
        RunpodSettings(**settings), hands, shared or MarketSettings(), memory or MarketMemory()
    )


class TestRunpodContract(CollectorContract):
    collector_class = RunpodCollector

    def make_working(self):
        return make_runpod(Market())

    def make_failing(self):
        return make_runpod(Market().always(GRAPHQL, Reply(status=503)))


def collected(market: Market, **settings):
    return list(make_runpod(market, **settings).collect(NOON))


def offers(market: Market, **settings) -> list[Offer]:
    return [row for row in collected(market, **settings) if isinstance(row, Offer)]


def alarms(market: Market, **settings) -> list[MarketAlarm]:
    return [row for row in collected(market, **settings) if isinstance(row, MarketAlarm)]


# -- GraphQL ----------------------------------------------------------------------------


def test_each_price_of_a_type_is_a_row_of_its_own_per_gpu():
    found = offers(Market())
    assert [
        (o.price_kind, o.tier, o.commitment_months, o.price_usd_per_gpu_hour) for o in found
    ] == [
        ("on_demand", "secure", None, 2.99),
        ("spot", "secure", None, 1.75),
        ("on_demand", "community", None, 2.69),
        ("spot", "community", None, 1.5),
        ("spot_bid", None, None, 1.5),
        ("reserved", None, 1, 2.6),
        ("reserved", None, 3, 2.5),
        ("reserved", None, 6, 2.4),
    ]
    assert {(o.quoted_unit, o.gpu_count, o.instance_price_usd_per_hour) for o in found} == {
        ("gpu", 1, None)
    }
    first = found[0]
    assert (first.model, first.gpu_model, first.offer_id) == (
        "H100 SXM",
        "H100 SXM",
        "NVIDIA H100 80GB HBM3",
    )
    assert (first.gpu_memory_bytes, first.memory_bytes) == (80 * 2**30, 125 * 2**30)
    assert (first.stock, first.max_gpu_count, first.is_list_price) == ("high", 8, True)
    assert first.source == "runpod"


def test_one_query_is_made_and_it_says_who_asks():
    market = Market()
    collected(market, shared=MarketSettings(contact="mailto:ops@example.org"))
    (visit,) = market.visits
    assert (visit.method, visit.path) == ("POST", "/graphql")
    assert "gpuTypes" in json.loads(visit.body)["query"]
    assert "authorization" not in visit.headers
    assert visit.headers["user-agent"].startswith("Pilothouse/")
    assert visit.headers["user-agent"].endswith(" (+mailto:ops@example.org)")


@pytest.mark.parametrize(
    ("word", "stock"),
    [("High", "high"), ("Medium", "medium"), ("Low", "low"), ("None", "none"), (None, None)],
)
def test_the_stock_is_as_told_and_unknown_where_it_is_null(word, stock):
    lowest = make_gpu_type()["lowestPrice"] | {"stockStatus": word}
    market = Market().always(GRAPHQL, gpu_types(make_gpu_type(lowestPrice=lowest)))
    assert {o.stock for o in offers(market) if o.price_kind == "on_demand"} == {stock}
    assert not alarms(market)


def test_a_word_of_stock_that_is_not_known_is_an_alarm_and_no_stock():
    lowest = make_gpu_type()["lowestPrice"] | {"stockStatus": "Plenty"}
    rows = collected(Market().always(GRAPHQL, gpu_types(make_gpu_type(lowestPrice=lowest))))
    assert rows[0].stock is None
    assert (rows[-1].kind, "'Plenty'" in rows[-1].detail) == ("layout", True)


def test_a_type_that_nobody_has_just_now_has_no_lowest_price_and_keeps_its_list_prices():
    market = Market().always(GRAPHQL, gpu_types(make_gpu_type(lowestPrice=None)))
    assert {o.price_kind for o in offers(market)} == {"on_demand", "spot", "reserved"}
    assert {o.stock for o in offers(market)} == {None}


def test_a_cloud_that_a_type_is_not_on_has_no_price_whatever_stands_there():
    odd = make_gpu_type(communityCloud=False, communityPrice=0, communitySpotPrice=0.1)
    rows = collected(Market().always(GRAPHQL, gpu_types(odd)))
    assert {r.tier for r in rows} == {"secure", None}
    assert not any(isinstance(row, MarketAlarm) for row in rows)


def test_fields_that_are_new_change_nothing():
    more = make_gpu_type(newPrice=0.01, cudaCores=5, lowestPrice={"countryCode": None})
    assert offers(Market().always(GRAPHQL, gpu_types(more)))[0].price_usd_per_gpu_hour == 2.99


@pytest.mark.parametrize("usd", [0, -1.0, float("nan"), float("inf")])
def test_a_price_that_is_none_is_an_alarm_and_the_others_stay(usd):
    rows = collected(Market().always(GRAPHQL, gpu_types(make_gpu_type(securePrice=usd))))
    assert len([r for r in rows if isinstance(r, Offer)]) == 7
    assert [(r.kind, r.gpu_model) for r in rows if isinstance(r, MarketAlarm)] == [
        ("zero_price", "H100 SXM")
    ]


def test_a_price_in_cents_is_an_alarm_even_at_first_sight():
    rows = collected(Market().always(GRAPHQL, gpu_types(make_gpu_type(securePrice=299))))
    (alarm,) = [r for r in rows if isinstance(r, MarketAlarm)]
    assert (alarm.kind, alarm.value) == ("jump", 299.0)


@pytest.mark.parametrize("usd", [0.9, 9.1])
def test_a_price_that_jumps_beyond_the_bound_is_an_alarm_and_the_last_good_one_counts_on(usd):
    market, memory = Market(), MarketMemory()
    assert len(offers(market, memory=memory)) == 8
    market.always(GRAPHQL, gpu_types(make_gpu_type(securePrice=usd)))
    for _ in range(2):
        rows = collected(market, memory=memory)
        assert usd not in [r.price_usd_per_gpu_hour for r in rows if isinstance(r, Offer)]
    market.always(GRAPHQL, gpu_types(make_gpu_type(securePrice=3.3)))
    assert len(offers(market, memory=memory)) == 8


def test_what_was_good_before_this_process_began_counts_too():
    memory = MarketMemory()
    memory.seed(offers(Market()))
    market = Market().always(GRAPHQL, gpu_types(make_gpu_type(securePrice=29.9)))
    (alarm,) = alarms(market, memory=memory)
    assert (alarm.kind, alarm.expected) == ("jump", 2.99)
    memory.seed(offers(market))  # later than its own knowledge, so it changes nothing
    assert 29.9 not in memory.offers.values()


def test_an_alarm_is_raised_once_a_day_and_not_at_every_run():
    market, memory = Market(), MarketMemory()
    market.always(GRAPHQL, gpu_types(make_gpu_type(securePrice=0)))
    collector = make_runpod(market, memory=memory)
    raised = [
        sum(isinstance(r, MarketAlarm) for r in collector.collect(NOON + timedelta(hours=h)))
        for h in (0, 1, 23, 25)
    ]
    assert raised == [1, 0, 0, 1]


def test_an_unknown_model_is_an_alarm_with_what_it_may_mean_and_no_price():
    odd = make_gpu_type(id="NVIDIA H100", displayName="H100", memoryInGb=80)
    rows = collected(Market().always(GRAPHQL, gpu_types(odd, make_gpu_type())))
    (alarm,) = [r for r in rows if isinstance(r, MarketAlarm)]
    assert (alarm.kind, alarm.gpu_model) == ("unknown_model", "H100")
    assert "H100 SXM or H100 PCIe" in alarm.detail
    assert {r.gpu_model for r in rows if isinstance(r, Offer)} == {"H100 SXM"}


def test_names_that_mean_two_models_mean_none():
    odd = make_gpu_type(displayName="H100 PCIe")
    with pytest.raises(EmptyAnswer, match="H100 PCIe"):
        collected(Market().always(GRAPHQL, gpu_types(odd)))


def test_the_id_tells_the_model_where_the_name_leaves_it_open():
    server = make_gpu_type(
        id="NVIDIA RTX PRO 6000 Blackwell Server Edition", displayName="RTX PRO 6000", memoryInGb=96
    )
    found = offers(Market().always(GRAPHQL, gpu_types(server)))
    assert {o.model for o in found} == {"RTX PRO 6000 Server"}


# -- GraphQL that gives no answer -------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "error", "words"),
    [
        (
            {"errors": [{"message": "Something went wrong"}], "data": None},
            Unreachable,
            "went wrong",
        ),
        (
            {"errors": [{"message": "x"}], "data": {"gpuTypes": [make_gpu_type()]}},
            Unreachable,
            "broken",
        ),
        (
            {"errors": [{"message": "no", "extensions": {"code": "UNAUTHENTICATED"}}]},
            Refused,
            "PILOTHOUSE_RUNPOD_API_KEY",
        ),
        (
            {"errors": [{"message": 'Cannot query field "sixMonthPrice"'}]},
            Malformed,
            "isn't understood any more",
        ),
        ({"errors": [{"message": "Too many requests"}]}, RateLimited, "too often"),
        ({"errors": "broken"}, Unreachable, "broken"),
        ({"data": None}, Malformed, "data.gpuTypes"),
        ({"data": {"gpuTypes": None}}, Malformed, "data.gpuTypes"),
        ({"data": {"gpuTypes": []}}, EmptyAnswer, "without one GPU type"),
        ({"data": {"gpuTypes": [None]}}, Malformed, r"gpuTypes\[0\]"),
        ([], Malformed, "no object"),
        (
            {"data": {"gpuTypes": [make_gpu_type(), make_gpu_type(displayName=None)]}},
            Malformed,
            r"data.gpuTypes\[1\].displayName",
        ),
        (
            {"data": {"gpuTypes": [make_gpu_type(securePrice="2.99")]}},
            Malformed,
            "securePrice",
        ),
        ({"data": {"gpuTypes": [make_gpu_type(securePrice=True)]}}, Malformed, "securePrice"),
        ({"data": {"gpuTypes": [make_gpu_type()] * 2}}, Malformed, "twice"),
    ],
)
def test_errors_inside_a_200_and_changed_answers_are_told_apart(payload, error, words):
    with pytest.raises(error, match=words):
        collected(Market().always(GRAPHQL, said(payload)))


def test_an_answer_without_one_price_is_a_failed_run_and_stores_nothing_else(store):
    nothing = make_gpu_type() | {key: None for key in make_gpu_type() if key.endswith("Price")}
    market = Market().always(GRAPHQL, gpu_types(nothing))
    run = Runner(store, FixedClock(NOON)).run(make_runpod(market))
    assert run.outcome == "failed"
    assert "found no price" in run.detail
    assert store.query("SELECT 1 FROM offers").is_empty()


def test_errors_that_come_with_a_status_of_their_own_are_read_too():
    errors = {"errors": [{"message": 'Cannot query field "gpuTypes"'}]}
    with pytest.raises(Malformed, match="gpuTypes"):
        collected(Market().always(GRAPHQL, said(errors, 400)))
    with pytest.raises(RateLimited):
        collected(Market().always(GRAPHQL, said(errors, 429)))


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(b"<html>", headers={"Content-Type": "text/html"}), Malformed),
        (Reply(b"[" * 100_000), Malformed),
        (Reply(b"oops", 502), Unreachable),
        (Reply(b"", 301, {"Location": "https://example.org"}), Refused),
        (Reply(b"", 400), Refused),
        (Reply(b"{}", hangs_up=True), Unreachable),
        (Reply(b"\x1f\x8bnot really", headers={"Content-Encoding": "gzip"}), Malformed),
        (Reply(b" " * (33 * 2**20)), Malformed),
    ],
)
def test_what_is_no_answer_is_told_in_the_houses_words(reply, error):
    with pytest.raises(error, match="RunPod"):
        collected(Market().always(GRAPHQL, reply))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 60.0),
        ({"Retry-After": "17"}, 17.0),
        ({"RateLimit": "limit=100, remaining=0, reset=42"}, 42.0),
        ({"RateLimit": '"default";r=0;t=9'}, 9.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "33"}, 33.0),
    ],
)
def test_a_refusal_for_asking_too_often_says_for_how_long(headers, seconds):
    with pytest.raises(RateLimited) as caught:
        collected(Market().always(GRAPHQL, Reply(b"slow down", 429, headers)))
    assert caught.value.retry_after_seconds == seconds


def test_an_allowance_used_up_is_waited_for_before_the_next_request():
    market, turns = Market(), Turns()
    spent = Reply(gpu_types(make_gpu_type()).body, headers={"RateLimit": '"default";r=0;t=12'})
    market.next(GRAPHQL, spent)
    collector = make_runpod(market, turns=turns)
    for _ in range(2):
        list(collector.collect(NOON))
    assert turns.pauses == [12.0]
    market.next(
        GRAPHQL, Reply(spent.body, headers={"RateLimit": "limit=9, remaining=0, reset=600"})
    )
    list(collector.collect(NOON))
    with pytest.raises(RateLimited) as caught:
        list(collector.collect(NOON))
    assert caught.value.retry_after_seconds == 600.0
    assert len(market.visits) == 3
