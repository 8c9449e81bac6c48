"""What every benchmark shares: repeat, take medians, print a row."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path


def milliseconds(act: Callable[[], object], repeats: int) -> list[float]:
    """The wall-clock milliseconds of each of `repeats` runs, after one run to warm up."""
    act()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        act()
        taken.append((time.perf_counter() - start) * 1000)
    return taken


def row(what: str, taken: list[float], aim_milliseconds: float | None = None) -> None:
    """Print one line: median, 95th percentile, and the aim where there is one."""
    median = statistics.median(taken)
    p95 = statistics.quantiles(taken, n=20)[-1] if len(taken) > 1 else median
    aim = "" if aim_milliseconds is None else f"  aim {aim_milliseconds:g} ms"
    print(f"{what:64} median {median:9.1f} ms  p95 {p95:9.1f} ms  n {len(taken)}{aim}")


def machine() -> str:
    """This machine in words, and today's date."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = f"{len(names)} cores, {names[0].split(':')[1].strip()}" if names else model
    return f"{model}; Python {platform.python_version()}; {datetime.now(UTC):%Y-%m-%d}"
