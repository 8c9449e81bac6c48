"""What the node agent costs its host: processor, memory and latency a scrape, with 8 GPUs.

    python -m benchmarks.agent

The agent runs in a process of its own, as on a GPU host, and is scraped as Prometheus does it: over
one connection that stays open, packed. Its NVML is the tests' stand-in, so the driver's own time is
not in these figures: they are what the agent adds. Processor time and memory are the system's
word, taken before and after. The second run has every scrape read the GPUs anew.
"""

from __future__ import annotations

import gzip
import http.client
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks._timing import machine

ROOT = Path(__file__).resolve().parents[1]
GPUS = 8
WARM_SCRAPES = 20
MIB = 2**20
HOST = f"""
import sys
from collectors.agent import main
from tests.collectors.fake_nvml import FakeGpu, FakeNvml
gpus = [FakeGpu(f"GPU-{{n}}", minor_number=n) for n in range({GPUS})]
sys.exit(main(["--port", "0", "--node-id", "node-1", "--every-seconds", sys.argv[1]],
    FakeNvml(*gpus)))
"""


class Agent:
    """An agent in a process of its own."""

    def __init__(self, pid: int, port: int, ready_seconds: float) -> None:
        self.pid, self.ready_seconds = pid, ready_seconds
        self._wire = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def scrape(self) -> bytes:
        """The text, packed."""
        self._wire.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        return self._wire.getresponse().read()

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far, by the system's clock of 10 ms."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def resident_bytes(self) -> int:
        """Memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def agent(every_seconds: float) -> Iterator[Agent]:
    """Start one, and end it afterwards."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", HOST, str(every_seconds)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.search(r":(\d+)/metrics", said)
        assert found, said
        yield Agent(process.pid, int(found[1]), time.perf_counter() - start)
    finally:
        process.terminate()
        process.communicate()


def measure(every_seconds: float, scrapes: int, pause_seconds: float) -> None:
    """Scrape, and print what it cost."""
    with agent(every_seconds) as it:
        for _ in range(WARM_SCRAPES):
            text = it.scrape()
        before, taken = it.cpu_seconds, []
        for _ in range(scrapes):
            time.sleep(pause_seconds)
            start = time.perf_counter()
            it.scrape()
            taken.append((time.perf_counter() - start) * 1000)
        cpu_milliseconds = (it.cpu_seconds - before) / scrapes * 1000
        shares = statistics.quantiles(taken, n=100)
        plain = gzip.decompress(text)
        series = len([line for line in plain.splitlines() if not line.startswith(b"#")])
        print(
            f"read at most every {every_seconds:g} s, {scrapes} scrapes of {series} series: "
            f"{cpu_milliseconds:.2f} ms of processor a scrape; latency p50 {shares[49]:.2f} ms, "
            f"p99 {shares[98]:.2f} ms; {it.resident_bytes / MIB:.1f} MiB resident; "
            f"{len(text):,} bytes packed, {len(plain):,} plain; serving after "
            f"{it.ready_seconds:.2f} s"
        )


if __name__ == "__main__":
    print(machine())
    measure(every_seconds=3600.0, scrapes=2000, pause_seconds=0.0)
    measure(every_seconds=0.1, scrapes=100, pause_seconds=0.11)
