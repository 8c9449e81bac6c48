"""DCGM's names and units for what a GPU tells, and the columns of ours that hold it.

dcgm-exporter and the node agent serve a GPU under these names; the `prometheus` collector reads
them by this one table. DCGM speaks percent, MiB, MHz and mJ, the warehouse ratios, bytes, hertz and
joules: `scale` times DCGM's number is ours.
Source: DCGM's field identifiers, docs.nvidia.com/datacenter/dcgm/latest/dcgm-api.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal

MEBIBYTE = 2**20
BLANKS = ((2**31 - 16, 2**31), (2**47, 2**47 + 16), (2**63 - 1024, float("inf")))
"""DCGM's numbers for "there is none" (blank, not found, not supported, not permitted), of 32-bit
numbers, floats and 64-bit numbers: from, inclusive, and to, exclusive. A float tells the last ones
no closer apart. An exporter leaves such values out, an old one writes them."""

Kind = Literal["gauge", "counter"]


@dataclass(frozen=True)
class Field:
    """One metric of DCGM's and the column of `gpu_samples` it fills."""

    name: str
    """DCGM's name, which is the metric's."""
    column: str
    """Ours."""
    scale: float = 1.0
    """DCGM's number times this is ours."""
    kind: Kind = "gauge"
    """Prometheus' type of it."""
    words: str = ""
    """What the exporter's HELP line says."""
    is_of_the_device: bool = True
    """Whether it is the whole GPU's even where it is told of a MIG instance, and so not its own."""


FIELDS: tuple[Field, ...] = (
    Field("DCGM_FI_DEV_GPU_UTIL", "utilisation_ratio", 0.01, words="GPU utilization (in %)."),
    Field("DCGM_FI_DEV_MEM_COPY_UTIL", "memory_copy_ratio", 0.01, words="Memory utilization (%)."),
    Field(
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
        "engine_active_ratio",
        words="Ratio of time the graphics engine is active.",
        is_of_the_device=False,
    ),
    Field(
        "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
        "tensor_active_ratio",
        words="Ratio of cycles the tensor (HMMA) pipe is active.",
        is_of_the_device=False,
    ),
    Field(
        "DCGM_FI_PROF_DRAM_ACTIVE",
        "dram_active_ratio",
        words="Ratio of cycles the device memory interface is active.",
        is_of_the_device=False,
    ),
    Field(
        "DCGM_FI_DEV_FB_USED",
        "memory_used_bytes",
        MEBIBYTE,
        words="Framebuffer memory used (in MiB).",
        is_of_the_device=False,
    ),
    Field("DCGM_FI_DEV_POWER_USAGE", "power_watts", words="Power draw (in W)."),
    Field(
        "DCGM_FI_DEV_ENFORCED_POWER_LIMIT", "power_limit_watts", words="Power limit in force (W)."
    ),
    Field("DCGM_FI_DEV_POWER_MGMT_LIMIT", "power_limit_watts", words="Power limit set (in W)."),
    Field(
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
        "energy_joules",
        1e-3,
        "counter",
        "Total energy consumption since boot (in mJ).",
    ),
    Field("DCGM_FI_DEV_GPU_TEMP", "temperature_celsius", words="GPU temperature (in C)."),
    Field("DCGM_FI_DEV_MEMORY_TEMP", "memory_temperature_celsius", words="Memory temperature (C)."),
    Field("DCGM_FI_DEV_SM_CLOCK", "sm_clock_hertz", 1e6, words="SM clock frequency (in MHz)."),
    Field("DCGM_FI_DEV_MEM_CLOCK", "memory_clock_hertz", 1e6, words="Memory clock (in MHz)."),
    Field(
        "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL",
        "ecc_corrected_count",
        kind="counter",
        words="Single-bit volatile ECC errors.",
    ),
    Field(
        "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL",
        "ecc_uncorrected_count",
        kind="counter",
        words="Double-bit volatile ECC errors.",
    ),
)
"""One metric, one column. Of two metrics that fill one column the first that is told counts."""

FB_USED = "DCGM_FI_DEV_FB_USED"
FB_FREE = "DCGM_FI_DEV_FB_FREE"
FB_RESERVED = "DCGM_FI_DEV_FB_RESERVED"
FB_TOTAL = "DCGM_FI_DEV_FB_TOTAL"
"""MiB. `memory_total_bytes` is FB_TOTAL, or without it used, free and reserved together."""
REMAPPED_CORRECTABLE = "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS"
REMAPPED_UNCORRECTABLE = "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS"
"""Counters; `rows_remapped_count` is both together."""
REMAP_PENDING = "DCGM_FI_DEV_ROW_REMAP_PENDING"
REMAP_FAILURE = "DCGM_FI_DEV_ROW_REMAP_FAILURE"
"""0 or 1: `row_remap_is_pending`, `row_remap_has_failed`."""
THROTTLE_REASONS = ("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS")
"""NVML's bit mask, the newer name first: `throttle_reasons`, in NVML's words."""
XID_ERRORS = "DCGM_FI_DEV_XID_ERRORS"
"""The number of the last XID, 0 while there was none: a `gpu_events` row when it changes."""
ECC_SBE_AGGREGATE = "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL"
ECC_DBE_AGGREGATE = "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL"
"""Errors over the GPU's life. Our columns count since the driver was loaded, so these are read
only to tell that a counter moved, where the volatile ones are not told."""
PROCESS_COUNT = "pilothouse_gpu_process_count"
"""Compute processes on a GPU or an instance: the node agent's own, DCGM has no such metric."""

RAW = tuple(
    dict.fromkeys(
        (
            *(field.name for field in FIELDS),
            FB_FREE,
            FB_RESERVED,
            FB_TOTAL,
            REMAPPED_CORRECTABLE,
            REMAPPED_UNCORRECTABLE,
            REMAP_PENDING,
            REMAP_FAILURE,
            *THROTTLE_REASONS,
            XID_ERRORS,
            ECC_SBE_AGGREGATE,
            ECC_DBE_AGGREGATE,
            PROCESS_COUNT,
        )
    )
)
"""The metrics that are read of a GPU, each a column of the round's matrix of numbers."""
COLUMN = {name: at for at, name in enumerate(RAW)}
OF_INSTANCES = {
    *(each.name for each in FIELDS if not each.is_of_the_device),
    *(FB_FREE, FB_RESERVED, FB_TOTAL, PROCESS_COUNT),
}
"""Metrics that are a MIG instance's own; the others are its GPU's, told once for each instance."""

LABEL_INDEX = "gpu"
LABEL_UUID = "UUID"
LABEL_BUS = "pci_bus_id"
LABEL_DEVICE = "device"
LABEL_MODEL = "modelName"
LABEL_HOST = "Hostname"
LABEL_PROFILE = "GPU_I_PROFILE"
LABEL_INSTANCE = "GPU_I_ID"
LABEL_INSTANCE_UUID = "GPU_I_UUID"
"""A MIG instance's own UUID. The node agent tells it, dcgm-exporter does not."""
LABEL_DRIVER = "DCGM_FI_DRIVER_VERSION"
LABEL_VIRTUAL = "vgpu"
"""Which replica of a time-shared GPU a pod holds."""
LABEL_HPC_JOB = "hpc_job"
"""The batch system's job that holds it, where the exporter is told of them."""
XID_TOTAL = "DCGM_EXP_XID_ERRORS_TOTAL"
"""How often each XID came, a counter with the label `xid`; of newer exporters only."""

REASON_BITS: tuple[tuple[int, str], ...] = (
    (0x1, "GpuIdle"),
    (0x2, "ApplicationsClocksSetting"),
    (0x4, "SwPowerCap"),
    (0x8, "HwSlowdown"),
    (0x10, "SyncBoost"),
    (0x20, "SwThermalSlowdown"),
    (0x40, "HwThermalSlowdown"),
    (0x80, "HwPowerBrakeSlowdown"),
    (0x100, "DisplayClockSetting"),
    (0x200, "BoardLimit"),
    (0x400, "Reliability"),
)
"""The bits of the throttle reasons, in the words of `collectors/nvml_reading.py`."""


def is_blank(number: float) -> bool:
    """Whether DCGM's number means that there is none.

    Written into a text, DCGM's markers for "not supported" and the like look as numbers do.
    """
    return not isfinite(number) or any(low <= number < high for low, high in BLANKS)


def reasons_in_words(bits: int) -> str:
    """NVML's words for a mask of throttle reasons, joined by commas; an unknown bit in hex."""
    words = [word for bit, word in REASON_BITS if bits & bit]
    rest = bits & ~sum(bit for bit, _ in REASON_BITS)
    return ",".join([*words, f"{rest:#x}"] if rest else words)
