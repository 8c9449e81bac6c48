"""The heap of what will happen next, and the log of what has happened (compiled)."""

import numpy as np
import numpy.typing as npt

from engine.simulator.compiled import compiled
from engine.simulator.layout import (
    ACTIVE,
    CORDONED,
    DOWN,
    END,
    FOREVER,
    MIGRATING,
    PROVISIONING,
    READY,
    RESUME,
    RUNNING,
    State,
)

Entries = npt.NDArray[np.int64]


@compiled
def next_event_at(s: State) -> int:
    """The instant of the earliest entry, stale ones included; FOREVER where there is none."""
    if s.pool[0].heap_length == 0:
        return FOREVER
    return int(s.heap[0, 0] >> 3)


@compiled
def _sift_down(heap: Entries, length: int, at: int) -> None:
    key, entity = heap[at, 0], heap[at, 1]
    while True:
        child = 2 * at + 1
        if child >= length:
            break
        right = child + 1
        if right < length and (
            heap[right, 0] < heap[child, 0]
            or (heap[right, 0] == heap[child, 0] and heap[right, 1] < heap[child, 1])
        ):
            child = right
        if key < heap[child, 0] or (key == heap[child, 0] and entity <= heap[child, 1]):
            break
        heap[at, 0], heap[at, 1] = heap[child, 0], heap[child, 1]
        at = child
    heap[at, 0], heap[at, 1] = key, entity


@compiled
def push_event(s: State, when: int, kind: int, entity: int) -> None:
    """Adds an entry; a full heap is first swept of entries that no longer hold."""
    pool = s.pool[0]
    if pool.heap_length == s.heap.shape[0]:
        _sweep(s)
    at = pool.heap_length
    pool.heap_length = at + 1
    key = when * 8 + kind
    while at > 0:
        parent = (at - 1) >> 1
        if s.heap[parent, 0] < key or (s.heap[parent, 0] == key and s.heap[parent, 1] <= entity):
            break
        s.heap[at, 0], s.heap[at, 1] = s.heap[parent, 0], s.heap[parent, 1]
        at = parent
    s.heap[at, 0], s.heap[at, 1] = key, entity


@compiled
def pop_event(s: State) -> None:
    """Drops the earliest entry; the caller has read it at `heap[0]`."""
    pool = s.pool[0]
    pool.heap_length -= 1
    last = pool.heap_length
    if last > 0:
        s.heap[0, 0], s.heap[0, 1] = s.heap[last, 0], s.heap[last, 1]
        _sift_down(s.heap, last, 0)


@compiled
def still_holds(s: State, when: int, kind: int, entity: int) -> bool:
    """Whether an entry is still true: jobs are moved and nodes stopped after it was made."""
    if kind == END:
        return bool(s.jobs[entity].status == RUNNING and s.jobs[entity].due_at == when)
    if kind == RESUME:
        return bool(s.jobs[entity].status == MIGRATING and s.jobs[entity].due_at == when)
    node = s.nodes[entity]
    if kind == READY:
        awaits = node.state == PROVISIONING or node.state == DOWN
        return bool(awaits and node.ready_at == when)
    is_on = node.state == ACTIVE or node.state == CORDONED
    return bool(is_on and node.fails_at == when)


@compiled
def _sweep(s: State) -> None:
    pool = s.pool[0]
    kept = 0
    for at in range(pool.heap_length):
        key, entity = s.heap[at, 0], s.heap[at, 1]
        if still_holds(s, key >> 3, key & 7, entity):
            s.heap[kept, 0], s.heap[kept, 1] = key, entity
            kept += 1
    pool.heap_length = kept
    for at in range(kept // 2 - 1, -1, -1):
        _sift_down(s.heap, kept, at)


@compiled
def write_log(s: State, kind: int, job: int, node: int) -> None:
    """One line, at the pool's present instant; lines without room are counted, not kept."""
    pool = s.pool[0]
    at = pool.log_length
    if at == s.log.shape[0]:
        pool.log_lost += 1
        return
    s.log[at, 0], s.log[at, 1] = pool.now, kind
    s.log[at, 2], s.log[at, 3] = job, node
    pool.log_length = at + 1
