"""The shadow: what champion, challenger and rule would do with a pool, side by side, on record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from engine.champion import Roster
from engine.drivers import drivers
from engine.observe import PoolObservation
from engine.policies import PRICE_RATIOS, Head, Integers, rule
from engine.policies.learned import Learned
from engine.simulator.features import Feature
from warehouse.policies import RULE
from warehouse.records import ShadowProposal
from warehouse.shadow import PolicyRole

HEAD_NAMES = ("nodes", "price", "consolidation", "heal", "spot")
"""What the heads of a network are called in `ShadowProposal.propensities`."""
HOW_WORDS: tuple[Literal["empties_only", "drain", "migrate"], ...] = (
    "empties_only",
    "drain",
    "migrate",
)
HEAL_WORDS: tuple[Literal["nobody", "strict", "loose"], ...] = ("nobody", "strict", "loose")


@dataclass(frozen=True)
class Opinion:
    """What one policy would do with a pool, and why."""

    policy_id: str
    role: PolicyRole
    goal: rule.Proposal
    proposal: Integers
    """(HEAD_COUNT,)"""
    propensities: dict[str, float]
    """by HEAD_NAMES"""
    is_clipped: bool = False
    value_usd: float | None = None
    drivers: tuple[dict[str, Any], ...] = ()

    @property
    def is_learned(self) -> bool:
        """Whether a network has it."""
        return self.policy_id != RULE

    def row(self, seen: PoolObservation) -> ShadowProposal:
        """As it is kept."""
        chosen = self.proposal
        return ShadowProposal(
            pool=seen.pool.pool,
            policy_id=self.policy_id,
            role=self.role,
            nodes=int(chosen[Head.NODES]),
            price_usd_per_gpu_hour=self.goal.price_usd_per_gpu_hour,
            consolidation=HOW_WORDS[chosen[Head.CONSOLIDATION]],
            heal=HEAL_WORDS[chosen[Head.HEAL]],
            spot_ratio=int(chosen[Head.SPOT_PERCENT]) / 100,
            is_clipped=self.is_clipped,
            propensities=self.propensities,
            value_usd=self.value_usd,
            drivers=list(self.drivers),
            observation_id=seen.observation_id,
            proposed_at=seen.observed_at,
        )


@dataclass(frozen=True)
class Opinions:
    """What everybody would do with a pool."""

    steers: Opinion
    """of the policy that steers this pool"""
    rule: Opinion
    others: tuple[Opinion, ...] = ()
    """of the learned policies, the one that steers included"""
    why_rule: str | None = None
    """why the rule steers here though another is the champion"""

    def rows(self, seen: PoolObservation) -> list[ShadowProposal]:
        """As they are kept."""
        return [one.row(seen) for one in (*self.others, self.rule)]


def opinions(
    roster: Roster, seen: PoolObservation, settings: rule.RuleSettings | None = None
) -> Opinions:
    """Everybody asked about one pool; `settings` are the rule's knobs where it has its own."""
    pool = seen.pool.pool
    plain = _of_rule(seen, settings)
    others = tuple(
        _of_learned(policy_id, role, policy, seen)
        for policy_id, (role, policy) in roster.with_rule(settings).everyone().items()
    )
    steers = roster.policy_id_of(pool)
    chosen = next((one for one in others if one.policy_id == steers), plain)
    return Opinions(chosen, plain, others, roster.drifting_pools.get(pool))


def _of_rule(seen: PoolObservation, settings: rule.RuleSettings | None) -> Opinion:
    chosen = rule.proposals(seen.raw[None], rule.tuned_settings(settings))[0]
    certain = dict.fromkeys(HEAD_NAMES, 1.0)
    return Opinion(RULE, "rule", rule.proposal(seen, settings), chosen, certain)


def _of_learned(
    policy_id: str, role: PolicyRole, policy: Learned, seen: PoolObservation
) -> Opinion:
    raw = seen.raw[None]
    answer = policy.explained(raw)
    return Opinion(
        policy_id,
        role,
        _goal(seen, answer.proposals[0]),
        answer.proposals[0],
        {
            name: round(float(probability), 4)
            for name, probability in zip(HEAD_NAMES, answer.probabilities[0], strict=True)
        },
        bool(answer.is_clipped[0]),
        round(float(answer.value_usd[0]), 2),
        tuple(drivers(policy, answer, raw)),
    )


def _goal(seen: PoolObservation, chosen: Integers) -> rule.Proposal:
    market = float(seen.raw[Feature.MARKET_USD_PER_GPU_HOUR])
    price = round(float(PRICE_RATIOS[chosen[Head.PRICE_LEVEL]]) * market, 4)
    nodes, how = int(chosen[Head.NODES]), int(chosen[Head.CONSOLIDATION])
    on = float(seen.raw[Feature.USED_GPUS] + seen.raw[Feature.FREE_GPUS])
    wanted = on + nodes * float(np.maximum(seen.raw[Feature.GPUS_PER_NODE], 1.0))
    sentence = rule.in_words(seen, nodes, how, price)
    return rule.Proposal(nodes, price, wanted, sentence, how, int(chosen[Head.HEAL]))
