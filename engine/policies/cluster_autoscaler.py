"""Cluster-autoscaler-like: nodes for what cannot be scheduled, released after a delay.

Kubernetes' Cluster Autoscaler adds nodes for pending pods, those on their way taken into account,
and removes nodes that were unneeded for a while (its FAQ: scale-down-unneeded-time,
scale-down-utilization-threshold). Unneeded "for a while" is read from the last hour's peak of
demand; the under-utilised nodes are drained.
"""

from __future__ import annotations

import numpy as np

from engine.policies import DRAIN, EMPTIES_ONLY, Floats, Integers, Knob
from engine.policies.stock import (
    banded,
    booting_nodes,
    coming_nodes,
    demand_gpus,
    knob,
    node_gpus,
    whole_nodes,
)
from engine.simulator.features import Feature

NAME = "cluster-autoscaler"
KNOBS = (
    Knob("placeholder_nodes", 1.0, 0.0, 12.0, "free nodes kept by placeholder pods"),
    Knob("delay_weight_ratio", 1.0, 0.0, 1.0, "releasing: the hour's peak against now"),
    Knob("packing_ratio", 0.85, 0.6, 1.0, "share of the GPUs that can be filled in practice"),
    Knob("drain_ratio", 0.0, 0.0, 1.0, "from a half on, under-utilised nodes are drained"),
)


def nodes(seen: Floats, knobs: Floats) -> tuple[Integers, Integers]:
    """Nodes to add, negative to release, and how: both (R,)."""
    size, now = node_gpus(seen), demand_gpus(seen)
    placeholder = knob(knobs, 0) * size
    pending = seen[:, Feature.QUEUED_GPUS] + np.maximum(
        placeholder - seen[:, Feature.FREE_GPUS], 0.0
    )
    up = whole_nodes(pending / size - booting_nodes(seen))
    peak = np.maximum(seen[:, Feature.DEMAND_PEAK_HOUR_GPUS], now)
    needed = (now + knob(knobs, 1) * (peak - now)) / knob(knobs, 2) + placeholder
    down = coming_nodes(seen).astype(np.int64) - whole_nodes(needed / size)
    how = np.where(knob(knobs, 3) >= 0.5, DRAIN, EMPTIES_ONLY)
    return banded(up, down), np.broadcast_to(how, len(seen)).astype(np.int64)
