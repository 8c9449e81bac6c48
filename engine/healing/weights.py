"""What each sign of illness weighs. Every knob has its sentence; none is hidden in the code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from engine.healing.xids import Class


def _xid_weights() -> dict[Class, float]:
    return {"application": 0.03, "watch": 0.2, "reset": 0.55, "replace": 0.9}


@dataclass(frozen=True)
class Weights:
    """What is taken from a node's health. A health is the product of 1 less each weight."""

    suspect_below_ratio: float = 0.5
    """A node whose health is below this is suspect: one XID that asks for a reset is enough"""
    sound_from_ratio: float = 0.75
    """A suspect node is suspect no more from here on, so that it doesn't flicker"""
    half_life: timedelta = timedelta(hours=6)
    """Events weigh half as much after this long"""
    event_window: timedelta = timedelta(hours=24)
    """Events older than this are not asked for: they weigh a sixteenth by then"""
    xid_ratio: Mapping[Class, float] = field(default_factory=_xid_weights)
    """One XID of each class, when it happens"""
    application_most_ratio: float = 0.2
    """All XIDs together that are the jobs' own doing: they alone never make a node suspect"""
    ecc_ratio: float = 0.3
    """One report of uncorrected memory errors"""
    row_remap_ratio: float = 0.2
    """One change of the row remapper, as it is told by the driver"""
    gpu_lost_ratio: float = 0.85
    """A GPU that is gone"""
    reading_window: timedelta = timedelta(minutes=30)
    """Readings of GPUs that are looked at"""
    remap_pending_ratio: float = 0.3
    """A row remapping that waits for a reset of the GPU"""
    remap_failed_ratio: float = 0.95
    """A row that could not be remapped"""
    throttled_ratio: float = 0.6
    """A GPU whose clocks its hardware holds down for heat or power, all the time that it is read"""
    least_throttled_ratio: float = 0.2
    """Share of the readings below which this is passed over"""
    hot_from_celsius: float = 85.0
    """A GPU this hot is too hot: H100 and A100 slow themselves down a few degrees above"""
    hot_ratio: float = 0.3
    """A GPU that is too hot in all readings"""
    not_ready_ratio: float = 0.7
    """A node that Kubernetes says is not ready"""
    condition_ratio: float = 0.4
    """Another bad condition of the node"""
    pressure_ratio: float = 0.15
    """A shortage of memory, disk or processes: jobs' doing more often than the node's"""
    settling: timedelta = timedelta(minutes=15)
    """A node younger than this may be not ready: it is starting"""
    flapping: timedelta = timedelta(minutes=2)
    """A bad condition younger than this weighs half"""
    silent_after: timedelta = timedelta(minutes=5)
    """A node that was not read for so long, while its pool was, has stopped answering"""
    silent_ratio: float = 0.6
    """Such silence"""
    failure_window: timedelta = timedelta(days=7)
    """Failures of jobs that are counted"""
    failure_half_life: timedelta = timedelta(days=2)
    """Failures weigh half as much this long after the last"""
    least_failures: int = 3
    """Fewer failures on a node prove nothing"""
    chance_below_ratio: float = 0.01
    """A node with so many failures by chance alone, with this probability or less, is a lemon"""
    per_decade_ratio: float = 0.2
    """Weight for each power of ten of improbability: 0.6 at one in a thousand"""
    failures_most_ratio: float = 0.8
    """Failures of jobs weigh no more than this"""
    rare_failures: float = 0.1
    """Failures that any node may expect in the window, however good its pool"""


WEIGHTS = Weights()
