"""What a pool is, does and earns, one row a pool."""

from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.simulator.gpu_frames import SOURCE
from engine.simulator.layout import (
    ACTIVE,
    CORDONED,
    DOWN,
    MIGRATING,
    OFF,
    OWNED,
    PROVISIONING,
    RUNNING,
    TICK_SECONDS,
)
from engine.simulator.live import LivePool
from engine.simulator.metrics import Metric
from engine.simulator.settings import PoolSettings

Floats = npt.NDArray[np.float64]
Row = dict[str, Any]

_COUNTED = {
    "offered_jobs": Metric.OFFERED_JOBS,
    "accepted_jobs": Metric.ACCEPTED_JOBS,
    "started_jobs": Metric.STARTED_JOBS,
    "finished_jobs": Metric.FINISHED_JOBS,
    "failed_jobs": Metric.INTERRUPTED_JOBS,
    "late_jobs": Metric.LATE_JOBS,
    "left_jobs": Metric.LEFT_JOBS,
}
_BOOKED = {
    "revenue_usd": Metric.REVENUE_USD,
    "spot_revenue_usd": Metric.SPOT_REVENUE_USD,
    "owned_cost_usd": Metric.OWNED_COST_USD,
    "leased_cost_usd": Metric.BURST_COST_USD,
    "penalty_usd": Metric.SLA_PENALTY_USD,
    "refund_usd": Metric.REFUND_USD,
}


def pool_row(settings: PoolSettings, recorded_at: datetime) -> Row:
    """The row of `pools`."""
    costs = settings.economics
    return {
        "pool": settings.name,
        "gpu_model": settings.gpu_model,
        "region": settings.region,
        "gpus_per_node": settings.node_gpus,
        "owned_nodes": settings.owned_nodes,
        "leased_nodes_limit": settings.burst_nodes,
        "gpu_memory_bytes": settings.gpu_memory_bytes,
        "owned_idle_usd_per_gpu_hour": costs.owned_usd_per_gpu_hour,
        "owned_busy_usd_per_gpu_hour": costs.busy_usd_per_gpu_hour,
        "leased_usd_per_gpu_hour": costs.burst_usd_per_gpu_hour,
        "source": SOURCE,
        "recorded_at": recorded_at,
    }


def price_row(pool: LivePool, set_by: str, in_force_from_at: datetime) -> Row:
    """The row of `price_list` for the price in force."""
    return {
        "pool": pool.settings.name,
        "price_usd_per_gpu_hour": float(pool.state.pool[0, 0]["price_micro_usd"]) / 1e6,
        "set_by": set_by,
        "in_force_from_at": in_force_from_at,
    }


def market_usd_per_gpu_hour(pool: LivePool) -> float:
    """The market's price now."""
    return float(pool.state.market[0, pool.now // TICK_SECONDS])


def pool_state_row(pool: LivePool, since: Floats, measured_at: datetime) -> Row:
    """The row of `pool_states`; jobs are counted since the metric vector `since`."""
    s = pool.state
    nodes, record, now = s.nodes[0], s.pool[0, 0], pool.now
    state, is_owned = nodes["state"], nodes["kind"] == OWNED
    is_on = np.isin(state, (ACTIVE, CORDONED))
    head, length = int(record["queue_head"]), int(record["queue_length"])
    waiting = s.jobs[0][s.queue[0, head : head + length]]
    status = s.jobs[0, : pool.seen_jobs]["status"]
    counts = {name: round(float(s.metrics[0, m] - since[m])) for name, m in _COUNTED.items()}
    return {
        "pool": pool.settings.name,
        "gpus_on": int(nodes["gpus"][is_on].sum()),
        "gpus_used": int((nodes["gpus"] - nodes["free_gpus"])[is_on].sum()),
        "gpus_cordoned": int(nodes["free_gpus"][state == CORDONED].sum()),
        "owned_nodes_on": int((is_on & is_owned).sum()),
        "leased_nodes_on": int((is_on & ~is_owned).sum()),
        "nodes_provisioning": int((state == PROVISIONING).sum()),
        "nodes_off": int(((state == OFF) & is_owned).sum()),
        "nodes_down": int((state == DOWN).sum()),
        "nodes_empty": int(((state == ACTIVE) & (nodes["free_gpus"] == nodes["gpus"])).sum()),
        "running_jobs": int(((status == RUNNING) | (status == MIGRATING)).sum()),
        "queued_jobs": length,
        "queued_gpus": int(waiting["gpus"].sum()),
        "oldest_wait_seconds": float(now - waiting["queued_at"].min()) if length else 0.0,
        "price_usd_per_gpu_hour": float(record["price_micro_usd"]) / 1e6,
        "market_usd_per_gpu_hour": market_usd_per_gpu_hour(pool),
        **counts,
        "source": SOURCE,
        "measured_at": measured_at,
    }


def ledger_row(pool: LivePool, since: Floats, starts_at: datetime, ends_at: datetime) -> Row:
    """The row of `pool_ledgers` for what came since the metric vector `since`."""
    grown = pool.state.metrics[0] - since
    used, on = grown[Metric.USED_GPU_SECONDS], grown[Metric.AVAILABLE_GPU_SECONDS]
    return {
        "pool": pool.settings.name,
        **{name: float(grown[metric]) for name, metric in _BOOKED.items()},
        "used_gpu_hours": float(used) / 3600,
        "on_gpu_hours": float(on) / 3600,
        "source": SOURCE,
        "period_starts_at": starts_at,
        "period_ends_at": ends_at,
    }


def frame_of(rows: list[Row]) -> pl.DataFrame:
    """Rows of one kind as a frame, instants in UTC."""
    frame = pl.DataFrame(rows)
    instants = [name for name in frame.columns if name.endswith("_at")]
    return frame.with_columns(pl.col(name).cast(pl.Datetime("us", "UTC")) for name in instants)
