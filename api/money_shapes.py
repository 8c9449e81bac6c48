"""How metered hours, the books and unit costs look as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, Field

from api.shapes import Sent, Shape, shape_of
from warehouse.records import MeteredHour, MeteringAlarm, MeteringRun, NodeKind, UnitCost

HourShape = shape_of(MeteredHour, name="MeteredHour")
RunShape = shape_of(MeteringRun, name="MeteringRun")
AlarmShape = shape_of(MeteringAlarm, name="MeteringAlarm")
CostShape = shape_of(UnitCost, name="UnitCost")

Key = Literal[
    "tenant", "user_id", "job_id", "pool", "gpu_model", "region", "sharing", "pricing", "hour",
    "day", "month",
]  # fmt: skip


class SumShape(Shape):
    """Metered hours summed; the keys asked for are set, the others null."""

    tenant: str | None = None
    """Who pays."""
    user_id: str | None = None
    """Who of the tenant's people."""
    job_id: str | None = None
    """The job."""
    pool: str | None = None
    """The pool."""
    gpu_model: str | None = None
    """The GPU model."""
    region: str | None = None
    """The region."""
    sharing: str | None = None
    """How the GPUs are given out."""
    pricing: str | None = None
    """Under which terms."""
    hour: datetime | None = None
    """The hour's start."""
    day: datetime | None = None
    """The day's start, UTC."""
    month: datetime | None = None
    """The month's start, UTC."""
    allocated_gpu_hours: float = Field(examples=[1234.5])
    """GPU-hours held; four quarters of a GPU for an hour make one."""
    used_gpu_hours: float | None = Field(examples=[871.2])
    """Of the measured ones, GPU-hours in which the GPU worked."""
    measured_gpu_hours: float | None
    """Of the allocated ones, those whose utilisation was measured."""
    efficiency_ratio: float | None = Field(examples=[0.71])
    """Used over measured, 0 to 1."""
    energy_kilowatt_hours: float | None
    """Energy measured."""
    list_cost_usd: float
    """At the list's prices."""
    charge_usd: float = Field(examples=[3086.25])
    """At the prices agreed: what is billed."""
    cost_usd: float | None
    """What it cost us, idle GPUs not included."""
    margin_usd: float | None
    """Billed less cost, where the cost is known."""
    uncosted_gpu_hours: float
    """GPU-hours whose cost is not known."""
    jobs: int
    """How many jobs."""


class MeteredState(Shape):
    """How far the metering has come."""

    metered_until: datetime | None
    """Hours before are metered; null where none is."""
    alarms: list[AlarmShape]  # type: ignore[valid-type]
    """What a person must look at, the newest first; each was told once."""


class BookShape(Shape):
    """One pool in one hour or day: physical = allocated + idle + cordoned + down + unread."""

    day: datetime | None = None
    """Of a day: its start, UTC."""
    hour_starts_at: datetime | None = None
    """Of an hour: its start."""
    pool: str
    """The pool."""
    physical_gpu_hours: float = Field(examples=[192.0])
    """GPU-hours of the nodes that were there."""
    allocated_gpu_hours: float = Field(examples=[186.04])
    """Of those, held by jobs as metered."""
    idle_gpu_hours: float
    """In service and held by nobody."""
    cordoned_gpu_hours: float
    """Free, in nodes that take no new jobs."""
    down_gpu_hours: float
    """In nodes that were down, provisioning or off."""
    unread_gpu_hours: float
    """Seen by nobody."""
    unaccounted_gpu_hours: float
    """What the sum lacks: 0."""
    metered_gpu_hours: float
    """All that was metered."""
    over_metered_gpu_hours: float
    """Metered beyond what was physically there."""
    observed_gpu_hours: float | None
    """Held as the GPUs' own readings have it."""
    difference_gpu_hours: float
    """Metered less observed."""
    bound_gpu_hours: float
    """How far the two may lie apart."""
    is_within_bound: bool | None = None
    """Of an hour: whether they do not."""
    hours_out_of_bound: int | None = None
    """Of a day: how many hours do."""
    revenue_usd: float
    """Billed."""
    cost_usd: float | None
    """What the whole pool cost us."""
    idle_cost_usd: float | None
    """Of that, what no job had."""
    charged_usd: float | None
    """What the fleet itself charged jobs, where it says so."""
    charge_difference_usd: float | None
    """Billed to jobs less that."""


class NodeDifference(Shape):
    """A node's part in a difference."""

    node_id: str | None
    """The node; null where the events name none."""
    physical_gpu_hours: float
    """GPU-hours that it had."""
    metered_gpu_hours: float
    """Held by the events of jobs."""
    observed_gpu_hours: float | None
    """Held by the readings."""
    difference_gpu_hours: float
    """The first less the second."""
    job_ids: list[str] | None
    """The jobs on it by the events."""


class JobDifference(Shape):
    """A job's part in a difference."""

    job_id: str
    """The job."""
    tenant: str | None
    """Whose it is."""
    metered_gpu_hours: float
    """As metered."""
    observed_gpu_hours: float | None
    """By the readings that name it."""
    charged_gpu_hours: float | None
    """As the fleet itself charged it."""
    difference_gpu_hours: float
    """Metered less observed."""
    charge_difference_gpu_hours: float
    """Metered less charged."""


class DifferencesShape(Shape):
    """One pool in one hour, taken apart."""

    words: str
    """What is the matter."""
    hour: BookShape | None
    """Its books; null where it is not metered."""
    nodes: list[NodeDifference]
    """The largest difference first."""
    jobs: list[JobDifference]
    """The largest difference first; only those that differ."""


class CostInForce(Shape):
    """What a GPU-hour of one kind of a pool's nodes costs us now."""

    pool: str
    """The pool."""
    kind: NodeKind
    """Owned nodes, or leased ones."""
    fixed_usd: float | None
    """Due for each GPU-hour that is there; of leased ones, that is on."""
    idle_usd: float | None
    """Due besides for each that is on and idle."""
    busy_usd: float | None
    """Due besides for each that is held."""
    kilowatt_hour_usd: float | None
    """Due for each kilowatt-hour, the overhead of the hall included."""
    is_stand_in: bool
    """True where nobody has set a unit cost, so that the pool's declared rates stand in."""
    cost: CostShape | None  # type: ignore[valid-type]
    """What was set."""


class CostSetting(Sent):
    """What the nodes of a pool cost us, from an instant on."""

    kind: NodeKind
    """Owned nodes, or leased ones."""
    purchase_usd_per_gpu: float | None = Field(None, examples=[31000.0])
    """Of owned ones: what a GPU cost with its share of host, network and rack."""
    residual_usd_per_gpu: float | None = Field(None, examples=[3000.0])
    """Of owned ones: what it is worth when it is written off."""
    depreciation_years: float | None = Field(None, examples=[5.0])
    """Of owned ones: over how many years."""
    hosting_usd_per_gpu_hour: float | None = Field(None, examples=[0.12])
    """Of owned ones: floor space, network, spares and staff."""
    power_usd_per_kilowatt_hour: float | None = Field(None, examples=[0.11])
    """Of owned ones: the price of electricity."""
    power_overhead_ratio: float | None = Field(None, examples=[1.3])
    """Of owned ones: PUE, 1 or more."""
    idle_watts_per_gpu: float | None = Field(None, examples=[250.0])
    """Of owned ones, where nothing is measured: an idle GPU with its share of the host."""
    busy_watts_per_gpu: float | None = Field(None, examples=[950.0])
    """Of owned ones, where nothing is measured: a busy one."""
    rent_usd_per_gpu_hour: float | None = Field(None, examples=[1.9])
    """Of leased ones: the rent."""
    in_force_from_at: AwareDatetime | None = None
    """From when; now without it."""
