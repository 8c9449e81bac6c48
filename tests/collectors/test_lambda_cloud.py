"""Lambda's prices: whole instances, regions, and what is made of answers that are none."""

from __future__ import annotations

import pytest

from collectors.base import (
    Absent,
    EmptyAnswer,
    InvalidSetting,
    Malformed,
    RateLimited,
    Refused,
    Unreachable,
)
from collectors.lambda_cloud import SPACING_SECONDS, LambdaCollector, LambdaSettings
from collectors.market_prices import MarketMemory
from collectors.market_web import Hands
from tests.collectors.contract import CollectorContract
from tests.collectors.market_server import (
    LAMBDA,
    NOON,
    Market,
    Reply,
    Turns,
    instance_types,
    make_instance_type,
    said,
)
from warehouse.records import MarketAlarm, Offer

KEY = "secret_lambda"


def make_lambda(market: Market, *, turns=None, **settings):
    turns = turns or Turns()
    hands = Hands(market.transport, turns.seconds, turns.pause)
    given = LambdaSettings(**{"api_key": KEY, **settings})
    return LambdaCollector(given, hands, memory=MarketMemory())


class TestLambdaContract(CollectorContract):
    collector_class = LambdaCollector

    def make_working(self):
        return make_lambda(Market())

    def make_failing(self):
        return make_lambda(Market().always(LAMBDA, Reply(b"", 502)))


def collected(*entries):
    return list(make_lambda(Market().always(LAMBDA, instance_types(*entries))).collect(NOON))


def offers(*entries) -> list[Offer]:
    return [row for row in collected(*entries) if isinstance(row, Offer)]


def test_the_price_of_the_whole_instance_becomes_one_of_a_gpu():
    (offer,) = offers(make_instance_type())
    assert (offer.price_usd_per_gpu_hour, offer.instance_price_usd_per_hour) == (2.99, 23.92)
    assert (offer.quoted_unit, offer.gpu_count, offer.model) == ("instance", 8, "H100 SXM")
    assert (offer.region, offer.stock, offer.vcpu_count) == ("us-east-1", "some", 208)
    assert (offer.memory_bytes, offer.disk_bytes) == (1800 * 2**30, 22528 * 2**30)
    assert (offer.provider, offer.source, offer.is_list_price) == ("lambda", "lambda_cloud", True)


def test_each_region_that_has_it_is_a_row_and_none_means_sold_out():
    found = offers(
        make_instance_type(regions=("us-east-1", "europe-central-1")),
        make_instance_type(
            "gpu_1x_gh200",
            gpu_description="GH200 (96 GB)",
            description="1x GH200 (96 GB)",
            specs={"gpus": 1},
            regions=(),
        ),
    )
    assert [(o.model, o.region, o.stock) for o in found] == [
        ("H100 SXM", "us-east-1", "some"),
        ("H100 SXM", "europe-central-1", "some"),
        ("GH200 96GB", None, "none"),
    ]


def test_an_older_answer_tells_the_number_of_gpus_by_the_name_alone():
    entry = make_instance_type()
    del entry["instance_type"]["specs"]["gpus"]
    (offer,) = offers(entry)
    assert (offer.gpu_count, offer.price_usd_per_gpu_hour) == (8, 2.99)


@pytest.mark.parametrize(
    ("name", "gpus", "words"),
    [
        ("gpu_h100_sxm5", None, "neither its specifications nor its name"),
        ("gpu_8x_h100_sxm5", 4, "say 4 GPUs and its name 8"),
    ],
)
def test_where_the_number_of_gpus_is_not_certain_there_is_an_alarm_and_no_price(name, gpus, words):
    rows = collected(make_instance_type(name, specs={"gpus": gpus}), make_instance_type("gpu_8x_x"))
    (offer,) = [r for r in rows if isinstance(r, Offer)]
    assert offer.offer_id == "gpu_8x_x"
    (alarm,) = [r for r in rows if isinstance(r, MarketAlarm)]
    assert (alarm.kind, alarm.value) == ("layout", 23.92)
    assert words in alarm.detail


def test_an_instance_without_a_gpu_is_none_of_the_market():
    cpu = make_instance_type(
        "cpu_4x_general", gpu_description="N/A", specs={"gpus": 0}, price_cents_per_hour=20
    )
    assert len(collected(cpu, make_instance_type())) == 1


@pytest.mark.parametrize(
    ("name", "description", "model"),
    [
        ("gpu_1x_a10", "A10 (24 GB PCIe)", "A10"),
        ("gpu_1x_a100_sxm4", "A100 (40 GB SXM4)", "A100 SXM 40GB"),
        ("gpu_8x_a100_80gb_sxm4", "A100 (80 GB SXM4)", "A100 SXM 80GB"),
        ("gpu_1x_h100_pcie", "H100 (80 GB PCIe)", "H100 PCIe"),
        ("gpu_8x_b200_sxm6", "B200 (180 GB SXM6)", "B200"),
        ("gpu_1x_rtx6000", "RTX 6000 (24 GB)", None),
    ],
)
def test_models_are_read_from_the_description_or_the_name(name, description, model):
    count = int(name[4])
    entry = make_instance_type(
        name,
        gpu_description=description,
        description=f"{count}x {description}",
        specs={"gpus": count},
        price_cents_per_hour=count * 200,
    )
    if model is None:
        with pytest.raises(EmptyAnswer, match="its name isn't known"):
            collected(entry)
    else:
        assert offers(entry)[0].model == model


@pytest.mark.parametrize("cents", [0, -5])
def test_a_price_of_nothing_is_an_alarm(cents):
    rows = collected(
        make_instance_type(price_cents_per_hour=cents),
        make_instance_type("gpu_8x_h100_sxm5b"),
    )
    assert [r.kind for r in rows if isinstance(r, MarketAlarm)] == ["zero_price"]


@pytest.mark.parametrize(
    ("payload", "error", "words"),
    [
        ({"data": {}}, EmptyAnswer, "without one instance type"),
        ({"data": []}, Malformed, "no object keyed by instance type"),
        ({}, Malformed, "data"),
        ({"data": {"gpu_8x_h100_sxm5": {}}}, Malformed, "gpu_8x_h100_sxm5"),
        ({"data": {"other": make_instance_type()}}, Malformed, "instance_type.name"),
        (
            {"data": {"gpu_8x_h100_sxm5": make_instance_type(price_cents_per_hour="2392")}},
            Malformed,
            "price_cents_per_hour",
        ),
        (
            {"data": {"gpu_8x_h100_sxm5": make_instance_type(price_cents_per_hour=23.92)}},
            Malformed,
            "price_cents_per_hour",
        ),
        (
            {
                "data": {
                    "gpu_8x_h100_sxm5": make_instance_type()
                    | {"regions_with_capacity_available": None}
                }
            },
            Malformed,
            "regions_with_capacity_available",
        ),
        ({"error": {"code": "global/unknown", "message": "?"}}, Refused, "global/unknown"),
    ],
)
def test_a_changed_answer_is_told_by_its_field(payload, error, words):
    with pytest.raises(error, match=words):
        list(make_lambda(Market().always(LAMBDA, said(payload))).collect(NOON))


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, "global/invalid-api-key", Refused),
        (403, "global/account-inactive", Refused),
        (400, "global/invalid-parameters", Refused),
        (429, "global/rate-limit-exceeded", RateLimited),
        (500, "global/internal-error", Unreachable),
    ],
)
def test_a_refusal_is_understood_by_its_code_and_the_key_is_never_told(status, code, error):
    body = {"error": {"code": code, "message": "m", "suggestion": "do s"}}
    market = Market().always(LAMBDA, said(body, status))
    with pytest.raises(error, match=code) as caught:
        list(make_lambda(market).collect(NOON))
    assert KEY not in str(caught.value)


def test_a_rate_limit_says_for_how_long():
    body = {"error": {"code": "global/rate-limit", "message": "m"}}
    market = Market().next(LAMBDA, said(body, 429), said(body, 429, Retry_After="7"))
    collector = make_lambda(market)
    for seconds in (5.0, 7.0):
        with pytest.raises(RateLimited) as caught:
            list(collector.collect(NOON))
        assert caught.value.retry_after_seconds == seconds


def test_it_asks_once_a_second_at_most_with_its_key():
    market, turns = Market(), Turns()
    collector = make_lambda(market, turns=turns)
    for _ in range(3):
        list(collector.collect(NOON))
    assert turns.pauses == [SPACING_SECONDS] * 2
    assert {v.headers["authorization"] for v in market.visits} == {f"Bearer {KEY}"}


def test_without_a_key_it_says_what_to_set():
    absent = LambdaCollector.from_env({})
    assert isinstance(absent, Absent)
    assert "PILOTHOUSE_LAMBDA_CLOUD_API_KEY" in absent.reason
    there = LambdaCollector.from_env({"PILOTHOUSE_LAMBDA_CLOUD_API_KEY": "k"})
    assert isinstance(there, LambdaCollector)


def test_a_contact_that_cannot_stand_in_a_header_is_named():
    environ = {"PILOTHOUSE_LAMBDA_CLOUD_API_KEY": "k", "PILOTHOUSE_MARKET_CONTACT": "a\nb"}
    with pytest.raises(InvalidSetting, match="PILOTHOUSE_MARKET_CONTACT"):
        LambdaCollector.from_env(environ)
