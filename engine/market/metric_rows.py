"""Figures of the metrics as rows, each with the way to what is behind it.

Of every metric of the catalogue there is a row: from offers, from documentation, or unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import polars as pl

from engine.market.facts import Fact, Facts
from warehouse.metric_catalogue import METRICS, US
from warehouse.records import MarketMetric

PRICE_UNIT = "USD per GPU-hour"


@dataclass(frozen=True)
class Figure:
    """A metric's value and what leads to the rows behind it."""

    value: float | None
    rows: int = 0
    """Rows that went in."""
    more: dict[str, Any] = field(default_factory=dict)
    """What else explains it."""


Figures = dict[tuple[str, str], Figure]
"""By provider and metric."""


@dataclass(frozen=True)
class Seen:
    """What offers tell."""

    figures: Figures
    prices: pl.DataFrame
    """The headline prices: `provider`, `model`, `price` in USD per GPU-hour, `offers`."""
    spans: dict[str, tuple[datetime, datetime]]
    """Of each provider the first and last answer that went in."""


def rows_of(found: Seen, now: datetime, known: Facts) -> list[MarketMetric]:
    """Every metric of the catalogue for every competitor, known or not, and prices by model."""
    providers = set(found.spans) | {fact.provider for fact in known.facts}
    rows = [
        row
        for provider in sorted(providers - {US})
        for row in _provider_rows(provider, found, known.of(provider), now)
    ]
    return rows + [_price_row(found, price, now) for price in found.prices.iter_rows(named=True)]


def _provider_rows(
    provider: str, found: Seen, said: dict[str, Fact], now: datetime
) -> Iterator[MarketMetric]:
    for name in METRICS:
        figure = found.figures.get((provider, name))
        fact = said.get(name)
        if figure is not None and (figure.value is not None or fact is None):
            yield collected_row(provider, name, figure, found.spans.get(provider), now)
        elif fact is not None:
            yield documented_row(fact, now)
        else:
            yield unknown_row(provider, name, now)


def collected_row(
    provider: str,
    name: str,
    figure: Figure,
    span: tuple[datetime, datetime] | None,
    now: datetime,
) -> MarketMetric:
    """A metric from offers, with the way to them."""
    return MarketMetric(
        provider=provider,
        metric=name,
        value=figure.value,
        unit=METRICS[name].unit,
        basis="collected",
        evidence={"rows": figure.rows, **_way(provider, span, now), **figure.more},
        measured_at=now,
    )


def documented_row(fact: Fact, now: datetime) -> MarketMetric:
    """A metric from documentation, with its source and date."""
    return MarketMetric(
        provider=fact.provider,
        metric=fact.metric,
        value=fact.value,
        words=fact.words,
        unit=METRICS[fact.metric].unit,
        basis="documented",
        evidence={"source": fact.source, "date": fact.read_on, "is_claim": fact.is_claim},
        measured_at=now,
    )


def unknown_row(provider: str, name: str, now: datetime) -> MarketMetric:
    """A metric of which nothing is known."""
    return MarketMetric(
        provider=provider,
        metric=name,
        unit=METRICS[name].unit,
        basis="own" if provider == US else "collected",
        evidence={"rows": 0, "why_unknown": "no row and no documentation tells"},
        measured_at=now,
    )


def _price_row(found: Seen, price: dict[str, Any], now: datetime) -> MarketMetric:
    provider, model = price["provider"], price["model"]
    way = _way(provider, found.spans.get(provider), now, model)
    return MarketMetric(
        provider=provider,
        metric="on_demand_price",
        model=model,
        value=price["price"],
        unit=PRICE_UNIT,
        basis="collected",
        evidence={"rows": price["offers"], **way},
        measured_at=now,
    )


def _way(
    provider: str, span: tuple[datetime, datetime] | None, now: datetime, model: str | None = None
) -> dict[str, Any]:
    """What leads to the offers behind a figure: the span and the API's address of them."""
    first, last = span or (now, now)
    asked = {"provider": provider, "since": first.isoformat(), "until": last.isoformat()}
    if model is not None:
        asked["model"] = model
    link = f"/api/v1/market/offers?{urlencode(asked, quote_via=quote)}"
    return {"from": first.isoformat(), "to": last.isoformat(), "link": link}
