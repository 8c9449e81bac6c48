"""How demand answers our price: estimated from our own price changes, else assumed.

A change is two episodes of constant price next to each other, each with enough offers. Against the
change of the log price over the market's (the market is the control: where all move together,
nothing moved) stands the change of the log share of customers who took the price. How many come is
left out of it: a price that was raised because many came must not look like one that draws them.
The slope through the origin, by weighted least squares, is the elasticity; its 80 % interval is
the wider of two bootstraps, of the changes and of the customers, always with the same seed. With
too few changes, or an interval that reaches 0 - no price can be steered by that - the stated
assumption holds, and the estimate is told beside it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.history import ACCEPTANCE_MIDPOINT, ACCEPTANCE_SLOPE
from warehouse.records import PriceElasticity
from warehouse.store import Store

WINDOW = timedelta(days=60)
LEAST_CHANGES = 12
"""Price changes below which nothing is estimated."""
LEAST_OFFERED = 10
"""Offers that an episode needs."""
LEAST_STEP_RATIO = 0.01
"""A change of the price over the market's by less tells nothing."""
NEXT_TO = timedelta(hours=6)
"""Longest gap between two episodes that are compared."""
DRAWS = 400
LOW, HIGH = 0.1, 0.9
ASSUMED_SPREAD = 0.5
"""The assumed slope may be half or one and a half times as steep."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_READINGS = """
    SELECT pool, price_usd_per_gpu_hour AS price, market_usd_per_gpu_hour AS market,
        offered_jobs AS offered, accepted_jobs AS accepted, measured_at AS "at"
    FROM pool_states WHERE measured_at > $since AND measured_at <= $now
        AND ($pool IS NULL OR pool = $pool)
    ORDER BY pool, measured_at, rowid
"""


@dataclass(frozen=True)
class Episode:
    """A span in which our price stood still."""

    price: float
    market: float | None
    """The market's mean price in it; None where nobody read it."""
    offered: int
    accepted: int
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class Changes:
    """Price changes, n of them between m episodes."""

    price: Floats
    """Change of the log of our price over the market's, shape (n,)."""
    pairs: Integers
    """Of each change the place of the episode before and of the one after, shape (n, 2)."""
    offered: Integers
    """Customers of each episode, shape (m,)."""
    accepted: Integers
    """Those who took the price, shape (m,)."""


def elasticity(
    store: Store, pool: str, now: datetime, *, market_usd_per_gpu_hour: float | None = None
) -> PriceElasticity:
    """How demand answers a pool's price at an instant of the console's clock.

    `market_usd_per_gpu_hour` is the market's price now where the readings don't tell it.
    """
    readings = store.query(_READINGS, since=now - WINDOW, now=now, pool=pool)
    found = changes_of(list(episodes(readings)))
    count = len(found.price)
    assumed = _assumed(readings, market_usd_per_gpu_hour)
    if count < LEAST_CHANGES:
        why = f"{count} of our price changes tell something and {LEAST_CHANGES} are asked"
        return _assumption(pool, assumed, count, why, now)
    estimate, low, high = estimated(found, zlib.crc32(pool.encode()))
    if high >= 0:
        why = (
            f"{count} price changes gave {estimate:.2f} (80 % {low:.2f} to {high:.2f}), "
            "which reaches 0 and can't steer a price"
        )
        return _assumption(pool, assumed, count, why, now)
    detail = (
        f"Estimated from {count} changes of our price over the market's in the last "
        f"{WINDOW.days} days, by the share of customers who took it; 80 % interval by "
        f"{DRAWS} redraws of the changes and of the customers, whichever is wider."
    )
    return PriceElasticity(
        pool=pool,
        elasticity=estimate,
        low=low,
        high=high,
        basis="estimated",
        price_changes=count,
        detail=detail,
        made_at=now,
    )


def episodes(readings: pl.DataFrame) -> Iterator[Episode]:
    """The spans of constant price of one pool's readings, in time order.

    A reading counts what came since the one before it: the first after a change has customers of
    both prices, and is left out.
    """
    if readings.is_empty():
        return
    grouped = (
        readings.with_columns(pl.col("price").rle_id().alias("turn"))
        .group_by("turn", maintain_order=True)
        .agg(
            pl.col("price").first(),
            pl.col("market").mean(),
            pl.col("offered").slice(1).sum(),
            pl.col("accepted").slice(1).sum(),
            pl.col("at").min().alias("first"),
            pl.col("at").max().alias("last"),
        )
        .drop("turn")
    )
    for row in grouped.iter_rows():
        yield Episode(*row)


def changes_of(found: list[Episode]) -> Changes:
    """The changes between episodes with enough offers that lie next to each other."""
    enough = [one for one in found if one.offered >= LEAST_OFFERED]
    rows = [
        (step, place, place + 1)
        for place, (before, after) in enumerate(pairwise(enough))
        if after.starts_at - before.ends_at <= NEXT_TO
        and abs(step := _price_step(before, after)) >= LEAST_STEP_RATIO
    ]
    return Changes(
        np.array([row[0] for row in rows], np.float64),
        np.array([row[1:] for row in rows], np.int64).reshape(-1, 2),
        np.array([one.offered for one in enough], np.int64),
        np.array([one.accepted for one in enough], np.int64),
    )


def estimated(found: Changes, seed: int) -> tuple[float, float, float]:
    """The elasticity and the ends of its 80 % interval.

    Drawing the changes anew tells how they differ; drawing the customers of each episode anew,
    how much of that is chance which two neighbouring changes share. The wider end counts.
    """
    draws = np.random.default_rng(seed)
    count = len(found.price)
    demand, weight = _demand_steps(found, found.accepted)
    picks = draws.integers(0, count, (DRAWS, count))
    by_changes = _slopes(found.price[picks], demand[picks], weight[picks])
    shares = (found.accepted + 0.5) / (found.offered + 1)
    drawn = draws.binomial(found.offered, shares, (DRAWS, len(shares)))
    by_customers = _slopes(found.price, *_demand_steps(found, drawn))
    ends = np.quantile([by_changes, by_customers], [LOW, HIGH], axis=1)
    estimate = float(_slopes(found.price, demand, weight))
    return estimate, float(ends[0].min()), float(ends[1].max())


def assumed_elasticity(price_ratio: float, slope: float = ACCEPTANCE_SLOPE) -> float:
    """By the assumed acceptance curve at our price over the market's; -2 at 1."""
    accepted = 1 / (1 + np.exp(slope * (price_ratio - ACCEPTANCE_MIDPOINT)))
    return float(-slope * price_ratio * (1 - accepted))


# -- how -------------------------------------------------------------------------------


def _price_step(before: Episode, after: Episode) -> float:
    step = np.log(after.price / before.price)
    if before.market and after.market:
        step -= np.log(after.market / before.market)
    return float(step)


def _demand_steps(found: Changes, accepted: Integers) -> tuple[Floats, Floats]:
    """The change of the log share that took the price, and one over its variance; accepted
    (..., m) to (..., n)."""
    # half an acceptance is added to both sides, so that none at all has a logarithm
    share = (accepted + 0.5) / (found.offered + 1)
    variance = (1 - share) / (share * (found.offered + 1))
    before, after = found.pairs[:, 0], found.pairs[:, 1]
    step: Floats = np.log(share[..., after] / share[..., before])
    weight: Floats = 1 / np.maximum(variance[..., before] + variance[..., after], 1e-6)
    return step, weight


def _slopes(price: Floats, demand: Floats, weight: Floats) -> Floats:
    """The weighted slope through the origin, over the last axis."""
    slope: Floats = (weight * price * demand).sum(-1) / (weight * price * price).sum(-1)
    return slope


def _assumed(readings: pl.DataFrame, market: float | None) -> tuple[float, float, float, float]:
    """The price ratio, the elasticity there, and with the slope half and one and a half times."""
    ratio = 1.0
    if not readings.is_empty():
        last = readings.row(-1, named=True)
        reference = last["market"] or market
        ratio = last["price"] / reference if reference else 1.0
    steep, flat = 1 + ASSUMED_SPREAD, 1 - ASSUMED_SPREAD
    several = [assumed_elasticity(ratio, ACCEPTANCE_SLOPE * by) for by in (1.0, steep, flat)]
    return ratio, several[0], min(several), max(several)


def _assumption(
    pool: str,
    assumed: tuple[float, float, float, float],
    count: int,
    why: str,
    now: datetime,
) -> PriceElasticity:
    ratio, middle, low, high = assumed
    detail = (
        f"Assumed, since {why}: customers accept with 1 / (1 + exp({ACCEPTANCE_SLOPE:g} (x - "
        f"{ACCEPTANCE_MIDPOINT:g}))), x being our price over the market's, now {ratio:.2f}; that "
        "is an elasticity of -2 at the market's price (engine/history.py; no public trace settles "
        "it). The range is that of a slope half and one and a half times as steep."
    )
    return PriceElasticity(
        pool=pool,
        elasticity=middle,
        low=low,
        high=high,
        basis="assumed",
        price_changes=count,
        detail=detail,
        made_at=now,
    )
