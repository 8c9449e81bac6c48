"""What the exporters told in a round as rows: a sample a GPU, a share a holder.

A GPU that two exporters serve is taken from the first of them that answered, its holders from the
first that knows them. A GPU that pods take turns on is one sample, whose utilisation is the GPU's;
each pod's part of it is in its share.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from collectors.prometheus_layout import Gpu, Holder, Reading
from collectors.prometheus_numbers import Numbers, matrix_of
from collectors.prometheus_targets import Target
from warehouse.records import GpuShare, Sharing
from warehouse.schema import INSTANT, columns_of

SOURCE = "prometheus"
SLICES = 7
"""Compute slices of a GPU that can be cut,"""
SLICES_OF = (("A30", 4), ("RTX PRO 6000", 4), ("RTX PRO 5000", 2))
"""and of those that have fewer."""
SHARE_SCHEMA = {column.name: column.dtype for column in columns_of(GpuShare)[:-1]}
"""The columns of a share but when it was stored."""
_PROFILE = re.compile(r"(?:(?P<compute>\d+)c\.)?(?P<slices>\d+)g\.", re.ASCII)


class Work(NamedTuple):
    """What a pod works on, and for whom."""

    job_id: str
    tenant: str


@dataclass(frozen=True)
class NodeFacts:
    """What the cluster says of a node."""

    pool: str | None = None
    replicas: int | None = None
    sharing: Sharing | None = None


NO_FACTS = NodeFacts()


@dataclass(frozen=True)
class Known:
    """What is known besides the exporters' words."""

    nodes: Mapping[str, NodeFacts] = field(default_factory=dict)
    work: Mapping[str, Work] = field(default_factory=dict)
    """By pod, `namespace/name`."""


class Heard(NamedTuple):
    """One target's answer."""

    target: Target
    reading: Reading
    after_seconds: float
    """since the round began"""


class Place(NamedTuple):
    """Where a GPU is."""

    node_id: str
    pool: str | None


@dataclass
class Rows:
    """The rows of a round."""

    samples: pl.DataFrame
    shares: pl.DataFrame
    gpus: list[Gpu]
    """Every GPU that is told of, those that are gone and have an XID still as well,"""
    places: list[Place]
    """where it is,"""
    are_there: list[bool]
    """and whether it is measured, and so has a sample."""
    numbers: Numbers
    oddities: Counter[str]
    """What was left out, in words, and how often."""
    twice: Counter[tuple[str, str]]
    """How many GPUs two targets serve, by the one that was taken and the other."""


def rows_of(heard: Sequence[Heard], known: Known, now: datetime) -> Rows:
    """The rows of all that was heard; `now` (UTC) is when the round began."""
    return _Table(heard, known, now).rows()


class _Table:
    """The rows of a round in the making, column by column."""

    def __init__(self, heard: Sequence[Heard], known: Known, now: datetime) -> None:
        self._heard = heard
        self._known = known
        self._now = now
        self._gpus: list[Gpu] = []
        self._places: list[Place] = []
        self._kept: list[int] = []
        self._there: list[bool] = []
        self._sample_facts: list[tuple[datetime, Sharing | None, str | None, str | None]] = []
        self._shares: list[tuple[Any, ...]] = []
        self._owners: dict[str, str] = {}
        self._oddities: Counter[str] = Counter()
        self._twice: Counter[tuple[str, str]] = Counter()
        self._held = _held(heard)

    def rows(self) -> Rows:
        start = 0
        for one in self._heard:
            self._take(one, start)
            start += len(one.reading.layout.gpus)
            if one.reading.layout.oddities:
                self._oddities += one.reading.layout.oddities
        matrix = matrix_of([one.reading for one in self._heard])
        numbers = Numbers(matrix[np.array(self._kept, dtype=np.intp)])
        samples = self._samples(numbers.columns())
        self._oddities += numbers.oddities
        shares = pl.DataFrame(self._shares, schema=SHARE_SCHEMA, orient="row")
        return Rows(
            samples.filter(pl.Series(self._there, dtype=pl.Boolean())),
            shares,
            self._gpus,
            self._places,
            self._there,
            numbers,
            self._oddities,
            self._twice,
        )

    def _take(self, one: Heard, start: int) -> None:
        """The GPUs of a target that no target before it served."""
        target, layout = one.target, one.reading.layout
        measured_at = self._now + timedelta(seconds=int(one.after_seconds))
        cut = layout.cut
        for row, gpu in enumerate(layout.gpus):
            owner = self._owners.setdefault(gpu.device_id, target.url)
            if owner is not target.url:
                self._twice[owner, target.url] += not gpu.is_instance
                continue
            place, facts = self._place(target, gpu)
            held = self._held.get(gpu.gpu_id, ())
            sharing = _sharing(gpu, gpu.device_id in cut, facts, held)
            works = self._share(gpu, place, facts, held, sharing, measured_at)
            job_id, tenant = works.pop() if len(works) == 1 else (None, None)
            self._gpus.append(gpu)
            self._places.append(place)
            self._kept.append(start + row)
            self._there.append(row in layout.there)
            self._sample_facts.append((measured_at, sharing, job_id, tenant))

    def _place(self, target: Target, gpu: Gpu) -> tuple[Place, NodeFacts]:
        node_id = target.node_id or gpu.host or target.host
        facts = self._known.nodes.get(node_id, NO_FACTS)
        if target.replicas or target.sharing:
            facts = NodeFacts(facts.pool, target.replicas, target.sharing)
        return Place(node_id, target.pool or facts.pool), facts

    def _share(
        self,
        gpu: Gpu,
        place: Place,
        facts: NodeFacts,
        held: Sequence[Holder],
        sharing: Sharing | None,
        measured_at: datetime,
    ) -> set[tuple[str | None, str | None]]:
        """A share a holder; who they work for."""
        if not held or sharing is None:
            return set()
        ratio = share_ratio(gpu, facts, held, sharing)
        if ratio is None:
            self._oddities["MIG instances of a profile that is not known, without shares"] += 1
            return set()
        works = set()
        for holder in held:
            work = self._work(holder)
            works.add(work)
            holds = (holder.namespace, holder.pod, holder.container)
            told = (sharing, ratio, SOURCE, measured_at)
            self._shares.append((gpu.gpu_id, *place, *work, *holds, *told))
        return works

    def _work(self, holder: Holder) -> tuple[str | None, str | None]:
        work = self._known.work.get(f"{holder.namespace}/{holder.pod}")
        if work is not None:
            return work
        return holder.hpc_job, holder.namespace

    def _samples(self, columns: Mapping[str, pl.Series]) -> pl.DataFrame:
        gpus, text = self._gpus, pl.String()
        facts = list(zip(*self._sample_facts, strict=True)) or [(), (), (), ()]
        parents = [gpu.device_id if gpu.is_instance else None for gpu in gpus]
        return pl.DataFrame(
            [
                pl.Series("gpu_id", [gpu.gpu_id for gpu in gpus], dtype=text),
                pl.Series("node_id", [place.node_id for place in self._places], dtype=text),
                pl.Series("pool", [place.pool for place in self._places], dtype=text),
                pl.Series("slot", [gpu.slot for gpu in gpus], dtype=pl.Int64()),
                pl.Series("gpu_model", [gpu.model for gpu in gpus], dtype=text),
                pl.Series("parent_gpu_id", parents, dtype=text),
                pl.Series("mig_profile", [gpu.profile for gpu in gpus], dtype=text),
                *columns.values(),
                pl.Series("sharing", facts[1], dtype=text),
                pl.Series("job_id", facts[2], dtype=text),
                pl.Series("tenant", facts[3], dtype=text),
                pl.Series("source", [SOURCE] * len(gpus), dtype=text),
                pl.Series("measured_at", facts[0], dtype=INSTANT),
            ]
        )


def share_ratio(
    gpu: Gpu, facts: NodeFacts, held: Sequence[Holder], sharing: Sharing
) -> float | None:
    """The part of the physical GPU that each holder has; None where it can't be told."""
    if sharing == "whole":
        return 1.0
    # A replica that nobody holds is told by nobody: the highest number tells of those below it.
    highest = max((_replica(each) for each in held), default=-1)
    told = max(len(held), highest + 1)
    if sharing != "mig":
        return 1.0 / max(told, facts.replicas or 1)
    slices = _slices(gpu)
    return None if slices is None else min(slices, 1.0) / told


def _replica(holder: Holder) -> int:
    """The number of a holder's replica, from 0; -1 where it has none."""
    number = holder.replica or ""
    return int(number) if number.isascii() and number.isdigit() and len(number) <= 4 else -1


def _slices(gpu: Gpu) -> float | None:
    """A MIG instance's part of its GPU by compute slices; 1 for the GPU itself."""
    if not gpu.is_instance:
        return 1.0
    found = _PROFILE.match(gpu.profile or "")
    if found is None:
        return None
    total = next((count for name, count in SLICES_OF if name in (gpu.model or "")), SLICES)
    return int(found["compute"] or found["slices"]) / total


def _sharing(gpu: Gpu, is_cut: bool, facts: NodeFacts, held: Sequence[Holder]) -> Sharing | None:
    if is_cut:
        return "mig"
    if len(held) > 1 or (facts.replicas or 1) > 1 or any(each.replica for each in held):
        return facts.sharing or "time_sliced"
    return "whole" if held or facts.replicas else None


def _held(heard: Iterable[Heard]) -> dict[str, list[Holder]]:
    """The holders of each GPU, as the first target tells them that knows any of it."""
    held: dict[str, list[Holder]] = {}
    teller: dict[str, str] = {}
    for one in heard:
        for holder in one.reading.layout.holders:
            gpu = one.reading.layout.gpus[holder.row]
            if teller.setdefault(gpu.device_id, one.target.url) == one.target.url:
                held.setdefault(gpu.gpu_id, []).append(holder)
    return held
