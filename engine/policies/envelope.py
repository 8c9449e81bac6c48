"""What a network's choices mean, and how far from the rule they may take a pool.

A policy that may only move around the trusted rule cannot do much harm: the envelope is the
level of autonomy, and widens with evidence. All here are pure functions of whole arrays.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.policies import (
    DRAIN,
    HEAD_COUNT,
    MIGRATE,
    MOST_NODES,
    PRICE_RATIOS,
    STRICT,
    Floats,
    Head,
    Integers,
)
from engine.simulator.features import Feature

Flags = npt.NDArray[np.bool_]
Mode = Literal["absolute", "offset"]
"""What the first two heads count from: "absolute" from no new node and our price now, "offset"
from what the rule proposes."""


class NetHead(IntEnum):
    """The columns of a network's choice, each the place of a choice."""

    CAPACITY = 0
    PRICE = 1
    CONSOLIDATION = 2
    HEAL = 3
    SPOT = 4


class Envelope(NamedTuple):
    """How far from the rule's proposal a policy may go; None is as far as it likes."""

    nodes: int | None = 3
    price_levels: int | None = 2


AROUND_THE_RULE = Envelope()
FREE = Envelope(None, None)
LEANING = 1.0
"""how much less the first policy of a training likes a choice a step further from the rule, in
logits"""
CAPACITY_CHOICES: dict[Mode, Integers] = {
    "absolute": np.array([-8, -4, -2, -1, 0, 1, 2, 4, 8]),
    "offset": np.arange(-3, 4),
}
"""nodes"""
PRICE_CHOICES: Integers = np.arange(-2, 3)
"""levels of PRICE_RATIOS"""
SPOT_CHOICES: Integers = np.array([0, 50, 100])
"""per cent of the idle GPUs"""


def head_sizes(mode: Mode) -> tuple[int, ...]:
    """Choices of each NetHead."""
    return (len(CAPACITY_CHOICES[mode]), len(PRICE_CHOICES), 3, 3, len(SPOT_CHOICES))


def leaning(mode: Mode) -> tuple[float, ...]:
    """Logits of a first policy that stays near the rule, all heads one after the other.

    Nodes and price as the rule has them, nodes released by migration, strict healing, all idle GPUs
    sold: it explores around what is known to work, and so shares its luck with its twin.
    """
    logits = [np.zeros(size) for size in head_sizes(mode)]
    logits[NetHead.CAPACITY][:] = -LEANING * np.abs(CAPACITY_CHOICES[mode])
    logits[NetHead.PRICE][:] = -LEANING * np.abs(PRICE_CHOICES)
    for head, usual in ((NetHead.CONSOLIDATION, MIGRATE), (NetHead.HEAL, STRICT)):
        logits[head][usual] = 4 * LEANING
    logits[NetHead.SPOT][-1] = 4 * LEANING
    return tuple(float(logit) for logit in np.concatenate(logits))


def to_proposals(
    choice: Integers, rule: Integers, seen: Floats, envelope: Envelope, mode: Mode
) -> Integers:
    """What the choices come to, shape (R, HEAD_COUNT).

    `choice` has shape (R, len(NetHead)), `rule` (R, HEAD_COUNT), the rule's proposals, `seen`
    (R, FEATURE_COUNT). Nodes and price are held within the envelope around the rule, then to what
    the pool can do.
    """
    result = np.empty((len(choice), HEAD_COUNT), np.int64)
    nodes, levels = _wishes(choice, rule, seen, mode)
    result[:, Head.NODES] = _doable(
        _held(nodes, rule[:, Head.NODES], envelope.nodes), seen, choice[:, NetHead.CONSOLIDATION]
    )
    result[:, Head.PRICE_LEVEL] = _listed(
        _held(levels, rule[:, Head.PRICE_LEVEL], envelope.price_levels)
    )
    result[:, Head.CONSOLIDATION] = choice[:, NetHead.CONSOLIDATION]
    result[:, Head.HEAL] = choice[:, NetHead.HEAL]
    result[:, Head.SPOT_PERCENT] = SPOT_CHOICES[choice[:, NetHead.SPOT]]
    return result


def is_clipped(
    choice: Integers, rule: Integers, seen: Floats, envelope: Envelope, mode: Mode
) -> Flags:
    """Where the envelope changed what would have been done, shape (R,)."""
    held = to_proposals(choice, rule, seen, envelope, mode)
    changed: Flags = (held != to_proposals(choice, rule, seen, FREE, mode)).any(axis=1)
    return changed


def masks(seen: Floats, rule: Integers, envelope: Envelope, mode: Mode) -> list[Flags]:
    """Which choices are worth telling apart, an array (R, size) a NetHead.

    Of choices that come to the same only the one nearest to what it comes to stays; so every row
    keeps at least one. How nodes are released does not matter where none can be, nor whom to heal
    where nobody is suspect: there the rule's choice stays alone.
    """
    wide, rows = rule[:, :, None], seen[:, :, None]
    asked = CAPACITY_CHOICES[mode] + _base_nodes(wide, mode)
    # Heads are drawn apart: what draining could release must stay open to the first.
    drains = np.full((len(seen), 1), DRAIN)
    nodes = _doable(_held(asked, wide[:, Head.NODES], envelope.nodes), rows, drains)
    levels = PRICE_CHOICES + _base_level(wide, rows, mode)
    listed = _listed(_held(levels, wide[:, Head.PRICE_LEVEL], envelope.price_levels))
    return [
        _distinct(asked, nodes),
        _distinct(levels, listed),
        _or_rule_alone(nodes.min(axis=1) < 0, rule[:, Head.CONSOLIDATION]),
        _or_rule_alone(seen[:, Feature.SUSPECT_NODES] > 0, rule[:, Head.HEAL]),
        np.ones((len(seen), len(SPOT_CHOICES)), np.bool_),
    ]


def price_levels(seen: Floats) -> Integers:
    """The place in PRICE_RATIOS nearest to our price now; (R, ...) of (R, FEATURE_COUNT, ...)."""
    market = np.maximum(seen[:, Feature.MARKET_USD_PER_GPU_HOUR], 1e-9)
    ratio = seen[:, Feature.PRICE_USD_PER_GPU_HOUR] / market
    step = PRICE_RATIOS[1] - PRICE_RATIOS[0]
    place = np.clip(np.rint((ratio - PRICE_RATIOS[0]) / step), 0, len(PRICE_RATIOS) - 1)
    levels: Integers = place.astype(np.int64)
    return levels


def _wishes(
    choice: Integers, rule: Integers, seen: Floats, mode: Mode
) -> tuple[Integers, Integers]:
    """Nodes and price level as chosen, before anything holds them."""
    nodes = CAPACITY_CHOICES[mode][choice[:, NetHead.CAPACITY]] + _base_nodes(rule, mode)
    levels = PRICE_CHOICES[choice[:, NetHead.PRICE]] + _base_level(rule, seen, mode)
    return nodes, levels


def _base_nodes(rule: Integers, mode: Mode) -> Integers:
    return rule[:, Head.NODES] * (mode == "offset")


def _base_level(rule: Integers, seen: Floats, mode: Mode) -> Integers:
    return price_levels(seen) if mode == "absolute" else rule[:, Head.PRICE_LEVEL]


def _held(wish: Integers, centre: Integers, width: int | None) -> Integers:
    return wish if width is None else np.clip(wish, centre - width, centre + width)


def _doable(nodes: Integers, seen: Floats, consolidation: Integers) -> Integers:
    """No more than can be started, nor fewer than can be released, nor more than a decision may.

    Closed nodes count both ways: they are opened again before others are started, and released
    before others are emptied.
    """
    closed = seen[:, Feature.CORDONED_NODES]
    off = seen[:, Feature.OWNED_OFF_NODES] + seen[:, Feature.BURST_OFF_NODES]
    most = np.minimum(off + closed, MOST_NODES)
    least = -np.minimum(_emptied_nodes(seen, consolidation) + closed, MOST_NODES)
    return np.clip(nodes, least.astype(np.int64), most.astype(np.int64))


def _emptied_nodes(seen: Floats, consolidation: Integers) -> Floats:
    """Most open nodes that a release can reach: jobs that move must find room elsewhere."""
    on = seen[:, Feature.OWNED_ACTIVE_NODES] + seen[:, Feature.BURST_ACTIVE_NODES]
    empty = seen[:, Feature.OWNED_EMPTY_NODES] + seen[:, Feature.BURST_RIPE_NODES]
    free, size = seen[:, Feature.FREE_GPUS], np.maximum(seen[:, Feature.GPUS_PER_NODE], 1.0)
    drained, migrated = np.minimum(on, free), np.minimum(on, free // size)
    nodes: Floats = np.select(
        [consolidation == DRAIN, consolidation == MIGRATE], [drained, migrated], empty
    )
    return nodes


def _listed(levels: Integers) -> Integers:
    return np.clip(levels, 0, len(PRICE_RATIOS) - 1)


def _distinct(asked: Integers, done: Integers) -> Flags:
    """(R, size): the choices that no better one, nor an equal earlier one, stands for."""
    size = done.shape[1]
    # Whole numbers that order first by the distance from what was asked, then by the place.
    rank = np.abs(asked - done) * size + np.arange(size)
    is_same = done[:, :, None] == done[:, None, :]
    is_better = rank[:, None, :] < rank[:, :, None]
    alone: Flags = ~(is_same & is_better).any(axis=2)
    return alone


def _or_rule_alone(is_open: Flags, rule: Integers) -> Flags:
    mask: Flags = is_open[:, None] | (np.arange(3) == rule[:, None])
    return mask
