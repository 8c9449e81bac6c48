"""Reading GPUs and MIG instances through NVML's functions, whatever object offers them.

What a GPU doesn't support is None, field by field; an error of the driver is raised.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import ceil
from typing import Any

from warehouse.records import GpuProcess, GpuSample

NOT_AVAILABLE = (2**32 - 1, 2**64 - 1)
"""What NVML writes into a number that it doesn't know."""

REASON_WORDS = (
    "GpuIdle",
    "ApplicationsClocksSetting",
    "SwPowerCap",
    "HwSlowdown",
    "SyncBoost",
    "SwThermalSlowdown",
    "HwThermalSlowdown",
    "HwPowerBrakeSlowdown",
    "DisplayClockSetting",
    "BoardLimit",
    "Reliability",
)
"""Why clocks are held down. NVML calls them `nvmlClocksEventReason…`, formerly
`nvmlClocksThrottleReason…`; the last two have the former name only."""

REASON_PREFIXES = ("nvmlClocksEventReason", "nvmlClocksThrottleReason")

MIG_PROFILE = re.compile(r"\bMIG (\d\S*)")
"""In an instance's name, `NVIDIA H100 80GB HBM3 MIG 1g.10gb`."""


@dataclass(frozen=True)
class Host:
    """Where the GPUs are, and on whose behalf they are read."""

    node_id: str
    pool: str | None
    source: str


@dataclass
class Reading:
    """What one pass over the host found."""

    samples: list[GpuSample] = field(default_factory=list)
    processes: list[GpuProcess] = field(default_factory=list)
    broken: dict[int, Any] = field(default_factory=dict)
    """By index, the error of each GPU that couldn't be read."""


class Reader:
    """Reads this host's GPUs; `nvml` is the module `pynvml`, or what answers like it."""

    def __init__(self, nvml: Any, host: Host) -> None:
        self._nvml = nvml
        self._host = host
        self._unknown = (
            nvml.NVML_ERROR_NOT_SUPPORTED,
            nvml.NVML_ERROR_NO_PERMISSION,
            nvml.NVML_ERROR_NOT_FOUND,
            nvml.NVML_ERROR_FUNCTION_NOT_FOUND,
            nvml.NVML_ERROR_INVALID_ARGUMENT,
            nvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
            nvml.NVML_ERROR_NO_DATA,
            nvml.NVML_ERROR_NOT_READY,
            nvml.NVML_ERROR_DEPRECATED,
            nvml.NVML_ERROR_CORRUPTED_INFOROM,
        )

    def reading(self, now: datetime) -> Reading:
        """Every GPU and MIG instance; one that fails doesn't hide the others.

        Raises:
            NVMLError: the driver doesn't even say how many there are.
        """
        found = Reading()
        for index in range(self._nvml.nvmlDeviceGetCount()):
            try:
                samples, processes = self._gpu(index, now)
            except self._nvml.NVMLError as error:
                found.broken[index] = error
            else:
                found.samples += samples
                found.processes += processes
        return found

    # -- GPUs ----------------------------------------------------------------------

    def _gpu(self, index: int, now: datetime) -> tuple[list[GpuSample], list[GpuProcess]]:
        nvml = self._nvml
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        gpu_id = nvml.nvmlDeviceGetUUID(handle)
        gpu_model = self._ask(nvml.nvmlDeviceGetName, handle)
        memory_used_bytes, memory_total_bytes = self._memory_bytes(handle)
        running = self._running(handle)
        rows_remapped_count, is_pending, has_failed = self._row_remaps(handle)
        utilisation_ratio, memory_copy_ratio = self._utilisation_ratios(handle)
        sample = GpuSample(
            gpu_id=gpu_id,
            node_id=self._host.node_id,
            pool=self._host.pool,
            slot=index,
            gpu_model=gpu_model,
            utilisation_ratio=utilisation_ratio,
            memory_copy_ratio=memory_copy_ratio,
            memory_used_bytes=memory_used_bytes,
            memory_total_bytes=memory_total_bytes,
            power_watts=self._number(1e-3, nvml.nvmlDeviceGetPowerUsage, handle),
            power_limit_watts=self._number(1e-3, nvml.nvmlDeviceGetEnforcedPowerLimit, handle),
            energy_joules=self._number(1e-3, nvml.nvmlDeviceGetTotalEnergyConsumption, handle),
            temperature_celsius=self._temperature_celsius(handle),
            memory_temperature_celsius=self._memory_temperature_celsius(handle),
            sm_clock_hertz=self._clock_hertz(handle, nvml.NVML_CLOCK_SM),
            memory_clock_hertz=self._clock_hertz(handle, nvml.NVML_CLOCK_MEM),
            ecc_corrected_count=self._ecc(handle, nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
            ecc_uncorrected_count=self._ecc(handle, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
            rows_remapped_count=rows_remapped_count,
            row_remap_is_pending=is_pending,
            row_remap_has_failed=has_failed,
            throttle_reasons=self._throttle_reasons(handle),
            process_count=None if running is None else len(running),
            source=self._host.source,
            measured_at=now,
            stored_at=now,  # the runner stamps it
        )
        instances = list(self._instances(handle, sample, now))
        if not instances:
            return [sample], self._processes(gpu_id, running, now)
        # A GPU cut into instances answers for the processes of all of them; each is one
        # instance's, and is told there.
        return (
            [replace(sample, sharing="mig"), *(instance for instance, _ in instances)],
            [process for _, processes in instances for process in processes],
        )

    def _utilisation_ratios(self, handle: Any) -> tuple[float | None, float | None]:
        """Of the engines, and of the device memory's reads and writes."""
        rates = self._ask(self._nvml.nvmlDeviceGetUtilizationRates, handle)
        return (None, None) if rates is None else (_ratio(rates.gpu), _ratio(rates.memory))

    def _memory_bytes(self, handle: Any) -> tuple[int | None, int | None]:
        """Used and total. The second version leaves out what the driver keeps for itself."""
        ask, version_2 = self._nvml.nvmlDeviceGetMemoryInfo, self._nvml.nvmlMemory_v2
        memory = self._ask(ask, handle, version_2) or self._ask(ask, handle)
        return (None, None) if memory is None else (_known(memory.used), _known(memory.total))

    def _temperature_celsius(self, handle: Any) -> float | None:
        sensor = self._nvml.NVML_TEMPERATURE_GPU
        celsius = self._number(1.0, self._nvml.nvmlDeviceGetTemperatureV, handle, sensor)
        if celsius is None:  # a driver before 570 knows the older function only
            celsius = self._number(1.0, self._nvml.nvmlDeviceGetTemperature, handle, sensor)
        return celsius

    def _memory_temperature_celsius(self, handle: Any) -> float | None:
        """Of GPUs with memory on the package alone; the field carries an error of its own."""
        fields = [self._nvml.NVML_FI_DEV_MEMORY_TEMP]
        values = self._ask(self._nvml.nvmlDeviceGetFieldValues, handle, fields)
        if not values or values[0].nvmlReturn != self._nvml.NVML_SUCCESS:
            return None
        celsius = _known(values[0].value.uiVal)
        return None if not celsius else float(celsius)  # 0 stands for a sensor that is off

    def _clock_hertz(self, handle: Any, clock: int) -> int | None:
        megahertz = self._number(1.0, self._nvml.nvmlDeviceGetClockInfo, handle, clock)
        return None if megahertz is None else int(megahertz * 1_000_000)

    def _ecc(self, handle: Any, kind: int) -> int | None:
        ask = self._nvml.nvmlDeviceGetTotalEccErrors
        return _known(self._ask(ask, handle, kind, self._nvml.NVML_VOLATILE_ECC))

    def _row_remaps(self, handle: Any) -> tuple[int | None, bool | None, bool | None]:
        """Rows remapped for either cause, whether one waits for a reset, whether one failed.

        GPUs before Ampere retire pages instead and say that they don't support the question.
        """
        rows = self._ask(self._nvml.nvmlDeviceGetRemappedRows, handle)
        if rows is None:
            return None, None, None
        corrected, uncorrected, is_pending, has_failed = rows
        return corrected + uncorrected, bool(is_pending), bool(has_failed)

    def _throttle_reasons(self, handle: Any) -> str | None:
        bits = self._ask(self._nvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
        if bits is None:  # a driver before 535 knows the older function only
            bits = self._ask(self._nvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
        return None if bits is None else ",".join(reason_words(self._nvml, bits))

    # -- processes -----------------------------------------------------------------

    def _running(self, handle: Any) -> list[Any] | None:
        # By version: the function without one turns "not found" into an error of another kind.
        running: list[Any] | None = self._ask(
            self._nvml.nvmlDeviceGetComputeRunningProcesses_v3, handle
        )
        if running is None:
            running = self._ask(self._nvml.nvmlDeviceGetComputeRunningProcesses_v2, handle)
        return running

    def _processes(self, gpu_id: str, running: list[Any] | None, now: datetime) -> list[GpuProcess]:
        return [
            GpuProcess(
                gpu_id=gpu_id,
                pid=process.pid,
                process_name=self._process_name(process.pid),
                memory_used_bytes=_known(process.usedGpuMemory),
                source=self._host.source,
                measured_at=now,
            )
            for process in running or ()
        ]

    def _process_name(self, pid: int) -> str | None:
        try:
            return self._ask(self._nvml.nvmlSystemGetProcessName, pid) or None
        except UnicodeDecodeError:  # a command line needn't be text
            return None

    # -- MIG -----------------------------------------------------------------------

    def _instances(
        self, parent: Any, sample: GpuSample, now: datetime
    ) -> Iterator[tuple[GpuSample, list[GpuProcess]]]:
        nvml = self._nvml
        mode = self._ask(nvml.nvmlDeviceGetMigMode, parent)
        if mode is None or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
            return
        for index in range(self._ask(nvml.nvmlDeviceGetMaxMigDeviceCount, parent) or 0):
            handle = self._ask(nvml.nvmlDeviceGetMigDeviceHandleByIndex, parent, index)
            if handle is not None:
                yield self._instance(handle, sample, now)

    def _instance(
        self, handle: Any, parent: GpuSample, now: datetime
    ) -> tuple[GpuSample, list[GpuProcess]]:
        """An instance has memory and processes of its own; NVML tells no utilisation of it."""
        gpu_id = self._nvml.nvmlDeviceGetUUID(handle)
        memory_used_bytes, memory_total_bytes = self._memory_bytes(handle)
        running = self._running(handle)
        sample = GpuSample(
            gpu_id=gpu_id,
            node_id=parent.node_id,
            pool=parent.pool,
            slot=parent.slot,
            gpu_model=parent.gpu_model,
            parent_gpu_id=parent.gpu_id,
            mig_profile=self._mig_profile(handle, parent.memory_total_bytes),
            sharing="mig",
            memory_used_bytes=memory_used_bytes,
            memory_total_bytes=memory_total_bytes,
            process_count=None if running is None else len(running),
            source=parent.source,
            measured_at=now,
            stored_at=now,  # the runner stamps it
        )
        return sample, self._processes(gpu_id, running, now)

    def _mig_profile(self, handle: Any, parent_total_bytes: int | None) -> str | None:
        name = self._ask(self._nvml.nvmlDeviceGetName, handle)
        if name and (match := MIG_PROFILE.search(name)):
            return match.group(1)
        attributes = self._ask(self._nvml.nvmlDeviceGetAttributes_v2, handle)
        if attributes is None or not parent_total_bytes:
            return None
        return _profile_of(attributes, parent_total_bytes)

    # -- asking --------------------------------------------------------------------

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """NVML's answer; None where this GPU, driver or user has none to this question.

        Raises:
            NVMLError: the driver is in trouble.
        """
        try:
            return function(*arguments)
        except self._nvml.NVMLError as error:
            if error.value in self._unknown:
                return None
            raise

    def _number(self, scale: float, function: Callable[..., Any], *arguments: Any) -> float | None:
        number = _known(self._ask(function, *arguments))
        return None if number is None else number * scale


def reason_words(nvml: Any, bits: int) -> list[str]:
    """NVML's words for a mask of clock event reasons; an unknown bit as its number."""
    words = []
    for word in REASON_WORDS:
        names = (prefix + word for prefix in REASON_PREFIXES)
        bit = next((getattr(nvml, name) for name in names if hasattr(nvml, name)), 0)
        if bits & bit:
            words.append(word)
            bits &= ~bit
    return [*words, f"{bits:#x}"] if bits else words


def _known(number: int | None) -> int | None:
    return None if number in NOT_AVAILABLE else number


def _ratio(percent: int) -> float | None:
    return percent / 100.0 if 0 <= percent <= 100 else None


def _profile_of(attributes: Any, parent_total_bytes: int) -> str:
    """A profile's name from its slices, as NVIDIA's own tools make it.

    Memory counts in eighths of the GPU's (github.com/NVIDIA/go-nvlib, `mig_profile.go`).
    """
    eighths = ceil(attributes.memorySizeMB * 2**20 / parent_total_bytes * 8)
    gigabytes = round(eighths / 8 * ceil(parent_total_bytes / 2**30))
    graphics, compute = attributes.gpuInstanceSliceCount, attributes.computeInstanceSliceCount
    slices = f"{graphics}g" if graphics == compute else f"{compute}c.{graphics}g"
    return f"{slices}.{gigabytes}gb"
