"""This host's NVIDIA GPUs, by NVML: samples, processes, events, and MIG instances of their own.

The one module that imports `pynvml`. The driver may be unloaded, updated or reset while the
console runs, and a GPU may fall off the bus; NVML then answers errors until it is initialised
again. So a pass that meets such an error shuts NVML down, starts it and reads once more.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

import pynvml
from pydantic import Field

from collectors.base import (
    Absent,
    Collector,
    CollectorSettings,
    Note,
    Unreachable,
    Yielded,
    settings_from,
)
from collectors.nvml_events import DriverEvents
from collectors.nvml_reading import Host, Reader, Reading
from warehouse.records import GpuEvent

START_AGAIN_AFTER = timedelta(minutes=5)
"""NVML is not started again for a GPU known to be lost more often than this: it takes seconds
without the persistence daemon, and the other GPUs are read meanwhile."""


class NvmlSettings(CollectorSettings):
    """How this host's GPUs are read."""

    enabled: bool = True
    """Whether they are read at all."""
    node_id: str = Field(default_factory=socket.gethostname, min_length=1)
    """The name of this host among the nodes; its host name if not set."""
    pool: str | None = None
    """The pool this host belongs to."""
    every_seconds: float = Field(default=10.0, ge=1.0)
    """Seconds from one reading to the next."""
    time_limit_seconds: float = Field(default=8.0, gt=0.0)
    """Seconds after which a reading is given up; a wedged driver never answers."""


class NvmlCollector(Collector):
    """Reads this host's GPUs. `nvml` is `pynvml`, or what answers like it."""

    name: ClassVar[str] = "nvml"
    settings_class: ClassVar[type[CollectorSettings]] = NvmlSettings

    def __init__(self, settings: NvmlSettings, nvml: Any = pynvml) -> None:
        self._settings = settings
        self._nvml = nvml
        host = Host(settings.node_id, settings.pool, self.name)
        self._reader, self._events = Reader(nvml, host), DriverEvents(nvml, host)
        self._is_started = False
        self._started_again_at: datetime | None = None
        self._known_broken: frozenset[int] = frozenset()
        self._untold: list[GpuEvent] = []
        """What happened while no run succeeded"""

    @classmethod
    def from_env(cls, environ: Mapping[str, str], nvml: Any = pynvml) -> Self | Absent:
        """As the environment sets it; absent where there is no driver or no GPU."""
        settings = settings_from(environ, cls.name, NvmlSettings)
        if not settings.enabled:
            return Absent("switched off by PILOTHOUSE_NVML_ENABLED")
        return why_absent(nvml) or cls(settings, nvml)

    @property
    def every_seconds(self) -> float:
        """Seconds from one reading to the next."""
        return self._settings.every_seconds

    @property
    def time_limit_seconds(self) -> float:
        """Seconds after which a reading is given up."""
        return self._settings.time_limit_seconds

    def collect(self, now: datetime) -> Iterator[Yielded]:
        """A `GpuSample` a GPU and MIG instance, a `GpuProcess` a compute process, a `GpuEvent`
        whatever the driver reported since the run before.

        A GPU that can't be read is named in a note and doesn't hide the others.
        """
        reading, events = self.seen(now)
        yield from reading.samples
        yield from reading.processes
        yield from events
        if remark := self.remark():
            yield Note(remark)
        if reading.broken:
            yield Note(f"not read: {_in_words(reading)}")

    def seen(self, now: datetime) -> tuple[Reading, list[GpuEvent]]:
        """One pass over the host, and what happened since the last one that succeeded.

        Raises:
            Unreachable: no GPU can be read; what happened is told by the first pass that succeeds.
        """
        reading = self.reading(now)
        self._untold += self._events.happened(reading, now)
        if not reading.samples:
            raise Unreachable(f"no GPU of this host can be read: {_in_words(reading)}")
        told, self._untold = self._untold, []
        return reading, told

    def remark(self) -> str | None:
        """Why some events are not to be had; said once."""
        return self._events.remark()

    @property
    def heard(self) -> frozenset[str]:
        """The UUIDs of the GPUs whose XID errors the driver reports."""
        return self._events.heard

    def reading(self, now: datetime) -> Reading:
        """One pass over the host, NVML started again first where that may help.

        Raises:
            Unreachable: the driver answers errors nevertheless.
        """
        try:
            reading = self._pass(now)
            if self._is_news(reading, now):
                reading = self._pass_anew(now)
        except self._nvml.NVMLError:
            reading = self._pass_anew(now)
        self._known_broken = frozenset(reading.broken)
        return reading

    def shut_down(self) -> None:
        """Let go of the driver; the next reading starts it again."""
        self._is_started = False
        self._events.forget()
        with contextlib.suppress(self._nvml.NVMLError):  # it may be down already
            self._nvml.nvmlShutdown()

    # -- how -----------------------------------------------------------------------

    def _pass(self, now: datetime) -> Reading:
        if not self._is_started:
            self._nvml.nvmlInit()
            self._is_started = True
        self._events.register()
        return self._reader.reading(now)

    def _pass_anew(self, now: datetime) -> Reading:
        self._started_again_at = now
        self.shut_down()
        try:
            return self._pass(now)
        except self._nvml.NVMLError as error:
            self.shut_down()
            raise Unreachable(
                f"the NVIDIA driver answers {error}, after NVML was started again, too: "
                "run nvidia-smi on this host, and reload the driver or restart the host"
            ) from error

    def _is_news(self, reading: Reading, now: datetime) -> bool:
        if not reading.broken:
            return False
        if not frozenset(reading.broken) <= self._known_broken or self._started_again_at is None:
            return True
        return now - self._started_again_at >= START_AGAIN_AFTER


def why_absent(nvml: Any = pynvml) -> Absent | None:
    """Why this host has no GPU to read; None where it has one."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Absent(_why_not_started(nvml, error))
    try:
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        return Absent(f"the NVIDIA driver can't count its GPUs: {error}; run nvidia-smi")
    finally:
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlShutdown()
    return None if count else Absent("the NVIDIA driver is loaded and shows no GPU")


def describe(nvml: Any = pynvml, *, now: datetime) -> str:
    """This host's GPUs in words, a line each, or the reason why there are none."""
    if absent := why_absent(nvml):
        return f"No GPU is read here: {absent.reason}."
    collector = NvmlCollector(NvmlSettings(), nvml)
    try:
        reading = collector.reading(now)
    except Unreachable as error:
        return f"No GPU is read here: {error}."
    finally:
        collector.shut_down()
    lines = [_line(sample) for sample in reading.samples]
    if reading.broken:
        lines.append(f"Not read: {_in_words(reading)}.")
    return "\n".join(lines)


def _why_not_started(nvml: Any, error: Any) -> str:
    reasons = {
        nvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA driver is installed (libnvidia-ml.so.1)",
        nvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is installed and not loaded",
        nvml.NVML_ERROR_NO_PERMISSION: "this user may not use the NVIDIA driver",
        nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
            "the NVIDIA driver was updated and not reloaded: restart this host"
        ),
    }
    return reasons.get(error.value, f"the NVIDIA driver answers: {error}")


def _in_words(reading: Reading) -> str:
    return ", ".join(f"GPU {index} ({error})" for index, error in reading.broken.items())


def _line(sample: Any) -> str:
    is_instance = sample.parent_gpu_id is not None
    facts = (
        f"MIG {sample.mig_profile or 'instance'}" if is_instance else sample.gpu_model,
        sample.gpu_id,
        _shown(sample.utilisation_ratio, 100, "% busy"),
        _shown(sample.memory_used_bytes, 2**-30, "GiB used"),
        _shown(sample.memory_total_bytes, 2**-30, "GiB"),
        _shown(sample.power_watts, 1, "W"),
        _shown(sample.power_limit_watts, 1, "W at most"),
        _shown(sample.temperature_celsius, 1, "°C"),
        sample.throttle_reasons and f"held by {sample.throttle_reasons}",
    )
    start = "  " if is_instance else f"GPU {sample.slot}: "
    return start + ", ".join(fact for fact in facts if fact)


def _shown(number: float | None, scale: float, unit: str) -> str | None:
    return None if number is None else f"{number * scale:.4g} {unit}"
