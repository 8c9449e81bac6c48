"""What the series of a target mean, worked out once and kept as long as they stay the same.

An exporter writes the same names and labels round after round, and only the numbers differ. So a
text is split at each line's last blank; if the names and labels are those of the round before,
which a digest tells, the numbers go to their places without a label being read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from collectors import dcgm_fields as dcgm
from collectors.dcgm_fields import COLUMN, OF_INSTANCES
from collectors.prometheus_text import labels_of, samples

CLUSTER_PREFIX = "kube_"
OLDEST_SECONDS = 300.0
"""A sample that says it is older than this is stale, and is left out."""
LONGEST_NUMBER = 40
"""Characters of a number in the short way; more is read the careful way."""

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


class Gpu(NamedTuple):
    """A GPU, or a MIG instance of one, as an exporter names it."""

    gpu_id: str
    """Its UUID; of an instance its own, or one made of the GPU's and the instance's number."""
    device_id: str
    """The UUID of the GPU."""
    slot: int
    model: str | None
    host: str | None
    """What the exporter calls the host."""
    profile: str | None
    """Of a MIG instance its profile."""

    @property
    def is_instance(self) -> bool:
        """Whether it is a part of a GPU."""
        return self.gpu_id != self.device_id


class Holder(NamedTuple):
    """Who an exporter says holds a GPU."""

    row: int
    """Which of the target's GPUs."""
    namespace: str | None
    pod: str | None
    container: str | None
    replica: str | None
    """Which replica of a time-shared GPU."""
    hpc_job: str | None
    """The batch system's job."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Where each number of a text goes."""

    digest: bytes | None
    """Of the names and labels; None where the text can't be read the short way."""
    lines: tuple[int, ...]
    """The lines that are read."""
    rows: Indices
    """For each of them the GPU it is about,"""
    columns: Indices
    """and the metric it is."""
    gpus: tuple[Gpu, ...]
    holders: tuple[Holder, ...]
    xid_lines: tuple[tuple[int, int, int], ...] = ()
    """GPU, XID and place in `lines` of each counter of XIDs; the place is past `rows`."""
    oddities: Counter[str] = field(default_factory=Counter)
    """What was left out, in words, and how often."""
    tells_cluster: bool = False
    """Whether it has series of kube-state-metrics."""

    @cached_property
    def there(self) -> frozenset[int]:
        """The rows of the GPUs that are measured, of one that is gone its last XID may be told
        still; and of their instances, of which there may be nothing to tell but their names."""
        measured = set(self.rows[self.columns != COLUMN[dcgm.XID_ERRORS]].tolist())
        instances = (row for row, gpu in enumerate(self.gpus) if gpu.is_instance)
        return frozenset(measured.union(instances))

    @cached_property
    def cut(self) -> frozenset[str]:
        """The UUIDs of the GPUs that are cut into instances."""
        return frozenset(gpu.device_id for gpu in self.gpus if gpu.is_instance)


@dataclass(frozen=True)
class Reading:
    """The numbers of one text."""

    layout: Layout
    values: Floats
    """One for each of the layout's `lines`."""


def reading_of(text: str, is_open: bool, before: Layout | None, now_seconds: float) -> Reading:
    """A text's numbers; the layout before is used again where it fits.

    `now_seconds` is the instant in Unix seconds, by which samples that are stale are left out.

    Raises:
        NotExposition: the text can't be read.
    """
    parts = [line.rpartition(" ") for line in text.split("\n")]
    digest = _digest(part[0] for part in parts)
    if before is not None and before.digest == digest:
        values = _values([parts[at][2] for at in before.lines])
        if values is not None:
            return Reading(before, values)
    return _Careful(now_seconds).reading(text, is_open, digest)


def _digest(prefixes: Iterable[str]) -> bytes:
    return blake2b("\n".join(prefixes).encode(), digest_size=16).digest()


def _values(numbers: list[str]) -> Floats | None:
    """The numbers; None where one is none, so that the careful way may say which."""
    if "_" in "".join(numbers):  # Python takes it for a number, and Prometheus doesn't
        return None
    try:
        return np.array([float(number) for number in numbers], dtype=np.float64)
    except ValueError:
        return None


class _Careful:
    """Reads a text label by label and makes its layout."""

    def __init__(self, now_seconds: float) -> None:
        self._now_seconds = now_seconds
        self._rows: dict[str, int] = {}
        self._gpus: list[Gpu] = []
        self._holders: dict[Holder, bool] = {}
        """Each holder, and whether it is told as an exporter tells it that was scraped itself"""
        self._places: dict[tuple[int, int], int] = {}
        self._lines: list[tuple[int, int, int, float]] = []
        self._xids: list[tuple[int, int, int, float]] = []
        self._blocks: dict[str, tuple[int, int, str] | None] = {}
        self._oddities: Counter[str] = Counter()
        self._seen: set[tuple[str, str]] = set()

    def reading(self, text: str, is_open: bool, digest: bytes) -> Reading:
        is_simple, tells_cluster = True, False
        for line, series in samples(text, is_open):
            tells_cluster = tells_cluster or series.name.startswith(CLUSTER_PREFIX)
            if series.name not in COLUMN and series.name != dcgm.XID_TOTAL:
                continue
            is_simple = is_simple and series.is_simple
            if self._is_repeated(series.name, series.labels_text):
                continue
            at_seconds = series.at_seconds
            if at_seconds is not None and self._now_seconds - at_seconds > OLDEST_SECONDS:
                self._oddities["series told with an old instant"] += 1
                continue
            self._take(line, series.name, series.labels_text, series.value)
        return self._made(digest if is_simple else None, tells_cluster)

    def _made(self, digest: bytes | None, tells_cluster: bool) -> Reading:
        taken = [*self._lines, *self._xids]
        layout = Layout(
            digest,
            tuple(line for line, *_ in taken),
            np.array([row for _, row, _, _ in self._lines], dtype=np.intp),
            np.array([column for _, _, column, _ in self._lines], dtype=np.intp),
            tuple(self._gpus),
            self._held(),
            tuple(
                (row, code, len(self._lines) + at)
                for at, (_, row, code, _) in enumerate(self._xids)
            ),
            self._oddities,
            tells_cluster,
        )
        return Reading(layout, np.array([value for *_, value in taken], dtype=np.float64))

    def _is_repeated(self, name: str, labels_text: str) -> bool:
        if (name, labels_text) in self._seen:
            self._oddities["series told twice, of which the first was taken"] += 1
            return True
        self._seen.add((name, labels_text))
        return False

    def _take(self, line: int, name: str, labels_text: str, value: float) -> None:
        if name == dcgm.XID_TOTAL:
            self._take_xid(line, labels_text, value)
            return
        if labels_text not in self._blocks:  # one block of labels serves a GPU's twenty metrics
            self._blocks[labels_text] = self._placed(labels_of(labels_text))
        place = self._blocks[labels_text]
        if place is None:
            self._oddities["series that name no GPU's UUID and index"] += 1
            return
        row = place[0] if name in OF_INSTANCES else place[1]
        if (row, COLUMN[name]) not in self._places:  # each holder of a shared GPU is told it again
            self._places[row, COLUMN[name]] = line
            self._lines.append((line, row, COLUMN[name], value))

    def _take_xid(self, line: int, labels_text: str, value: float) -> None:
        labels = labels_of(labels_text)
        code, place = labels.get("xid", ""), self._placed(labels)
        if place is None or not (code.isascii() and code.isdigit() and len(code) <= 6):
            self._oddities["series that name no GPU's UUID and index"] += 1
            return
        self._xids.append((line, place[1], int(code), value))

    def _placed(self, labels: dict[str, str]) -> tuple[int, int, str] | None:
        """The row of what the labels name, and that of the whole GPU; None where it is unknown."""
        device_id = labels.get(dcgm.LABEL_UUID) or labels.get("uuid")
        slot = _slot(labels)
        if not device_id or slot is None:
            return None
        model, host = labels.get(dcgm.LABEL_MODEL), labels.get(dcgm.LABEL_HOST)
        whole = Gpu(device_id, device_id, slot, model or None, host or None, None)
        profile, instance = labels.get(dcgm.LABEL_PROFILE), labels.get(dcgm.LABEL_INSTANCE)
        device_row = self._row(whole)
        row = device_row
        own = labels.get(dcgm.LABEL_INSTANCE_UUID)
        if profile or instance or own:
            row = self._row(
                whole._replace(
                    gpu_id=own or instance_id(device_id, instance or "?"), profile=profile
                )
            )
        self._hold(row, labels)
        return row, device_row, device_id

    def _row(self, gpu: Gpu) -> int:
        if gpu.gpu_id not in self._rows:
            self._rows[gpu.gpu_id] = len(self._gpus)
            self._gpus.append(gpu)
        return self._rows[gpu.gpu_id]

    def _held(self) -> tuple[Holder, ...]:
        """The holders; where a Prometheus passed the text on, `pod` is the exporter's own pod
        and the holder is `exported_pod`."""
        is_passed_on = any(self._holders.values())
        return tuple(
            each for each, is_exported in self._holders.items() if is_exported or not is_passed_on
        )

    def _hold(self, row: int, labels: dict[str, str]) -> None:
        pod = _first(labels, "exported_pod", "pod", "pod_name")
        hpc_job = labels.get(dcgm.LABEL_HPC_JOB) or None
        if not pod and not hpc_job:
            return
        holder = Holder(
            row,
            _first(labels, "exported_namespace", "namespace", "pod_namespace"),
            pod,
            _first(labels, "exported_container", "container", "container_name"),
            labels.get(dcgm.LABEL_VIRTUAL) or None,
            hpc_job,
        )
        self._holders[holder] = "exported_pod" in labels or hpc_job is not None


def instance_id(device_id: str, instance: str) -> str:
    """The id of a MIG instance whose own UUID nobody tells, after the driver's older form."""
    return f"MIG-{device_id}/{instance}/0"


def _slot(labels: dict[str, str]) -> int | None:
    text = labels.get(dcgm.LABEL_INDEX) or labels.get(dcgm.LABEL_DEVICE, "").removeprefix("nvidia")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def _first(labels: dict[str, str], *names: str) -> str | None:
    return next((labels[name] for name in names if labels.get(name)), None)
