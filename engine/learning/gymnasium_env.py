"""The practice pools behind Gymnasium's doors, for other people's algorithms.

    import gymnasium
    from engine.learning.gymnasium_env import PoolEnv, PoolVectorEnv
    env = PoolVectorEnv(256)

Observations are the network's own inputs, actions one choice a head (`envelope.NetHead`), rewards
what the pool earned beyond its twin under the rule. Episodes end by time alone (`truncated`). Which
choices are open is in `info["action_masks"]`, a boolean array a head; a closed choice does what the
nearest open one does. Gymnasium comes with the extra `learn`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, MultiDiscrete, Space
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from engine.learning.practice import DIAL_COUNT, Practice, PracticeSettings
from engine.policies.envelope import head_sizes
from engine.policies.inputs import INPUT_NAMES, LARGEST_INPUT
from engine.policies.registry import baseline
from engine.simulator.episode_sources import training_episodes
from engine.simulator.episodes import Episode

DAY_TICKS = 96
Singles = npt.NDArray[np.float32]


def _spaces(settings: PracticeSettings) -> tuple[Space[Any], MultiDiscrete]:
    inputs = len(INPUT_NAMES) + DIAL_COUNT
    seen = Box(-LARGEST_INPUT, LARGEST_INPUT, (inputs,), np.float32)
    return seen, MultiDiscrete(np.array(head_sizes(settings.mode)))


def short_episodes(count: int, seed: int, days: float = 4.0) -> list[Episode]:
    """Generated episodes with a day of warm-up, for practice."""
    ticks = DAY_TICKS + round(days * DAY_TICKS)
    made = training_episodes(count, seed, ticks=ticks)
    return [replace(episode, warm_ticks=DAY_TICKS) for episode in made]


class PoolEnv(gymnasium.Env[Singles, npt.NDArray[np.int64]]):
    """One pool beside its twin."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - as the base class has it

    def __init__(
        self, episodes: Sequence[Episode] | None = None, settings: PracticeSettings | None = None
    ) -> None:
        """`episodes` to draw from; without them 16 generated ones."""
        self._settings = replace(settings or PracticeSettings(), rows=1)
        self._episodes = list(episodes or short_episodes(16, 0))
        self._practice = Practice(self._episodes, baseline("rule"), self._settings)
        self.observation_space, self.action_space = _spaces(self._settings)
        self.render_mode = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Singles, dict[str, Any]]:
        """A new pool at the end of its warm-up; the same seed gives the same one."""
        super().reset(seed=seed)
        obs, masks = self._practice.reset(int(self.np_random.integers(1 << 40)))
        return obs[0], {"action_masks": [mask[0] for mask in masks]}

    def step(
        self, action: npt.NDArray[np.int64]
    ) -> tuple[Singles, float, bool, bool, dict[str, Any]]:
        """A quarter of an hour; call `reset` once it is truncated."""
        step = self._practice.step(np.asarray(action, np.int64)[None])
        info = {
            "action_masks": [mask[0] for mask in step.masks],
            "constraint": float(step.constraint[0]),
        }
        return step.final_obs[0].copy(), float(step.reward[0]), False, bool(step.done[0]), info


class PoolVectorEnv(VectorEnv[Singles, npt.NDArray[np.int64], npt.NDArray[np.int64]]):
    """Many pools beside their twins, stepped in one call; each begins anew where it ends."""

    metadata: dict[str, Any] = {  # noqa: RUF012 - as the base class has it
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int,
        episodes: Sequence[Episode] | None = None,
        settings: PracticeSettings | None = None,
    ) -> None:
        """`episodes` to draw from; without them as many generated ones as there are rows."""
        self.num_envs = num_envs
        self._settings = replace(settings or PracticeSettings(), rows=num_envs)
        self._practice = Practice(
            list(episodes or short_episodes(num_envs, 0)), baseline("rule"), self._settings
        )
        self.single_observation_space, self.single_action_space = _spaces(self._settings)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.render_mode = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Singles, dict[str, Any]]:
        """All pools anew, their ends staggered."""
        super().reset(seed=seed)
        obs, masks = self._practice.reset(int(self.np_random.integers(1 << 40)))
        return obs, {"action_masks": masks}

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[Singles, npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
        """A quarter of an hour for all; of a truncated row the last sight is in `final_obs`."""
        step = self._practice.step(np.asarray(actions, np.int64))
        info: dict[str, Any] = {"action_masks": step.masks, "constraint": step.constraint}
        if step.done.any():
            info |= {"final_obs": step.final_obs, "_final_obs": step.done}
        over = np.zeros(self.num_envs, np.bool_)
        return step.obs, step.reward, over, step.done, info
