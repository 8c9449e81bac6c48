"""SIGTERM: what is under way ends, and what hangs is cut off."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.ending import CUT_OFF

ROOT = Path(__file__).resolve().parents[2]

SERVER = """
import asyncio, logging, sys, threading
from contextlib import asynccontextmanager
import uvicorn
from fastapi import FastAPI
from api.ending import EndingServer, end_well_on_sigterm
from api.listening import listening

how = sys.argv[1]

@asynccontextmanager
async def lifespan(app):
    yield
    if how == "hangs":
        threading.Event().wait()
    print("flushed", flush=True)

app = FastAPI(lifespan=lifespan)

@app.get("/slow")
async def slow():
    print("asked", flush=True)
    await asyncio.Event().wait()

logging.basicConfig(stream=sys.stdout)
end_well_on_sigterm()
with listening("127.0.0.1", 0) as listener:
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
    EndingServer(config, end_seconds=2.0 if how == "hangs" else 60.0).run(sockets=[listener])
"""

Process = subprocess.Popen[str]


@pytest.fixture
def started(request: pytest.FixtureRequest) -> Iterator[tuple[Process, socket.socket]]:
    """A server in a process of its own, in which a request is under way that never ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, request.param],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout
    port = int(process.stdout.readline())
    with socket.create_connection(("127.0.0.1", port)) as asking:
        asking.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert process.stdout.readline() == "asked\n"
        yield process, asking
    process.kill()
    process.stdout.close()


@pytest.mark.parametrize("started", ["ends"], indirect=True)
def test_a_request_that_never_ends_is_let_go_and_the_rest_is_flushed(
    started: tuple[Process, socket.socket],
) -> None:
    process, _ = started
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert process.stdout
    assert process.stdout.read() == "flushed\n"


@pytest.mark.parametrize("started", ["hangs"], indirect=True)
def test_what_hangs_is_cut_off_and_named(started: tuple[Process, socket.socket]) -> None:
    process, _ = started
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == CUT_OFF
    assert process.stdout
    said = process.stdout.read()
    assert re.search(r"not ended 2 s after .* Still there: .*MainThread", said)
    assert "flushed" not in said
