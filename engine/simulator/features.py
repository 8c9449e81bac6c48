"""What a policy sees of a pool: one definition, for training, for the twin and for the console.

Raw figures in plain units, one float64 vector a pool and decision. `read_features` fills it from a
pool's state and from the tape of its past quarters of an hour. The console builds that state and
that tape from the warehouse's rows, so that a fleet seen through rows gives the very numbers that
training saw. How a network wants them scaled is `engine/policies/network.py`.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Feature(IntEnum):
    """The place of each figure in the vector; the unit is the name's last word."""

    # -- the pool's standing terms
    OWNED_NODES = 0
    BURST_NODES = 1
    """most nodes that may be leased"""
    GPUS_PER_NODE = 2
    OWNED_USD_PER_GPU_HOUR = 3
    """power of an owned GPU that is on"""
    BUSY_USD_PER_GPU_HOUR = 4
    BURST_USD_PER_GPU_HOUR = 5
    SLA_USD_PER_GPU_HOUR = 6
    MINIMUM_BILL_SECONDS = 7
    OWNED_BOOT_SECONDS = 8
    BURST_BOOT_SECONDS = 9
    """mean of the fastest and the slowest"""
    # -- nodes by state
    OWNED_ACTIVE_NODES = 10
    BURST_ACTIVE_NODES = 11
    CORDONED_NODES = 12
    OWNED_PROVISIONING_NODES = 13
    BURST_PROVISIONING_NODES = 14
    DOWN_NODES = 15
    OWNED_OFF_NODES = 16
    BURST_OFF_NODES = 17
    OWNED_EMPTY_NODES = 18
    """active, owned, no job on it"""
    BURST_EMPTY_NODES = 19
    """active, leased, no job on it"""
    BURST_RIPE_NODES = 20
    """of those, past their minimum bill"""
    SPARSE_NODES = 21
    """active, in use, at most a quarter of their GPUs"""
    # -- work
    USED_GPUS = 22
    FREE_GPUS = 23
    """free GPUs of active nodes"""
    QUEUED_GPUS = 24
    QUEUED_JOBS = 25
    OLDEST_WAIT_SECONDS = 26
    LARGEST_QUEUED_GPUS = 27
    RUNNING_UNDER_30_MINUTES_GPUS = 28
    """GPUs of running jobs by the time since their first start"""
    RUNNING_UNDER_2_HOURS_GPUS = 29
    RUNNING_UNDER_8_HOURS_GPUS = 30
    RUNNING_LONGER_GPUS = 31
    # -- prices
    PRICE_USD_PER_GPU_HOUR = 32
    MARKET_USD_PER_GPU_HOUR = 33
    MARKET_HOUR_AGO_USD_PER_GPU_HOUR = 34
    MARKET_DAY_USD_PER_GPU_HOUR = 35
    """mean of the last day"""
    LOCKED_USD_PER_GPU_HOUR = 36
    """mean price of the GPUs in use; our price where none is"""
    # -- health
    SUSPECT_NODES = 37
    """active nodes whose health is under 0.7"""
    WORST_HEALTH_RATIO = 38
    """of active nodes; 1 where there is none"""
    # -- flows, from the tape
    OFFERED_QUARTER_JOBS_PER_HOUR = 39
    """offers over the last 15 min"""
    OFFERED_HOUR_JOBS_PER_HOUR = 40
    OFFERED_3_HOURS_JOBS_PER_HOUR = 41
    OFFERED_DAY_JOBS_PER_HOUR = 42
    SUBMITTED_HOUR_GPUS_PER_HOUR = 43
    """GPUs of offers that took the price"""
    SUBMITTED_DAY_GPUS_PER_HOUR = 44
    SUBMITTED_DAY_JOBS_PER_HOUR = 45
    FINISHED_HOUR_GPUS_PER_HOUR = 46
    FINISHED_DAY_GPUS_PER_HOUR = 47
    USED_HOUR_AGO_GPUS = 48
    USED_DAY_GPUS = 49
    """mean of the last day"""
    DEMAND_PEAK_HOUR_GPUS = 50
    """most GPUs used and queued at once at the last five quarters, now included"""
    # -- forecast of offers, from the forecaster
    FORECAST_30_MINUTES_JOBS_PER_HOUR = 51
    """median of the offers an hour, from now to then"""
    FORECAST_HOUR_JOBS_PER_HOUR = 52
    FORECAST_2_HOURS_JOBS_PER_HOUR = 53
    FORECAST_6_HOURS_JOBS_PER_HOUR = 54
    FORECAST_HOUR_SPREAD_JOBS_PER_HOUR = 55
    """90 % less 10 % quantile of the next hour's"""
    # -- calendar
    HOUR_OF_WEEK = 56
    """hours since Monday 00:00 UTC, 0 to 168"""


FEATURE_COUNT = len(Feature)
FEATURE_NAMES = tuple(feature.name.lower() for feature in Feature)


class Tape(IntEnum):
    """What is kept of a quarter of an hour, shape (ticks, TAPE_COUNT), in the order of time.

    Row t tells what came in the quarter that ends at instant t, and how things stood then.
    """

    OFFERED_JOBS = 0
    SUBMITTED_JOBS = 1
    SUBMITTED_GPUS = 2
    FINISHED_GPUS = 3
    USED_GPUS = 4
    QUEUED_GPUS = 5
    MARKET_USD_PER_GPU_HOUR = 6


TAPE_COUNT = len(Tape)
TAPE_TICKS = 8 * 96
"""A week and a day of quarters: what the forecaster reads."""
FORECAST_COUNT = 5
"""30 min, 1 h, 2 h, 6 h, and the spread at 1 h; jobs an hour."""

QUARTERS_A_DAY = 96
SUSPECT_HEALTH_RATIO = 0.7
SPARSE_RATIO = 0.25
AGES_SECONDS = (1800, 7200, 28_800)
"""Where the classes of running jobs by age end."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def blank_tape(rows: int, ticks: int) -> Floats:
    """Room for so many quarters, shape (rows, ticks, TAPE_COUNT)."""
    return np.zeros((rows, ticks, TAPE_COUNT))
