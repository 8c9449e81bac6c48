"""What is asked of the fleet: its pools, nodes and GPUs, now and over time."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from warehouse import rollups
from warehouse.paging import Page, Position, page_of
from warehouse.records import NodeReading, Pool, PoolState
from warehouse.store import Store

READING_WINDOW = timedelta(minutes=15)
"""A GPU or node that was not read for this long before the newest reading is gone."""

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
    clocks = rollups.source_clocks(store) if at is None else _clocks_at(store, at)
    newest = [(clock, clock - READING_WINDOW) for clock in clocks.values()]
    return store.query(
        """
        WITH newest AS (
            SELECT unnest($sources::VARCHAR[]) AS source,
                unnest($newest::TIMESTAMPTZ[]) AS newest_at
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
            AND measured_at > $oldest AND measured_at <= $latest AND parent_gpu_id IS NULL
        QUALIFY row_number() OVER (PARTITION BY gpu_id ORDER BY measured_at DESC) = 1
        ORDER BY pool, node_id, slot
        """,
        since=_newest(store, "node_states", at) - READING_WINDOW,
        window=READING_WINDOW.total_seconds(),
        at=at,
        sources=list(clocks),
        newest=[clock for clock, _ in newest],
        oldest=min((since for _, since in newest), default=_EPOCH),
        latest=max(clocks.values(), default=_EPOCH),
    )


def _clocks_at(store: Store, at: datetime) -> dict[str, datetime]:
    newest = store.query(
        """
        SELECT source, max(measured_at) AS newest_at FROM gpu_samples WHERE measured_at <= $at
        GROUP BY source
        """,
        at=at,
    )
    return dict(newest.iter_rows())


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
    offset: Position = 0,
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
    since = _newest(store, "node_states") - READING_WINDOW
    # Nearly always it was read just now; only for one that is gone all days are looked through.
    for from_at in (since, _EPOCH):
        found = store.rows(
            NodeReading,
            """
            SELECT * FROM node_states WHERE node_id = $node_id AND measured_at > $since
            ORDER BY measured_at DESC LIMIT 1
            """,
            node_id=node_id,
            since=from_at,
        )
        if found:
            return found[0]
    return None


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


_EPOCH = datetime.fromisoformat("1970-01-02T00:00:00+00:00")


def _newest(store: Store, table: str, at: datetime | None = None) -> datetime:
    if at is None:  # without a condition the catalogue knows it, and no file is read
        return store.query(f"SELECT max(measured_at) AS at FROM {table}").item() or _EPOCH
    newest = store.query(
        f"SELECT max(measured_at) AS at FROM {table} WHERE measured_at <= $at", at=at
    ).item()
    return newest or _EPOCH


def _since(store: Store, table: str, span: timedelta) -> datetime:
    return _newest(store, table) - span
