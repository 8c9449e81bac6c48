"""Policies: what to do with a pool, given what is seen of it. One file each.

A policy reads the raw figures of `engine/simulator/features.py` for any number of pools at once
and answers one row of whole numbers a pool. It keeps no memory, so that the same policy steers one
pool in the console and ten thousand in training.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Head(IntEnum):
    """The columns of a proposal."""

    NODES = 0
    """nodes to add, negative to release"""
    PRICE_LEVEL = 1
    """place in PRICE_RATIOS: our price over the market's"""
    CONSOLIDATION = 2
    """how nodes are released: EMPTIES_ONLY, DRAIN or MIGRATE"""
    HEAL = 3
    """which suspect nodes are drained and repaired: NOBODY, STRICT or LOOSE"""
    SPOT_PERCENT = 4
    """share of idle GPUs sold as spot: 0, 50 or 100"""


HEAD_COUNT = len(Head)
PRICE_RATIOS: Floats = np.round(np.arange(0.70, 1.301, 0.05), 2)
"""The 13 price levels."""
LEVEL_AT_MARKET = 6
MOST_NODES = 8
"""most nodes added or released in one decision"""
EMPTIES_ONLY, DRAIN, MIGRATE = range(3)
NOBODY, STRICT, LOOSE = range(3)


class Knob(NamedTuple):
    """A parameter that tuning may move."""

    name: str
    """the unit is its last word"""
    start: float
    low: float
    high: float
    sentence: str


class Policy(Protocol):
    """Whoever proposes."""

    @property
    def name(self) -> str:
        """For tables."""
        ...

    def proposals(self, seen: Floats) -> Integers:
        """What to do, shape (R, HEAD_COUNT), for the raw figures (R, FEATURE_COUNT)."""
        ...
