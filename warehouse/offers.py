"""What is asked of single offers: the one table that compares them, names nobody knows, faults.

Prices over time and by model are asked in `warehouse/market.py`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from warehouse.gpu_names import model_of
from warehouse.paging import Page, Position, page_of
from warehouse.records import Offer
from warehouse.store import Store

WINDOW = timedelta(days=7)
"""An offer that was last seen longer ago is history."""

IMPORTED = "import:"
"""Before the source of what was brought by `python app.py import-offers`."""

FALLBACK = "pricing_pages"
"""The source that stands in where an interface is silent."""

_TABLE = """
    WITH seen AS (
        SELECT * FROM offers
        WHERE measured_at > $since AND measured_at <= $now AND model IS NOT NULL
            AND price_usd_per_gpu_hour > 0 AND NOT starts_with(coalesce(source, ''), 'import:')
            AND ($model IS NULL OR model = $model)
            AND ($provider IS NULL OR provider = $provider)
            AND ($price_kind IS NULL OR price_kind = $price_kind)
            AND ($tier IS NULL OR tier = $tier)
            AND ($region IS NULL OR region = $region)
    ),
    standing AS (
        SELECT * FROM seen
        QUALIFY measured_at >= max(measured_at) OVER (PARTITION BY provider, source, gpu_model)
            - INTERVAL 90 SECONDS
    ),
    runs AS (
        SELECT collector, outcome FROM collector_runs WHERE started_at <= $now
        QUALIFY row_number() OVER (PARTITION BY collector ORDER BY started_at DESC) = 1
    ),
    interfaces AS (
        SELECT provider, max(measured_at) AS answered_at FROM standing
        WHERE coalesce(source, '') <> 'pricing_pages' GROUP BY provider
    )
    SELECT s.provider, s.model, s.gpu_model, s.gpu_memory_bytes, s.gpu_count, s.price_kind,
        s.tier, s.commitment_months, s.region, s.price_usd_per_gpu_hour,
        s.instance_price_usd_per_hour, s.quoted_unit, s.stock, s.is_list_price, s.is_verified,
        s.max_gpu_count, s.vcpu_count, s.memory_bytes, s.disk_bytes,
        s.storage_usd_per_gigabyte_month, s.egress_usd_per_gigabyte, s.reliability_ratio,
        s.is_complete_search, coalesce(s.source, s.provider) AS source, s.offer_id,
        s.payload_digest, s.measured_at, epoch($now) - epoch(s.measured_at) AS age_seconds,
        coalesce(r.outcome IN ('failed', 'timed_out'), false) AS is_last_good
    FROM standing s LEFT JOIN runs r ON r.collector = coalesce(s.source, s.provider)
        LEFT JOIN interfaces i ON i.provider = s.provider
    WHERE coalesce(s.source, '') <> 'pricing_pages' OR i.answered_at IS NULL
        OR i.answered_at < s.measured_at
"""

_UNMATCHED = """
    WITH named AS (
        SELECT provider, source, gpu_model AS name, value AS price_usd_per_gpu_hour,
            NULL::BIGINT AS gpu_memory_bytes, raised_at AS seen_at
        FROM market_alarms WHERE kind = 'unknown_model' AND raised_at <= $now
            AND raised_at > $since
        UNION ALL
        SELECT provider, source, gpu_model, price_usd_per_gpu_hour, gpu_memory_bytes, measured_at
        FROM offers WHERE model IS NULL AND measured_at <= $now AND measured_at > $since
    )
    SELECT provider, coalesce(max(source), provider) AS source, name,
        arg_max(price_usd_per_gpu_hour, seen_at) AS price_usd_per_gpu_hour,
        max(gpu_memory_bytes) AS gpu_memory_bytes, count(*) AS times_seen,
        min(seen_at) AS first_seen_at, max(seen_at) AS last_seen_at
    FROM named n WHERE name IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM offers o WHERE o.provider = n.provider AND o.gpu_model = n.name
            AND o.model IS NOT NULL AND o.measured_at > n.seen_at AND o.measured_at <= $now
    )
    GROUP BY provider, name ORDER BY last_seen_at DESC, provider, name
"""

_FAULTS = """
    WITH runs AS (
        SELECT * FROM collector_runs
        WHERE list_contains($sources, collector) AND started_at <= $now AND started_at > $since
    ),
    latest AS (
        SELECT * FROM runs
        QUALIFY row_number() OVER (PARTITION BY collector ORDER BY started_at DESC) = 1
    ),
    good AS (
        SELECT collector, max(started_at) AS last_success_at FROM runs
        WHERE outcome = 'succeeded' GROUP BY collector
    )
    SELECT l.collector AS source,
        CASE WHEN l.outcome IN ('failed', 'timed_out') THEN 'empty' ELSE 'stale' END AS kind,
        l.outcome, l.detail, l.started_at AS raised_at, g.last_success_at,
        epoch($now) - epoch(g.last_success_at) AS age_seconds
    FROM latest l LEFT JOIN good g USING (collector)
    WHERE l.outcome IN ('failed', 'timed_out')
        OR g.last_success_at IS NOT NULL AND epoch($now) - epoch(g.last_success_at) > $stale
    ORDER BY source
"""

MARKET_SOURCES = ("hyperscalers", "lambda_cloud", "pricing_pages", "runpod", "vast")
"""The collectors that read the market."""

STALE_AFTER = timedelta(days=1)
"""A source whose last success is older is told of."""


def comparable_offers(
    store: Store,
    now: datetime,
    *,
    model: str | None = None,
    provider: str | None = None,
    price_kind: str | None = None,
    tier: str | None = None,
    region: str | None = None,
    window: timedelta = WINDOW,
    offset: Position = 0,
    limit: int = 100,
) -> Page:
    """What each source said last of each GPU, the cheapest first, in USD per GPU-hour.

    `age_seconds` is since the provider answered; `is_last_good` says that its source's last run
    failed, so that the price is the last good one. A page's prices are in it only where the
    provider's interface hasn't answered since. Kinds, tiers and commitments stand in columns of
    their own: whoever compares asks for one of each.
    """
    return page_of(
        store,
        _TABLE,
        order="model, price_usd_per_gpu_hour, provider, price_kind, offer_id, region, source, "
        "tier, commitment_months, measured_at",
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


def last_good_offers(store: Store, now: datetime, *, window: timedelta = WINDOW) -> list[Offer]:
    """What each provider's interface offered last: what its next answer is held to."""
    return store.rows(
        Offer,
        """
        SELECT * FROM offers
        WHERE measured_at > $since AND measured_at <= $now AND model IS NOT NULL
            AND price_usd_per_gpu_hour > 0 AND source IS NOT NULL
            AND source <> $fallback AND NOT starts_with(source, $imported)
        QUALIFY measured_at >= max(measured_at) OVER (PARTITION BY provider, source, gpu_model)
            - INTERVAL 90 SECONDS
        """,
        now=now,
        since=now - window,
        fallback=FALLBACK,
        imported=IMPORTED,
    )


def unmatched_names(
    store: Store, now: datetime, *, window: timedelta = timedelta(days=30)
) -> pl.DataFrame:
    """A row a provider and name of a GPU that isn't known, the latest first, for a person.

    Names that were known later, or that this version knows, are left out.
    """
    found = store.query(_UNMATCHED, now=now, since=now - window)
    is_open = [
        model_of(name, memory_bytes=memory) is None
        for name, memory in zip(found["name"], found["gpu_memory_bytes"], strict=True)
    ]
    return found.filter(pl.Series(is_open, dtype=pl.Boolean))


def source_faults(
    store: Store, now: datetime, *, window: timedelta = timedelta(days=30)
) -> pl.DataFrame:
    """A row a source of the market that brings nothing now: its last run failed, or is old.

    `kind` is as an alarm's: `empty` for a run that failed, `stale` for one that is missing.
    """
    return store.query(
        _FAULTS,
        sources=list(MARKET_SOURCES),
        now=now,
        since=now - window,
        stale=STALE_AFTER.total_seconds(),
    )


def percentile_history(
    store: Store,
    model: str,
    *,
    since: datetime,
    until: datetime,
    scope: str = "market",
    price_kind: str = "mixed",
) -> pl.DataFrame:
    """Imported percentiles of a model over time, the oldest first; one scope and kind."""
    return store.query(
        """
        SELECT * FROM market_percentiles
        WHERE model = $model AND scope = $scope AND price_kind = $price_kind
            AND measured_at >= $since AND measured_at < $until
        ORDER BY measured_at, provider, gpu_count
        """,
        model=model,
        scope=scope,
        price_kind=price_kind,
        since=since,
        until=until,
    )
