"""What changed from one round to the next: XIDs, memory errors, remapped rows, GPUs gone or moved.

A target that failed changes nothing: its GPUs are neither gone nor reset, they are not heard of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from collectors import dcgm_fields as dcgm
from collectors.prometheus_layout import Floats, Gpu, Layout
from collectors.prometheus_rows import SOURCE, Heard, Place, Rows
from warehouse.records import GpuEvent

LOST_AFTER_ROUNDS = 3
"""A GPU that its exporter leaves out so many times in a row, telling others, is lost."""
SPARE = 10_000
"""So many GPUs that are told no more are remembered before they are forgotten."""
XID, ECC, REMAPPED, PENDING, FAILED, ENERGY = range(6)
"""The columns that are watched."""


@dataclass
class _Missing:
    """A GPU that its exporter left out."""

    gpu: Gpu
    place: Place
    url: str
    rounds: int = 0


class Watch:
    """Compares each round with what was told before."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {}
        self._told: Floats = np.empty((0, 6))
        self._told_at: datetime | None = None
        self._layouts: dict[str, Layout] = {}
        self._places: dict[str, Place] = {}
        self._missing: dict[str, _Missing] = {}
        self._xids: dict[tuple[str, int], float] = {}
        self._has_begun = False
        self.remarks: list[str] = []
        """What is worth a word and is no event, of the newest round"""

    def happened(self, rows: Rows, heard: Sequence[Heard], now: datetime) -> list[GpuEvent]:
        """The events since the round before."""
        self.remarks = []
        before, after = self._compared(rows)
        events = [
            *self._xid_totals(rows, heard, now),
            *self._moved(rows, before, after, now),
        ]
        self._note_changes(rows, heard)
        events += self._lost(rows, heard, now)
        self._told_at, self._has_begun = now, True
        if len(self._index) > 2 * len(rows.gpus) + SPARE:  # instances that were made and unmade
            self.forget(set(self._layouts))
        return _once(events)

    def forget(self, urls: set[str]) -> None:
        """Let go of targets that are asked no more."""
        for url in self._layouts.keys() - urls:
            del self._layouts[url]
        self._missing = {key: each for key, each in self._missing.items() if each.url in urls}
        here = {gpu.gpu_id for layout in self._layouts.values() for gpu in layout.gpus}
        self._places = {key: place for key, place in self._places.items() if key in here}
        self._xids = {key: count for key, count in self._xids.items() if key[0] in here}
        kept = [key for key in self._index if key in here]
        self._told = self._told[[self._index[key] for key in kept]]
        self._index = {key: at for at, key in enumerate(kept)}

    # -- numbers -------------------------------------------------------------------

    def _compared(self, rows: Rows) -> tuple[Floats, Floats]:
        """The watched numbers of each GPU before and now; NaN before for one that is new."""
        after = _watched(rows)
        for gpu in rows.gpus:
            if gpu.gpu_id not in self._index:
                self._index[gpu.gpu_id] = len(self._index)
        new = len(self._index) - len(self._told)
        self._told = np.vstack([self._told, np.full((new, 6), np.nan)])
        at = np.array([self._index[gpu.gpu_id] for gpu in rows.gpus], dtype=np.intp)
        before: Floats = self._told[at]
        self._told[at] = np.where(np.isnan(after), before, after)
        return before, after

    def _moved(
        self, rows: Rows, before: Floats, after: Floats, now: datetime
    ) -> Iterator[GpuEvent]:
        with np.errstate(invalid="ignore"):
            is_other = (after != before) & ~np.isnan(after) & ~np.isnan(before)
        for at in np.flatnonzero(is_other[:, :ENERGY].any(axis=1)):
            gpu, place, was, now_is = rows.gpus[at], rows.places[at], before[at], after[at]
            if is_other[at, XID] and now_is[XID] > 0:
                yield _event(gpu, place, "xid", now, None, int(now_is[XID]))
            if more := _more(was[ECC], now_is[ECC]):
                words = f"{more} more since {self._told_at or now:%H:%M:%S} UTC"
                yield _event(gpu, place, "ecc_uncorrected", now, words)
            if words := ", ".join(_remapped(was, now_is)):
                yield _event(gpu, place, "row_remap", now, words)
        self._remark_begun(before, after)

    def _remark_begun(self, before: Floats, after: Floats) -> None:
        begun = int((after[:, ENERGY] < before[:, ENERGY]).sum())
        if begun:
            self.remarks.append(f"the counters of {_gpus(begun)} began anew: a driver was loaded")
        known = int((np.isnan(before[:, XID]) & (after[:, XID] > 0)).sum())
        if known and not self._has_begun:
            self.remarks.append(
                f"{_gpus(known)} showed an XID at the first look, which may be an old one: "
                "it is no event"
            )

    def _xid_totals(self, rows: Rows, heard: Sequence[Heard], now: datetime) -> Iterator[GpuEvent]:
        """XIDs by the counters that newer exporters have; they tell one that comes again, too."""
        places = None
        for one in heard:
            layout = one.reading.layout
            for row, code, at in layout.xid_lines:
                gpu, count = layout.gpus[row], float(one.reading.values[at])
                is_new_target = one.target.url not in self._layouts
                before = self._xids.get((gpu.gpu_id, code), count if is_new_target else 0.0)
                self._xids[gpu.gpu_id, code] = count
                if more := _more(before, count):
                    places = places or _places(rows)
                    place = places.get(gpu.gpu_id) or Place(one.target.host, None)
                    words = f"{more} times" if more > 1 else None
                    yield _event(gpu, place, "xid", now, words, code)

    # -- GPUs ----------------------------------------------------------------------

    def _note_changes(self, rows: Rows, heard: Sequence[Heard]) -> None:
        """Which GPUs came in another's place, moved, or are told no more."""
        changed = [
            one for one in heard if self._layouts.get(one.target.url) is not one.reading.layout
        ]
        if not changed:
            return
        places = _places(rows)
        for one in changed:
            url, layout = one.target.url, one.reading.layout
            before = self._layouts.get(url)
            self._layouts[url] = layout
            if before is not None:
                self._note_slots(before, layout, places)
                self._miss(before, layout, url)
        self._places |= places

    def _note_slots(self, before: Layout, after: Layout, places: dict[str, Place]) -> None:
        was = {gpu.slot: gpu.gpu_id for gpu in before.gpus if not gpu.is_instance}
        slots = {gpu_id: slot for slot, gpu_id in was.items()}
        for gpu in after.gpus:
            if gpu.is_instance or was.get(gpu.slot, gpu.gpu_id) == gpu.gpu_id:
                continue
            place = places.get(gpu.gpu_id)
            where = f"slot {gpu.slot} of {place.node_id if place else 'its node'}"
            moved = slots.get(gpu.gpu_id)
            from_where = f" (from slot {moved})" if moved is not None else ""
            self.remarks.append(f"{where} has another GPU: {gpu.gpu_id}{from_where}")

    def _miss(self, before: Layout, after: Layout, url: str) -> None:
        """GPUs that are told no more. An exporter that tells of replicas leaves out those that
        nobody holds, so there it means nothing; an instance is made and unmade at will."""
        if any(holder.replica for holder in (*before.holders, *after.holders)):
            return
        there = [after.gpus[row] for row in after.there]
        here, taken = {gpu.gpu_id for gpu in there}, {gpu.slot for gpu in there}
        for gpu in before.gpus:
            place = self._places.get(gpu.gpu_id)
            is_gone = gpu.gpu_id not in here and gpu.slot not in taken
            if is_gone and not gpu.is_instance and place is not None:
                self._missing.setdefault(gpu.gpu_id, _Missing(gpu, place, url))

    def _lost(self, rows: Rows, heard: Sequence[Heard], now: datetime) -> Iterator[GpuEvent]:
        if not self._missing:
            return
        told = zip(rows.gpus, rows.are_there, strict=True)
        here = {gpu.gpu_id for gpu, is_there in told if is_there}
        answered = {one.target.url for one in heard if one.reading.layout.gpus}
        for gpu_id, missing in list(self._missing.items()):
            if gpu_id in here:
                del self._missing[gpu_id]
                continue
            missing.rounds += missing.url in answered
            if missing.rounds >= LOST_AFTER_ROUNDS:
                del self._missing[gpu_id]
                words = "its exporter tells it no more"
                yield _event(missing.gpu, missing.place, "gpu_lost", now, words)


def _watched(rows: Rows) -> Floats:
    numbers = rows.numbers
    return np.column_stack(
        [
            numbers.xids(),
            numbers.ecc_uncorrected(),
            numbers.rows_remapped(),
            numbers.raw(dcgm.REMAP_PENDING),
            numbers.raw(dcgm.REMAP_FAILURE),
            numbers.raw("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"),
        ]
    )


def _places(rows: Rows) -> dict[str, Place]:
    return {gpu.gpu_id: place for gpu, place in zip(rows.gpus, rows.places, strict=True)}


def _more(before: float, after: float) -> int:
    """How far a counter went up; one that fell was started again with the driver."""
    if np.isnan(before) or np.isnan(after):
        return 0
    return int(after - before if after >= before else after)


def _remapped(before: Floats, after: Floats) -> list[str]:
    words = []
    if rows := _more(before[REMAPPED], after[REMAPPED]):
        words.append(f"{rows} more rows remapped" if rows > 1 else "1 more row remapped")
    if after[PENDING] == 1 and before[PENDING] == 0:
        words.append("a remapping waits for a reset of the GPU")
    if after[FAILED] == 1 and before[FAILED] == 0:
        words.append("a row could not be remapped")
    return words


def _event(
    gpu: Gpu, place: Place, kind: str, now: datetime, words: str | None, code: int | None = None
) -> GpuEvent:
    return GpuEvent(
        node_id=place.node_id,
        gpu_id=gpu.gpu_id,
        pool=place.pool,
        kind=kind,  # type: ignore[arg-type]
        code=code,
        detail=", ".join(filter(None, (f"GPU {gpu.slot}", words))),
        source=SOURCE,
        happened_at=now,
    )


def _once(events: Iterable[GpuEvent]) -> list[GpuEvent]:
    """An XID that both the counter and the newest number tell is one."""
    seen: Counter[tuple[str | None, str, int | None]] = Counter()
    kept = []
    for event in events:
        key = (event.gpu_id, event.kind, event.code)
        seen[key] += 1
        if seen[key] == 1:
            kept.append(event)
    return kept


def _gpus(count: int) -> str:
    return f"{count} GPUs" if count > 1 else "1 GPU"
