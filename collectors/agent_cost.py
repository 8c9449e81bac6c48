"""What the node agent costs this host and how it fares, as series of its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector as SeriesSource

from collectors.agent_reading import Lookout, Sight

MEMORY_FILE = Path("/proc/self/statm")


class AgentSeries(SeriesSource):
    """The agent's own series; `sight` is the same that the GPUs' series are made from."""

    def __init__(self, lookout: Lookout, sight: Callable[[], Sight]) -> None:
        self._lookout, self._sight = lookout, sight
        self._counting = threading.Lock()
        self._scrape_count = 0

    def scraped(self) -> None:
        """Somebody asks for the text."""
        with self._counting:
            self._scrape_count += 1

    def describe(self) -> Iterable[Metric]:
        """Nothing is read when it is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """How the GPUs were read, and at what cost."""
        sight = self._sight()
        yield GaugeMetricFamily(
            "pilothouse_agent_up",
            "1 where the newest reading of this host's GPUs came out.",
            value=float(sight.is_fresh),
        )
        if sight.age_seconds is not None:
            yield GaugeMetricFamily(
                "pilothouse_agent_reading_age_seconds",
                "Age of the newest reading that came out, told or stale.",
                value=sight.age_seconds,
            )
        if sight.why_not is not None:
            yield InfoMetricFamily(
                "pilothouse_agent_failure",
                "Why the newest reading failed.",
                value={"reason": sight.why_not},
            )
        yield from self._cost()

    def _cost(self) -> Iterator[Metric]:
        durations = self._lookout.durations
        yield HistogramMetricFamily(
            "pilothouse_agent_reading_seconds",
            "How long readings of all GPUs took.",
            buckets=durations.buckets(),
            sum_value=durations.sum_seconds,
        )
        for name, words, value in (
            ("reading_failures", "Readings that failed.", self._lookout.failure_count),
            ("scrapes", "Times the text was asked for.", self._scrape_count),
            ("cpu_seconds", "Processor time of the agent.", time.process_time()),
        ):
            yield CounterMetricFamily(f"pilothouse_agent_{name}", words, value=value)
        if (resident := resident_bytes()) is not None:
            yield GaugeMetricFamily(
                "pilothouse_agent_resident_memory_bytes", "Memory of the agent.", value=resident
            )


def resident_bytes() -> int | None:
    """Memory that this process holds; None where the system doesn't tell."""
    try:
        pages = int(MEMORY_FILE.read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
