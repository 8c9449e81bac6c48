"""Which collectors a process runs: its own everywhere, those for all only where it leads; `process`
is the one that only collects."""

from __future__ import annotations

from datetime import datetime


class Named:
    every_seconds = 1.0
    time_limit_seconds = 1.0

    def __init__(self, name: str) -> None:
        self.name = name

    def collect(self, now: datetime) -> list[object]:
        return []
