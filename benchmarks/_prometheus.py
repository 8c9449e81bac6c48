"""Prometheus, for comparison: loaded with the same readings by remote write, asked the same things.

Debian's package (`prometheus`, with `promtool`) on loopback, in a folder of its own. Readings are
sent in DCGM's units (percent, MiB, MHz, mJ), as an exporter serves them. The requests are packed by
numpy, so that little of the time is ours; snappy's format is met with literals alone.
"""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import numpy as np
import numpy.typing as npt
import polars as pl

BINARY = "prometheus"
START_SECONDS = 30.0
STEPS_A_REQUEST = 60
"""Prometheus refuses what is older than an hour before its newest: so a quarter of an hour of every
series comes before the next quarter."""
METRICS: dict[str, tuple[str, float]] = {
    "utilisation_ratio": ("DCGM_FI_DEV_GPU_UTIL", 100.0),
    "memory_copy_ratio": ("DCGM_FI_DEV_MEM_COPY_UTIL", 100.0),
    "engine_active_ratio": ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 1.0),
    "tensor_active_ratio": ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", 1.0),
    "dram_active_ratio": ("DCGM_FI_PROF_DRAM_ACTIVE", 1.0),
    "memory_used_bytes": ("DCGM_FI_DEV_FB_USED", 2.0**-20),
    "memory_total_bytes": ("DCGM_FI_DEV_FB_TOTAL", 2.0**-20),
    "power_watts": ("DCGM_FI_DEV_POWER_USAGE", 1.0),
    "power_limit_watts": ("DCGM_FI_DEV_POWER_MGMT_LIMIT", 1.0),
    "energy_joules": ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 1000.0),
    "temperature_celsius": ("DCGM_FI_DEV_GPU_TEMP", 1.0),
    "memory_temperature_celsius": ("DCGM_FI_DEV_MEMORY_TEMP", 1.0),
    "sm_clock_hertz": ("DCGM_FI_DEV_SM_CLOCK", 1e-6),
    "memory_clock_hertz": ("DCGM_FI_DEV_MEM_CLOCK", 1e-6),
    "ecc_corrected_count": ("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", 1.0),
    "ecc_uncorrected_count": ("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", 1.0),
    "rows_remapped_count": ("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", 1.0),
    "process_count": ("processes", 1.0),
}
"""By column its series' name and what its values are multiplied by."""
WHOLE = frozenset({"utilisation_ratio", "memory_copy_ratio", "energy_joules", "sm_clock_hertz"})
"""Columns that are whole numbers in DCGM's unit, where multiplying leaves a crumb."""


def is_installed() -> bool:
    """Whether there is a Prometheus to compare with."""
    return shutil.which(BINARY) is not None


@contextmanager
def prometheus(folder: Path) -> Iterator[Prometheus]:
    """A running Prometheus that scrapes nothing; it is stopped at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "prometheus.yml").write_text("scrape_configs: []\n")
    command = [
        BINARY,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        "--web.enable-admin-api",
        "--log.level=error",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        running = Prometheus(f"http://127.0.0.1:{port}", folder / "data")
        running.wait()
        yield running
    finally:
        process.terminate()
        process.wait()


class Prometheus:
    """One that runs: written to, asked, weighed."""

    def __init__(self, address: str, data: Path) -> None:
        self._address = address
        self._data = data

    def wait(self) -> None:
        """Return once it is ready; it gives up after half a minute."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                self._ask("/-/ready")
            except URLError:
                time.sleep(0.1)
            else:
                return
        raise TimeoutError("Prometheus was not ready in 30 s")

    def write(self, frame: pl.DataFrame) -> float:
        """Store frames as `Telemetry.hours` yields them; returns the seconds that took it, packing
        left out."""
        steps = frame["measured_at"].n_unique()
        taken = 0.0
        for first in range(0, steps, STEPS_A_REQUEST):
            gpus = frame.height // steps
            part = frame.slice(first * gpus, STEPS_A_REQUEST * gpus)
            for body in requests(part, gpus):
                start = time.perf_counter()
                self._ask("/api/v1/write", body)
                taken += time.perf_counter() - start
        return taken

    def query_range(self, query: str, since: float, until: float, step_seconds: int) -> bytes:
        """The answer, unread, to a question over a span of Unix seconds."""
        asked = {"query": query, "start": since, "end": until, "step": step_seconds}
        return self._ask(f"/api/v1/query_range?{urlencode(asked)}")

    def query(self, query: str, at: float) -> bytes:
        """The answer, unread, to a question at an instant."""
        return self._ask(f"/api/v1/query?{urlencode({'query': query, 'time': at})}")

    def size_bytes(self) -> int:
        """Of all it holds, as blocks on disk: a snapshot writes the newest hours out too."""
        told = json.loads(self._ask("/api/v1/admin/tsdb/snapshot", b""))
        snapshot = self._data / "snapshots" / told["data"]["name"]
        return sum(each.stat().st_size for each in snapshot.rglob("*") if each.is_file())

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        with urlopen(Request(f"{self._address}{path}", data=body), timeout=120) as answer:
            read: bytes = answer.read()
        return read


def requests(frame: pl.DataFrame, gpus: int) -> Iterator[bytes]:
    """The bodies of remote-write requests, one a metric; rows in order of time, then GPU."""
    at = frame["measured_at"].dt.epoch("ms").to_numpy()[::gpus]
    labels = frame.head(gpus).select("gpu_id", "node_id", "pool", "gpu_model").rows()
    for column, (name, factor) in METRICS.items():
        values = frame[column].cast(pl.Float64).to_numpy() * factor
        values = np.round(values) if column in WHOLE else values
        packed = _samples(values.reshape(len(at), gpus).T, at)
        yield _snappy(
            b"".join(
                _field(1, _labels(name, *label) + packed[n].tobytes())
                for n, label in enumerate(labels)
            )
        )


def _samples(values: npt.NDArray[np.float64], at: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """The samples of each series as protobuf has them: (series, steps, 18) bytes."""
    packed = np.empty((*values.shape, 18), np.uint8)
    packed[..., 0:3] = (0x12, 0x10, 0x09)
    packed[..., 3:11] = np.ascontiguousarray(values, "<f8").view(np.uint8).reshape(*values.shape, 8)
    packed[..., 11] = 0x10
    for byte in range(6):  # milliseconds since 1970 take six groups of seven bits
        more = 0x80 if byte < 5 else 0
        packed[..., 12 + byte] = (at >> (7 * byte) & 0x7F) | more
    return packed


def _labels(name: str, gpu: str, node: str, pool: str, model: str) -> bytes:
    pairs = {"__name__": name, "Hostname": node, "UUID": gpu, "modelName": model, "pool": pool}
    return b"".join(
        _field(1, _field(1, key.encode()) + _field(2, value.encode()))
        for key, value in sorted(pairs.items())
    )


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _snappy(content: bytes) -> bytes:
    length = len(content)
    return b"".join([_varint(length), b"\xfc", struct.pack("<I", length - 1), content])
