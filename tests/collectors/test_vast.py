"""Vast.ai's market, from answers of the documented shape; once over a real socket."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

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
from collectors.runner import Runner
from collectors.vast import SPACING_SECONDS, Hands, VastCollector, VastSettings
from tests.collectors.contract import CollectorContract, FixedClock
from warehouse.records import Offer

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)

Handler = Callable[[httpx.Request], httpx.Response]


def make_offer(**changes: Any) -> dict[str, Any]:
    return {
        "id": 4711,
        "gpu_name": "H100 SXM",
        "num_gpus": 8,
        "gpu_ram": 81559,
        "dph_total": 16.8,
        "dph_base": 16.0,
        "min_bid": 8.0,
        "storage_cost": 0.15,
        "inet_up_cost": 0.02,
        "inet_down_cost": 0.01,
        "inet_up": 5000.0,
        "inet_down": 8000.0,
        "reliability2": 0.998,
        "geolocation": "Ashburn, US",
        "verification": "verified",
        "cpu_cores": 192,
        "cpu_cores_effective": 96.0,
        "cpu_ram": 1_000_000,
        "disk_space": 3000.0,
        "hosting_type": 1,
        "duration": 1e6,
    } | changes


def answers(*bodies: Any) -> Handler:
    """Answers in turn; a body that isn't a response is sent as JSON."""
    left = iter(bodies)

    def handle(request: httpx.Request) -> httpx.Response:
        body = next(left)
        return body if isinstance(body, httpx.Response) else httpx.Response(200, json=body)

    return handle


def serves(*offers: dict[str, Any]) -> Handler:
    """A market that filters by name, as the real one does."""

    def handle(request: httpx.Request) -> httpx.Response:
        wanted = json.loads(request.content)["gpu_name"]["eq"]
        return httpx.Response(
            200, json={"offers": [offer for offer in offers if offer["gpu_name"] == wanted]}
        )

    return handle


class Turns:
    """Seconds and pauses turned by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def seconds(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def make_collector(handler: Handler, *, turns: Turns | None = None, **settings) -> VastCollector:
    turns = turns or Turns()
    hands = Hands(httpx.MockTransport(handler), turns.seconds, turns.pause)
    return VastCollector(VastSettings(**{"models": ("H100 SXM",), **settings}), hands)


def offers(collector: VastCollector) -> list[Offer]:
    return [row for row in collector.collect(NOON) if isinstance(row, Offer)]


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
    assert [o.price_usd_per_gpu_hour for o in as_list] == [2.1, 1.0]
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
        return serves(make_offer(), make_offer(gpu_name="RTX 4090"))(request)

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
        return serves(*(make_offer(gpu_name=f"GPU {i}") for i in range(8)))(request)

    models = tuple(f"GPU {i}" for i in range(8))
    collector = make_collector(handle, turns=turns, models=models)
    for _ in range(3):
        assert len(offers(collector)) == 16
    assert len(asked_at) == 24
    assert all(later - first > 60.0 for first, later in zip(asked_at, asked_at[10:], strict=False))
    assert turns.pauses == pytest.approx([SPACING_SECONDS] * 23)


def test_rows_of_a_later_search_are_measured_when_it_was_answered():
    handler = serves(make_offer(), make_offer(gpu_name="H200"))
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
    ok = [{"offers": [make_offer(gpu_name=name)]} for name in ("A", "B", "C")]
    turns = Turns()
    collector = make_collector(
        answers(ok[0], ok[1], httpx.Response(503), ok[2], *ok), turns=turns, models=("A", "B", "C")
    )
    with pytest.raises(Unreachable):
        offers(collector)
    assert {row.gpu_model for row in offers(collector)} == {"A", "B", "C"}
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
        ({"offers": [make_offer(dph_total=-1.0)]}, "offers[0].dph_total"),
        ({"offers": [make_offer(num_gpus=0)]}, "offers[0].num_gpus"),
        ({"offers": [make_offer(reliability2=99.8)]}, "offers[0].reliability2"),
        ({"offers": [make_offer(gpu_name="RTX 3060")]}, "offers[0].gpu_name"),
        (
            httpx.Response(
                200, content=json.dumps({"offers": [make_offer(dph_total=float("nan"))]})
            ),
            "offers[0].dph_total",
        ),
    ],
)
def test_a_malformed_answer_names_its_field_and_nothing_of_the_run_is_stored(store, body, field):
    collector = make_collector(
        answers({"offers": [make_offer(gpu_name="A")]}, body), models=("A", "H100 SXM")
    )
    run = Runner(store, FixedClock(NOON)).run(collector)
    assert (run.outcome, run.attempt_count) == ("failed", 1)
    assert f"can't be read: {field}: " in run.detail
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
    assert len(rows) == 3
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


@contextmanager
def loopback_market(*bodies: tuple[int, str, str]) -> Iterator[str]:
    left = iter(bodies)

    class Market(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            status, kind, body = next(left)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Market) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_over_the_network_a_broken_gateway_is_tried_again_and_the_offers_are_stored(store):
    turns = Turns()
    good = json.dumps({"offers": [make_offer()]})
    bad, fine = (502, "text/html", "<h1>Bad gateway</h1>"), (200, "application/json", good)
    with loopback_market(bad, fine) as url:
        settings = VastSettings(models=("H100 SXM",), url=url)
        collector = VastCollector(settings, Hands(None, turns.seconds, turns.pause))
        run = Runner(store, FixedClock(NOON), wait=lambda seconds: False).run(collector)
    assert (run.outcome, run.row_count, run.attempt_count) == ("succeeded", 2, 2)
    assert store.query("SELECT count(*) AS n FROM offers").item() == 2
