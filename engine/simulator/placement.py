"""Which node a job goes on: best fit, whole nodes for gangs (compiled).

The rule is that of the published Philly and Helios simulations (Hu et al., SC'21): a job that one
node can hold goes on the node with the fewest free GPUs that fits, the lowest index on ties; a
larger one takes wholly free nodes of full size, lowest index first.
"""

from engine.simulator.compiled import compiled
from engine.simulator.events import write_log
from engine.simulator.layout import ACTIVE, LOG_PLACED, State


@compiled
def find_nodes(s: State, gpus: int, but: int) -> int:
    """Writes the nodes for a job of `gpus` GPUs into `scratch`; their number, 0 where none fit.

    `but` is a node to leave out (-1 for none). Nothing is changed.
    """
    size = s.knobs[0].node_gpus
    if s.knobs[0].live == 1 and s.pool[0].is_stale == 0 and gpus > s.pool[0].idle_gpus:
        return 0
    if gpus <= size:
        best, least = -1, size + 1
        for at in range(s.nodes.shape[0]):
            free = s.nodes[at].free_gpus
            if gpus <= free < least and s.nodes[at].state == ACTIVE and at != but:
                best, least = at, free
                if free == gpus:
                    break
        if best < 0:
            return 0
        s.scratch[0] = best
        return 1
    wanted = (gpus + size - 1) // size
    found = 0
    for at in range(s.nodes.shape[0]):
        node = s.nodes[at]
        if node.free_gpus == size and node.gpus == size and node.state == ACTIVE and at != but:
            s.scratch[found] = at
            found += 1
            if found == wanted:
                return found
    return 0


@compiled
def occupy(s: State, index: int, count: int) -> None:
    """Gives the job the GPUs of the `count` nodes in `scratch`, lowest slots first."""
    job = s.jobs[index]
    job.node = s.scratch[0]
    job.nodes = count
    for turn in range(count):
        at = s.scratch[turn]
        # A gang owns its nodes whole, also where its size is no multiple of theirs.
        wanted = job.gpus if count == 1 and job.gpus <= s.knobs[0].node_gpus else s.nodes[at].gpus
        s.nodes[at].free_gpus -= wanted
        s.pool[0].idle_gpus -= wanted
        if count > 1:
            write_log(s, LOG_PLACED, index, at)
        slot = 0
        while wanted > 0:
            if s.gpus[at, slot] == 0:
                s.gpus[at, slot] = index + 1
                wanted -= 1
            slot += 1


@compiled
def vacate(s: State, index: int) -> None:
    """Takes the job's GPUs back from wherever they are."""
    job = s.jobs[index]
    first = job.node
    last = first + 1 if job.nodes == 1 else s.nodes.shape[0]
    for at in range(first, last):
        if s.nodes[at].free_gpus == s.nodes[at].gpus:
            continue
        for slot in range(s.nodes[at].gpus):
            if s.gpus[at, slot] == index + 1:
                s.gpus[at, slot] = 0
                s.nodes[at].free_gpus += 1
                if s.nodes[at].state == ACTIVE:
                    s.pool[0].idle_gpus += 1
    job.node = -1
    job.nodes = 0


@compiled
def _before(s: State, one: int, other: int) -> bool:
    # Indices follow submission, so that they order FIFO and settle SJF's ties.
    if s.knobs[0].order == 1:
        a, b = s.jobs[one].duration_seconds, s.jobs[other].duration_seconds
        if a != b:
            return bool(a < b)
    return one < other


@compiled
def enqueue(s: State, index: int) -> None:
    """Puts the job at its place in the queue's order."""
    pool = s.pool[0]
    if pool.queue_head + pool.queue_length == s.queue.shape[0]:
        for at in range(pool.queue_length):
            s.queue[at] = s.queue[pool.queue_head + at]
        pool.queue_head = 0
    low, high = pool.queue_head, pool.queue_head + pool.queue_length
    end = high
    while low < high:
        middle = (low + high) >> 1
        if _before(s, s.queue[middle], index):
            low = middle + 1
        else:
            high = middle
    for at in range(end, low, -1):
        s.queue[at] = s.queue[at - 1]
    s.queue[low] = index
    pool.queue_length += 1


@compiled
def dequeue(s: State, position: int) -> None:
    """Removes the entry at `position` (counted from the head)."""
    pool = s.pool[0]
    for at in range(pool.queue_head + position, pool.queue_head, -1):
        s.queue[at] = s.queue[at - 1]
    pool.queue_head += 1
    pool.queue_length -= 1
    if pool.queue_length == 0:
        pool.queue_head = 0
