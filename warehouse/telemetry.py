"""What is asked of GPUs over time: always of roll-ups, so that a long span reads little.

Each question says which length of roll-up it wants; where that one does not reach back so far, as
in a fleet's made-up history, the hourly ones stand in. MIG instances have roll-ups of their own and
count in none of the fleet's figures, since their GPU stands for them.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from warehouse.rollups import PERIODS_SECONDS
from warehouse.store import Store

FINE_SECONDS, COARSE_SECONDS = 300, 3600

_SPAN = "starts_at >= $since AND starts_at < $until"


def fleet_load(
    store: Store, *, since: datetime, until: datetime, step_seconds: int, pool: str | None = None
) -> pl.DataFrame:
    """The fleet, or a pool, step by step in time order: `at`, `gpus` that were read,
    `utilisation_mean_ratio`, `utilisation_p95_ratio` (19 of 20 GPUs were less busy), `held_ratio`
    and `power_watts` of all. A step without a reading has no row.

    A step is a multiple of 60 s; a GPU's mean over it is weighed by its readings.
    """
    period = period_for(step_seconds)
    return store.query(
        f"""
        WITH gpu AS (
            SELECT time_bucket(to_seconds($step), starts_at) AS "at", gpu_id,
                {gpu_mean("utilisation_mean_ratio", period, step_seconds)} AS used,
                {gpu_mean("held_ratio", period, step_seconds)} AS held,
                {gpu_mean("power_mean_watts", period, step_seconds)} AS power
            FROM gpu_rollups
            WHERE period_seconds = $period AND {_SPAN} AND ($pool IS NULL OR pool = $pool)
                AND parent_gpu_id IS NULL
            {"" if period == step_seconds else "GROUP BY ALL"}
        )
        SELECT "at", count(*) AS gpus, avg(used) AS utilisation_mean_ratio,
            quantile_cont(used, 0.95) AS utilisation_p95_ratio, avg(held) AS held_ratio,
            sum(power) AS power_watts
        FROM gpu GROUP BY "at" ORDER BY "at"
        """,
        period=period,
        step=step_seconds,
        since=since,
        until=until,
        pool=pool,
    )


def period_for(step_seconds: int) -> int:
    """The longest roll-up that steps of this length are made of."""
    fitting = [period for period in PERIODS_SECONDS if step_seconds % period == 0]
    if not fitting:
        raise ValueError(f"a step of {step_seconds} s is no multiple of {PERIODS_SECONDS[0]} s")
    return max(fitting)


def gpu_mean(column: str, period: int, step: int) -> str:
    """A GPU's mean over a step; of a step that is one period that period's."""
    if period == step:
        return column
    weight = f"CASE WHEN {column} IS NOT NULL THEN sample_count END"
    return f"sum({column} * sample_count) / sum({weight})"


def gpu_history(store: Store, gpu_id: str, *, since: datetime, until: datetime) -> pl.DataFrame:
    """One GPU or MIG instance minute by minute, in time order."""
    return store.query(
        f"""
        SELECT starts_at, utilisation_mean_ratio, utilisation_max_ratio, power_mean_watts,
            memory_used_mean_bytes, temperature_max_celsius
        FROM gpu_rollups WHERE period_seconds = 60 AND gpu_id = $gpu_id AND {_SPAN}
        ORDER BY starts_at
        """,
        gpu_id=gpu_id,
        since=since,
        until=until,
    )


def gpu_utilisation(store: Store, *, since: datetime, until: datetime) -> pl.DataFrame:
    """Every GPU over a span, by the hour: mean utilisation, power, share held, peak heat."""
    return store.query(
        f"""
        SELECT gpu_id, any_value(node_id) AS node_id, any_value(pool) AS pool,
            any_value(slot) AS slot, avg(utilisation_mean_ratio) AS utilisation_mean_ratio,
            avg(held_ratio) AS held_ratio, avg(power_mean_watts) AS power_mean_watts,
            max(temperature_max_celsius) AS temperature_max_celsius
        FROM gpu_rollups WHERE period_seconds = $period AND {_SPAN} AND parent_gpu_id IS NULL
        GROUP BY gpu_id ORDER BY pool, node_id, slot
        """,
        period=COARSE_SECONDS,
        since=since,
        until=until,
    )


def node_history(
    store: Store,
    node_id: str,
    *,
    since: datetime,
    until: datetime,
    period_seconds: int = COARSE_SECONDS,
) -> pl.DataFrame:
    """A node's GPUs period by period, a row a GPU and period, in time order.

    Hours for which there are no roll-ups of that length are answered by the hour.
    """
    columns = "starts_at, slot, utilisation_mean_ratio, power_mean_watts, temperature_max_celsius"
    found = store.query(
        f"""
        SELECT period_seconds, {columns} FROM gpu_rollups
        WHERE period_seconds IN ($period, $coarse) AND node_id = $node_id AND {_SPAN}
            AND parent_gpu_id IS NULL
        ORDER BY starts_at, slot
        """,
        node_id=node_id,
        period=period_seconds,
        coarse=COARSE_SECONDS,
        since=since,
        until=until,
    )
    fine = found.filter(pl.col("period_seconds") == period_seconds)
    hours = fine["starts_at"].dt.truncate("1h").unique()
    instead = ~pl.col("starts_at").is_in(hours.implode())
    return found.filter((pl.col("period_seconds") == period_seconds) | instead).drop(
        "period_seconds"
    )
