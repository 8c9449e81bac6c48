"""Rows for tests: each maker fills in all that a test is not about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from warehouse.actions import action_hash
from warehouse.records import (
    Champion,
    Charge,
    ClusterJob,
    Decision,
    Forecast,
    GpuSample,
    GpuShare,
    JobEvent,
    ListPrice,
    NodeReading,
    Offer,
    PolicyAlarm,
    PolicyVersion,
    Pool,
    PoolLedger,
    PoolState,
    ShadowProposal,
    ShadowScore,
    TrainingRun,
    TwinCheck,
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


def make_gpu_share(**changes: Any) -> GpuShare:
    who = {"job_id": "job-1", "tenant": "blue", "namespace": "blue", "pod": "pod", "source": "test"}
    of = {"gpu_id": "gpu-0", "node_id": "node-0", "sharing": "time_sliced", "share_ratio": 0.25}
    return GpuShare(**(who | of | {"pool": POOL, "measured_at": NOON, "stored_at": NOON} | changes))


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


def make_cluster_job(**changes: Any) -> ClusterJob:
    made = ClusterJob(
        job_id="team/train",
        uid="uid-1",
        tenant="blue",
        pool=POOL,
        gpu_count=2,
        active_pods=1,
        is_suspended=False,
        state="running",
        checkpoints=True,
        is_do_not_disrupt=False,
        generation=1,
        is_gone=False,
        created_at=NOON - timedelta(hours=3),
        started_at=NOON - timedelta(hours=2),
        source="test",
        measured_at=NOON,
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


# -- what the engine learns ------------------------------------------------------------


def make_forecast(**changes: Any) -> Forecast:
    made = Forecast(
        pool=POOL,
        series="occupancy",
        target_at=NOON + timedelta(hours=1),
        horizon_seconds=3600,
        q10=190.0,
        q50=205.0,
        q90=220.0,
        q95=226.0,
        model="boosted",
        coverage_ratio=0.79,
        skill_ratio=0.14,
        issued_at=NOON,
    )
    return replace(made, **changes)


def make_policy(**changes: Any) -> PolicyVersion:
    made = PolicyVersion(
        policy_id="net-a",
        kind="network",
        origin="shipped",
        weights_sha256="a" * 64,
        weights_file="engine/learning/shipped.npz",
        settings={"dial": "balanced", "decisions": 4_000_000},
        gates=[],
        figures={"gain_ratio": 0.024},
        created_at=NOON - timedelta(days=10),
    )
    return replace(made, **changes)


def make_training_run(**changes: Any) -> TrainingRun:
    made = TrainingRun(
        run_id="run-1",
        purpose="fine_tune",
        seeds=[1, 2],
        decisions=2_000_000,
        duration_seconds=92.0,
        curve=[
            {"seed": seed, "decisions": step * 250_000, "gain_ratio": 0.004 * step + 0.001 * seed,
             "explained_variance": 0.12 * step, "approx_kl": 0.01}
            for seed in (1, 2) for step in range(1, 5)
        ],
        outcome="finished",
        detail="2 seeds of 1,000,000 decisions on 4 weeks of own history",
        started_at=NOON - timedelta(hours=5),
    )  # fmt: skip
    return replace(made, **changes)


def make_champion(**changes: Any) -> Champion:
    made = Champion(
        policy_id="net-a",
        previous_policy_id="rule",
        set_by="ann",
        reason="It passed every gate.",
        since_at=NOON - timedelta(days=9),
    )
    return replace(made, **changes)


def make_proposal(**changes: Any) -> ShadowProposal:
    made = ShadowProposal(
        pool=POOL,
        policy_id="net-a",
        role="champion",
        nodes=2,
        price_usd_per_gpu_hour=2.65,
        consolidation="migrate",
        heal="strict",
        spot_ratio=1.0,
        is_clipped=False,
        propensities={"nodes": 0.61, "price": 0.44},
        value_usd=41.0,
        drivers=[
            {"feature": "queued_gpus", "value": 40.0, "usual": 6.0, "effect": 0.82,
             "words": "Queued GPUs: 40, usually 6"},
            {"feature": "running_longer_gpus", "value": 20.0, "usual": 64.0, "effect": -0.31,
             "words": "GPUs of long jobs: 20, usually 64"},
        ],
        observation_id="observation-1",
        proposed_at=NOON - timedelta(minutes=5),
    )  # fmt: skip
    return replace(made, **changes)


def make_score(**changes: Any) -> ShadowScore:
    made = ShadowScore(
        pool=POOL,
        policy_id="net-a",
        role="champion",
        profit_usd=1030.0,
        rule_profit_usd=1000.0,
        gain_low_usd=20.0,
        gain_high_usd=40.0,
        late_ratio=0.020,
        rule_late_ratio=0.022,
        utilisation_ratio=0.87,
        redraws=8,
        starts_at=NOON - timedelta(days=1),
        ends_at=NOON,
    )
    return replace(made, **changes)


def make_twin_check(**changes: Any) -> TwinCheck:
    made = TwinCheck(
        threshold=6.0,
        pool=POOL,
        twin_profit_usd=1010.0,
        actual_profit_usd=1000.0,
        twin_used_gpu_hours=4800.0,
        actual_used_gpu_hours=4790.0,
        error_ratio=0.01,
        drift=1.2,
        is_valid=True,
        detail="The twin earned 1.0 % more than the ledger says.",
        starts_at=NOON - timedelta(days=1),
        ends_at=NOON,
    )
    return replace(made, **changes)


def make_alarm(**changes: Any) -> PolicyAlarm:
    made = PolicyAlarm(
        policy_id="net-b",
        pool=POOL,
        trigger="cusum",
        value=5.4,
        threshold=5.0,
        detail="It earned less than the twin said for 31 h: net-a steers again.",
        raised_at=NOON - timedelta(days=2),
    )
    return replace(made, **changes)


# -- the market ------------------------------------------------------------------------


def make_offer(**changes: Any) -> Offer:
    """An on-demand offer of one GPU; `model` follows `gpu_model` where it is not given."""
    made = Offer(
        provider="runpod",
        offer_id="offer-1",
        gpu_model="H100 SXM",
        gpu_count=1,
        price_usd_per_gpu_hour=2.5,
        quoted_unit="gpu",
        price_kind="on_demand",
        is_complete_search=True,
        source="test",
        payload_digest="0" * 64,
        measured_at=NOON,
        stored_at=NOON,
    )
    return replace(made, **{"model": changes.get("gpu_model", "H100 SXM"), **changes})
