"""A sight of this host's GPUs as Prometheus text, under DCGM's names and dcgm-exporter's labels.

What NVML doesn't tell is left out: never 0, never NaN. What DCGM has no name for bears the prefix
`pilothouse_`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as SeriesSource

from collectors import dcgm_fields as dcgm
from collectors.agent_facts import GpuFacts
from collectors.agent_reading import Passed, Sight
from warehouse.records import GpuSample

_FIRST_OF_COLUMN = {field.column: field for field in reversed(dcgm.FIELDS)}
SERVED = tuple(field for field in dcgm.FIELDS if _FIRST_OF_COLUMN[field.column] is field)
"""Where two of DCGM's metrics fill one column, the first."""

COUNTERS = frozenset(
    {field.name for field in SERVED if field.kind == "counter"}
    | {dcgm.REMAPPED_CORRECTABLE, dcgm.REMAPPED_UNCORRECTABLE, dcgm.XID_TOTAL}
)
"""DCGM's counters. Their names don't end as OpenMetrics wants a counter's to."""

LINGERS = timedelta(seconds=90)
"""So long the XIDs of a GPU that is gone are told on, for those who scrape seldom."""

_BITS = {word: bit for bit, word in dcgm.REASON_BITS}


class GpuSeries(SeriesSource):
    """Every series of the GPUs, from the sight that is had when it is asked."""

    def __init__(self, sight: Callable[[], Sight]) -> None:
        self._sight = sight

    def describe(self) -> Iterable[Metric]:
        """Nothing is read when it is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The series of every GPU and MIG instance that was read; no name without one."""
        yield from (metric for metric in _metrics(self._sight()) if metric.samples)


def _metrics(sight: Sight) -> Iterator[Metric]:
    yield _events(sight)
    if sight.passed is not None:
        yield from _fields(sight.passed)
        yield from _memory(sight.passed)
        yield from _remapped(sight.passed)
        yield from _reasons(sight.passed)
        yield _xids(sight, sight.passed)
        yield _xid_counts(sight, sight.passed)
        yield _process_counts(sight.passed)
        yield _ups(sight, sight.passed)


def encoded(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The text in the format that an `Accept` header asks for, and its content type."""
    encoder, content_type = choose_encoder(accept)
    text = encoder(registry)
    if content_type.startswith("text/plain"):
        for name in COUNTERS:  # OpenMetrics has no way to say so, the plain text has
            text = text.replace(
                f"# TYPE {name} untyped\n".encode(), f"# TYPE {name} counter\n".encode()
            )
    return text, content_type


def labels(sample: GpuSample, passed: Passed) -> dict[str, str]:
    """dcgm-exporter's labels of a GPU or an instance; one that NVML doesn't tell is left out.

    An instance has its GPU's index and UUID, and its own in labels of their own.
    """
    facts = passed.facts.gpus.get(sample.gpu_id, GpuFacts())
    told = {
        dcgm.LABEL_INDEX: str(sample.slot),
        dcgm.LABEL_UUID: sample.parent_gpu_id or sample.gpu_id,
        dcgm.LABEL_BUS: facts.bus_id,
        dcgm.LABEL_DEVICE: facts.device,
        dcgm.LABEL_MODEL: sample.gpu_model,
        dcgm.LABEL_HOST: sample.node_id,
        dcgm.LABEL_DRIVER: passed.facts.driver_version,
    }
    if sample.parent_gpu_id is not None:
        number = facts.instance_id
        told |= {
            dcgm.LABEL_PROFILE: sample.mig_profile,
            dcgm.LABEL_INSTANCE: None if number is None else str(number),
            dcgm.LABEL_INSTANCE_UUID: sample.gpu_id,
        }
    return {name: value for name, value in told.items() if value is not None}


# -- DCGM's names ------------------------------------------------------------------------


def _fields(passed: Passed) -> Iterator[Metric]:
    for field in SERVED:
        values = ((each, getattr(each, field.column)) for each in passed.reading.samples)
        told = (
            (each, _in_dcgms_unit(value, field.scale))
            for each, value in values
            if value is not None
        )
        yield _metric(field.name, field.kind, field.words, told, passed)


def _in_dcgms_unit(value: float, scale: float) -> float:
    """A ratio as percent, bytes as MiB. Bytes divide evenly; the rest loses the float's dust."""
    return value / scale if scale >= 1.0 else round(value / scale, 6)


def _memory(passed: Passed) -> Iterator[Metric]:
    kinds: tuple[tuple[str, str, Callable[[GpuSample], int | None]], ...] = (
        (dcgm.FB_TOTAL, "Framebuffer memory (in MiB).", lambda each: each.memory_total_bytes),
        (
            dcgm.FB_FREE,
            "Framebuffer memory free (in MiB).",
            lambda each: passed.facts.gpus[each.gpu_id].free_bytes,
        ),
        (
            dcgm.FB_RESERVED,
            "Framebuffer memory kept by the driver (in MiB).",
            lambda each: passed.facts.gpus[each.gpu_id].reserved_bytes,
        ),
    )
    for name, words, column in kinds:
        values = ((each, column(each)) for each in passed.reading.samples)
        told = ((each, value / dcgm.MEBIBYTE) for each, value in values if value is not None)
        yield _metric(name, "gauge", words, told, passed)


def _remapped(passed: Passed) -> Iterator[Metric]:
    rows = [
        (each, remapped)
        for each in passed.reading.samples
        if (remapped := passed.facts.gpus[each.gpu_id].remapped_rows) is not None
    ]
    for index, (name, cause) in enumerate(
        ((dcgm.REMAPPED_CORRECTABLE, "correctable"), (dcgm.REMAPPED_UNCORRECTABLE, "uncorrectable"))
    ):
        told = ((each, float(remapped[index])) for each, remapped in rows)
        yield _metric(name, "counter", f"Rows remapped after {cause} errors.", told, passed)
    for name, column, words in (
        (dcgm.REMAP_PENDING, "row_remap_is_pending", "A remapping waits for a reset of the GPU."),
        (dcgm.REMAP_FAILURE, "row_remap_has_failed", "A row could not be remapped."),
    ):
        flags = ((each, getattr(each, column)) for each in passed.reading.samples)
        told = ((each, float(flag)) for each, flag in flags if flag is not None)
        yield _metric(name, "gauge", words, told, passed)


def _reasons(passed: Passed) -> Iterator[Metric]:
    told = (
        (each, float(mask(each.throttle_reasons)))
        for each in passed.reading.samples
        if each.throttle_reasons is not None
    )
    words = "Why clocks are held down, a bit mask."
    yield _metric(dcgm.THROTTLE_REASONS[0], "gauge", words, told, passed)


def mask(reasons: str) -> int:
    """The bits of `throttle_reasons`; the words are those of `nvml_reading.py`."""
    return sum(
        _BITS[word] if word in _BITS else int(word, 16) for word in reasons.split(",") if word
    )


def _xids(sight: Sight, passed: Passed) -> Metric:
    told = (
        (sample, float(sight.last_xids.get(gpu_id, 0)))
        for gpu_id, sample in _lately(sight, passed).items()
        if gpu_id in sight.heard or gpu_id in sight.last_xids
    )
    return _metric(dcgm.XID_ERRORS, "gauge", "The last XID error, 0 for none.", told, passed)


def _lately(sight: Sight, passed: Passed) -> dict[str, GpuSample]:
    """The GPUs that are here, and those just gone: it is by its last XID that a GPU goes."""
    newest_at = max(each.measured_at for each in passed.reading.samples)
    return {
        gpu_id: sample
        for gpu_id, sample in sight.gpus.items()
        if newest_at - sample.measured_at <= LINGERS
    }


def _xid_counts(sight: Sight, passed: Passed) -> Metric:
    counter = Metric(dcgm.XID_TOTAL, "How often each XID error came.", "unknown")
    gpus = _lately(sight, passed)
    for (gpu_id, kind, code), number in sight.event_counts.items():
        sample = gpus.get(gpu_id or "")
        if kind == "xid" and sample is not None:
            told = labels(sample, passed) | {"xid": str(code)}
            counter.add_sample(dcgm.XID_TOTAL, told, number)
    return counter


def _metric(
    name: str, kind: str, words: str, told: Iterable[tuple[GpuSample, float]], passed: Passed
) -> Metric:
    made = Metric(name, words, "unknown" if name in COUNTERS else kind)
    for sample, value in told:
        made.add_sample(name, labels(sample, passed), value)
    return made


# -- names of our own --------------------------------------------------------------------


def _process_counts(passed: Passed) -> Metric:
    told = (
        (each, float(each.process_count))
        for each in passed.reading.samples
        if each.process_count is not None
    )
    words = "Compute processes on the GPU or the MIG instance."
    return _metric("pilothouse_gpu_process_count", "gauge", words, told, passed)


def _ups(sight: Sight, passed: Passed) -> Metric:
    """1 for a GPU that was read, 0 for one that is there or was there and can't be."""
    up = GaugeMetricFamily(
        "pilothouse_gpu_up", "1 where the GPU was read.", labels=[dcgm.LABEL_INDEX]
    )
    here = {str(each.slot) for each in passed.reading.samples}
    once = {str(each.slot) for each in sight.gpus.values()}
    broken = {str(index) for index in passed.reading.broken}
    for index in sorted(here | once | broken, key=int):
        up.add_metric([index], float(index in here and index not in broken))
    return up


def _events(sight: Sight) -> Metric:
    counter = CounterMetricFamily(
        "pilothouse_gpu_events",
        "What the driver reported since the agent started, by kind and XID.",
        labels=[dcgm.LABEL_INDEX, dcgm.LABEL_UUID, "kind", "xid"],
    )
    for (gpu_id, kind, code), number in sight.event_counts.items():
        known = sight.gpus.get(gpu_id or "")
        index = "" if known is None else str(known.slot)
        counter.add_metric([index, gpu_id or "", kind, "" if code is None else str(code)], number)
    return counter
