"""What is asked of the forecasts: what is expected, what came of it, and how good it was."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from warehouse.store import Store

LONGEST_HORIZON = timedelta(days=1)
READING_TOLERANCE = timedelta(minutes=15)
"""A reading older than this at an instant doesn't tell how things stood then."""

_AGAINST_WHAT_CAME = """
    WITH readings AS (
        SELECT pool, measured_at, gpus_used::DOUBLE AS gpus_used, market_usd_per_gpu_hour,
            sum(offered_jobs) OVER (PARTITION BY pool ORDER BY measured_at)::DOUBLE AS offers
        FROM pool_states
        WHERE measured_at > $since - 2 * $longest - $tolerance AND measured_at <= $until
            AND ($pool IS NULL OR pool = $pool)
    ), asked AS (
        SELECT *, issued_at - to_seconds(horizon_seconds) AS span_before_at FROM forecasts
        WHERE issued_at > $since - $longest AND issued_at <= $until
            AND target_at > $since AND target_at <= $until
            AND ($pool IS NULL OR pool = $pool) AND ($series IS NULL OR series = $series)
            AND ($horizon_seconds IS NULL OR horizon_seconds = $horizon_seconds)
    ), joined AS (
        SELECT asked.*, horizon_seconds / 3600 AS hours,
            later.gpus_used AS then_gpus, present.gpus_used AS now_gpus,
            later.market_usd_per_gpu_hour AS then_usd, present.market_usd_per_gpu_hour AS now_usd,
            later.offers - present.offers AS then_offers,
            present.offers - earlier.offers AS now_offers,
            later.measured_at > target_at - $tolerance AS is_then_known,
            present.measured_at > issued_at - $tolerance AS is_now_known,
            earlier.measured_at > span_before_at - $tolerance AS is_before_known
        FROM asked
        ASOF LEFT JOIN readings AS later
            ON asked.pool = later.pool AND asked.target_at >= later.measured_at
        ASOF LEFT JOIN readings AS present
            ON asked.pool = present.pool AND asked.issued_at >= present.measured_at
        ASOF LEFT JOIN readings AS earlier
            ON asked.pool = earlier.pool AND asked.span_before_at >= earlier.measured_at
    ), told AS (
        SELECT pool, series, horizon_seconds, issued_at, target_at, q10, q50, q90, q95, model,
            CASE WHEN NOT is_then_known THEN NULL
                WHEN series = 'occupancy' THEN then_gpus
                WHEN series = 'market_price' THEN then_usd
                WHEN is_now_known THEN then_offers / hours END AS actual,
            CASE WHEN NOT is_now_known THEN NULL
                WHEN series = 'occupancy' THEN now_gpus
                WHEN series = 'market_price' THEN now_usd
                WHEN is_before_known THEN now_offers / hours END AS persisted
        FROM joined
    )
"""
"""A reading counts the offers since the one before, so a gap inside a span loses none."""


def newest_issue(store: Store) -> datetime | None:
    """When the newest forecasts were made, or None where there are none."""
    newest: datetime | None = store.query("SELECT max(issued_at) AS at FROM forecasts").item()
    return newest


def latest_forecasts(
    store: Store, pool: str | None = None, series: str | None = None
) -> pl.DataFrame:
    """The newest forecasts of a pool and series, or of all, by pool, series and horizon.

    The columns are those of `forecasts`. A series that was left out of the newest issue is not
    shown from an older one.
    """
    return store.query(
        """
        SELECT * FROM forecasts WHERE issued_at = (SELECT max(issued_at) FROM forecasts)
            AND ($pool IS NULL OR pool = $pool) AND ($series IS NULL OR series = $series)
        ORDER BY pool, series, horizon_seconds
        """,
        pool=pool,
        series=series,
    )


def forecasts_against_actual(
    store: Store,
    *,
    pool: str,
    series: str,
    horizon_seconds: int,
    since: datetime,
    until: datetime,
) -> pl.DataFrame:
    """Forecasts made a horizon before targets in (`since`, `until`], beside what came.

    Columns: `target_at`, `issued_at`, `q10`, `q50`, `q90`, `q95`, `model`, `actual` (null where no
    reading tells it), `persisted` (what persistence would have said); in the order of targets.
    """
    return store.query(
        _AGAINST_WHAT_CAME
        + """
        SELECT target_at, issued_at, q10, q50, q90, q95, model, actual, persisted
        FROM told ORDER BY target_at
        """,
        pool=pool,
        series=series,
        horizon_seconds=horizon_seconds,
        **_span(since, until),
    )


def forecast_scores(
    store: Store, *, since: datetime, until: datetime, pool: str | None = None
) -> pl.DataFrame:
    """How the issued forecasts did on targets in (`since`, `until`], a row a series and horizon.

    Columns: `series`, `horizon_seconds`, `forecast_count` (those whose actual is known),
    `coverage_ratio` (actual from q10 to q90), `below_q95_ratio`, `skill_ratio` (1 less the median's
    absolute error over persistence's, where both are known; null where persistence never erred).
    """
    return store.query(
        _AGAINST_WHAT_CAME
        + """
        SELECT series, horizon_seconds, count(*) AS forecast_count,
            avg((actual BETWEEN q10 AND q90)::INT) AS coverage_ratio,
            avg((actual <= q95)::INT) AS below_q95_ratio,
            1 - sum(abs(actual - q50)) FILTER (persisted IS NOT NULL)
                / nullif(sum(abs(actual - persisted)), 0) AS skill_ratio
        FROM told WHERE actual IS NOT NULL
        GROUP BY series, horizon_seconds ORDER BY series, horizon_seconds
        """,
        pool=pool,
        series=None,
        horizon_seconds=None,
        **_span(since, until),
    )


def _span(since: datetime, until: datetime) -> dict[str, object]:
    return {
        "since": since,
        "until": until,
        "longest": LONGEST_HORIZON,
        "tolerance": READING_TOLERANCE,
    }
