"""Answers of questions, kept a while as Parquet: looked at a page at a time, sorted, saved."""

from __future__ import annotations

import contextlib
import io
import threading
import time
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import polars as pl

from warehouse.analyst_errors import NoSuchAnswer
from warehouse.paging import Page
from warehouse.schema import INSTANT

KEPT_SECONDS = 1_800.0
KEPT_MOST = 60
"""Answers of everybody that are kept at once; the oldest goes first."""
KEPT_OF_ONE = 8
"""Of one person."""


@dataclass(frozen=True)
class Answer:
    """What came of a question."""

    answer_id: str
    sql: str
    asked_by: str
    file: Path
    """Its rows, as Parquet."""
    schema: dict[str, pl.DataType]
    """Its columns in their order."""
    row_count: int
    cut: str
    """`rows` or `bytes` where a limit cut it off there; empty where it is whole."""
    took_seconds: float
    """In the process that answered."""
    waited_seconds: float
    """From being asked to being told, what it waited for others included."""
    data_at: datetime
    """The instant that its data is as of, by the machine's clock."""


class Answers:
    """The answers that are kept, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, Answer]] = {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in folder.glob("answer-*.parquet"):  # by a console that was killed
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > KEPT_SECONDS:
                    left.unlink()

    def keep(self, frame: pl.DataFrame, answer: Answer) -> Answer:
        """Write its rows down and let go of what is old; returns it with its file."""
        self._drop_old(answer.asked_by)
        file = self._folder / f"answer-{uuid.uuid4().hex}.parquet"
        frame.write_parquet(file, compression="zstd", compression_level=1)
        file.chmod(0o600)
        kept = replace(answer, file=file)
        with self._lock:
            self._kept[kept.answer_id] = (time.monotonic(), kept)
        return kept

    def of(self, answer_id: str, asked_by: str) -> Answer:
        """An answer, for whoever asked.

        Raises:
            NoSuchAnswer: it is not kept, or somebody else asked.
        """
        with self._lock:
            found = self._kept.get(answer_id)
        if found is None or found[1].asked_by != asked_by:
            raise NoSuchAnswer("This answer is not kept any more: run the question again.")
        return found[1]

    def page(
        self, answer: Answer, *, offset: int, limit: int, sort_by: str = "", is_down: bool = False
    ) -> Page:
        """Some of its rows, in the question's own order or sorted by one column."""
        rows = self._scan(answer)
        if sort_by in answer.schema:
            rows = rows.sort(sort_by, descending=is_down, nulls_last=True, maintain_order=True)
        return Page(rows.slice(offset, limit).collect(), answer.row_count)

    def rows(self, answer: Answer) -> pl.DataFrame:
        """All of its rows."""
        return self._scan(answer).collect()

    def close(self) -> None:
        """Take all of them away."""
        with self._lock:
            for _, answer in self._kept.values():
                answer.file.unlink(missing_ok=True)
            self._kept.clear()

    def _scan(self, answer: Answer) -> pl.LazyFrame:
        if not answer.file.exists():
            raise NoSuchAnswer("This answer is not kept any more: run the question again.")
        return pl.scan_parquet(answer.file)

    def _drop_old(self, asked_by: str) -> None:
        now = time.monotonic()
        with self._lock:
            mine = [key for key, (_, each) in self._kept.items() if each.asked_by == asked_by]
            gone = {key for key, (at, _) in self._kept.items() if now - at > KEPT_SECONDS}
            gone |= set(mine[: max(0, len(mine) + 1 - KEPT_OF_ONE)])
            gone |= set(list(self._kept)[: max(0, len(self._kept) + 1 - KEPT_MOST)])
            for key in gone:
                self._kept.pop(key)[1].file.unlink(missing_ok=True)


def frame_of(stream: bytes) -> pl.DataFrame:
    """Rows as they came from the process, in the few types that the console shows.

    Whole numbers too large for 64 bits, and decimals, come as floats; instants are UTC.
    """
    frame = pl.read_ipc_stream(io.BytesIO(stream))
    return frame.select(_plain(frame[name]) for name in frame.columns)


def _plain(values: pl.Series) -> pl.Series:
    kind = values.dtype
    if isinstance(kind, pl.Decimal):
        whole = values.cast(pl.Int64, strict=False) if kind.scale == 0 else None
        if whole is not None and whole.null_count() == values.null_count():
            return whole
        return values.cast(pl.Float64)
    if isinstance(kind, pl.Datetime) and kind.time_zone:
        return values.dt.convert_time_zone("UTC").cast(INSTANT)
    if kind in (pl.UInt64, pl.Int128):
        return values.cast(pl.Float64)
    if isinstance(kind, (pl.Categorical, pl.Enum, pl.Null, pl.Binary)):
        return values.cast(pl.String, strict=False)
    return values
