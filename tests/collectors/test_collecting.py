"""Which collectors a process runs: its own everywhere, those for all only where it leads.

`process` is the one that only collects; `tests/journeys/test_shared.py` starts it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from collectors.collecting import EVERYWHERE, Collecting
from collectors.discovery import collector_classes
from collectors.market_prices import MarketMemory
from collectors.process import collect
from collectors.runner import Runner
from collectors.schedule import new_scheduler
from tests.collectors.contract import FixedClock
from tests.makers import NOON, make_offer
from warehouse.errors import Refused
from warehouse.settings import Settings
from warehouse.store import Store

NONE_ENABLED = {f"PILOTHOUSE_{name.upper()}_ENABLED": "false" for name in collector_classes()}


class Named:
    every_seconds = 1.0
    time_limit_seconds = 1.0

    def __init__(self, name: str) -> None:
        self.name = name

    def collect(self, now: datetime) -> Iterator[object]:
        yield from ()


class Leading:
    """Says what a lease would."""

    is_held = False

    def __call__(self) -> bool:
        return self.is_held


def collecting(store: Store, leads: Leading, memory: MarketMemory) -> Collecting:
    clock = FixedClock(NOON)
    return Collecting(store, clock, Runner(store, clock), leads, memory)


def test_a_host_is_read_by_each_process_and_a_market_by_the_one_that_leads(store: Store) -> None:
    leads, memory = Leading(), MarketMemory()
    ours = collecting(store, leads, memory)
    asked = [Named("nvml"), Named("prometheus"), Named("vast"), Named("kubernetes")]
    assert [ours.is_ours(source) for source in asked] == [True, True, False, False]
    leads.is_held = True
    assert all(ours.is_ours(source) for source in asked)
    leads.is_held = False
    assert not ours.is_ours(Named("vast"))
    assert set(collector_classes()) > EVERYWHERE


def test_who_takes_over_goes_on_from_what_another_has_stored(store: Store) -> None:
    leads, memory = Leading(), MarketMemory()
    ours = collecting(store, leads, memory)
    assert not ours.is_ours(Named("runpod"))
    store.append([make_offer(source="runpod", measured_at=NOON)])  # by who led until now
    leads.is_held = True
    assert ours.is_ours(Named("runpod"))
    assert memory.offers
    before = dict(memory.offers)
    store.append([make_offer(source="runpod", offer_id="offer-2", measured_at=NOON)])
    assert ours.is_ours(Named("runpod"))
    assert memory.offers == before, "only what was stored before it led comes from there"


def test_what_one_process_lacks_is_on_record_only_where_it_leads(store: Store) -> None:
    absent = "SELECT count(*) FROM collector_runs WHERE outcome = 'skipped'"
    leads = Leading()
    ours = collecting(store, leads, MarketMemory())
    assert ours.begin(new_scheduler(), NONE_ENABLED) == []
    assert store.query(absent).item() == 0
    leads.is_held = True
    ours.begin(new_scheduler(), NONE_ENABLED)
    assert store.query(absent).item() > 0


def test_a_process_that_only_collects_is_refused_on_a_warehouse_of_one_process(
    tmp_path: Path,
) -> None:
    with pytest.raises(Refused, match="name a shared catalogue by PILOTHOUSE_CATALOGUE"):
        collect(Settings(home=tmp_path), threading.Event())
