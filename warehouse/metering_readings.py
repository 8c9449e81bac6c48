"""Who held what by the GPUs' own readings, and how hard it worked: sums an hour, node and holder.

A reading stands for the time until the GPU's next one, at most `GAP`; longer silence is not filled.
Where `gpu_shares` tells the holders of a GPU it is believed, else the job or tenant in
`gpu_samples`. Where the raw rows are gone the hourly roll-ups speak, which name no holder.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from warehouse.store import Store

GAP = timedelta(minutes=15)
"""Longest time that one reading of a GPU stands for."""

_SUMS = """
    SELECT hour, node_id, pool, job_id, tenant, sharing, is_instance,
        sum(part * share) AS held_hours,
        sum(part * share) FILTER (is_held) AS busy_or_held_hours,
        sum(part * share) FILTER (utilisation IS NOT NULL) AS measured_hours,
        sum(part * share * utilisation) AS used_hours,
        sum(part * share) FILTER (kilowatts IS NOT NULL) AS powered_hours,
        sum(part * share * kilowatts) AS kilowatt_hours,
        max(part) AS widest_hours, bool_or(tells) AS tells,
        count(*) FILTER (NOT is_over) AS readings,
        min(seen_us) FILTER (NOT is_over) AS first_at, max(seen_us) FILTER (NOT is_over) AS last_at,
        max(until_at) AS held_until
    FROM parts GROUP BY ALL
"""

_PARTS = """
    spans AS (
        SELECT *, least(coalesce(next_us, at_us + $gap), at_us + $gap) AS end_us,
            at_us - at_us % 3600000000 AS hour_us
        FROM timed WHERE next_us IS NULL OR next_us > at_us
    ), cut AS (
        SELECT *, hour_us AS of_us, least(end_us, hour_us + 3600000000) - at_us AS part_us,
            false AS is_over FROM spans WHERE hour_us >= $since_us
        UNION ALL
        SELECT *, hour_us + 3600000000, end_us - hour_us - 3600000000, true
        FROM spans WHERE end_us > hour_us + 3600000000 AND hour_us + 3600000000 >= $since_us
            AND hour_us + 3600000000 < $until_us
    ), parts AS (
        SELECT node_id, pool, job_id, tenant, sharing, is_instance, share, utilisation, tells,
            is_over, at_us AS seen_us, least(end_us, of_us + 3600000000) AS until_at, of_us AS hour,
            part_us / 3.6e9 AS part,
            job_id IS NOT NULL OR tenant IS NOT NULL OR coalesce(processes, 0) > 0 AS is_held,
            coalesce(CASE WHEN next_joules >= joules AND end_us = next_us
                    AND next_us < hour_us + 3600000000
                    THEN (next_joules - joules) * 1e3 / (next_us - at_us) END,
                CASE WHEN joules >= last_joules AND at_us - last_us BETWEEN 1 AND $gap
                    THEN (joules - last_joules) * 1e3 / (at_us - last_us) END,
                watts / 1000)
                AS kilowatts
        FROM cut
    )
"""
"""Each reading's time, cut at the hour; energy is the counter's difference where it has one. What
follows an hour is not looked at, since it was not there when the hour was first metered: the last
reading in it draws what was drawn up to it."""

_PLAIN = f"""
    WITH timed AS (
        SELECT node_id, pool, job_id, tenant, process_count AS processes,
            coalesce(sharing, CASE WHEN mig_profile IS NULL THEN 'whole' ELSE 'mig' END) AS sharing,
            parent_gpu_id IS NOT NULL AS is_instance,
            coalesce(try_cast(nullif(regexp_extract(coalesce(mig_profile, ''), '^(\\d+)g', 1), '')
                AS DOUBLE) / 7, 1) AS share,
            utilisation_ratio::DOUBLE AS utilisation, power_watts::DOUBLE AS watts,
            energy_joules::DOUBLE AS joules, epoch_us(measured_at) AS at_us,
            job_id IS NOT NULL OR tenant IS NOT NULL OR process_count IS NOT NULL AS tells,
            lead(epoch_us(measured_at)) OVER w AS next_us,
            lead(energy_joules::DOUBLE) OVER w AS next_joules,
            lag(energy_joules::DOUBLE) OVER w AS last_joules,
            lag(epoch_us(measured_at)) OVER w AS last_us
        FROM gpu_samples
        WHERE measured_at >= $from_at AND measured_at < $until AND pool IS NOT NULL
            AND NOT list_contains($shared::VARCHAR[], gpu_id)
        WINDOW w AS (PARTITION BY gpu_id ORDER BY measured_at, stored_at)
    ), {_PARTS}
    {_SUMS}
"""

_SHARED = f"""
    WITH holders AS (
        SELECT DISTINCT ON (gpu_id, measured_at, job_id, tenant, namespace, pod, container)
            gpu_id, node_id, pool, source, job_id, coalesce(tenant, namespace) AS tenant, sharing,
            share_ratio::DOUBLE AS share, measured_at
        FROM gpu_shares
        WHERE measured_at >= $from_at AND measured_at < $until AND pool IS NOT NULL
        ORDER BY stored_at DESC
    ), source_of AS (
        SELECT gpu_id, any_value(node_id) AS node_id, any_value(pool) AS pool,
            max(source) AS source, max(sharing) AS sharing FROM holders GROUP BY gpu_id
    ), samples AS (
        SELECT s.gpu_id, s.measured_at, utilisation_ratio::DOUBLE AS utilisation,
            power_watts::DOUBLE AS watts, energy_joules::DOUBLE AS joules,
            parent_gpu_id IS NOT NULL AS is_instance
        FROM gpu_samples s JOIN source_of o ON s.gpu_id = o.gpu_id AND s.source = o.source
        WHERE measured_at >= $from_at AND measured_at < $until
        QUALIFY row_number() OVER (
            PARTITION BY s.gpu_id, measured_at ORDER BY stored_at DESC) = 1
    ), instants AS (
        SELECT gpu_id, measured_at FROM samples
        UNION SELECT gpu_id, measured_at FROM holders JOIN source_of USING (gpu_id, source)
    ), timeline AS (
        SELECT i.gpu_id, i.measured_at, utilisation, watts, joules, o.node_id, o.pool,
            o.sharing AS usual_sharing, o.source,
            coalesce(s.is_instance, o.sharing = 'mig') AS is_instance,
            lead(epoch_us(i.measured_at)) OVER w AS next_us, lead(joules) OVER w AS next_joules,
            lag(epoch_us(i.measured_at)) OVER w AS last_us, lag(joules) OVER w AS last_joules
        FROM instants i JOIN source_of o USING (gpu_id)
            LEFT JOIN samples s ON s.gpu_id = i.gpu_id AND s.measured_at = i.measured_at
        WINDOW w AS (PARTITION BY i.gpu_id ORDER BY i.measured_at)
    ), given AS (
        SELECT h.gpu_id, h.measured_at, h.job_id, h.tenant, h.sharing, h.share
        FROM holders h JOIN source_of USING (gpu_id, source)
        UNION ALL
        SELECT t.gpu_id, t.measured_at, NULL, NULL, any_value(t.usual_sharing),
            CASE WHEN any_value(t.is_instance) THEN CASE WHEN count(h.gpu_id) = 0 THEN 1 ELSE 0 END
                ELSE greatest(0, 1 - coalesce(sum(h.share), 0)) END
        FROM timeline t LEFT JOIN holders h ON h.gpu_id = t.gpu_id AND h.source = t.source
            AND h.measured_at = t.measured_at
        GROUP BY t.gpu_id, t.measured_at
    ), timed AS (
        SELECT t.node_id, t.pool, g.job_id, g.tenant, NULL::BIGINT AS processes, g.sharing,
            t.is_instance, g.share, t.utilisation, t.watts, t.joules,
            epoch_us(t.measured_at) AS at_us, true AS tells, t.next_us, t.next_joules, t.last_us,
            t.last_joules
        FROM timeline t JOIN given g USING (gpu_id, measured_at) WHERE g.share > 0
    ), {_PARTS}
    {_SUMS}
"""

_ROLLED = """
    WITH one AS (
        SELECT starts_at AS hour, node_id, pool, sample_count, held_ratio::DOUBLE AS held,
            utilisation_mean_ratio::DOUBLE AS utilisation, power_mean_watts::DOUBLE AS watts
        FROM gpu_rollups
        WHERE period_seconds = 3600 AND starts_at >= $since AND starts_at < $until
            AND pool IS NOT NULL AND sample_count > 0
        QUALIFY row_number() OVER (
            PARTITION BY gpu_id, starts_at ORDER BY sample_count DESC, source) = 1
    ), covered AS (
        SELECT *, sample_count / max(sample_count) OVER (PARTITION BY hour, pool) AS part,
            1.0 / max(sample_count) OVER (PARTITION BY hour, pool) AS spacing FROM one
    )
    SELECT hour, node_id, pool, sum(part) AS read_hours, sum(part * held) AS held_hours,
        sum(part * utilisation) FILTER (coalesce(held, 1) > 0) AS used_hours,
        sum(part * watts) / 1000 AS kilowatt_hours,
        sum(part * held * watts) / 1000 AS held_kilowatt_hours,
        max(spacing) AS widest_hours, sum(sample_count)::BIGINT AS readings
    FROM covered GROUP BY ALL
"""


def held_by(store: Store, *, since: datetime, until: datetime) -> pl.DataFrame:
    """Of whole hours of a span: what the readings say, a row an hour, node and holder.

    Columns: hour, node, pool, `job_id`, `tenant` (both null where nobody held it), `sharing`,
    `is_instance` of MIG; GPU-hours held, measured,
    used and powered, shares reckoned as such; `kilowatt_hours`; `widest_hours` that one
    reading stands for in the hour, `tells` whether they would tell a holder, how many `readings`,
    `first_at` and `last_at` of those inside the hour, and `held_until`.
    """
    asked = {
        "from_at": since - 2 * GAP,
        "until": until,
        "since_us": _micros(since),
        "until_us": _micros(until),
        "gap": int(GAP.total_seconds() * 1e6),
    }
    shared = store.query(
        """
        SELECT DISTINCT gpu_id FROM gpu_shares
        WHERE measured_at >= $from_at AND measured_at < $until AND pool IS NOT NULL
        """,
        from_at=asked["from_at"],
        until=until,
    )["gpu_id"].to_list()
    found = store.query(_PLAIN, shared=shared, **asked)
    if shared:
        found = pl.concat([found, store.query(_SHARED, **asked)], how="vertical_relaxed")
    instants = [pl.col(name).cast(pl.Datetime("us", "UTC"))
                for name in ("hour", "first_at", "last_at", "held_until")]  # fmt: skip
    return found.with_columns(*instants, pl.col("job_id", "tenant").cast(pl.String))


def rolled_up(store: Store, *, since: datetime, until: datetime) -> pl.DataFrame:
    """The same hours by the hourly roll-ups, a row an hour and node: GPU-hours read, held and used,
    `kilowatt_hours` of all GPUs and of the held ones, `widest_hours`, `readings`."""
    return store.query(_ROLLED, since=since, until=until)


def _micros(instant: datetime) -> int:
    return int(instant.timestamp() * 1_000_000)
