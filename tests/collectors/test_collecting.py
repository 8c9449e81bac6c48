"""Which collectors a process runs: its own everywhere, those for all only where it leads; `process`
is the one that only collects."""

from __future__ import annotations

from datetime import datetime

import pytest

from collectors.collecting import EVERYWHERE, Collecting
from collectors.discovery import collector_classes
from collectors.kubernetes import KubernetesCollector
from collectors.process import collect, main
from collectors.runner import Runner
from tests.makers import NOON, make_cluster_job
from tests.warehouse.test_clock import HandClock
from warehouse.errors import Refused
from warehouse.settings import Settings
from warehouse.store import Store


class Named:
    every_seconds = 1.0
    time_limit_seconds = 1.0

    def __init__(self, name: str) -> None:
        self.name = name

    def collect(self, now: datetime) -> list[object]:
        return []
