"""Static: a fixed number of nodes, whatever comes."""

from __future__ import annotations

import numpy as np

from engine.policies import EMPTIES_ONLY, Floats, Integers, Knob
from engine.policies.stock import coming_nodes, knob
from engine.simulator.features import Feature

NAME = "static"
KNOBS = (
    Knob("owned_on_ratio", 1.0, 0.5, 1.0, "share of the owned nodes that is on"),
    Knob("leased_ratio", 0.0, 0.0, 1.0, "share of the leases allowed that is held"),
)


def nodes(seen: Floats, knobs: Floats) -> tuple[Integers, Integers]:
    """Nodes to add, negative to release, and how: both (R,)."""
    owned = np.round(knob(knobs, 0) * seen[:, Feature.OWNED_NODES])
    leased = np.round(knob(knobs, 1) * seen[:, Feature.BURST_NODES])
    # Nodes under repair come back by themselves.
    down = seen[:, Feature.DOWN_NODES]
    lacking = (owned + leased - down - coming_nodes(seen)).astype(np.int64)
    return lacking, np.full(len(seen), EMPTIES_ONLY)
