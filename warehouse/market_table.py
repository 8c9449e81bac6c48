"""What the Market page lists: each provider's prices by kind and tier, and what may be chosen.

Prices are in USD per GPU-hour. Imported history stands apart: `imported_series` says what there is.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from warehouse.market import STANDING
from warehouse.offers import WINDOW
from warehouse.paging import Page, Position, page_of
from warehouse.store import Store

SORTS = ("model", "provider", "lowest_usd_per_gpu_hour", "price_usd_per_gpu_hour", "offers",
         "age_seconds")  # fmt: skip
"""By what the table may be sorted."""
_TAIL = "model, price_kind, commitment_months, tier, price_usd_per_gpu_hour, provider, source"

_TABLE = f"""
    WITH runs AS (
        SELECT collector, outcome FROM collector_runs WHERE started_at <= $now
        QUALIFY row_number() OVER (PARTITION BY collector ORDER BY started_at DESC) = 1
    )
    SELECT s.model, s.provider, s.price_kind, s.tier, s.commitment_months,
        min(s.price_usd_per_gpu_hour) AS lowest_usd_per_gpu_hour,
        median(s.price_usd_per_gpu_hour) AS price_usd_per_gpu_hour,
        count(*) AS offers, count(DISTINCT s.region) AS regions, min(s.region) AS region,
        CASE WHEN count(s.stock) = 0 THEN NULL
            ELSE ['none', 'some', 'low', 'medium', 'high'][max(
                list_position(['none', 'some', 'low', 'medium', 'high'], s.stock))] END AS stock,
        bool_and(s.is_list_price) AS is_list_price,
        bool_and(s.is_complete_search) AS is_complete_search,
        coalesce(s.source, s.provider) AS source, max(s.measured_at) AS measured_at,
        epoch($now) - epoch(max(s.measured_at)) AS age_seconds,
        coalesce(bool_or(r.outcome IN ('failed', 'timed_out')), false) AS is_last_good
    FROM ({STANDING}) s LEFT JOIN runs r ON r.collector = coalesce(s.source, s.provider)
    WHERE s.model IS NOT NULL
        AND ($model IS NULL OR s.model = $model)
        AND ($provider IS NULL OR s.provider = $provider)
        AND ($price_kind IS NULL OR s.price_kind = $price_kind)
        AND ($tier IS NULL OR s.tier = $tier)
        AND ($region IS NULL OR s.region = $region)
    GROUP BY s.model, s.provider, s.price_kind, s.tier, s.commitment_months,
        coalesce(s.source, s.provider)
"""
_CHOICES = f"SELECT DISTINCT model, provider, region FROM ({STANDING}) WHERE model IS NOT NULL"
_MODELS = """
    SELECT model, min(seen_at) AS first_at, max(seen_at) AS last_at FROM (
        SELECT model, measured_at AS seen_at FROM offers WHERE price_kind = 'on_demand'
        UNION ALL SELECT model, measured_at FROM market_percentiles
    ) WHERE model IS NOT NULL AND seen_at <= $now GROUP BY model ORDER BY model
"""
_FIRST = "SELECT min(measured_at) FROM offers WHERE model = $model AND price_kind = 'on_demand'"
_SERIES = """
    SELECT scope, price_kind, count(*) AS rows, count(DISTINCT provider) AS providers,
        min(measured_at) AS from_at, max(measured_at) AS to_at,
        string_agg(DISTINCT source, ', ' ORDER BY source) AS source
    FROM market_percentiles WHERE model = $model
    GROUP BY scope, price_kind ORDER BY scope, price_kind
"""


def provider_table(
    store: Store,
    now: datetime,
    *,
    model: str | None = None,
    provider: str | None = None,
    price_kind: str | None = None,
    tier: str | None = None,
    region: str | None = None,
    sort: str | None = None,
    descending: bool = False,
    window: timedelta = WINDOW,
    offset: Position = 0,
    limit: int = 100,
) -> Page:
    """A row a model, provider, kind, tier, commitment and source: lowest and median price, age.

    `is_last_good` says that the source's last run failed; `sort` is one of `SORTS`, by model and
    price without it.
    """
    assert sort is None or sort in SORTS, f"{sort} is none of {SORTS}"
    first = f"{sort} {'DESC' if descending else 'ASC'} NULLS LAST, " if sort else ""
    return page_of(
        store,
        _TABLE,
        order=first + _TAIL,
        offset=offset,
        limit=limit,
        now=now,
        since=now - window,
        model=model,
        provider=provider,
        price_kind=price_kind,
        tier=tier,
        region=region,
    )


def choices(store: Store, now: datetime, *, window: timedelta = WINDOW) -> dict[str, list[str]]:
    """The models, providers and regions that the table holds, each in its order."""
    found = store.query(_CHOICES, now=now, since=now - window)
    return {
        name: found[name].drop_nulls().unique().sort().to_list()
        for name in ("model", "provider", "region")
    }


def known_models(store: Store, now: datetime) -> pl.DataFrame:
    """A row a model of which there is any price, imported ones too: `model`, first and last."""
    return store.query(_MODELS, now=now)


def first_offer_at(store: Store, model: str) -> datetime | None:
    """When the model was first seen on demand; None where it never was."""
    found: datetime | None = store.query(_FIRST, model=model).item()
    return found


def imported_series(store: Store, model: str) -> pl.DataFrame:
    """What was imported of a model, a row a scope and kind: these are never shown as one."""
    return store.query(_SERIES, model=model)
