"""Exporters on the loopback: one listener, every 127.x.y.z of it another host.

`Exporters` answers as a test says, faults included. `python -m tests.collectors.exporter_farm`
is thousands of dcgm-exporters in a process of their own, each telling eight GPUs whose numbers
change; their texts are rendered beforehand, so that serving costs little.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

PORT_LINE = "serving on port "
HOST_MARK, ENERGY_MARK = b"@HOST@", b"@MILLIJOULES@"
ENERGY = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
VARIANTS = 16
"""Texts that are served in turn."""

METRICS: tuple[tuple[str, str, Any], ...] = (
    ("DCGM_FI_DEV_SM_CLOCK", "gauge", lambda luck: luck.choice((1980, 1755, 345))),
    ("DCGM_FI_DEV_MEM_CLOCK", "gauge", lambda luck: 2619),
    ("DCGM_FI_DEV_MEMORY_TEMP", "gauge", lambda luck: luck.randint(38, 88)),
    ("DCGM_FI_DEV_GPU_TEMP", "gauge", lambda luck: luck.randint(30, 80)),
    ("DCGM_FI_DEV_POWER_USAGE", "gauge", lambda luck: f"{luck.uniform(70, 700):.6f}"),
    ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "counter", lambda luck: luck.randint(1, 10**12)),
    ("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "counter", lambda luck: 0),
    ("DCGM_FI_DEV_GPU_UTIL", "gauge", lambda luck: luck.randint(0, 100)),
    ("DCGM_FI_DEV_MEM_COPY_UTIL", "gauge", lambda luck: luck.randint(0, 100)),
    ("DCGM_FI_DEV_ENC_UTIL", "gauge", lambda luck: 0),
    ("DCGM_FI_DEV_DEC_UTIL", "gauge", lambda luck: 0),
    ("DCGM_FI_DEV_XID_ERRORS", "gauge", lambda luck: 0),
    ("DCGM_FI_DEV_FB_FREE", "gauge", lambda luck: luck.randint(100, 80000)),
    ("DCGM_FI_DEV_FB_USED", "gauge", lambda luck: luck.randint(100, 1000)),
    ("DCGM_FI_DEV_FB_RESERVED", "gauge", lambda luck: 605),
    ("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "counter", lambda luck: 0),
    ("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "counter", lambda luck: 0),
    ("DCGM_FI_DEV_ROW_REMAP_FAILURE", "gauge", lambda luck: 0),
    ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "gauge", lambda luck: f"{luck.random():.6f}"),
    ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "gauge", lambda luck: f"{luck.random():.6f}"),
    ("DCGM_FI_PROF_DRAM_ACTIVE", "gauge", lambda luck: f"{luck.random():.6f}"),
)
"""dcgm-exporter's default counters and a value for each."""


@dataclass(frozen=True)
class Told:
    """A GPU, or a MIG instance, and what an exporter tells of it."""

    labels: Mapping[str, str]
    values: Mapping[str, Any]


def gpu_labels(slot: int, uuid: str, host: str = "node-a", **more: str) -> dict[str, str]:
    """The labels of dcgm-exporter 4.x, in its order."""
    mig = {name: more.pop(name) for name in ("GPU_I_PROFILE", "GPU_I_ID") if name in more}
    return {
        "gpu": str(slot),
        "UUID": uuid,
        "pci_bus_id": f"00000000:{0x1B + slot:02X}:00.0",
        "device": f"nvidia{slot}",
        "modelName": more.pop("modelName", "NVIDIA H100 80GB HBM3"),
        **mig,
        "Hostname": host,
        "DCGM_FI_DRIVER_VERSION": "570.124.06",
        **more,
    }


def exposition(told: Iterable[Told]) -> str:
    """The text an exporter serves: metric by metric, as dcgm-exporter writes it."""
    told = list(told)
    kinds = {name: kind for name, kind, _ in METRICS}
    lines = []
    for name in dict.fromkeys(name for each in told for name in each.values):
        lines += [f"# HELP {name} What DCGM says.", f"# TYPE {name} {kinds.get(name, 'gauge')}"]
        for each in told:
            if name in each.values:
                labels = ",".join(f'{label}="{text}"' for label, text in each.labels.items())
                lines.append(f"{name}{{{labels}}} {each.values[name]}")
    return "\n".join(lines) + "\n"


# -- as a test says -------------------------------------------------------------------


@dataclass
class Says:
    """How one host answers."""

    body: str | bytes = ""
    status: str = "200 OK"
    content_type: str = "text/plain; version=0.0.4"
    headers: Mapping[str, str] = field(default_factory=dict)
    is_gzipped: bool = False
    cut_at: int | None = None
    """Bytes of the body after which the connection is reset."""
    drips: bool = False
    """Whether it sends one byte now and then, for ever."""
    is_silent: bool = False
    """Whether it takes the request and says nothing."""
    closes: bool = False
    """Whether it closes the connection after each answer, without having said so."""


class Exporters:
    """A listener on all of 127.0.0.0/8; what an address serves is in `says`."""

    def __init__(self) -> None:
        self.says: dict[str, Says] = {}
        self.asked: Counter[str] = Counter()
        self.connections: Counter[str] = Counter()
        self.requests: list[bytes] = []
        self.most_at_once = 0
        self.at_once = 0
        self.tls: Any = None

    def __enter__(self) -> Exporters:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._do(self._serve())
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def address(self, host: str) -> str:
        """`host:port` of one of them."""
        return f"{host}:{self.port}"

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _serve(self) -> asyncio.Server:
        self._never = asyncio.Event()
        self._talks: set[Any] = set()
        return await asyncio.start_server(self._answer, "0.0.0.0", 0, ssl=self.tls)

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = writer.get_extra_info("sockname")[0]
        self._talks.add(asyncio.current_task())  # else one that waits for ever is swept away
        self.connections[host] += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                self.asked[host] += 1
                self.requests.append(request)
                if not await self._say(self.says[host], writer):
                    break
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self._talks.discard(asyncio.current_task())
            self.at_once -= 1
            writer.close()

    async def _say(self, says: Says, writer: asyncio.StreamWriter) -> bool:
        body = says.body.encode() if isinstance(says.body, str) else says.body
        packing = {"Content-Encoding": "gzip"} if says.is_gzipped else {}
        body = gzip.compress(body) if says.is_gzipped else body
        headers = {"Content-Type": says.content_type, "Content-Length": str(len(body))}
        lines = [f"{name}: {text}" for name, text in {**headers, **packing, **says.headers}.items()]
        if says.is_silent:
            await self._never.wait()
        writer.write("\r\n".join([f"HTTP/1.1 {says.status}", *lines, "", ""]).encode())
        if says.drips:
            for at in range(len(body)):
                writer.write(body[at : at + 1])
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.write(body if says.cut_at is None else body[: says.cut_at])
        await writer.drain()
        if says.cut_at is not None:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        return not says.closes and says.cut_at is None


# -- thousands ------------------------------------------------------------------------


def farm_texts(gpus: int, seed: int = 1) -> list[bytes]:
    """Texts of one host whose name is still to be put in, in every place `HOST_MARK`."""
    luck = random.Random(seed)
    mark = HOST_MARK.decode()
    return [
        exposition(
            Told(
                gpu_labels(
                    slot,
                    f"GPU-{mark}-5a1e-4c0d-9b7f-{slot:012d}",
                    f"node-{mark}",
                    container="main",
                    namespace=f"team-{slot % 5}",
                    pod=f"train-{mark}-{slot}",
                ),
                {name: draw(luck) for name, _, draw in METRICS} | {ENERGY: ENERGY_MARK.decode()},
            )
            for slot in range(gpus)
        ).encode()
        for _ in range(VARIANTS)
    ]


class _Host(asyncio.Protocol):
    """One connection of the farm: an answer a request, whatever it asks."""

    served = 0

    def __init__(self, texts: list[bytes]) -> None:
        self._texts = texts
        self._got = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        _, b, c, d = (int(each) for each in transport.get_extra_info("sockname")[0].split("."))
        self._name = f"{b:02x}{c:02x}{d:02x}".encode()

    def data_received(self, data: bytes) -> None:
        self._got += data
        while b"\r\n\r\n" in self._got:
            _, _, self._got = self._got.partition(b"\r\n\r\n")
            _Host.served += 1
            text = self._texts[_Host.served % VARIANTS].replace(HOST_MARK, self._name)
            text = text.replace(ENERGY_MARK, b"%013d" % (_Host.served * 1_000))
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}"
            self._transport.write(head.encode() + b"\r\n\r\n" + text)


async def _farm(gpus: int) -> None:
    texts = farm_texts(gpus)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Host(texts), "0.0.0.0", 0, backlog=1024)
    print(f"{PORT_LINE}{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def farm_address(number: int, port: int) -> str:
    """The address of the farm's host number so and so, from 0."""
    return f"127.{1 + number // 62500}.{number // 250 % 250}.{1 + number % 250}:{port}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpus", type=int, default=8)
    asyncio.run(_farm(parser.parse_args().gpus))
