"""What a pool counts: one float64 vector a pool, kept as a vector and scalarised late.

Everything accumulates from the pool's start; an interval's figures are a difference of two
vectors. Money accrues as GPU-hours are delivered and is never booked at a job's start.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Metric(IntEnum):
    """The place of each figure in the vector; the unit is the name's last word."""

    REVENUE_USD = 0
    """metered GPU-hours times each job's locked price, refunds not yet taken off"""
    LIST_REVENUE_USD = 1
    """the same GPU-hours at the pool's list price"""
    SPOT_REVENUE_USD = 2
    OWNED_COST_USD = 3
    BURST_COST_USD = 4
    """leases by the second, and what a lease ended early still owes to its minimum bill"""
    SLA_PENALTY_USD = 5
    REFUND_USD = 6
    USED_GPU_SECONDS = 7
    SPOT_GPU_SECONDS = 8
    AVAILABLE_GPU_SECONDS = 9
    """GPUs of active and cordoned nodes"""
    OWNED_ON_GPU_SECONDS = 10
    BURST_GPU_SECONDS = 11
    QUEUED_GPU_SECONDS = 12
    LOST_GPU_SECONDS = 13
    """work done after the last checkpoint before a failure"""
    WAIT_SECONDS = 14
    """waits of first starts, booked when the job starts"""
    OFFERED_JOBS = 15
    ACCEPTED_JOBS = 16
    STARTED_JOBS = 17
    FINISHED_JOBS = 18
    LATE_JOBS = 19
    """first starts after the agreed wait"""
    LEFT_JOBS = 20
    INTERRUPTED_JOBS = 21
    MIGRATED_JOBS = 22
    FAILED_NODES = 23
    STARTED_NODES = 24
    STOPPED_NODES = 25
    PREEMPTED_SPOT_GPUS = 26
    """idle GPUs that were sold as spot and taken back for a job"""
    ACCEPTED_GPUS = 27
    """GPUs of the jobs that took the price"""
    FINISHED_GPUS = 28
    """GPUs of the jobs that finished"""
    MOVED_JOBS = 29
    """jobs taken over from another pool"""


METRIC_COUNT = len(Metric)
METRIC_NAMES = tuple(metric.name.lower() for metric in Metric)

_PROFIT = np.zeros(METRIC_COUNT)
_PROFIT[[Metric.REVENUE_USD, Metric.SPOT_REVENUE_USD]] = 1.0
_PROFIT[
    [Metric.OWNED_COST_USD, Metric.BURST_COST_USD, Metric.SLA_PENALTY_USD, Metric.REFUND_USD]
] = -1.0


def profit(metrics: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Contribution profit in USD: revenue less variable cost, penalties and refunds.

    `metrics` has shape (..., METRIC_COUNT), the result (...): a vector, a difference of two, or a
    stack of many.
    """
    result: npt.NDArray[np.float64] = metrics @ _PROFIT
    return result
