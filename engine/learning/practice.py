"""What the learner practises on: pools beside their twins, which the rule steers.

Each row is a pool under the learner and the same pool under the rule, on the same arrivals, market,
failures and customers' draws. The reward is what the one earned beyond the other, so that luck and
season cancel out (an input-dependent baseline: Mao et al., ICLR 2019). Without the twin the critic
explains nothing and nothing is learned (see docs/engine.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from engine.policies import Floats, Integers, Policy
from engine.policies.envelope import AROUND_THE_RULE, Envelope, Flags, Mode, masks, to_proposals
from engine.policies.inputs import Singles, inputs
from engine.simulator.episode_sources import USUAL_MARKET_USD
from engine.simulator.episodes import Episode
from engine.simulator.features import Feature
from engine.simulator.layout import TICK_SECONDS
from engine.simulator.market import market_ahead
from engine.simulator.metrics import Metric, profit
from engine.simulator.pools import Pools

DIAL_COUNT = 3
"""service, utilisation, reliability; profit always counts whole"""
SERVICE_WEIGHT = 3.0
"""at a full turn a dollar of penalty for lateness counts so many dollars more"""
WAIT_WEIGHT = 0.5
"""and a GPU-hour waited this share of the market's price"""
UTILISATION_WEIGHT = 0.35
"""at a full turn an idle GPU-hour costs this share of the market's price"""
RELIABILITY_WEIGHT = 4.0
"""at a full turn a GPU-hour of lost work costs so many times the market's price"""
PLAIN_SHARE = 0.4
"""share of the episodes with the dial at profit alone"""
REWARD_SCALE = 0.2
"""dollars a GPU and decision, at a market price of $2.89, that make a reward of 1 in a pool of
USUAL_GPUS"""
USUAL_GPUS = 512


class PracticeStep(NamedTuple):
    """What came of a decision; the fields are those of `ppo.Step`."""

    obs: Singles
    masks: list[Flags]
    reward: Floats
    constraint: Floats
    done: Flags
    final_obs: Singles


@dataclass(frozen=True)
class PracticeSettings:
    """How practice is arranged."""

    rows: int = 256
    """pools side by side, each with its twin"""
    mode: Mode = "offset"
    """what the heads count from"""
    envelope: Envelope = AROUND_THE_RULE
    """how far from the rule"""
    turns_dial: bool = True
    """whether some episodes are played at other settings of the dial"""
    threads: int = 1
    """cores for the simulation"""


class Practice:
    """R pools with twins; satisfies `ppo.Environment`."""

    def __init__(
        self, episodes: Sequence[Episode], rule: Policy, settings: PracticeSettings | None = None
    ) -> None:
        self.settings = settings or PracticeSettings()
        self.rule = rule
        self.episodes = list(episodes)
        self._shelf = warmed(episodes, rule, self.settings.threads)
        widest = [episodes[turn % len(episodes)] for turn in range(self.settings.rows)]
        widest[: len(episodes)] = list(episodes)[: self.settings.rows]
        self._pools = _room(episodes, widest, self.settings)
        self._twins = _room(episodes, widest, self.settings)
        self._random = np.random.default_rng(0)
        self._dial: Floats = np.zeros((self.settings.rows, DIAL_COUNT))
        self._seen: Floats = np.zeros((0, 0))
        self._rule: Integers = np.zeros((0, 0), np.int64)

    @property
    def rows(self) -> int:
        """Pools side by side."""
        return self.settings.rows

    def reset(self, seed: int) -> tuple[Singles, list[Flags]]:
        """Begin all rows anew, their ends staggered."""
        self._random = np.random.default_rng(seed)
        for row in range(self.rows):
            self._begin(row)
            left = int(self._pools.last_tick[row] - self._pools.tick[row])
            ends = self._pools.tick[row] + self._random.integers(left // 8 + 1, left + 1)
            self._pools.last_tick[row] = self._twins.last_tick[row] = ends
        self._look()
        return self._inputs(), self._masks()

    def step(self, choices: Integers) -> PracticeStep:
        """Carry the choices (R, H) out, and the rule's on the twins; a quarter of an hour."""
        pools, twins = self._pools, self._twins
        at = self.settings
        before, before_twin = pools.metrics.copy(), twins.metrics.copy()
        pools.step(to_proposals(choices, self._rule, self._seen, at.envelope, at.mode))
        twins.step(self.rule.proposals(twins.observe()))
        grown = (pools.metrics - before) - (twins.metrics - before_twin)
        reward, constraint = self._judged(grown, before_twin)
        self._look()
        obs = self._inputs()
        done = pools.tick >= pools.last_tick
        final = obs.copy() if done.any() else obs
        for row in np.flatnonzero(done):
            self._begin(int(row))
            self._seen[row] = pools.observe_row(int(row))
        if done.any():
            self._rule[done] = self.rule.proposals(self._seen[done])
            obs[done] = inputs(self._seen[done], self._rule[done], self._dial[done])
        return PracticeStep(obs, self._masks(), reward, constraint, done, final)

    # -- within --------------------------------------------------------------------

    def _look(self) -> None:
        self._seen = self._pools.observe()
        self._rule = self.rule.proposals(self._seen)

    def _inputs(self) -> Singles:
        return inputs(self._seen, self._rule, self._dial)

    def _masks(self) -> list[Flags]:
        return masks(self._seen, self._rule, self.settings.envelope, self.settings.mode)

    def _begin(self, row: int) -> None:
        """Another pool from the shelf, with luck of its own from here on; the twin is its copy."""
        pools, random = self._pools, self._random
        pools.copy_row(self._shelf, int(random.integers(self._shelf.rows)), row)
        _draw_luck(pools, row, random)
        self._twins.copy_row(pools, row, row)
        self._dial[row] = 0.0
        if self.settings.turns_dial and random.random() > PLAIN_SHARE:
            self._dial[row] = drawn_dial(random)

    def _judged(self, grown: Floats, before_twin: Floats) -> tuple[Floats, Floats]:
        market = self._seen[:, Feature.MARKET_DAY_USD_PER_GPU_HOUR]
        worth = profit(grown) + dialled_usd(grown, self._dial, market)
        reward = worth / reward_usd(self._seen)
        # Late starts beyond the twin's, over the starts that a quarter usually brings.
        usual = np.maximum(self._seen[:, Feature.SUBMITTED_DAY_JOBS_PER_HOUR] / 4, 0.25)
        return reward, np.clip(grown[:, Metric.LATE_JOBS] / usual, -2.0, 2.0)


def reward_usd(seen: Floats) -> Floats:
    """USD that a reward of 1 stands for in each pool, shape (R,), of figures (R, FEATURE_COUNT).

    Luck grows with the root of a pool's size: so scaled, pools of all sizes are equally noisy.
    """
    gpus = seen[:, Feature.OWNED_NODES] * seen[:, Feature.GPUS_PER_NODE]
    market = seen[:, Feature.MARKET_DAY_USD_PER_GPU_HOUR]
    usd: Floats = REWARD_SCALE * np.sqrt(gpus * USUAL_GPUS) * market / USUAL_MARKET_USD
    return np.maximum(usd, 1e-6)


def dialled_usd(grown: Floats, dial: Floats, market_usd: Floats) -> Floats:
    """What the dial's settings add to the profit, in USD, shape (R,).

    `grown` (R, METRIC_COUNT) is a difference of metrics, `dial` (R, DIAL_COUNT) each 0 to 1.
    """
    service, utilisation, reliability = dial.T
    penalty, waited = grown[:, Metric.SLA_PENALTY_USD], grown[:, Metric.QUEUED_GPU_SECONDS] / 3600
    idle = (grown[:, Metric.AVAILABLE_GPU_SECONDS] - grown[:, Metric.USED_GPU_SECONDS]) / 3600
    lost = grown[:, Metric.LOST_GPU_SECONDS] / 3600
    added: Floats = (
        -service * (SERVICE_WEIGHT * penalty + WAIT_WEIGHT * market_usd * waited)
        - utilisation * UTILISATION_WEIGHT * market_usd * idle
        - reliability * RELIABILITY_WEIGHT * market_usd * lost
    )
    return added


def drawn_dial(random: np.random.Generator) -> Floats:
    """A setting of the dial: one wish in full, or a mixture."""
    if random.random() < 0.6:
        wish = np.zeros(DIAL_COUNT)
        wish[random.integers(DIAL_COUNT)] = 1.0
        return wish
    return random.random(DIAL_COUNT)


def warmed(episodes: Sequence[Episode], rule: Policy, threads: int) -> Pools:
    """The pools as the rule has them at the end of each warm-up."""
    pools = Pools(episodes, threads)
    warm = np.array([episode.warm_ticks for episode in episodes])
    ends, pools.last_tick = pools.last_tick, warm
    while not pools.done:
        pools.step(rule.proposals(pools.observe()))
    pools.last_tick = ends
    return pools


def _room(episodes: Sequence[Episode], rows: Sequence[Episode], at: PracticeSettings) -> Pools:
    """Rows wide enough for any of the episodes."""
    return Pools(rows, at.threads, room=episodes)


def _draw_luck(pools: Pools, row: int, random: np.random.Generator) -> None:
    """New failures, customers and market from now on; what has happened stays."""
    state, settings = pools.state, pools.episodes[row].settings
    record = state.pool[row, 0]
    record["seed"] = random.integers(1 << 40)
    first, count = int(record["next_arrival"]), int(record["job_count"])
    state.jobs[row]["acceptance"][first:count] = random.random(count - first)
    now = int(record["now"]) // TICK_SECONDS
    shocks = random.standard_normal((1, state.market.shape[1] - now - 1))
    state.market[row, now:] = market_ahead(settings, float(state.market[row, now]), shocks)[0]
