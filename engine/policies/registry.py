"""Every baseline by name, its tuned knobs in place: `karpenter+surge`, `static+list`, `rule`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from types import ModuleType

import numpy as np

from engine.policies import (
    EMPTIES_ONLY,
    HEAD_COUNT,
    STRICT,
    Floats,
    Head,
    Integers,
    Knob,
    cluster_autoscaler,
    hpa,
    karpenter,
    mpc,
    newsvendor,
    reactive,
    rule,
    static,
)
from engine.policies.parameters import knob_values
from engine.policies.pricing import PRICINGS, Pricing
from engine.policies.stock import clipped

Nodes = Callable[[Floats, Floats], tuple[Integers, Integers]]
Play = Callable[[Floats, Floats], Integers]
CAPACITIES: tuple[ModuleType, ...] = (
    static,
    hpa,
    cluster_autoscaler,
    karpenter,
    newsvendor,
    reactive,
    mpc,
)


@dataclass(frozen=True, eq=False)
class Baseline:
    """A hand-made policy with its knobs; satisfies the Policy protocol.

    All of them sell every idle GPU as spot and repair what is strictly suspect: the study found
    nothing to be gained there, and it keeps the comparison to what differs.
    """

    name: str
    tunables: tuple[Knob, ...]
    knobs: Floats
    """(K,), or (R, K): a set a row, so that a whole population plays in one batch"""
    play: Play
    """raw figures (R, FEATURE_COUNT) and knobs to proposals (R, HEAD_COUNT)"""

    def proposals(self, seen: Floats) -> Integers:
        """What to do, shape (R, HEAD_COUNT)."""
        return self.play(seen, self.knobs)

    def with_knobs(self, knobs: Floats) -> Baseline:
        """The same with other knobs, (K,) or (R, K)."""
        return replace(self, knobs=knobs)


def baselines() -> dict[str, Baseline]:
    """Every baseline by name."""
    return dict(_baselines())


def baseline(name: str) -> Baseline:
    """One of them.

    Raises:
        KeyError: there is none of that name; the message lists those there are.
    """
    found = _baselines().get(name)
    if found is None:
        raise KeyError(f"no baseline {name!r}; there are {', '.join(_baselines())}")
    return found


def with_knobs(name: str, knobs: Floats) -> Baseline:
    """The baseline of that name with these knobs, (K,) or (R, K)."""
    return baseline(name).with_knobs(knobs)


@cache
def _baselines() -> dict[str, Baseline]:
    made = [_combined(part, pricing) for part in CAPACITIES for pricing in PRICINGS]
    made += [
        _made(f"{mpc.NAME}+planned", mpc.KNOBS, _planned),
        _made(rule.NAME, rule.KNOBS, rule.proposals),
    ]
    return {one.name: one for one in made}


def _made(name: str, tunables: tuple[Knob, ...], play: Play) -> Baseline:
    return Baseline(name, tunables, knob_values(name, tunables), play)


def _combined(part: ModuleType, pricing: str) -> Baseline:
    price_knobs, levels = PRICINGS[pricing]
    play = partial(_combination, part.nodes, levels, len(part.KNOBS))
    return _made(f"{part.NAME}+{pricing}", part.KNOBS + price_knobs, play)


def _combination(
    nodes: Nodes, levels: Pricing, capacity_knobs: int, seen: Floats, knobs: Floats
) -> Integers:
    wish, how = nodes(seen, knobs[..., :capacity_knobs])
    return _proposals(seen, wish, how, levels(seen, knobs[..., capacity_knobs:]))


def _planned(seen: Floats, knobs: Floats) -> Integers:
    return _proposals(seen, *mpc.plan(seen, knobs))


def _proposals(seen: Floats, wish: Integers, how: Integers, levels: Integers) -> Integers:
    result = np.empty((len(seen), HEAD_COUNT), np.int64)
    result[:, Head.NODES] = change = clipped(seen, wish, how)
    result[:, Head.PRICE_LEVEL] = levels
    result[:, Head.CONSOLIDATION] = np.where(change < 0, how, EMPTIES_ONLY)
    result[:, Head.HEAL] = STRICT
    result[:, Head.SPOT_PERCENT] = 100
    return result
