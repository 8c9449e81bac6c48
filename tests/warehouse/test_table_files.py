"""Tables as files: what a spreadsheet would run is made harmless, instants are UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO

import polars as pl
import pytest

from warehouse.table_files import csv_text, parquet_bytes

AT = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_csv_is_a_formula(start: str) -> None:
    text = csv_text(pl.DataFrame({"tenant": [f"{start}HYPERLINK(1)", "red"], "margin": [-1.5, 2]}))
    back = pl.read_csv(BytesIO(text.encode()))
    assert back["tenant"].to_list() == [f"'{start}HYPERLINK(1)", "red"]
    assert back["margin"].to_list() == [-1.5, 2]


def test_instants_are_written_as_utc() -> None:
    assert csv_text(pl.DataFrame({"at": [AT]})) == "at\n2026-11-02T12:00:00.000Z\n"


def test_parquet_gives_the_frame_back() -> None:
    frame = pl.DataFrame({"tenant": ["=1", None], "at": [AT, None], "hours": [0.5, None]})
    assert pl.read_parquet(BytesIO(parquet_bytes(frame))).equals(frame)
