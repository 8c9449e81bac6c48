"""The market for tests: every interface as documented, and every way in which it may misbehave.

One `Market` answers for all sources; it is reached through `transport` within the process, or
over a real socket on loopback (`serving`). What it is told to say first, it says once.
"""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
FORBIDDING_ROBOTS = b"User-agent: *\nDisallow: /\n"


@dataclass(frozen=True)
class Reply:
    """An answer as it goes over the wire."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs_up: bool = False
    """The connection is cut in the middle of the body."""


@dataclass(frozen=True)
class Visit:
    """What was asked."""

    method: str
    path: str
    """With its query."""
    headers: Mapping[str, str]
    """Names in small letters."""
    body: bytes


def said(payload: Any, status: int = 200, **headers: str) -> Reply:
    """A reply of JSON; `Retry_After` is the header `Retry-After`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(json.dumps(payload).encode(), status, {"Content-Type": "application/json"} | named)


class Market:
    """All sources at once. `replies` are what a path says as a rule, `next` what it says once."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = dict(good_replies())
        self.visits: list[Visit] = []
        self._next: dict[str, deque[Reply]] = defaultdict(deque)
        self._lock = threading.Lock()

    def next(self, path: str, *replies: Reply) -> Market:
        """Say these first, in turn, to whoever asks for a path."""
        self._next[path].extend(replies)
        return self

    def always(self, path: str, reply: Reply) -> Market:
        """Say this from now on."""
        self.replies[path] = reply
        return self

    def asked(self, path: str) -> list[Visit]:
        """The visits to a path."""
        return [visit for visit in self.visits if visit.path.split("?")[0] == path]

    def reply(self, visit: Visit) -> Reply:
        path = visit.path.split("?")[0]
        with self._lock:
            self.visits.append(visit)
            if self._next[path]:
                return self._next[path].popleft()
        if path == VAST and not self.replies[VAST].body:
            return said({"offers": self._searched(visit)})
        return self.replies.get(path, Reply(b"not found", 404))

    vast_offers: list[dict[str, Any]]

    def _searched(self, visit: Visit) -> list[dict[str, Any]]:
        """Vast.ai filters by name and cuts off at the limit."""
        asked = json.loads(visit.body)
        named = [o for o in self.vast_offers if o["gpu_name"] == asked["gpu_name"]["eq"]]
        return named[: asked["limit"]]

    @property
    def transport(self) -> httpx.MockTransport:
        """The way to it without a socket."""

        def handle(request: httpx.Request) -> httpx.Response:
            reply = self.reply(
                Visit(
                    request.method,
                    request.url.raw_path.decode(),
                    {name.lower(): value for name, value in request.headers.items()},
                    request.content,
                )
            )
            if reply.hangs_up:
                raise httpx.RemoteProtocolError("peer closed connection", request=request)
            return httpx.Response(reply.status, content=reply.body, headers=dict(reply.headers))

        return httpx.MockTransport(handle)


@contextmanager
def serving(market: Market) -> Iterator[str]:
    """The market on loopback; the address it is at."""

    class Wire(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = market.reply(Visit(self.command, self.path, headers, body))
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if reply.hangs_up else reply.body)

        do_GET = do_POST = answer

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Wire) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Turns:
    """Seconds and pauses turned by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def seconds(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


# -- RunPod -----------------------------------------------------------------------------

GRAPHQL = "/graphql"
CATALOGUE = "/v2/catalog/gpus"
LAMBDA = "/api/v1/instance-types"
VAST = "/api/v0/bundles/"


def make_gpu_type(**changes: Any) -> dict[str, Any]:
    return {
        "id": "NVIDIA H100 80GB HBM3",
        "displayName": "H100 SXM",
        "memoryInGb": 80,
        "secureCloud": True,
        "communityCloud": True,
        "securePrice": 2.99,
        "communityPrice": 2.69,
        "secureSpotPrice": 1.75,
        "communitySpotPrice": 1.5,
        "oneMonthPrice": 2.6,
        "threeMonthPrice": 2.5,
        "sixMonthPrice": 2.4,
        "maxGpuCount": 8,
        "lowestPrice": {
            "minimumBidPrice": 1.5,
            "uninterruptablePrice": 2.69,
            "stockStatus": "High",
            "minVcpu": 16,
            "minMemory": 125,
        },
    } | changes


def gpu_types(*types: dict[str, Any]) -> Reply:
    return said({"data": {"gpuTypes": list(types)}})


def make_catalogue_gpu(**changes: Any) -> dict[str, Any]:
    return {
        "id": "NVIDIA H100 80GB HBM3",
        "name": "H100 SXM",
        "memory": 80,
        "manufacturer": "NVIDIA",
        "secure": True,
        "community": True,
        "availability": "HIGH",
        "price": {"secure": 2.99, "community": 2.69, "serverless": 4.18},
        "maxCount": {"secure": 8, "community": 4},
    } | changes


# -- Lambda -----------------------------------------------------------------------------


def make_instance_type(name: str = "gpu_8x_h100_sxm5", **changes: Any) -> dict[str, Any]:
    """One entry of `data`; `regions` are the names of those that have it."""
    regions = changes.pop("regions", ("us-east-1",))
    specs = {"vcpus": 208, "memory_gib": 1800, "storage_gib": 22528, "gpus": 8}
    kind = {
        "name": name,
        "description": "8x H100 (80 GB SXM5)",
        "gpu_description": "H100 (80 GB SXM5)",
        "price_cents_per_hour": 2392,
        "specs": specs | changes.pop("specs", {}),
    } | changes
    return {
        "instance_type": {key: value for key, value in kind.items() if value is not ...},
        "regions_with_capacity_available": [
            {"name": region, "description": region.title()} for region in regions
        ],
    }


def instance_types(*entries: dict[str, Any]) -> Reply:
    return said({"data": {entry["instance_type"]["name"]: entry for entry in entries}})


# -- Vast.ai ----------------------------------------------------------------------------


def make_vast_offer(**changes: Any) -> dict[str, Any]:
    return {
        "id": 4711,
        "gpu_name": "H100 SXM",
        "num_gpus": 8,
        "gpu_ram": 81559,
        "dph_total": 16.8,
        "dph_base": 16.0,
        "min_bid": 8.0,
        "storage_cost": 0.15,
        "inet_up_cost": 0.02,
        "inet_down_cost": 0.01,
        "inet_up": 5000.0,
        "inet_down": 8000.0,
        "reliability2": 0.998,
        "dlperf": 1650.0,
        "dlperf_per_dphtotal": 98.2,
        "geolocation": "Ashburn, US",
        "verification": "verified",
        "hosting_type": 1,
        "bw_nvlink": 400.0,
        "cpu_cores": 192,
        "cpu_cores_effective": 96.0,
        "cpu_ram": 1_000_000,
        "disk_space": 3000.0,
        "duration": 1e6,
    } | changes


Market.vast_offers = [make_vast_offer()]


# -- the hyperscalers' catalogues -------------------------------------------------------

COLUMNS = (
    "instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot,disk_size,"
    "gpu_vendor,flags,cpu_arch,provider_data"
)
VERSION = "20261102"


def make_instance(**changes: Any) -> str:
    """One line of a catalogue."""
    values: dict[str, Any] = {
        "instance_name": "p5.48xlarge",
        "location": "us-east-1",
        "price": "55.04",
        "cpu": "192",
        "memory": "2048.0",
        "gpu_count": "8",
        "gpu_name": "H100",
        "gpu_memory": "80.0",
        "spot": "False",
        "disk_size": "",
        "gpu_vendor": "nvidia",
        "flags": "[]",
        "cpu_arch": "x86",
        "provider_data": "{}",
    } | changes
    return ",".join(f'"{value}"' for value in values.values())


def zipped(name: str, *lines: str, header: str = COLUMNS) -> Reply:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, "\n".join([header, *lines]) + "\n")
    return Reply(packed.getvalue(), headers={"Content-Type": "application/zip"})


def version_path(provider: str) -> str:
    return f"/v3/{provider}/version"


def zip_path(provider: str, version: str = VERSION) -> str:
    return f"/v3/{provider}/{version}/catalog.zip"


# -- pricing pages ----------------------------------------------------------------------

RUNPOD_PAGE = "/runpod/pricing"
LAMBDA_PAGE = "/lambda/pricing"
VAST_PAGE = "/vast/pricing"
ROBOTS = "/robots.txt"


def page(html: str, status: int = 200) -> Reply:
    return Reply(html.encode(), status, {"Content-Type": "text/html; charset=utf-8"})


def runpod_row(name: str, secure: str, community: str) -> str:
    return (
        f'<a class="row"><div class="row__model-wrapper"><div>{name}</div></div>'
        f'<div class="price" data-secure-cloud-price="{secure}" '
        f'data-community-cloud-price="{community}">0</div></a>'
    )


def lambda_tab(count: int, name: str, price: str, number: int = 0) -> str:
    return (
        f'<button id="tab-{number}" role="tab">{count}x</button>'
        f'<div role="tabpanel" aria-labelledby="tab-{number}"><table class="_x1"><tbody><tr>'
        f'<th data-label="GPU">{name}</th><td data-label="VRAM/GPU">80 GB</td>'
        f'<td data-label="vCPUs">26</td><td data-label="RAM">225 GiB</td>'
        f'<td data-label="PRICE/GPU/HR*">{price}</td></tr></tbody></table></div>'
    )


def vast_rows(*rows: tuple[str, str]) -> str:
    cells = "".join(
        f"<tr><td>{name}</td><td>{price}</td><td>-</td><td>-</td><td>-</td></tr>"
        for name, price in rows
    )
    head = "<tr><th>GPU</th><th>Vast</th><th>Lambda</th><th>FluidStack</th><th>CoreWeave</th></tr>"
    return f"<html><body><table>{head}{cells}</table></body></html>"


def good_replies() -> Iterator[tuple[str, Reply]]:
    """What each path says as a rule."""
    yield GRAPHQL, gpu_types(make_gpu_type())
    yield CATALOGUE, said({"gpus": [make_catalogue_gpu()]})
    yield LAMBDA, instance_types(make_instance_type())
    yield VAST, Reply()  # searched
    yield version_path("aws"), Reply(f"{VERSION}\n".encode())
    yield zip_path("aws"), zipped("aws.csv", make_instance())
    yield ROBOTS, Reply(b"User-agent: *\nDisallow: /private\n")
    yield RUNPOD_PAGE, page(f"<html><body>{runpod_row('H100 SXM', '2.99', '2.69')}</body></html>")
    yield (
        LAMBDA_PAGE,
        page(f"<html><body>{lambda_tab(8, 'NVIDIA H100 SXM', '$2.99')}</body></html>"),
    )
    yield VAST_PAGE, page(vast_rows(("H100 SXM", "$2.10")))
