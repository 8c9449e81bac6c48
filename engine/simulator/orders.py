"""What hands can do to a pool, in the compiled core; `commands.py` is the typed face of it.

An order is three integers (kind, first, second); its reply is (code, count, targets...).
"""

import numpy as np
import numpy.typing as npt

from engine.simulator.compiled import compiled
from engine.simulator.events import push_event, write_log
from engine.simulator.hashing import SALT_COLD_START, uniform
from engine.simulator.layout import (
    ACTIVE,
    BURST,
    CORDONED,
    DOWN,
    LOG_NODE_STARTED,
    LOG_NODE_STOPPED,
    OFF,
    OWNED,
    PROVISIONING,
    READY,
    REPLY_WIDTH,
    RUNNING,
    State,
)
from engine.simulator.metrics import Metric
from engine.simulator.runs import migrate

NONE, SCALE_UP, SCALE_DOWN, CANCEL, SET_PRICE, SET_SPOT, CORDON, UNCORDON = range(8)
DRAIN, REPAIR, MIGRATE, RELEASE = range(8, 12)

DONE, NO_TARGET, NOTHING, WRONG_STATE = range(4)

BURST_COST_USD = int(Metric.BURST_COST_USD)
STARTED_NODES = int(Metric.STARTED_NODES)
STOPPED_NODES = int(Metric.STOPPED_NODES)

Integers = npt.NDArray[np.int64]


@compiled
def _note(reply: Integers, target: int) -> None:
    if reply[1] + 2 < REPLY_WIDTH:
        reply[2 + reply[1]] = target
    reply[1] += 1


@compiled
def switch_on(s: State, at: int) -> None:
    """Starts a node that is off."""
    pool, knobs, node = s.pool[0], s.knobs[0], s.nodes[at]
    boot = knobs.owned_boot_seconds
    if node.kind == BURST:
        spread = knobs.burst_boot_high_seconds - knobs.burst_boot_low_seconds
        boot = knobs.burst_boot_low_seconds + int(
            uniform(pool.seed, pool.now, at, SALT_COLD_START) * (spread + 1)
        )
    node.state = PROVISIONING
    node.ready_at = pool.now + boot
    # A lease is billed from the request: the machine is set aside for us from then on.
    node.billed_from = pool.now
    node.degraded = 0
    node.fails_at = 0
    push_event(s, node.ready_at, READY, at)
    s.metrics[STARTED_NODES] += 1
    write_log(s, LOG_NODE_STARTED, -1, at)


@compiled
def switch_off(s: State, at: int) -> None:
    """Stops an empty node; a lease ended early still owes what is left of its minimum bill."""
    pool, knobs, node = s.pool[0], s.knobs[0], s.nodes[at]
    if node.kind == BURST:
        owed = knobs.minimum_bill_seconds - (pool.now - node.billed_from)
        if owed > 0:
            s.metrics[BURST_COST_USD] += owed * node.gpus * knobs.burst_usd_per_gpu_second
    node.state = OFF
    node.degraded = 0
    node.fails_at = 0
    s.metrics[STOPPED_NODES] += 1
    write_log(s, LOG_NODE_STOPPED, -1, at)


@compiled
def drain(s: State, at: int) -> int:
    """Moves what can move off the node; the number of jobs moved."""
    moved = 0
    for slot in range(s.nodes[at].gpus):
        holder = s.gpus[at, slot]
        if holder > 0 and s.jobs[holder - 1].status == RUNNING and migrate(s, holder - 1):
            moved += 1
    return moved


@compiled
def scale_up(s: State, wanted: int, reply: Integers) -> None:
    """Starts nodes, our own first."""
    for kind in (OWNED, BURST):  # our own machines cost power alone
        for at in range(s.nodes.shape[0]):
            if reply[1] == wanted:
                return
            if s.nodes[at].state == OFF and s.nodes[at].kind == kind:
                switch_on(s, at)
                _note(reply, at)


@compiled
def _stop_empty(s: State, wanted: int, kind: int, reply: Integers) -> None:
    pool, minimum = s.pool[0], s.knobs[0].minimum_bill_seconds
    for at in range(s.nodes.shape[0] - 1, -1, -1):
        node = s.nodes[at]
        if reply[1] == wanted:
            return
        if node.kind != kind or (node.state != ACTIVE and node.state != CORDONED):
            continue
        # An empty lease inside its minimum bill is free to keep.
        if kind == BURST and pool.now - node.billed_from < minimum:
            continue
        if node.free_gpus == node.gpus:
            switch_off(s, at)
            _note(reply, at)


@compiled
def _stop_least_used(s: State, wanted: int, kind: int, reply: Integers) -> None:
    """Empties nodes of a kind by migration, the least used first, and stops them."""
    pool, minimum = s.pool[0], s.knobs[0].minimum_bill_seconds
    while reply[1] < wanted:
        least, chosen = 1 << 30, -1
        for at in range(s.nodes.shape[0] - 1, -1, -1):
            node = s.nodes[at]
            if node.kind != kind or node.state != ACTIVE:
                continue
            lease_is_young = kind == BURST and pool.now - node.billed_from < minimum
            if not lease_is_young and node.gpus - node.free_gpus < least:
                least, chosen = node.gpus - node.free_gpus, at
        if chosen < 0:
            return
        s.nodes[chosen].state = CORDONED
        drain(s, chosen)
        if s.nodes[chosen].free_gpus < s.nodes[chosen].gpus:
            s.nodes[chosen].state = ACTIVE  # it could not be emptied, and fuller ones won't be
            return
        switch_off(s, chosen)
        _note(reply, chosen)


@compiled
def scale_down(s: State, wanted: int, also_drain: int, reply: Integers) -> None:
    """Stops empty nodes, leases first; with `also_drain` 1 the least used are emptied too."""
    for kind in (BURST, OWNED):
        _stop_empty(s, wanted, kind, reply)
        # A lease costs ten times an own node's power: it is emptied before an own one is stopped.
        if also_drain == 1 and kind == BURST:
            _stop_least_used(s, wanted, kind, reply)
    if also_drain == 1:
        _stop_least_used(s, wanted, OWNED, reply)


@compiled
def _order_node(s: State, kind: int, at: int, reply: Integers) -> int:
    node = s.nodes[at]
    if kind == CANCEL:
        if node.state != PROVISIONING:
            return WRONG_STATE
        switch_off(s, at)
    elif kind == RELEASE:
        if node.state != ACTIVE and node.state != CORDONED:
            return WRONG_STATE
        if node.free_gpus < node.gpus:
            return NOTHING
        switch_off(s, at)
    elif kind == CORDON:
        if node.state != ACTIVE:
            return WRONG_STATE
        node.state = CORDONED
    elif kind == UNCORDON:
        if node.state != CORDONED:
            return WRONG_STATE
        node.state = ACTIVE
    elif kind == DRAIN:
        if node.state != ACTIVE and node.state != CORDONED:
            return WRONG_STATE
        node.state = CORDONED
        reply[1] = drain(s, at)
    elif kind == REPAIR:
        if node.state != CORDONED or node.free_gpus < node.gpus:
            return WRONG_STATE
        node.state = DOWN
        node.degraded = 0
        node.fails_at = 0
        node.ready_at = s.pool[0].now + s.knobs[0].planned_repair_seconds
        push_event(s, node.ready_at, READY, at)
    return DONE


@compiled
def obey(s: State, order: Integers, reply: Integers) -> None:
    """Carries one order out at the pool's present instant and fills its reply."""
    kind, first, second = order[0], order[1], order[2]
    reply[:] = 0
    if kind in (SCALE_UP, SCALE_DOWN):
        if kind == SCALE_UP:
            scale_up(s, first, reply)
        else:
            scale_down(s, first, second, reply)
        reply[0] = DONE if reply[1] > 0 else NOTHING
    elif kind == SET_PRICE:
        reply[1] = s.pool[0].price_micro_usd
        s.pool[0].price_micro_usd = first
    elif kind == SET_SPOT:
        reply[1] = round(s.pool[0].spot_share * 1e6)
        s.pool[0].spot_share = first / 1e6
    elif kind == MIGRATE:
        if first < 0 or first >= s.pool[0].next_arrival:
            reply[0] = NO_TARGET
        elif s.jobs[first].status != RUNNING:
            reply[0] = WRONG_STATE
        elif migrate(s, first):
            reply[1] = 1
            reply[2] = s.jobs[first].node
        else:
            reply[0] = NOTHING
    elif first < 0 or first >= s.nodes.shape[0]:
        reply[0] = NO_TARGET
    else:
        reply[0] = _order_node(s, kind, first, reply)
