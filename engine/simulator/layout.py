"""The state of pools as flat arrays, with a leading axis of independent pools ("rows").

A live pool is one row; a planner's rollouts or a trainer's fleets are thousands. The compiled core
takes row views, so that one kernel serves all. Records have no padding and start as zeros: two
states are equal exactly where their bytes are.

Times are whole seconds since the row's own epoch, prices whole micro-dollars per GPU-hour, so that
sums of rates are exact.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.simulator.metrics import METRIC_COUNT

FOREVER = 1 << 55
"""An instant that never comes; leaves room for the event kind in a heap key."""
TICK_SECONDS = 900
"""The market moves and node health is looked at on this grid."""
MICRO_USD_SECONDS = 3.6e9
"""Micro-dollar-seconds per GPU-hour in a dollar."""
REPLY_WIDTH = 66
"""A reply to an order: code, count, then up to 64 targets."""

# Nodes
OFF, PROVISIONING, ACTIVE, CORDONED, DOWN = range(5)
NODE_STATES = ("off", "provisioning", "active", "cordoned", "down")
OWNED, BURST = range(2)
NODE_KINDS = ("owned", "burst")

# Jobs. OFFERED is a job whose submission has not come yet.
OFFERED, PRICED_OUT, QUEUED, RUNNING, MIGRATING, FINISHED, LEFT, MOVED = range(8)
JOB_STATES = (
    "offered", "priced_out", "queued", "running", "migrating", "finished", "left", "moved",
)  # fmt: skip

# Kinds of heap events, in the order in which one instant settles them.
END, RESUME, READY, FAIL = range(4)

# Kinds of log lines.
LOG_SUBMITTED, LOG_PRICED_OUT, LOG_STARTED, LOG_MIGRATED, LOG_RESUMED = range(5)
LOG_INTERRUPTED, LOG_FINISHED, LOG_LEFT, LOG_NODE_FAILED, LOG_NODE_READY = range(5, 10)
LOG_NODE_STOPPED, LOG_NODE_STARTED, LOG_RESTARTED, LOG_PLACED = range(10, 14)
# LOG_PLACED comes before the line of a gang's start or move, once for each of its nodes.

FIFO, SJF = range(2)

KNOBS = np.dtype(
    [
        ("live", "i8"),  # 0: exact replay: no money, no failures, the head of the queue blocks
        ("order", "i8"),  # FIFO or SJF by true duration
        ("node_gpus", "i8"),  # a job of more takes whole nodes of this size
        ("node_count", "i8"),  # nodes of this row; 0: as many as the array holds
        ("owned_usd_per_gpu_second", "f8"),
        ("busy_usd_per_gpu_second", "f8"),
        ("burst_usd_per_gpu_second", "f8"),
        ("minimum_bill_seconds", "i8"),
        ("owned_boot_seconds", "i8"),
        ("burst_boot_low_seconds", "i8"),
        ("burst_boot_high_seconds", "i8"),
        ("sla_seconds", "i8"),
        ("sla_usd_per_gpu_second", "f8"),
        ("patience_seconds", "i8"),
        ("spot_ratio", "f8"),
        ("spot_depth_gpus", "f8"),
        ("checkpoint_seconds", "i8"),
        ("migration_seconds", "i8"),
        ("repair_seconds", "i8"),
        ("planned_repair_seconds", "i8"),
        ("fails_per_tick", "f8"),
        ("degrades_per_tick", "f8"),
        ("breaks_per_tick", "f8"),
        ("slope", "f8"),
        ("midpoint", "f8"),
        ("acceptance_scale", "f8"),
        ("list_price_micro_usd", "i8"),
    ]
)
POOL = np.dtype(
    [
        ("now", "i8"),
        ("seed", "i8"),
        ("next_tick_at", "i8"),
        ("next_arrival", "i8"),
        ("job_count", "i8"),
        ("queue_head", "i8"),
        ("queue_length", "i8"),
        ("heap_length", "i8"),
        ("log_length", "i8"),
        ("log_lost", "i8"),
        ("price_micro_usd", "i8"),
        ("spot_share", "f8"),
        ("rate_micro_usd", "i8"),  # sum over running jobs of GPUs times locked price
        ("used_gpus", "i8"),
        ("idle_gpus", "i8"),  # free GPUs of active nodes
        ("spot_gpus", "f8"),  # idle GPUs sold as spot
        ("open_gpus", "i8"),  # all GPUs of active and cordoned nodes
        ("owned_on_gpus", "i8"),
        ("burst_on_gpus", "i8"),
        ("is_stale", "i8"),  # 1: a node changed its state since the GPUs were last counted
        ("guest_count", "i8"),  # jobs taken over from other pools; they sit at the end of `jobs`
    ]
)
NODE = np.dtype(
    [
        ("state", "i8"),
        ("kind", "i8"),
        ("gpus", "i8"),
        ("free_gpus", "i8"),
        ("ready_at", "i8"),
        ("billed_from", "i8"),
        ("degraded", "i8"),
        ("fails_at", "i8"),
        ("failures", "i8"),
        ("is_suspect", "i8"),  # 1: closed in order to be repaired
        ("health_score", "f8"),
    ]
)
JOB = np.dtype(
    [
        ("key", "i8"),  # a stable name for ids and hashes
        ("submitted_at", "i8"),
        ("duration_seconds", "i8"),
        ("gpus", "i8"),
        ("tenant", "i8"),
        ("acceptance", "f8"),  # accepts where below the acceptance curve
        ("price_micro_usd", "i8"),  # locked at submission
        ("status", "i8"),
        ("starts", "i8"),
        ("queued_at", "i8"),
        ("started_at", "i8"),  # first start, -1 before
        ("ended_at", "i8"),  # finished or left, -1 before
        ("run_from", "i8"),  # start of the present run
        ("due_at", "i8"),  # of the present run's end, or of the resumption while migrating
        ("done_seconds", "i8"),  # work kept when the present run began
        ("metered_gpu_seconds", "i8"),  # up to run_from
        ("refunded_gpu_seconds", "i8"),
        ("node", "i8"),  # first node, -1 where none
        ("nodes", "i8"),
    ]
)


class State(NamedTuple):
    """Pools side by side; each array leads with the axis of rows (R)."""

    knobs: npt.NDArray[Any]
    """(R, 1) KNOBS: the pool's settings"""
    pool: npt.NDArray[Any]
    """(R, 1) POOL: the clock, counts and rates"""
    nodes: npt.NDArray[Any]
    """(R, N) NODE"""
    gpus: npt.NDArray[np.int64]
    """(R, N, G): 1 + the index of the job that holds the GPU, 0 where it is free"""
    jobs: npt.NDArray[Any]
    """(R, J) JOB, in order of submission; rows from `job_count` on are room to grow"""
    queue: npt.NDArray[np.int64]
    """(R, Q): waiting jobs in queue order, from `queue_head`"""
    heap: npt.NDArray[np.int64]
    """(R, H, 2): (8 × instant + kind, job or node), a binary min-heap"""
    market: npt.NDArray[np.float64]
    """(R, T): market price in USD per GPU-hour, one a tick"""
    metrics: npt.NDArray[np.float64]
    """(R, METRIC_COUNT)"""
    log: npt.NDArray[np.int64]
    """(R, L, 4): (instant, kind, job or -1, node or -1)"""
    scratch: npt.NDArray[np.int64]
    """(R, N): nodes found by the last search"""


def blank_state(rows: int, nodes: int, gpus: int, jobs: int, ticks: int = 1, log: int = 1) -> State:
    """A state of zeros with room for so many nodes, GPUs a node, jobs, market ticks, log lines."""
    pool = np.zeros((rows, 1), POOL)
    pool["is_stale"] = 1
    return State(
        knobs=np.zeros((rows, 1), KNOBS),
        pool=pool,
        nodes=np.zeros((rows, nodes), NODE),
        gpus=np.zeros((rows, nodes, gpus), np.int64),
        jobs=np.zeros((rows, jobs), JOB),
        queue=np.zeros((rows, jobs + 1), np.int64),
        heap=np.zeros((rows, heap_room(jobs, nodes), 2), np.int64),
        market=np.zeros((rows, ticks), np.float64),
        metrics=np.zeros((rows, METRIC_COUNT), np.float64),
        log=np.zeros((rows, log, 4), np.int64),
        scratch=np.zeros((rows, nodes), np.int64),
    )


def heap_room(jobs: int, nodes: int) -> int:
    """Heap entries to set aside: one end a job, timers a node, and stale entries of moved jobs."""
    return 2 * jobs + 16 * nodes + 64


def copied(state: State) -> State:
    """An independent copy, by array copies alone."""
    return State._make(array.copy() for array in state)
