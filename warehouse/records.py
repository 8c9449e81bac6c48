"""Every table of the warehouse, one frozen class each.

A field is a column and the sentence under it is its documentation (`docs/data.md` is made
from here). Names end in their unit, instants end in `_at` and are UTC. A missing
measurement is None, never 0. Rows are facts: they are appended, never changed; what may
happen once is settled by a `Ticket`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from warehouse.schema import Bounds, Digits, record

Count = Annotated[int, Bounds(low=0)]
Ratio = Annotated[float, Bounds(low=0.0, high=1.0)]
Amount = Annotated[float, Bounds(low=0.0)]
FineRatio = Annotated[float, Bounds(low=0.0, high=1.0), Digits(after_point=6, before_point=1)]
Watts = Annotated[float, Bounds(low=0.0), Digits(after_point=3, before_point=6)]
Joules = Annotated[float, Bounds(low=0.0), Digits(after_point=3, before_point=15)]

ActionType = Literal[
    "scale_up",
    "scale_down",
    "pre_warm",
    "adjust_price",
    "migrate_job",
    "rebalance",
    "quarantine_node",
    "repair_node",
    "promote_policy",
    "do_nothing",
]
Mode = Literal["off", "shadow", "approve", "autonomous"]
NodeKind = Literal["owned", "leased"]
NodeState = Literal["off", "provisioning", "active", "cordoned", "down"]
JobEventKind = Literal[
    "submitted", "started", "checkpointed", "migrated", "preempted", "finished", "failed", "left"
]
Role = Literal["viewer", "operator", "admin"]
Sharing = Literal["whole", "mig", "time_sliced", "mps"]

# ---------------------------------------------------------------------------- fleet


@record("pools")
class Pool:
    """A GPU model in a region: the unit that is priced and scaled. The newest row is in force."""

    pool: str
    """The pool's name, for example `h100-us-east`."""
    gpu_model: str
    """The GPU's product name, for example `H100 SXM`."""
    region: str
    """Where it stands."""
    gpus_per_node: Count
    """GPUs in each node."""
    owned_nodes: Count
    """Nodes that are ours, on or off."""
    leased_nodes_limit: Count
    """Most nodes that may be leased on top."""
    gpu_memory_bytes: Count | None = None
    """Memory of one GPU."""
    owned_idle_usd_per_gpu_hour: Amount
    """Cost of an owned GPU that is switched on."""
    owned_busy_usd_per_gpu_hour: Amount
    """Added cost of an owned GPU while it works."""
    leased_usd_per_gpu_hour: Amount
    """Cost of a leased GPU, busy or not."""
    source: str
    """The collector that reported it."""
    recorded_at: datetime
    """When this row came into force."""


@record(
    "gpu_samples",
    partition_by="measured_at",
    sort_by=("gpu_id", "measured_at", "stored_at"),
    keep_days=3,
)
class GpuSample:
    """One reading of one GPU, or of one MIG instance as an entity of its own."""

    gpu_id: str
    """The GPU's UUID; for a MIG instance that instance's UUID."""
    node_id: str
    """The node it sits in."""
    pool: str | None = None
    """The pool of that node."""
    slot: Count
    """Its index in the node, from 0."""
    gpu_model: str | None = None
    """Product name as the driver says it."""
    parent_gpu_id: str | None = None
    """For a MIG instance the UUID of the GPU it is cut from; else None."""
    mig_profile: str | None = None
    """For a MIG instance its profile, for example `1g.10gb`; else None."""
    utilisation_ratio: FineRatio | None = None
    """Share of the last interval in which a kernel ran."""
    memory_copy_ratio: FineRatio | None = None
    """Share of the last interval in which device memory was read or written."""
    engine_active_ratio: FineRatio | None = None
    """Share of time in which the graphics or compute engine was active (DCGM profiling)."""
    tensor_active_ratio: FineRatio | None = None
    """Share of cycles in which the tensor cores worked (DCGM profiling)."""
    dram_active_ratio: FineRatio | None = None
    """Share of cycles in which device memory moved data (DCGM profiling)."""
    memory_used_bytes: Count | None = None
    """Device memory in use."""
    memory_total_bytes: Count | None = None
    """Device memory present."""
    power_watts: Watts | None = None
    """Power drawn."""
    power_limit_watts: Watts | None = None
    """Power cap in force."""
    energy_joules: Joules | None = None
    """Energy since the driver was loaded, a counter."""
    temperature_celsius: float | None = None
    """Core temperature."""
    memory_temperature_celsius: float | None = None
    """Temperature of the device memory."""
    sm_clock_hertz: Count | None = None
    """Clock of the streaming multiprocessors."""
    memory_clock_hertz: Count | None = None
    """Clock of the memory."""
    ecc_corrected_count: Count | None = None
    """Corrected memory errors since the driver was loaded, a counter."""
    ecc_uncorrected_count: Count | None = None
    """Uncorrected memory errors since the driver was loaded, a counter."""
    rows_remapped_count: Count | None = None
    """Rows of memory remapped after uncorrectable errors, a counter for the GPU's life."""
    row_remap_is_pending: bool | None = None
    """Whether a remapping waits for a reset of the GPU."""
    row_remap_has_failed: bool | None = None
    """Whether a row could not be remapped: the GPU wants replacing."""
    throttle_reasons: str | None = None
    """Why clocks are held down, NVML's words joined by commas; empty when nothing holds them."""
    process_count: Count | None = None
    """Compute processes on it."""
    sharing: Sharing | None = None
    """How it is given out: whole, cut up as MIG, time-sliced or by MPS; None where not told. Who
    holds which share of it is in `gpu_shares`."""
    job_id: str | None = None
    """The job that holds it; None too where several do."""
    tenant: str | None = None
    """That job's tenant."""
    source: str
    """The collector that read it."""
    measured_at: datetime
    """When it was measured."""
    stored_at: datetime
    """When it was stored."""


@record(
    "gpu_rollups",
    partition_by="starts_at",
    apart_by="period_seconds",
    sort_by=("gpu_id", "starts_at"),
)
class GpuRollup:
    """One GPU over one period: what pages ask over long spans instead of raw samples."""

    gpu_id: str
    """The GPU's UUID."""
    node_id: str
    """The node it sits in."""
    pool: str | None = None
    """The pool of that node."""
    parent_gpu_id: str | None = None
    """For a MIG instance the UUID of the GPU it is cut from; else None."""
    slot: Count
    """Its index in the node, from 0."""
    period_seconds: Count
    """Length of the period: 60, 300 or 3600."""
    starts_at: datetime
    """Start of the period, inclusive; its end is exclusive."""
    sample_count: Count
    """Samples that went in."""
    utilisation_mean_ratio: FineRatio | None = None
    """Mean utilisation."""
    utilisation_max_ratio: FineRatio | None = None
    """Highest utilisation."""
    held_ratio: FineRatio | None = None
    """Share of the samples in which a job held the GPU, busy or not."""
    memory_used_mean_bytes: Amount | None = None
    """Mean memory in use."""
    power_mean_watts: Watts | None = None
    """Mean power."""
    temperature_max_celsius: float | None = None
    """Highest temperature."""
    source: str | None = None
    """The collector whose samples went in."""


@record("rollup_marks")
class RollupMark:
    """How far samples are rolled up. One row; whoever goes on takes it and leaves its own, so that
    of two consoles that roll up at once one comes to nothing."""

    snapshot_id: Count
    """What was stored up to this snapshot is taken in."""
    sources: dict[str, Any]
    """By source `rolled_until_at`: the periods that end by then are rolled up; `newest_at`: its
    clock, the newest reading; `kept_from_at`: older periods are never rolled up again, as raw
    samples of them are gone."""


@record(
    "gpu_shares",
    partition_by="measured_at",
    sort_by=("gpu_id", "measured_at", "stored_at"),
    keep_days=3,
)
class GpuShare:
    """Who held how much of one GPU at an instant: a row a holder, none where nobody held it."""

    gpu_id: str
    """The GPU's UUID; for a MIG instance that instance's."""
    node_id: str
    """The node it sits in."""
    pool: str | None = None
    """The pool of that node."""
    job_id: str | None = None
    """The job that holds it; None where the holder belongs to no job known."""
    tenant: str | None = None
    """That job's tenant; of a pod without one its namespace."""
    namespace: str | None = None
    """The holder's Kubernetes namespace."""
    pod: str | None = None
    """The holder's pod."""
    container: str | None = None
    """The holder's container."""
    sharing: Sharing
    """How the GPU is given out."""
    share_ratio: Ratio
    """Share of the physical GPU: 1 for a whole one, a MIG instance's compute slices over the GPU's,
    1/n of one that n replicas share. Four shares of a quarter make one GPU."""
    source: str
    """The collector that saw it."""
    measured_at: datetime
    """When it was measured."""
    stored_at: datetime
    """When it was stored."""


@record(
    "gpu_processes",
    partition_by="measured_at",
    sort_by=("gpu_id", "measured_at"),
    keep_days=3,
)
class GpuProcess:
    """A compute process seen on a GPU."""

    gpu_id: str
    """The GPU's UUID."""
    pid: Count
    """The process id on its host."""
    process_name: str | None = None
    """The command, where the driver tells."""
    memory_used_bytes: Count | None = None
    """Device memory it holds."""
    source: str
    """The collector that saw it."""
    measured_at: datetime
    """When it was seen."""


@record("node_states", partition_by="measured_at", sort_by=("node_id", "measured_at"), keep_days=60)
class NodeReading:
    """A node as it was at one instant."""

    node_id: str
    """The node's name."""
    pool: str | None = None
    """The pool it belongs to."""
    kind: NodeKind
    """Owned, or leased by the hour."""
    state: NodeState
    """Off, provisioning, active, cordoned (no new jobs) or down."""
    gpu_count: Count
    """GPUs in it."""
    gpus_used: Count
    """GPUs that jobs hold."""
    health_ratio: Ratio | None = None
    """Health as last judged, 1 is sound."""
    ready_at: datetime | None = None
    """While provisioning or down: when it is expected back."""
    lease_started_at: datetime | None = None
    """Of a leased node: when its bill began."""
    source: str
    """The collector that saw it."""
    measured_at: datetime
    """When it was seen."""


@record("gpu_events", partition_by="happened_at", keep_days=400)
class GpuEvent:
    """Something a GPU or its driver reported at an instant."""

    node_id: str
    """The node."""
    gpu_id: str | None = None
    """The GPU's UUID, where it is known which."""
    pool: str | None = None
    """The pool of that node."""
    kind: Literal["xid", "ecc_uncorrected", "row_remap", "gpu_lost"]
    """What it is: an XID error of the driver, a memory error, a row remapping, a GPU gone."""
    code: Count | None = None
    """The XID's number."""
    detail: str | None = None
    """In words, as reported."""
    source: str
    """The collector that saw it."""
    happened_at: datetime
    """When."""


@record("node_health", partition_by="judged_at")
class NodeHealth:
    """A node's health as judged at an instant, with its evidence; a row when it changed."""

    node_id: str
    """The node."""
    pool: str | None = None
    """The pool it belongs to."""
    health_ratio: Ratio
    """1 is sound; each piece of evidence takes its weight away."""
    is_suspect: bool
    """Whether it is too ill to be given jobs."""
    evidence: list[dict[str, Any]]
    """Each piece: `signal`, `value`, `weight_ratio`, `words`, `at` (ISO 8601)."""
    onset_at: datetime | None = None
    """The instant of the oldest piece; None where there is none."""
    judged_at: datetime
    """When."""


@record("node_incidents")
class NodeIncident:
    """A step in the story of a node that fell ill: from the first evidence to its return."""

    incident_id: str
    """Its id."""
    node_id: str
    """The node."""
    pool: str | None = None
    """The pool it belongs to."""
    phase: Literal["detected", "quarantined", "repairing", "returned", "passed", "gone"]
    """Found ill; out of use; being repaired; back and sound; sound without our doing; no more."""
    decision_id: str | None = None
    """The decision that brought it there, where one did."""
    detail: str
    """In words."""
    onset_at: datetime
    """When the first evidence came."""
    happened_at: datetime
    """When."""


@record("pool_states", partition_by="measured_at", keep_days=400)
class PoolState:
    """A pool as it was at one instant, and what came and went since the reading before."""

    pool: str
    """The pool."""
    gpus_on: Count
    """GPUs in nodes that are active or cordoned."""
    gpus_used: Count
    """GPUs that jobs hold."""
    gpus_cordoned: Count
    """Free GPUs in cordoned nodes."""
    owned_nodes_on: Count
    """Owned nodes active or cordoned."""
    leased_nodes_on: Count
    """Leased nodes active or cordoned."""
    nodes_provisioning: Count
    """Nodes on their way."""
    nodes_off: Count
    """Owned nodes switched off."""
    nodes_down: Count
    """Nodes that failed and are not back."""
    nodes_empty: Count
    """Active nodes on which nothing runs."""
    running_jobs: Count
    """Jobs running."""
    queued_jobs: Count
    """Jobs waiting."""
    queued_gpus: Count
    """GPUs those ask for."""
    oldest_wait_seconds: Amount
    """Wait of the oldest queued job; 0 when none waits."""
    price_usd_per_gpu_hour: Amount
    """Our price in force."""
    market_usd_per_gpu_hour: Amount | None = None
    """The market's price."""
    offered_jobs: Count
    """Jobs offered since the reading before."""
    accepted_jobs: Count
    """Of those, jobs whose customer took the price."""
    started_jobs: Count
    """Jobs started since the reading before."""
    finished_jobs: Count
    """Jobs finished since the reading before."""
    failed_jobs: Count
    """Jobs interrupted by a failure since the reading before."""
    late_jobs: Count
    """Jobs that started later than promised, since the reading before."""
    left_jobs: Count
    """Jobs that gave up waiting since the reading before."""
    source: str
    """The collector that saw it."""
    measured_at: datetime
    """When it was seen."""


# ---------------------------------------------------------------------------- work


@record("job_events", partition_by="happened_at")
class JobEvent:
    """Something that happened to a job. Its latest event tells its state."""

    job_id: str
    """The job."""
    tenant: str
    """Who submitted it."""
    pool: str
    """The pool it runs or waits in."""
    event: JobEventKind
    """What happened."""
    gpu_count: Count
    """GPUs it asks for."""
    node_ids: list[str]
    """Nodes it holds after the event."""
    price_usd_per_gpu_hour: Amount | None = None
    """The price locked for it at submission."""
    user_id: str | None = None
    """Who of the tenant's people submitted it, where it is known."""
    share_ratio: Ratio | None = None
    """Share of each GPU that it asks for; None is a whole one."""
    pricing: Literal["standard", "committed", "spot"] | None = None
    """Under which terms; None is standard."""
    detail: str | None = None
    """In words, where there is something to say: why it failed, how much work was lost."""
    source: str
    """The collector that reported it."""
    happened_at: datetime
    """When it happened."""


# ---------------------------------------------------------------------------- cluster


@record("cluster_nodes", partition_by="measured_at", keep_days=60, newest_of=("node_id",))
class ClusterNode:
    """A Kubernetes node with GPUs; a row whenever something of it changed."""

    node_id: str
    """Its name."""
    uid: str
    """Its uid: another uid is another machine of the same name."""
    pool: str
    """The pool it belongs to."""
    provider_id: str | None = None
    """`spec.providerID`."""
    instance_type: str | None = None
    """`node.kubernetes.io/instance-type`."""
    gpu_model: str | None = None
    """`nvidia.com/gpu.product`."""
    gpu_count: Count
    """GPUs it can give to pods, or has where it can't just now."""
    gpu_memory_bytes: Count | None = None
    """`nvidia.com/gpu.memory` of one GPU."""
    mig_config: str | None = None
    """`nvidia.com/mig.config`."""
    capacity_type: Literal["on_demand", "spot", "reserved"] | None = None
    """How it is paid for, where a label tells."""
    region: str | None = None
    """`topology.kubernetes.io/region`."""
    zone: str | None = None
    """`topology.kubernetes.io/zone`."""
    is_ready: bool
    """Condition Ready."""
    is_unschedulable: bool
    """`spec.unschedulable`: cordoned."""
    heartbeat_at: datetime | None = None
    """Last heartbeat of Ready; with leases it moves only when the condition does."""
    conditions: list[dict[str, Any]]
    """`type`, `status`, `reason`, `message`, `since`, for all that are not as they should be."""
    taints: list[dict[str, Any]]
    """`key`, `value`, `effect`."""
    node_claim: str | None = None
    """Karpenter's NodeClaim of it."""
    machine: str | None = None
    """Cluster API's Machine of it, `namespace/name`."""
    is_do_not_disrupt: bool
    """`karpenter.sh/do-not-disrupt`."""
    resource_version: str
    """Its version."""
    is_gone: bool
    """Deleted."""
    created_at: datetime
    """When it was made."""
    source: str
    """The collector that saw it."""
    measured_at: datetime
    """When it was seen so."""


@record("cluster_pods", partition_by="measured_at", keep_days=30, newest_of=("pod_id",))
class ClusterPod:
    """A pod that asks for GPUs; a row whenever something of it changed."""

    pod_id: str
    """`namespace/name`."""
    uid: str
    """Its uid."""
    job_id: str
    """The job it is of: `namespace/name` of the Job, or of whatever owns it, or its own."""
    owner_kind: str | None = None
    """Kind of what owns it: `Job`, `ReplicaSet`, …"""
    tenant: str
    """Whose it is."""
    queue: str | None = None
    """Kueue's LocalQueue of it."""
    node_id: str | None = None
    """The node it is bound to."""
    gpu_count: Count
    """GPUs it asks for."""
    phase: str
    """`Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`."""
    is_terminating: bool
    """Whether it has a deletion timestamp."""
    is_do_not_disrupt: bool
    """`karpenter.sh/do-not-disrupt`."""
    priority: int | None = None
    """Its priority."""
    is_gone: bool
    """Deleted."""
    created_at: datetime
    """When it was made."""
    source: str
    """The collector that saw it."""
    measured_at: datetime
    """When it was seen so."""


@record("cluster_jobs", partition_by="measured_at", keep_days=90, newest_of=("job_id",))
class ClusterJob:
    """A Job that asks for GPUs; a row whenever something of it changed."""

    job_id: str
    """`namespace/name`."""
    uid: str
    """Its uid."""
    tenant: str
    """Whose it is."""
    queue: str | None = None
    """Kueue's LocalQueue of it."""
    workload: str | None = None
    """Kueue's Workload of it, `namespace/name`."""
    pool: str | None = None
    """The pool its pods run in, or ask for."""
    gpu_count: Count
    """GPUs it asks for with all its pods."""
    active_pods: Count
    """`status.active`."""
    is_suspended: bool
    """Condition Suspended."""
    state: Literal["waiting", "running", "finished", "failed"]
    """What it is doing."""
    checkpoints: bool
    """Whether it says it answers `pilothouse.dev/checkpoint-requested`."""
    checkpointed_at: datetime | None = None
    """When it last did."""
    is_do_not_disrupt: bool
    """`karpenter.sh/do-not-disrupt` on its pods."""
    generation: int
    """`metadata.generation`: raised by every change of its spec."""
    is_gone: bool
    """Deleted."""
    created_at: datetime
    """When it was made."""
    started_at: datetime | None = None
    """`status.startTime`."""
    source: str
    """The collector that saw it."""
    measured_at: datetime
    """When it was seen so."""


@record("cluster_events", partition_by="happened_at", keep_days=30)
class ClusterEvent:
    """A Kubernetes Event about a node, a pod or a Job."""

    uid: str
    """Its uid."""
    kind: str
    """Kind of what it is about."""
    namespace: str | None = None
    """Its namespace."""
    object_name: str
    """Its name."""
    reason: str
    """The machine's word."""
    message: str
    """The sentence."""
    is_warning: bool
    """Whether it is a warning."""
    count: Count
    """How often it was seen."""
    source: str
    """The collector that read it."""
    happened_at: datetime
    """When it was last seen."""


@record("disruption_budgets", partition_by="measured_at", keep_days=30, newest_of=("budget_id",))
class DisruptionBudget:
    """A PodDisruptionBudget; a row whenever something of it changed."""

    budget_id: str
    """`namespace/name`."""
    selector: dict[str, Any]
    """Its label selector."""
    disruptions_allowed: Count
    """Pods that may go now."""
    healthy_pods: Count
    """Healthy pods it covers."""
    desired_healthy_pods: Count
    """Those that must stay healthy."""
    is_gone: bool
    """Deleted."""
    source: str
    """The collector that read it."""
    measured_at: datetime
    """When it was seen so."""


@record(
    "cluster_workloads", partition_by="measured_at", keep_days=30, newest_of=("kind", "workload_id")
)
class ClusterWorkload:
    """A Kueue Workload or a Karpenter NodeClaim; a row whenever something of it changed."""

    workload_id: str
    """`namespace/name` of a Workload, the name of a NodeClaim."""
    kind: Literal["workload", "node_claim"]
    """Which of the two."""
    pool: str | None = None
    """Of a NodeClaim: its NodePool."""
    queue: str | None = None
    """Of a Workload: its LocalQueue."""
    subject: str | None = None
    """Of a Workload the Job `namespace/name`; of a NodeClaim the node."""
    is_active: bool
    """Of a Workload `spec.active`; of a NodeClaim whether it is not being deleted."""
    is_admitted: bool
    """Of a Workload condition Admitted; of a NodeClaim condition Ready."""
    priority: int | None = None
    """Of a Workload."""
    is_gone: bool
    """Deleted."""
    source: str
    """The collector that read it."""
    measured_at: datetime
    """When it was seen so."""


@record("scale_targets", partition_by="measured_at", keep_days=60, newest_of=("pool",))
class ScaleTarget:
    """What a pool's nodes are scaled by; a row whenever something of it changed."""

    pool: str
    """The pool."""
    target: str
    """The object's path."""
    lever: Literal["scale", "limits"]
    """`/scale`, or `spec.limits` of a dynamic NodePool."""
    uid: str
    """Its uid."""
    wanted_nodes: Count | None = None
    """`spec.replicas` of `/scale`."""
    limit_gpus: Count | None = None
    """`spec.limits` for `nvidia.com/gpu`; None where there is no limit, or the lever is /scale."""
    generation: int
    """`metadata.generation`: raised by every change of its spec."""
    source: str
    """The collector that read it."""
    measured_at: datetime
    """When it was seen so."""


@record("cluster_rights")
class ClusterRight:
    """Whether the console may do something in the cluster, as the API server said at its start."""

    action: str
    """The action type that needs it; `observe` for the collector."""
    right: str
    """In words: `create pods/eviction`, `patch nodes`, …"""
    is_allowed: bool
    """What the SelfSubjectAccessReview answered."""
    detail: str | None = None
    """The server's reason, where it gave one."""
    checked_at: datetime
    """When."""


# ---------------------------------------------------------------------------- money


@record("price_list")
class ListPrice:
    """A price of ours and since when it is in force."""

    pool: str
    """The pool."""
    price_usd_per_gpu_hour: Amount
    """The price."""
    set_by: str
    """Who or what set it: a person, `policy:<name>`, or `initial`."""
    decision_id: str | None = None
    """The decision it came from."""
    in_force_from_at: datetime
    """From when it applies to new jobs."""


@record("charges", partition_by="period_starts_at")
class Charge:
    """Metered use of one job in one period, at the price locked for it."""

    job_id: str
    """The job."""
    tenant: str
    """Who pays."""
    pool: str
    """Where it ran."""
    gpu_hours: Amount
    """GPU-hours delivered in the period."""
    price_usd_per_gpu_hour: Amount
    """The price locked for the job."""
    charge_usd: Amount
    """The product of the two."""
    source: str
    """The collector that metered it."""
    period_starts_at: datetime
    """Start of the period, inclusive."""
    period_ends_at: datetime
    """End of the period, exclusive."""


@record("pool_ledgers", partition_by="period_starts_at")
class PoolLedger:
    """What a pool earned and cost in one period. Revenue is metered, never booked ahead."""

    pool: str
    """The pool."""
    revenue_usd: Amount
    """Charges to customers."""
    spot_revenue_usd: Amount
    """Idle GPUs sold as spot."""
    owned_cost_usd: Amount
    """Power of owned nodes."""
    leased_cost_usd: Amount
    """Leases."""
    penalty_usd: Amount
    """Owed for late starts."""
    refund_usd: Amount
    """Given back for work lost to failures."""
    used_gpu_hours: Amount
    """GPU-hours delivered."""
    on_gpu_hours: Amount
    """GPU-hours switched on."""
    source: str
    """The collector that metered it."""
    period_starts_at: datetime
    """Start of the period, inclusive."""
    period_ends_at: datetime
    """End of the period, exclusive."""


@record("unit_costs")
class UnitCost:
    """What a pool's GPUs cost us and since when; the newest row in force holds."""

    pool: str
    """The pool."""
    kind: NodeKind
    """Whether it is the cost of owned nodes, or of leased (rented) ones."""
    purchase_usd_per_gpu: Amount | None = None
    """Of owned ones: what a GPU cost with its share of host, network and rack."""
    residual_usd_per_gpu: Amount | None = None
    """Of owned ones: what it is worth when it is written off; 0 where not said."""
    depreciation_years: Amount | None = None
    """Of owned ones: over how many years it is written off, evenly."""
    hosting_usd_per_gpu_hour: Amount | None = None
    """Of owned ones: floor space, network, spares and staff."""
    power_usd_per_kilowatt_hour: Amount | None = None
    """Of owned ones: the price of electricity."""
    power_overhead_ratio: Amount | None = None
    """Of owned ones: power drawn at the meter over power drawn by the hosts (PUE), 1 or more."""
    idle_watts_per_gpu: Amount | None = None
    """Of owned ones: power of an idle GPU with its share of the host; where nothing is measured."""
    busy_watts_per_gpu: Amount | None = None
    """Of owned ones: the same of a busy one."""
    rent_usd_per_gpu_hour: Amount | None = None
    """Of leased ones: the rent, busy or not."""
    set_by: str
    """Who set it."""
    in_force_from_at: datetime
    """From when it holds."""


@record("metering_runs", partition_by="hour_starts_at")
class MeteringRun:
    """One metering of one hour of the fleet; where there are several, the highest version holds."""

    run_id: str
    """Its id; the rows of `metered_hours` and `fleet_hours` that it made bear it."""
    version: Count
    """From 1."""
    reason: str
    """Why it was made: `first`, or what changed since the version before, in words."""
    row_count: Count
    """Rows of `metered_hours` that it made."""
    hour_starts_at: datetime
    """The hour, a whole one of UTC."""
    metered_at: datetime
    """When it was made."""


@record("metered_hours", partition_by="hour_starts_at")
class MeteredHour:
    """What one job had of one pool in one hour, at which price, and what that cost us."""

    run_id: str
    """The metering it belongs to."""
    job_id: str
    """The job."""
    tenant: str
    """Who pays."""
    user_id: str | None = None
    """Who of the tenant's people, where it is known."""
    pool: str
    """Where it ran."""
    gpu_model: str | None = None
    """The pool's GPU model."""
    region: str | None = None
    """The pool's region."""
    sharing: Sharing
    """How its GPUs are given out."""
    pricing: Literal["standard", "committed", "spot"]
    """Under which terms."""
    allocated_gpu_hours: Amount
    """GPU-hours it held, shares reckoned as such: four quarters for an hour make one."""
    used_gpu_hours: Amount | None = None
    """Of those, GPU-hours in which the GPU worked, by its utilisation; None where unmeasured."""
    measured_ratio: Ratio | None = None
    """Share of the allocated hours for which utilisation was measured."""
    energy_kilowatt_hours: Amount | None = None
    """Energy its GPUs drew; None where unmeasured."""
    list_price_usd_per_gpu_hour: Amount | None = None
    """The pool's list price in force; None where none is set."""
    price_usd_per_gpu_hour: Amount | None = None
    """The price agreed for the job; None where none is known, so that nothing is billed."""
    list_cost_usd: Amount
    """Allocated hours at the list price."""
    charge_usd: Amount
    """Allocated hours at the price agreed: what is billed."""
    cost_usd: Amount | None = None
    """What these hours cost us, idle hours of the pool not included; None where no cost is set."""
    hour_starts_at: datetime
    """The hour."""


@record("fleet_hours", partition_by="hour_starts_at")
class FleetHour:
    """Where every physical GPU-hour of one pool went in one hour: the other side of the books."""

    run_id: str
    """The metering it belongs to."""
    pool: str
    """The pool."""
    gpu_model: str | None = None
    """Its GPU model."""
    physical_gpu_hours: Amount
    """GPU-hours of the nodes that were there, whatever their state."""
    allocated_gpu_hours: Amount
    """Of those, held by jobs as the metering has them."""
    observed_gpu_hours: Amount | None = None
    """Held by jobs as the GPUs' own readings have it; None where they were not read."""
    idle_gpu_hours: Amount
    """In service and held by nobody."""
    cordoned_gpu_hours: Amount
    """Free, in nodes that take no new jobs."""
    down_gpu_hours: Amount
    """In nodes that are down, provisioning or off."""
    unread_gpu_hours: Amount
    """Not seen by anybody: gaps in the readings."""
    difference_gpu_hours: float
    """Allocated by the metering less held by the readings; 0 where they agree."""
    bound_gpu_hours: Amount
    """How far the two may lie apart by the readings' own spacing."""
    revenue_usd: Amount
    """Billed in the pool."""
    cost_usd: Amount | None = None
    """What the whole pool cost us in the hour, idle GPUs included; None where no cost is set."""
    hour_starts_at: datetime
    """The hour."""


@record("metering_alarms")
class MeteringAlarm:
    """Something about the money that a person must look at."""

    alarm_id: str
    """The same for the same fault, so that it is told once."""
    kind: Literal["zero_price", "no_price", "no_cost", "out_of_bounds", "unknown_tenant"]
    """What it is."""
    pool: str | None = None
    """The pool."""
    job_id: str | None = None
    """The job, where it is one's."""
    detail: str
    """In words, with what to do."""
    happened_at: datetime
    """The hour it was seen in."""


@record("exports")
class Export:
    """One file set handed to finance, or the failure to. Written once, never changed."""

    export_id: str
    """Its id."""
    kind: Literal["focus", "usage"]
    """FOCUS cost and usage rows, or plain usage."""
    span: Literal["day", "month"]
    """What it covers."""
    version: Count
    """From 1; a corrected day comes as the next one."""
    reason: str
    """Why it was made: `scheduled`, `catch_up`, `by hand`, or what was corrected, in words."""
    outcome: Literal["written", "failed"]
    """How it ended."""
    detail: str | None = None
    """Of a failure: what happened and what to do."""
    requested_by: str
    """`schedule`, or the person or token that asked."""
    place: str
    """The folder or bucket, as set."""
    path: str | None = None
    """The data file below it."""
    manifest_path: str | None = None
    """The manifest below it."""
    spec_version: str | None = None
    """Of FOCUS."""
    row_count: Count
    """Rows in it."""
    size_bytes: Count
    """Of the data file."""
    sha256: str | None = None
    """Of the data file."""
    billed_usd: float
    """Sum of what is billed."""
    gpu_hours: float
    """Sum of what is billed for."""
    snapshot_id: Count | None = None
    """The version of the warehouse it was read from."""
    metering_digest: str | None = None
    """Hours it rests on, a slash, and a digest of their meterings; with another one comes a new
    version."""
    period_starts_at: datetime
    """Start of what it covers, inclusive."""
    period_ends_at: datetime
    """Its end, exclusive."""
    written_at: datetime
    """When."""
    took_seconds: Amount
    """How long it took."""


@record("offers", partition_by="measured_at")
class Offer:
    """A competitor's offer as seen once."""

    provider: str
    """Whose it is, for example `vast`."""
    offer_id: str
    """The provider's own id."""
    gpu_model: str
    """The GPU as the provider names it."""
    gpu_count: Count
    """GPUs in the offer."""
    price_usd_per_gpu_hour: Amount
    """Price of one GPU."""
    instance_price_usd_per_hour: Amount | None = None
    """Price of the whole offer, where that is what was quoted."""
    quoted_unit: Literal["gpu", "instance"]
    """What the source's own price is of."""
    price_kind: Literal["on_demand", "reserved", "spot", "spot_bid"]
    """What the price is: of a spot GPU as listed, or the lowest bid that is taken."""
    region: str | None = None
    """Where, as the provider says it."""
    gpu_memory_bytes: Count | None = None
    """Memory of one GPU."""
    vcpu_count: Amount | None = None
    """Processors that come with the offer."""
    memory_bytes: Count | None = None
    """Main memory that comes with the offer."""
    disk_bytes: Count | None = None
    """Local disk that comes with the offer."""
    storage_usd_per_gigabyte_month: Amount | None = None
    """Price of storage."""
    ingress_usd_per_gigabyte: Amount | None = None
    """Price of traffic in."""
    egress_usd_per_gigabyte: Amount | None = None
    """Price of traffic out."""
    download_bits_per_second: Amount | None = None
    """Network down."""
    upload_bits_per_second: Amount | None = None
    """Network up."""
    reliability_ratio: Ratio | None = None
    """The provider's own measure of the host's reliability."""
    is_verified: bool | None = None
    """Whether the provider has verified the host."""
    is_complete_search: bool
    """False when the search came back at its limit: more offers may exist."""
    model: str | None = None
    """Our name of the GPU model, H100 SXM, PCIe and NVL apart; None where the provider's name is
    not known and a person should look."""
    tier: Literal["secure", "community"] | None = None
    """A data centre of the provider's, or anybody's host; None where there is but one kind."""
    commitment_months: Amount | None = None
    """Of a reserved price: for how long."""
    stock: Literal["high", "medium", "low", "some", "none"] | None = None
    """How much is left; `some` where it is in stock and the provider doesn't say how much, None
    where it says nothing."""
    is_list_price: bool | None = None
    """Whether it is a published price, rather than a quote for one machine. None in old rows."""
    max_gpu_count: Count | None = None
    """Most GPUs in one instance."""
    interconnect_bits_per_second: Amount | None = None
    """Network between instances."""
    performance_score: Amount | None = None
    """The provider's own measure of performance, for example Vast.ai's DLPerf."""
    source: str | None = None
    """The collector that read it. None in old rows."""
    payload_digest: str
    """SHA-256 of the answer it was read from."""
    measured_at: datetime
    """When the provider answered."""
    stored_at: datetime
    """When it was stored."""


@record("market_alarms")
class MarketAlarm:
    """Something in a source that must not enter as a price, or that a person should know."""

    provider: str
    """Whose."""
    source: str
    """The collector that saw it."""
    gpu_model: str | None = None
    """The GPU as the provider names it."""
    kind: Literal["zero_price", "jump", "empty", "unknown_model", "cross_check", "layout", "stale"]
    """A price of 0; beyond the bound against the last good one; no answer worth the name; a name
    that is not known; two sources that differ; a page that changed; nothing new for too long."""
    value: float | None = None
    """The figure, where there is one."""
    expected: float | None = None
    """What it was held against."""
    detail: str
    """In words, with what to do."""
    raised_at: datetime
    """When."""


@record("market_percentiles", partition_by="measured_at", keep_days=400)
class MarketPercentile:
    """Where prices of a GPU model stood at an instant, as somebody else worked them out; imported.

    Rows of different `scope` or `price_kind` are never shown as one series.
    """

    scope: Literal["market", "market_lowest", "provider_lowest"]
    """Percentiles over a whole market; the cheapest instance of any provider; one provider's
    cheapest offer."""
    provider: str | None = None
    """Whose the cheapest was; None of a whole market."""
    gpu_model: str
    """The GPU as the source names it."""
    model: str | None = None
    """Our name of it; None where it is not known."""
    price_kind: Literal["on_demand", "spot", "mixed"]
    """`mixed` where the source doesn't tell the one from the other."""
    gpu_count: Count | None = None
    """GPUs in the cheapest instance."""
    lowest_usd_per_gpu_hour: Amount
    """The lowest."""
    p10_usd_per_gpu_hour: Amount | None = None
    """A tenth is below it."""
    p25_usd_per_gpu_hour: Amount | None = None
    """A quarter is below it."""
    median_usd_per_gpu_hour: Amount | None = None
    """Half is below it."""
    p75_usd_per_gpu_hour: Amount | None = None
    """Three quarters are below it."""
    p90_usd_per_gpu_hour: Amount | None = None
    """Nine tenths are below it."""
    highest_usd_per_gpu_hour: Amount | None = None
    """The highest."""
    mean_usd_per_gpu_hour: Amount | None = None
    """The mean."""
    offers: Count | None = None
    """Offers seen."""
    offers_in_stock: Count | None = None
    """Of them in stock."""
    offers_high: Count | None = None
    """Of them with high stock."""
    offers_medium: Count | None = None
    """Of them with medium stock."""
    offers_low: Count | None = None
    """Of them with low stock."""
    source: str
    """Where it is from, `import:` before it."""
    payload_digest: str
    """SHA-256 of the row as it was imported; the same row is not taken twice."""
    measured_at: datetime
    """When the source saw it."""
    stored_at: datetime
    """When it was stored."""


@record("market_metrics", partition_by="measured_at", keep_days=90)
class MarketMetric:
    """One of the metrics by which providers are compared; unknown stays None."""

    provider: str
    """Whose; `us` for ourselves."""
    metric: str
    """Its name in `docs/scoring.md`."""
    model: str | None = None
    """The GPU model it is of; None where it is of the provider."""
    value: float | None = None
    """The figure in its unit; None where it is not known."""
    words: str | None = None
    """The value in words, where it is none of figures."""
    unit: str
    """Its unit."""
    basis: Literal["collected", "documented", "own"]
    """From offers over time, from documentation, or from our own rows."""
    evidence: dict[str, Any]
    """`rows`, `from`, `to`, `source`, `date`, `sql` or whatever leads to the rows behind it."""
    measured_at: datetime
    """When it was worked out."""


@record("benchmark_scores", partition_by="scored_at", keep_days=400)
class BenchmarkScore:
    """A provider's score from 0 to 100, of one metric, a group of them, or overall."""

    provider: str
    """Whose; `us` for ourselves."""
    level: Literal["metric", "group", "overall"]
    """Of what."""
    name: str
    """The metric, the group, or `overall`."""
    score: Annotated[float, Bounds(0, 100)] | None = None
    """None where nothing of it is known."""
    known_ratio: Ratio
    """Share of its weight that is known."""
    weight: Amount
    """Its weight within what it belongs to."""
    explanation: str
    """How it came about, in words with the figures."""
    evidence: dict[str, Any]
    """The values it was made from."""
    scored_at: datetime
    """When."""


@record("recommendations")
class Recommendation:
    """What to do about the market, with its effect; a decision for the loop, or for a person."""

    recommendation_id: str
    """Its id."""
    rank: Count
    """Its place among those of its moment, from 1."""
    kind: Literal["decision", "finding"]
    """Something the loop can carry out, or something for a person."""
    title: str
    """In one line, with its figure."""
    reason: str
    """Why, with the figures."""
    effect_usd_per_month: float
    """What it is worth."""
    effect_low_usd_per_month: float
    """Lower end of its range."""
    effect_high_usd_per_month: float
    """Upper end of its range."""
    assumptions: list[str]
    """What it rests on, each in a sentence."""
    action: ActionType | None = None
    """Of a decision: the action type."""
    pool: str | None = None
    """The pool concerned."""
    parameters: dict[str, Any]
    """The action's parameters."""
    decision_id: str | None = None
    """The decision it became."""
    made_at: datetime
    """When."""


@record("price_elasticities")
class PriceElasticity:
    """How demand answers our price in a pool: from our own price changes, or as assumed."""

    pool: str
    """The pool."""
    elasticity: float
    """Relative change of accepted GPU-hours for a relative change of the price; negative."""
    low: float
    """Lower end of its 80 % interval."""
    high: float
    """Upper end."""
    basis: Literal["estimated", "assumed"]
    """From our price changes, or the stated assumption where there are too few."""
    price_changes: Count
    """Changes of ours that went in."""
    detail: str
    """In words, with the source of an assumption."""
    made_at: datetime
    """When."""


# ---------------------------------------------------------------------------- engine


@record("observations", partition_by="observed_at", keep_days=120)
class Observation:
    """What the engine saw of a pool at a tick."""

    observation_id: str
    """Its id."""
    pool: str
    """The pool."""
    features: dict[str, Any]
    """The numbers the policy reads, by name."""
    snapshot_id: Count
    """The warehouse's snapshot it was read from."""
    observed_at: datetime
    """When."""


@record("decisions", partition_by="proposed_at")
class Decision:
    """What the engine proposes, with all it knew. Its state is derived from later rows."""

    decision_id: str
    """Its id, also the idempotency key of carrying it out."""
    action: ActionType
    """The kind of action; doing nothing is one."""
    target: str
    """The thing acted on, for example `pool/h100-us-east`."""
    pool: str
    """The pool concerned."""
    parameters: dict[str, Any]
    """The action's own parameters, for example `{"nodes": 2}`."""
    action_hash: str
    """SHA-256 of action, target and parameters: an approval holds for exactly this."""
    mode: Mode
    """The action's mode when it was proposed."""
    policy: str
    """Who proposed: `rule`, a learned policy's name, or a person."""
    summary: str
    """The decision in one line."""
    reason: str
    """Why, in words with the numbers behind them."""
    evidence: dict[str, Any]
    """Those numbers by name."""
    expected_gain_usd_per_hour: float
    """Gain expected over the horizon against doing nothing."""
    expected_gain_low_usd_per_hour: float
    """Lower end of its interval."""
    expected_gain_high_usd_per_hour: float
    """Upper end of its interval."""
    interval_ratio: Ratio
    """What the interval claims to cover, 0.8 for 80 %."""
    disruption_cost_usd: Amount
    """What carrying it out costs customers."""
    baseline: str
    """What the rule would do here."""
    alternatives: list[dict[str, Any]]
    """What else was weighed, with its gain, and why it was refused."""
    observation_id: str | None = None
    """The observation it rests on."""
    snapshot_id: Count
    """The warehouse's snapshot it was taken on."""
    propensity_ratio: Ratio | None = None
    """Probability with which the policy chose it; 1 for a rule."""
    horizon_seconds: Count
    """Over how long the gain is reckoned, from its execution on."""
    proposed_at: datetime
    """When it was proposed."""
    expires_at: datetime
    """When it lapses if nobody has decided."""


@record("tickets")
class Ticket:
    """The right to do something once. Whoever deletes it in a transaction may."""

    decision_id: str
    """The decision it belongs to; of the purpose `link` the approval link."""
    purpose: Literal["verdict", "execution", "undo", "link"]
    """What may be done once."""


@record("verdicts")
class Verdict:
    """What a person, or a rule in autonomous mode, said to a decision."""

    decision_id: str
    """The decision."""
    verdict: Literal["approve", "override", "reject", "lapse"]
    """Yes as it stands, yes with other parameters, no, or nobody spoke in time."""
    parameters: dict[str, Any]
    """The parameters to carry out: the decision's own, or the edited ones of an override."""
    action_hash: str
    """The hash of what was approved."""
    decided_by: str
    """Who."""
    via: Literal["browser", "api", "rule", "link", "slack"]
    """By which door."""
    reason: str | None = None
    """Why; needed for a reject and an override."""
    first_yes_by: str | None = None
    """Who said the first of two yeses to the same; None where one was enough, and in old rows."""
    decided_at: datetime
    """When."""


@record("executions")
class Execution:
    """A step in carrying a decision out or undoing it; the intent is written before the deed."""

    decision_id: str
    """The decision."""
    kind: Literal["do", "undo"]
    """Carrying it out, or taking it back."""
    phase: Literal["intended", "succeeded", "failed", "refused"]
    """Intended, then one of the others. Refused: the re-check or a guard said no."""
    parameters: dict[str, Any]
    """What was asked of the actuator."""
    result: dict[str, Any]
    """What it answered; what undoing needs is kept here."""
    detail: str | None = None
    """In words: the error or the guard's sentence."""
    happened_at: datetime
    """When."""


@record("execution_steps")
class ExecutionStep:
    """A step of a deed that takes several; written before it is taken, and again when it ended."""

    decision_id: str
    """The decision."""
    kind: Literal["do", "undo"]
    """Carrying it out, or taking it back."""
    position: Count
    """Its place in the order, from 0."""
    step: str
    """What it does: `cordon`, `suspend`, `wait_suspended`, …"""
    target: str
    """The object: `node/gpu-1`, `job/team/train`, …"""
    phase: Literal["intended", "waiting", "done", "skipped", "failed", "reverted", "left"]
    """Intended; begun and not over; over; not needed; in vain; taken back after a later one failed;
    could not be taken back."""
    found: dict[str, Any]
    """What was there before it: what taking it back needs."""
    answer: dict[str, Any]
    """What came of it."""
    detail: str | None = None
    """In words: what it waits for, or why it failed."""
    happened_at: datetime
    """When."""


@record("approvals")
class Approval:
    """A yes that is not enough by itself, where two people must say it."""

    decision_id: str
    """The decision."""
    parameters: dict[str, Any]
    """What was said yes to: the decision's own, or edited ones."""
    action_hash: str
    """Its hash: two say yes to the same."""
    approved_by: str
    """Who."""
    via: Literal["browser", "api", "rule", "link", "slack"]
    """By which door."""
    reason: str | None = None
    """Why; needed where the parameters were edited."""
    approved_at: datetime
    """When."""


@record("leases")
class Lease:
    """Who acts, where several consoles share a warehouse; the newest row of a name holds."""

    name: str
    """What is held: `engine`."""
    holder: str
    """Who."""
    term: Count
    """Raised whenever the holder changes."""
    renewed_at: datetime
    """When it was last renewed."""
    expires_at: datetime
    """When others may take it."""


@record("undo_requests")
class UndoRequest:
    """A person, or the evaluation, asks that a decision be undone."""

    decision_id: str
    """The decision."""
    requested_by: str
    """Who; `evaluation` where it was found to do harm."""
    reason: str
    """Why."""
    requested_at: datetime
    """When."""


@record("withdrawals")
class Withdrawal:
    """A person takes an approval back before carrying it out has begun."""

    decision_id: str
    """The decision."""
    withdrawn_by: str
    """Who."""
    reason: str
    """Why."""
    withdrawn_at: datetime
    """When."""


@record("outcomes")
class Outcome:
    """What came of a decision, against what would have happened without it."""

    decision_id: str
    """The decision."""
    realised_gain_usd_per_hour: float | None = None
    """The gain measured over the horizon; None where it can't be measured."""
    realised_gain_low_usd_per_hour: float | None = None
    """Lower end of its interval; the value itself where the counterfactual is exact."""
    realised_gain_high_usd_per_hour: float | None = None
    """Upper end of its interval."""
    judgement: Literal["helped", "harmed", "inconclusive", "unmeasured"] | None = None
    """What the interval says: above 0, below 0, around it, or nobody can tell. None in old rows."""
    criterion: str | None = None
    """The action type's own success criterion, in words."""
    criterion_is_met: bool | None = None
    """Whether it is met; None where it can't be told."""
    method: str
    """How it was measured: `twin` against the fleet's own counterfactual, or `unmeasured`."""
    did_harm: bool
    """Whether it is judged harmful, and so undone or put to a person."""
    detail: str
    """The judgement in words."""
    measured_at: datetime
    """When."""


@record("refusals", partition_by="refused_at", keep_days=400)
class Refusal:
    """A candidate that a guard held back: why not, on record."""

    action: ActionType
    """The kind of action."""
    target: str
    """On what."""
    parameters: dict[str, Any]
    """With what parameters."""
    guard: str
    """The guard's name."""
    detail: str
    """Its sentence, with the numbers."""
    expected_gain_usd_per_hour: float | None = None
    """The gain forgone."""
    pool: str | None = None
    """The pool it concerns; None in old rows."""
    decision_id: str | None = None
    """The decision, where one had been made."""
    refused_at: datetime
    """When."""


@record("forecasts", partition_by="issued_at", keep_days=120)
class Forecast:
    """What is expected of a pool's series at one later instant."""

    pool: str
    """The pool."""
    series: Literal["occupancy", "arrivals", "market_price"]
    """GPUs in use, offers an hour, or the market's price in USD per GPU-hour."""
    target_at: datetime
    """The instant forecast; for arrivals the end of the span from the issue on."""
    horizon_seconds: Count
    """From the issue to the target."""
    q10: float
    """One in ten comes out below."""
    q50: float
    """The median."""
    q90: float
    """One in ten comes out above."""
    q95: float
    """One in twenty comes out above."""
    model: Literal["boosted", "seasonal", "persistence"]
    """Whichever had the lower pinball loss lately; persistence is the floor."""
    coverage_ratio: Ratio | None = None
    """Share of the last fortnight's targets inside q10 to q90; None while too few came in."""
    skill_ratio: float | None = None
    """1 less the pinball loss over persistence's, over the last fortnight."""
    issued_at: datetime
    """When it was made."""


@record("policies")
class PolicyVersion:
    """A version of a policy: what it is, what it learned from, and how it did at the gates."""

    policy_id: str
    """Its id: `rule`, or the name and digest of its weights."""
    kind: Literal["rule", "network"]
    """Hand-made, or learned."""
    origin: Literal["shipped", "challenger"]
    """Came with the console, or was trained on its own history."""
    parent_id: str | None = None
    """The version it was trained on from."""
    run_id: str | None = None
    """The training run that made it."""
    weights_sha256: str | None = None
    """Digest of its weights; loading checks it."""
    weights_file: str | None = None
    """Where they are, under the console's home or in the program."""
    snapshot_id: Count | None = None
    """The warehouse's snapshot that its data was read from."""
    settings: dict[str, Any]
    """How it was trained, the dial's settings among it."""
    gates: list[dict[str, Any]]
    """Each gate: `name`, `passed`, `value`, `threshold`, `sentence`."""
    figures: dict[str, Any]
    """What it was measured at, by name."""
    created_at: datetime
    """When."""


@record("training_runs")
class TrainingRun:
    """A run of training, from its first decision to its end."""

    run_id: str
    """Its id."""
    purpose: Literal["shipped", "fine_tune"]
    """From scratch for everyone, or on this console's own history."""
    seeds: list[int]
    """One member of the ensemble each."""
    decisions: Count
    """Decisions practised, all seeds together."""
    duration_seconds: Amount
    """How long it took."""
    curve: list[dict[str, Any]]
    """Learning curve: `seed`, `decisions`, `gain_ratio`, `explained_variance`, `approx_kl`, …"""
    outcome: Literal["finished", "failed", "refused"]
    """How it ended; refused where there was too little to learn from."""
    detail: str
    """In words."""
    started_at: datetime
    """When."""


@record("champions")
class Champion:
    """Who steers, and since when; the newest row holds."""

    policy_id: str
    """The policy."""
    previous_policy_id: str | None = None
    """Who did before: what rolling back returns to."""
    decision_id: str | None = None
    """The decision that promoted it, where one did."""
    set_by: str
    """A person, or the rule that rolled it back."""
    reason: str
    """Why."""
    since_at: datetime
    """When."""


@record("shadow_proposals", partition_by="proposed_at", keep_days=120)
class ShadowProposal:
    """What a policy would do with a pool at a tick, whether or not it steers."""

    pool: str
    """The pool."""
    policy_id: str
    """The policy."""
    role: Literal["champion", "challenger", "rule"]
    """Its standing then."""
    nodes: int
    """Nodes to add, negative to release."""
    price_usd_per_gpu_hour: Amount
    """The price it would set."""
    consolidation: Literal["empties_only", "drain", "migrate"]
    """How it would release nodes."""
    heal: Literal["nobody", "strict", "loose"]
    """Which suspect nodes it would repair."""
    spot_ratio: Ratio
    """Share of idle GPUs it would sell as spot."""
    is_clipped: bool
    """Whether the envelope around the rule held it back."""
    propensities: dict[str, Any]
    """The probability of what it chose, by head."""
    value_usd: float | None = None
    """The critic's estimate of what it will earn beyond the rule; None for the rule."""
    drivers: list[dict[str, Any]]
    """What moved it away from the rule: `feature`, `value`, `usual`, `effect`, `words`."""
    observation_id: str | None = None
    """The observation it rests on."""
    proposed_at: datetime
    """When."""


@record("shadow_scores", partition_by="starts_at", keep_days=400)
class ShadowScore:
    """What a policy would have earned in a span: played by the twin on what really came."""

    pool: str
    """The pool."""
    policy_id: str
    """The policy."""
    role: Literal["champion", "challenger", "rule"]
    """Its standing then."""
    profit_usd: float
    """Contribution profit by the twin, mean over redrawn customers."""
    rule_profit_usd: float
    """The rule's on the same arrivals, market, failures and draws."""
    gain_low_usd: float
    """Lower end of the 80 % interval of the difference, over the redraws."""
    gain_high_usd: float
    """Its upper end."""
    late_ratio: Ratio
    """Share of started jobs that started later than promised."""
    rule_late_ratio: Ratio
    """The rule's."""
    utilisation_ratio: Ratio
    """GPU-hours used over GPU-hours on."""
    redraws: Count
    """How often customers were drawn anew."""
    starts_at: datetime
    """The span's start."""
    ends_at: datetime
    """Its end."""


@record("twin_checks", partition_by="starts_at", keep_days=400)
class TwinCheck:
    """The twin against reality: the same span under the commands that were really given."""

    pool: str
    """The pool."""
    twin_profit_usd: float
    """By the twin, mean over redrawn customers."""
    actual_profit_usd: float | None = None
    """By the ledger; None where no ledger covers the span."""
    twin_used_gpu_hours: Amount
    """By the twin."""
    actual_used_gpu_hours: Amount
    """By the readings."""
    error_ratio: float
    """Twin over actual, less 1: of the profit where it is known, else of the GPU-hours."""
    drift: float
    """CUSUM of the standardised error; past the threshold the twin no longer matches."""
    threshold: float | None = None
    """That threshold."""
    is_valid: bool
    """Whether the twin may judge."""
    detail: str
    """In words."""
    starts_at: datetime
    """The span's start."""
    ends_at: datetime
    """Its end."""


@record("policy_alarms")
class PolicyAlarm:
    """A trigger that took a policy out of service, or would have."""

    policy_id: str
    """The policy that steered."""
    pool: str | None = None
    """The pool that showed it; None where it is of them all."""
    trigger: Literal[
        "cusum", "late_burn", "price_bounds", "failing_actions", "twin_drift", "weights"
    ]
    """What was seen."""
    value: float
    """The figure."""
    threshold: float
    """What it may not pass."""
    detail: str
    """In words, with what was done."""
    raised_at: datetime
    """When."""


@record("controls")
class Control:
    """A setting that people change while the console runs; the newest row of a name holds."""

    name: str
    """Its name: `kill_switch`, `mode.scale_up`, `limit.price_step_ratio`, …"""
    value: dict[str, Any]
    """`{"value": …}`."""
    set_by: str
    """Who."""
    reason: str | None = None
    """Why."""
    set_at: datetime
    """When."""


# ---------------------------------------------------------------------------- house


@record("collector_runs", partition_by="started_at", keep_days=14)
class CollectorRun:
    """One run of one collector."""

    collector: str
    """Its name."""
    outcome: Literal["succeeded", "failed", "timed_out", "skipped"]
    """How it ended. Skipped: there is nothing here for it to read, and that is said."""
    row_count: Count
    """Rows stored."""
    attempt_count: Count
    """Tries it took."""
    detail: str | None = None
    """The error, or why it was skipped."""
    started_at: datetime
    """When it began."""
    duration_seconds: Amount
    """How long it took."""


@record("usage_events", partition_by="happened_at", keep_days=400)
class UsageEvent:
    """What somebody did with the console or the API, counted: no personal data beyond the ids."""

    tenant: str | None = None
    """The tenant; None of people who belong to none, such as operators."""
    user_id: str | None = None
    """Who; None where it is not known, as at a failed sign-in."""
    kind: Literal["api_call", "sign_in", "sign_in_failed", "page_view", "download", "sql_question"]
    """What. What jobs do is in `job_events`."""
    subject: str | None = None
    """On what: the route's template, the page, the file's kind; never what was typed."""
    count: Count
    """How often in the minute."""
    happened_at: datetime
    """The minute, by the machine's clock."""


@record("storage_readings", partition_by="measured_at", keep_days=400)
class StorageReading:
    """How large one table of the warehouse was at an instant."""

    table_name: str
    """The table."""
    row_count: Count
    """Rows in its files and in the catalogue."""
    file_count: Count
    """Parquet files."""
    size_bytes: Count
    """Of those files."""
    delete_file_count: Count
    """Files that say which rows of others are gone."""
    oldest_at: datetime | None = None
    """The first day that is kept, where it is kept by day."""
    measured_at: datetime
    """When."""


@record("upkeep_runs", partition_by="started_at", keep_days=30)
class UpkeepRun:
    """One run of one job of the house: roll-ups, merging, retention, metering, exports."""

    job: str
    """Its name."""
    outcome: Literal["succeeded", "failed"]
    """How it ended."""
    detail: str
    """What it did, or the error."""
    row_count: Count
    """Rows it wrote or removed."""
    started_at: datetime
    """When it began."""
    duration_seconds: Amount
    """How long it took."""


@record("users")
class User:
    """A person or program that may sign in; the newest row of a name holds."""

    user_name: str
    """The name."""
    role: Role
    """What it may do."""
    password_hash: str | None = None
    """argon2id; None where only tokens are used."""
    is_active: bool
    """False once it is switched off."""
    session_epoch: Count
    """Raised to end all its sessions."""
    tenant: str | None = None
    """Whose person it is; None of people who belong to no tenant, such as operators."""
    recorded_at: datetime
    """When this row came into force."""


@record("api_tokens")
class ApiToken:
    """An API token; only its hash is kept. The newest row of an id holds."""

    token_id: str
    """The public half, by which it is found."""
    secret_hash: str
    """SHA-256 of the secret half, which has 256 random bits."""
    user_name: str
    """Whose it is."""
    role: Role
    """What it may do, at most its owner's."""
    label: str
    """What for."""
    is_active: bool
    """False once revoked."""
    recorded_at: datetime
    """When this row came into force."""
    expires_at: datetime | None = None
    """When it lapses."""


@record("audit_events")
class AuditEvent:
    """Who did what."""

    actor: str
    """Who."""
    act: str
    """What, as `noun.verb`: `session.start`, `decision.approve`, `control.set`, …"""
    target: str
    """On what."""
    detail: dict[str, Any]
    """The particulars."""
    via: Literal["browser", "api", "rule", "console", "link", "slack"]
    """By which door."""
    address: str | None = None
    """From where."""
    happened_at: datetime
    """When."""


@record("simulations")
class Simulation:
    """The simulated fleet this warehouse belongs to: all it takes to build it again."""

    settings: dict[str, Any]
    """Seed, pools and workload."""
    workload: str
    """In words: whence the jobs come."""
    history_starts_at: datetime
    """The fleet's first instant."""
    live_from_at: datetime
    """Where the history ends and the live clock begins."""
    recorded_at: datetime
    """When it was made, by the wall clock."""


@record("fleet_commands")
class FleetCommand:
    """A command the simulated fleet has taken; with the seed these replay it exactly."""

    command_id: str
    """Its idempotency key."""
    command: str
    """Which."""
    arguments: dict[str, Any]
    """With what."""
    result: dict[str, Any]
    """What it did."""
    applied_at: datetime
    """When, on the fleet's clock."""


@record("clock_jumps")
class ClockJump:
    """The wall clock stepped backward; the console's own clock held still meanwhile."""

    stepped_back_seconds: Amount
    """By how much."""
    noticed_at: datetime
    """The console's instant at which it was noticed."""


# -------------------------------------------------------- requests that are sent again


@record("request_keys", partition_by="claimed_at", keep_days=2.0)
class RequestKey:
    """A request of the API that came with an `Idempotency-Key`, before it was carried out."""

    key_hash: str
    """SHA-256 of who sent it, where to, and the key."""
    claim_id: str
    """This claim; of several that came at once the first row has the key."""
    fingerprint: str
    """SHA-256 of what was sent: the same key with something else is refused."""
    claimed_at: datetime
    """When it came, by the machine's clock."""


@record("request_answers", partition_by="answered_at", keep_days=2.0)
class RequestAnswer:
    """What was answered to such a request: the same is answered when it is sent again."""

    claim_id: str
    """The claim that it answers."""
    status: Count
    """The HTTP status; 500 and above let go of the key, so that the next one is carried out."""
    headers: dict[str, Any]
    """Its headers that tell of the answer: type, place, ETag."""
    body: str | None
    """The answer; None where it told a secret, which is told once."""
    answered_at: datetime
    """When, by the machine's clock."""


# -- approvals from elsewhere: links, messages -----------------------------------------


@record("decision_messages")
class DecisionMessage:
    """What became of the message that asks for a decision in a chat: one step of it."""

    decision_id: str
    """The decision it asks for."""
    phase: Literal["intended", "posted", "failed", "settled", "not_settled"]
    """About to be posted, posted, not posted; then told what became of it, or failed to be told."""
    channel: str | None = None
    """Where it was posted, by the chat's own id; None where the chat doesn't say."""
    message_ts: str | None = None
    """Which message there, by the chat's own id; None where the chat doesn't say."""
    detail: str | None = None
    """Why it failed."""
    recorded_at: datetime
    """When, by the machine's clock."""


@record("approval_links")
class ApprovalLink:
    """A signed link to one decision; the newest row of a link holds. It keeps no secret."""

    link_id: str
    """Its id; what is given out is signed, and can't be made from it."""
    decision_id: str
    """The decision it shows."""
    action_hash: str
    """The hash of the action that a yes by it is to."""
    right: Literal["sign_in", "single_use"]
    """It shows the decision and leads to the console, or it carries one verdict of its own."""
    speaks_for: str | None = None
    """Whose verdict it carries; None where it carries none."""
    made_by: str
    """Who made it."""
    is_active: bool
    """False once it was revoked."""
    expires_at: datetime
    """Until when it opens, by the machine's clock."""
    recorded_at: datetime
    """When this row was written."""
