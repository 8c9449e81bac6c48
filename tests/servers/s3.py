"""An S3 server of the tests: moto's, in a virtual environment of its own (`make test` makes it)."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "PILOTHOUSE_TEST_MOTO"
KEY_ID, SECRET = "AKIAPILOTHOUSETEST", "s3cr3t-of-the-tests/+x"
START_SECONDS = 60.0


def program() -> Path:
    """Where the server is; the test is skipped where it is not."""
    found = Path(os.environ.get(PROGRAM) or ROOT / ".venv" / "servers" / "bin" / "moto_server")
    if not found.exists():
        pytest.skip(f"no S3 server at {found}: run `make test`, which makes it, or set {PROGRAM}")
    return found


class S3Server:
    """The server, with one bucket; each test gets a prefix of its own."""

    bucket = "lake"

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.endpoint = f"127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [program(), "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._drain()
        self._made = 0
        httpx.put(f"http://{self.endpoint}/{self.bucket}").raise_for_status()

    def _drain(self) -> None:
        """Wait until it says that it runs, then read on so that it never waits for us."""
        assert self._process.stderr
        for line in self._process.stderr:
            if "Running on" in line:
                break
        else:
            pytest.fail("the S3 server ended before it ran")
        reading = threading.Thread(target=self._process.stderr.read, daemon=True)
        reading.start()

    def new_data(self) -> str:
        """What PILOTHOUSE_DATA says for a prefix that nobody has used."""
        self._made += 1
        return f"s3://{self.bucket}/test-{self._made}"

    def objects(self, data: str) -> int:
        """How many Parquet files lie under such a prefix."""
        prefix = data.removeprefix(f"s3://{self.bucket}/")
        listed = httpx.get(
            f"http://{self.endpoint}/{self.bucket}", params={"list-type": 2, "prefix": prefix}
        )
        return listed.raise_for_status().text.count(".parquet</Key>")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        assert self._process.stderr
        self._process.stderr.close()
