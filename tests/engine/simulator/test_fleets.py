"""Fleets of several pools, apart and helping one another."""

import numpy as np

from engine.policies.moves import planned_moves
from engine.policies.registry import baseline
from engine.simulator.fleets import generated_fleets, play_fleets
from engine.simulator.metrics import Metric, profit
from engine.simulator.pools import play

RULE = baseline("rule")


def test_pools_played_apart_are_pools_played_alone():
    episodes, groups = generated_fleets(1, 2, seed=3, ticks=192 + 24, largest_nodes=16)
    together = play_fleets(episodes, groups, RULE, RULE, None)
    assert np.array_equal(together, play(episodes, RULE, RULE))


def test_a_fleets_pools_are_of_one_kind_and_of_different_sizes():
    episodes, groups = generated_fleets(2, 3, seed=8, ticks=192, largest_nodes=40)
    assert list(groups) == [0, 0, 0, 1, 1, 1]
    settings = [episode.settings for episode in episodes]
    assert settings[0].economics == settings[1].economics == settings[2].economics
    assert settings[0].economics != settings[3].economics
    assert len({one.owned_nodes for one in settings}) > 1


def test_fleets_whose_pools_help_one_another_earn_more_and_wait_less():
    episodes, groups = generated_fleets(2, 3, seed=8, ticks=192 + 96, largest_nodes=20)
    apart = play_fleets(episodes, groups, RULE, RULE, None)
    helping = play_fleets(episodes, groups, RULE, RULE, planned_moves)
    assert helping[:, Metric.MOVED_JOBS].sum() > 0
    assert apart[:, Metric.MOVED_JOBS].sum() == 0
    assert profit(helping).sum() > profit(apart).sum()
    assert helping[:, Metric.LATE_JOBS].sum() < apart[:, Metric.LATE_JOBS].sum()
