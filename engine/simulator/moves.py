"""Moves of jobs between pools of one fleet (compiled), with their checkpoints.

A job moves where it can start at once: from the queue of a full pool, or, checkpointed, off nodes
that are to be emptied. It keeps its price, pauses for the migration, and is counted where it runs.
"""

import numpy as np
import numpy.typing as npt

from engine.simulator.compiled import compiled
from engine.simulator.events import push_event
from engine.simulator.kernel import row_of
from engine.simulator.layout import MIGRATING, MOVED, RESUME, State
from engine.simulator.metrics import Metric
from engine.simulator.placement import dequeue, find_nodes, occupy

Integers = npt.NDArray[np.int64]

LATE_JOBS = int(Metric.LATE_JOBS)
MOVED_JOBS = int(Metric.MOVED_JOBS)
STARTED_JOBS = int(Metric.STARTED_JOBS)
WAIT_SECONDS = int(Metric.WAIT_SECONDS)


@compiled
def _take_in(s: State, gone: State, index: int, pause_seconds: int) -> bool:
    """Starts a copy of the other pool's queued job here; False where there is no room."""
    pool, job = s.pool[0], gone.jobs[index]
    slot = s.jobs.shape[0] - 1 - pool.guest_count
    if slot <= pool.job_count:
        return False
    found = find_nodes(s, job.gpus, -1)
    if found == 0:
        return False
    pool.guest_count += 1
    guest = s.jobs[slot]
    guest.key, guest.tenant, guest.gpus = job.key, job.tenant, job.gpus
    guest.submitted_at, guest.queued_at = job.submitted_at, job.queued_at
    guest.duration_seconds, guest.done_seconds = job.duration_seconds, job.done_seconds
    guest.acceptance, guest.price_micro_usd = job.acceptance, job.price_micro_usd
    guest.metered_gpu_seconds = guest.refunded_gpu_seconds = 0
    guest.started_at, guest.ended_at = job.started_at, -1
    guest.starts = job.starts + 1
    occupy(s, slot, found)
    if job.starts == 0:
        guest.started_at = pool.now
        waited = pool.now - job.submitted_at
        s.metrics[STARTED_JOBS] += 1
        s.metrics[WAIT_SECONDS] += waited
        if waited > s.knobs[0].sla_seconds:
            s.metrics[LATE_JOBS] += 1
    guest.status = MIGRATING
    guest.run_from = pool.now
    guest.due_at = pool.now + pause_seconds
    push_event(s, guest.due_at, RESUME, slot)
    s.metrics[MOVED_JOBS] += 1
    return True


@compiled
def move_queued(states: State, source: int, target: int, most_gpus: int, pause_seconds: int) -> int:
    """Moves jobs that wait in row `source` to free GPUs of row `target`, the longest wait first.

    At most `most_gpus` GPUs; each starts there after `pause_seconds`. Both rows must stand at one
    instant. The answer is the GPUs moved.
    """
    here, there = row_of(states, source), row_of(states, target)
    moved, turn = 0, 0
    while turn < here.pool[0].queue_length:
        index = here.queue[here.pool[0].queue_head + turn]
        gpus = here.jobs[index].gpus
        if moved + gpus <= most_gpus and _take_in(there, here, index, pause_seconds):
            dequeue(here, turn)
            here.jobs[index].status = MOVED
            here.jobs[index].ended_at = here.pool[0].now
            moved += gpus
        else:
            turn += 1
    return moved
