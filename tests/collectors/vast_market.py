"""Vast.ai's market for tests: answers of the documented shape, and a collector asking for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from collectors.market_prices import MarketMemory
from collectors.market_settings import MarketSettings
from collectors.market_web import Hands
from collectors.vast import VastCollector, VastSettings
from tests.collectors.market_server import NOON, Turns
from tests.collectors.market_server import make_vast_offer as make_offer
from warehouse.records import Offer

__all__ = ["NOON", "Turns", "answers", "make_collector", "make_offer", "offers", "serves"]

Handler = Callable[[httpx.Request], httpx.Response]


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
        found = [offer for offer in offers if offer["gpu_name"] == wanted]
        return httpx.Response(200, content=json.dumps({"offers": found}))

    return handle


def make_collector(handler: Handler, *, turns: Turns | None = None, **settings) -> VastCollector:
    turns = turns or Turns()
    hands = Hands(httpx.MockTransport(handler), turns.seconds, turns.pause)
    memory = settings.pop("memory", None) or MarketMemory()
    given = VastSettings(**{"models": ("H100 SXM",), **settings})
    return VastCollector(given, hands, MarketSettings(), memory)


def offers(collector: VastCollector) -> list[Offer]:
    return [row for row in collector.collect(NOON) if isinstance(row, Offer)]
