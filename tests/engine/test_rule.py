"""The rule: more when work waits, less when nodes stand empty, dearer when full."""

from __future__ import annotations

from typing import Any

from engine.policies.rule import RuleSettings, proposal
from tests.engine.actions_contract import make_seen

MARKET = 2.4


def rule(*, off: int = 8, **state: Any) -> Any:
    return proposal(make_seen(off=off, owned_nodes_on=32 - off, gpus_on=8 * (32 - off), **state))


def test_it_buys_what_the_queue_lacks() -> None:
    asked = rule(gpus_used=192, queued_jobs=5, queued_gpus=40, nodes_empty=0)
    assert asked.nodes == 5
    assert asked.price_usd_per_gpu_hour > MARKET


def test_it_never_asks_for_nodes_that_are_not_there() -> None:
    seen = make_seen(off=2, gpus_used=256, queued_jobs=9, queued_gpus=400, nodes_empty=0)
    seen.features["startable_leased_nodes"] = 1
    assert proposal(seen).nodes == 3


def test_nodes_on_their_way_count() -> None:
    state = {"gpus_used": 192, "queued_jobs": 5, "queued_gpus": 40, "nodes_empty": 0}
    assert rule(nodes_provisioning=5, **state).nodes == 0


def test_it_releases_empty_nodes_beyond_its_slack_only() -> None:
    idle = {"gpus_used": 64, "queued_jobs": 0, "queued_gpus": 0}
    assert rule(nodes_empty=16, **idle).nodes == -RuleSettings().largest_step_nodes
    assert rule(nodes_empty=3, **idle).nodes == -3
    full = {"gpus_used": 180, "queued_jobs": 0, "queued_gpus": 0}
    assert rule(nodes_empty=1, **full).nodes == 0


def test_an_idle_pool_is_cheaper_than_the_market_and_a_full_one_dearer() -> None:
    idle = rule(gpus_used=60, queued_jobs=0, queued_gpus=0)
    full = rule(gpus_used=192, queued_jobs=0, queued_gpus=0)
    assert idle.price_usd_per_gpu_hour < MARKET < full.price_usd_per_gpu_hour


def test_prices_stay_in_their_band_whatever_comes() -> None:
    knobs = RuleSettings()
    flooded = rule(gpus_used=192, queued_jobs=99, queued_gpus=9999)
    empty = rule(gpus_used=0, queued_jobs=0, queued_gpus=0)
    assert flooded.price_usd_per_gpu_hour <= knobs.highest_ratio * MARKET + 1e-9
    assert empty.price_usd_per_gpu_hour >= knobs.lowest_ratio * MARKET - 1e-9
