"""Running what may hang or break: in a thread of its own, waited for so long, then abandoned.

Python can't end a thread that hangs in a driver or a socket. So the thread is a daemon, which
the interpreter doesn't wait for at its end, and what it may still answer goes nowhere.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class TimedOut(Exception):
    """No answer within the time-box; the thread was abandoned."""


class Stopped(Exception):
    """The console stops, so the answer isn't waited for."""


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What a call returned or raised."""

    value: T | None = None
    error: BaseException | None = None

    def unwrapped(self) -> T:
        """The value; raises the error where there is one."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


def attempted(call: Callable[[], T]) -> Answer[T]:
    """What a call returns or raises, whatever that is.

    The one broad `except` of the collectors: a source may break in any way, and a native
    library's panic isn't even an `Exception`.
    """
    try:
        return Answer(value=call())
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Answer(error=error)


class TimeBox(Generic[T]):
    """One call in a daemon thread, which starts at once."""

    def __init__(self, call: Callable[[], T], thread_name: str) -> None:
        self._answers: queue.SimpleQueue[Answer[T]] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=lambda: self._answers.put(attempted(call)), name=thread_name, daemon=True
        )
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether the call hasn't come back yet."""
        return self._thread.is_alive()

    def answer(self, seconds: float) -> Answer[T]:
        """What the call returned or raised within so many seconds.

        The error is `TimedOut` if it did neither, `Stopped` if `stop` was called meanwhile.
        """
        try:
            return self._answers.get(timeout=max(seconds, 0.0))
        except queue.Empty:
            return Answer(error=TimedOut())

    def stop(self) -> None:
        """Let whoever waits in `answer` go."""
        self._answers.put(Answer(error=Stopped()))
