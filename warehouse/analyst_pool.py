"""The console's side of the processes that answer: started ahead, asked once, ended in time."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from warehouse.analyst_brief import ANSWER_BYTES_MOST, IDLE_SECONDS, Brief, Reply
from warehouse.analyst_errors import Broken, Cancelled, TooSlow

START_SECONDS = 30.0
"""How long a process may take until it can be asked."""
LINE_BYTES_MOST = 2**20
_ROOT = Path(__file__).resolve().parents[1]
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from warehouse import analyst_process; analyst_process.main()"
)
_SPARE_BYTES = 2**20
"""What Arrow adds to the rows that were counted."""


class Answerer:
    """A process that answers one question."""

    def __init__(self, extensions: Sequence[str], variables: Sequence[str] = ()) -> None:
        """It starts at once; `ask` waits until it is ready.

        Its environment has `variables` alone: no setting and no secret of the console is in it.
        `-I` keeps the folder it stands in and the user's packages out of what it imports.
        """
        passed = {name: os.environ[name] for name in variables if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _PROGRAM, str(_ROOT), *extensions],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=passed | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
            cwd="/",
            close_fds=True,
        )
        self._started_seconds = time.monotonic()
        self._kept = b""
        self._is_cancelled = threading.Event()

    @property
    def is_usable(self) -> bool:
        """Whether it runs, and will not end of itself in the next minute."""
        is_young = time.monotonic() - self._started_seconds < IDLE_SECONDS - 60.0
        return is_young and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, brief: Brief) -> Reply:
        """Ask it, once, and end it.

        Raises:
            TooSlow: it was ended, as it took longer than the brief's seconds.
            Cancelled: `cancel` ended it.
            Broken: it ended by itself, or said what can't be.
        """
        try:
            self._line(time.monotonic() + START_SECONDS)
            self._send(brief.line())
            deadline = time.monotonic() + brief.seconds
            told: dict[str, Any] = json.loads(self._line(deadline))
            told.pop("has_landlock", None)
            size = int(told.pop("size"))
            if not 0 <= size <= ANSWER_BYTES_MOST + _SPARE_BYTES:
                raise Broken("The process that answers said what can't be.")
            return Reply(**told, rows=self._exactly(size, deadline))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise self._ended() from error
        finally:
            self.end()

    def cancel(self) -> None:
        """End it, from any thread; `ask` then raises Cancelled."""
        self._is_cancelled.set()
        self._process.kill()

    def end(self) -> None:
        """Kill it and take its exit."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue  # what it had not read goes with it

    # -- how -----------------------------------------------------------------------

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def _line(self, deadline: float) -> bytes:
        while b"\n" not in self._kept:
            if len(self._kept) > LINE_BYTES_MOST:
                raise Broken("The process that answers said what can't be.")
            self._read(deadline)
        line, _, self._kept = self._kept.partition(b"\n")
        return line

    def _exactly(self, size: int, deadline: float) -> bytes:
        pieces = [self._kept]
        have = len(self._kept)
        while have < size:
            self._kept = b""
            self._read(deadline)
            pieces.append(self._kept)
            have += len(self._kept)
        return b"".join(pieces)[:size]

    def _read(self, deadline: float) -> None:
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        left = deadline - time.monotonic()
        looking = select.poll()
        looking.register(handle, select.POLLIN | select.POLLHUP)
        if left <= 0 or not looking.poll(left * 1000):
            raise TooSlow("It took longer than a question may.")
        read = os.read(handle, 2**20)
        if not read:
            raise self._ended()
        self._kept += read

    def _ended(self) -> Exception:
        if self._is_cancelled.is_set():
            return Cancelled("The question was taken back.")
        status = self._process.wait()
        by = f"by signal {-status}" if status < 0 else f"with status {status}"
        return Broken(
            f"The process that answered it ended {by}, most likely for want of memory. "
            "Nothing else was touched."
        )


class Pool:
    """Keeps one process ready, so that nobody waits for one to start."""

    def __init__(self, extensions: Sequence[str], variables: Sequence[str] = ()) -> None:
        self._extensions, self._variables = tuple(extensions), tuple(variables)
        self._lock = threading.Lock()
        self._spare: Answerer | None = None
        self._is_closed = False

    def warm(self) -> None:
        """Have one ready, if none is."""
        with self._lock:
            if self._is_closed or (self._spare is not None and self._spare.is_usable):
                return
            if self._spare is not None:
                self._spare.end()
            self._spare = Answerer(self._extensions, self._variables)

    def take(self) -> Answerer:
        """One that nobody asked yet."""
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None and spare.is_usable:
            return spare
        if spare is not None:
            spare.end()
        return Answerer(self._extensions, self._variables)

    def close(self) -> None:
        """End the one that waits, for good."""
        with self._lock:
            self._is_closed = True
            if self._spare is not None:
                self._spare.end()
                self._spare = None
