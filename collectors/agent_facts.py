"""What DCGM's text tells of a GPU and no row holds: bus, device file, an instance's number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from collectors.nvml_reading import NOT_AVAILABLE, Reading
from warehouse.records import GpuSample


@dataclass(frozen=True)
class GpuFacts:
    """Of a GPU or a MIG instance. What NVML doesn't tell is None."""

    bus_id: str | None = None
    """Where it sits, for example `00000000:0F:00.0`; an instance has its GPU's."""
    device: str | None = None
    """Its device file, for example `nvidia0`; an instance has its GPU's."""
    instance_id: int | None = None
    """A MIG instance's number on its GPU."""
    free_bytes: int | None = None
    """Memory that nobody uses."""
    reserved_bytes: int | None = None
    """Memory that the driver keeps for itself."""
    remapped_rows: tuple[int, int] | None = None
    """Rows remapped after correctable and after uncorrectable errors."""


@dataclass(frozen=True)
class HostFacts:
    """Of the whole host."""

    driver_version: str | None = None
    """The NVIDIA driver's."""
    gpus: dict[str, GpuFacts] = field(default_factory=dict)
    """By UUID, of GPUs and MIG instances."""


class FactReader:
    """Reads them; `nvml` is the module `pynvml`, or what answers like it."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._places: dict[str, tuple[str | None, str | None]] = {}
        """By a GPU's UUID its bus and device file, which stay while the host is up"""

    def facts(self, reading: Reading) -> HostFacts:
        """The facts on whatever a pass has found."""
        found = {sample.gpu_id: self._of(sample) for sample in reading.samples}
        return HostFacts(self._ask(self._nvml.nvmlSystemGetDriverVersion), found)

    def _of(self, sample: GpuSample) -> GpuFacts:
        nvml = self._nvml
        handle = self._ask(nvml.nvmlDeviceGetHandleByUUID, sample.gpu_id)
        if handle is None:
            return GpuFacts()
        memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle, nvml.nvmlMemory_v2)
        free, reserved = (None, None) if memory is None else (memory.free, memory.reserved)
        is_instance = sample.parent_gpu_id is not None
        bus_id, device = self._place(sample.parent_gpu_id or sample.gpu_id)
        rows = None if is_instance else self._ask(nvml.nvmlDeviceGetRemappedRows, handle)
        return GpuFacts(
            bus_id=bus_id,
            device=device,
            instance_id=self._ask(nvml.nvmlDeviceGetGpuInstanceId, handle) if is_instance else None,
            free_bytes=None if free in NOT_AVAILABLE else free,
            reserved_bytes=None if reserved in NOT_AVAILABLE else reserved,
            remapped_rows=None if rows is None else (rows[0], rows[1]),
        )

    def _place(self, gpu_id: str) -> tuple[str | None, str | None]:
        if gpu_id not in self._places:
            handle = self._ask(self._nvml.nvmlDeviceGetHandleByUUID, gpu_id)
            bus = self._ask(self._nvml.nvmlDeviceGetPciInfo_v3, handle)
            minor = self._ask(self._nvml.nvmlDeviceGetMinorNumber, handle)
            place = (
                None if bus is None else _text(bus.busId),
                None if minor is None else f"nvidia{minor}",
            )
            if None in place:
                return place  # asked again
            self._places[gpu_id] = place
        return self._places[gpu_id]

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """NVML's answer, None for an error: the pass before has told the driver's troubles."""
        try:
            return function(*arguments)
        except self._nvml.NVMLError:
            return None


def _text(given: str | bytes) -> str:
    return given.decode() if isinstance(given, bytes) else given
