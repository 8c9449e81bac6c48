"""What is asked of the fleet: its pools, nodes and GPUs, now and over time."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from warehouse.paging import Page, page_of
from warehouse.records import (
    GpuProcess,
    GpuRollup,
    GpuSample,
    NodeReading,
    Pool,
    PoolState,
)
from warehouse.store import Store

READING_WINDOW = timedelta(minutes=15)
"""A GPU or node that was not read for this long before the newest reading is gone."""

ROLLUP_SECONDS = 3600

_LATEST_POOL_STATE = """
    SELECT * FROM pool_states WHERE measured_at > $since
    QUALIFY row_number() OVER (PARTITION BY pool ORDER BY measured_at DESC, rowid DESC) = 1
"""

_LATEST_POOL = """
    SELECT * FROM pools
    QUALIFY row_number() OVER (PARTITION BY pool ORDER BY recorded_at DESC, rowid DESC) = 1
"""


def pools(store: Store) -> list[Pool]:
    """Every pool, as last declared, by name."""
    return store.rows(Pool, f"{_LATEST_POOL} ORDER BY pool")


def pool_states(store: Store, *, now: datetime) -> list[PoolState]:
    """The newest reading of every pool that was read in the day before the newest of all."""
    return store.rows(
        PoolState,
        f"SELECT * FROM ({_LATEST_POOL_STATE}) ORDER BY pool",
        since=_since(store, "pool_states", timedelta(days=1)),
    )


def pool_overview(store: Store, *, now: datetime) -> pl.DataFrame:
    """A row a pool: what it is, how full it is, who waits, what it charges; newest readings.

    `age_seconds` says how old each row is at `now`.
    """
    return store.query(
        f"""
        SELECT p.pool, p.gpu_model, p.region, s.gpus_on, s.gpus_used,
            CASE WHEN s.gpus_on > 0 THEN s.gpus_used / s.gpus_on END AS utilisation_ratio,
            s.owned_nodes_on + s.leased_nodes_on AS nodes_on, s.owned_nodes_on, s.leased_nodes_on,
            s.nodes_provisioning, s.nodes_down, s.nodes_off, s.nodes_empty, s.running_jobs,
            s.queued_jobs, s.queued_gpus, s.oldest_wait_seconds, s.price_usd_per_gpu_hour,
            s.market_usd_per_gpu_hour, s.measured_at,
            greatest(epoch($now) - epoch(s.measured_at), 0) AS age_seconds
        FROM ({_LATEST_POOL}) p LEFT JOIN ({_LATEST_POOL_STATE}) s USING (pool)
        ORDER BY p.pool
        """,
        now=now,
        since=_since(store, "pool_states", timedelta(days=1)),
    )


def pool_history(
    store: Store,
    *,
    since: datetime,
    until: datetime,
    step_seconds: int,
    pool: str | None = None,
) -> pl.DataFrame:
    """Means of each step of a span, a row a pool and step, in time order."""
    return store.query(
        """
        SELECT time_bucket(to_seconds($step), measured_at) AS "at", pool,
            avg(gpus_on) AS gpus_on, avg(gpus_used) AS gpus_used,
            avg(queued_gpus) AS queued_gpus, avg(queued_jobs) AS queued_jobs,
            avg(price_usd_per_gpu_hour) AS price_usd_per_gpu_hour,
            avg(market_usd_per_gpu_hour) AS market_usd_per_gpu_hour
        FROM pool_states
        WHERE measured_at >= $since AND measured_at < $until AND ($pool IS NULL OR pool = $pool)
        GROUP BY ALL ORDER BY 1, 2
        """,
        step=step_seconds,
        since=since,
        until=until,
        pool=pool,
    )


def gpu_map(store: Store, *, at: datetime | None = None) -> pl.DataFrame:
    """The newest reading of every GPU, at `at` or now, with its node's state.

    Each source has a clock of its own, so newest is reckoned source by source. MIG instances
    are left out: their GPU stands for them.
    """
    return store.query(
        """
        WITH newest AS (
            SELECT source, max(measured_at) AS newest_at FROM gpu_samples
            WHERE $at IS NULL OR measured_at <= $at GROUP BY source
        ), node AS (
            SELECT node_id, state AS node_state, kind AS node_kind FROM node_states
            WHERE measured_at > $since AND ($at IS NULL OR measured_at <= $at)
            QUALIFY row_number() OVER (PARTITION BY node_id ORDER BY measured_at DESC) = 1
        )
        SELECT gpu_id, node_id, pool, slot, gpu_model, utilisation_ratio, temperature_celsius,
            power_watts, power_limit_watts, memory_used_bytes, memory_total_bytes, job_id, tenant,
            coalesce(node_state, 'active') AS node_state, node_kind, source, measured_at
        FROM gpu_samples JOIN newest USING (source) LEFT JOIN node USING (node_id)
        WHERE measured_at > newest_at - to_seconds($window) AND measured_at <= newest_at
            AND parent_gpu_id IS NULL
        QUALIFY row_number() OVER (PARTITION BY gpu_id ORDER BY measured_at DESC) = 1
        ORDER BY pool, node_id, slot
        """,
        since=_newest(store, "node_states", at) - READING_WINDOW,
        window=READING_WINDOW.total_seconds(),
        at=at,
    )


def gpu_utilisation(store: Store, *, since: datetime, until: datetime) -> pl.DataFrame:
    """Every GPU over a span, from roll-ups: mean utilisation, power, share held, peak heat."""
    return store.query(
        """
        SELECT gpu_id, any_value(node_id) AS node_id, any_value(pool) AS pool,
            any_value(slot) AS slot, avg(utilisation_mean_ratio) AS utilisation_mean_ratio,
            avg(held_ratio) AS held_ratio, avg(power_mean_watts) AS power_mean_watts,
            max(temperature_max_celsius) AS temperature_max_celsius
        FROM gpu_rollups
        WHERE period_seconds = $period AND starts_at >= $since AND starts_at < $until
        GROUP BY gpu_id ORDER BY pool, node_id, slot
        """,
        period=ROLLUP_SECONDS,
        since=since,
        until=until,
    )


_NODE_COLUMNS = {"node_id", "pool", "kind", "state", "gpus_used", "health_ratio", "measured_at"}

_NODES = """
    SELECT * FROM (
        SELECT * FROM node_states WHERE measured_at > $since
        QUALIFY row_number() OVER (PARTITION BY node_id ORDER BY measured_at DESC) = 1
    )
    WHERE ($pool IS NULL OR pool = $pool) AND ($state IS NULL OR state = $state)
        AND ($search IS NULL OR contains(lower(node_id), lower($search)))
"""


def nodes(
    store: Store,
    *,
    pool: str | None = None,
    state: str | None = None,
    search: str | None = None,
    sort: str = "node_id",
    descending: bool = False,
    offset: int = 0,
    limit: int = 100,
) -> Page:
    """The nodes as last read, one page of them."""
    column = sort if sort in _NODE_COLUMNS else "node_id"
    return page_of(
        store,
        _NODES,
        order=f"{column} {'DESC' if descending else 'ASC'}, node_id",
        offset=offset,
        limit=limit,
        since=_newest(store, "node_states") - READING_WINDOW,
        pool=pool,
        state=state,
        search=search,
    )


def node(store: Store, node_id: str) -> NodeReading | None:
    """One node as last read, or None if it was never seen."""
    found = store.rows(
        NodeReading,
        "SELECT * FROM node_states WHERE node_id = $node_id ORDER BY measured_at DESC LIMIT 1",
        node_id=node_id,
    )
    return found[0] if found else None


def node_history(store: Store, node_id: str, *, since: datetime, until: datetime) -> pl.DataFrame:
    """A node's GPUs hour by hour, from roll-ups, a row a GPU and hour."""
    return store.query(
        """
        SELECT starts_at, slot, utilisation_mean_ratio, power_mean_watts, temperature_max_celsius
        FROM gpu_rollups
        WHERE node_id = $node_id AND period_seconds = $period
            AND starts_at >= $since AND starts_at < $until
        ORDER BY starts_at, slot
        """,
        node_id=node_id,
        period=ROLLUP_SECONDS,
        since=since,
        until=until,
    )


def gpu_samples(store: Store, node_id: str, *, since: datetime) -> pl.DataFrame:
    """A node's raw readings since an instant, in time order; for short spans."""
    return store.query(
        """
        SELECT * FROM gpu_samples WHERE node_id = $node_id AND measured_at >= $since
        ORDER BY measured_at, slot
        """,
        node_id=node_id,
        since=since,
    )


def roll_up(store: Store) -> int:
    """Roll raw samples up into every whole hour that is over and not rolled up yet.

    Each source has a clock of its own: an hour is over once that source was read after it.
    Returns the rows added. Safe to repeat.
    """
    return sum(
        store.append_frame(GpuRollup, _rolled(store, source, since, until))
        for source, since, until in _spans_to_roll_up(store).iter_rows()
    )


def _spans_to_roll_up(store: Store) -> pl.DataFrame:
    return store.query(
        """
        WITH rolled AS (
            SELECT source, max(starts_at) AS newest_at FROM gpu_rollups
            WHERE period_seconds = $period GROUP BY source
        ), read AS (
            SELECT source, min(measured_at) AS oldest_at, max(measured_at) AS newest_at
            FROM gpu_samples GROUP BY source
        ), span AS (
            SELECT read.source,
                coalesce(rolled.newest_at + to_seconds($period),
                    time_bucket(to_seconds($period), oldest_at)) AS since,
                time_bucket(to_seconds($period), read.newest_at) AS until
            FROM read LEFT JOIN rolled USING (source)
        )
        SELECT * FROM span WHERE since < until ORDER BY source
        """,
        period=ROLLUP_SECONDS,
    )


def drop_samples(store: Store, *, keep: timedelta) -> int:
    """Let raw samples and processes go that are older than `keep` before their source's newest.

    Returns the rows gone; roll-ups stay.
    """
    newest = store.query(
        "SELECT source, max(measured_at) AS newest_at FROM gpu_samples GROUP BY source"
    )
    return sum(
        store.delete_before(kept, newest_at - keep, source)
        for source, newest_at in newest.iter_rows()
        for kept in (GpuSample, GpuProcess)
    )


def _rolled(store: Store, source: str, since: datetime, until: datetime) -> pl.DataFrame:
    return store.query(
        """
        SELECT gpu_id, any_value(node_id) AS node_id, any_value(pool) AS pool,
            any_value(slot) AS slot, $period::BIGINT AS period_seconds,
            time_bucket(to_seconds($period), measured_at) AS starts_at,
            count(*) AS sample_count, avg(utilisation_ratio) AS utilisation_mean_ratio,
            max(utilisation_ratio) AS utilisation_max_ratio,
            avg((job_id IS NOT NULL)::INT) AS held_ratio,
            avg(memory_used_bytes) AS memory_used_mean_bytes,
            avg(power_watts) AS power_mean_watts,
            max(temperature_celsius) AS temperature_max_celsius, source
        FROM gpu_samples
        WHERE source = $source AND measured_at >= $since AND measured_at < $until
        GROUP BY gpu_id, source, time_bucket(to_seconds($period), measured_at)
        """,
        period=ROLLUP_SECONDS,
        source=source,
        since=since,
        until=until,
    )


_EPOCH = datetime.fromisoformat("1970-01-02T00:00:00+00:00")


def _newest(store: Store, table: str, at: datetime | None = None) -> datetime:
    newest = store.query(
        f"SELECT max(measured_at) AS at FROM {table} WHERE $at IS NULL OR measured_at <= $at",
        at=at,
    ).item()
    return newest or _EPOCH


def _since(store: Store, table: str, span: timedelta) -> datetime:
    return _newest(store, table) - span
