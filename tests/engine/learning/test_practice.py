"""What the learner practises on; and a training small enough for a test that must beat the rule."""

from dataclasses import replace

import numpy as np
import pytest

from engine.learning import ppo
from engine.learning.contract import Settings
from engine.learning.practice import (
    Practice,
    PracticeSettings,
    dialled_usd,
    reward_usd,
)
from engine.policies.envelope import (
    AROUND_THE_RULE,
    CAPACITY_CHOICES,
    PRICE_CHOICES,
    NetHead,
    head_sizes,
    leaning,
)
from engine.policies.learned import Learned
from engine.policies.network import Network
from engine.policies.registry import baseline
from engine.simulator.episode_sources import Demand, arrivals_of_demand, episode_of
from engine.simulator.episodes import Episode
from engine.simulator.features import FEATURE_COUNT, Feature
from engine.simulator.metrics import METRIC_COUNT, Metric, profit
from engine.simulator.pools import play
from engine.simulator.settings import Economics, PoolSettings

RULE = baseline("rule")
WARM_TICKS, DAYS = 48, 2
LOYAL = Economics(acceptance_slope=3.0, acceptance_midpoint=1.25)
"""Customers who mind the price less than usual: something to be learned about this kind of pool."""
STEADY = Demand((0.6, 0.15, 0.15, 0.1, 0, 0), 1800.0, 1.0, 0.4, 14.0, 0.9, 0.1, 0.0)


def loyal_pool(seed: int, days: int = DAYS) -> Episode:
    """A small pool whose customers are loyal."""
    random = np.random.default_rng(seed)
    settings = PoolSettings(
        "loyal", "H100", "any", 12, 4, 2.89, 2.89, economics=LOYAL, load_ratio=1.1
    )
    hour, ticks = float(random.integers(168)), WARM_TICKS + days * 96
    arrivals = arrivals_of_demand(random, settings, STEADY, hour, ticks)
    return episode_of("loyal", settings, arrivals, hour, ticks, random, WARM_TICKS)


def as_the_rule(rows: int) -> np.ndarray:
    """Choices that come to the rule's own proposal, but for how nodes are released."""
    choices = np.zeros((rows, len(NetHead)), np.int64)
    choices[:, NetHead.CAPACITY] = np.flatnonzero(CAPACITY_CHOICES["offset"] == 0)[0]
    choices[:, NetHead.PRICE] = np.flatnonzero(PRICE_CHOICES == 0)[0]
    choices[:, NetHead.HEAL], choices[:, NetHead.SPOT] = 1, 2
    return choices


def test_who_does_what_the_rule_does_earns_nothing_beyond_it():
    practice = Practice([loyal_pool(1), loyal_pool(2)], RULE, PracticeSettings(rows=4))
    practice.reset(0)
    for _ in range(60):
        choices = as_the_rule(4)
        choices[:, NetHead.CONSOLIDATION] = practice._rule[:, 2]
        step = practice.step(choices)
        assert not step.reward.any()
        assert not step.constraint.any()


def test_pool_and_twin_begin_alike_after_every_end():
    practice = Practice([loyal_pool(3, days=1)], RULE, PracticeSettings(rows=3))
    practice.reset(0)
    random, ended = np.random.default_rng(0), 0
    sizes = np.array(head_sizes("offset"))
    for _ in range(100):
        step = practice.step(random.integers(0, sizes, (3, len(sizes))))
        for row in np.flatnonzero(step.done):
            ended += 1
            assert np.array_equal(practice._pools.metrics[row], practice._twins.metrics[row])
    assert ended >= 3


def test_a_turned_dial_prices_what_it_names_and_nothing_else():
    grown = np.zeros((4, METRIC_COUNT))
    grown[:, Metric.SLA_PENALTY_USD] = 10.0
    grown[:, Metric.AVAILABLE_GPU_SECONDS] = 7200.0
    grown[:, Metric.USED_GPU_SECONDS] = 3600.0
    grown[:, Metric.LOST_GPU_SECONDS] = 3600.0
    dial = np.vstack([np.zeros(3), np.eye(3)])
    plain, service, utilisation, reliability = dialled_usd(grown, dial, np.full(4, 2.0))
    assert plain == 0
    assert service == -30.0  # three more for each dollar of penalty
    assert utilisation == pytest.approx(-0.35 * 2.0)  # of an idle GPU-hour at $2
    assert reliability == pytest.approx(-4 * 2.0)


def test_a_reward_of_one_is_worth_the_root_of_the_size():
    seen = np.zeros((2, FEATURE_COUNT))
    seen[:, Feature.GPUS_PER_NODE] = 8
    seen[:, Feature.OWNED_NODES] = 16, 64
    seen[:, Feature.MARKET_DAY_USD_PER_GPU_HOUR] = 2.89
    small, large = reward_usd(seen)
    assert large == pytest.approx(0.2 * 512)
    assert large == pytest.approx(2 * small)


def test_a_short_training_earns_more_than_the_rule_on_pools_it_never_saw():
    practice = Practice(
        [loyal_pool(seed) for seed in range(24)], RULE, PracticeSettings(rows=64, turns_dial=False)
    )
    settings = replace(
        Settings(), decisions=60_000, steps=32, minibatch=1024, learning_rate=3e-3, gamma=0.97,
        gae_lambda=0.9, critic_updates=1, multiplier_rate=0.0, leaning=leaning("offset"),
    )  # fmt: skip
    member = ppo.train(practice, settings, seed=1).member
    policy = Learned("short", Network(head_sizes("offset"), (member,)), RULE, AROUND_THE_RULE)
    unseen = [loyal_pool(1000 + seed) for seed in range(16)]
    rule = profit(play(unseen, RULE, RULE))
    gains = profit(play(unseen, policy, RULE)) - rule
    assert gains.sum() > 0.005 * rule.sum()
    assert (gains > 0).mean() >= 0.75
