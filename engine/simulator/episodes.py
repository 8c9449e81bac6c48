"""An episode: a pool, its customers, its market and its luck over a span; all that a policy plays.

The same value is made from generated demand, from a week of a trace, and from the warehouse's own
rows, so that training, evaluation and the twin are one thing.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engine.simulator.planning import ObservedPool
from engine.simulator.settings import PoolSettings
from engine.simulator.workload import Arrivals

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Episode:
    """What happens to a pool whatever a policy does. Seconds count from the episode's start."""

    name: str
    """for people: trace, week, seed"""
    settings: PoolSettings
    seed: int
    """of node failures, cold starts and health noise"""
    hour_of_week: float
    """the start, in hours since Monday 00:00 UTC"""
    arrivals: Arrivals
    """everyone who asks, in order of submission"""
    market_usd_per_gpu_hour: Floats
    """one price a quarter of an hour, shape (ticks + 1,)"""
    forecast: Floats
    """(ticks + 1, FORECAST_COUNT): what is expected of the offers at each quarter; see features"""
    ticks: int
    """quarters of an hour from the start to the end"""
    warm_ticks: int = 192
    """of those, played by the rule before anyone is measured"""
    start: ObservedPool | None = None
    """the pool as it stood at the start; None for an empty one with all owned nodes on"""
    tape: Floats | None = field(default=None, repr=False)
    """(n, TAPE_COUNT): the quarters before the start, oldest first; None where there were none"""

    def __post_init__(self) -> None:
        if not 0 <= self.warm_ticks <= self.ticks:
            raise ValueError(
                f"{self.name}: a warm-up of {self.warm_ticks} quarters does not fit into an "
                f"episode of {self.ticks}"
            )
        if len(self.forecast) <= self.ticks or len(self.market_usd_per_gpu_hour) <= self.ticks:
            raise ValueError(
                f"{self.name}: forecast ({len(self.forecast)}) and market "
                f"({len(self.market_usd_per_gpu_hour)}) need one figure more than {self.ticks}"
            )
