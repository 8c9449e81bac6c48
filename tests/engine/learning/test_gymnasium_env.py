"""The practice pools through Gymnasium's own checker."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from engine.learning.gymnasium_env import PoolEnv, PoolVectorEnv
from engine.simulator.episode_sources import training_episodes
from engine.simulator.episodes import Episode


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    made = training_episodes(3, 4, ticks=40, largest_nodes=16)
    return [replace(episode, warm_ticks=8) for episode in made]


def test_one_pool_passes_gymnasiums_checker(episodes):
    check_env(PoolEnv(episodes), skip_render_check=True)


def test_the_same_seed_plays_the_same_episode(episodes):
    env = PoolVectorEnv(4, episodes)
    env.action_space.seed(3)
    actions = [env.action_space.sample() for _ in range(60)]

    def played() -> tuple[np.ndarray, np.ndarray]:
        first, _ = env.reset(seed=11)
        steps = [env.step(action) for action in actions]
        return np.stack([first, *(step[0] for step in steps)]), np.stack([s[1] for s in steps])

    (seen, rewards), (seen_again, rewards_again) = played(), played()
    assert np.array_equal(seen, seen_again)
    assert np.array_equal(rewards, rewards_again)
    assert rewards.any()


def test_a_vectors_observations_lie_in_its_space_and_ends_are_truncations(episodes):
    env = PoolVectorEnv(4, episodes)
    env.action_space.seed(0)
    obs, info = env.reset(seed=1)
    ended = 0
    for _ in range(40):
        assert env.observation_space.contains(obs)
        obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert reward.shape == truncated.shape == (4,)
        assert not terminated.any()
        assert ("final_obs" in info) == bool(truncated.any())
        ended += int(truncated.sum())
    assert ended >= 4


def test_it_steps_like_any_vector_environment_of_gymnasium(episodes):
    wrapped = gymnasium.wrappers.vector.RecordEpisodeStatistics(PoolVectorEnv(2, episodes))
    wrapped.action_space.seed(0)
    wrapped.reset(seed=0)
    for _ in range(40):
        *_, info = wrapped.step(wrapped.action_space.sample())
        if "episode" in info:
            return
    pytest.fail("no episode ended in 40 steps of episodes of at most 32")
