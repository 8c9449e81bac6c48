"""A collector before exporters that a test made up, and what it yields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from collectors.base import Note
from collectors.harvest import Harvest, harvest_of
from collectors.prometheus import PrometheusCollector
from collectors.prometheus_cluster import Cluster
from collectors.prometheus_settings import PrometheusSettings
from tests.collectors.exporter_farm import Exporters, Says, Told, exposition, gpu_labels
from warehouse.records import GpuEvent, GpuSample, GpuShare

ROUND = timedelta(seconds=15)
FIRST = "127.0.0.1"
H100 = "NVIDIA H100 80GB HBM3"


@dataclass
class Scene:
    """Exporters, the file that lists them, and the collector that asks them."""

    exporters: Exporters
    file: Path
    now: datetime
    collector: PrometheusCollector = field(init=False)

    def list(self, *hosts: str, **labels: str) -> None:
        """Write the list of targets."""
        targets = [self.exporters.address(host) for host in hosts]
        self.file.write_text(json.dumps([{"targets": targets, "labels": labels}]))

    def serve(self, *told: Told, host: str = FIRST) -> None:
        """Let a host tell of GPUs."""
        self.exporters.says[host] = Says(exposition(told))

    def round(self) -> Round:
        """One round, 15 seconds after the one before."""
        self.now += ROUND
        return Round(harvest_of(self.collector.collect(self.now)))


@dataclass(frozen=True)
class Round:
    """What one round brought."""

    harvest: Harvest

    def frame(self, record_class: type) -> pl.DataFrame:
        return pl.concat([frame for cls, frame in self.harvest.frames if cls is record_class])

    @property
    def samples(self) -> dict[str, dict[str, Any]]:
        """By GPU."""
        return {row["gpu_id"]: row for row in self.frame(GpuSample).iter_rows(named=True)}

    @property
    def shares(self) -> list[dict[str, Any]]:
        if not any(cls is GpuShare for cls, _ in self.harvest.frames):
            return []
        return list(self.frame(GpuShare).iter_rows(named=True))

    @property
    def events(self) -> list[GpuEvent]:
        return [row for row in self.harvest.records if isinstance(row, GpuEvent)]

    def of(self, record_class: type) -> list[Any]:
        return [row for row in self.harvest.records if type(row) is record_class]

    @property
    def notes(self) -> str:
        return "; ".join(self.harvest.notes)


@contextmanager
def scene(
    folder: Path, now: datetime, *, cluster: Cluster | None = None, **settings: Any
) -> Iterator[Scene]:
    """A scene whose first host is listed, and tells of nothing yet."""
    with Exporters() as exporters:
        made = Scene(exporters, folder / "targets.json", now)
        made.list(FIRST)
        given = {"timeout_seconds": 0.5, **settings}
        made.collector = PrometheusCollector(
            PrometheusSettings(targets_file=str(made.file), **given), cluster=cluster
        )
        try:
            yield made
        finally:
            made.collector.close()


def gpu(slot: int = 0, uuid: str | None = None, **values: Any) -> Told:
    """A GPU with some numbers; what is written in small letters is a label."""
    labels = {name: text for name, text in values.items() if not name.startswith("DCGM_")}
    numbers = {name: number for name, number in values.items() if name.startswith("DCGM_")}
    named = gpu_labels(slot, uuid or f"GPU-{slot}", **labels)
    return Told(named, numbers or {"DCGM_FI_DEV_GPU_UTIL": 50})


__all__ = ["FIRST", "H100", "Note", "Round", "Says", "Scene", "gpu", "scene"]
