"""Pricing pages: read by roles and attributes, where an interface is silent and to check it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import httpx
import pytest

from collectors.base import (
    Absent,
    EmptyAnswer,
    Malformed,
    Note,
    NotHere,
    RateLimited,
    Refused,
    Unreachable,
)
from collectors.market_prices import MarketMemory
from collectors.market_settings import MarketSettings
from collectors.market_web import Hands
from collectors.pricing_browser import Page, chromium, why_no_browser
from collectors.pricing_layouts import PagePrice, lambda_prices, runpod_prices, vast_prices
from collectors.pricing_pages import LAYOUTS, PricingPagesCollector, PricingPagesSettings
from collectors.runner import Runner
from tests.collectors.contract import CollectorContract, FixedClock
from tests.collectors.market_server import (
    FORBIDDING_ROBOTS,
    GRAPHQL,
    LAMBDA_PAGE,
    NOON,
    ROBOTS,
    RUNPOD_PAGE,
    VAST_PAGE,
    Market,
    Reply,
    Turns,
    gpu_types,
    lambda_tab,
    make_gpu_type,
    page,
    runpod_row,
    serving,
    vast_rows,
)
from tests.collectors.test_runpod import make_runpod
from warehouse.records import MarketAlarm, Offer

SITE = "http://pages.test"


class FetchingReader:
    """Reads pages that need no script, as they are sent."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def read(self, url: str, ready: str) -> Page:
        try:
            response = self._client.get(url)
        except httpx.RequestError as error:
            raise Unreachable(f"{url} can't be read ({error})") from error
        return Page(response.status_code, response.text)


def make_pages(market: Market, *, memory=None, site=SITE, open_browser=None, **settings):
    @contextmanager
    def reading() -> Iterator[FetchingReader]:
        with httpx.Client(transport=market.transport) as client:
            yield FetchingReader(client)

    turns = Turns()
    given = {
        "pages": ("runpod",),
        "runpod_url": f"{site}{RUNPOD_PAGE}",
        "lambda_url": f"{site}{LAMBDA_PAGE}",
        "vast_url": f"{site}{VAST_PAGE}",
    } | settings
    transport = market.transport if site == SITE else None
    return PricingPagesCollector(
        PricingPagesSettings(**given),
        Hands(transport, turns.seconds, turns.pause),
        MarketSettings(),
        memory or MarketMemory(),
        open_browser or reading,
    )


class TestPricingPagesContract(CollectorContract):
    collector_class = PricingPagesCollector

    def make_working(self):
        return make_pages(Market(), pages=tuple(LAYOUTS))

    def make_failing(self):
        return make_pages(Market().always(RUNPOD_PAGE, page("", 503)))


def collected(market: Market, **settings):
    return list(make_pages(market, **settings).collect(NOON))


def of(kind, rows):
    return [row for row in rows if isinstance(row, kind)]


# -- where the interface is silent ------------------------------------------------------


def test_without_an_interface_a_pages_prices_are_offers_of_their_own_source():
    rows = of(Offer, collected(Market(), pages=tuple(LAYOUTS)))
    assert [(o.provider, o.tier, o.gpu_count, o.price_usd_per_gpu_hour, o.model) for o in rows] == [
        ("runpod", "secure", 1, 2.99, "H100 SXM"),
        ("runpod", "community", 1, 2.69, "H100 SXM"),
        ("lambda", None, 8, 2.99, "H100 SXM"),
        ("vast", None, 1, 2.1, "H100 SXM"),
    ]
    assert {(o.source, o.quoted_unit, o.is_list_price) for o in rows} == {
        ("pricing_pages", "gpu", True)
    }


@pytest.mark.parametrize(("hours", "is_stored"), [(1, False), (3, True)])
def test_a_page_stands_in_only_where_the_interface_has_been_silent_for_long(hours, is_stored):
    memory = MarketMemory()
    list(make_runpod(Market(), memory=memory).collect(NOON - timedelta(hours=hours)))
    rows = collected(Market(), memory=memory)
    assert bool(of(Offer, rows)) is is_stored
    assert bool(of(Note, rows)) is not is_stored


def test_a_page_that_differs_from_the_interface_is_an_alarm_and_replaces_nothing():
    memory = MarketMemory()
    list(make_runpod(Market(), memory=memory).collect(NOON))
    market = Market().always(RUNPOD_PAGE, page(runpod_row("H100 SXM", "3.99", "2.69")))
    rows = collected(market, memory=memory)
    (alarm,) = of(MarketAlarm, rows)
    assert (alarm.kind, alarm.value, alarm.expected) == ("cross_check", 3.99, 2.99)
    assert not of(Offer, rows)
    jumped = Market().always(GRAPHQL, gpu_types(make_gpu_type(securePrice=9.0)))
    again = list(make_runpod(jumped, memory=memory).collect(NOON))
    assert [a.expected for a in of(MarketAlarm, again)] == [2.99]  # not the page's


def test_a_page_out_of_all_bounds_is_no_fallback_either():
    memory = MarketMemory()
    list(make_runpod(Market(), memory=memory).collect(NOON - timedelta(days=1)))
    market = Market().always(RUNPOD_PAGE, page(runpod_row("H100 SXM", "0", "26.9")))
    with pytest.raises(EmptyAnswer, match="no price that may enter among 2"):
        collected(market, memory=memory)


# -- layouts ----------------------------------------------------------------------------


def test_runpods_prices_are_in_attributes_and_never_the_zero_that_is_seen():
    html = runpod_row("H100 SXM", "2.99", "2.69") + runpod_row("B200", "5.98", "")
    assert [
        (p.name, p.tier, p.usd_per_gpu_hour) for p in runpod_prices(f"<body>{html}</body>")
    ] == [
        ("H100 SXM", "secure", 2.99),
        ("H100 SXM", "community", 2.69),
        ("B200", "secure", 5.98),
    ]
    later = html.replace("-cloud-price", "")
    assert len(runpod_prices(f"<body>{later}</body>")) == 3


def test_runpods_products_are_read_where_there_are_no_attributes():
    html = """<script type="application/ld+json">[{"@type": "Product",
        "name": "A100 PCIe GPU on Runpod", "offers": [
        {"name": "Secure Cloud", "price": 1.64, "priceCurrency": "USD"},
        {"name": "Serverless", "price": "2.72", "priceCurrency": "USD"}]},
        {"@type": "FAQPage"}]</script>"""
    assert runpod_prices(html) == [PagePrice("A100 PCIe", 1.64, "secure")]
    with pytest.raises(Malformed, match="currency"):
        runpod_prices(html.replace("USD", "EUR"))
    with pytest.raises(Malformed, match="no JSON"):
        runpod_prices('<script type="application/ld+json">{</script>')


def test_lambdas_tabs_tell_the_number_of_gpus_and_hidden_classes_dont_matter():
    html = lambda_tab(8, "NVIDIA H100 SXM", "$2.99", 0) + lambda_tab(1, "NVIDIA GH200", "$1.49", 1)
    assert [(p.name, p.gpu_count, p.usd_per_gpu_hour) for p in lambda_prices(html)] == [
        ("NVIDIA H100 SXM", 8, 2.99),
        ("NVIDIA GH200", 1, 1.49),
    ]
    by_controls = html.replace('aria-labelledby="tab-0"', 'id="p"').replace(
        'id="tab-0"', 'id="tab-0" aria-controls="p"'
    )
    assert lambda_prices(by_controls) == lambda_prices(html)


def test_a_price_that_lambda_doesnt_tell_is_none_and_one_of_another_unit_is_refused():
    both = lambda_tab(8, "NVIDIA B200", "Contact sales", 0) + lambda_tab(1, "A10", "$0.75/hr", 1)
    assert [p.name for p in lambda_prices(both)] == ["A10"]
    with pytest.raises(Malformed, match="labels"):
        lambda_prices(both.replace("PRICE/GPU/HR*", "PRICE/MONTH"))
    for text in ("€2.99", "$2.99 - $3.99", "from $2.99", "$299/mo"):
        with pytest.raises(Malformed, match="the price of NVIDIA H100 SXM"):
            lambda_prices(lambda_tab(8, "NVIDIA H100 SXM", text))


def test_of_vasts_table_the_column_of_vast_is_read():
    html = vast_rows(("H100 SXM", "$2.40"), ("B200", "-"), ("A100 PCIE", "$0.90/hr"))
    assert vast_prices(html) == [PagePrice("H100 SXM", 2.4), PagePrice("A100 PCIE", 0.9)]
    with pytest.raises(EmptyAnswer):
        vast_prices(html.replace("<th>Vast</th>", "<th>Us</th>"))


@pytest.mark.parametrize("read", [runpod_prices, lambda_prices, vast_prices])
@pytest.mark.parametrize("html", ["", "<html><body><h1>Pricing</h1></body></html>", "\x00<<<>"])
def test_a_page_without_a_price_has_changed_and_is_never_no_prices(read, html):
    with pytest.raises(EmptyAnswer, match="layout has changed"):
        read(html)


def test_a_page_nested_without_end_is_refused():
    with pytest.raises(Malformed, match="nested"):
        runpod_prices("<div>" * 100_000)


# -- faults -----------------------------------------------------------------------------


def test_one_page_that_changed_is_an_alarm_and_the_others_are_read():
    market = Market().always(LAMBDA_PAGE, page("<html></html>"))
    rows = collected(market, pages=("lambda", "vast"))
    assert [o.provider for o in of(Offer, rows)] == ["vast"]
    assert [(a.kind, a.provider) for a in of(MarketAlarm, rows)] == [("layout", "lambda")]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (page("slow down", 429), RateLimited),
        (page("oops", 500), Unreachable),
        (page("no", 403), Refused),
        (page("gone", 404), Refused),
        (Reply(hangs_up=True), Unreachable),
    ],
)
def test_a_page_that_isnt_given_fails_the_run(reply, error):
    with pytest.raises(error):
        collected(Market().always(RUNPOD_PAGE, reply))


@pytest.mark.parametrize(
    ("robots", "is_read"),
    [
        (Reply(b"", 404), True),
        (Reply(b"User-agent: *\nAllow: /\n"), True),
        (Reply(b"User-agent: Pilothouse\nDisallow: /runpod\n"), False),
        (Reply(b"User-agent: otherbot\nDisallow: /\n"), True),
        (Reply(FORBIDDING_ROBOTS), False),
        (Reply(b"", 403), False),
    ],
)
def test_robots_txt_is_obeyed(robots, is_read):
    market = Market().always(ROBOTS, robots)
    if is_read:
        assert of(Offer, collected(market))
    else:
        with pytest.raises(NotHere, match=r"robots.txt of http://pages.test"):
            collected(market)
    assert bool(market.asked(RUNPOD_PAGE)) is is_read
    assert market.asked(ROBOTS)[0].headers["user-agent"].startswith("Pilothouse/")


def test_robots_txt_that_cannot_be_asked_for_forbids():
    market = Market().always(ROBOTS, Reply(b"", 503))
    with pytest.raises(Unreachable):
        collected(market)
    assert not market.asked(RUNPOD_PAGE)


# -- the browser ------------------------------------------------------------------------


def test_where_there_is_no_browser_it_says_so_and_nothing_breaks(store):
    nowhere = "/nowhere/chromium"
    absent = PricingPagesCollector.from_env({"PILOTHOUSE_PRICING_PAGES_BROWSER": nowhere})
    assert isinstance(absent, Absent)
    assert "pricing pages aren't read" in absent.reason
    opening = partial(chromium, nowhere, "Pilothouse/0", 5.0)
    run = Runner(store, FixedClock(NOON)).run(make_pages(Market(), open_browser=opening))
    assert (run.outcome, run.row_count) == ("skipped", 0)


@pytest.fixture
def browser():
    if why := why_no_browser(""):
        pytest.skip(why)
    return partial(chromium, "", "Pilothouse/0 (+test)", 20.0)


def test_a_browser_reads_prices_that_a_script_fills_in_and_says_who_asks(browser):
    late = (
        f"<script>setTimeout(() => {{document.body.innerHTML = {vast_rows(('B200', '$4'))!r}}}, 50)"
    )
    market = Market().always(VAST_PAGE, page(f"<html><body></body>{late}</script></html>"))
    with serving(market) as site:
        collector = make_pages(market, site=site, pages=("vast",), open_browser=browser)
        (offer,) = collector.collect(NOON)
    assert (offer.model, offer.price_usd_per_gpu_hour) == ("B200", 4.0)
    assert market.asked(VAST_PAGE)[0].headers["user-agent"] == "Pilothouse/0 (+test)"


def test_the_reconstructed_pages_are_read_as_they_are_meant(shared, browser):
    folder = shared / "market" / "pages"
    if not folder.is_dir():
        pytest.skip("the reconstructed pages are not beside the project")
    market = Market()
    for path, name in (
        (RUNPOD_PAGE, "runpod_attributes"),
        (LAMBDA_PAGE, "lambda_tabs"),
        (VAST_PAGE, "vast_table"),
    ):
        market.always(path, page((folder / f"{name}.fixture.html").read_text()))
    with serving(market) as site:
        collector = make_pages(market, site=site, pages=tuple(LAYOUTS), open_browser=browser)
        rows = list(collector.collect(NOON))
    assert [(o.model, o.tier, o.gpu_count, o.price_usd_per_gpu_hour) for o in of(Offer, rows)] == [
        ("H100 SXM", "secure", 1, 3.99),
        ("H100 SXM", "community", 1, 2.69),
        ("B200", "secure", 1, 6.79),
        ("B200", "community", 1, 5.98),
        ("H100 SXM", None, 8, 3.99),
        ("H100 SXM", None, 1, 4.29),
        ("H100 SXM", None, 1, 2.4),
    ]
    products = (folder / "runpod_jsonld.fixture.html").read_text()
    assert [p.usd_per_gpu_hour for p in runpod_prices(products)] == [3.99, 2.69]
