"""Answers that nobody documented: a good one with any one value turned into something odd.

Whatever it is, either the answer is refused in the house's words, or every price in it is one of
those that were good, and the warehouse can take every row.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from collectors.base import CollectorError
from collectors.harvest import harvest_of
from collectors.market_web import Hands
from collectors.vast import VastCollector, VastSettings
from tests.collectors.market_server import (
    CATALOGUE,
    GRAPHQL,
    LAMBDA,
    NOON,
    VAST,
    Market,
    Reply,
    Turns,
    gpu_types,
    instance_types,
    make_catalogue_gpu,
    make_gpu_type,
    make_instance_type,
    make_vast_offer,
)
from tests.collectors.test_lambda_cloud import make_lambda
from tests.collectors.test_runpod import make_runpod
from warehouse.records import Offer
from warehouse.schema import TABLES

GONE = object()
ODD = (
    None, 0, -1, True, 10**30, 1e-9, float("nan"), 1e400, "", "2.99", "\ud800", "\x00", [], {},
    [1], {"a": 1}, GONE,
)  # fmt: skip
GOOD_USD = {2.99, 2.69, 1.75, 1.5, 2.6, 2.5, 2.4, 3.29, 2.1, 1.0}

ANSWERS: dict[str, Any] = {
    GRAPHQL: json.loads(gpu_types(make_gpu_type()).body),
    CATALOGUE: {"gpus": [make_catalogue_gpu()]},
    LAMBDA: json.loads(
        instance_types(
            make_instance_type(),
            make_instance_type("gpu_1x_h100_sxm5", specs={"gpus": 1}, price_cents_per_hour=329),
        ).body
    ),
    VAST: {"offers": [make_vast_offer(), make_vast_offer(id=2)]},
}


def make_vast(market: Market) -> VastCollector:
    turns = Turns()
    hands = Hands(market.transport, turns.seconds, turns.pause)
    return VastCollector(VastSettings(models=("H100 SXM",)), hands)


MAKERS: dict[str, Callable[[Market], Any]] = {
    GRAPHQL: make_runpod,
    CATALOGUE: lambda market: make_runpod(market, api_key="k"),
    LAMBDA: make_lambda,
    VAST: make_vast,
}


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = node.items() if isinstance(node, dict) else ()
    if isinstance(node, list):
        items = enumerate(node)
    for key, child in items:
        yield from places(child, (*path, key))


def turned(payload: Any, path: tuple[Any, ...], odd: Any) -> Any:
    if not path:
        return None if odd is GONE else odd
    changed = copy.deepcopy(payload)
    node = changed
    for key in path[:-1]:
        node = node[key]
    if odd is GONE:
        del node[path[-1]]
    else:
        node[path[-1]] = odd
    return changed


@pytest.mark.parametrize("path", ANSWERS)
def test_no_odd_value_makes_a_wrong_price_or_a_row_that_cannot_be_stored(path):
    refused = taken = 0
    for place in places(ANSWERS[path]):
        for odd in ODD:
            body = json.dumps(turned(ANSWERS[path], place, odd)).encode()
            collector = MAKERS[path](Market().always(path, Reply(body)))
            try:
                harvest = harvest_of(collector.collect(NOON))
            except CollectorError:
                refused += 1
                continue
            taken += 1
            offers = [row for row in harvest.records if isinstance(row, Offer)]
            found = {round(offer.price_usd_per_gpu_hour, 6) for offer in offers}
            assert found <= GOOD_USD, (place, odd)
            assert all(is_storable(row) for row in harvest.records), (place, odd)
    assert refused > 50
    assert taken > 50


def is_storable(row: Any) -> bool:
    """Whether its values fit their columns; the warehouse itself is too slow for so many."""
    for column in TABLES[type(row)].columns:
        value = getattr(row, column.name)
        if isinstance(value, str):
            value.encode()
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            return False
        low = column.bounds.low if column.bounds else None
        if low is not None and value is not None and not value >= low:
            return False
    return True
