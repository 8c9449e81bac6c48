"""Rows shared out among threads: the compiled core lets go of the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numpy as np

THREADS = 2
FEWEST_ROWS_A_THREAD = 8


def in_threads(work: Callable[[int, int], None], rows: int, threads: int = THREADS) -> None:
    """Calls `work(first, last)` for spans that make up `rows`, side by side, without copies."""
    threads = max(1, min(threads, rows // FEWEST_ROWS_A_THREAD))
    if threads == 1:
        work(0, rows)
        return
    edges = np.linspace(0, rows, threads + 1).astype(int)
    waits = [_workers().submit(work, int(a), int(b)) for a, b in pairwise(edges)]
    for wait in waits:
        wait.result()


@cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="rollouts")
