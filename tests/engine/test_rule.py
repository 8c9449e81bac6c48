"""The rule: more when work waits, less when nodes stand empty, dearer when full."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.observe import features_of
from engine.policies import EMPTIES_ONLY, MIGRATE, MOST_NODES, PRICE_RATIOS, parameters, rule
from engine.policies.rule import proposal
from tests.engine.actions_contract import make_seen
from tests.engine.test_policies import pool
from tests.makers import NOON, make_node, make_pool_state

MARKET = 2.4
PLAIN = {
    "lead_ratio": 1.0,
    "finishing_ratio": 1.0,
    "queue_weight_ratio": 1.0,
    "packing_ratio": 1.0,
    "owned_reserve_ratio": 0.1,
    "lease_deviations": 0.0,
    "lease_band_nodes": 1.0,
    "idle_price_ratio": 0.9,
    "full_rise_ratio": 0.2,
    "idle_below_ratio": 0.5,
    "full_width_ratio": 0.5,
    "queue_slope": 0.5,
}
"""Knobs with which figures can be worked out by hand."""


def knobs(**changes: float) -> Any:
    return parameters.in_order(rule.KNOBS, PLAIN | changes)


def change(seen: Any, **changes: float) -> tuple[int, int]:
    nodes, how = rule.nodes(seen, knobs(**changes))
    return int(nodes[0]), int(how[0])


def test_there_are_twelve_knobs() -> None:
    assert len(rule.KNOBS) == 12
    assert set(PLAIN) == {knob.name for knob in rule.KNOBS}


# -- the stocks ------------------------------------------------------------------------


def test_who_has_run_longer_is_expected_to_run_longer() -> None:
    young = pool(running_under_30_minutes_gpus=100)
    old = pool(running_longer_gpus=100)
    one = np.asarray(1.0)
    assert rule.finishing_gpus(young, one, one)[0] == pytest.approx(100 * (1 - np.exp(-0.85)))
    assert rule.finishing_gpus(old, one, one)[0] == pytest.approx(100 * (1 - np.exp(-0.10)))
    assert rule.finishing_gpus(old, one, 2 * one)[0] > rule.finishing_gpus(old, one, one)[0]


def test_the_stock_is_what_waits_and_comes_less_what_ends_and_is_free() -> None:
    seen = pool(
        burst_boot_seconds=2700,  # and a quarter: an hour until a lease is ready
        queued_gpus=24,
        free_gpus=10,
        running_longer_gpus=60,
        offered_day_jobs_per_hour=10,
        submitted_day_jobs_per_hour=5,
        submitted_day_gpus_per_hour=10,  # 2 GPUs a job, 1 an offer
        forecast_30_minutes_jobs_per_hour=16,
        forecast_hour_jobs_per_hour=16,
    )
    short = 24 + 16 - 60 * (1 - np.exp(-0.1)) - 10
    stock = rule.stock(seen, knobs(lease_deviations=0.5))
    assert stock.owned_lacking[0] == pytest.approx(short + 0.1 * 80)
    assert stock.lease_lacking[0] == pytest.approx(short + 0.5 * np.sqrt(2 * 2 * 16))


def test_it_buys_what_is_lacking_and_counts_what_is_on_its_way() -> None:
    full = {"used_gpus": 80, "free_gpus": 0, "queued_gpus": 24, "queued_jobs": 3}
    assert change(pool(**full))[0] == 3
    assert change(pool(**full, burst_provisioning_nodes=2))[0] == 1


def test_a_reserve_is_held_on_owned_nodes_alone() -> None:
    # All of the 80 GPUs in use, a tenth to be held free: a node, if there is one of our own.
    full = {"used_gpus": 80, "free_gpus": 0}
    assert change(pool(**full))[0] == 0
    assert change(pool(**full, owned_off_nodes=1, owned_active_nodes=9))[0] == 1


def test_leases_are_let_go_beyond_the_band() -> None:
    leased = {"burst_active_nodes": 3, "burst_empty_nodes": 3, "burst_ripe_nodes": 3}
    assert change(pool(free_gpus=24, **leased))[0] == -2
    assert change(pool(free_gpus=24, **leased), lease_band_nodes=3.0)[0] == 0


def test_leases_in_use_are_emptied_unless_somebody_waits() -> None:
    leased = {"burst_active_nodes": 4, "burst_empty_nodes": 1, "burst_ripe_nodes": 1}
    assert change(pool(free_gpus=48, **leased)) == (-4, MIGRATE)
    waits = {"queued_jobs": 1, "queued_gpus": 1}
    assert change(pool(free_gpus=49, **leased, **waits)) == (-1, EMPTIES_ONLY)


def test_owned_nodes_go_only_beyond_their_reserve() -> None:
    idle = pool(used_gpus=40, free_gpus=40, owned_empty_nodes=5)
    assert change(idle, owned_reserve_ratio=0.1) == (-3, EMPTIES_ONLY)
    assert change(idle, owned_reserve_ratio=0.4)[0] == 0


def test_sparse_nodes_are_emptied_only_while_nobody_waits() -> None:
    spare = {"used_gpus": 40, "free_gpus": 40, "owned_empty_nodes": 1, "sparse_nodes": 4}
    assert change(pool(**spare)) == (-3, MIGRATE)
    assert change(pool(**spare, queued_jobs=1, queued_gpus=1))[1] == EMPTIES_ONLY


# -- for the console -------------------------------------------------------------------


def seen_with(used: int, *, on: int = 24, queued: int = 0, **state: Any) -> Any:
    """`on` of 32 owned nodes of 8 are on and filled one after the other; 16 may be leased."""
    held = [min(8, max(0, used - 8 * at)) for at in range(on)]
    nodes = [make_node(node_id=f"node-{at:02}", gpus_used=gpus) for at, gpus in enumerate(held)]
    nodes += [make_node(node_id=f"node-{at}", state="off", gpus_used=0) for at in range(on, 32)]
    read = make_pool_state(
        gpus_on=8 * on,
        gpus_used=used,
        owned_nodes_on=on,
        nodes_off=32 - on,
        nodes_empty=held.count(0),
        queued_jobs=-(-queued // 8),
        queued_gpus=queued,
        **state,
    )
    seen = make_seen()
    features = features_of(seen.pool, read, tuple(nodes), NOON)
    return replace(seen, nodes=tuple(nodes), state=read, features=seen.features | features)


def propose(used: int, **state: Any) -> Any:
    return proposal(seen_with(used, **state), PLAIN)


def test_it_buys_for_a_queue_and_says_so() -> None:
    asked = propose(192, queued=80)
    assert 0 < asked.nodes <= MOST_NODES
    assert asked.price_usd_per_gpu_hour > MARKET
    assert asked.sentence.startswith(f"switch on {asked.nodes} nodes, price $")


def test_it_never_asks_for_more_nodes_than_one_decision_may() -> None:
    assert propose(192, queued=400).nodes == MOST_NODES


def test_nodes_on_their_way_count() -> None:
    assert propose(192, queued=60).nodes > 0
    assert propose(192, queued=60, nodes_provisioning=8).nodes == 0


def test_it_releases_empty_nodes_and_no_more_than_it_may() -> None:
    assert propose(64).nodes == -MOST_NODES
    nearly = propose(160, on=24)
    assert -4 <= nearly.nodes < 0
    assert nearly.sentence.startswith(f"release {-nearly.nodes} node")
    assert propose(192).nodes == 0


def test_an_idle_pool_is_cheaper_than_the_market_and_a_full_one_dearer() -> None:
    idle, full = propose(60), propose(256, on=32)
    assert idle.price_usd_per_gpu_hour < MARKET < full.price_usd_per_gpu_hour


def test_prices_stay_in_their_band_whatever_comes() -> None:
    flooded, empty = propose(192, queued=9999), propose(0)
    assert flooded.price_usd_per_gpu_hour == pytest.approx(PRICE_RATIOS[-1] * MARKET)
    assert empty.price_usd_per_gpu_hour == pytest.approx(0.9 * MARKET)


def test_a_pool_may_have_knobs_of_its_own() -> None:
    seen = seen_with(60)
    cheap, dear = (proposal(seen, {"idle_price_ratio": ratio}) for ratio in (0.8, 1.1))
    assert cheap.price_usd_per_gpu_hour < dear.price_usd_per_gpu_hour
    with pytest.raises(ValueError, match="lead_seconds"):
        proposal(seen, {"lead_seconds": 1})
