"""What the training command is made of."""

from dataclasses import replace

import numpy as np
import pytest

from engine.learning import train
from engine.learning.practice import DIAL_COUNT
from engine.policies.envelope import head_sizes
from engine.policies.inputs import INPUT_NAMES
from engine.policies.network import Layer, Member, Network

SMALL = replace(train.Plan(), episodes=6, days=0.5)
INPUTS = len(INPUT_NAMES) + DIAL_COUNT


def member(seed: int = 0) -> Member:
    """A member with random weights that never saw the dial turned."""
    random, sizes = np.random.default_rng(seed), head_sizes("offset")

    def layer(narrow: int, wide: int) -> Layer:
        weight = random.standard_normal((narrow, wide)) / np.sqrt(narrow)
        return Layer(weight.astype(np.float32), np.zeros(wide, np.float32))

    deviation = np.ones(INPUTS, np.float32)
    deviation[-DIAL_COUNT:] = 0.1
    return Member(
        np.zeros(INPUTS, np.float32),
        deviation,
        (layer(INPUTS, 16), layer(16, 16), layer(16, sum(sizes))),
        (layer(INPUTS, 16), layer(16, 16), layer(16, 1)),
    )


def test_a_member_made_ready_for_the_dial_minds_it_not_yet_and_is_else_the_same():
    before = Network(head_sizes("offset"), (member(),))
    after = Network(head_sizes("offset"), (train.with_dial(member()),))
    seen = np.random.default_rng(1).standard_normal((5, INPUTS)).astype(np.float32)
    plain, turned = seen.copy(), seen.copy()
    plain[:, -DIAL_COUNT:] = 0.0
    turned[:, -DIAL_COUNT:] = 1.0
    assert after.values(turned) == pytest.approx(after.values(plain), abs=1e-6)
    assert after.values(plain) == pytest.approx(before.values(plain), abs=1e-5)
    assert before.values(turned) != pytest.approx(before.values(plain), abs=1e-3)


def test_nobody_practises_on_what_is_judged():
    practised = {one.seed for one in train.practice_episodes(SMALL)}
    judged = {one.seed for found in train.validation_sets(SMALL).values() for one in found}
    assert practised
    assert judged
    assert not practised & judged


def test_half_of_the_practice_is_on_the_usual_terms():
    slopes = [e.settings.economics.acceptance_slope for e in train.practice_episodes(SMALL)]
    assert slopes.count(5.0) == len(slopes) // 2


def test_the_same_plan_practises_on_the_same_pools():
    one, again = train.practice_episodes(SMALL), train.practice_episodes(SMALL)
    assert [e.seed for e in one] == [e.seed for e in again]
    assert all(
        np.array_equal(a.arrivals.submitted_at, b.arrivals.submitted_at)
        for a, b in zip(one, again, strict=True)
    )
