"""Hardware for tests: an object that answers like `pynvml` on a host one describes.

Its constants and errors are the real module's; its functions take what the real ones take
(`test_nvml.py` compares the two) and answer from the GPUs it was given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml

GIB = 2**30


@dataclass
class FakeProcess:
    pid: int
    usedGpuMemory: int | None = GIB
    name: str = "python"


@dataclass
class FakeInstance:
    """A MIG instance."""

    uuid: str
    name: str = "NVIDIA H100 80GB HBM3 MIG 1g.10gb"
    memory: tuple[int, int] = (2 * GIB, 10 * GIB)
    processes: list[FakeProcess] = field(default_factory=list)
    slices: tuple[int, int, int] = (1, 1, 9856)
    instance_id: int = 7


@dataclass
class FakeEventSet:
    """What was registered, by the GPU's UUID, and the events that wait to be drained."""

    registered: dict[str, int] = field(default_factory=dict)
    events: list[Any] = field(default_factory=list)


@dataclass
class FakeGpu:
    """A GPU; `errors` gives, by function, the NVML error it answers instead."""

    uuid: str = "GPU-0"
    name: str = "NVIDIA H100 80GB HBM3"
    utilisation: int = 73
    memory: tuple[int, int] = (20 * GIB, 80 * GIB)
    power_milliwatts: int = 412_345
    power_limit_milliwatts: int = 700_000
    energy_millijoules: int = 123_456_789
    temperature: int = 61
    memory_temperature: int | None = 71
    minor_number: int = 0
    bus_id: str = "00000000:0F:00.0"
    clocks: dict[int, int] = field(
        default_factory=lambda: {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 2619}
    )
    reasons: int = 0
    ecc: tuple[int, int] = (3, 1)
    remapped: tuple[int, int, int, int] = (1, 2, 0, 0)
    event_types: int = pynvml.nvmlEventTypeXidCriticalError | pynvml.nvmlEventTypeDoubleBitEccError
    processes: list[FakeProcess] = field(default_factory=list)
    instances: list[FakeInstance] | None = None
    errors: dict[str, int] = field(default_factory=dict)


class FakeNvml:
    """Answers like the module `pynvml`."""

    NVMLError = pynvml.NVMLError

    def __init__(self, *gpus: FakeGpu) -> None:
        self.gpus = list(gpus)
        self.errors: dict[str, int] = {}
        """By function, the error it answers for every GPU; `nvmlInit` among them."""
        self.missing: set[str] = set()
        """Functions that this driver doesn't have."""
        self.users = 0
        self.init_count = 0
        self.on_init: Callable[[int], None] = lambda count: None
        """Called at each start with its number; a test may mend or break something there."""
        self.sets: list[FakeEventSet] = []
        """Every event set that is not freed."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("NVML_", "nvmlClocks", "nvmlMemory_", "nvmlEventType")):
            return getattr(pynvml, name)
        raise AttributeError(name)

    # -- the library ---------------------------------------------------------------

    def nvmlInit(self):
        self.init_count += 1
        self.on_init(self.init_count)
        if error := self.errors.get("nvmlInit"):
            raise pynvml.NVMLError(error)
        self.users += 1

    def nvmlShutdown(self):
        self._check("nvmlShutdown")
        self.users -= 1

    def nvmlDeviceGetCount(self):
        self._check("nvmlDeviceGetCount")
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index):
        gpu = self.gpus[index]
        self._check("nvmlDeviceGetHandleByIndex", gpu)
        return gpu

    def nvmlDeviceGetHandleByUUID(self, uuid):
        instances = [i for gpu in self.gpus for i in gpu.instances or ()]
        for each in [*self.gpus, *instances]:
            if each.uuid == uuid:
                return self._of("nvmlDeviceGetHandleByUUID", each)
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlSystemGetDriverVersion(self):
        self._check("nvmlSystemGetDriverVersion")
        return "570.86.15"

    def nvmlSystemGetProcessName(self, pid):
        self._check("nvmlSystemGetProcessName")
        everyone = [p for gpu in self.gpus for p in gpu.processes]
        everyone += [p for gpu in self.gpus for i in gpu.instances or () for p in i.processes]
        for process in everyone:
            if process.pid == pid:
                return process.name
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    # -- events --------------------------------------------------------------------

    def happens(self, gpu: FakeGpu, type: int, data: int = 0, instance: int = 2**32 - 1) -> None:
        """An event, for every set in which this GPU is registered for its type."""
        for each in self.sets:
            if each.registered.get(gpu.uuid, 0) & type:
                event = SimpleNamespace(device=gpu, eventType=type, eventData=data)
                event.gpuInstanceId = instance
                each.events.append(event)

    def nvmlEventSetCreate(self):
        self._check("nvmlEventSetCreate")
        self.sets.append(FakeEventSet())
        return self.sets[-1]

    def nvmlEventSetFree(self, eventSet):
        self._check("nvmlEventSetFree")
        self.sets.remove(eventSet)

    def nvmlDeviceGetSupportedEventTypes(self, handle):
        return self._gpu("nvmlDeviceGetSupportedEventTypes", handle).event_types

    def nvmlDeviceRegisterEvents(self, handle, eventTypes, eventSet):
        gpu = self._gpu("nvmlDeviceRegisterEvents", handle)
        eventSet.registered[gpu.uuid] = eventTypes

    def nvmlEventSetWait_v2(self, eventSet, timeoutms):
        self._check("nvmlEventSetWait_v2")
        assert timeoutms == 0, "a pass never waits"
        if not eventSet.events:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_TIMEOUT)
        return eventSet.events.pop(0)

    # -- a GPU or an instance ------------------------------------------------------

    def nvmlDeviceGetName(self, handle):
        return self._of("nvmlDeviceGetName", handle).name

    def nvmlDeviceGetUUID(self, handle):
        return self._of("nvmlDeviceGetUUID", handle).uuid

    def nvmlDeviceGetMemoryInfo(self, handle, version=None):
        used, total = self._of("nvmlDeviceGetMemoryInfo", handle).memory
        if version is None:  # the first version counts what the driver keeps as used
            return SimpleNamespace(used=used + GIB // 2, total=total, free=total - used)
        if "nvmlDeviceGetMemoryInfo_v2" in self.missing:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        return SimpleNamespace(used=used, total=total, free=total - used, reserved=GIB // 2)

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle):
        return list(self._of("nvmlDeviceGetComputeRunningProcesses_v3", handle).processes)

    def nvmlDeviceGetComputeRunningProcesses_v2(self, handle):
        return list(self._of("nvmlDeviceGetComputeRunningProcesses_v2", handle).processes)

    # -- a GPU ---------------------------------------------------------------------

    def nvmlDeviceGetUtilizationRates(self, handle):
        percent = self._gpu("nvmlDeviceGetUtilizationRates", handle).utilisation
        return SimpleNamespace(gpu=percent, memory=10)

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._gpu("nvmlDeviceGetPowerUsage", handle).power_milliwatts

    def nvmlDeviceGetEnforcedPowerLimit(self, handle):
        return self._gpu("nvmlDeviceGetEnforcedPowerLimit", handle).power_limit_milliwatts

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return self._gpu("nvmlDeviceGetTotalEnergyConsumption", handle).energy_millijoules

    def nvmlDeviceGetTemperatureV(self, handle, sensor, version=pynvml.nvmlTemperature_v1):
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return self._gpu("nvmlDeviceGetTemperatureV", handle).temperature

    def nvmlDeviceGetTemperature(self, handle, sensor):
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return self._gpu("nvmlDeviceGetTemperature", handle).temperature

    def nvmlDeviceGetFieldValues(self, handle, fieldIds):
        assert list(fieldIds) == [pynvml.NVML_FI_DEV_MEMORY_TEMP]
        celsius = self._gpu("nvmlDeviceGetFieldValues", handle).memory_temperature
        error = pynvml.NVML_SUCCESS if celsius is not None else pynvml.NVML_ERROR_NOT_SUPPORTED
        return [SimpleNamespace(nvmlReturn=error, value=SimpleNamespace(uiVal=celsius or 0))]

    def nvmlDeviceGetPciInfo_v3(self, handle):
        return SimpleNamespace(busId=self._gpu("nvmlDeviceGetPciInfo_v3", handle).bus_id)

    def nvmlDeviceGetMinorNumber(self, handle):
        return self._gpu("nvmlDeviceGetMinorNumber", handle).minor_number

    def nvmlDeviceGetClockInfo(self, handle, type):
        return self._gpu("nvmlDeviceGetClockInfo", handle).clocks[type]

    def nvmlDeviceGetTotalEccErrors(self, handle, errorType, counterType):
        assert counterType == pynvml.NVML_VOLATILE_ECC
        return self._gpu("nvmlDeviceGetTotalEccErrors", handle).ecc[errorType]

    def nvmlDeviceGetRemappedRows(self, device):
        return self._gpu("nvmlDeviceGetRemappedRows", device).remapped

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):
        return self._gpu("nvmlDeviceGetCurrentClocksEventReasons", handle).reasons

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        return self._gpu("nvmlDeviceGetCurrentClocksThrottleReasons", handle).reasons

    # -- MIG -----------------------------------------------------------------------

    def nvmlDeviceGetMigMode(self, device):
        gpu = self._gpu("nvmlDeviceGetMigMode", device)
        return [int(gpu.instances is not None)] * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, device):
        self._gpu("nvmlDeviceGetMaxMigDeviceCount", device)
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device, index):
        gpu = self._gpu("nvmlDeviceGetMigDeviceHandleByIndex", device)
        if index >= len(gpu.instances):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return gpu.instances[index]

    def nvmlDeviceGetGpuInstanceId(self, device):
        instance = self._of("nvmlDeviceGetGpuInstanceId", device)
        if not isinstance(instance, FakeInstance):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return instance.instance_id

    def nvmlDeviceGetAttributes_v2(self, device):
        graphics, compute, megabytes = self._of("nvmlDeviceGetAttributes_v2", device).slices
        return SimpleNamespace(
            gpuInstanceSliceCount=graphics,
            computeInstanceSliceCount=compute,
            memorySizeMB=megabytes,
        )

    # -- errors --------------------------------------------------------------------

    def _gpu(self, function: str, handle: Any) -> FakeGpu:
        if not isinstance(handle, FakeGpu):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return self._of(function, handle)

    def _of(self, function: str, handle: Any) -> Any:
        self._check(function, handle)
        return handle

    def _check(self, function: str, handle: Any = None) -> None:
        if self.users == 0:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
        if function in self.missing:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        error = self.errors.get(function) or getattr(handle, "errors", {}).get(function)
        if error:
            raise pynvml.NVMLError(error)
