"""What can be read off a pool's arrays: meters and the like, in numpy."""

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.simulator.layout import RUNNING

Integers = npt.NDArray[np.int64]


def metered_gpu_seconds(jobs: npt.NDArray[Any], now: int) -> Integers:
    """GPU-seconds delivered to each job up to `now`, shape of `jobs`."""
    running = jobs["status"] == RUNNING
    result: Integers = jobs["metered_gpu_seconds"] + np.where(
        running, (now - jobs["run_from"]) * jobs["gpus"], 0
    )
    return result


def done_seconds(jobs: npt.NDArray[Any], now: int) -> Integers:
    """Work done by each job up to `now`, in seconds of its duration, shape of `jobs`."""
    running = jobs["status"] == RUNNING
    result: Integers = jobs["done_seconds"] + np.where(running, now - jobs["run_from"], 0)
    return result
