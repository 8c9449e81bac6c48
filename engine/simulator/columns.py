"""Columns of one value, and of instants: made without a query, since history makes thousands."""

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import polars as pl

INSTANT = pl.Datetime("us", "UTC")


def constant(value: object, count: int, kind: pl.DataType | type[pl.DataType]) -> pl.Series:
    """`count` times the same value; an instant must be aware."""
    if isinstance(value, datetime):
        return pl.Series(np.full(count, _utc(value)), dtype=kind)
    return pl.Series([value], dtype=kind).new_from_index(0, count)


def instants(
    start: datetime, seconds: npt.NDArray[np.int64], is_known: npt.NDArray[np.bool_]
) -> pl.Series:
    """`start` plus so many seconds, in UTC; null where it is not known."""
    values = _utc(start) + seconds.astype("timedelta64[s]")
    values[~is_known] = np.datetime64("NaT")
    return pl.Series(values, dtype=INSTANT)


def _utc(instant: datetime) -> np.datetime64:
    return np.datetime64(instant.astimezone(UTC).replace(tzinfo=None), "us")
