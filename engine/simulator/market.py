"""The market's price: a log Ornstein-Uhlenbeck walk that seed and time alone decide.

Schwartz (J. Finance 1997) uses this process for commodity prices; GPU-hours are traded alike.
"""

import math

import numpy as np
import numpy.typing as npt

from engine.simulator.hashing import SALT_MARKET, normals
from engine.simulator.layout import TICK_SECONDS
from engine.simulator.settings import PoolSettings

Floats = npt.NDArray[np.float64]


def market_path(pool: PoolSettings, seed: int, ticks: int) -> Floats:
    """Prices in USD per GPU-hour on the tick grid, shape (ticks,); a longer path begins alike."""
    shocks = normals(seed, np.arange(ticks), 0, SALT_MARKET)
    sigma = pool.market_volatility_ratio
    return pool.market_usd_per_gpu_hour * np.exp(_walk(pool, sigma * shocks[0], shocks[1:]))


def market_ahead(pool: PoolSettings, price_now_usd: float, shocks: Floats) -> Floats:
    """Paths from a known price: shocks (n, ticks) of standard normals to prices (n, ticks + 1)."""
    level = math.log(price_now_usd / pool.market_usd_per_gpu_hour)
    return pool.market_usd_per_gpu_hour * np.exp(_walk(pool, level, shocks))


def _walk(pool: PoolSettings, level: float, shocks: Floats) -> Floats:
    keep = math.exp(-TICK_SECONDS / (86_400 * pool.market_reversion_days))
    scale = pool.market_volatility_ratio * math.sqrt(1 - keep * keep)
    path = np.empty((*shocks.shape[:-1], shocks.shape[-1] + 1))
    path[..., 0] = level
    for at in range(shocks.shape[-1]):
        path[..., at + 1] = keep * path[..., at] + scale * shocks[..., at]
    return path
