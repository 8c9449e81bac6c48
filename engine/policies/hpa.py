"""HPA-like: Kubernetes' Horizontal Pod Autoscaler with nodes for replicas.

desired = ceil(current × metric / target), left alone within the tolerance, and when scaling down
the highest figure of the stabilisation window counts (kubernetes.io, "Horizontal Pod Autoscaling",
algorithm details). The metric is the GPUs in use and waited for over those on or booting.
"""

from __future__ import annotations

import numpy as np

from engine.policies import EMPTIES_ONLY, Floats, Integers, Knob
from engine.policies.stock import coming_nodes, demand_gpus, knob, node_gpus, whole_nodes
from engine.simulator.features import Feature

NAME = "hpa"
KNOBS = (
    Knob("target_ratio", 0.85, 0.5, 1.1, "utilisation that it steers to"),
    Knob("tolerance_ratio", 0.1, 0.0, 0.3, "nothing is done this close to the target"),
    Knob("window_weight_ratio", 1.0, 0.0, 1.0, "scaling down: the hour's peak against now"),
)


def nodes(seen: Floats, knobs: Floats) -> tuple[Integers, Integers]:
    """Nodes to add, negative to release, and how: both (R,)."""
    now = demand_gpus(seen)
    peak = np.maximum(seen[:, Feature.DEMAND_PEAK_HOUR_GPUS], now)
    stable = now + knob(knobs, 2) * (peak - now)
    up, down = _change(seen, now, knobs), _change(seen, stable, knobs)
    change: Integers = np.where(up >= 0, up, np.minimum(down, 0))
    return change, np.full(len(seen), EMPTIES_ONLY)


def _change(seen: Floats, demand: Floats, knobs: Floats) -> Integers:
    # Nothing is divided by zero nodes: without any, one is taken to be there.
    current = np.maximum(coming_nodes(seen), 1.0)
    ratio = demand / (current * node_gpus(seen)) / knob(knobs, 0)
    desired = whole_nodes(current * ratio)
    inside = np.abs(ratio - 1.0) <= knob(knobs, 1)
    change: Integers = np.where(inside, 0, desired - coming_nodes(seen).astype(np.int64))
    return change
