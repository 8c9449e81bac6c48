"""Networks made by hand, and warehouses in which one of them steers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from engine.policies.envelope import CAPACITY_CHOICES, NetHead, head_sizes
from engine.policies.inputs import INPUT_NAMES
from engine.policies.network import Layer, Member, Network
from tests.makers import make_champion, make_policy
from warehouse.records import PolicyVersion
from warehouse.store import Store

SIZES = head_sizes("offset")
INPUTS = len(INPUT_NAMES) + 3
HIDDEN = 8
GATES = [
    {"name": name, "passed": True, "value": 1.0, "threshold": 0.0, "sentence": f"{name} passed."}
    for name in ("held_out_gain", "shadow_days", "shadow_gain", "canary")
]


def make_network(*, seed: int = 1, scale: float = 3.0, members: int = 2) -> Network:
    """A network that prefers one thing or another for no good reason."""
    return Network(SIZES, tuple(_drawn(seed + at, scale) for at in range(members)))


def _drawn(seed: int, scale: float) -> Member:
    random = np.random.default_rng(seed)

    def layer(inputs: int, outputs: int, size: float) -> Layer:
        weight = random.standard_normal((inputs, outputs)) * size / np.sqrt(inputs)
        return Layer(weight.astype(np.float32), np.zeros(outputs, np.float32))

    hidden = layer(INPUTS, HIDDEN, 1.0), layer(HIDDEN, HIDDEN, 1.0)
    return Member(
        np.zeros(INPUTS, np.float32),
        np.ones(INPUTS, np.float32),
        (*hidden, layer(HIDDEN, sum(SIZES), scale)),
        (*hidden, layer(HIDDEN, 1, 1.0)),
    )


def network_moved_by(name: str, *, nodes: int, strength: float = 4.0) -> Network:
    """One that wants `nodes` beyond the rule the more, the larger one input is; nothing else."""
    first, second, last = (
        np.zeros(shape, np.float32)
        for shape in ((INPUTS, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, sum(SIZES)))
    )
    first[INPUT_NAMES.index(name), 0] = 0.1
    second[0, 0] = 1.0
    place = int(np.flatnonzero(CAPACITY_CHOICES["offset"] == nodes)[0])
    last[0, place] = 10 * strength
    bias = np.zeros(sum(SIZES), np.float32)
    stay = int(np.flatnonzero(CAPACITY_CHOICES["offset"] == 0)[0])
    bias[stay] = 0.5
    bias[SIZES[NetHead.CAPACITY] + 2] = 5.0  # the rule's price
    zeros = np.zeros(HIDDEN, np.float32)
    actor = Layer(first, zeros), Layer(second, zeros), Layer(last, bias)
    critic = (
        Layer(np.zeros((INPUTS, HIDDEN), np.float32), zeros),
        Layer(np.zeros((HIDDEN, HIDDEN), np.float32), zeros),
        Layer(np.zeros((HIDDEN, 1), np.float32), np.array([2.0], np.float32)),
    )
    member = Member(np.zeros(INPUTS, np.float32), np.ones(INPUTS, np.float32), actor, critic)
    return Network(SIZES, (member,))


def keep(store: Store, home: Path, now: datetime, policy_id: str, **changes: Any) -> PolicyVersion:
    """A version whose weights lie under the home; `network` says which."""
    network: Network = changes.pop("network", make_network())
    (home / "policies").mkdir(parents=True, exist_ok=True)
    digest = network.save(home / "policies" / f"{policy_id}.npz")
    version = make_policy(
        policy_id=policy_id,
        weights_sha256=digest,
        weights_file=f"policies/{policy_id}.npz",
        created_at=now,
    )
    version = replace(version, **changes)
    store.append([version])
    return version


def crown(
    store: Store, home: Path, now: datetime, policy_id: str = "learned-1", **changes: Any
) -> None:
    """Let a network of the home steer since a moment ago."""
    keep(store, home, now, policy_id, **changes)
    since = now - timedelta(seconds=1)
    store.append([make_champion(policy_id=policy_id, previous_policy_id="rule", since_at=since)])


def challenge(
    store: Store, home: Path, now: datetime, policy_id: str = "learned-2", **changes: Any
) -> PolicyVersion:
    """A challenger trained here that has passed every gate."""
    given = {"origin": "challenger", "gates": GATES, "network": make_network(seed=9)} | changes
    return keep(store, home, now, policy_id, **given)
