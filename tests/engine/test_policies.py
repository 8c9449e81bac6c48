"""The baselines on hand-made rows, with answers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.policies import (
    DRAIN,
    EMPTIES_ONLY,
    HEAD_COUNT,
    LEVEL_AT_MARKET,
    MIGRATE,
    MOST_NODES,
    PRICE_RATIOS,
    Head,
    cluster_autoscaler,
    hpa,
    karpenter,
    mpc,
    newsvendor,
    parameters,
    pricing,
    reactive,
    static,
    stock,
)
from engine.policies.registry import baseline, baselines, with_knobs
from engine.simulator.features import FEATURE_COUNT, Feature


def pool(**changes: float) -> Any:
    """Raw figures of a pool, (1, FEATURE_COUNT): 10 owned nodes of 8 on, 60 of 80 GPUs in use,
    nothing waits, four leases to be had; the market and our price at $2."""
    figures: dict[str, float] = {
        "owned_nodes": 10,
        "burst_nodes": 4,
        "gpus_per_node": 8,
        "owned_usd_per_gpu_hour": 0.15,
        "busy_usd_per_gpu_hour": 0.10,
        "burst_usd_per_gpu_hour": 1.32,
        "sla_usd_per_gpu_hour": 3.0,
        "owned_active_nodes": 10,
        "burst_off_nodes": 4,
        "used_gpus": 60,
        "free_gpus": 20,
        "demand_peak_hour_gpus": 60,
        "price_usd_per_gpu_hour": 2.0,
        "market_usd_per_gpu_hour": 2.0,
        "market_day_usd_per_gpu_hour": 2.0,
        "locked_usd_per_gpu_hour": 2.0,
        "used_day_gpus": 60,
    }
    row = np.zeros((1, FEATURE_COUNT))
    for name, value in (figures | changes).items():
        row[0, Feature[name.upper()]] = value
    return row


def knobs(policy: Any, **changes: float) -> Any:
    return parameters.in_order(policy.KNOBS, changes)


def change(policy: Any, seen: Any, **changes: float) -> int:
    return int(policy.nodes(seen, knobs(policy, **changes))[0][0])


# -- what they share -------------------------------------------------------------------


def test_the_forecast_is_read_between_its_horizons() -> None:
    seen = pool(
        forecast_30_minutes_jobs_per_hour=4,  # 2 jobs by then
        forecast_hour_jobs_per_hour=6,  # 6
        forecast_2_hours_jobs_per_hour=5,  # 10
        forecast_6_hours_jobs_per_hour=3,  # 18
    )
    hours = {0.25: 1.0, 0.5: 2.0, 0.75: 4.0, 1.0: 6.0, 1.5: 8.0, 4.0: 14.0, 6.0: 18.0, 7.0: 21.0}
    for ahead, jobs in hours.items():
        assert stock.forecast_jobs(seen, np.asarray(ahead))[0] == pytest.approx(jobs)


def test_an_offer_brings_the_gpus_of_the_accepted_share() -> None:
    seen = pool(offered_day_jobs_per_hour=10, submitted_day_gpus_per_hour=15)
    assert stock.accepted_gpus_per_offer(seen)[0] == 1.5
    assert stock.accepted_gpus_per_offer(pool())[0] == 0.0


def test_a_wish_is_clipped_to_what_can_be_started_and_released() -> None:
    seen = pool(owned_off_nodes=1, owned_empty_nodes=2, burst_ripe_nodes=1, sparse_nodes=3)

    def clipped(nodes: int, how: int) -> int:
        return int(stock.clipped(seen, np.array([nodes]), np.array([how]))[0])

    assert clipped(99, EMPTIES_ONLY) == 5
    assert clipped(-99, EMPTIES_ONLY) == -3
    assert clipped(-99, MIGRATE) == clipped(-99, DRAIN) == -6
    assert clipped(-1, EMPTIES_ONLY) == -1
    many = pool(owned_off_nodes=50, owned_empty_nodes=50)
    assert stock.clipped(many, np.array([99]), np.array([0]))[0] == MOST_NODES
    assert stock.clipped(many, np.array([-99]), np.array([0]))[0] == -MOST_NODES


# -- capacity --------------------------------------------------------------------------


def test_static_returns_to_its_number_of_nodes() -> None:
    assert change(static, pool(), leased_ratio=0.5) == 2
    assert change(static, pool(burst_active_nodes=3), leased_ratio=0.5) == -1
    assert change(static, pool(owned_active_nodes=7, down_nodes=3)) == 0


def test_hpa_scales_by_utilisation_over_target() -> None:
    busy = {"used_gpus": 80, "queued_gpus": 16, "demand_peak_hour_gpus": 96}
    # 96 of 80 GPUs are wanted, 1.2 over a target of 0.8: 10 × 1.5 nodes.
    assert change(hpa, pool(**busy), target_ratio=0.8) == 5
    # Two of them are booting already: ceil(12 × 96/96/0.8) = 15.
    assert change(hpa, pool(**busy, burst_provisioning_nodes=2), target_ratio=0.8) == 3


def test_hpa_does_nothing_within_its_tolerance() -> None:
    near = pool(used_gpus=68, demand_peak_hour_gpus=68)  # 0.85 over 0.8: 6 % off
    assert change(hpa, near, target_ratio=0.8, tolerance_ratio=0.1) == 0
    assert change(hpa, near, target_ratio=0.8, tolerance_ratio=0.05) == 1


def test_hpa_scales_down_by_the_peak_of_its_window() -> None:
    fallen = pool(used_gpus=32, free_gpus=48, demand_peak_hour_gpus=56)
    # 32/80/0.8 = 0.5 now, 56/80/0.8 = 0.875 at the peak.
    assert change(hpa, fallen, target_ratio=0.8, window_weight_ratio=0.0) == -5
    assert change(hpa, fallen, target_ratio=0.8, window_weight_ratio=1.0) == -1


def test_the_cluster_autoscaler_adds_for_what_cannot_be_scheduled() -> None:
    full = {"used_gpus": 80, "free_gpus": 0, "queued_gpus": 17, "demand_peak_hour_gpus": 97}
    assert change(cluster_autoscaler, pool(**full), placeholder_nodes=0) == 3
    assert change(cluster_autoscaler, pool(**full), placeholder_nodes=1) == 4
    booting = pool(**full, burst_provisioning_nodes=2)
    assert change(cluster_autoscaler, booting, placeholder_nodes=0) == 1


def test_the_cluster_autoscaler_waits_before_it_releases() -> None:
    fallen = pool(used_gpus=32, free_gpus=48, demand_peak_hour_gpus=64, owned_empty_nodes=6)
    settings = {"placeholder_nodes": 0.0, "packing_ratio": 1.0}
    assert change(cluster_autoscaler, fallen, delay_weight_ratio=0.0, **settings) == -6
    assert change(cluster_autoscaler, fallen, delay_weight_ratio=1.0, **settings) == -2


def test_karpenter_buys_what_is_pending_and_not_on_its_way() -> None:
    full = {"used_gpus": 80, "free_gpus": 0, "queued_gpus": 24}
    settings = {"headroom_nodes": 0.0, "pending_weight_ratio": 1.0}
    assert change(karpenter, pool(**full), **settings) == 3
    assert change(karpenter, pool(**full, burst_provisioning_nodes=2), **settings) == 1


def test_karpenter_moves_jobs_together_only_where_they_fit_and_nobody_waits() -> None:
    settings = knobs(karpenter, headroom_nodes=0, packing_ratio=1.0, budget_ratio=0.2)
    sparse = pool(used_gpus=40, free_gpus=40, owned_empty_nodes=1, sparse_nodes=4)
    nodes, how = karpenter.nodes(sparse, settings)
    assert (nodes[0], how[0]) == (-3, MIGRATE)  # one empty, two within the budget of 20 %
    waiting = pool(used_gpus=40, free_gpus=40, owned_empty_nodes=1, queued_gpus=8)
    assert karpenter.nodes(waiting, settings)[1][0] == EMPTIES_ONLY


def test_reactive_holds_its_reserve_and_has_a_band() -> None:
    settings = {"reserve_ratio": 0.1, "reserve_nodes": 1.0, "band_nodes": 2.0}
    # 80 GPUs and a tenth are 11 nodes, and one is 12.
    busy = pool(used_gpus=72, free_gpus=8, queued_gpus=8)
    assert change(reactive, busy, **settings) == 2
    # 40 GPUs are 5.5 nodes: 6.5, 7 whole; three too many, two of them in the band.
    idle = pool(used_gpus=40, free_gpus=40)
    assert change(reactive, idle, **settings) == -1
    assert change(reactive, pool(used_gpus=56), **settings) == 0


def test_the_newsvendor_stocks_up_to_its_quantile() -> None:
    seen = pool(
        used_gpus=80,
        free_gpus=0,
        used_day_gpus=80,
        finished_day_gpus_per_hour=0.8,  # a hundredth an hour
        offered_day_jobs_per_hour=10,
        submitted_day_jobs_per_hour=5,
        submitted_day_gpus_per_hour=10,  # 2 GPUs a job, 1 an offer
        forecast_30_minutes_jobs_per_hour=16,
        forecast_hour_jobs_per_hour=16,
    )
    mean, deviation = newsvendor.demand_ahead(seen, np.asarray(1.0))
    assert mean[0] == pytest.approx(80 + 16 - 80 * (1 - np.exp(-0.01)))
    assert deviation[0] == pytest.approx(8.0)  # sqrt(2 × 2 × 16 × 1)
    settings = {"lead_hours": 1.0, "band_nodes": 0.0}
    assert change(newsvendor, seen, quantile_ratio=0.5, **settings) == 2  # 95.2 GPUs
    # The 84 % quantile is a deviation above: 103.2 GPUs.
    assert change(newsvendor, seen, quantile_ratio=0.8413, **settings) == 3


def test_the_quantile_of_the_normal_is_close() -> None:
    for share, quantile in {0.5: 0.0, 0.8413: 1.0, 0.9: 1.2816, 0.0228: -2.0}.items():
        found = newsvendor.normal_quantile(np.asarray(share))
        assert float(found) == pytest.approx(quantile, abs=0.02)


def test_the_fluid_plan_buys_for_a_queue_and_releases_idle_leases() -> None:
    queue = pool(used_gpus=80, free_gpus=0, queued_gpus=30, finished_day_gpus_per_hour=6)
    assert change(mpc, queue) > 0
    idle = pool(
        used_gpus=20,
        free_gpus=92,
        burst_active_nodes=4,
        burst_off_nodes=0,
        burst_empty_nodes=4,
        burst_ripe_nodes=4,
        finished_day_gpus_per_hour=20,
    )
    assert change(mpc, idle) == -4


def test_the_fluid_plan_is_dearer_when_full_than_when_idle() -> None:
    coming = {
        "offered_day_jobs_per_hour": 30,
        "submitted_day_jobs_per_hour": 18,
        "submitted_day_gpus_per_hour": 36,
        "finished_day_gpus_per_hour": 30,
        "forecast_30_minutes_jobs_per_hour": 30,
        "forecast_hour_jobs_per_hour": 30,
        "forecast_2_hours_jobs_per_hour": 30,
        "forecast_6_hours_jobs_per_hour": 30,
    }
    full = pool(used_gpus=80, free_gpus=0, queued_gpus=40, burst_off_nodes=0, **coming)
    idle = pool(used_gpus=10, free_gpus=70, **coming)
    starts = knobs(mpc)
    assert mpc.plan(full, starts)[2][0] > LEVEL_AT_MARKET > mpc.plan(idle, starts)[2][0]


# -- prices ----------------------------------------------------------------------------


def level(name: str, seen: Any, **changes: float) -> float:
    """The price over the market's that was chosen."""
    tunables, levels = pricing.PRICINGS[name]
    return float(PRICE_RATIOS[levels(seen, parameters.in_order(tunables, changes))[0]])


def test_the_list_price_stays_while_the_market_moves() -> None:
    assert level("list", pool()) == 1.0
    assert level("list", pool(market_usd_per_gpu_hour=1.9)) == 1.05
    assert level("list", pool(market_usd_per_gpu_hour=2.2)) == 0.9
    assert level("list", pool(market_usd_per_gpu_hour=9.0)) == 0.7


def test_follow_market_is_a_fixed_share_of_it() -> None:
    for market in (1.9, 2.0, 2.2):
        assert level("follow", pool(market_usd_per_gpu_hour=market), follow_ratio=1.1) == 1.1


SURGE = {
    "idle_price_ratio": 0.8,
    "full_rise_ratio": 0.4,
    "idle_below_ratio": 0.5,
    "full_width_ratio": 0.5,
    "queue_slope": 1.0,
}


def test_surge_rises_with_what_is_used_over_the_owned_gpus() -> None:
    used = {20: 0.8, 40: 0.8, 60: 1.0, 80: 1.2, 120: 1.2}
    for gpus, ratio in used.items():
        assert level("surge", pool(used_gpus=gpus), **SURGE) == ratio


def test_surge_rises_with_the_queue_and_with_the_lease() -> None:
    # 8 GPUs wait on 80: a tenth; and with them demand is all that we own.
    assert level("surge", pool(used_gpus=72, queued_gpus=8), **SURGE) == 1.3
    # A lease at half its usual share of the market's price raises half as much.
    cheap = pool(used_gpus=80, burst_usd_per_gpu_hour=0.66)
    assert level("surge", cheap, **SURGE) == 1.0


# -- all of them -----------------------------------------------------------------------


def rows(count: int) -> Any:
    """Pools in all sorts of states, some of them nonsense."""
    random = np.random.default_rng(5)
    seen = random.uniform(0, 40, (count, FEATURE_COUNT))
    seen[: count // 4] = np.round(seen[: count // 4])
    seen[0] = 0.0
    seen[:, Feature.WORST_HEALTH_RATIO] = 1.0
    return seen


@pytest.mark.parametrize("name", list(baselines()))
def test_every_baseline_proposes_what_can_be_done_whatever_it_sees(name: str) -> None:
    seen = rows(64)
    proposals = baseline(name).proposals(seen)
    assert proposals.shape == (64, HEAD_COUNT)
    assert proposals.dtype == np.int64
    nodes, how = proposals[:, Head.NODES], proposals[:, Head.CONSOLIDATION]
    assert (nodes <= stock.startable_nodes(seen)).all()
    assert (-nodes <= stock.releasable_nodes(seen, how)).all()
    assert (np.abs(nodes) <= MOST_NODES).all()
    assert np.isin(proposals[:, Head.PRICE_LEVEL], np.arange(len(PRICE_RATIOS))).all()
    assert np.isin(how, (EMPTIES_ONLY, DRAIN, MIGRATE)).all()
    assert (proposals[:, Head.SPOT_PERCENT] == 100).all()


@pytest.mark.parametrize("name", list(baselines()))
def test_a_population_of_knobs_plays_as_each_would_alone(name: str) -> None:
    tunables, seen = baseline(name).tunables, rows(12)
    random = np.random.default_rng(9)
    low, high = (np.array([getattr(one, end) for one in tunables]) for end in ("low", "high"))
    population = low + (high - low) * random.random((12, len(tunables)))
    together = with_knobs(name, population).proposals(seen)
    alone = [with_knobs(name, population[at]).proposals(seen[at : at + 1])[0] for at in range(12)]
    assert together.tolist() == np.array(alone).tolist()


def test_every_capacity_comes_with_every_pricing() -> None:
    names = set(baselines())
    for capacity in (
        "static", "hpa", "cluster-autoscaler", "karpenter", "newsvendor", "reactive", "mpc",
    ):  # fmt: skip
        assert {f"{capacity}+{pricing}" for pricing in ("list", "follow", "surge")} <= names
    assert "rule" in names


def test_the_tuned_knobs_lie_within_their_bounds_and_none_is_forgotten() -> None:
    kept = parameters.tuned()
    assert set(kept) == set(baselines())
    for name, policy in baselines().items():
        assert set(kept[name]["knobs"]) == {knob.name for knob in policy.tunables}
        for knob, value in zip(policy.tunables, policy.knobs, strict=True):
            assert knob.low <= value <= knob.high, (name, knob.name)
            assert knob.low <= knob.start <= knob.high


def test_an_unknown_policy_or_knob_is_named() -> None:
    with pytest.raises(KeyError, match="karpenter"):
        baseline("nobody")
    with pytest.raises(ValueError, match="lead_days"):
        parameters.in_order(newsvendor.KNOBS, {"lead_days": 1})
