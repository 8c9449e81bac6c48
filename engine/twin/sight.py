"""What policies read of a pool that is known by rows alone: training's own code on the rows' pool.

Rows become the arrays of `engine/simulator/standing.py`, those a row of state, and `read_features`
reads it; so a fleet seen through the warehouse gives the very numbers that training gave. What no
row tells is filled neutrally:
- nodes that the pool's reading counts and no node's reading names stand in its counted state;
- GPUs in use by nobody known belong to strangers that began an hour ago at our price, and jobs that
  wait unnamed have waited as long as the oldest;
- a node without health is sound; a lease without a start began a day ago; a broken or starting node
  without an instant is back after its usual time;
- terms of the pool that nobody told are the defaults, the penalty for waiting a GPU-hour's market
  price; a market without a price is our own price.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.history import ACCEPTANCE_MIDPOINT, ACCEPTANCE_SLOPE, NO_PAST, PoolPast
from engine.simulator.continuing import known_tape
from engine.simulator.features import FEATURE_COUNT
from engine.simulator.layout import NODE_STATES, State, blank_state
from engine.simulator.offers import offers_forecast
from engine.simulator.settings import Economics, PoolSettings
from engine.simulator.sight import see_many
from engine.simulator.standing import ObservedPool, lay_out
from engine.twin.census import census
from warehouse.records import NodeReading, Pool

if TYPE_CHECKING:
    from engine.observe import PoolObservation

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

STRANGER_SECONDS = 3600
"""age of work that nobody knows"""
OLD_LEASE_SECONDS = 86_400
_STATES = {name: code for code, name in enumerate(NODE_STATES)}


class Standing(NamedTuple):
    """A pool as the simulator wants it, and what its nodes and running jobs are called."""

    pool: ObservedPool
    node_ids: list[str]
    """by the nodes' places"""
    job_ids: list[str]
    """of the running jobs, by their places; empty for a stranger"""
    queued_ids: list[str]
    """of the queued jobs"""


def raw_features(seen: PoolObservation) -> Floats:
    """The figures of a pool as policies read them, shape (FEATURE_COUNT,); see `features.py`."""
    observed = observed_pool(seen, None)
    out = np.zeros((1, FEATURE_COUNT))
    tape = known_tape(observed)
    told = observed.offers_forecast
    assert told is not None
    hours = np.array([observed.hour_of_week])
    last = np.array([len(tape) - 1])
    see_many(standing_state(observed), tape[None], last, told[None], hours, out)
    figures: Floats = out[0]
    return figures


def standing_state(observed: ObservedPool) -> State:
    """One row of state with the pool as it stands; how long its jobs go on is left open."""
    nodes, known = len(observed.node_state), max(observed.known_jobs, 1)
    s = blank_state(1, nodes, observed.settings.node_gpus, jobs=known)
    left = np.ones((1, len(observed.running_gpus)), np.int64)
    lay_out(s, observed, left, np.ones((1, len(observed.queued_gpus)), np.int64))
    return s


def observed_pool(seen: PoolObservation, past: PoolPast | None) -> ObservedPool:
    """The pool as the simulator wants it, from rows alone, at the instant of its reading."""
    return standing(seen, past).pool


def standing(seen: PoolObservation, past: PoolPast | None) -> Standing:
    """The pool with the names of its nodes and jobs."""
    known, now = past or NO_PAST, seen.state.measured_at
    terms = seen.terms or assumed_terms(seen.pool, market_price(seen))
    nodes = census(seen)
    running, held = _running(seen, nodes)
    waiting = _waiting(seen)
    price, market = seen.state.price_usd_per_gpu_hour, market_price(seen)
    hour_of_week = now.weekday() * 24 + now.hour + now.minute / 60 + now.second / 3600
    offered = seen.tape.offered_jobs if seen.tape else np.zeros(0)
    told = offers_forecast(offered, hour_of_week)
    pool = ObservedPool(
        settings=_settings(seen.pool, terms, market, nodes),
        acceptance_scale=known.acceptance_scale,
        hour_of_week=hour_of_week,
        node_state=np.array([_STATES[node.state] for node in nodes], np.int64),
        node_kind=np.array([int(node.kind == "leased") for node in nodes], np.int64),
        node_ready_in_seconds=_whole([_ready_in(node, terms, now) for node in nodes]),
        node_billed_for_seconds=_whole(
            [_since(node.lease_started_at, now, OLD_LEASE_SECONDS) for node in nodes]
        ),
        node_health=np.array(
            [1.0 if node.health_ratio is None else node.health_ratio for node in nodes]
        ),
        running_gpus=_whole(running["gpus"]),
        running_age_seconds=_whole(running["age"]),
        running_price_usd=np.array(running["price"], np.float64),
        running_nodes=held,
        queued_gpus=_whole(waiting["gpus"]),
        queued_wait_seconds=_whole(waiting["wait"]),
        queued_price_usd=np.array(waiting["price"], np.float64),
        price_usd_per_gpu_hour=price,
        market_usd_per_gpu_hour=market,
        spot_share_ratio=terms.spot_share_ratio,
        arrivals_per_hour=known.arrivals_per_hour,
        past_gpus=known.gpus,
        past_duration_seconds=known.duration_seconds,
        tape=seen.tape.lines if seen.tape else None,
        offers_forecast=told,
    )
    return Standing(pool, [node.node_id for node in nodes], running["name"], waiting["name"])


def market_price(seen: PoolObservation) -> float:
    """The market's price; our own where nobody reads the market."""
    return float(seen.state.market_usd_per_gpu_hour or seen.state.price_usd_per_gpu_hour)


def assumed_terms(pool: Pool, market_usd_per_gpu_hour: float) -> Economics:
    """The defaults, the penalty for waiting about a GPU-hour's market price."""
    return _with_costs(
        pool,
        Economics(
            sla_usd_per_gpu_hour=round(market_usd_per_gpu_hour, 2),
            acceptance_slope=ACCEPTANCE_SLOPE,
            acceptance_midpoint=ACCEPTANCE_MIDPOINT,
        ),
    )


def _with_costs(pool: Pool, terms: Economics) -> Economics:
    # What the pool's own row says comes before what is agreed.
    return replace(
        terms,
        owned_usd_per_gpu_hour=pool.owned_idle_usd_per_gpu_hour,
        busy_usd_per_gpu_hour=pool.owned_busy_usd_per_gpu_hour,
        burst_usd_per_gpu_hour=pool.leased_usd_per_gpu_hour,
    )


def _settings(
    pool: Pool, terms: Economics, market: float, nodes: Sequence[NodeReading]
) -> PoolSettings:
    owned = sum(node.kind == "owned" for node in nodes)
    return PoolSettings(
        name=pool.pool,
        gpu_model=pool.gpu_model,
        region=pool.region,
        owned_nodes=owned,
        burst_nodes=len(nodes) - owned,
        list_price_usd_per_gpu_hour=market,
        market_usd_per_gpu_hour=market,
        node_gpus=max(pool.gpus_per_node, 1),
        economics=_with_costs(pool, terms),
    )


# -- jobs ------------------------------------------------------------------------------


def _running(
    seen: PoolObservation, nodes: Sequence[NodeReading]
) -> tuple[dict[str, list[Any]], list[list[int]]]:
    """The jobs that hold GPUs, and the places of the nodes that each holds.

    Rows of different sources are a moment apart: a job that would not fit is left out rather than
    let two jobs hold one GPU.
    """
    size, price = max(seen.pool.gpus_per_node, 1), seen.state.price_usd_per_gpu_hour
    index = {node.node_id: at for at, node in enumerate(nodes)}
    free = [size] * len(nodes)
    found: dict[str, list[Any]] = {"gpus": [], "age": [], "price": [], "name": []}
    held: list[list[int]] = []

    def put(gpus: int, age: float, paid: float, places: list[int], name: str = "") -> None:
        for place in places:
            free[place] -= min(gpus, size)
        held.append(places)
        values = {"gpus": gpus, "age": age, "price": paid, "name": name}
        for column, value in values.items():
            found[column].append(value)

    for job in seen.running.iter_rows(named=True):
        each, gpus = min(job["gpu_count"], size), job["gpu_count"]
        named = json.loads(job.get("node_ids") or "[]")
        places = sorted(index[node] for node in named if node in index)
        if not named:
            places = _places_like(gpus, size, free, nodes)
        if places and all(free[place] >= each for place in places):
            age = _since(job["started_at"], seen.state.measured_at, STRANGER_SECONDS)
            paid = price if job["price"] is None else job["price"]
            put(gpus, age, paid, places, job.get("job_id", ""))
    for at, node in enumerate(nodes):
        unknown = min(node.gpus_used - (size - free[at]), free[at])
        if unknown > 0:
            put(unknown, STRANGER_SECONDS, price, [at])
    return found, held


def _places_like(
    gpus: int, size: int, free: Sequence[int], nodes: Sequence[NodeReading]
) -> list[int]:
    """Nodes whose reading says that they hold as much more than is known of them."""
    unknown = [node.gpus_used - (size - left) for node, left in zip(nodes, free, strict=True)]
    wanted, each = -(-gpus // size), min(gpus, size)
    fitting = [at for at, more in enumerate(unknown) if more >= each]
    return fitting[:wanted] if len(fitting) >= wanted else []


def _waiting(seen: PoolObservation) -> Mapping[str, list[Any]]:
    """The jobs that wait, the longest first, and strangers for those that are only counted."""
    state, now = seen.state, seen.state.measured_at
    jobs, own = seen.waiting, state.price_usd_per_gpu_hour
    found: dict[str, list[Any]] = {
        "gpus": jobs["gpu_count"].to_list(),
        "wait": [_since(at, now, 0) for at in jobs["queued_at"]],
        "price": jobs["price"].fill_null(own).to_list(),
        "name": jobs["job_id"].to_list(),
    }
    unnamed = state.queued_jobs - len(found["gpus"])
    gpus = state.queued_gpus - sum(found["gpus"])
    for turn in range(unnamed if gpus >= unnamed else 0):
        found["gpus"].append(gpus // unnamed + (turn < gpus % unnamed))
        found["wait"].append(state.oldest_wait_seconds)
        found["price"].append(own)
        found["name"].append("")
    return found


# -- instants --------------------------------------------------------------------------


def _ready_in(node: NodeReading, terms: Economics, now: datetime) -> float:
    if node.ready_at is not None:
        return max(0.0, (node.ready_at - now).total_seconds())
    if node.state == "down":
        return terms.repair_seconds
    if node.kind == "owned":
        return terms.owned_boot_seconds
    return (terms.burst_boot_low_seconds + terms.burst_boot_high_seconds) / 2


def _since(instant: datetime | None, now: datetime, otherwise: float) -> float:
    return max(0.0, (now - instant).total_seconds()) if instant else otherwise


def _whole(values: Sequence[float] | pl.Series) -> Integers:
    return np.array(values, np.float64).astype(np.int64)
