"""The newest reading of this host's GPUs: taken once for all who ask, in a time-box, with its age.

A driver may hang for ever. Its thread is left to itself then, no second one is started beside it,
and what was read before is told on until it is stale, never as if it were fresh.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from collectors.agent_facts import FactReader, HostFacts
from collectors.agent_settings import AgentSettings
from collectors.base import NotHere
from collectors.nvml import NvmlCollector, NvmlSettings, why_absent
from collectors.nvml_reading import Reading
from collectors.timebox import TimeBox, TimedOut
from warehouse.records import GpuEvent, GpuSample

BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the histogram of readings."""

EventKey = tuple[str | None, str, int | None]
"""GPU, kind and code of an event."""


@dataclass(frozen=True)
class Passed:
    """What one pass has found, and the monotonic instant at which it began."""

    reading: Reading
    events: list[GpuEvent]
    heard: frozenset[str]
    facts: HostFacts
    began_at: float


@dataclass(frozen=True)
class Sight:
    """What the agent knows when it is asked."""

    passed: Passed | None
    """The newest pass; None where there is none, or it is stale"""
    age_seconds: float | None
    """How old the newest pass is, stale or not; None before the first"""
    why_not: str | None
    """Why the newest try failed; None where it didn't"""
    gpus: dict[str, GpuSample] = field(default_factory=dict)
    """By UUID the newest sample of every GPU ever read, those included that are gone"""
    heard: frozenset[str] = frozenset()
    """The GPUs whose XID errors are reported"""
    last_xids: dict[str, int] = field(default_factory=dict)
    """By UUID the last XID error"""
    event_counts: dict[EventKey, int] = field(default_factory=dict)

    @property
    def is_fresh(self) -> bool:
        """Whether the GPUs were read, and just now."""
        return self.passed is not None and self.why_not is None


class Lookout:
    """Reads this host's GPUs when asked, at most once in `every_seconds`.

    `monotonic` counts seconds, `now` says the instant (UTC); `nvml` is the module `pynvml`, or
    what answers like it.
    """

    def __init__(
        self,
        settings: AgentSettings,
        nvml: Any,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._settings, self._nvml, self._now, self._monotonic = settings, nvml, now, monotonic
        self._collector = NvmlCollector(NvmlSettings(node_id=settings.node_id), nvml)
        self._facts = FactReader(nvml)
        self._one_at_a_time = threading.Lock()
        self._tried_at: float | None = None
        self._box: TimeBox[Passed] | None = None
        """The reading under way; left standing where it didn't come back in time"""
        self._box_began_at = 0.0
        self._newest: Passed | None = None
        self._why_not: str | None = "nothing was read yet"
        self._gpus: dict[str, GpuSample] = {}
        self._heard: frozenset[str] = frozenset()
        self._last_xids: dict[str, int] = {}
        self._event_counts: Counter[EventKey] = Counter()
        self.durations = Durations()
        self.failure_count = 0

    def sight(self) -> Sight:
        """What is known now; whoever asks first after `every_seconds` has it read anew."""
        with self._one_at_a_time:
            now = self._monotonic()
            if self._tried_at is None or now - self._tried_at >= self._settings.every_seconds:
                self._try()
                self._tried_at = now
            return self._sight(self._monotonic())

    def remark(self) -> str | None:
        """Why some events are not to be had; said once."""
        return self._collector.remark()

    def _sight(self, now: float) -> Sight:
        age_seconds = None if self._newest is None else now - self._newest.began_at
        is_stale = age_seconds is None or age_seconds >= self._settings.stale_after_seconds
        return Sight(
            None if is_stale else self._newest,
            age_seconds,
            self._why_not,
            dict(self._gpus),
            self._heard,
            dict(self._last_xids),
            dict(self._event_counts),
        )

    def _try(self) -> None:
        """Take the reading under way, or a new one, if it comes in time."""
        is_new = self._box is None
        if self._box is None:
            self._box_began_at = self._monotonic()
            self._box = TimeBox(self._pass, "agent-reading")
        answer = self._box.answer(self._settings.time_limit_seconds if is_new else 0.0)
        if isinstance(answer.error, TimedOut):
            waited = self._monotonic() - self._box_began_at
            self._failed(
                f"the NVIDIA driver hasn't answered for {max(waited, 0):.0f} s: run nvidia-smi on "
                "this host; where that hangs too, restart the host"
            )
            return
        self._box = None
        if answer.value is None:
            self._failed(str(answer.error))
        else:
            self._took(answer.value)

    def _pass(self) -> Passed:
        began_at = self._monotonic()
        if self._newest is None and (absent := why_absent(self._nvml)):
            raise NotHere(absent.reason)
        reading, events = self._collector.seen(self._now())
        passed = Passed(
            reading, events, self._collector.heard, self._facts.facts(reading), began_at
        )
        self.durations.took(self._monotonic() - began_at)
        return passed

    def _failed(self, why_not: str) -> None:
        self.failure_count += 1
        self._why_not = why_not

    def _took(self, passed: Passed) -> None:
        self._newest, self._why_not = passed, None
        self._heard |= passed.heard
        for sample in passed.reading.samples:
            if sample.parent_gpu_id is None:
                self._gpus[sample.gpu_id] = sample
        for event in passed.events:
            self._event_counts[event.gpu_id, event.kind, event.code] += 1
            if event.kind == "xid" and event.gpu_id is not None and event.code is not None:
                self._last_xids[event.gpu_id] = event.code


class Durations:
    """How long readings took, as a histogram's buckets."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS_SECONDS) + 1)
        self.sum_seconds = 0.0

    def took(self, seconds: float) -> None:
        """One more."""
        bounds = enumerate(BUCKETS_SECONDS)
        self._counts[next((n for n, bound in bounds if seconds <= bound), -1)] += 1
        self.sum_seconds += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound and how many took no longer, the last without a bound."""
        names = [*(str(bound) for bound in BUCKETS_SECONDS), "+Inf"]
        return [(name, float(sum(self._counts[: n + 1]))) for n, name in enumerate(names)]
