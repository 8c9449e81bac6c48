"""The hyperscalers' catalogues: fetched when they change, read to the last line or not at all."""

from __future__ import annotations

import io
import zipfile
from datetime import timedelta

import pytest

from collectors.base import EmptyAnswer, InvalidSetting, Malformed, Note, Unreachable
from collectors.hyperscaler_catalogues import MOST_UNPACKED_BYTES
from collectors.hyperscalers import HyperscalersCollector, HyperscalersSettings
from collectors.market_prices import MarketMemory
from collectors.market_web import Hands
from tests.collectors.contract import CollectorContract
from tests.collectors.market_server import (
    COLUMNS,
    NOON,
    Market,
    Reply,
    Turns,
    make_instance,
    version_path,
    zip_path,
    zipped,
)
from warehouse.records import MarketAlarm, Offer

VERSION_PATH, ZIP_PATH = version_path("aws"), zip_path("aws")


def make_hyperscalers(market: Market, *, memory=None, **settings):
    turns = Turns()
    return HyperscalersCollector(
        HyperscalersSettings(**{"providers": ("aws",), **settings}),
        Hands(market.transport, turns.seconds, turns.pause),
        memory=memory or MarketMemory(),
    )


class TestHyperscalersContract(CollectorContract):
    collector_class = HyperscalersCollector

    def make_working(self):
        return make_hyperscalers(Market())

    def make_failing(self):
        return make_hyperscalers(Market().always(VERSION_PATH, Reply(status=503)))


def holding(*lines: str, **options) -> Market:
    return Market().always(ZIP_PATH, zipped("aws.csv", *lines, **options))


def collected(market: Market, **settings):
    return list(make_hyperscalers(market, **settings).collect(NOON))


def offers(market: Market, **settings) -> list[Offer]:
    return [row for row in collected(market, **settings) if isinstance(row, Offer)]


def test_the_price_of_the_whole_instance_becomes_one_of_a_gpu():
    (offer,) = offers(Market())
    assert (offer.provider, offer.source, offer.offer_id) == ("aws", "hyperscalers", "p5.48xlarge")
    assert (offer.price_usd_per_gpu_hour, offer.instance_price_usd_per_hour) == (6.88, 55.04)
    assert (offer.quoted_unit, offer.gpu_count, offer.price_kind) == ("instance", 8, "on_demand")
    assert (offer.region, offer.vcpu_count, offer.memory_bytes) == ("us-east-1", 192, 2**41)
    assert (offer.gpu_memory_bytes, offer.disk_bytes) == (80 * 2**30, None)
    assert offer.is_list_price


def test_spot_is_told_from_on_demand_and_instances_without_a_gpu_are_left_out():
    found = offers(
        holding(
            make_instance(),
            make_instance(spot="True", price="30.0"),
            make_instance(instance_name="m7.large", gpu_count="0", gpu_name="", price="0.1"),
            make_instance(instance_name="v5p-8", gpu_name="v5p", gpu_vendor="google"),
        )
    )
    assert [(o.price_kind, o.price_usd_per_gpu_hour) for o in found] == [
        ("on_demand", 6.88),
        ("spot", 3.75),
    ]


@pytest.mark.parametrize(
    ("provider", "instance", "name", "memory", "model"),
    [
        ("aws", "p4d.24xlarge", "A100", 40, "A100 SXM 40GB"),
        ("aws", "p4de.24xlarge", "A100", 80, "A100 SXM 80GB"),
        ("aws", "p5en.48xlarge", "H200", 141, "H200 SXM"),
        ("aws", "g6e.xlarge", "L40S", 48, "L40S"),
        ("gcp", "a3-highgpu-8g", "H100", 80, "H100 SXM"),
        ("azure", "Standard_ND96isr_H100_v5", "H100", 80, "H100 SXM"),
        ("azure", "Standard_ND96asr_v4", "A100", 40, "A100 SXM 40GB"),
        ("azure", "Standard_NC24ads_A100_v4", "A100", 80, "A100 PCIe 80GB"),
        ("azure", "Standard_NC40ads_H100_v5", "H100NVL", 94, "H100 NVL"),
        ("oci", "BM.GPU.H100.8", "H100", 80, "H100 SXM"),
        ("nebius", "gpu-h100-sxm 8gpu-128vcpu-1600gb", "H100", 80, "H100 SXM"),
        ("aws", "p99.large", "A100", 80, None),
    ],
)
def test_the_form_is_that_of_the_family_of_instances_and_else_unknown(
    provider, instance, name, memory, model
):
    line = make_instance(instance_name=instance, gpu_name=name, gpu_memory=memory)
    market = (
        Market()
        .always(version_path(provider), Reply(b"7"))
        .always(zip_path(provider, "7"), zipped(f"{provider}.csv", line))
    )
    if model:
        assert offers(market, providers=(provider,))[0].model == model
    else:
        with pytest.raises(EmptyAnswer, match="its name isn't known; it may be"):
            collected(market, providers=(provider,))


def test_only_the_families_asked_for_are_kept():
    lines = [
        make_instance(),
        make_instance(instance_name="g4dn.xlarge", gpu_name="T4", gpu_memory=16),
    ]
    assert {o.model for o in offers(holding(*lines))} == {"H100 SXM"}
    assert {o.model for o in offers(holding(*lines), models=("all",))} == {"H100 SXM", "T4"}
    with pytest.raises(EmptyAnswer, match="PILOTHOUSE_HYPERSCALERS_MODELS"):
        collected(holding(*lines), models=("B200",))


def test_a_catalogue_is_fetched_only_when_its_version_changed_and_restated_twice_a_day():
    market = Market()
    collector = make_hyperscalers(market)
    counts, fetched = [], []
    for hours in (0, 6, 12, 18):
        rows = list(collector.collect(NOON + timedelta(hours=hours)))
        counts.append(sum(isinstance(row, Offer) for row in rows))
        fetched.append(len(market.asked(ZIP_PATH)))
    assert (counts, fetched) == ([1, 0, 1, 0], [1, 1, 1, 1])
    assert rows == [Note("the catalogue of aws hasn't changed")]
    market.always(VERSION_PATH, Reply(b"20261103"))
    market.always(zip_path("aws", "20261103"), zipped("aws.csv", make_instance(price="56.0")))
    (offer,) = collector.collect(NOON + timedelta(hours=24))
    assert offer.price_usd_per_gpu_hour == 7.0
    assert offer.measured_at - NOON - timedelta(hours=24) < timedelta(minutes=1)


def test_one_catalogue_that_cannot_be_read_stops_none_of_the_others():
    market = Market()
    offer, note = collected(market, providers=("azure", "aws"))
    assert (offer.provider, note.text[:6]) == ("aws", "azure:")


def test_prices_that_are_none_or_jump_are_alarms():
    memory = MarketMemory()
    lines = [make_instance(), make_instance(location="eu-west-1")]
    assert len(offers(holding(*lines), memory=memory)) == 2
    worse = [make_instance(price="0.0"), make_instance(location="eu-west-1", price="550.4")]
    good = make_instance(location="us-west-2")
    rows = collected(holding(*worse, good), memory=memory)
    assert [r.region for r in rows if isinstance(r, Offer)] == ["us-west-2"]
    assert [r.kind for r in rows if isinstance(r, MarketAlarm)] == ["zero_price", "jump"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (make_instance(price="free"), "line 3, price"),
        (make_instance(price=""), "line 3, price"),
        (make_instance(price="1_000"), "line 3, price"),
        (make_instance(gpu_count="half"), "line 3, gpu_count"),
        (make_instance(gpu_count="0.5"), "line 3, gpu_count"),
        (make_instance(gpu_count="-1"), "line 3, gpu_count"),
        (make_instance(spot="maybe"), "line 3, spot"),
        (make_instance(location=""), "line 3, location"),
        ('"p5.48xlarge","us-east-1"', "line 3.*2 values for 14 columns"),
        ('"p5"x', "line 3"),
        ('"never closed', "line"),
    ],
)
def test_a_line_that_cannot_be_read_refuses_the_whole_catalogue(line, words):
    with pytest.raises(Malformed, match=words):
        collected(holding(make_instance(), line))


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(b"<html>"), "can't be unpacked"),
        (Reply(b""), "can't be unpacked"),
        (zipped("gcp.csv", make_instance()), "has no aws.csv"),
        (zipped("aws.csv", header="instance_name,price"), "line 1.*lacks location"),
        (zipped("aws.csv", header=f"{COLUMNS},spot"), "twice"),
        (Reply(zipped("aws.csv", make_instance()).body[:-40]), "can't be unpacked"),
    ],
)
def test_an_archive_that_is_none_is_refused(reply, words):
    with pytest.raises(Malformed, match=words):
        collected(Market().always(ZIP_PATH, reply))


def test_a_table_of_headings_alone_is_empty_and_not_no_prices():
    with pytest.raises(EmptyAnswer):
        collected(holding())


@pytest.mark.parametrize("lies", [False, True])
def test_an_archive_that_unpacks_to_very_much_is_never_unpacked(lies):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("aws.csv", COLUMNS + "\n" + " " * (4 * 2**20))
    content = bytearray(packed.getvalue())
    if lies:  # about its size, in the directory at the end
        at = content.rindex(b"PK\x01\x02") + 24
        content[at : at + 4] = (1000).to_bytes(4, "little")
    with pytest.raises(Malformed, match=r"would unpack to|can't be unpacked"):
        collected(Market().always(ZIP_PATH, Reply(bytes(content))))
    assert MOST_UNPACKED_BYTES > 4 * 2**20  # so it is the ratio that tells


@pytest.mark.parametrize("text", [b"", b"<html>", b"../../etc", b"a b", b"\xff\xfe", b"9" * 65])
def test_a_version_that_is_none_is_refused(text):
    with pytest.raises(Malformed, match="version"):
        collected(Market().always(VERSION_PATH, Reply(text)))


def test_a_fetch_that_breaks_off_is_made_again_by_the_next_try():
    market = Market().next(ZIP_PATH, Reply(b"PK", hangs_up=True))
    collector = make_hyperscalers(market)
    with pytest.raises(Unreachable):
        list(collector.collect(NOON))
    assert len(list(collector.collect(NOON))) == 1


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PILOTHOUSE_HYPERSCALERS_PROVIDERS", "aws,../x"),
        ("PILOTHOUSE_HYPERSCALERS_EVERY_SECONDS", "60"),
        ("PILOTHOUSE_HYPERSCALERS_MODELS", " , "),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(variable, value):
    with pytest.raises(InvalidSetting, match=f"{variable} can't be used"):
        HyperscalersCollector.from_env({variable: value})
