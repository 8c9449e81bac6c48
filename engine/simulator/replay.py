"""The exact replay of a trace: at which second each job starts, under strict FIFO or SJF.

The rules are those of published simulations of the Philly trace (Hu et al., SC'21, and their open
simulator): per virtual cluster (VC), a job that one node can hold goes on the node with the fewest
free GPUs that fits; a larger one takes whole nodes; at one instant ends are released before
arrivals are placed; the head of the queue blocks all behind it. FIFO orders the queue by
submission, SJF by true duration; rows of the frame settle ties.

What the rules leave open, and is settled here: a job of no duration starts, ends and gives its GPUs
back within its second; a VC's node size is its largest node, and gangs take nodes of that size
only; a size that is no multiple of it still takes whole nodes.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.simulator.errors import NeverFits, SimulatorError
from engine.simulator.kernel import advance_many
from engine.simulator.layout import ACTIVE, FIFO, FOREVER, OFFERED, SJF, State, blank_state

Order = Literal["fifo", "sjf"]
Seconds = npt.NDArray[np.int64]

_NO_ORDERS = np.zeros((1, 0, 3), np.int64)
_NO_REPLIES = np.zeros((1, 0, 66), np.int64)


def replay(jobs: pl.DataFrame, nodes: pl.DataFrame, order: Order = "fifo") -> Seconds:
    """The start of each job in seconds, int64 of shape (jobs,), aligned with the rows of `jobs`.

    `jobs` has job_id, vc, duration_seconds, gpu_count and either submitted_seconds (integer) or
    submitted_at (Datetime; then seconds count from the earliest submission over all VCs, rounded
    down). `nodes` has vc and gpu_count, in index order. Rows may come in any order.
    Raises NeverFits for a job that its VC can't hold even when empty, and SimulatorError for an
    unknown order, a negative duration or a job without GPUs.
    """
    if order not in ("fifo", "sjf"):
        raise SimulatorError(f"order {order!r} is not known: say 'fifo' or 'sjf'")
    submitted = _submitted_seconds(jobs)
    durations = jobs["duration_seconds"].cast(pl.Int64).to_numpy()
    gpus = jobs["gpu_count"].cast(pl.Int64).to_numpy()
    _check(jobs, durations, gpus)
    started = np.full(jobs.height, -1, np.int64)
    rows_of_vc = _rows_by_value(jobs["vc"])
    nodes_of_vc = _rows_by_value(nodes["vc"])
    capacities = nodes["gpu_count"].cast(pl.Int64).to_numpy()
    for vc, rows in rows_of_vc.items():
        rows = rows[np.argsort(submitted[rows], kind="stable")]
        sizes = capacities[nodes_of_vc.get(vc, np.zeros(0, np.int64))]
        blocked = _never_fits(gpus[rows], sizes)
        if blocked >= 0:
            row = int(rows[blocked])
            raise NeverFits(str(jobs["job_id"][row]), vc, int(gpus[row]))
        state = _exact_state(submitted[rows], durations[rows], gpus[rows], sizes, order)
        advance_many(state, np.array([FOREVER], np.int64), _NO_ORDERS, _NO_REPLIES)
        started[rows] = state.jobs[0]["started_at"] + int(submitted[rows[0]])
    return started


def _submitted_seconds(jobs: pl.DataFrame) -> Seconds:
    if "submitted_seconds" in jobs.columns:
        seconds: Seconds = jobs["submitted_seconds"].cast(pl.Int64).to_numpy()
        return seconds
    micros: Seconds = jobs["submitted_at"].dt.epoch("us").to_numpy()
    return (micros - micros.min()) // 1_000_000 if len(micros) else micros


def _check(jobs: pl.DataFrame, durations: Seconds, gpus: Seconds) -> None:
    for wrong, word in ((durations < 0, "a negative duration"), (gpus < 1, "no GPUs")):
        if wrong.any():
            job_id = jobs["job_id"][int(np.argmax(wrong))]
            raise SimulatorError(f"job {job_id} has {word}: mend the row or leave it out")


def _rows_by_value(column: pl.Series) -> dict[str, Seconds]:
    frame = pl.DataFrame({"value": column.cast(pl.String)}).with_row_index("row")
    groups = frame.group_by("value", maintain_order=True).agg("row")
    return {
        value: np.asarray(rows, np.int64)
        for value, rows in zip(groups["value"], groups["row"], strict=True)
    }


def _never_fits(gpus: Seconds, sizes: Seconds) -> int:
    # The place of the first job that the empty VC can't hold, -1 where all fit.
    size = int(sizes.max(initial=0))
    whole_nodes = int((sizes == size).sum()) if size else 0
    too_large = np.flatnonzero(-(-gpus // max(size, 1)) > whole_nodes)
    return int(too_large[0]) if len(too_large) else -1


def _exact_state(
    submitted: Seconds, durations: Seconds, gpus: Seconds, sizes: Seconds, order: Order
) -> State:
    size = int(sizes.max())
    state = blank_state(rows=1, nodes=len(sizes), gpus=size, jobs=len(gpus))
    state.knobs["node_gpus"] = size
    state.knobs["order"] = FIFO if order == "fifo" else SJF
    state.pool["job_count"] = len(gpus)
    nodes, jobs = state.nodes[0], state.jobs[0]
    nodes["state"] = ACTIVE
    nodes["gpus"] = nodes["free_gpus"] = sizes
    # The row's epoch is its first submission: its instants stay small and not negative.
    jobs["submitted_at"] = submitted - submitted[0]
    jobs["duration_seconds"] = durations
    jobs["gpus"] = gpus
    jobs["status"] = OFFERED
    jobs["node"] = jobs["started_at"] = jobs["ended_at"] = -1
    return state
