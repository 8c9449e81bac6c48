"""Which exporters are asked: from a file in Prometheus' file_sd form, or found in Kubernetes.

A list that can't be had now is the last one that could, and it is said so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import yaml  # type: ignore[import-untyped]

MOST_TARGETS = 100_000
"""A longer list is taken for a mistake."""

Sharing = Literal["time_sliced", "mps"]


class BrokenList(ValueError):
    """A list of targets can't be read; the sentence says where."""


@dataclass(frozen=True)
class Target:
    """One exporter."""

    url: str
    node_id: str | None = None
    """The node it tells of; what the exporter calls its host without it."""
    pool: str | None = None
    replicas: int | None = None
    """Among how many each of the node's GPUs is shared, where that is known."""
    sharing: Sharing | None = None
    """How, where that is known."""

    @property
    def name(self) -> str:
        """Its host and port."""
        return urlsplit(self.url).netloc

    @property
    def host(self) -> str:
        """Its host."""
        return urlsplit(self.url).hostname or self.name


@dataclass(frozen=True)
class Shard:
    """Which part of the targets is this collector's: `number` of `count`, from 1."""

    number: int = 1
    count: int = 1

    def has(self, target: Target) -> bool:
        """Whether a target is in it: by a hash, so that every collector agrees."""
        digest = blake2b(target.url.encode(), digest_size=8).digest()
        return int.from_bytes(digest) % self.count == self.number - 1


def target_of(address: str, labels: Mapping[str, str]) -> Target:
    """A target by its address, `host:port` or a URL, and its labels.

    Raises:
        BrokenList: it is no address, or a label can't be used.
    """
    scheme, path = labels.get("__scheme__", "http"), labels.get("__metrics_path__", "/metrics")
    url = address if "://" in address else f"{scheme}://{address}{path}"
    if not _is_good(url):
        raise BrokenList(f"{address!r} is no host:port and no http(s) URL")
    replicas = count_of(labels.get("replicas", ""))
    if labels.get("replicas") and replicas is None:
        raise BrokenList(f"{address}: replicas is {labels['replicas']!r}, no number from 1 to 9999")
    return Target(
        url if urlsplit(url).path else f"{url}{path}",
        labels.get("node") or None,
        labels.get("pool") or None,
        replicas,
    )


def count_of(text: str) -> int | None:
    """A number from 1 to 9999 that somebody wrote; None where it is none."""
    return int(text) or None if text.isascii() and text.isdigit() and len(text) <= 4 else None


def _is_good(url: str) -> bool:
    try:
        split = urlsplit(url)
        httpx.URL(url)  # which is stricter, and must take it later
        port = split.port
    except (ValueError, httpx.InvalidURL):
        return False
    has_blank = any(each.isspace() for each in url)
    return (
        split.scheme in ("http", "https") and bool(split.hostname) and port != 0 and not has_blank
    )


def targets_in(text: str, is_json: bool) -> list[Target]:
    """The targets of a file_sd document.

    Raises:
        BrokenList: it is none.
    """
    try:
        groups = json.loads(text) if is_json else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise BrokenList(f"it is no {'JSON' if is_json else 'YAML'}: {error}") from error
    if not isinstance(groups, list):
        raise BrokenList("it is no list of objects with `targets`")
    return [target for at, group in enumerate(groups) for target in _group(group, f"[{at}]")]


def _group(group: Any, where: str) -> Iterable[Target]:
    if not isinstance(group, dict) or not isinstance(group.get("targets"), list):
        raise BrokenList(f"{where} has no list `targets`")
    labels = group.get("labels") or {}
    if not isinstance(labels, dict):
        raise BrokenList(f"{where}.labels is no object")
    words = {str(name): str(value) for name, value in labels.items()}
    for address in group["targets"]:
        if not isinstance(address, str):
            raise BrokenList(f"{where}.targets holds {address!r}, which is no text")
        yield target_of(address, words)


class TargetsFile:
    """Files of targets, read again when they change; a broken one leaves the last good list."""

    def __init__(self, pattern: str) -> None:
        """`pattern` is a path; `*` and `?` in its last part stand for several files."""
        self._pattern = pattern
        self._marks: tuple[tuple[str, int, int, int], ...] | None = None
        self._targets: list[Target] = []
        self._why: str | None = None

    def targets(self) -> tuple[list[Target], str | None]:
        """The targets, and why the list may be an old one; None where it is not."""
        try:
            marks = tuple(self._mark(path) for path in self._paths())
            if marks != self._marks:
                self._targets = [each for path, *_ in marks for each in self._read(Path(path))]
                self._why, self._marks = None, marks
        except BrokenList as error:
            self._why, self._marks = str(error), None
        return self._targets, self._why

    def _paths(self) -> list[str]:
        pattern = Path(self._pattern)
        found = sorted(map(str, pattern.parent.glob(pattern.name)))
        if not found:
            raise BrokenList(f"{self._pattern} is not there")
        return found

    def _mark(self, path: str) -> tuple[str, int, int, int]:
        try:
            stat = Path(path).stat()
        except OSError as error:
            raise BrokenList(f"{path} can't be read: {error.strerror}") from error
        return path, stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _read(self, path: Path) -> list[Target]:
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise BrokenList(f"{path} can't be read: {error}") from error
        try:
            found = targets_in(text, path.suffix == ".json")
        except BrokenList as error:
            raise BrokenList(f"{path}: {error}") from None
        if len(found) > MOST_TARGETS:
            raise BrokenList(f"{path} holds {len(found)} targets, more than {MOST_TARGETS}")
        return found
