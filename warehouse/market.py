"""What is asked of the market: prices now and over time, who has stock, alarms, sources.

Prices are compared between comparable offers alone: on demand, in a data centre (anybody's hosts
stand apart), of one model, in stock. Each provider weighs the same in a percentile, however many
offers it has, so that a marketplace's thousand hosts don't drown a list of ten prices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from warehouse.gpu_names import models_like
from warehouse.paging import Page, Position, page_of
from warehouse.store import Store

FRESH = timedelta(hours=24)
"""A price that was not seen again for so long is none of today's."""
AVAILABILITY_WINDOW = timedelta(days=30)

STANDING = """
    SELECT * FROM offers WHERE measured_at > $since AND measured_at <= $now
        AND price_usd_per_gpu_hour > 0 AND NOT starts_with(coalesce(source, ''), 'import:')
    QUALIFY measured_at >= max(measured_at) OVER (PARTITION BY provider, source, gpu_model)
            - INTERVAL 90 SECONDS
        AND (coalesce(source, '') <> 'pricing_pages' OR measured_at > coalesce(
            max(measured_at) FILTER (coalesce(source, '') <> 'pricing_pages')
                OVER (PARTITION BY provider), to_timestamp(0)))
"""
"""The offers of each source's newest answer on a GPU: nothing imported, and a pricing page only
where the provider's interface hasn't answered since."""
COMPARABLE = """
    price_kind = 'on_demand' AND coalesce(tier, 'secure') = 'secure'
        AND coalesce(stock, '') <> 'none' AND price_usd_per_gpu_hour > 0 AND model IS NOT NULL
"""
_QUANTILES = {"p10": 0.10, "p25": 0.25, "median": 0.50, "p75": 0.75, "p90": 0.90}


def _percentiles(source: str, keys: str) -> str:
    """Percentiles of comparable offers within `keys`, each provider weighing the same.

    A percentile that falls between two prices is their mean, as a median is.
    """
    columns = ", ".join(
        f"(min(price) FILTER (below >= {q} - 1e-9) + min(price) FILTER (below > {q} + 1e-9)) / 2 "
        f"AS {name}_usd_per_gpu_hour"
        for name, q in _QUANTILES.items()
    )
    return f"""
        WITH comparable AS ({source}), weighed AS (
            SELECT *, 1.0 / count(*) OVER (PARTITION BY {keys}, provider) AS weight FROM comparable
        ), ranked AS (
            SELECT *, sum(weight) OVER (PARTITION BY {keys} ORDER BY price, provider
                    ROWS UNBOUNDED PRECEDING)
                / sum(weight) OVER (PARTITION BY {keys}) AS below
            FROM weighed
        )
        SELECT {keys}, {columns}, min(price) AS lowest_usd_per_gpu_hour,
            max(price) AS highest_usd_per_gpu_hour, count(DISTINCT provider) AS providers,
            count(*) AS offers, max(measured_at) AS measured_at
        FROM ranked GROUP BY {keys} ORDER BY {keys}
    """


_PRICES_NOW = _percentiles(
    f"""SELECT model, provider, price_usd_per_gpu_hour AS price, measured_at
        FROM ({STANDING}) WHERE {COMPARABLE}""",
    "model",
)
_PRICE_OF = _percentiles(
    f"""SELECT 1 AS one, provider, price_usd_per_gpu_hour AS price, measured_at
        FROM ({STANDING}) WHERE {COMPARABLE} AND list_contains($models::VARCHAR[], model)""",
    "one",
)
_HISTORY = _percentiles(
    f"""SELECT time_bucket(to_seconds($step), measured_at) AS "at", provider,
            price_usd_per_gpu_hour AS price, measured_at
        FROM offers WHERE measured_at >= $since AND measured_at < $until
            AND list_contains($models::VARCHAR[], model) AND {COMPARABLE}""",
    '"at"',
)
_PROVIDERS_NOW = f"""
    SELECT provider, model, price_kind, tier, commitment_months,
        median(price_usd_per_gpu_hour) AS price_usd_per_gpu_hour,
        min(price_usd_per_gpu_hour) AS lowest_usd_per_gpu_hour, count(*) AS offers,
        count(DISTINCT region) AS regions,
        CASE WHEN count(stock) = 0 THEN NULL
            ELSE ['none', 'some', 'low', 'medium', 'high'][max(
                list_position(['none', 'some', 'low', 'medium', 'high'], stock))] END AS stock,
        bool_and(is_list_price) AS is_list_price, bool_and(is_complete_search) AS is_complete,
        max(measured_at) AS measured_at, epoch($now) - epoch(max(measured_at)) AS age_seconds
    FROM ({STANDING})
    WHERE model IS NOT NULL AND ($model IS NULL OR model = $model)
    GROUP BY provider, model, price_kind, tier, commitment_months
    ORDER BY model, price_kind, commitment_months, 6, provider, tier
"""
_PROVIDER_HISTORY = f"""
    SELECT time_bucket(to_seconds($step), measured_at) AS "at", provider,
        median(price_usd_per_gpu_hour) AS price_usd_per_gpu_hour, count(*) AS offers
    FROM offers WHERE measured_at >= $since AND measured_at < $until
        AND list_contains($models::VARCHAR[], model) AND {COMPARABLE}
    GROUP BY ALL ORDER BY 1, 2
"""
IN_STOCK = """
    CASE WHEN stock = 'none' THEN 0.0 WHEN stock IS NOT NULL THEN 1.0
        WHEN is_list_price THEN NULL ELSE 1.0 END
"""
"""Of an offer: a list price whose stock nobody told says nothing; a machine on offer is there."""
AVAILABILITY = f"""
    SELECT provider, model, avg(in_stock) AS availability_ratio, count(in_stock) AS polls,
        min(polled_at) AS from_at, max(polled_at) AS to_at
    FROM (
        SELECT provider, model, time_bucket(INTERVAL 5 MINUTES, measured_at) AS polled_at,
            max({IN_STOCK}) AS in_stock
        FROM offers WHERE measured_at > $since AND measured_at <= $now AND model IS NOT NULL
            AND price_kind = 'on_demand'
        GROUP BY ALL
    ) GROUP BY provider, model ORDER BY provider, model
"""
_OFFERS = """
    SELECT * FROM offers WHERE measured_at >= $since AND measured_at <= $until
        AND ($provider IS NULL OR provider = $provider) AND ($model IS NULL OR model = $model)
        AND ($price_kind IS NULL OR price_kind = $price_kind) AND ($tier IS NULL OR tier = $tier)
        AND ($is_known IS NULL OR (model IS NOT NULL) = $is_known)
"""
_ALARMS = """
    SELECT * FROM market_alarms WHERE raised_at > $since AND raised_at <= $now
        AND ($provider IS NULL OR provider = $provider) AND ($kind IS NULL OR kind = $kind)
"""
_SOURCES = """
    WITH seen AS (
        SELECT coalesce(source, provider) AS source, provider, count(*) AS offers,
            count(DISTINCT model) AS models, count(*) FILTER (model IS NULL) AS unknown_names,
            max(measured_at) AS measured_at
        FROM offers WHERE measured_at > $since AND measured_at <= $now
        GROUP BY ALL
    ), runs AS (
        SELECT collector, outcome, detail, started_at FROM collector_runs
        WHERE started_at > $since AND started_at <= $now
        QUALIFY row_number() OVER (PARTITION BY collector ORDER BY started_at DESC) = 1
    )
    SELECT seen.*, epoch($now) - epoch(measured_at) AS age_seconds,
        runs.outcome AS last_outcome, runs.detail AS last_detail, runs.started_at AS last_run_at
    FROM seen LEFT JOIN runs ON runs.collector = seen.source
    ORDER BY seen.source, seen.provider
"""


@dataclass(frozen=True)
class MarketPrice:
    """The market's price of a GPU model, from comparable offers that are fresh."""

    models: tuple[str, ...]
    """Our names of the models that were compared."""
    median_usd_per_gpu_hour: float
    p10_usd_per_gpu_hour: float
    p25_usd_per_gpu_hour: float
    p75_usd_per_gpu_hour: float
    p90_usd_per_gpu_hour: float
    lowest_usd_per_gpu_hour: float
    highest_usd_per_gpu_hour: float
    providers: int
    """Providers that have such offers."""
    offers: int
    """Their offers."""
    measured_at: datetime
    """The newest of them."""


def models_of(gpu_model: str, memory_bytes: int | None = None) -> tuple[str, ...]:
    """The offers' models that a GPU of ours is compared with: several where our name leaves open
    which form it is, itself where the name is not known."""
    return models_like(gpu_model, memory_bytes=memory_bytes) or (gpu_model,)


def market_price(
    store: Store,
    gpu_model: str,
    now: datetime,
    *,
    memory_bytes: int | None = None,
    fresh: timedelta = FRESH,
) -> MarketPrice | None:
    """The market's price of a GPU model at an instant; None where nobody fresh offers it."""
    models = models_of(gpu_model, memory_bytes)
    found = store.query(_PRICE_OF, models=models, since=now - fresh, now=now)
    for row in found.drop("one").iter_rows(named=True):
        return MarketPrice(models=models, **_whole(row))
    return None


def prices_now(store: Store, now: datetime, *, fresh: timedelta = FRESH) -> pl.DataFrame:
    """A row a model: percentiles of comparable offers in USD per GPU-hour, by how many."""
    return _filled(store.query(_PRICES_NOW, since=now - fresh, now=now))


def provider_prices(
    store: Store, now: datetime, *, model: str | None = None, fresh: timedelta = FRESH
) -> pl.DataFrame:
    """A row a provider, model, kind, tier and commitment: the median price, stock and its age."""
    return store.query(_PROVIDERS_NOW, since=now - fresh, now=now, model=model)


def price_history(
    store: Store,
    models: Sequence[str],
    *,
    since: datetime,
    until: datetime,
    step_seconds: int,
) -> pl.DataFrame:
    """Percentiles of comparable offers over time, a row a step (`at`) in which there were any."""
    found = store.query(_HISTORY, models=models, since=since, until=until, step=step_seconds)
    return _filled(found)


def provider_history(
    store: Store,
    models: Sequence[str],
    *,
    since: datetime,
    until: datetime,
    step_seconds: int,
) -> pl.DataFrame:
    """Each provider's median price of comparable offers over time: `at`, `provider`, price."""
    return store.query(
        _PROVIDER_HISTORY, models=models, since=since, until=until, step=step_seconds
    )


def offers(
    store: Store,
    *,
    since: datetime,
    until: datetime,
    provider: str | None = None,
    model: str | None = None,
    price_kind: str | None = None,
    tier: str | None = None,
    is_known: bool | None = None,
    offset: Position = 0,
    limit: int = 100,
) -> Page:
    """One page of the offers of a span as they came, the newest first.

    `is_known` asks for those whose GPU has a name of ours, or for those that a person should see.
    """
    return page_of(
        store,
        _OFFERS,
        order="measured_at DESC, provider, offer_id, price_kind, tier, region, "
        "price_usd_per_gpu_hour",
        offset=offset,
        limit=limit,
        since=since,
        until=until,
        provider=provider,
        model=model,
        price_kind=price_kind,
        tier=tier,
        is_known=is_known,
    )


def availability(
    store: Store, now: datetime, *, window: timedelta = AVAILABILITY_WINDOW
) -> pl.DataFrame:
    """Share of polls in which each provider had a model in stock; null where nobody tells."""
    return store.query(AVAILABILITY, since=now - window, now=now)


def alarms(
    store: Store,
    now: datetime,
    *,
    since: datetime,
    provider: str | None = None,
    kind: str | None = None,
    offset: Position = 0,
    limit: int = 50,
) -> Page:
    """What sources brought that must not enter as a price, the newest first."""
    return page_of(
        store,
        _ALARMS,
        order="raised_at DESC, provider, source, kind, detail",
        offset=offset,
        limit=limit,
        since=since,
        now=now,
        provider=provider,
        kind=kind,
    )


def sources(store: Store, now: datetime, *, window: timedelta = timedelta(days=7)) -> pl.DataFrame:
    """A row a source and provider: what it brought, how old that is, how its last run ended."""
    return store.query(_SOURCES, since=now - window, now=now)


def _whole(row: dict[str, Any]) -> dict[str, Any]:
    return _filled(pl.DataFrame([row])).row(0, named=True)


def _filled(frame: pl.DataFrame) -> pl.DataFrame:
    """The topmost percentile has nothing above it: then it is the highest price."""
    highest = pl.col("highest_usd_per_gpu_hour")
    return frame.with_columns(
        pl.coalesce(f"{name}_usd_per_gpu_hour", highest) for name in _QUANTILES
    )
