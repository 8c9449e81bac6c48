"""A node agent that serves on loopback, for tests: hardware as described, a clock they turn."""

from __future__ import annotations

import http.client
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from collectors.agent_reading import Lookout
from collectors.agent_server import AgentServer, Desk
from collectors.agent_settings import AgentSettings
from tests.collectors.fake_nvml import FakeGpu, FakeNvml
from tests.makers import NOON


@dataclass
class Agent:
    """An agent that serves, and the hands to turn its clock and ask it."""

    nvml: FakeNvml
    lookout: Lookout
    server: AgentServer
    clock: list[float] = field(default_factory=lambda: [100.0])

    def later(self, seconds: float) -> None:
        self.clock[0] += seconds

    def ask(self, path: str = "/metrics", **headers: str) -> tuple[int, dict[str, str], bytes]:
        wire = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        try:
            wire.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            answer = wire.getresponse()
            return answer.status, dict(answer.headers), answer.read()
        finally:
            wire.close()

    def series(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """By name, each series' labels and value."""
        text = self.ask()[2].decode()
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name  # to a counter of DCGM's this parser adds what it misses
                name = name.removesuffix("_total") if name.startswith("DCGM") else name
                found.setdefault(name, []).append((sample.labels, sample.value))
        return found

    def value(self, name: str) -> float:
        ((_, value),) = self.series()[name]
        return value


@contextmanager
def agent(*gpus: FakeGpu, token: str | None = None, nvml: FakeNvml | None = None, **settings):
    given = AgentSettings(**{"node_id": "node-1", "port": 0, "time_limit_seconds": 5.0, **settings})
    hardware = nvml or FakeNvml(*gpus)
    clock = [100.0]
    now = lambda: NOON + timedelta(seconds=clock[0] - 100)  # noqa: E731
    lookout = Lookout(given, hardware, now, lambda: clock[0])
    with AgentServer(given, Desk(lookout, token)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Agent(hardware, lookout, server, clock)
        finally:
            server.shutdown()
            thread.join()
