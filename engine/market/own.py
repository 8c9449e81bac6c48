"""The metrics of ourselves, from our own rows: price, cold start, availability, reliability, wait.

Read by the console's clock, which of a simulated fleet is not that of the offers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from engine.market.facts import Fact, Facts, facts
from engine.market.metric_rows import PRICE_UNIT, Figure, documented_row, unknown_row
from engine.market.metrics import against_others, performance_per_dollar
from warehouse.market import models_of
from warehouse.metric_catalogue import METRICS, US
from warehouse.records import MarketMetric, Pool, PoolState
from warehouse.store import Store

WINDOW = timedelta(days=30)
LEAST_DAYS = 7
"""Days with a price of a pool, below which nothing is said of how it moves."""

_POOLS = """
    SELECT * FROM pools WHERE recorded_at <= $now
    QUALIFY row_number() OVER (PARTITION BY pool ORDER BY recorded_at DESC, rowid DESC) = 1
    ORDER BY pool
"""
_STATES = """
    SELECT * FROM pool_states WHERE measured_at > $since AND measured_at <= $now
    QUALIFY row_number() OVER (PARTITION BY pool ORDER BY measured_at DESC, rowid DESC) = 1
    ORDER BY pool
"""
_AVAILABILITY = """
    SELECT avg((s.queued_jobs = 0 AND s.gpus_on - s.gpus_used - s.gpus_cordoned
            >= p.gpus_per_node)::INT) AS value,
        count(*) AS "rows", min(s.measured_at) AS first, max(s.measured_at) AS last
    FROM pool_states s JOIN (SELECT pool, arg_max(gpus_per_node, recorded_at) AS gpus_per_node
        FROM pools WHERE recorded_at <= $now GROUP BY pool) p USING (pool)
    WHERE s.measured_at > $since AND s.measured_at <= $now
"""
_UTILISATION = """
    SELECT sum(gpus_used) / nullif(sum(gpus_on), 0) AS value, count(*) AS "rows",
        min(measured_at) AS first, max(measured_at) AS last
    FROM pool_states WHERE measured_at > $since AND measured_at <= $now
"""
_RELIABILITY = """
    SELECT 1 - sum(nodes_down)
            / nullif(sum(nodes_down + owned_nodes_on + leased_nodes_on), 0) AS value,
        count(*) AS "rows", min(measured_at) AS first, max(measured_at) AS last
    FROM pool_states WHERE measured_at > $since AND measured_at <= $now
"""
_FAILURES = """
    SELECT sum(failed_jobs) / nullif(sum(started_jobs), 0) AS value, count(*) AS "rows",
        min(measured_at) AS first, max(measured_at) AS last
    FROM pool_states WHERE measured_at > $since AND measured_at <= $now
"""
_QUEUE_WAIT = """
    SELECT quantile_cont(seconds, 0.9) AS value, count(*) AS "rows", min(started_at) AS first,
        max(started_at) AS last
    FROM (
        SELECT epoch(min(happened_at) FILTER (event = 'started'))
                - epoch(min(happened_at) FILTER (event = 'submitted')) AS seconds,
            min(happened_at) FILTER (event = 'started') AS started_at
        FROM job_events WHERE happened_at > $since AND happened_at <= $now
            AND event IN ('submitted', 'started')
        GROUP BY job_id
    ) WHERE seconds >= 0
"""
_COLD_START = """
    SELECT median(seconds) AS value, count(*) AS "rows", min(ready_at) AS first,
        max(ready_at) AS last
    FROM (
        SELECT epoch(measured_at) - epoch(asked_at) AS seconds, measured_at AS ready_at FROM (
            SELECT node_id, state, measured_at,
                lag(state) OVER each AS before,
                max(measured_at) FILTER (begins) OVER (PARTITION BY node_id ORDER BY measured_at,
                    place ROWS UNBOUNDED PRECEDING) AS asked_at
            FROM (
                SELECT *, rowid AS place, state = 'provisioning' AND coalesce(lag(state) OVER (
                    PARTITION BY node_id ORDER BY measured_at, rowid), '') <> 'provisioning'
                    AS begins
                FROM node_states WHERE measured_at > $since AND measured_at <= $now
            )
            WINDOW each AS (PARTITION BY node_id ORDER BY measured_at, place)
        ) WHERE state = 'active' AND before = 'provisioning'
    )
"""
"""From the first reading of a node on its way to the first in which it is active; both are read
at the collector's pace, so that it is right to within one of its intervals."""
_DAILY_PRICES = """
    SELECT pool, date_trunc('day', measured_at) AS day, median(price_usd_per_gpu_hour) AS price,
        count(*) AS polls
    FROM pool_states WHERE measured_at > $since AND measured_at <= $now
    GROUP BY ALL ORDER BY pool, day
"""

MEASURED: dict[str, tuple[str, str]] = {
    "availability_rate": ("pool_states", _AVAILABILITY),
    "utilisation": ("pool_states", _UTILISATION),
    "host_reliability": ("pool_states", _RELIABILITY),
    "job_failures": ("pool_states", _FAILURES),
    "queue_wait": ("job_events", _QUEUE_WAIT),
    "cold_start": ("node_states", _COLD_START),
}
"""Each metric's table and the SQL that its value comes from; the evidence shows it."""


def own_metrics(
    store: Store, now: datetime, others: pl.DataFrame, at: datetime, known: Facts | None = None
) -> list[MarketMetric]:
    """Our metrics up to `now` by the console's clock, stored as of `at` by the market's.

    `others` are the competitors' headline prices: `provider`, `model`, `price`. What no row of
    ours tells may stand in the facts, under the provider `us`.
    """
    known = known or facts()
    said = known.of(US)
    pools = store.rows(Pool, _POOLS, now=now)
    states = {s.pool: s for s in store.rows(PoolState, _STATES, since=now - WINDOW, now=now)}
    figures = {
        **_measured(store, now),
        **_offered(pools),
        **_prices(pools, states, others, known),
        **_movements(store, now),
        **_age(states, now),
    }
    rows = [_row_of(name, figures.get(name), said.get(name), at) for name in METRICS]
    return rows + [_price_row(pool, states[pool.pool], at) for pool in pools if pool.pool in states]


def _row_of(name: str, figure: Figure | None, fact: Fact | None, at: datetime) -> MarketMetric:
    if figure is not None and (figure.value is not None or fact is None):
        return _row(name, figure, at)
    return unknown_row(US, name, at) if fact is None else documented_row(fact, at)


def _measured(store: Store, now: datetime) -> dict[str, Figure]:
    found = {}
    for name, (table, sql) in MEASURED.items():
        row = store.query(sql, since=now - WINDOW, now=now).row(0, named=True)
        if row["value"] is not None:
            span = {"from": row["first"].isoformat(), "to": row["last"].isoformat()}
            told: dict[str, Any] = {"table": table, "sql": " ".join(sql.split()), **span}
            found[name] = Figure(float(row["value"]), int(row["rows"]), told)
    return found


def _offered(pools: list[Pool]) -> dict[str, Figure]:
    if not pools:
        return {}
    counts: dict[str, Callable[[], int]] = {
        "regions": lambda: len({pool.region for pool in pools}),
        "gpu_models": lambda: len({pool.gpu_model for pool in pools}),
        "max_gpus": lambda: max(pool.gpus_per_node for pool in pools),
    }
    told = {"table": "pools", "sql": "SELECT * FROM pools"}
    return {name: Figure(float(count()), len(pools), told) for name, count in counts.items()}


def _prices(
    pools: list[Pool], states: dict[str, PoolState], others: pl.DataFrame, known: Facts
) -> dict[str, Figure]:
    """Our price over the others', by the model as we name it: theirs of every form it may mean."""
    ours: dict[str, list[float]] = {}
    meant: dict[str, str] = {}
    for pool in pools:
        if pool.pool in states:
            ours.setdefault(pool.gpu_model, []).append(states[pool.pool].price_usd_per_gpu_hour)
            for model in models_of(pool.gpu_model, pool.gpu_memory_bytes):
                meant[model] = pool.gpu_model
    own = {model: sum(prices) / len(prices) for model, prices in ours.items()}
    theirs = others.filter(pl.col("model").is_in(list(meant))).with_columns(
        pl.col("model").replace(meant)
    )
    told = {"table": "pool_states", "sql": "SELECT pool, price_usd_per_gpu_hour FROM pool_states"}
    found = against_others(own, theirs, len(states))
    worth = performance_per_dollar(own, known)
    return {
        "on_demand_price": Figure(found.value, found.rows, found.more | told),
        "performance_per_dollar": Figure(worth.value, worth.rows, worth.more | told),
    }


def _movements(store: Store, now: datetime) -> dict[str, Figure]:
    daily = store.query(_DAILY_PRICES, since=now - WINDOW, now=now)
    steps = daily.with_columns((pl.col("price") / pl.col("price").shift(1).over("pool")).alias("s"))
    each = (
        steps.group_by("pool")
        .agg(
            ((pl.col("s") - 1).abs() > 0.005).sum().cast(pl.Float64).alias("changes"),
            pl.col("s").log().std().alias("volatility"),
            pl.len().alias("days"),
        )
        .filter(pl.col("days") >= LEAST_DAYS)
    )
    if each.is_empty():
        return {}
    told = {"table": "pool_states", "sql": " ".join(_DAILY_PRICES.split())}
    rows = int(daily["polls"].sum())
    return {
        "price_changes": Figure(float(each["changes"].mean()), rows, told),  # type: ignore[arg-type]
        "price_volatility": Figure(float(each["volatility"].mean()), rows, told),  # type: ignore[arg-type]
    }


def _age(states: dict[str, PoolState], now: datetime) -> dict[str, Figure]:
    if not states:
        return {}
    newest = max(state.measured_at for state in states.values())
    told = {"table": "pool_states", "sql": "SELECT max(measured_at) FROM pool_states"}
    return {"data_age": Figure((now - newest).total_seconds() / 3600, len(states), told)}


def _row(name: str, figure: Figure, at: datetime) -> MarketMetric:
    return MarketMetric(
        provider=US,
        metric=name,
        value=figure.value,
        unit=METRICS[name].unit,
        basis="own",
        evidence={"rows": figure.rows, **figure.more},
        measured_at=at,
    )


def _price_row(pool: Pool, state: PoolState, at: datetime) -> MarketMetric:
    return MarketMetric(
        provider=US,
        metric="on_demand_price",
        model=pool.gpu_model,
        value=state.price_usd_per_gpu_hour,
        unit=PRICE_UNIT,
        basis="own",
        evidence={"rows": 1, "pool": pool.pool, "read_at": state.measured_at.isoformat(),
                  "link": "/api/v1/prices"},
        measured_at=at,
    )  # fmt: skip
