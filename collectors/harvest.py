"""What one run brought: records, frames and remarks, sorted and stamped for the store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl

from collectors.base import Note, Yielded
from warehouse.schema import INSTANT, TABLES

STAMP = "stored_at"


@dataclass(frozen=True)
class Harvest:
    """The yield of one run."""

    records: tuple[Any, ...] = ()
    frames: tuple[tuple[type, pl.DataFrame], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def row_count(self) -> int:
        """Rows in it."""
        return len(self.records) + sum(frame.height for _, frame in self.frames)

    @property
    def remarks(self) -> str | None:
        """The notes in one line; None where there are none."""
        return "; ".join(self.notes) or None

    def stored_at(self, now: datetime) -> Harvest:
        """The same, every row that keeps when it was stored saying `now`."""
        return replace(
            self,
            records=tuple(
                replace(row, stored_at=now) if hasattr(row, STAMP) else row for row in self.records
            ),
            frames=tuple((cls, _stamped(cls, frame, now)) for cls, frame in self.frames),
        )


NOTHING = Harvest()


def harvest_of(yielded: Iterable[Yielded]) -> Harvest:
    """Sort what a collector yielded.

    What is neither frame nor note is taken for a record; the store refuses it if it is none.
    """
    records: list[Any] = []
    frames: list[tuple[type, pl.DataFrame]] = []
    notes: list[str] = []
    for item in yielded:
        if isinstance(item, Note):
            notes.append(item.text)
        elif isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], pl.DataFrame):
            record_class, frame = item
            frames.append((record_class, frame))
        else:
            records.append(item)
    return Harvest(tuple(records), tuple(frames), tuple(notes))


def _stamped(record_class: type, frame: pl.DataFrame, now: datetime) -> pl.DataFrame:
    if not any(column.name == STAMP for column in TABLES[record_class].columns):
        return frame
    return frame.with_columns(pl.lit(now).cast(INSTANT).alias(STAMP))
