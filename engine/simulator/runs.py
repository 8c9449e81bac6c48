"""A job's life on its GPUs: start, finish, interrupt, migrate; and a node's failure (compiled).

A job's meter is `metered_gpu_seconds` up to `run_from`, plus the present run; see `readings`.
"""

from engine.simulator.compiled import compiled
from engine.simulator.events import push_event, write_log
from engine.simulator.layout import (
    BURST,
    DOWN,
    END,
    FINISHED,
    LOG_FINISHED,
    LOG_INTERRUPTED,
    LOG_MIGRATED,
    LOG_NODE_FAILED,
    LOG_RESTARTED,
    LOG_STARTED,
    MICRO_USD_SECONDS,
    MIGRATING,
    OFF,
    QUEUED,
    READY,
    RESUME,
    RUNNING,
    State,
)
from engine.simulator.metrics import Metric
from engine.simulator.placement import enqueue, find_nodes, occupy, vacate

LATE_JOBS = int(Metric.LATE_JOBS)
LOST_GPU_SECONDS = int(Metric.LOST_GPU_SECONDS)
REFUND_USD = int(Metric.REFUND_USD)
STARTED_JOBS = int(Metric.STARTED_JOBS)
FINISHED_GPUS = int(Metric.FINISHED_GPUS)
FINISHED_JOBS = int(Metric.FINISHED_JOBS)
INTERRUPTED_JOBS = int(Metric.INTERRUPTED_JOBS)
MIGRATED_JOBS = int(Metric.MIGRATED_JOBS)
FAILED_NODES = int(Metric.FAILED_NODES)
WAIT_SECONDS = int(Metric.WAIT_SECONDS)


@compiled
def begin_run(s: State, index: int) -> None:
    """Starts the meter of a job that has its GPUs."""
    pool, job = s.pool[0], s.jobs[index]
    job.status = RUNNING
    job.run_from = pool.now
    job.due_at = pool.now + job.duration_seconds - job.done_seconds
    push_event(s, job.due_at, END, index)
    pool.rate_micro_usd += job.gpus * job.price_micro_usd
    pool.used_gpus += job.gpus


@compiled
def _stop_run(s: State, index: int) -> int:
    pool, job = s.pool[0], s.jobs[index]
    ran = pool.now - job.run_from
    job.metered_gpu_seconds += ran * job.gpus
    job.done_seconds += ran
    pool.rate_micro_usd -= job.gpus * job.price_micro_usd
    pool.used_gpus -= job.gpus
    return int(ran)


@compiled
def start(s: State, index: int, nodes: int) -> None:
    """Puts a queued job on the nodes in `scratch` and starts it."""
    pool, job = s.pool[0], s.jobs[index]
    occupy(s, index, nodes)
    job.starts += 1
    if job.starts == 1:
        job.started_at = pool.now
        waited = pool.now - job.submitted_at
        s.metrics[STARTED_JOBS] += 1
        s.metrics[WAIT_SECONDS] += waited
        if waited > s.knobs[0].sla_seconds:
            s.metrics[LATE_JOBS] += 1
        write_log(s, LOG_STARTED, index, job.node)
    else:
        write_log(s, LOG_RESTARTED, index, job.node)
    begin_run(s, index)


@compiled
def finish(s: State, index: int) -> None:
    """Ends a job whose work is done."""
    pool, job = s.pool[0], s.jobs[index]
    write_log(s, LOG_FINISHED, index, job.node)
    _stop_run(s, index)
    vacate(s, index)
    job.status = FINISHED
    job.run_from = job.ended_at = pool.now
    s.metrics[FINISHED_JOBS] += 1
    s.metrics[FINISHED_GPUS] += job.gpus


@compiled
def migrate(s: State, index: int) -> bool:
    """Checkpoints a running job and moves it to other nodes, where it resumes after the pause.

    False, and nothing changed, where no other nodes fit.
    """
    pool, job = s.pool[0], s.jobs[index]
    found = find_nodes(s, job.gpus, job.node)
    if found == 0:
        return False
    _stop_run(s, index)
    vacate(s, index)
    occupy(s, index, found)
    job.status = MIGRATING
    job.run_from = pool.now
    job.due_at = pool.now + s.knobs[0].migration_seconds
    push_event(s, job.due_at, RESUME, index)
    s.metrics[MIGRATED_JOBS] += 1
    write_log(s, LOG_MIGRATED, index, job.node)
    return True


@compiled
def _interrupt(s: State, index: int, node: int) -> None:
    # Back to the queue with the work of its last checkpoint; what came after is refunded.
    pool, job = s.pool[0], s.jobs[index]
    if job.status == RUNNING:
        lost = _stop_run(s, index) % s.knobs[0].checkpoint_seconds
        job.done_seconds -= lost
        job.refunded_gpu_seconds += lost * job.gpus
        s.metrics[LOST_GPU_SECONDS] += lost * job.gpus
        s.metrics[REFUND_USD] += lost * job.gpus * job.price_micro_usd / MICRO_USD_SECONDS
    vacate(s, index)
    job.status = QUEUED
    job.run_from = job.queued_at = pool.now
    enqueue(s, index)
    s.metrics[INTERRUPTED_JOBS] += 1
    write_log(s, LOG_INTERRUPTED, index, node)


@compiled
def fail_node(s: State, at: int) -> None:
    """A node breaks: its jobs queue again, it goes to repair; a leased one is handed back."""
    pool, node = s.pool[0], s.nodes[at]
    for slot in range(node.gpus):
        holder = s.gpus[at, slot]
        if holder > 0:
            _interrupt(s, holder - 1, at)
    pool.is_stale = 1
    node.failures += 1
    node.degraded = node.is_suspect = 0
    node.fails_at = 0
    s.metrics[FAILED_NODES] += 1
    write_log(s, LOG_NODE_FAILED, -1, at)
    if node.kind == BURST:
        node.state = OFF
        return
    node.state = DOWN
    node.ready_at = pool.now + s.knobs[0].repair_seconds
    push_event(s, node.ready_at, READY, at)
