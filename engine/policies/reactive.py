"""Reactive base stock: as many nodes as runs and waits now, and a reserve; no forecast.

An order-up-to policy (Arrow, Harris and Marschak, 1951) on the present demand, with a band
between buying and releasing so that the same node is not bought and sold every quarter hour.
"""

from __future__ import annotations

import numpy as np

from engine.policies import EMPTIES_ONLY, Floats, Integers, Knob
from engine.policies.stock import banded, coming_nodes, demand_gpus, knob, node_gpus, whole_nodes

NAME = "reactive"
KNOBS = (
    Knob("reserve_ratio", 0.05, -0.3, 0.5, "GPUs held beyond demand, over the demand"),
    Knob("reserve_nodes", 1.0, -8.0, 12.0, "nodes held beyond that"),
    Knob("band_nodes", 2.0, 0.0, 16.0, "surplus that is kept before any is released"),
)


def nodes(seen: Floats, knobs: Floats) -> tuple[Integers, Integers]:
    """Nodes to add, negative to release, and how: both (R,)."""
    wanted = demand_gpus(seen) * (1.0 + knob(knobs, 0)) / node_gpus(seen) + knob(knobs, 1)
    lacking = whole_nodes(wanted) - coming_nodes(seen).astype(np.int64)
    surplus = np.floor(-lacking - knob(knobs, 2)).astype(np.int64)
    return banded(lacking, surplus), np.full(len(seen), EMPTIES_ONLY)
