"""Karpenter-like: nodes for what is pending, and steady consolidation by moving jobs together.

Karpenter adds capacity for pending pods at once, deletes empty nodes, and deletes others when what
runs on them fits on the rest (karpenter.sh, "Disruption": consolidation, budgets of 10 %). Moving
a job here is checkpoint and restart.
"""

from __future__ import annotations

import numpy as np

from engine.policies import EMPTIES_ONLY, MIGRATE, Floats, Integers, Knob
from engine.policies.stock import banded, booting_nodes, coming_nodes, knob, node_gpus, whole_nodes
from engine.simulator.features import Feature

NAME = "karpenter"
KNOBS = (
    Knob("headroom_nodes", 1.0, 0.0, 12.0, "free nodes kept for what comes next"),
    Knob("packing_ratio", 0.95, 0.6, 1.0, "share of the free GPUs that jobs can be moved onto"),
    Knob("budget_ratio", 0.10, 0.01, 0.30, "most nodes disrupted at once, over those on"),
    Knob("pending_weight_ratio", 1.0, 0.2, 1.5, "share of the pending GPUs bought for"),
)


def nodes(seen: Floats, knobs: Floats) -> tuple[Integers, Integers]:
    """Nodes to add, negative to release, and how: both (R,)."""
    size, free = node_gpus(seen), seen[:, Feature.FREE_GPUS]
    pending = knob(knobs, 3) * seen[:, Feature.QUEUED_GPUS]
    headroom = knob(knobs, 0) * size
    up = whole_nodes((pending + np.maximum(headroom - free, 0.0)) / size - booting_nodes(seen))
    spare = knob(knobs, 1) * free - headroom - seen[:, Feature.QUEUED_GPUS]
    # Empty nodes go at once, moves are held to the budget.
    empty = seen[:, Feature.OWNED_EMPTY_NODES] + seen[:, Feature.BURST_RIPE_NODES]
    most = empty + np.ceil(knob(knobs, 2) * coming_nodes(seen))
    down = np.floor(np.minimum(spare / size, most)).astype(np.int64)
    moves = (down > empty) & (seen[:, Feature.QUEUED_GPUS] == 0)
    return banded(up, down), np.where(moves, MIGRATE, EMPTIES_ONLY)
