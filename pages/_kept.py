"""Answers that are asked for many times within a moment are had once.

A page asks for the same figures from several of its parts at once, as does everybody who has it
open. What is kept is seconds old at most, and the same for whoever asks: never what a person has
just changed, nor what depends on who looks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

T = TypeVar("T")


@dataclass
class _Entry:
    good_until: float | None = None
    value: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Kept:
    """What was answered, each for as long as its asker said; errors are not kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, is_on: bool = True) -> None:
        self._clock = clock
        self._is_on = is_on
        self._entries: dict[Hashable, _Entry] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, seconds: float, make: Callable[[], T]) -> T:
        """What `make` gave within the last `seconds`; who asks while it is made waits for it."""
        if not self._is_on:
            return make()
        with self._lock:
            self._forget()
            entry = self._entries.setdefault(key, _Entry())
        with entry.lock:
            if entry.good_until is None or entry.good_until <= self._clock():
                entry.value = make()
                entry.good_until = self._clock() + seconds
            return cast(T, entry.value)

    def _forget(self) -> None:
        now = self._clock()
        old = [k for k, each in self._entries.items() if each.good_until and each.good_until <= now]
        for key in old:
            del self._entries[key]
