"""A question while it waits, runs and ends, and the limits that hold for all of them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from warehouse.analyst_answers import Answer
from warehouse.analyst_errors import QuestionError
from warehouse.analyst_pool import Answerer
from warehouse.people import Person
from warehouse.records import Role
from warehouse.settings import Settings


@dataclass(frozen=True)
class Limits:
    """What a question may take."""

    seconds: float = 30.0
    memory_megabytes: int = 1_024
    rows: int = 100_000
    at_once: int = 2
    """Questions of everybody that are answered at the same time."""
    role: Role = "viewer"
    """Who may ask."""

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """What the settings say."""
        return cls(
            settings.sql_seconds,
            settings.sql_memory_megabytes,
            settings.sql_rows,
            settings.sql_at_once,
            settings.sql_role,
        )


@dataclass
class Question:
    """One that was asked: it waits, runs, or has ended."""

    question_id: str
    sql: str
    person: Person
    address: str | None = None
    asked_seconds: float = field(default_factory=time.monotonic)
    answerer: Answerer | None = None
    begun: threading.Event = field(default_factory=threading.Event)
    is_cancelled: bool = False
    answer: Answer | None = None
    error: QuestionError | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self.asked_seconds

    @property
    def standing(self) -> str:
        """`waiting`, `running` or `ended`."""
        if self.ended.is_set():
            return "ended"
        return "running" if self.begun.is_set() else "waiting"
