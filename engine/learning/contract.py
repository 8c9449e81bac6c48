"""What a training is told, and what it asks of an environment.

Free of torch, so that environments, the command line and the scheduler are. The algorithm is
`ppo.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from engine.policies.network import Member

Record = dict[str, float]
"""The figures of one update."""


@dataclass(frozen=True)
class Settings:
    """Every knob of the algorithm."""

    decisions: int = 4_000_000
    """decisions to learn from; rounded down to whole updates, at least one"""
    steps: int = 64
    """decisions a row between updates"""
    epochs: int = 4
    """passes over the decisions of an update"""
    minibatch: int = 2048
    """decisions a gradient step"""
    hidden: int = 128
    """units of each of the two hidden layers; who goes on from a member has that member's"""
    learning_rate: float = 1e-3
    """Adam's step at the start; falls linearly"""
    last_learning_rate_ratio: float = 0.1
    """of it, at the end"""
    gamma: float = 0.99
    """discount a decision"""
    gae_lambda: float = 0.93
    """bias against variance of the advantages (Schulman et al., arXiv 1506.02438)"""
    clip_ratio: float = 0.2
    """how far a choice's probability may move before its gradient is cut off"""
    largest_kl: float = 0.03
    """past this distance from the policy that acted, the actor rests until the next update"""
    entropy_coefficient: float = 0.001
    """reward for indecision at the start; falls linearly to 0"""
    largest_gradient: float = 0.5
    """norm at which the gradient is cut, actor and critic apart"""
    critic_updates: int = 3
    """first updates, in which the critic learns alone"""
    leaning: tuple[float, ...] = ()
    """logits that the first policy starts from, all heads one after the other; () for none"""
    constraint_limit: float = 0.0
    """what the mean of the constraint may be"""
    multiplier_start: float = 0.0
    """price of a unit of the constraint, in reward, at the start"""
    multiplier_rate: float = 0.1
    """its rise an update per unit of the mean constraint beyond the limit"""
    largest_multiplier: float = 20.0
    """and its bound"""
    stretch_updates: int = 50
    """updates between fresh starts of the environment; checkpoints are kept there alone, so that a
    training resumed sees what it would have seen uninterrupted"""
    judge_updates: int = 30
    """updates between calls of the judge"""


class Step(Protocol):
    """What came of the choices of all R rows."""

    @property
    def obs(self) -> npt.NDArray[np.float32]:
        """(R, I): what is seen now; of a row that is done, its next episode's start."""

    @property
    def masks(self) -> Sequence[npt.NDArray[np.bool_]]:
        """A head (R, size): which choices may be taken now."""

    @property
    def reward(self) -> npt.NDArray[Any]:
        """(R,)"""

    @property
    def constraint(self) -> npt.NDArray[Any]:
        """(R,): what the multiplier is to hold down, its mean to `constraint_limit`."""

    @property
    def done(self) -> npt.NDArray[np.bool_]:
        """(R,): the row's time was up (never a true end: its future still has a value)."""

    @property
    def final_obs(self) -> npt.NDArray[np.float32]:
        """(R, I): where a row is done, the last that was seen of it; not read elsewhere."""


class Environment(Protocol):
    """R fleets side by side, each begun anew when its time is up."""

    @property
    def rows(self) -> int:
        """R."""

    def reset(self, seed: int) -> tuple[npt.NDArray[np.float32], Sequence[npt.NDArray[np.bool_]]]:
        """Begin all rows anew, at different places of their episodes: obs and masks."""

    def step(self, choices: npt.NDArray[np.int64]) -> Step:
        """Carry out the choices (R, H) and play to the next decision."""


class Trained(NamedTuple):
    """What came of a training."""

    member: Member
    """the weights that the judge liked best; without a judge the last"""
    head_sizes: tuple[int, ...]
    records: list[Record]
    """learning curves, one record an update"""
    seed: int
