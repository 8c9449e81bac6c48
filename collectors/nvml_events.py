"""What the driver reports at an instant: XID errors, uncorrected memory errors, a GPU that is gone.

NVML keeps such events in a set that is registered once and emptied at each pass, without
waiting. Counters and flags that moved since the pass before are told as events too, since a
driver that has no event for them still counts.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from collectors.nvml_reading import Host, Reading
from warehouse.records import GpuEvent, GpuSample

Kind = Literal["xid", "ecc_uncorrected", "row_remap", "gpu_lost"]

MOST_EVENTS = 1000
"""Taken from the set at one pass: a GPU in a storm of errors must not hold the pass up."""
LOST_AGAIN_AFTER = timedelta(hours=1)
"""A GPU that stays away is told again this often, so that nobody takes it for returned."""
NO_INSTANCE = 2**32 - 1
"""What an event's `gpuInstanceId` says where it concerns the whole GPU."""


class DriverEvents:
    """Watches this host's GPUs for events; `nvml` is the module `pynvml`, or what answers so."""

    def __init__(self, nvml: Any, host: Host) -> None:
        self._nvml = nvml
        self._host = host
        self._set: Any = None
        self._drained: list[tuple[Kind, str | None, str | None, int | None]] = []
        """Kind, GPU, words and code of what was taken from the set and not told yet"""
        self._watched: dict[int, tuple[str, int]] = {}
        """By a handle's address, the GPU's UUID and index: a lost GPU no longer tells them."""
        self._counted: dict[str, GpuSample] = {}
        """The sample before, of each GPU that was ever read"""
        self._lost_at: dict[str, datetime] = {}
        """When each GPU that is gone was last told to be"""
        self._remark: str | None = None
        self._is_remarked = False

    def register(self) -> None:
        """Ask the driver for the events of every GPU that it can still reach; once a start."""
        if self._set is not None:
            return
        try:
            self._set = self._nvml.nvmlEventSetCreate()
        except self._nvml.NVMLError as error:
            self._say(f"XID errors are not reported here: {error}")
            return
        deaf = []
        for index in range(self._nvml.nvmlDeviceGetCount()):
            try:
                self._register(index)
            except self._nvml.NVMLError as error:
                deaf.append(f"GPU {index} ({error})")
        if deaf:
            self._say(f"no XID errors are reported of {', '.join(deaf)}")

    def forget(self) -> None:
        """Let go of the set, with what is left in it; the next start of NVML registers anew."""
        self._drain()
        if self._set is not None:
            with contextlib.suppress(self._nvml.NVMLError):  # the driver may be down already
                self._nvml.nvmlEventSetFree(self._set)
        self._set, self._watched = None, {}

    def happened(self, reading: Reading, now: datetime) -> list[GpuEvent]:
        """What came since the pass before, and what the counters of this pass add to it."""
        if not self._drain():
            self.forget()  # the next pass registers again
        told, self._drained = self._drained, []
        drained = [self._event(kind, gpu, now, words, code) for kind, gpu, words, code in told]
        moved = list(self._moved(reading.samples, drained, now))
        return [*drained, *moved, *self._lost(reading, now)]

    def remark(self) -> str | None:
        """Why some events are not to be had; said once."""
        if self._is_remarked:
            return None
        self._is_remarked = self._remark is not None
        return self._remark

    @property
    def heard(self) -> frozenset[str]:
        """The UUIDs of the GPUs that are registered for events."""
        return frozenset(gpu_id for gpu_id, _ in self._watched.values())

    # -- the driver's own events ---------------------------------------------------

    def _register(self, index: int) -> None:
        nvml = self._nvml
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        wanted = nvml.nvmlEventTypeXidCriticalError | nvml.nvmlEventTypeDoubleBitEccError
        supported = nvml.nvmlDeviceGetSupportedEventTypes(handle)
        if not supported & nvml.nvmlEventTypeXidCriticalError:
            raise nvml.NVMLError(nvml.NVML_ERROR_NOT_SUPPORTED)
        nvml.nvmlDeviceRegisterEvents(handle, wanted & supported, self._set)
        self._watched[_address(handle)] = (nvml.nvmlDeviceGetUUID(handle), index)

    def _drain(self) -> bool:
        """Take what is in the set, without waiting; False where the set is of no use any more."""
        for _ in range(MOST_EVENTS if self._set is not None else 0):
            try:
                event = self._nvml.nvmlEventSetWait_v2(self._set, 0)
            except self._nvml.NVMLError as error:
                return bool(error.value == self._nvml.NVML_ERROR_TIMEOUT)  # none is left
            self._drained.append(self._read(event))
        return True

    def _read(self, event: Any) -> tuple[Kind, str | None, str | None, int | None]:
        gpu_id, index = self._watched.get(_address(event.device), (None, None))
        where = [] if index is None else [f"GPU {index}"]
        if event.gpuInstanceId != NO_INSTANCE:
            where.append(f"MIG instance {event.gpuInstanceId}")
        if event.eventType == self._nvml.nvmlEventTypeXidCriticalError:
            return "xid", gpu_id, ", ".join(where) or None, int(event.eventData)
        return "ecc_uncorrected", gpu_id, ", ".join([*where, "double-bit error"]), None

    # -- counters and flags --------------------------------------------------------

    def _moved(
        self, samples: Sequence[GpuSample], drained: Sequence[GpuEvent], now: datetime
    ) -> Iterator[GpuEvent]:
        told = {each.gpu_id for each in drained if each.kind == "ecc_uncorrected"}
        for sample in samples:
            if sample.parent_gpu_id is not None:  # the GPU counts for its instances
                continue
            before = self._counted.get(sample.gpu_id)
            self._counted[sample.gpu_id] = sample
            if before is None:
                continue
            more = _more(before.ecc_uncorrected_count, sample.ecc_uncorrected_count)
            if more and sample.gpu_id not in told:
                detail = f"GPU {sample.slot}, {more} more since {before.measured_at:%H:%M:%S} UTC"
                yield self._event("ecc_uncorrected", sample.gpu_id, now, detail)
            if words := _remapped(before, sample):
                yield self._event(
                    "row_remap", sample.gpu_id, now, f"GPU {sample.slot}, {', '.join(words)}"
                )

    # -- GPUs that are gone --------------------------------------------------------

    def _lost(self, reading: Reading, now: datetime) -> Iterator[GpuEvent]:
        """GPUs that were read before and are not there, and those that say they are lost."""
        here = {sample.gpu_id for sample in reading.samples}
        for gpu_id in here & self._lost_at.keys():
            del self._lost_at[gpu_id]
            self.forget()  # it is back, and was registered by nobody
        seen = {sample.slot: gpu_id for gpu_id, sample in self._counted.items()}
        gone = {gpu_id: f"GPU {self._counted[gpu_id].slot}" for gpu_id in self._counted}
        for index, error in reading.broken.items():
            known = seen.get(index)
            if error.value == self._nvml.NVML_ERROR_GPU_IS_LOST:
                gone[known or f"index {index}"] = f"GPU {index}, {error}"
            elif known is not None:  # it answers, if only with an error
                gone.pop(known, None)
        for name, detail in gone.items():
            if name in here or not self._is_news(name, now):
                continue
            self._lost_at[name] = now
            yield self._event("gpu_lost", name if name in self._counted else None, now, detail)

    def _is_news(self, name: str, now: datetime) -> bool:
        told_at = self._lost_at.get(name)
        return told_at is None or now - told_at >= LOST_AGAIN_AFTER

    # -- rows ----------------------------------------------------------------------

    def _event(
        self,
        kind: Kind,
        gpu_id: str | None,
        now: datetime,
        words: str | None,
        code: int | None = None,
    ) -> GpuEvent:
        return GpuEvent(
            node_id=self._host.node_id,
            gpu_id=gpu_id,
            pool=self._host.pool,
            kind=kind,
            code=code,
            detail=words,
            source=self._host.source,
            happened_at=now,
        )

    def _say(self, remark: str) -> None:
        if self._remark is None:
            self._remark = (
                f"{remark}; memory errors, row remaps and lost GPUs are read nevertheless"
            )


def _more(before: int | None, after: int | None) -> int:
    """How far a counter went up; one that fell was started again with the driver."""
    if before is None or after is None:
        return 0
    return after - before if after >= before else after


def _remapped(before: GpuSample, after: GpuSample) -> list[str]:
    words = []
    if rows := _more(before.rows_remapped_count, after.rows_remapped_count):
        words.append(f"{rows} more rows remapped" if rows > 1 else "1 more row remapped")
    if after.row_remap_is_pending and not before.row_remap_is_pending:
        words.append("a remapping waits for a reset of the GPU")
    if after.row_remap_has_failed and not before.row_remap_has_failed:
        words.append("a row could not be remapped")
    return words


def _address(handle: Any) -> int:
    """What a handle points to: the library makes a new object of it for every event."""
    try:
        return ctypes.cast(handle, ctypes.c_void_p).value or 0
    except ctypes.ArgumentError:
        return id(handle)
