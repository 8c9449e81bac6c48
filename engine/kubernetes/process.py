"""The operator's own command: started without a shell, looked at later, and outliving the console.

A small supervisor runs it and writes down how it ended; while it lives it holds a lock on a file,
so that a console that was started again knows whether it still runs. Where both are gone the
command is run again: it must be safe to repeat.

This file is also that supervisor: `python process.py FOLDER SECONDS COMMAND…`.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ENDED_FILE = "ended.json"
LOCK_FILE = "lock"
LONGEST_OUTPUT = 2000
"""Characters kept of what it says."""


_started: list[subprocess.Popen[bytes]] = []
"""Supervisors that this console started: somebody has to take note of their end."""


def start(folder: Path, words: Sequence[str], seconds: float) -> None:
    """Start a command under its supervisor, unless it runs already."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if (folder / ENDED_FILE).exists():
            return
        supervisor = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(folder), str(seconds), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(lock.fileno(),),  # the lock is held until the supervisor is gone
        )
    _started.append(supervisor)


def ended(folder: Path) -> dict[str, Any] | None:
    """How it ended, `returncode` (None where it took too long) and `output`; None before."""
    _started[:] = [each for each in _started if each.poll() is None]
    try:
        found: dict[str, Any] = json.loads((folder / ENDED_FILE).read_text())
    except (OSError, ValueError):
        return None
    return found


def supervise(folder: Path, seconds: float, words: Sequence[str]) -> None:
    """Run it to its end, and write that down."""
    ending = _run(words, seconds)
    fresh = folder / f"{ENDED_FILE}.new"
    fresh.write_text(json.dumps(ending))
    fresh.rename(folder / ENDED_FILE)


def _run(words: Sequence[str], seconds: float) -> dict[str, Any]:
    try:
        done = subprocess.run(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"returncode": None, "output": f"stopped after {seconds:.0f} s"}
    except OSError as error:
        return {"returncode": 127, "output": str(error)}
    text = done.stdout.decode(errors="replace")
    return {"returncode": done.returncode, "output": text[-LONGEST_OUTPUT:]}


if __name__ == "__main__":
    supervise(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
