"""Generated episodes, and how any episode is completed with market, forecasts and luck.

Pools differ in everything a policy may meet (domain randomisation, Tobin et al., 2017):
size, load, sizes and durations of jobs, rhythm, market, customers, cold start, minimum bill,
failures and costs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engine.simulator.episodes import Episode
from engine.simulator.layout import TICK_SECONDS
from engine.simulator.market import market_ahead
from engine.simulator.offers import offers_forecast_path
from engine.simulator.settings import Economics, PoolSettings
from engine.simulator.workload import Arrivals

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

WEEK_TICKS = 672
WARM_TICKS = 192
DAY_SECONDS = 86_400
LONGEST_SECONDS = 2 * DAY_SECONDS
"""Longer jobs are cut to this: who rents by the hour for longer holds a reservation."""
MOST_NODES = 120
USUAL_MARKET_USD = 2.89
"""the market's price that the defaults of `Economics` belong to"""
SIZES_GPUS = np.array([1, 2, 4, 8, 16, 32])


@dataclass(frozen=True)
class Demand:
    """What generated customers are like."""

    size_shares: tuple[float, ...]
    """of SIZES_GPUS"""
    median_seconds: float
    """of a one-GPU job; larger ones run longer by their size to the power of a quarter"""
    log_deviation: float
    daily_swing: float
    """log amplitude of the day's rhythm"""
    peak_hour: float
    """UTC"""
    weekend_ratio: float
    """weekend's submissions over a working day's"""
    level_deviation: float
    """log deviation of a day's level"""
    burstiness: float
    """0 for Poisson arrivals; else the variance beyond it, hour by hour"""


def training_episodes(
    count: int,
    seed: int,
    *,
    ticks: int = WARM_TICKS + WEEK_TICKS,
    largest_nodes: int = MOST_NODES,
    usual_terms: bool = False,
) -> list[Episode]:
    """Generated episodes, every one of another pool; the same seed gives the same ones.

    With `usual_terms` costs, boot times, customers and failures are those of `Economics`' defaults,
    in proportion to the pool's price; only size, load, jobs, rhythm and market are drawn.
    """
    return [
        generated_episode(np.random.default_rng([seed, turn]), f"generated-{seed}-{turn}", ticks,
                          largest_nodes, usual_terms=usual_terms)
        for turn in range(count)
    ]  # fmt: skip


def generated_episode(
    random: np.random.Generator,
    name: str,
    ticks: int,
    largest_nodes: int = MOST_NODES,
    kin: PoolSettings | None = None,
    usual_terms: bool = False,
) -> Episode:
    """One pool with its customers, drawn; of the same GPU model as `kin` where that is given."""
    settings = _drawn_pool(random, name, largest_nodes)
    if usual_terms:
        settings = replace(settings, economics=_usual_economics(settings))
    if kin is not None:
        settings = replace(
            settings,
            economics=kin.economics,
            list_price_usd_per_gpu_hour=kin.list_price_usd_per_gpu_hour,
            market_usd_per_gpu_hour=kin.market_usd_per_gpu_hour,
        )
    demand = _drawn_demand(random)
    hour_of_week = float(random.integers(0, 168))
    arrivals = arrivals_of_demand(random, settings, demand, hour_of_week, ticks)
    return episode_of(name, settings, arrivals, hour_of_week, ticks, random)


def episode_of(
    name: str,
    settings: PoolSettings,
    arrivals: Arrivals,
    hour_of_week: float,
    ticks: int,
    random: np.random.Generator,
    warm_ticks: int = WARM_TICKS,
) -> Episode:
    """The rest of an episode: market, forecasts and luck."""
    level = settings.market_volatility_ratio * float(random.standard_normal())
    first = settings.market_usd_per_gpu_hour * float(np.exp(level))
    market = market_ahead(settings, first, random.standard_normal((1, ticks)))[0]
    offered = np.zeros(ticks + 1)
    quarters = arrivals.submitted_at // TICK_SECONDS + 1
    offered[: ticks + 1] += np.bincount(quarters, minlength=ticks + 1)[: ticks + 1]
    return Episode(
        name=name,
        settings=settings,
        seed=int(random.integers(1 << 40)),
        hour_of_week=hour_of_week,
        arrivals=arrivals,
        market_usd_per_gpu_hour=market,
        forecast=offers_forecast_path(offered, hour_of_week),
        ticks=ticks,
        warm_ticks=min(warm_ticks, ticks),
    )


def _drawn_pool(random: np.random.Generator, name: str, largest_nodes: int) -> PoolSettings:
    nodes = int(np.round(np.exp(random.uniform(np.log(10), np.log(largest_nodes)))))
    burst = max(2, int(nodes * random.uniform(0.2, 0.4)))
    market = float(np.exp(random.uniform(np.log(0.9), np.log(4.0))))
    low = float(random.uniform(600, 1500))
    economics = Economics(
        owned_usd_per_gpu_hour=market * random.uniform(0.04, 0.10),
        busy_usd_per_gpu_hour=market * random.uniform(0.02, 0.05),
        burst_usd_per_gpu_hour=market * random.uniform(0.52, 0.80),
        minimum_bill_seconds=int(random.choice([0, 1800, 3600, 3600, 3600, 7200, 14_400])),
        owned_boot_seconds=int(random.uniform(240, 900)),
        burst_boot_low_seconds=int(low),
        burst_boot_high_seconds=int(low + random.uniform(120, 1200)),
        sla_usd_per_gpu_hour=market * random.uniform(0.7, 1.4),
        failures_per_1000_node_days=float(np.exp(random.uniform(np.log(1), np.log(12)))),
        degradations_per_1000_node_days=float(np.exp(random.uniform(np.log(3), np.log(30)))),
        acceptance_slope=float(random.uniform(3.5, 6.5)),
        acceptance_midpoint=float(random.uniform(1.02, 1.14)),
    )
    return PoolSettings(
        name, "any", "any", nodes - burst, burst, market, market,
        load_ratio=float(random.uniform(0.75, 1.5)),
        market_volatility_ratio=float(random.uniform(0.03, 0.15)),
        market_reversion_days=float(random.uniform(0.5, 5.0)),
        economics=economics,
    )  # fmt: skip


def _usual_economics(pool: PoolSettings) -> Economics:
    usual, share = Economics(), pool.market_usd_per_gpu_hour / USUAL_MARKET_USD
    return replace(
        usual,
        owned_usd_per_gpu_hour=usual.owned_usd_per_gpu_hour * share,
        busy_usd_per_gpu_hour=usual.busy_usd_per_gpu_hour * share,
        burst_usd_per_gpu_hour=usual.burst_usd_per_gpu_hour * share,
        sla_usd_per_gpu_hour=usual.sla_usd_per_gpu_hour * share,
    )


def _drawn_demand(random: np.random.Generator) -> Demand:
    # Around the published mixes: Philly (Jeon et al., ATC'19), Helios (Hu et al., SC'21).
    shares = random.dirichlet(np.array([5.2, 1.3, 1.4, 1.7, 0.33, 0.07]) * 2)
    return Demand(
        size_shares=tuple(float(share) for share in shares),
        median_seconds=float(np.exp(random.uniform(np.log(500), np.log(9000)))),
        log_deviation=float(random.uniform(1.2, 2.6)),
        daily_swing=float(random.uniform(0.1, 0.8)),
        peak_hour=float(random.uniform(0, 24)),
        weekend_ratio=float(random.uniform(0.6, 1.0)),
        level_deviation=float(random.uniform(0.05, 0.3)),
        burstiness=float(random.choice([0.0, 0.05, 0.2, 0.5])),
    )


def arrivals_of_demand(
    random: np.random.Generator,
    settings: PoolSettings,
    demand: Demand,
    hour_of_week: float,
    ticks: int,
) -> Arrivals:
    """Everyone who asks, sized so that at market price the pool is loaded as its settings say."""
    owned_gpus = settings.owned_nodes * settings.node_gpus
    sizes = SIZES_GPUS[max(settings.node_gpus, owned_gpus // 3) >= SIZES_GPUS]
    shares = np.array(demand.size_shares[: len(sizes)])
    shares = shares / shares.sum()
    pool_draws = _durations(random, demand, random.choice(sizes, 20_000, p=shares))
    work = float((pool_draws[0] * pool_draws[1]).mean()) / 3600
    at_market = settings.economics.acceptance_ratio(1.0)
    per_hour = owned_gpus * settings.load_ratio / (work * at_market)
    hours = np.arange(-(-ticks * TICK_SECONDS // 3600))
    of_week: Floats = np.mod(hours + hour_of_week, 168.0)
    rates = per_hour * _rhythm(random, demand, of_week)
    if demand.burstiness > 0:
        rates = rates * random.gamma(1 / demand.burstiness, demand.burstiness, len(hours))
    counts = random.poisson(rates)
    submitted = np.repeat(hours * 3600, counts) + random.integers(0, 3600, counts.sum())
    gpus, seconds = _durations(random, demand, random.choice(sizes, counts.sum(), p=shares))
    return arrivals_of(np.sort(submitted), seconds, gpus, random, ticks * TICK_SECONDS)


def _durations(
    random: np.random.Generator, demand: Demand, gpus: Integers
) -> tuple[Integers, Integers]:
    median = demand.median_seconds * gpus**0.25
    seconds = median * np.exp(demand.log_deviation * random.standard_normal(len(gpus)))
    return gpus.astype(np.int64), np.clip(seconds, 60, LONGEST_SECONDS).astype(np.int64)


def _rhythm(random: np.random.Generator, demand: Demand, hours_of_week: Floats) -> Floats:
    phase = 2 * np.pi * (hours_of_week % 24 - demand.peak_hour) / 24
    daily = np.exp(demand.daily_swing * np.cos(phase))
    week = np.where(hours_of_week >= 120, demand.weekend_ratio, 1.0)
    days = np.arange(len(hours_of_week)) // 24
    level = np.exp(demand.level_deviation * random.standard_normal(days[-1] + 1))[days]
    rates: Floats = daily * week * level
    rates /= rates.mean()
    return rates


def arrivals_of(
    submitted_at: Integers,
    duration_seconds: Integers,
    gpus: Integers,
    random: np.random.Generator,
    end_seconds: int,
) -> Arrivals:
    """Arrivals in order, those past the end left out, acceptance drawn."""
    inside = submitted_at < end_seconds
    count = int(inside.sum())
    return Arrivals(
        key=np.arange(count),
        submitted_at=submitted_at[inside].astype(np.int64),
        duration_seconds=duration_seconds[inside].astype(np.int64),
        gpus=gpus[inside].astype(np.int64),
        tenant=np.zeros(count, np.int64),
        acceptance=random.random(count),
    )
