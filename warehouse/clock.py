"""The console's instant.

Everything that is written down takes its time from one `Clock`, so that a console on a
simulated fleet runs on the fleet's clock and tests on one they turn by hand.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

STEP_BACK_TOLERANCE_SECONDS = 1.0
"""Smaller steps back are the usual slewing of NTP and are passed over."""


class Clock(Protocol):
    """What time it is for the console; never earlier than it said before."""

    def now(self) -> datetime:
        """The instant, in UTC."""
        ...


def _utc_now() -> datetime:
    return datetime.now(UTC)


class WallClock:
    """The machine's clock, held still while the machine's steps backward.

    `on_step_back` is told the seconds each time that happens.
    """

    def __init__(
        self,
        read: Callable[[], datetime] = _utc_now,
        on_step_back: Callable[[float, datetime], None] = lambda seconds, at: None,
    ) -> None:
        self._read = read
        self._on_step_back = on_step_back
        self._latest = read()
        self._is_behind = False
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The latest instant read so far, in UTC."""
        with self._lock:
            read = self._read()
            behind_seconds = (self._latest - read).total_seconds()
            if behind_seconds <= 0:
                self._latest, self._is_behind = read, False
                return read
            is_news = behind_seconds > STEP_BACK_TOLERANCE_SECONDS and not self._is_behind
            self._is_behind = self._is_behind or is_news
        if is_news:
            self._on_step_back(behind_seconds, self._latest)
        return self._latest


class FleetClock:
    """A simulated fleet's clock: real seconds times a speed that can be set, 0 to stand still.

    It runs on the monotonic clock, so that a step of the machine's clock does not move it.
    """

    def __init__(
        self,
        starts_at: datetime,
        speed: float,
        read_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read_seconds = read_seconds
        self._lock = threading.Lock()
        self._anchor_at = starts_at
        self._anchor_seconds = read_seconds()
        self._speed = speed

    @property
    def speed(self) -> float:
        """Fleet seconds per real second."""
        return self._speed

    def now(self) -> datetime:
        """The fleet's instant, in UTC."""
        with self._lock:
            return self._instant()

    def set_speed(self, speed: float) -> None:
        """Run on from this instant at another speed.

        Raises:
            ValueError: it is negative.
        """
        if speed < 0:
            raise ValueError(f"a clock's speed can't be negative, and {speed} is")
        with self._lock:
            self._anchor_at = self._instant()
            self._anchor_seconds = self._read_seconds()
            self._speed = speed

    def _instant(self) -> datetime:
        elapsed = (self._read_seconds() - self._anchor_seconds) * self._speed
        return self._anchor_at + timedelta(seconds=elapsed)
