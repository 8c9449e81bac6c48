"""A round's numbers as columns of `gpu_samples`: DCGM's units to ours, nonsense to NULL."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import polars as pl

from collectors import dcgm_fields as dcgm
from collectors.dcgm_fields import COLUMN, FIELDS, RAW, reasons_in_words
from collectors.prometheus_layout import Floats, Reading
from warehouse.records import GpuSample
from warehouse.schema import Column, columns_of

SLACK_RATIO = 0.01
"""A ratio that is above 1 by no more than this is 1: DCGM's profiling rounds so."""
MOST = 2.0**62
"""A count above this is none, and no column could hold it."""
XID_MOST = 9999
FLAGS = {
    "row_remap_is_pending": dcgm.REMAP_PENDING,
    "row_remap_has_failed": dcgm.REMAP_FAILURE,
}
COLUMNS: dict[str, Column] = {column.name: column for column in columns_of(GpuSample)}


def matrix_of(readings: list[Reading]) -> Floats:
    """A row a GPU, in the order of the readings, and a column a metric; NaN where there is none."""
    height = sum(len(reading.layout.gpus) for reading in readings)
    matrix = np.full((height, len(RAW)), np.nan)
    start = 0
    for reading in readings:
        layout = reading.layout
        matrix[start + layout.rows, layout.columns] = reading.values[: len(layout.rows)]
        start += len(layout.gpus)
    for low, high in dcgm.BLANKS:
        matrix[(matrix >= low) & (matrix < high)] = np.nan
    matrix[np.isinf(matrix)] = np.nan
    return matrix


class Numbers:
    """The columns of measurements, and what was no measurement."""

    def __init__(self, matrix: Floats) -> None:
        self._matrix = matrix
        self.oddities: Counter[str] = Counter()
        """Metrics out of their bounds, and how often; they are NULL"""

    def columns(self) -> dict[str, pl.Series]:
        """Every column of `gpu_samples` that is a measurement."""
        ours: dict[str, Floats] = {}
        for field in FIELDS:
            told = self._raw(field.name) * field.scale
            before = ours.get(field.column)
            ours[field.column] = (
                told if before is None else np.where(np.isnan(before), told, before)
            )
        ours["memory_total_bytes"] = self._memory_total()
        ours["process_count"] = self._raw(dcgm.PROCESS_COUNT)
        ours["rows_remapped_count"] = self.rows_remapped()
        series = {name: self._series(name, values) for name, values in ours.items()}
        for name, metric in FLAGS.items():
            series[name] = pl.Series(name, self._raw(metric)).fill_nan(None).cast(pl.Boolean())
        series["throttle_reasons"] = self._reasons()
        return series

    def rows_remapped(self) -> Floats:
        """Rows remapped for either cause; NaN where neither is told."""
        both = (dcgm.REMAPPED_CORRECTABLE, dcgm.REMAPPED_UNCORRECTABLE)
        return _sum([self._raw(name) for name in both])

    def ecc_uncorrected(self) -> Floats:
        """Double-bit errors since the driver was loaded, or where that is not told, in all."""
        volatile = self._raw("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL")
        return np.where(np.isnan(volatile), self._raw(dcgm.ECC_DBE_AGGREGATE), volatile)

    def xids(self) -> Floats:
        """The number of the newest XID, 0 where there was none."""
        told = self._raw(dcgm.XID_ERRORS)
        return np.where((told >= 0) & (told <= XID_MOST), told, np.nan)

    def raw(self, name: str) -> Floats:
        """A metric as DCGM told it, NaN where it did not."""
        return self._raw(name)

    # -- how -----------------------------------------------------------------------

    def _raw(self, name: str) -> Floats:
        column: Floats = self._matrix[:, COLUMN[name]]
        return column

    def _memory_total(self) -> Floats:
        used, free = self._raw(dcgm.FB_USED), self._raw(dcgm.FB_FREE)
        reserved = np.nan_to_num(self._raw(dcgm.FB_RESERVED))
        told = self._raw(dcgm.FB_TOTAL)
        return np.where(np.isnan(told), used + free + reserved, told) * dcgm.MEBIBYTE

    def _series(self, name: str, values: Floats) -> pl.Series:
        column = COLUMNS[name]
        low = column.bounds.low if column.bounds else None
        high = column.bounds.high if column.bounds else None
        if high is None and column.dtype == pl.Int64():
            high = MOST
        if high == 1.0:
            values = np.where((values > 1.0) & (values <= 1.0 + SLACK_RATIO), 1.0, values)
        odd = np.zeros(len(values), dtype=np.bool_)
        odd |= values < (-np.inf if low is None else low)
        odd |= values > (np.inf if high is None else high)
        if count := int(odd.sum()):
            self.oddities[f"values of {name} that can't be"] += count
            values = np.where(odd, np.nan, values)
        if column.dtype == pl.Int64():
            values = np.rint(values)
        return pl.Series(name, values).fill_nan(None).cast(column.dtype)

    def _reasons(self) -> pl.Series:
        newer, older = (self._raw(name) for name in dcgm.THROTTLE_REASONS)
        bits = np.where(np.isnan(newer), older, newer)
        bits = np.where((bits < 0) | (bits >= 2**53), np.nan, bits)
        masks, places = np.unique(bits, return_inverse=True, equal_nan=True)
        words = [None if np.isnan(mask) else _words(int(mask)) for mask in masks]
        return pl.Series("throttle_reasons", words, dtype=pl.String()).gather(places)


@cache
def _words(bits: int) -> str:
    return reasons_in_words(bits)


def _sum(columns: list[Floats]) -> Floats:
    stacked = np.stack(columns)
    total: Floats = np.nansum(stacked, axis=0)
    total[np.isnan(stacked).all(axis=0)] = np.nan
    return total
