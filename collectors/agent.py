"""The node agent: serves this host's GPUs as Prometheus text, for a console elsewhere to read.

    python app.py agent [--port 9450] [--host 127.0.0.1] [--wait-for-gpu] …

It is no collector of the console's: it runs on the GPU's host and loads neither the pages, the
engine nor the warehouse's database.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pynvml

from collectors.agent_reading import Lookout
from collectors.agent_server import AgentServer, CannotServe, Desk
from collectors.agent_settings import AgentSettings, settings_of
from collectors.base import InvalidSetting

ENDING = (signal.SIGTERM, signal.SIGINT)
NO_GPU_STATUS = 3
"""The exit status where no GPU can be read and none is waited for."""
LOOPBACK = ("127.", "::1", "localhost")


def main(
    words: Sequence[str] | None = None,
    nvml: Any = pynvml,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Serve until told to end; returns the exit status: 0, 1 (can't serve), 3 (no GPU)."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # so that no thread takes them before us
    try:
        settings = settings_of(sys.argv[1:] if words is None else words, environ)
        token = _token(settings.token_file)
        lookout = Lookout(settings, nvml, lambda: datetime.now(UTC), time.monotonic)
        server = AgentServer(settings, Desk(lookout, token))
    except (CannotServe, InvalidSetting) as error:
        return _ends(str(error), 1)
    with server:
        why_not = lookout.sight().why_not
        if why_not is not None and not settings.wait_for_gpu:
            hint = "start it with --wait-for-gpu to serve that reason and wait"
            return _ends(f"no GPU is served here: {why_not}; {hint}", NO_GPU_STATUS)
        _say(_words(settings, server.port, token, why_not))
        if remark := lookout.remark():
            _say(remark)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        signal.sigwait(ENDING)
    return 0


def _words(settings: AgentSettings, port: int, token: str | None, why_not: str | None) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    scheme = "https" if settings.tls_cert_file else "http"
    said = f"{settings.node_id} is served on {scheme}://{host}:{port}/metrics"
    if why_not is not None:
        said += f"; no GPU yet: {why_not}"
    if token is None and not settings.host.startswith(LOOPBACK):
        said += "; whoever reaches this address may read it: set --token-file, or close the network"
    return said


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotServe(f"the token's file {path} can't be read: {error}") from error
    if not token:
        raise CannotServe(f"the token's file {path} is empty: write a long random word into it")
    return token


def _ends(why: str, status: int) -> int:
    _say(why)
    return status


def _say(words: str) -> None:
    print(f"pilothouse agent: {words}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
