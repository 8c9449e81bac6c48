"""Evidence for the gates: what a challenger does on episodes it never saw, and under stress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.learning.gates import Evidence, PairedWeeks
from engine.policies import MOST_NODES, PRICE_RATIOS, Floats, Head, Integers, Policy
from engine.policies.envelope import Flags
from engine.policies.learned import Answer, Learned
from engine.simulator.episodes import Episode
from engine.simulator.metrics import Metric, profit
from engine.simulator.pools import play
from engine.simulator.settings import Economics


@dataclass
class Witness:
    """A policy that is played while what it proposes is counted; satisfies the Policy protocol."""

    policy: Learned
    decisions: int = 0
    clipped: int = 0
    breaks: int = 0

    @property
    def name(self) -> str:
        """The policy's."""
        return self.policy.name

    def proposals(self, seen: Floats) -> Integers:
        """The policy's, noted down."""
        answer = self.policy.explained(seen)
        self.decisions += len(seen)
        self.clipped += int(answer.is_clipped.sum())
        self.breaks += int(_breaks(answer, self.policy).sum())
        return answer.proposals


def _breaks(answer: Answer, policy: Learned) -> Flags:
    """Where a proposal goes further than the rule by more than the envelope, or off the scale."""
    done, rule = answer.proposals, answer.rule
    nodes, level = done[:, Head.NODES], done[:, Head.PRICE_LEVEL]
    wide = MOST_NODES if policy.envelope.nodes is None else policy.envelope.nodes
    tall = policy.envelope.price_levels
    tall = len(PRICE_RATIOS) if tall is None else tall
    # What the pool can't do brings it back toward nothing; only going further is a break.
    too_far = (nodes > np.maximum(rule[:, Head.NODES] + wide, 0)) | (
        nodes < np.minimum(rule[:, Head.NODES] - wide, 0)
    )
    off_scale = (np.abs(nodes) > MOST_NODES) | (level < 0) | (level >= len(PRICE_RATIOS))
    off_price = np.abs(level - rule[:, Head.PRICE_LEVEL]) > tall
    found: Flags = too_far | off_scale | off_price
    return found


def offline_evidence(
    policy: Learned,
    rule: Policy,
    held_out: Mapping[str, Sequence[Episode]],
    stress: Mapping[str, Sequence[Episode]],
) -> Evidence:
    """All that can be known before a day in shadow; every episode is played by both."""
    witness = Witness(policy)
    played = {name: _both(witness, rule, episodes) for name, episodes in held_out.items()}
    late, rule_late = _late(played.values())
    return Evidence(
        held_out={name: _paired(*both) for name, both in played.items()},
        stress={name: _paired(*_both(witness, rule, these)) for name, these in stress.items()},
        guardrail_breaks=witness.breaks,
        envelope_hit_ratio=witness.clipped / max(witness.decisions, 1),
        late_ratio=late,
        rule_late_ratio=rule_late,
    )


def _both(policy: Policy, rule: Policy, episodes: Sequence[Episode]) -> tuple[Floats, Floats]:
    if not episodes:
        return np.zeros((0, len(Metric))), np.zeros((0, len(Metric)))
    return (
        play(episodes, policy, rule, threads=1),
        play(episodes, rule, rule, threads=1),
    )


def _paired(mine: Floats, rule: Floats) -> PairedWeeks:
    return PairedWeeks(profit(mine) - profit(rule), profit(rule))


def _late(played: Iterable[tuple[Floats, Floats]]) -> tuple[float | None, float | None]:
    """Late share of started jobs, the policy's and the rule's; None where nothing started."""
    sums = np.zeros((2, 2))
    for both in played:
        for who, metrics in enumerate(both):
            sums[who] += metrics[:, Metric.LATE_JOBS].sum(), metrics[:, Metric.STARTED_JOBS].sum()
    if (sums[:, 1] == 0).any():
        return None, None
    mine, rule = sums[:, 0] / sums[:, 1]
    return float(mine), float(rule)


# -- stress ----------------------------------------------------------------------------


def stressed(episodes: Sequence[Episode]) -> dict[str, list[Episode]]:
    """The episodes under each setting pushed to its end; nothing is trained on any of these."""
    return {
        name: [_under(episode, terms(episode.settings.economics)) for episode in episodes]
        for name, terms in STRESSES.items()
    }


def _under(episode: Episode, terms: Economics) -> Episode:
    return replace(episode, settings=replace(episode.settings, economics=terms))


def _dear(e: Economics) -> Economics:
    return replace(
        e,
        owned_usd_per_gpu_hour=1.5 * e.owned_usd_per_gpu_hour,
        burst_usd_per_gpu_hour=1.25 * e.burst_usd_per_gpu_hour,
    )


def _slow(e: Economics) -> Economics:
    return replace(e, burst_boot_low_seconds=2400, burst_boot_high_seconds=3600)


STRESSES: Mapping[str, Callable[[Economics], Economics]] = {
    "dearer nodes": _dear,
    "keener customers": lambda e: replace(e, acceptance_slope=1.4 * e.acceptance_slope),
    "calmer customers": lambda e: replace(e, acceptance_slope=0.6 * e.acceptance_slope),
    "five times the failures": lambda e: replace(
        e,
        failures_per_1000_node_days=5 * e.failures_per_1000_node_days,
        degradations_per_1000_node_days=5 * e.degradations_per_1000_node_days,
    ),
    "a minimum bill of 4 hours": lambda e: replace(e, minimum_bill_seconds=14_400),
    "a cold start of 40 to 60 minutes": _slow,
}
"""The ends that the design study tried."""
