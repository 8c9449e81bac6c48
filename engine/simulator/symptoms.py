"""What ailing nodes show, as a real driver would: XID errors, memory errors, heat.

The simulation knows of a node only that it is degraded, or that it failed. What its GPUs show is
made of that by hash of seed, node and instant, so that nothing here feeds back: the same fleet
with or without readers is the same fleet. Which ailment it is, and which GPU has it, stays while
the node is degraded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.simulator.columns import INSTANT, constant
from engine.simulator.fleet import node_id
from engine.simulator.hashing import SALT_GPU, uniforms
from engine.simulator.layout import ACTIVE, CORDONED, LOG_NODE_FAILED
from engine.simulator.live import LivePool

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SYMPTOM_SECONDS = 300
"""The grid of instants at which something may show."""
COUNTER_SECONDS = 6 * 3600
"""Counters begin anew on this grid, as with a driver that is loaded again."""
SHOWS_RATIO = 0.25
"""Chance that an ailing node reports an XID at a point of the grid: three an hour."""
APPLICATION_RATIO = 0.0004
"""Chance that a job on a sound node makes one by a fault of its own: one a node in nine days."""
HEAT_CELSIUS = 16.0
"""What a badly cooled GPU runs hotter."""

MEMORY, LINK, FIRMWARE, COOLING = range(4)
_AILMENT_ENDS = np.array([0.40, 0.60, 0.80])
"""Shares of the ailments, summed up; the last has the rest."""
_CODES: dict[int, tuple[int, ...]] = {
    MEMORY: (94, 94, 94, 63, 63, 48, 48, 64),
    LINK: (74,),
    FIRMWARE: (119, 119, 120),
    COOLING: (),
}
_APPLICATION_CODES = (13, 13, 31, 31, 43, 45)
_UNCORRECTED = (48, 94)
_DETAILS = {79: "GPU has fallen off the bus"}

SALT_AILMENT, SALT_SLOT, SALT_SHOWS, SALT_CODE, SALT_JOB = range(SALT_GPU + 300, SALT_GPU + 305)


@dataclass(frozen=True)
class Symptoms:
    """What the sick GPUs of one pool show now; arrays of shape (n,), one entry an ailing node."""

    node: Integers
    slot: Integers
    ailment: Integers
    uncorrected: Integers
    """memory errors since the counters began"""
    is_pending: npt.NDArray[np.bool_]
    has_failed: npt.NDArray[np.bool_]


def symptoms(pool: LivePool) -> Symptoms:
    """The ailing nodes of a pool and what their sick GPU counts."""
    node = _ailing(pool)
    start = pool.now // COUNTER_SECONDS * COUNTER_SECONDS
    codes = _codes(pool, node, _grid(start, pool.now))
    return Symptoms(
        node=node,
        slot=_slots(pool, node),
        ailment=_ailments(pool, node),
        uncorrected=np.isin(codes, _UNCORRECTED).sum(0),
        is_pending=np.isin(codes, (63, *_UNCORRECTED)).sum(0) > 0,
        has_failed=(codes == 64).sum(0) > 0,
    )


def gpu_events(
    pool: LivePool, since: int, instant: Callable[[int], datetime], lines: Integers | None = None
) -> pl.DataFrame:
    """Rows of `gpu_events` after `since` up to now; `lines` are the log's of that time.

    `instant` turns fleet seconds into one in UTC.
    """
    rows: list[tuple[Any, ...]] = []
    if lines is not None:
        for at, _, _, node in lines[lines[:, 1] == LOG_NODE_FAILED].tolist():
            slot = int(_slots(pool, np.array([node]))[0])
            rows.append((at, node, slot, "xid", 79))
            rows.append((at, node, slot, "gpu_lost", None))
    grid, ailing, working = _grid(since, pool.now), _ailing(pool), _working(pool)
    rows += _shown(pool, ailing, _codes(pool, ailing, grid), grid)
    rows += _shown(pool, working, _application_codes(pool, working, grid), grid)
    return _frame(pool, sorted(rows, key=lambda row: row[:3]), instant)


def _grid(since: int, until: int) -> Integers:
    first = (since // SYMPTOM_SECONDS + 1) * SYMPTOM_SECONDS
    return np.arange(first, until + 1, SYMPTOM_SECONDS, dtype=np.int64)


def _ailing(pool: LivePool) -> Integers:
    nodes = pool.state.nodes[0]
    answers = (nodes["state"] == ACTIVE) | (nodes["state"] == CORDONED)
    return np.flatnonzero(answers & (nodes["degraded"] == 1))


def _working(pool: LivePool) -> Integers:
    """Nodes with a job on them that are not ailing."""
    nodes = pool.state.nodes[0]
    is_used = (nodes["state"] == ACTIVE) & (nodes["free_gpus"] < nodes["gpus"])
    return np.flatnonzero(is_used & (nodes["degraded"] == 0))


def _ailments(pool: LivePool, node: Integers) -> Integers:
    failures = pool.state.nodes[0]["failures"][node]
    draws = uniforms(pool.seed, failures, node, SALT_AILMENT)[: len(node)]
    return np.searchsorted(_AILMENT_ENDS, draws, side="right").astype(np.int64)


def _slots(pool: LivePool, node: Integers) -> Integers:
    draws = uniforms(pool.seed, 0, node, SALT_SLOT)[: len(node)]
    return (draws * pool.settings.node_gpus).astype(np.int64)


def _codes(pool: LivePool, node: Integers, at: Integers) -> Integers:
    """The XID that each ailing node reports at points of the grid; 0 for none, shape (at, node)."""
    found = np.zeros((len(at), len(node)), np.int64)
    if not found.size:
        return found
    shows = uniforms(pool.seed, at[:, None], node, SALT_SHOWS) < SHOWS_RATIO
    which = uniforms(pool.seed, at[:, None], node, SALT_CODE)
    ailments = _ailments(pool, node)
    for ailment, codes in _CODES.items():
        if codes:
            mine = shows & (ailments == ailment)
            found[mine] = np.array(codes)[(which[mine] * len(codes)).astype(np.int64)]
    return found


def _application_codes(pool: LivePool, node: Integers, at: Integers) -> Integers:
    found = np.zeros((len(at), len(node)), np.int64)
    if not found.size:
        return found
    shows = uniforms(pool.seed, at[:, None], node, SALT_JOB) < APPLICATION_RATIO
    if shows.any():
        which = uniforms(pool.seed, at[:, None], node, SALT_CODE)[shows]
        codes = (which * len(_APPLICATION_CODES)).astype(np.int64)
        found[shows] = np.array(_APPLICATION_CODES)[codes]
    return found


def _shown(pool: LivePool, node: Integers, codes: Integers, at: Integers) -> list[tuple[Any, ...]]:
    if not codes.any():
        return []
    slots = _slots(pool, node)
    return [
        (int(at[t]), int(node[i]), int(slots[i]), "xid", int(codes[t, i]))
        for t, i in np.argwhere(codes)
    ]


def _frame(
    pool: LivePool, rows: list[tuple[Any, ...]], instant: Callable[[int], datetime]
) -> pl.DataFrame:
    names = [node_id(pool, row[1]) for row in rows]
    return pl.DataFrame(
        {
            "node_id": pl.Series(names, dtype=pl.String),
            "gpu_id": pl.Series(
                [f"{name}-gpu-{row[2]}" for name, row in zip(names, rows, strict=True)],
                dtype=pl.String,
            ),
            "pool": constant(pool.settings.name, len(rows), pl.String),
            "kind": pl.Series([row[3] for row in rows], dtype=pl.String),
            "code": pl.Series([row[4] for row in rows], dtype=pl.Int64),
            "detail": pl.Series([_words(row) for row in rows], dtype=pl.String),
            "source": constant("simulator", len(rows), pl.String),
            "happened_at": pl.Series([instant(row[0]) for row in rows], dtype=INSTANT),
        }
    )


def _words(row: tuple[Any, ...]) -> str:
    detail = _DETAILS.get(row[4])
    return f"GPU {row[2]}, {detail}" if detail else f"GPU {row[2]}"
