"""A policy's proposal carried out on a pool, and many pools stepped at once (compiled)."""

import numpy as np
import numpy.typing as npt

from engine.simulator.compiled import compiled
from engine.simulator.events import push_event
from engine.simulator.kernel import advance_row, row_of, serve_queue, tally
from engine.simulator.layout import ACTIVE, BURST, CORDONED, DOWN, READY, State
from engine.simulator.orders import drain, scale_down, scale_up, switch_off

Integers = npt.NDArray[np.int64]

# The columns of a proposal and its words: see engine/policies/__init__.py, which a test compares.
NODES, PRICE_LEVEL, CONSOLIDATION, HEAL, SPOT_PERCENT = range(5)
EMPTIES_ONLY, DRAIN_ONLY, MIGRATE_AWAY = range(3)
NOBODY, STRICT, LOOSE = range(3)

STRICT_HEALTH_RATIO = 0.55
LOOSE_HEALTH_RATIO = 0.70
"""A sound node's noisy health never reads below this; a degraded one's does in 7 of 9 readings."""


@compiled
def _reopen(s: State, wanted: int) -> int:
    """Opens nodes that were closed to be released, not to be repaired; how many."""
    opened = 0
    for at in range(s.nodes.shape[0]):
        node = s.nodes[at]
        if opened == wanted:
            break
        if node.state == CORDONED and node.is_suspect == 0:
            node.state = ACTIVE
            opened += 1
    return opened


@compiled
def _close_sparse(s: State, wanted: int) -> None:
    """Closes the least used nodes, leases first, so that they run empty."""
    for _ in range(wanted):
        chosen, least = -1, 1 << 30
        for at in range(s.nodes.shape[0]):
            node = s.nodes[at]
            used = node.gpus - node.free_gpus + (0 if node.kind == BURST else 1)
            if node.state == ACTIVE and node.free_gpus > 0 and used < least:
                chosen, least = at, used
        if chosen < 0:
            return
        s.nodes[chosen].state = CORDONED


@compiled
def _heal(s: State, threshold: float) -> None:
    """Closes and drains suspect nodes; repairs those that have run empty."""
    pool, knobs = s.pool[0], s.knobs[0]
    for at in range(s.nodes.shape[0]):
        node = s.nodes[at]
        if node.state == ACTIVE and node.health_score < threshold:
            node.state = CORDONED
            node.is_suspect = 1
            drain(s, at)
        if node.state == CORDONED and node.is_suspect == 1 and node.free_gpus == node.gpus:
            node.is_suspect = 0
            if node.kind == BURST:
                switch_off(s, at)  # the landlord's to mend
                continue
            node.state = DOWN
            node.degraded = node.fails_at = 0
            node.ready_at = pool.now + knobs.planned_repair_seconds
            push_event(s, node.ready_at, READY, at)


@compiled
def steer(s: State, proposal: Integers, price_micro_usd: int, reply: Integers) -> None:
    """Carries a proposal out at the pool's present instant; what can't be done is left undone."""
    pool = s.pool[0]
    pool.is_stale = 1
    pool.price_micro_usd = price_micro_usd
    pool.spot_share = proposal[SPOT_PERCENT] / 100.0
    if proposal[HEAL] > NOBODY:
        _heal(s, LOOSE_HEALTH_RATIO if proposal[HEAL] == LOOSE else STRICT_HEALTH_RATIO)
    nodes, how = proposal[NODES], proposal[CONSOLIDATION]
    if nodes > 0:
        nodes -= _reopen(s, nodes)
        reply[1] = 0
        scale_up(s, nodes, reply)
    elif nodes < 0:
        reply[1] = 0
        scale_down(s, -nodes, 1 if how == MIGRATE_AWAY else 0, reply)
        if how == DRAIN_ONLY:
            _close_sparse(s, -nodes - reply[1])


@compiled
def step_many(
    states: State,
    until: Integers,
    proposals: Integers,
    prices_micro_usd: Integers,
    reply: Integers,
) -> None:
    """Carries out each row's proposal at its present instant, then plays it to its `until`.

    `proposals` (R, 5) and `prices_micro_usd` (R,) as `steer` takes them; `until` (R,); `reply`
    (REPLY_WIDTH,) is room to work in. Releases the interpreter's lock.
    """
    for row in range(until.shape[0]):
        s = row_of(states, row)
        if s.pool[0].now >= until[row]:
            continue
        steer(s, proposals[row], prices_micro_usd[row], reply)
        serve_queue(s)
        tally(s)
        advance_row(s, until[row])
