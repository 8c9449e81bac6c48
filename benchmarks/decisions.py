"""How long it takes to decide for many pools at once: `python -m benchmarks.decisions`.

From what is seen of each pool to the proposals carried out: the rule's opinion, the network's
inputs, masks, choices of an ensemble of three, the envelope, and the moves between pools.
"""

from __future__ import annotations

import numpy as np

from benchmarks._timing import milliseconds, row
from engine.policies import Floats
from engine.policies.envelope import Envelope, head_sizes
from engine.policies.inputs import INPUT_NAMES
from engine.policies.learned import Learned
from engine.policies.moves import planned_moves
from engine.policies.network import Layer, Member, Network
from engine.policies.registry import baseline
from engine.simulator.episode_sources import training_episodes
from engine.simulator.pools import Pools

DIALS = 3
HIDDEN = 128
POOLS_A_FLEET = 4


def untrained(members: int = 3) -> Network:
    """A network of the shipped shape with random weights: time does not depend on them."""
    random, sizes = np.random.default_rng(0), head_sizes("offset")

    def layer(narrow: int, wide: int) -> Layer:
        weight = random.standard_normal((narrow, wide)) / np.sqrt(narrow)
        return Layer(weight.astype(np.float32), np.zeros(wide, np.float32))

    def member() -> Member:
        inputs = len(INPUT_NAMES) + DIALS
        return Member(
            np.zeros(inputs, np.float32), np.ones(inputs, np.float32),
            (layer(inputs, HIDDEN), layer(HIDDEN, HIDDEN), layer(HIDDEN, sum(sizes))),
            (layer(inputs, HIDDEN), layer(HIDDEN, HIDDEN), layer(HIDDEN, 1)),
        )  # fmt: skip

    return Network(sizes, tuple(member() for _ in range(members)))


def main() -> None:
    """Prints the table."""
    rule, network = baseline("rule"), untrained()
    policy = Learned("untrained", network, rule, Envelope())
    pools = Pools(training_episodes(1000, 1, ticks=60, largest_nodes=40))
    while not pools.done:
        seen = pools.observe()
        pools.step(rule.proposals(seen))
    for count, aim in ((1, None), (64, 1.0), (1000, 10.0)):
        measured(policy, seen[:count], aim)


def measured(policy: Learned, few: Floats, aim_milliseconds: float | None) -> None:
    """The lines for so many pools."""
    count, rule = len(few), policy.rule
    groups = np.arange(count) // POOLS_A_FLEET

    def decide() -> None:
        policy.proposals(few)
        planned_moves(few, groups)

    row(f"{count} pools: the rule alone", milliseconds(lambda: rule.proposals(few), 50))
    row(f"{count} pools: the policy, its rule too", milliseconds(lambda: policy.proposals(few), 50))
    row(f"{count} pools: moves", milliseconds(lambda: planned_moves(few, groups), 50))
    row(f"{count} pools: all of it", milliseconds(decide, 50), aim_milliseconds)


if __name__ == "__main__":
    main()
