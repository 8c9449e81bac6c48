"""Where the fleet's physical GPU-hours were: in service, cordoned, down, or seen by nobody.

A node is as it was last read until it is read again, or until its pool is read without it. A
silence longer than `NODE_GAP` counts as unread; the nodes are taken to be there all the same.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from warehouse.store import Store

NODE_GAP = timedelta(minutes=65)
"""Longest time that one reading of a node stands for; a fleet's history has one an hour."""
ABSENT_AFTER = timedelta(minutes=15)
"""A node that was not read for this long, while its pool was, is gone."""
LOOK_BACK = timedelta(days=3)
"""Where a pool's nodes were not read for longer, nothing is known of it."""
SETTLING = timedelta(minutes=2)
"""So long after its end an hour is metered: what is read at its end comes a little later."""

_NODES = """
    WITH starts AS (
        SELECT pool, source, coalesce(
                max(measured_at) FILTER (measured_at <= $since), min(measured_at)) AS start_at
        FROM node_states
        WHERE measured_at >= $look_back AND measured_at <= $look_ahead AND pool IS NOT NULL
        GROUP BY pool, source
    ), seen AS (
        SELECT DISTINCT ON (node_id, measured_at) node_id, pool, source, kind, state, gpu_count,
            gpus_used, epoch_us(measured_at) AS at_us, epoch_us(start_at) AS start_us
        FROM node_states JOIN starts USING (pool, source)
        WHERE measured_at >= $look_back AND measured_at <= $look_ahead
            AND measured_at >= start_at - to_seconds($absent / 1e6)
    ), rounds AS (
        SELECT pool, source, at_us, lead(at_us) OVER (
            PARTITION BY pool, source ORDER BY at_us) AS round_us
        FROM (SELECT DISTINCT pool, source, at_us FROM seen)
    ), nexts AS (
        SELECT seen.*, round_us,
            lead(seen.at_us) OVER (PARTITION BY node_id ORDER BY seen.at_us) AS own_us
        FROM seen JOIN rounds USING (pool, source, at_us)
    ), spans AS (
        -- Of the hour in which a pool was first read nothing earlier is known: taken for all of it.
        SELECT *,
            CASE WHEN at_us = start_us AND at_us > $since_us
                THEN (at_us - 1) - (at_us - 1) % 3600000000 ELSE at_us END AS from_us,
            CASE WHEN own_us - at_us <= $absent THEN own_us
                ELSE coalesce(round_us, $until_us) END AS end_us
        FROM nexts
    ), hourly AS (
        SELECT *, unnest(range($since_us, $until_us, 3600000000)) AS of_us FROM spans
        WHERE end_us > $since_us AND from_us < $until_us AND end_us - from_us > 3600000000
        UNION ALL
        SELECT *, unnest([from_us - from_us % 3600000000,
            from_us - from_us % 3600000000 + 3600000000]) FROM spans
        WHERE end_us > $since_us AND from_us < $until_us AND end_us - from_us <= 3600000000
    ), cut AS (
        SELECT *, greatest(0, least(end_us, of_us + 3600000000) - greatest(from_us, of_us))
                / 3.6e9 * gpu_count AS hours,
            greatest(0, least(end_us, of_us + 3600000000)
                - greatest(from_us, of_us, at_us + $gap)) / 3.6e9 * gpu_count AS silent
        FROM hourly WHERE of_us >= $since_us AND of_us < $until_us
    )
    SELECT of_us AS hour, pool, node_id, arg_max(kind, hours) AS kind, sum(hours) AS hours,
        coalesce(sum(hours) FILTER (state IN ('active', 'cordoned')), 0) AS in_service_hours,
        coalesce(sum(hours * (1 - least(gpus_used, gpu_count) / gpu_count))
            FILTER (state = 'cordoned'), 0) AS cordoned_hours,
        coalesce(sum(hours) FILTER (state NOT IN ('off', 'down')), 0) AS on_hours,
        coalesce(sum(silent) FILTER (state IN ('active', 'cordoned')), 0) AS silent_hours
    FROM cut WHERE hours > 0 GROUP BY ALL
"""


def nodes(store: Store, *, since: datetime, until: datetime) -> pl.DataFrame:
    """Of whole hours of a span a row an hour and node: its GPU-hours, all and by state.

    `in_service_hours` are of active and cordoned nodes, `cordoned_hours` of the free GPUs of
    cordoned ones, `on_hours` of those that are not off or down, `silent_hours` those in service
    that no reading of a node vouches for. What is not in service was down, provisioning or off.
    """
    found = store.query(
        _NODES,
        since=since,
        look_back=since - LOOK_BACK,
        look_ahead=until + SETTLING,
        since_us=int(since.timestamp() * 1e6),
        until_us=int(until.timestamp() * 1e6),
        gap=int(NODE_GAP.total_seconds() * 1e6),
        absent=int(ABSENT_AFTER.total_seconds() * 1e6),
    )
    return found.with_columns(pl.col("hour").cast(pl.Datetime("us", "UTC")))


def unlisted(
    store: Store, known: pl.DataFrame, *, since: datetime, until: datetime
) -> pl.DataFrame:
    """Nodes of which no node reading tells but whose GPUs were read, as `nodes` has them.

    Each of their GPUs that was read in an hour is taken to have been there for the whole of it.
    """
    read = store.query(
        """
        SELECT make_timestamptz(epoch_us(measured_at) // 3600000000 * 3600000000) AS hour,
            any_value(pool) AS pool, node_id,
            count(DISTINCT gpu_id)::DOUBLE AS hours
        FROM gpu_samples
        WHERE measured_at >= $since AND measured_at < $until AND pool IS NOT NULL
            AND parent_gpu_id IS NULL AND NOT list_contains($known::VARCHAR[], node_id)
        GROUP BY 1, node_id
        """,
        since=since,
        until=until,
        known=known["node_id"].unique().to_list(),
    )
    zero = pl.lit(0.0)
    return read.select(
        "hour", "pool", "node_id", pl.lit("owned").alias("kind"), "hours",
        pl.col("hours").alias("in_service_hours"), zero.alias("cordoned_hours"),
        pl.col("hours").alias("on_hours"), zero.alias("silent_hours"),
    )  # fmt: skip
