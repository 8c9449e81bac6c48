"""Serving until SIGTERM or Ctrl-C, and an end that comes within ten seconds whatever hangs.

What is under way gets time to end: requests, then the schedule's step in hand, leases, what was
counted. A source that never answers, or a chore that takes minutes, must not keep a pod from going:
what is cut off then was in a transaction, is not stored, and comes again after the next start.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from types import FrameType

import uvicorn

REQUESTS_SECONDS = 3
"""How long requests that are under way may take once it is to end."""
END_SECONDS = 9.0
"""How long all of it may take; Kubernetes gives 30 s, and people look again after ten."""
CUT_OFF = 75
"""Exit status where something had to be cut off: EX_TEMPFAIL of sysexits.h."""

log = logging.getLogger("pilothouse")


class EndingServer(uvicorn.Server):
    """A server that is gone `end_seconds` after the first signal to end."""

    def __init__(self, config: uvicorn.Config, end_seconds: float = END_SECONDS) -> None:
        super().__init__(config)
        self._end_seconds = end_seconds
        self._is_ending = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end, and see to it that it does."""
        if not self._is_ending:
            self._is_ending = True
            timer = threading.Timer(self._end_seconds, _cut_off, (self._end_seconds,))
            timer.daemon = True
            timer.start()
        super().handle_exit(sig, frame)


def end_well_on_sigterm() -> None:
    """Let SIGTERM be an end like any other, with status 0: it is how a console is stopped.

    uvicorn raises the signal anew once it has ended, and Python would then die by it.
    """
    signal.signal(signal.SIGTERM, _end)


def _end(sig: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _cut_off(end_seconds: float) -> None:
    busy = sorted(
        thread.name for thread in threading.enumerate() if thread is not threading.current_thread()
    )
    log.error(
        "not ended %.0f s after it was asked to, so it is cut off; nothing that was stored is "
        "lost. Still there: %s",
        end_seconds,
        ", ".join(busy),
    )
    logging.shutdown()
    sys.stdout.flush()
    os._exit(CUT_OFF)
