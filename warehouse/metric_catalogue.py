"""The metrics by which providers are compared: each with its unit, its group and its scale.

A scale is a list of (value, score) points. Between two points the score is a straight line, over
the value itself or over its logarithm; beyond the ends it stays. Scores rise or fall all along, so
that a better value never scores less. Where the points come from is in `docs/scoring.md`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Group = Literal["price", "performance", "availability", "reliability", "network_storage", "terms"]
Basis = Literal["collected", "documented", "own"]
Points = tuple[tuple[float, float], ...]

US = "us"
"""The provider that we are."""
GROUPS: dict[Group, str] = {
    "price": "Price",
    "performance": "Performance",
    "availability": "Availability",
    "reliability": "Reliability",
    "network_storage": "Network and storage",
    "terms": "Terms",
}
"""Every group and its label, in the order they are shown."""


@dataclass(frozen=True)
class Metric:
    """One thing that providers are compared by."""

    name: str
    label: str
    group: Group
    unit: str
    meaning: str
    """What it is and how it is worked out, in a sentence."""
    points: Points = ()
    """The scale; none where it is shown and not scored."""
    is_logarithmic: bool = False
    """Whether lines between the points are drawn over the logarithm of the value."""
    weight: float = 1.0
    """Its default weight within its group."""

    @property
    def is_scored(self) -> bool:
        """Whether it counts."""
        return bool(self.points)

    @property
    def more_is_better(self) -> bool | None:
        """Which way is better; None where it is not scored."""
        return self.points[-1][1] > self.points[0][1] if self.points else None


def score_of(metric: Metric, value: float) -> float:
    """The score of a value, 0 to 100, by the metric's points."""
    points = metric.points
    if value <= points[0][0]:
        return points[0][1]
    for (low, low_score), (high, high_score) in pairwise(points):
        if value <= high:
            share = _share(value, low, high, is_logarithmic=metric.is_logarithmic)
            return low_score + share * (high_score - low_score)
    return points[-1][1]


def _share(value: float, low: float, high: float, *, is_logarithmic: bool) -> float:
    if is_logarithmic:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


_BETTER_UP_RATIO: Points = ((0.0, 0), (0.5, 40), (0.9, 80), (1.0, 100))
_UPTIME: Points = ((0.90, 0), (0.95, 20), (0.99, 60), (0.999, 90), (1.0, 100))
_MEGABITS: Points = ((100, 0), (1000, 40), (10_000, 80), (100_000, 100))

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        # -- price
        Metric(
            "on_demand_price", "On-demand price", "price", "ratio to the others' median",
            "On-demand price of a GPU-hour over the median of the other providers', the geometric "
            "mean over the models that both have; by model in USD per GPU-hour.",
            ((0.5, 100), (0.8, 80), (1.0, 60), (1.25, 35), (2.0, 0)), True, 5.0,
        ),
        Metric(
            "spot_discount", "Spot discount", "price", "ratio",
            "What spot costs less than on-demand, the median over models.",
            ((0.0, 0), (0.3, 50), (0.6, 90), (0.8, 100)),
        ),
        Metric(
            "commitment_discount", "Commitment discount", "price", "ratio",
            "What the longest commitment costs less than on-demand, the median over models.",
            ((0.0, 0), (0.2, 50), (0.4, 85), (0.6, 100)),
        ),
        Metric(
            "secure_premium", "Premium of secure", "price", "ratio",
            "What a data centre costs more than anybody's host, the median over models.",
            ((0.0, 100), (0.25, 70), (0.5, 40), (1.0, 0)), weight=0.5,
        ),
        Metric(
            "price_changes", "Price changes in 30 days", "price", "changes a model",
            "Days on which the on-demand price moved by more than 0.5 %, the mean over models.",
            ((0, 100), (2, 80), (8, 40), (30, 0)), weight=0.5,
        ),
        Metric(
            "price_volatility", "Price volatility", "price", "ratio a day",
            "Standard deviation of the daily change of the log price, the mean over models.",
            ((0.0, 100), (0.02, 80), (0.05, 50), (0.15, 0)), weight=0.5,
        ),
        Metric(
            "price_dispersion", "Price dispersion p10/p90", "price", "ratio",
            "The tenth over the ninetieth percentile of a model's offers, the median over models: "
            "1 is one price for all.",
            ((0.2, 0), (0.5, 40), (0.8, 80), (1.0, 100)), weight=0.5,
        ),
        # -- performance
        Metric(
            "performance_per_dollar", "Performance per dollar", "performance",
            "TFLOP/s per USD per hour",
            "Dense BF16 TFLOP/s of the data sheet over the on-demand price, of the model that has "
            "most.",
            ((100, 0), (250, 50), (500, 85), (1000, 100)), True, 2.0,
        ),
        Metric(
            "interconnect", "Interconnect bandwidth", "performance", "Gbit/s",
            "Network between instances, the best on offer.",
            ((10, 0), (100, 30), (400, 50), (1600, 80), (3200, 100)), True, 2.0,
        ),
        Metric(
            "vcpu_per_gpu", "vCPU per GPU", "performance", "vCPU",
            "The median over offers.", ((2, 0), (8, 50), (16, 80), (32, 100)), True,
        ),
        Metric(
            "memory_per_gpu", "RAM per GPU", "performance", "GB",
            "Main memory, the median over offers.",
            ((16, 0), (64, 40), (128, 65), (256, 100)), True,
        ),
        Metric(
            "cold_start", "Cold start", "performance", "seconds",
            "From asking for a node to its being ready, the median.",
            ((5, 100), (60, 80), (300, 50), (1200, 20), (3600, 0)), True,
        ),
        Metric(
            "dlperf_per_dollar", "DLPerf per dollar", "performance", "DLPerf per USD per hour",
            "The provider's own measure; not scored, since but one provider has it.",
        ),
        # -- availability
        Metric(
            "availability_rate", "Availability rate", "availability", "ratio",
            "Share of a month's polls in which a model was in stock, the mean over models; ours: "
            "share of readings in which a node's worth of GPUs was free and nobody waited.",
            _BETTER_UP_RATIO, weight=3.0,
        ),
        Metric(
            "stock_level", "Stock level", "availability", "ratio",
            "High 1, medium 2/3, low 1/3, none 0, the mean over models.",
            ((0.0, 0), (1.0, 100)), weight=2.0,
        ),
        Metric(
            "queue_wait", "Queue wait", "availability", "seconds",
            "From submitting a job to its start, the ninetieth percentile of 30 days.",
            ((0, 100), (60, 85), (600, 50), (3600, 10), (14_400, 0)),
        ),
        Metric(
            "regions", "Regions", "availability", "regions", "Different regions on offer.",
            ((1, 10), (5, 45), (10, 65), (30, 100)), True,
        ),
        Metric(
            "gpu_models", "GPU models offered", "availability", "models",
            "Different GPU models on offer.", ((1, 5), (5, 35), (10, 60), (30, 100)), True,
        ),
        Metric(
            "max_gpus", "Most GPUs an instance", "availability", "GPUs",
            "The largest instance on offer.", ((1, 0), (8, 80), (16, 100)), True,
        ),
        Metric(
            "cluster_gpus", "Cluster size", "availability", "GPUs",
            "Most GPUs of a cluster that can be ordered without talking to sales.",
            ((8, 0), (64, 30), (512, 70), (2000, 90), (10_000, 100)), True,
        ),
        Metric(
            "utilisation", "Utilisation", "availability", "ratio",
            "Share of the GPUs that are on which jobs hold; not scored: full is good for us and "
            "bad for who waits.",
        ),
        Metric(
            "data_age", "Age of the data", "availability", "hours",
            "Since the last successful collection; not scored: it tells of us, not of them.",
        ),
        # -- reliability
        Metric(
            "host_reliability", "Host reliability", "reliability", "ratio",
            "The provider's own measure, the median over hosts; ours: share of node-hours in which "
            "nodes were not down.",
            _UPTIME, weight=2.0,
        ),
        Metric(
            "uptime_sla", "Uptime SLA", "reliability", "ratio", "The uptime that is promised.",
            ((0.95, 0), (0.99, 50), (0.999, 80), (0.9999, 100)),
        ),
        Metric(
            "preemption_notice", "Preemption notice", "reliability", "seconds",
            "Warning before a spot instance goes.",
            ((0, 0), (5, 10), (30, 40), (120, 75), (600, 100)),
        ),
        Metric(
            "job_failures", "Jobs interrupted", "reliability", "ratio",
            "Failures over starts of jobs; not scored: nobody else tells.",
        ),
        Metric(
            "certifications", "Certifications", "reliability", "words",
            "What is claimed; not scored, since a claim is not a finding.",
        ),
        # -- network and storage
        Metric(
            "storage_price", "Storage", "network_storage", "USD/GB-month",
            "The median over offers.",
            ((0.0, 100), (0.03, 80), (0.07, 60), (0.1, 45), (0.2, 20), (0.5, 0)), weight=2.0,
        ),
        Metric(
            "egress_price", "Egress", "network_storage", "USD/GB",
            "Traffic out, the median over offers.",
            ((0.0, 100), (0.01, 80), (0.05, 40), (0.09, 20), (0.15, 0)), weight=2.0,
        ),
        Metric(
            "ingress_price", "Ingress", "network_storage", "USD/GB",
            "Traffic in, the median over offers.",
            ((0.0, 100), (0.01, 70), (0.05, 20), (0.1, 0)),
        ),
        Metric(
            "local_disk", "Local disk per GPU", "network_storage", "GB", "The median over offers.",
            ((20, 0), (200, 40), (1000, 75), (4000, 100)), True,
        ),
        Metric(
            "download", "Network down", "network_storage", "Mbit/s", "The median over offers.",
            _MEGABITS, True,
        ),
        Metric(
            "upload", "Network up", "network_storage", "Mbit/s", "The median over offers.",
            _MEGABITS, True,
        ),
        # -- terms
        Metric(
            "billing_granularity", "Billing granularity", "terms", "seconds",
            "The smallest span that is billed.",
            ((1, 100), (60, 90), (3600, 30), (86_400, 0)), True, 2.0,
        ),
        Metric(
            "minimum_commitment", "Minimum commitment", "terms", "hours",
            "On demand: the least that is owed.",
            ((0, 100), (1, 80), (24, 50), (168, 30), (720, 0)), weight=2.0,
        ),
        Metric(
            "api_rate", "API limit", "terms", "requests a minute", "Requests that are answered.",
            ((1, 0), (10, 30), (60, 60), (600, 100)), True,
        ),
        Metric(
            "spend_limit", "Default spend limit", "terms", "USD/h",
            "What a new account may spend.", ((1, 0), (80, 50), (1000, 100)), True,
        ),
    )
}  # fmt: skip
"""Every metric by its name, in the order they are shown."""

DEFAULT_GROUP_WEIGHTS: dict[Group, float] = {
    "price": 0.30,
    "performance": 0.20,
    "availability": 0.20,
    "reliability": 0.15,
    "network_storage": 0.10,
    "terms": 0.05,
}


def metrics_of(group: str) -> list[Metric]:
    """The metrics of a group that count, in their order."""
    return [metric for metric in METRICS.values() if metric.group == group and metric.is_scored]
