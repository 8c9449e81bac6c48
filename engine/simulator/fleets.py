"""Fleets of several pools: the same weeks, with jobs that may move between pools of one kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from engine.policies import Policy
from engine.simulator.episode_sources import generated_episode
from engine.simulator.episodes import Episode
from engine.simulator.moves import move_queued
from engine.simulator.pools import THREADS, Pools, play

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Planner = Callable[[Floats, Integers], Sequence[tuple[int, int, int, float]]]
"""Figures (R, FEATURE_COUNT) and groups (R,) to moves: source, target, most GPUs, gain."""

PAUSE_SECONDS = 300
"""of a job that moves: its checkpoint or image is carried over"""


def play_fleets(
    episodes: Sequence[Episode],
    groups: Integers,
    policy: Policy,
    warm_up: Policy,
    planned_moves: Planner | None,
    threads: int = THREADS,
) -> Floats:
    """As `pools.play`, shape (R, METRIC_COUNT); jobs that wait may move within a group (R,).

    Moves are made at each decision of the measured span, after all pools were observed and before
    their own proposals are carried out. None plays the pools apart.
    """
    warm = min(episode.warm_ticks for episode in episodes)

    def move(pools: Pools) -> None:
        if planned_moves is None or int(pools.tick.min()) < warm or pools.done:
            return
        for source, target, gpus, _ in planned_moves(pools.observe(), groups):
            move_queued(pools.state, source, target, gpus, PAUSE_SECONDS)

    return play(episodes, policy, warm_up, on_tick=move, threads=threads)


def generated_fleets(
    count: int, pools: int, seed: int, ticks: int, largest_nodes: int = 60
) -> tuple[list[Episode], Integers]:
    """Fleets of one GPU model in several regions: pools alike but for size, customers and hour."""
    episodes = []
    for fleet in range(count):
        kin = None
        for place in range(pools):
            random = np.random.default_rng([seed, fleet, place])
            name = f"fleet-{seed}-{fleet}-{place}"
            episodes.append(generated_episode(random, name, ticks, largest_nodes, kin))
            kin = kin or episodes[-1].settings
    return episodes, np.repeat(np.arange(count), pools)
