"""Slowing down who guesses passwords."""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE_TRIES = 5
"""Tries of one name from one address before it must wait."""
FREE_TRIES_OF_ADDRESS = 30
"""Tries of one address, whatever the names."""
FIRST_WAIT_SECONDS = 2.0
LONGEST_WAIT_SECONDS = 900.0
FORGOTTEN_AFTER_SECONDS = 3600.0
KEYS_MAX = 10_000
"""Most names and addresses remembered; the oldest go first."""

Key = tuple[str, ...]


class TooManyTries(Exception):
    """Wait before the next try."""

    def __init__(self, wait_seconds: float) -> None:
        self.wait_seconds = math.ceil(wait_seconds)
        super().__init__(f"too many tries: try again in {_in_words(self.wait_seconds)}")


@dataclass
class _Tries:
    count: int
    latest_seconds: float


class Throttle:
    """Counts tries and makes each after the free ones wait twice as long as the one before.

    A try counts when it begins, so that many at once are no way round.
    """

    def __init__(self, read_seconds: Callable[[], float] = time.monotonic) -> None:
        self._read_seconds = read_seconds
        self._lock = threading.Lock()
        self._tries: OrderedDict[Key, _Tries] = OrderedDict()

    def begin(self, name: str, address: str | None) -> None:
        """Count a try.

        Raises:
            TooManyTries: there were too many; this one does not count.
        """
        keys = _keys(name, address)
        with self._lock:
            now_seconds = self._read_seconds()
            wait = max(self._wait_seconds(key, free, now_seconds) for key, free in keys)
            if wait > 0:
                raise TooManyTries(wait)
            for key, _ in keys:
                self._count(key, now_seconds)

    def succeeded(self, name: str, address: str | None) -> None:
        """The try was right: the name's count starts afresh, and the address has one less."""
        (of_name, _), (of_address, _) = _keys(name, address)
        with self._lock:
            self._tries.pop(of_name, None)
            if of_address in self._tries:
                self._tries[of_address].count -= 1

    def _wait_seconds(self, key: Key, free: int, now_seconds: float) -> float:
        tries = self._tries.get(key)
        if tries is None or now_seconds - tries.latest_seconds > FORGOTTEN_AFTER_SECONDS:
            self._tries.pop(key, None)
            return 0.0
        if tries.count < free:
            return 0.0
        doublings = min(tries.count - free, 20)
        wait = min(FIRST_WAIT_SECONDS * 2.0**doublings, LONGEST_WAIT_SECONDS)
        return tries.latest_seconds + wait - now_seconds

    def _count(self, key: Key, now_seconds: float) -> None:
        tries = self._tries.setdefault(key, _Tries(0, now_seconds))
        tries.count += 1
        tries.latest_seconds = now_seconds
        self._tries.move_to_end(key)
        while len(self._tries) > KEYS_MAX:
            self._tries.popitem(last=False)


def _keys(name: str, address: str | None) -> tuple[tuple[Key, int], tuple[Key, int]]:
    place = _network(address)
    return ((name.lower(), place), FREE_TRIES), ((place,), FREE_TRIES_OF_ADDRESS)


def _network(address: str | None) -> str:
    """The address; of IPv6 the /64, all of which one host has."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return str(address)
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network(f"{parsed}/64", strict=False))


def _in_words(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} second{'s' if seconds != 1 else ''}"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} minute{'s' if minutes != 1 else ''}"
