"""The whole market by its schedule: every source over a socket, and each fault of the notes once.

Each round is a day of the console's clock. In every round each source meets its next fault; what
is in the warehouse afterwards is what may be there, and in the end all is well again.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import zip_longest

import httpx
from apscheduler.events import EVENT_JOB_EXECUTED

from collectors.hyperscalers import HyperscalersCollector, HyperscalersSettings
from collectors.lambda_cloud import LambdaCollector, LambdaSettings
from collectors.market_prices import MarketMemory
from collectors.market_settings import MarketSettings
from collectors.market_web import Hands
from collectors.pricing_pages import PricingPagesCollector, PricingPagesSettings
from collectors.runner import Pace, Runner
from collectors.runpod import RunpodCollector, RunpodSettings
from collectors.schedule import catch_up, new_scheduler, schedule, stop
from collectors.vast import VastCollector, VastSettings
from tests.collectors.contract import FixedClock
from tests.collectors.market_server import (
    FORBIDDING_ROBOTS,
    GRAPHQL,
    LAMBDA,
    NOON,
    ROBOTS,
    RUNPOD_PAGE,
    VAST,
    Market,
    Reply,
    Turns,
    gpu_types,
    instance_types,
    make_gpu_type,
    make_instance,
    make_instance_type,
    make_vast_offer,
    page,
    runpod_row,
    said,
    serving,
    version_path,
    zip_path,
    zipped,
)
from tests.collectors.test_pricing_pages import FetchingReader
from warehouse.offers import comparable_offers, source_faults
from warehouse.records import CollectorRun

DAY = timedelta(days=1)
ZERO = ("zero_price",)
OK, FAILED, SKIPPED = "succeeded", "failed", "skipped"
VERSION, NEXT_ZIP = version_path("aws"), zip_path("aws", "2")
NO_GPUS = make_instance_type("gpu_h100_sxm5", specs={"gpus": None})


@dataclass(frozen=True)
class Fault:
    """What a source says once, and what is to be on record afterwards."""

    says: tuple[tuple[str, Reply], ...]
    outcome: str
    words: str = ""
    """in the run's detail"""
    offers: int = 0
    alarms: tuple[str, ...] = ()


def fault(path: str, reply: Reply, outcome: str, words: str = "", **expected) -> Fault:
    return Fault(((path, reply),), outcome, words, **expected)


def gpu(**changes) -> Reply:
    return gpu_types(make_gpu_type(**changes))


FAULTS: dict[str, list[Fault]] = {
    "runpod": [
        fault(GRAPHQL, said({"errors": [{"message": "boom"}], "data": None}), FAILED, "boom"),
        fault(GRAPHQL, gpu(lowestPrice={"stockStatus": None}), OK, offers=7),
        fault(GRAPHQL, gpu(securePrice=0), OK, offers=7, alarms=ZERO),
        fault(GRAPHQL, gpu(securePrice=29.9), OK, offers=7, alarms=("jump",)),
        fault(GRAPHQL, Reply(b"", 429, {"Retry-After": "30"}), FAILED, "too often"),
        fault(GRAPHQL, gpu(id="X", displayName="X"), FAILED, "its name isn't known"),
        fault(GRAPHQL, gpu_types(), FAILED, "without one GPU type"),
        fault(GRAPHQL, Reply(b"<html>"), FAILED, "is not JSON"),
        fault(GRAPHQL, Reply(b"{}" * 9, hangs_up=True), FAILED, "didn't answer"),
    ],
    "lambda_cloud": [
        fault(LAMBDA, said({"error": {"code": "global/invalid-api-key"}}, 401), FAILED, "API_KEY"),
        fault(LAMBDA, instance_types(make_instance_type(regions=())), OK, offers=1),
        fault(LAMBDA, instance_types(NO_GPUS), FAILED, "neither its specifications"),
        fault(LAMBDA, said({"error": {"code": "global/rate-limit"}}, 429), FAILED, "too often"),
        fault(LAMBDA, said({"data": []}), FAILED, "no object"),
    ],
    "vast": [
        fault(VAST, said({"offers": {"1": make_vast_offer()}}), OK, offers=2),
        fault(VAST, Reply(b"Too many requests", 429), FAILED, "too often"),
        fault(VAST, said({"error": "search_quota_exceeded"}, 429), FAILED, "of today are spent"),
        fault(VAST, Reply(b"not found", 404), FAILED, "bad key"),
        fault(VAST, said({"offers": [make_vast_offer(id=i) for i in (1, 2)]}), OK, "cut", offers=4),
        fault(VAST, said({"offers": []}), FAILED, "has no offer"),
        fault(VAST, said({"offers": [make_vast_offer(dph_total=0)]}), OK, offers=1, alarms=ZERO),
    ],
    "hyperscalers": [
        fault(VERSION, Reply(b"", 503), FAILED, "503"),
        Fault(((VERSION, Reply(b"2")), (NEXT_ZIP, Reply(b"PK"))), FAILED, "can't be unpacked"),
        Fault(
            ((VERSION, Reply(b"2")), (NEXT_ZIP, zipped("aws.csv", make_instance(price="?")))),
            FAILED,
            "line 2, price",
        ),
        fault(VERSION, Reply(b"<html>"), FAILED, "version"),
        Fault(
            ((VERSION, Reply(b"2")), (NEXT_ZIP, zipped("aws.csv", make_instance(price="0")))),
            FAILED,
            "a price of 0 is none",
        ),
    ],
    "pricing_pages": [
        fault(ROBOTS, Reply(FORBIDDING_ROBOTS), SKIPPED, "robots.txt"),
        fault(RUNPOD_PAGE, page("<html></html>"), FAILED, "layout has changed"),
        fault(RUNPOD_PAGE, page("", 429), FAILED, "too often"),
        fault(RUNPOD_PAGE, page(runpod_row("H100 SXM", "0", "2.7")), OK, offers=1, alarms=ZERO),
    ],
}  # fmt: skip


class Console:
    """The schedule and its sources; a round runs each of them once."""

    def __init__(self, store, site: str) -> None:
        self.store, self.clock, self.seconds = store, FixedClock(NOON), Turns()
        self.runner = Runner(
            store, self.clock, pace=Pace(most_attempts=1), seconds=self.seconds.seconds
        )
        self.sources = sources(site)
        self.scheduler = new_scheduler()
        self._ran = threading.Semaphore(0)
        self.scheduler.add_listener(lambda event: self._ran.release(), EVENT_JOB_EXECUTED)
        schedule(self.scheduler, self.runner, self.sources)

    def round(self) -> dict[str, CollectorRun]:
        """A day later, every source once; the run of each."""
        self.clock.instant += DAY
        self.seconds.now += DAY.total_seconds()
        if self.scheduler.running:
            catch_up(self.scheduler)
        else:
            self.scheduler.start()
        assert all(self._ran.acquire(timeout=30) for _ in self.sources)
        runs = self.store.rows(
            CollectorRun,
            "SELECT * FROM collector_runs WHERE started_at = $at",
            at=self.clock.instant,
        )
        return {run.collector: run for run in runs}

    def count(self, table: str, source: str) -> list[str]:
        """The rows of this round, by what they say."""
        column = "kind" if table == "market_alarms" else "price_kind"
        instant = "raised_at" if table == "market_alarms" else "measured_at"
        sql = f"SELECT {column} AS w FROM {table} WHERE source = $s AND {instant} >= $at ORDER BY 1"
        return self.store.query(sql, s=source, at=self.clock.instant)["w"].to_list()


def sources(site: str):
    market = MarketSettings()

    def hands() -> Hands:
        turns = Turns()
        return Hands(None, turns.seconds, turns.pause)

    @contextmanager
    def reading():
        with httpx.Client() as client:
            yield FetchingReader(client)

    memory = MarketMemory()
    vast = VastSettings(url=site, models=("H100 SXM",), offer_limit=2)
    pages = PricingPagesSettings(pages=("runpod",), runpod_url=f"{site}{RUNPOD_PAGE}")
    return [
        RunpodCollector(RunpodSettings(url=site), hands(), market, memory),
        LambdaCollector(LambdaSettings(url=site, api_key="k"), hands(), market, memory),
        VastCollector(vast, hands(), market, memory),
        HyperscalersCollector(
            HyperscalersSettings(url=site, providers=("aws",)), hands(), market, memory
        ),
        PricingPagesCollector(pages, hands(), market, MarketMemory(), reading),
    ]


def test_every_fault_is_on_record_no_bad_price_is_in_and_all_is_well_again_afterwards(store):
    market = Market()
    with serving(market) as site:
        console = Console(store, site)
        try:
            good = {
                "runpod": 8,
                "lambda_cloud": 1,
                "vast": 2,
                "hyperscalers": 1,
                "pricing_pages": 2,
            }
            assert {n: (r.outcome, r.row_count) for n, r in console.round().items()} == {
                name: (OK, rows) for name, rows in good.items()
            }
            for faults in zip_longest(*FAULTS.values()):
                met = dict(zip(FAULTS, faults, strict=True))
                for path, reply in (s for f in faults if f for s in f.says):
                    market.next(path, reply)
                runs = console.round()
                for source, wanted in met.items():
                    check(console, source, runs[source], wanted)
            assert {n: (r.outcome, r.row_count) for n, r in console.round().items()} == {
                name: (OK, rows) for name, rows in good.items()
            }
        finally:
            stop(console.scheduler, console.runner)
        now = console.clock.instant + timedelta(minutes=1)
        assert source_faults(store, now).is_empty()
        prices = comparable_offers(store, now, price_kind="on_demand").rows
        assert set(prices["price_usd_per_gpu_hour"]) == {2.1, 2.69, 2.99, 6.88}
        assert all(v.headers["user-agent"].startswith("Pilothouse/") for v in market.asked(GRAPHQL))


def check(console: Console, source: str, run: CollectorRun, wanted: Fault | None) -> None:
    if wanted is None:
        assert run.outcome == OK, (source, run.detail)
        return
    offers = console.count("offers", source)
    alarms = console.count("market_alarms", source)
    found = (run.outcome, len(offers), tuple(alarms))
    assert found == (wanted.outcome, wanted.offers, wanted.alarms), (source, wanted, run.detail)
    assert wanted.words in (run.detail or ""), (source, run.detail)
