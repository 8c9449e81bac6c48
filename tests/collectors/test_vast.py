"""Vast.ai's market, from answers of the documented shape: its rows and its searches."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import httpx
import pytest

from collectors.base import EmptyAnswer, Note, Refused, Unreachable, settings_from
from collectors.market_prices import MarketMemory
from collectors.market_web import Hands
from collectors.vast import SPACING_SECONDS, VastCollector, VastSettings
from tests.collectors.contract import CollectorContract
from tests.collectors.vast_market import (
    NOON,
    Turns,
    answers,
    make_collector,
    make_offer,
    offers,
    serves,
)
from warehouse.records import Offer


class TestVastContract(CollectorContract):
    collector_class = VastCollector

    def make_working(self):
        return make_collector(serves(make_offer(), make_offer(id=4712, min_bid=None)))

    def make_failing(self):
        return make_collector(answers(httpx.Response(503), httpx.Response(503)))


# -- rows -------------------------------------------------------------------------------


def test_the_price_of_the_whole_offer_becomes_one_of_a_gpu_on_demand_and_as_a_bid():
    on_demand, bid = offers(make_collector(serves(make_offer())))
    assert on_demand == Offer(
        provider="vast",
        offer_id="4711",
        gpu_model="H100 SXM",
        gpu_count=8,
        price_usd_per_gpu_hour=2.1,
        instance_price_usd_per_hour=16.8,
        quoted_unit="instance",
        price_kind="on_demand",
        region="Ashburn, US",
        gpu_memory_bytes=81559 * 2**20,
        vcpu_count=96.0,
        memory_bytes=500_000 * 2**20,
        disk_bytes=3_000_000_000_000,
        storage_usd_per_gigabyte_month=0.15,
        ingress_usd_per_gigabyte=0.01,
        egress_usd_per_gigabyte=0.02,
        download_bits_per_second=8e9,
        upload_bits_per_second=5e9,
        reliability_ratio=0.998,
        is_verified=True,
        is_complete_search=True,
        model="H100 SXM",
        tier="secure",
        stock="some",
        is_list_price=False,
        max_gpu_count=8,
        performance_score=1650.0,
        source="vast",
        payload_digest=on_demand.payload_digest,
        measured_at=NOON,
        stored_at=NOON,
    )
    assert (bid.price_kind, bid.price_usd_per_gpu_hour) == ("spot_bid", 1.0)
    assert (bid.instance_price_usd_per_hour, bid.quoted_unit) == (8.0, "instance")


def test_the_digest_is_of_the_answer_as_it_came():
    body = json.dumps({"offers": [make_offer()]}).encode()
    row, _ = offers(make_collector(answers(httpx.Response(200, content=body))))
    assert row.payload_digest == hashlib.sha256(body).hexdigest()


def test_offers_may_be_a_list_or_an_object():
    as_list = offers(make_collector(answers({"offers": [make_offer()]})))
    as_object = offers(make_collector(answers({"offers": {"4711": make_offer()}})))
    as_one = offers(make_collector(answers({"offers": make_offer()})))
    assert [o.price_usd_per_gpu_hour for o in as_list] == [2.1, 1.0]
    assert as_one[0].offer_id == as_object[0].offer_id == "4711"
    assert [o.price_usd_per_gpu_hour for o in as_object] == [2.1, 1.0]


def test_what_a_host_leaves_open_is_null():
    needed = {key: make_offer()[key] for key in ("id", "gpu_name", "num_gpus", "dph_total")}
    nothing_more = make_offer() | dict.fromkeys(set(make_offer()) - set(needed))
    for offer in (needed, nothing_more):
        (row,) = offers(make_collector(serves(offer)))
        assert row.price_usd_per_gpu_hour == 2.1
        assert (row.memory_bytes, row.region, row.is_verified, row.reliability_ratio) == (None,) * 4


def test_memory_is_unknown_where_the_hosts_cores_are():
    (row, _) = offers(make_collector(serves(make_offer(cpu_cores=None))))
    assert (row.memory_bytes, row.vcpu_count) == (None, 96.0)


def test_an_answer_out_of_a_cache_is_as_old_as_it_says():
    response = httpx.Response(200, json={"offers": [make_offer()]}, headers={"Age": "45"})
    row, _ = offers(make_collector(answers(response)))
    assert row.measured_at == NOON - timedelta(seconds=45)


# -- searches ---------------------------------------------------------------------------


def test_one_search_a_model_is_made_with_spaces_in_its_name():
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return serves(make_offer(), make_offer(gpu_name="RTX 4090", gpu_ram=24564))(request)

    list(make_collector(handle, models=("H100 SXM", "RTX 4090"), offer_limit=50).collect(NOON))
    assert [(r.method, str(r.url)) for r in seen] == [
        ("POST", "https://console.vast.ai/api/v0/bundles/")
    ] * 2
    assert [json.loads(r.content) for r in seen] == [
        {
            "gpu_name": {"eq": model},
            "rentable": {"eq": True},
            "type": "on-demand",
            "order": [["dph_total", "asc"]],
            "limit": 50,
        }
        for model in ("H100 SXM", "RTX 4090")
    ]
    assert "authorization" not in seen[0].headers


def test_no_more_than_ten_searches_are_made_in_a_minute_over_runs_too():
    turns, asked_at = Turns(), []

    def handle(request: httpx.Request) -> httpx.Response:
        asked_at.append(turns.now)
        return serves(*(make_offer(gpu_name=name, gpu_ram=None) for name in models))(request)

    models = ("B200", "H200", "H100 SXM", "H100 NVL", "H100 PCIE", "L40S", "L4", "RTX 4090")
    collector = make_collector(handle, turns=turns, models=models)
    for _ in range(3):
        assert len(offers(collector)) == 16
    assert len(asked_at) == 24
    assert all(later - first > 60.0 for first, later in zip(asked_at, asked_at[10:], strict=False))
    assert turns.pauses == pytest.approx([SPACING_SECONDS] * 23)


def test_rows_of_a_later_search_are_measured_when_it_was_answered():
    handler = serves(make_offer(), make_offer(gpu_name="H200", gpu_ram=143771))
    rows = offers(make_collector(handler, models=("H100 SXM", "H200")))
    assert {row.gpu_model: row.measured_at for row in rows} == {
        "H100 SXM": NOON,
        "H200": NOON + timedelta(seconds=SPACING_SECONDS),
    }


def test_a_search_that_came_back_at_its_limit_is_incomplete_and_said_so():
    collector = make_collector(serves(make_offer(id=1), make_offer(id=2)), offer_limit=2)
    rows = list(collector.collect(NOON))
    assert [row.is_complete_search for row in rows[:-1]] == [False] * 4
    assert rows[-1] == Note("the search for H100 SXM was cut off at 2 offers")


def test_a_try_after_a_failed_one_makes_only_the_searches_that_lack():
    names = ("H200", "L40S", "L4")
    ok = [{"offers": [make_offer(gpu_name=name, gpu_ram=None)]} for name in names]
    turns = Turns()
    collector = make_collector(
        answers(ok[0], ok[1], httpx.Response(503), ok[2], *ok), turns=turns, models=names
    )
    with pytest.raises(Unreachable):
        offers(collector)
    assert {row.gpu_model for row in offers(collector)} == set(names)
    assert len(turns.pauses) == 3
    assert len(offers(collector)) == 6
    assert len(turns.pauses) == 6


def test_a_key_is_sent_and_never_told():
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(404, text="bad key")

    environ = {"PILOTHOUSE_VAST_API_KEY": "s3cret", "PILOTHOUSE_VAST_MODELS": "H100 SXM"}
    settings = settings_from(environ, "vast", VastSettings)
    collector = VastCollector(settings, Hands(httpx.MockTransport(handle)))
    with pytest.raises(Refused, match="PILOTHOUSE_VAST_API_KEY") as caught:
        offers(collector)
    assert seen == ["Bearer s3cret"]
    assert "s3cret" not in f"{caught.value} {settings!r}"


# -- what may enter ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "tier"),
    [
        ({}, "secure"),
        ({"verification": "unverified"}, "community"),
        ({"verification": "deverified"}, "community"),
        ({"hosting_type": 0}, "community"),
        ({"hosting_type": None}, None),
        ({"hosting_type": 1, "verification": None}, None),
    ],
)
def test_a_verified_data_centre_is_told_from_anybodys_host(changes, tier):
    assert offers(make_collector(serves(make_offer(**changes))))[0].tier == tier


def test_a_model_is_ours_by_name_and_memory_and_a_modified_card_is_none():
    a100 = [
        make_offer(id=i, gpu_name="A100 SXM4", gpu_ram=ram) for i, ram in ((1, 40960), (2, 81920))
    ]
    rows = offers(make_collector(serves(*a100), models=("A100 SXM4",)))
    assert [row.model for row in rows[::2]] == ["A100 SXM 40GB", "A100 SXM 80GB"]
    card = {"gpu_name": "RTX 4090", "min_bid": None}
    cards = [make_offer(id=1, gpu_ram=24564, **card), make_offer(id=2, gpu_ram=49140, **card)]
    offer, alarm = make_collector(serves(*cards), models=("RTX 4090",)).collect(NOON)
    assert (offer.offer_id, alarm.kind) == ("1", "unknown_model")


@pytest.mark.parametrize("usd", [0, -1.0, float("nan"), float("inf")])
def test_a_price_that_is_none_is_an_alarm_and_the_other_offers_stay(usd):
    bad = [make_offer(id=i, dph_total=usd) for i in (2, 3)]
    good, bids, alarm = [], [], None
    for row in make_collector(serves(make_offer(id=1), *bad)).collect(NOON):
        if not isinstance(row, Offer):
            alarm = row
        else:
            (good if row.price_kind == "on_demand" else bids).append(row.offer_id)
    assert (good, bids, alarm.kind) == (["1"], ["1", "2", "3"], "zero_price")
    assert "and 1 more" in alarm.detail


def test_one_dear_host_is_no_jump_but_the_middle_of_all_may_not():
    memory = MarketMemory()
    hosts = [make_offer(id=i, min_bid=None) for i in (1, 2, 3)]
    assert len(offers(make_collector(serves(*hosts), memory=memory))) == 3
    dear = make_offer(id=3, min_bid=None, dph_total=80.0)
    assert len(offers(make_collector(serves(*hosts[:2], dear), memory=memory))) == 3
    all_dear = [make_offer(id=i, min_bid=None, dph_total=80.0) for i in (1, 2, 3)]
    with pytest.raises(EmptyAnswer, match="beyond 3 times the last good price"):
        offers(make_collector(serves(*all_dear), memory=memory))
    assert len(offers(make_collector(serves(*hosts), memory=memory))) == 3
