"""Every knob of a simulated pool and fleet, with its sentence and where its figure is from."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.simulator.layout import KNOBS, TICK_SECONDS

_TICKS_PER_DAY = 86_400 / TICK_SECONDS


@dataclass(frozen=True)
class Economics:
    """What time, power, patience and failure cost in a pool."""

    owned_usd_per_gpu_hour: float = 0.15
    """power of an owned GPU that is on (design study: about 1 kW a GPU at $0.15 per kWh)"""
    busy_usd_per_gpu_hour: float = 0.10
    """added power while it works (design study)"""
    burst_usd_per_gpu_hour: float = 1.90
    """lease of a GPU, busy or not, billed from the request (design study, for an H100)"""
    minimum_bill_seconds: int = 3600
    """a lease ended sooner still owes this much; also what an undone lease owes"""
    owned_boot_seconds: int = 600
    """from power-on to ready"""
    burst_boot_low_seconds: int = 900
    """fastest cold start of a leased node"""
    burst_boot_high_seconds: int = 1500
    """slowest cold start; uniform in between"""
    sla_seconds: int = 600
    """wait promised to a customer"""
    sla_usd_per_gpu_hour: float = 3.0
    """owed for each GPU-hour waited beyond the promise"""
    patience_seconds: int = 3600
    """a job that has not started by then goes elsewhere"""
    spot_ratio: float = 0.4
    """spot price over the market's; spot yields to jobs at once"""
    spot_depth_ratio: float = 0.12
    """most GPUs that spot customers take, over the owned ones; an assumption without which no idle
    node would ever be worth switching off"""
    spot_share_ratio: float = 1.0
    """share of idle GPUs sold as spot at the start; a command changes it"""
    checkpoint_seconds: int = 3600
    """work since the last checkpoint is lost when a node fails, and refunded"""
    migration_seconds: int = 300
    """pause of a migrated job, not billed"""
    repair_seconds: int = 14_400
    """an owned node that failed is back after this (assumption: a part swapped the same day)"""
    planned_repair_seconds: int = 3600
    """a drained node that is repaired before it fails is back after this (assumption)"""
    failures_per_1000_node_days: float = 3.0
    """sudden failures (Meta's research clusters: 2.34 and 6.50, arXiv 2410.21680)"""
    degradations_per_1000_node_days: float = 10.0
    """onsets of degraded health (design study, after Llama 3's 419 interruptions in 54 days)"""
    degraded_hours: float = 12.0
    """mean time from the onset to the failure"""
    acceptance_slope: float = 5.0
    """customers accept with 1 / (1 + exp(slope (x - midpoint))), x being our price over the
    market's: elasticity -2 at x = 1, an assumption that no public trace can settle"""
    acceptance_midpoint: float = 1.08
    """see above"""

    def acceptance_ratio(self, price_ratio: float) -> float:
        """Share of customers who accept at this price over the market's."""
        slope, midpoint = self.acceptance_slope, self.acceptance_midpoint
        return float(1.0 / (1.0 + np.exp(slope * (price_ratio - midpoint))))


@dataclass(frozen=True)
class PoolSettings:
    """One GPU model in one region."""

    name: str
    """the pool's name, for example h100-us-east"""
    gpu_model: str
    """the product's name"""
    region: str
    """where it stands"""
    owned_nodes: int
    """nodes of our own, all on at the start"""
    burst_nodes: int
    """most nodes that may be leased, all off at the start"""
    list_price_usd_per_gpu_hour: float
    """our price at the start"""
    market_usd_per_gpu_hour: float
    """long-run mean of the market's price"""
    node_gpus: int = 8
    """GPUs a node; a larger job takes whole nodes"""
    load_ratio: float = 1.20
    """GPUs that the accepted jobs would use on average, over the owned ones, at market price"""
    utc_offset_hours: float = 0.0
    """local time of its customers, for the daily rhythm"""
    gpu_memory_bytes: int = 80 * 1024**3
    """memory of one GPU"""
    gpu_power_watts: float = 700.0
    """power cap of one GPU (vendor's data sheet)"""
    market_volatility_ratio: float = 0.08
    """standing deviation of the log market price (assumption)"""
    market_reversion_days: float = 2.0
    """time constant with which the market returns to its mean (assumption)"""
    economics: Economics = field(default_factory=Economics)
    """costs and customers"""


@dataclass(frozen=True)
class FleetSettings:
    """All it takes to build a simulated fleet again, with the commands it was given."""

    seed: int
    """every draw follows from it"""
    pools: tuple[PoolSettings, ...]
    """the fleet's pools; of a trace's fleet exactly one"""
    started_at: datetime
    """the first instant of its history, UTC"""
    trace_path: Path | None = None
    """a trace to take the jobs from; None for generated ones"""

    def __post_init__(self) -> None:
        if self.started_at.tzinfo is None:
            object.__setattr__(self, "started_at", self.started_at.replace(tzinfo=UTC))


DEMO_GPUS = 512
"""GPUs that the demo fleet owns, unless another size is asked for."""


def default_pools(gpus: int = DEMO_GPUS) -> tuple[PoolSettings, ...]:
    """The demo fleet: 512 owned GPUs in four pools, or about `gpus` of them in the same shares;
    the demand grows with them. Prices are round figures of late 2026."""
    if gpus == DEMO_GPUS:
        return _demo_pools()
    scale = gpus / DEMO_GPUS
    return tuple(
        replace(
            pool,
            owned_nodes=max(round(pool.owned_nodes * scale), 1),
            burst_nodes=max(round(pool.burst_nodes * scale), 1),
        )
        for pool in _demo_pools()
    )


def _demo_pools() -> tuple[PoolSettings, ...]:
    return (
        PoolSettings(
            "h100-us-east", "H100 SXM", "us-east", 24, 16, 2.89, 2.89, utc_offset_hours=-5
        ),
        PoolSettings(
            "a100-eu-west", "A100 80GB", "eu-west", 18, 12, 1.64, 1.64, utc_offset_hours=1,
            gpu_power_watts=400.0,
            economics=Economics(burst_usd_per_gpu_hour=1.10, sla_usd_per_gpu_hour=1.70),
        ),
        PoolSettings(
            "l40s-us-west", "L40S", "us-west", 14, 10, 0.95, 0.95, utc_offset_hours=-8,
            gpu_memory_bytes=48 * 1024**3, gpu_power_watts=350.0,
            economics=Economics(burst_usd_per_gpu_hour=0.64, sla_usd_per_gpu_hour=1.00),
        ),
        PoolSettings(
            "h200-ap-northeast", "H200", "ap-northeast", 8, 8, 3.59, 3.59, utc_offset_hours=9,
            gpu_memory_bytes=141 * 1024**3,
            economics=Economics(burst_usd_per_gpu_hour=2.35, sla_usd_per_gpu_hour=3.70),
        ),
    )  # fmt: skip


_KNOBS_OF_SAME_NAME = (
    "minimum_bill_seconds",
    "owned_boot_seconds",
    "burst_boot_low_seconds",
    "burst_boot_high_seconds",
    "sla_seconds",
    "patience_seconds",
    "checkpoint_seconds",
    "migration_seconds",
    "repair_seconds",
    "planned_repair_seconds",
    "spot_ratio",
)


def knobs_of(pool: PoolSettings, acceptance_scale: float = 1.0) -> npt.NDArray[Any]:
    """The settings as the compiled core reads them: one KNOBS record, shape ()."""
    e = pool.economics
    knobs = np.zeros((), KNOBS)
    for name in _KNOBS_OF_SAME_NAME:
        knobs[name] = getattr(e, name)
    knobs["live"] = 1
    knobs["node_gpus"] = pool.node_gpus
    knobs["owned_usd_per_gpu_second"] = e.owned_usd_per_gpu_hour / 3600
    knobs["busy_usd_per_gpu_second"] = e.busy_usd_per_gpu_hour / 3600
    knobs["burst_usd_per_gpu_second"] = e.burst_usd_per_gpu_hour / 3600
    knobs["sla_usd_per_gpu_second"] = e.sla_usd_per_gpu_hour / 3600
    knobs["fails_per_tick"] = e.failures_per_1000_node_days / 1000 / _TICKS_PER_DAY
    knobs["degrades_per_tick"] = e.degradations_per_1000_node_days / 1000 / _TICKS_PER_DAY
    knobs["breaks_per_tick"] = -np.expm1(-TICK_SECONDS / (3600 * e.degraded_hours))
    knobs["spot_depth_gpus"] = e.spot_depth_ratio * pool.owned_nodes * pool.node_gpus
    knobs["slope"] = e.acceptance_slope
    knobs["midpoint"] = e.acceptance_midpoint
    knobs["acceptance_scale"] = acceptance_scale
    knobs["list_price_micro_usd"] = micro_usd(pool.list_price_usd_per_gpu_hour)
    return knobs


def micro_usd(usd: float) -> int:
    """Whole micro-dollars: prices are exact in the core."""
    return round(usd * 1e6)
