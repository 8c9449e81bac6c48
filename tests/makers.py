"""Rows for tests: each maker fills in all that a test is not about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from warehouse.actions import action_hash
from warehouse.records import (
    Charge,
    Decision,
    GpuSample,
    JobEvent,
    ListPrice,
    NodeReading,
    Pool,
    PoolLedger,
    PoolState,
)

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
POOL = "h100-us-east"


def make_pool(**changes: Any) -> Pool:
    made = Pool(
        pool=POOL,
        gpu_model="H100 SXM",
        region="us-east",
        gpus_per_node=8,
        owned_nodes=32,
        leased_nodes_limit=16,
        gpu_memory_bytes=80 * 2**30,
        owned_idle_usd_per_gpu_hour=0.15,
        owned_busy_usd_per_gpu_hour=0.10,
        leased_usd_per_gpu_hour=1.90,
        source="test",
        recorded_at=NOON - timedelta(days=14),
    )
    return replace(made, **changes)


def make_gpu_sample(**changes: Any) -> GpuSample:
    made = GpuSample(
        gpu_id="gpu-0",
        node_id="node-0",
        pool=POOL,
        slot=0,
        gpu_model="H100 SXM",
        utilisation_ratio=0.5,
        memory_used_bytes=40 * 2**30,
        memory_total_bytes=80 * 2**30,
        power_watts=400.0,
        temperature_celsius=55.0,
        job_id="job-1",
        tenant="blue",
        source="test",
        measured_at=NOON,
        stored_at=NOON,
    )
    return replace(made, **changes)


def make_node(**changes: Any) -> NodeReading:
    made = NodeReading(
        node_id="node-0",
        pool=POOL,
        kind="owned",
        state="active",
        gpu_count=8,
        gpus_used=4,
        health_ratio=1.0,
        source="test",
        measured_at=NOON,
    )
    return replace(made, **changes)


def make_pool_state(**changes: Any) -> PoolState:
    made = PoolState(
        pool=POOL,
        gpus_on=256,
        gpus_used=200,
        gpus_cordoned=0,
        owned_nodes_on=32,
        leased_nodes_on=0,
        nodes_provisioning=0,
        nodes_off=0,
        nodes_down=0,
        nodes_empty=2,
        running_jobs=90,
        queued_jobs=0,
        queued_gpus=0,
        oldest_wait_seconds=0.0,
        price_usd_per_gpu_hour=2.5,
        market_usd_per_gpu_hour=2.4,
        offered_jobs=5,
        accepted_jobs=4,
        started_jobs=4,
        finished_jobs=3,
        failed_jobs=0,
        late_jobs=0,
        left_jobs=0,
        source="test",
        measured_at=NOON,
    )
    return replace(made, **changes)


def make_job_event(**changes: Any) -> JobEvent:
    made = JobEvent(
        job_id="job-1",
        tenant="blue",
        pool=POOL,
        event="submitted",
        gpu_count=4,
        node_ids=[],
        price_usd_per_gpu_hour=2.5,
        source="test",
        happened_at=NOON,
    )
    return replace(made, **changes)


def make_charge(**changes: Any) -> Charge:
    made = Charge(
        job_id="job-1",
        tenant="blue",
        pool=POOL,
        gpu_hours=4.0,
        price_usd_per_gpu_hour=2.5,
        charge_usd=10.0,
        source="test",
        period_starts_at=NOON - timedelta(hours=1),
        period_ends_at=NOON,
    )
    return replace(made, **changes)


def make_ledger(**changes: Any) -> PoolLedger:
    made = PoolLedger(
        pool=POOL,
        revenue_usd=100.0,
        spot_revenue_usd=5.0,
        owned_cost_usd=20.0,
        leased_cost_usd=10.0,
        penalty_usd=3.0,
        refund_usd=2.0,
        used_gpu_hours=40.0,
        on_gpu_hours=64.0,
        source="test",
        period_starts_at=NOON - timedelta(hours=1),
        period_ends_at=NOON,
    )
    return replace(made, **changes)


def make_price(**changes: Any) -> ListPrice:
    made = ListPrice(
        pool=POOL,
        price_usd_per_gpu_hour=2.5,
        set_by="initial",
        in_force_from_at=NOON - timedelta(days=14),
    )
    return replace(made, **changes)


def make_decision(**changes: Any) -> Decision:
    """A decision whose hash fits its action; pass `action_hash` to make it not fit."""
    made = Decision(
        decision_id="decision-1",
        action="scale_up",
        target=f"pool/{POOL}",
        pool=POOL,
        parameters={"nodes": 2},
        action_hash="",
        mode="approve",
        policy="rule",
        summary="Switch on 2 nodes in h100-us-east",
        reason="12 jobs wait for 40 GPUs, the oldest for 14 min.",
        evidence={"queued_gpus": 40, "oldest_wait_seconds": 840},
        expected_gain_usd_per_hour=31.0,
        expected_gain_low_usd_per_hour=12.0,
        expected_gain_high_usd_per_hour=55.0,
        interval_ratio=0.8,
        disruption_cost_usd=0.0,
        baseline="Switch on 2 nodes",
        alternatives=[{"action": "do_nothing", "why_not": "the queue would grow"}],
        snapshot_id=1,
        horizon_seconds=4 * 3600,
        proposed_at=NOON,
        expires_at=NOON + timedelta(hours=2),
    )
    made = replace(made, **changes)
    if "action_hash" not in changes:
        made = replace(made, action_hash=action_hash(made.action, made.target, made.parameters))
    return made
