"""An export that is killed at a step, in a process of its own.

    python -m tests.killed_export HOME PLACE STEP

The process ends by SIGKILL, as by a power cut, and cleans nothing up. By its clock each step is
some minutes later than the one before, since a lease runs out by itself.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl

from tests.exporting import HandClock, exporter_to
from tests.makers import NOON
from warehouse import metering
from warehouse.export_kinds import FOCUS
from warehouse.export_making import LEASE_SECONDS
from warehouse.export_periods import day_of
from warehouse.export_places import FolderPlace
from warehouse.focus import Names, focus_rows
from warehouse.store import Location, Store

STEPS = ("while_writing", "before_it_appears", "before_its_row")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingPlace(FolderPlace):
    """A folder at which the process dies when it comes to a step."""

    def __init__(self, folder: Path, step: str) -> None:
        super().__init__(folder)
        self._step = step

    def publish(self, prepared: Path, path: str) -> None:
        if self._step == "before_it_appears":
            _die()
        super().publish(prepared, path)
        if self._step == "before_its_row":
            _die()


def main(home: Path, place: Path, step: str) -> None:
    def rows(hours: pl.DataFrame, names: Names) -> pl.DataFrame:
        if step == "while_writing":
            _die()
        return focus_rows(hours, names)

    store = Store(Location.embedded(home))
    later = timedelta(seconds=2 * LEASE_SECONDS * STEPS.index(step))
    exporter = exporter_to(store, place, HandClock(NOON + later))
    exporter.place = DyingPlace(place, step)
    span = metering.metered_span(store)
    assert span
    exporter.export(
        replace(FOCUS, rows=rows), day_of(span[0]), reason="scheduled", requested_by="schedule"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
