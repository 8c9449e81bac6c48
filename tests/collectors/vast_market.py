"""Vast.ai's market for tests: answers of the documented shape, and a collector asking for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx

from collectors.vast import Hands, VastCollector, VastSettings
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
