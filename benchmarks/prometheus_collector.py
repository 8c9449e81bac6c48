"""The `prometheus` collector on 2,000 exporters of eight GPUs each: a round's time, CPU, memory.

    python -m benchmarks.prometheus_collector [--targets 2000] [--rounds 12]

The exporters are the tests' farm, in a process of its own on the loopback: each target has an
address of its own, 21 metrics a GPU with dcgm-exporter's labels and changing numbers, a pod on each
GPU. The rounds are run by the real runner, whose rows go into a real warehouse in a temporary
folder. Rounds follow one another without a pause; in use there is one every 15 seconds. CPU is this
process's, of all its threads, by the operating system; the farm's is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks._timing import machine
from collectors.prometheus import PrometheusCollector
from collectors.prometheus_settings import PrometheusSettings
from collectors.runner import Runner
from tests.collectors.exporter_farm import METRICS, PORT_LINE, farm_address
from warehouse.clock import WallClock
from warehouse.store import Location, Store

GPUS = 8
AIM_SECONDS = 15.0
MIB = 2**20


@contextmanager
def _farm() -> Iterator[int]:
    """A farm in a process of its own; its port."""
    command = [sys.executable, "-m", "tests.collectors.exporter_farm", "--gpus", str(GPUS)]
    farm = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert farm.stdout is not None
    try:
        yield int(farm.stdout.readline().removeprefix(PORT_LINE))
    finally:
        farm.terminate()
        farm.wait()
        farm.stdout.close()


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


def _told(what: str, taken: list[float], unit: str) -> None:
    p95 = statistics.quantiles(taken, n=20)[-1]
    print(
        f"{what:44} median {statistics.median(taken):8.2f}  p95 {p95:8.2f}  "
        f"worst {max(taken):8.2f} {unit}"
    )


def _measure(store: Store, collector: PrometheusCollector, rounds: int) -> None:
    runner = Runner(store, WallClock())
    before_mib = _resident_mib()
    walls, asked, cpus = [], [], []
    for at in range(rounds + 1):
        cpu_seconds, start = _cpu_seconds(), time.perf_counter()
        run = runner.run(collector)
        wall, cpu = time.perf_counter() - start, _cpu_seconds() - cpu_seconds
        if (run.outcome, run.detail) != ("succeeded", None):
            print(f"round {at}: {run.outcome}, {run.detail}")
        if at == 0:
            print(f"{'first round, which reads every label':44} {wall:8.2f} s, CPU {cpu:.2f} s")
            continue
        walls.append(wall)
        asked.append(run.duration_seconds)
        cpus.append(cpu)
    _told("a round, asked, read and stored", walls, "s")
    _told("of which asked and read", asked, "s")
    _told("CPU of the console's process a round", cpus, "s")
    share = statistics.median(cpus) / AIM_SECONDS
    print(f"{'of one core, at a round every 15 s':44} {share:15.1%}")
    values = run.row_count // 2 * len(METRICS)
    print(f"{'values a round':44} {values:15,}")
    print(f"{'values a second of CPU':44} {values / statistics.median(cpus):15,.0f}")
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{'memory before, after and at most':44} {before_mib:.0f}, {_resident_mib():.0f}, "
        f"{peak_mib:.0f} MiB"
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=12)
    given = parser.parse_args()
    print(f"{machine()}; load {os.getloadavg()[0]:.1f} at the start")
    with tempfile.TemporaryDirectory() as folder, _farm() as port:
        targets = Path(folder) / "targets.json"
        addresses = [farm_address(number, port) for number in range(given.targets)]
        targets.write_text(json.dumps([{"targets": addresses, "labels": {"pool": "h100"}}]))
        collector = PrometheusCollector(PrometheusSettings(targets_file=str(targets)))
        store = Store(Location.embedded(Path(folder) / "home"))
        try:
            print(f"{given.targets:,} targets, {given.targets * GPUS:,} GPUs")
            _measure(store, collector, given.rounds)
        finally:
            collector.close()
            store.close()
    print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
